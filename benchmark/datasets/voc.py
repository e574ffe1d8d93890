"""Pascal VOC annotation files."""

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from benchmark.datasets.base import Box
from benchmark.datasets.boxes import fitted
from benchmark.datasets.findings import Findings, short

_ENCODING = re.compile(rb"""(<\?xml[^>]{0,99}?)\s+encoding\s*=\s*["']([\w.-]{1,40})["']([^>]{0,99}\?>)""")
_MULTIBYTE = (
    "gb2312",
    "gbk",
    "gb18030",
    "hz",
    "big5",
    "big5hkscs",
    "cp950",
    "shift_jis",
    "cp932",
    "euc_jp",
    "euc_kr",
    "cp949",
)
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def boxes(
    data: bytes,
    path: Path,
    size: tuple[int, int],
    findings: Findings,
    *,
    classes: Mapping[str, str | None],
    first_pixel: int = 1,
) -> tuple[Box, ...]:
    """Return the boxes of an annotation file; VOC counts pixels from 1 and includes the last one.

    Args:
        data: The file's content; entities are refused, so that no file can swell in memory or read another.
        path: The file, for the findings.
        size: (width, height) of its image.
        findings: Takes what cannot be used.
        classes: Every name that may occur, and the class that it means; None leaves the box out with a count.
        first_pixel: The number of the first pixel: 1, or 0 in data sets that depart from VOC.

    Reference: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010.
    """
    try:
        root = fromstring(_unicode(data))
    except UnicodeDecodeError as error:
        findings.problem(
            "annotation",
            f"{path} declares the encoding {error.encoding}, but its byte {error.start} is not. Save it as UTF-8.",
        )
        return ()
    except (ParseError, ValueError, LookupError) as error:
        reason = short(" ".join(str(error).split()))
        declared = _ENCODING.match(data)
        advice = f"It declares the encoding {short(declared[2].decode())}; save it as UTF-8, or f" if declared else "F"
        findings.problem("annotation", f"{path} cannot be read as XML ({reason}). {advice}etch it again.")
        return ()
    if root.tag != "annotation":
        findings.problem("annotation", f"{path} begins with <{short(root.tag)}>; expected <annotation> (Pascal VOC).")
        return ()
    stated = _stated_size(root)
    if stated == size[::-1] != size:
        findings.problem(
            "annotation",
            f"{path} states {stated[0]}x{stated[1]} but its image is {size[0]}x{size[1]}: the boxes are of the image "
            "before it was turned. Annotate the turned image.",
        )
        return ()
    if stated not in (None, size):
        findings.count("annotation files that state another size than their image has")
    read = (
        _box(item, f"{path}, object {number}", size, findings, classes, first_pixel)
        for number, item in enumerate(root.findall("object"), 1)
    )
    return tuple(box for box in read if box)


def frame(data: bytes, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return which of a pair's two sizes an annotation file states; the infrared image's, the first, if neither."""
    try:
        stated = _stated_size(fromstring(_unicode(data)))
    except (ParseError, ValueError, LookupError):
        stated = None  # `boxes` says what is wrong
    return stated if stated in sizes and stated is not None else sizes[0]


def _unicode(data: bytes) -> bytes | str:
    """Return XML as text where it declares an encoding that Python knows and the XML parser may not, such as gb2312."""
    declared = _ENCODING.match(data)
    if declared is None:
        return data
    name = declared[2].decode()
    if codecs.lookup(name).name not in _MULTIBYTE:
        return data
    return (declared[1] + declared[3]).decode() + data[declared.end() :].decode(name)


def _stated_size(root: Element) -> tuple[int, int] | None:
    try:
        width, height = int(root.findtext("size/width", "0")), int(root.findtext("size/height", "0"))
    except ValueError:
        return None
    return (width, height) if width and height else None


def _box(
    item: Element,
    where: str,
    size: tuple[int, int],
    findings: Findings,
    classes: Mapping[str, str | None],
    first_pixel: int,
) -> Box | None:
    name = (item.findtext("name") or "").strip()
    label = _class(name, where, findings, classes)
    if label is None:
        return None
    difficult = (item.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        findings.problem("annotation", f"{where}: <difficult> is {difficult[:80]!r}; expected 0 or 1.")
        return None
    texts = [item.findtext(f"bndbox/{edge}") for edge in _EDGES]
    missing = [edge for edge, text in zip(_EDGES, texts, strict=True) if text is None]
    if missing:
        findings.problem("annotation", f"{where}: {name} box has no {', '.join(missing)} in <bndbox>.")
        return None
    try:
        xmin, ymin, xmax, ymax = (float(text or "") for text in texts)
    except ValueError:
        findings.problem(
            "annotation", f"{where}: {name} box has edges {[str(text)[:40] for text in texts]}; expected four numbers."
        )
        return None
    if xmax < xmin or ymax < ymin:
        found = f"xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, ymax {ymax:g}"
        findings.problem("annotation", f"{where}: {name} box is inverted ({found}).")
        return None
    edges = (xmin - first_pixel, ymin - first_pixel, xmax - first_pixel + 1, ymax - first_pixel + 1)
    return fitted(edges, label, difficult == "1", size, where, findings)


def _class(name: str, where: str, findings: Findings, classes: Mapping[str, str | None]) -> str | None:
    if name in classes:
        label = classes[name]
        if label is None:
            findings.count(f"boxes of the class {name}, which is not evaluated, left out")
        return label
    meant = next((known for known in classes if known.casefold() == name.casefold()), None)
    if meant:
        findings.problem("misnamed class", f"{where}: class {name!r} is misnamed; expected {meant!r}.")
    else:
        findings.problem("unknown class", f"{where}: unknown class {name[:80]!r}; known: {', '.join(classes)}.")
    return None
