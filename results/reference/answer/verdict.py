"""Say in how many metrics a row of a run's Table 1 is the best: a Markdown table for each run.

python results/reference/answer/verdict.py "MoE-Fusion (small)" results/answer/msrs results/answer/m3fd
"""

import sys
from pathlib import Path

import pandas as pd

UNTRAINED = ("Average", "Maximum", "Laplacian")  # the claim is one about published networks


def compare(folder: Path, method: str) -> pd.DataFrame:
    """Return for each metric the method's mean, its place among the networks, and the best of the others.

    Args:
        folder: Of a run; its table1_statistics.csv is read, which has higher values as better ones for the paper's
            eight metrics.
        method: The row. "not worse" is the table's: by Nemenyi's test its average rank over the images is not
            significantly below the best one's.
    """
    table = pd.read_csv(folder / "table1_statistics.csv")
    table = table[(table["metric"] != "all") & table["rank"].notna() & ~table["method"].isin(UNTRAINED)]
    table["place"] = table.groupby("metric")["mean"].rank(ascending=False, method="min").astype(int)
    own = table[table["method"] == method].set_index("metric")
    others = table[table["method"] != method]
    best = others.loc[others.groupby("metric")["mean"].idxmax()].set_index("metric").loc[own.index]
    return pd.DataFrame(
        {
            "mean": own["mean"].round(4),
            "place": own["place"],
            "best other": best["mean"].round(4),
            "which": best["method"],
            "not worse": own["not_worse"].map({True: "yes", False: "no"}),
        }
    )


def main() -> None:
    """Print a table for each folder."""
    method, *folders = sys.argv[1:]
    for folder in map(Path, folders):
        found = compare(folder, method)
        first, worse = int((found["place"] == 1).sum()), int((found["not worse"] == "no").sum())
        print(f"\n{folder.name}: highest in {first} of {len(found)}, significantly worse than the best in {worse}\n")
        print("| metric | " + " | ".join(found.columns) + " |")
        print("| --- | --: | --: | --: | --- | --- |")
        for metric, row in found.iterrows():
            print(f"| {metric} | " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
