"""Say in how many metrics a row of a run's Table 1 is the highest: a Markdown table for each run.

python results/reference/answer/verdict.py "MoE-Fusion (small)" results/answer/msrs results/answer/m3fd
"""

import sys
from pathlib import Path

import pandas as pd

import methods
from benchmark.tables.markdown import markdown_table


def compare(folder: Path, method: str) -> pd.DataFrame:
    """Return for each metric the method's mean, its places, and the best of the other networks.

    Args:
        folder: Of a run; its table1_statistics.csv is read. Higher is better in all of the paper's eight metrics.
        method: The row. Its places are among the networks of the paper's Table 1 and among all networks; it is "not
            worse" where by Nemenyi's test its average rank over the images is not significantly below the best.
    """
    table = pd.read_csv(folder / "table1_statistics.csv")
    networks = {methods.find(name).title: record for name, record in methods.records().items()}
    table = table[(table["metric"] != "all") & table["method"].isin([*networks, method])]
    own = table[table["method"] == method].set_index("metric")
    others = table[table["method"] != method]
    best = others.loc[others.groupby("metric")["mean"].idxmax()].set_index("metric").loc[own.index]
    in_paper = others[others["method"].map(lambda title: networks[title].row is not None)]

    def place(rivals: pd.DataFrame) -> "pd.Series[str]":
        above = {metric: (group["mean"] > own.loc[metric, "mean"]).sum() for metric, group in rivals.groupby("metric")}
        count = rivals["method"].nunique() + 1
        return pd.Series({metric: f"{above[metric] + 1} of {count}" for metric in own.index})

    return pd.DataFrame(
        {
            "mean": own["mean"].map("{:.4f}".format),
            "among the paper's": place(in_paper),
            "among all": place(others),
            "best other": best["method"] + best["mean"].map(" {:.4f}".format),
            "not worse": own["not_worse"].map({True: "yes", False: "no"}),
        }
    )


def main() -> None:
    """Print a table for each folder."""
    method, *folders = sys.argv[1:]
    for folder in map(Path, folders):
        found = compare(folder, method)
        first = [int(found[column].str.startswith("1 ").sum()) for column in ("among the paper's", "among all")]
        print(f"\n{folder.name}: highest of the paper's in {first[0]} of {len(found)}, of all in {first[1]}\n")
        print(markdown_table([["metric", *found.columns], *([metric, *row] for metric, row in found.iterrows())]))


if __name__ == "__main__":
    main()
