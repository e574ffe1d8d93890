"""Small folders in the layouts of the data sets."""

from pathlib import Path

import pytest

from tests.benchmark.datasets.trees import image, item, text, xml


@pytest.fixture
def m3fd(tmp_path: Path) -> Path:
    """Three pairs in MoE-Fusion's layout, two of them for training."""
    root = tmp_path / "M3FD"
    for name in ("00000", "00001", "00002"):
        image(root / "Ir" / f"{name}.png", mode="RGB")
        image(root / "Vis" / f"{name}.png", mode="RGB")
        xml(root / "Annotation" / f"{name}.xml", item("Car"), item("People", (1, 1, 40, 30), difficult=1))
    text(root / "train.txt", "00001", "00000")
    text(root / "test.txt", "00002")
    return root


@pytest.fixture
def tardal(tmp_path: Path) -> Path:
    """Two pairs in TarDAL's layout, one for training."""
    root = tmp_path / "M3FD"
    for name in ("00000", "00001"):
        image(root / "ir" / f"{name}.png")
        image(root / "vi" / f"{name}.png", mode="RGB")
        text(root / "labels" / f"{name}.txt", "1 0.5 0.5 0.25 0.2")
    text(root / "meta" / "train.txt", "00000.png")
    text(root / "meta" / "val.txt", "00001.png")
    return root


@pytest.fixture
def flir(tmp_path: Path) -> Path:
    """Three pairs in the layout of FLIR's aligned version, two of them for training."""
    root = tmp_path / "FLIR_aligned"
    for name in ("FLIR_00002", "FLIR_00003", "FLIR_08864"):
        image(root / "align" / "JPEGImages" / f"{name}_PreviewData.jpeg")
        image(root / "align" / "JPEGImages" / f"{name}_RGB.jpg", mode="RGB")
        xml(root / "align" / "Annotations" / f"{name}_PreviewData.xml", item("car"), item("bike"))
    text(root / "align" / "align_train.txt", "FLIR_00002_PreviewData", "FLIR_00003_PreviewData")
    text(root / "align" / "align_validation.txt", "FLIR_08864")
    return root


@pytest.fixture
def llvip(tmp_path: Path) -> Path:
    """Two pairs in LLVIP's layout, one for training."""
    root = tmp_path / "LLVIP"
    for part, name in (("train", "010001"), ("test", "190001")):
        image(root / "infrared" / part / f"{name}.jpg", mode="RGB")
        image(root / "visible" / part / f"{name}.jpg", mode="RGB")
        xml(root / "Annotations" / f"{name}.xml", item("person"))
    return root


@pytest.fixture
def msrs(tmp_path: Path) -> Path:
    """Three pairs in MSRS's layout, two of them for training, with two kinds of labels."""
    root = tmp_path / "MSRS"
    for part, name in (("train", "00001D"), ("train", "00003N"), ("test", "00004N")):
        image(root / part / "ir" / f"{name}.png")
        image(root / part / "vi" / f"{name}.png", mode="RGB")
        text(root / "labels" / "fusion" / part / f"{name}.txt", "2 0.5 0.5 0.25 0.2", "0 0.5 0.5 0.1 0.1")
        text(root / "labels" / "visible" / part / f"{name}.txt")
    text(root / "labels" / "classes.txt", "0 person", "1 bicycle", "2 car")
    return root


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    """Two pairs in two folders."""
    root = tmp_path / "TNO"
    for name in ("01", "03"):
        image(root / "ir" / f"{name}.png", mode="RGB")
        image(root / "vi" / f"{name}.bmp")
    return root
