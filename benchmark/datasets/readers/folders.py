"""Any two folders of images that match by name: M3FD_Fusion, RoadScene, TNO and what people bring."""

from pathlib import Path

from benchmark.datasets.findings import Findings, Parts
from benchmark.datasets.pairing import Source, listing, pairs
from benchmark.datasets.record import Record
from metrics import images
from metrics.errors import InputError, unknown

COMMON = (("ir", "vi"), ("Ir", "Vis"), ("infrared", "visible"), ("cropinfrared", "crop_LR_visible"))
UNMATCHED = ("error", "skip")


def read(
    root: Path,
    findings: Findings,
    *,
    infrared: str | None = None,
    visible: str | None = None,
    unmatched: str = "error",
) -> Parts:
    """Return the pairs of two folders, all of them in the test part.

    Args:
        root: The folder that holds both.
        findings: Takes problems and notes.
        infrared: Name of the infrared images' folder; the common names are tried when it is not given.
        visible: The same for the visible ones.
        unmatched: `error`: an image without partner is a problem; `skip`: it is left out with a count.

    Raises:
        InputError: The folders are not there.
    """
    if unmatched not in UNMATCHED:
        raise unknown("way to treat unmatched images", unmatched, UNMATCHED)
    if (infrared is None) != (visible is None):
        raise InputError("the options infrared and visible go together: the names of the two folders; got one.")
    tried = COMMON if infrared is None or visible is None else ((infrared, visible),)
    there = next((names for names in tried if all((root / name).is_dir() for name in names)), None)
    if there is None:
        expected = " or ".join(f"{first} and {second}" for first, second in tried)
        raise InputError(
            f"{root} does not hold the folders {expected}; found: {listing(root)}. Name them by the options "
            "infrared and visible."
        )
    source = Source(images.index(root / there[0]), images.index(root / there[1]))
    names = source.names
    if unmatched == "skip":
        names = sorted(source.infrared.keys() & source.visible.keys())
        findings.count("images without a partner, left out", len(source.names) - len(names))
    return Parts((), pairs(source, names, findings), "all pairs are for the test", " and ".join(there))


RECORD = Record(
    name="folders",
    title="folders",
    folder="folders",
    about="any two folders whose images match by name",
    read=read,
)
