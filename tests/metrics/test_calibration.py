"""Every number that the original programs gave, within the tolerance stated beside them in the golden README."""

import csv
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import metrics
from metrics.images import ImageArray, cv2, grey, index, read

# golden/metrics/README.md: relative, but for Q_abf of tang2022 under Octave, whose convolution rounds otherwise.
RELATIVE = {"tang2022": 1e-8, "tang2023": 1e-8, "cddfuse": 1e-5, "vifb": 1e-6}
OCTAVE_QABF = 2e-3


@cache
def triple(folder: Path) -> list[ImageArray]:
    return [read(folder / f"{name}.png") for name in ("ir", "vis", "fused")]


@cache
def scores(folder: Path, convention: str) -> dict[str, float]:
    return metrics.evaluate(*triple(folder), convention=convention)


# A constant image has no variance, but E[x²] - E[x]² of this value's source leaves a rounding error of 1.7e-8 of the
# value. This is the sum without it: the variances of a constant image put to zero.
EXACT = {("edge_constfused", "tang2023", "SSIM"): 2.4640502665365830e-05}


@cache
def score(folder: Path, name: str, convention: str) -> float:
    rules = metrics.METRICS[name].rules
    twin = next(other for other, rule in rules.items() if rule is rules[convention])
    if twin != convention:  # conventions that share a rule have one value
        return score(folder, name, twin)
    images = triple(folder)
    if min(images[2].shape[:2]) < metrics.METRICS[name].smallest_side(convention):
        return math.nan
    return metrics.evaluate(*images, convention=convention, metrics=[name])[name]


@pytest.mark.shared
@pytest.mark.parametrize("convention", list(RELATIVE))
def test_golden_values(shared: Path, convention: str) -> None:
    root = shared / "golden" / "metrics"
    with (root / "values.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["convention"] == convention]
    assert {row["metric"] for row in rows} == set(metrics.CONVENTIONS[convention].rules) & set(metrics.PAPER)
    for row in rows:
        name, expected = row["metric"], float(row["value"])
        found = scores(root / row["triple"], convention)[name]
        relative, absolute = RELATIVE[convention], 0.0
        if convention == "tang2022" and name == "Q_abf" and not row["triple"].startswith("matlab_"):
            relative, absolute = 0.0, OCTAVE_QABF
        assert math.isnan(found) == math.isnan(expected), row
        if not math.isnan(expected):
            assert abs(found - expected) <= max(relative * abs(expected), absolute), (row, found)


@cache
def further_values(root: Path) -> list[dict[str, str]]:
    rows = []
    for file_name in ("values_more.csv", "values_more_liu.csv"):
        with (root / file_name).open() as file:
            rows += list(csv.DictReader(file))
    return rows


@pytest.mark.shared
@pytest.mark.parametrize(
    ("convention", "name"),
    [
        pytest.param(convention, name, marks=[pytest.mark.slow] if name in ("FMI_dct", "FMI_w") else [])
        for convention, record in metrics.CONVENTIONS.items()
        for name in record.rules
        if name not in metrics.PAPER
    ],
)
def test_golden_values_of_further_metrics(shared: Path, convention: str, name: str) -> None:
    """Each value within the tolerance that stands beside it; infinite where the program needs a larger image."""
    root = shared / "golden" / "metrics"
    rows = [row for row in further_values(root) if (row["convention"], row["metric"]) == (convention, name)]
    assert rows
    for row in rows:
        value = score(root / row["triple"], name, convention)
        expected = EXACT.get((row["triple"], convention, name), float(row["value"]))
        if not math.isfinite(expected):
            assert math.isnan(value), (row, value)
            continue
        # values_more_liu.csv has no absolute tolerances; its README: of edge_constfused, what is below 1e-9 is noise.
        noise = 1e-9 if row["triple"] == "edge_constfused" and abs(expected) < 1e-9 else 0.0
        tolerance = max(float(row["rel_tol"]) * abs(expected), float(row.get("abs_tol", noise)))
        assert abs(value - expected) <= tolerance, (row, value)


@pytest.mark.shared
def test_q_c_with_the_sources_exchanged(shared: Path) -> None:
    """Q_c depends on the order of its sources: values_more_liu.csv has it with infrared first, too."""
    root = shared / "golden" / "metrics"
    rows = [row for row in further_values(root) if row["metric"] == "Q_c_irfirst" and row["convention"] == "mefb"]
    assert len(rows) == 12
    for row in rows:
        infrared, visible, fused = (grey(image) for image in triple(root / row["triple"]))
        value, expected = metrics.METRICS["Q_c"].compute("mefb", visible, infrared, fused), float(row["value"])
        assert value == pytest.approx(expected, rel=float(row["rel_tol"]), nan_ok=True), row


@pytest.mark.shared
def test_the_published_values_of_vifb(shared: Path) -> None:
    """VIFB's own table: its 13 metrics of its colour images fused by ADF, in the five digits that it prints."""
    folder = shared / "cases" / "vifb_names"
    rows = list(csv.DictReader((shared / "golden" / "metrics" / "vifb_published.csv").read_text().splitlines()))
    assert len(rows) == 39
    for name in sorted({row["image"] for row in rows}):
        files = [folder / "ir" / f"{name}.jpg", folder / "vi" / f"{name}.jpg", folder / "fused_ADF" / f"{name}_ADF.jpg"]
        values = metrics.evaluate_files(*files, convention="vifb", metrics="all")
        published = {row["metric"]: float(row["value"]) for row in rows if row["image"] == name}
        assert published.keys() == values.keys()
        for metric, value in published.items():
            assert float(f"{values[metric]:.5g}") == value, (name, metric)


@pytest.mark.shared
def test_the_average_lies_where_the_paper_has_it(shared: Path) -> None:
    """Table 1 of MoE-Fusion (ICCV 2023), M3FD, DenseFuse, whose output is nearly the average of its sources.

    12 of the images are here: each value is within 15 % at 640x480, and SF is not at the images' own size.
    """
    published = {
        "EN": 6.41,
        "SF": 0.0364,
        "SD": 8.60,
        "MI": 2.95,
        "VIF": 0.657,
        "AG": 3.07,
        "SCD": 1.51,
        "Q_abf": 0.384,
    }
    infrared, visible = (index(shared / "data" / "M3FD" / band) for band in ("Ir", "Vis"))
    rows, frequencies = [], []
    for name in infrared:
        pair = [grey(read(files[name])) for files in (infrared, visible)]
        frequencies.append(metrics.spatial_frequency(average(*pair), divisor=255))
        pair = [cv2.resize(image, (640, 480)) for image in pair]
        rows.append(list(metrics.evaluate(*pair, average(*pair)).values()))
    assert np.mean(rows, axis=0) == pytest.approx(list(published.values()), rel=0.15)
    assert np.mean(frequencies) != pytest.approx(published["SF"], rel=0.15)


def average(infrared: ImageArray, visible: ImageArray) -> ImageArray:
    return np.floor((infrared.astype(float) + visible) / 2 + 0.5).astype(np.uint8)
