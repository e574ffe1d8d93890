"""Any two folders of images that match by name: M3FD_Fusion, RoadScene, TNO and users' own."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Source, listing, pairs
from benchmark.datasets.record import Record
from metrics import images
from metrics.errors import InputError, unknown
from metrics.names import match_folders

COMMON = (
    ("ir", "vi"),
    ("Ir", "Vis"),
    ("infrared", "visible"),
    ("cropinfrared", "crop_LR_visible"),
    ("ir", "vis"),
    ("IR", "VIS"),
    ("thermal", "visible"),
)
UNMATCHED = ("error", "skip")


def read(
    root: Path,
    findings: Findings,
    *,
    infrared: str | None = None,
    visible: str | None = None,
    names: Sequence[str] = (),
    unmatched: str = "error",
) -> Parts:
    """Return the pairs of two folders, all of them in the test part.

    Files are pairs by equal names, or by one pattern of names for each folder (`metrics.names.match_folders`). Both
    bands may lie in one folder, which may be the root itself, where their names tell them apart.

    Args:
        root: The folder that holds both.
        findings: Takes problems and notes.
        infrared: Name of the infrared images' folder; the common names are tried when it is not given.
        visible: The same for the visible ones.
        names: Patterns of infrared and visible names, such as `IR{}.png` and `VIS{}.png`, or both in one text.
        unmatched: `error`: an image without partner is a problem; `skip`: it is left out with a count.

    Raises:
        InputError: The folders are not there, or their files are no pairs.
    """
    if unmatched not in UNMATCHED:
        raise unknown("way to treat unmatched images", unmatched, UNMATCHED)
    if (infrared is None) != (visible is None):
        raise InputError("the options infrared and visible go together: the names of the two folders; got one.")
    tried = COMMON if infrared is None or visible is None else ((infrared, visible),)
    there = next((names for names in tried if all((root / name).is_dir() for name in names)), None)
    if there is None and infrared is None and any(path.suffix.lower() in images.SUFFIXES for path in root.iterdir()):
        there = (".", ".")
    if there is None:
        expected = " or ".join(f"{first} and {second}" for first, second in tried)
        raise InputError(
            f"{root} does not hold the folders {expected}; found: {listing(root)}. Name them by the options "
            "infrared and visible."
        )
    patterns = names.split() if isinstance(names, str) else names
    match = match_folders({"infrared": root / there[0], "visible": root / there[1]}, patterns)
    if match.remark:
        findings.note(match.remark)
    source = Source(match.files["infrared"], match.files["visible"])
    listed = source.names
    if unmatched == "skip":
        listed = sorted(source.infrared.keys() & source.visible.keys())
        findings.count("images without a partner, left out", len(source.names) - len(listed))
    layout = " and ".join(there) if there[0] != there[1] else f"both bands in {there[0]}"
    return Parts((), pairs(source, listed, findings), "all pairs are for the test", layout)


RECORD = Record(
    name="folders",
    title="folders",
    folder="folders",
    about="any two folders whose images match by name, or by a pattern of names",
    read=read,
    position=30,
)
