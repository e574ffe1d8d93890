"""Score a folder of fused images: `python -m metrics INFRARED_DIR VISIBLE_DIR FUSED_DIR`.

`python -m metrics which SF=0.0364 SD=8.60` says which conventions can have printed such values.
"""

import re
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from metrics.command_line import parse, print_progress, without_default
from metrics.conventions import CONVENTIONS, convention_of
from metrics.errors import InputError, plain
from metrics.files import write_bytes
from metrics.folder import evaluate_folder
from metrics.registry import METRICS, select
from metrics.which import exclude_conventions, parse_row, read_rows

_CONVENTION = f"""Whose program's numbers: {", ".join(CONVENTIONS)}. The paper's are tang2022's. Numbers of different
conventions cannot be compared.""".replace("\n", " ")


def score(
    infrared_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INFRARED_DIR")],
    visible_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VISIBLE_DIR")],
    fused_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FUSED_DIR")],
    /,
    *,
    convention: Annotated[str, tyro.conf.arg(metavar="NAME", help=_CONVENTION)] = "tang2022",
    size: Annotated[str | None, without_default("WxH")] = None,
    metrics: Annotated[str, tyro.conf.arg(metavar="paper|all|ID,...")] = "paper",
    names: Annotated[tuple[str, str, str] | None, without_default("IR{} VIS{} FUSED{}")] = None,
    ignore_extra: Annotated[bool, tyro.conf.FlagCreatePairsOff, without_default()] = False,
    workers: Annotated[int | None, without_default("N")] = None,
    csv: Annotated[Path | None, without_default("FILE")] = None,
) -> None:
    """Score a folder of fused images by the metrics of a named program.

    Files of the three folders belong together by their names without extension, or by one beginning or end that the
    names of a folder have in common. Every fused image is scored; mean and standard deviation over them are printed.

    Args:
        infrared_dir: Folder of infrared images.
        visible_dir: Folder of visible images.
        fused_dir: Folder of fused images.
        size: Resize the grey images to this size, such as 640x480, which SF, AG and VIF depend on; without it, none is.
        metrics: paper (its eight), all that the convention has, or ids such as EN,SSIM.
        names: Patterns of the names in the three folders, such as "IR{}.png" "VIS{}.png" "Fuse{}.png".
        ignore_extra: Leave out fused images that have no sources, instead of refusing them.
        workers: Number of processes; without it one a core.
        csv: Write the values of every image to this file.
    """
    has = convention_of(convention).rules
    if not any(name in has for name in select(metrics, convention)):
        raise InputError(f"{convention} has none of the metrics {metrics}; it has {', '.join(has)}: --metrics all.")
    if csv is not None and (csv.is_dir() or not csv.absolute().parent.is_dir()):
        raise InputError(f"--csv {csv}: expected a file's name in a folder that is there; create the folder first.")
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("scoring", total=None)
        print_line = print_progress("scored")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if not screen.is_terminal:
                print_line(done, total)

        frame = evaluate_folder(
            infrared_dir,
            visible_dir,
            fused_dir,
            convention=convention,
            size=None if size is None else _parsed(size),
            metrics=metrics,
            names=names or (),
            ignore_extra=ignore_extra,
            workers=workers,
            progress=show,
        )
    console = Console()
    console.print(_table(frame, convention, f"{convention}, {size or 'native'} size, {len(frame)} images"))
    for left_out, listed in (
        ("sources without a fused image", frame.attrs["unscored"]),
        ("fused images without sources, left out", frame.attrs["extra"]),
    ):
        if listed:
            named = ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
            console.print(f"{left_out}: {len(listed)} ({named})", highlight=False, markup=False)
    for remark in frame.attrs["remarks"]:
        console.print(remark, highlight=False, markup=False, soft_wrap=True)
    if csv is not None:  # last: where it cannot be written, the means are on the screen
        write_bytes(csv, frame.to_csv(index=False).encode())


def _parsed(size: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", size)
    if not found:
        raise InputError(f"--size {size}: expected WIDTHxHEIGHT in pixels, such as 640x480.")
    return int(found[1]), int(found[2])


def _table(frame: pd.DataFrame, convention: str, title: str) -> Table:
    table = Table("metric", "looks at", title=title)
    table.add_column("mean ± standard deviation", justify="right")
    table.add_column("remark")
    rules = convention_of(convention).rules
    for name in (name for name in frame.columns if name in METRICS):
        values = frame[name].dropna()
        lost = len(frame) - len(values)
        spread = f" ± {values.std():.4f}" if len(values) > 1 else ""
        reason = f": {METRICS[name].undefined}" if METRICS[name].undefined else ""
        remark = f"{lost} of {len(frame)} undefined, left out{reason}" if lost else ""
        if name not in rules:
            remark = "not in this convention"
        heading = f"{name} {METRICS[name].arrow}"
        table.add_row(heading, METRICS[name].group, "" if values.empty else f"{values.mean():.4f}{spread}", remark)
    return table


def which(row: Annotated[list[str], tyro.conf.Positional, without_default("ID=VALUE ...|FILE.csv")], /) -> None:
    """Say which conventions can have printed a row of a published table, by scale and by what holds within one.

    Args:
        row: Means over a data set, such as SF=0.0364 SD=8.60, or a CSV file with a column for each metric.
    """
    if len(row) == 1 and "=" not in row[0] and row[0].lower().endswith(".csv"):
        table = Table("row", "conventions that can have printed it")
        for label, values in read_rows(Path(row[0])):
            reasons = exclude_conventions(values)
            table.add_row(escape(label), ", ".join(name for name in reasons if not reasons[name]) or "none")
        table.caption = "the reasons, for one row: which ID=VALUE ..."
    else:
        table = Table("convention", "can have printed it")
        for convention, why_not in exclude_conventions(parse_row(row)).items():
            table.add_row(convention, f"no: {'; '.join(why_not)}" if why_not else "yes")
    Console().print(table)


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0, 2 for input that cannot be used, 130 when interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["which"]:
            parse(which, prog="python -m metrics which", args=arguments[1:])()
        else:
            parse(score, prog="python -m metrics", args=arguments)()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(plain(f"error: {error.filename} cannot be used ({error.strerror}); check its path"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
