"""Say how often each gate picks each expert, on each data set and on all together: a Markdown table.

python results/reference/answer/gates.py results/answer/msrs results/answer/flir
"""

import sys
from pathlib import Path

import pandas as pd

from benchmark.tables.markdown import markdown_table


def picked(counts: pd.DataFrame) -> pd.Series:
    """Return the part of the images for which each expert is picked, by gate and expert, day and night together."""
    by_expert = counts.assign(picks=counts["picked"] * counts["images"]).groupby(["gate", "expert"], sort=False)
    return by_expert["picks"].sum() / by_expert["images"].sum()


def main() -> None:
    """Print a row for each data set and one for all, whose images count alike."""
    counts = pd.concat([pd.read_csv(file) for folder in sys.argv[1:] for file in Path(folder).glob("experts_*.csv")])
    rows = {name: picked(part) for name, part in counts.groupby("dataset", sort=False)} | {"all": picked(counts)}
    gates = list(dict.fromkeys(counts["gate"]))
    head = ["images of", *(gate.replace("_", ", ") for gate in gates)]
    cells = ([name, *(" ".join(f"{part:.0%}" for part in row[gate]) for gate in gates)] for name, row in rows.items())
    print(markdown_table([head, *cells]))


if __name__ == "__main__":
    main()
