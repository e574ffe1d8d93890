"""Every layout, whole."""

from pathlib import Path

import pytest

from benchmark import datasets
from benchmark.datasets import Box
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError
from tests.benchmark.datasets.trees import image, item, text, xml


def names(pairs: tuple[datasets.Pair, ...]) -> list[str]:
    return [pair.name for pair in pairs]


def test_m3fd(m3fd: Path) -> None:
    dataset = datasets.load("m3fd", m3fd)
    assert (dataset.name, dataset.title) == ("m3fd", "M3FD")
    assert dataset.classes == ("People", "Car", "Bus", "Motorcycle", "Lamp", "Truck")
    assert names(dataset.train) == ["00001", "00000"]
    assert names(dataset.test) == ["00002"]
    assert dataset.split == "the folder's own lists: train from train.txt, test from test.txt"
    assert dataset.notes == ()
    pair = dataset.test[0]
    assert (pair.infrared, pair.visible) == (m3fd / "Ir" / "00002.png", m3fd / "Vis" / "00002.png")
    # 1-based and inclusive: pixels 5 to 20 are 16 wide, and 1 to 40 are the whole image
    assert pair.boxes == (Box(4, 5, 20, 25, "Car"), Box(0, 0, 40, 30, "People", difficult=True))


def test_m3fd_in_tardals_layout(tardal: Path) -> None:
    dataset = datasets.load("m3fd", tardal)
    assert (names(dataset.train), names(dataset.test)) == (["00000"], ["00001"])
    assert dataset.split == "the folder's own lists: train from train.txt, test from val.txt"
    assert dataset.test[0].boxes == (Box(15, 12, 25, 18, "Car"),)
    assert dataset.notes == (
        "no labels/classes.txt: class numbers read as 0 People, 1 Car, 2 Bus, 3 Lamp, 4 Motorcycle, 5 Truck "
        "(TarDAL's order; the option class_order damsdet takes 3 Motorcycle, 4 Lamp)",
    )


def test_classes_txt_gives_the_order(tardal: Path) -> None:
    text(tardal / "labels" / "classes.txt", "People", "Lamp", "Car", "Bus", "Motorcycle", "Truck")
    assert datasets.load("m3fd", tardal).test[0].labels == ("Lamp",)
    text(tardal / "labels" / "classes.txt", "People", "Lamp")
    with pytest.raises(InputError, match="classes People, Lamp; expected People, Car, Bus"):
        datasets.load("m3fd", tardal)


def test_lists_by_option_come_first(m3fd: Path, flir: Path, msrs: Path, tmp_path: Path) -> None:
    mine = text(tmp_path / "mine.txt", "00000.png", "", "00002")
    dataset = datasets.load("m3fd", m3fd, test_list=mine)
    assert (names(dataset.train), names(dataset.test)) == ([], ["00000", "00002"])
    assert dataset.split == "lists given by option: train from no list, test from mine.txt"
    assert dataset.notes == ("pairs in neither list, left out: 1",)

    mine = text(tmp_path / "mine.txt", "FLIR_00002")
    assert names(datasets.load("flir", flir, train_list=str(mine)).train) == ["FLIR_00002"]

    mine = text(tmp_path / "mine.txt", "00004N", "00001D")
    dataset = datasets.load("msrs", msrs, test_list=mine)
    assert names(dataset.test) == ["00004N", "00001D"]
    assert [pair.labels for pair in dataset.test] == [("car", "person")] * 2


def test_flir(flir: Path) -> None:
    annotations = flir / "align" / "Annotations"
    xml(annotations / "FLIR_00002_PreviewData.xml", item("dog"), item("bike"), item("person"), item("dog"))
    (annotations / "FLIR_00003_PreviewData.xml").unlink()
    dataset = datasets.load("flir", flir)
    assert dataset.classes == ("car", "person", "bicycle")
    assert names(dataset.train) == ["FLIR_00002", "FLIR_00003"]
    assert names(dataset.test) == ["FLIR_08864"]
    assert [pair.labels for pair in dataset.train] == [("bicycle", "person"), ()]
    assert dataset.train[0].infrared.name == "FLIR_00002_PreviewData.jpeg"
    assert dataset.train[0].visible.name == "FLIR_00002_RGB.jpg"
    assert dataset.notes == (
        "boxes of the class dog, which is not evaluated, left out: 2",
        "images without an annotation file, taken as images without objects: 1",
    )
    inside = datasets.load("flir", flir / "align")
    assert (inside.train, inside.test) == (dataset.train, dataset.test)


def test_llvip(llvip: Path) -> None:
    dataset = datasets.load("llvip", llvip)
    assert (names(dataset.train), names(dataset.test)) == (["010001"], ["190001"])
    assert dataset.test[0].labels == ("person",)
    (note,) = dataset.notes
    assert note.startswith("annotations sha256 ")
    xml(llvip / "Annotations" / "190001.xml", item("person", (5, 6, 21, 25)))
    assert datasets.load("llvip", llvip).notes != (note,)


def test_llvip_without_annotations_and_test(tmp_path: Path) -> None:
    for band in ("infrared", "visible"):
        image(tmp_path / band / "train" / "010001.jpg")
    dataset = datasets.load("llvip", tmp_path)
    assert (names(dataset.train), dataset.test) == (["010001"], ())
    assert dataset.notes == (
        "no folder Annotations: images without boxes",
        "no folder infrared/test: the test part is empty",
    )


def test_msrs(msrs: Path) -> None:
    dataset = datasets.load("msrs", msrs)
    assert (names(dataset.train), names(dataset.test)) == (["00001D", "00003N"], ["00004N"])
    assert dataset.split == "the folders: train and test"
    assert dataset.test[0].boxes == (Box(15, 12, 25, 18, "car"), Box(18, 13.5, 22, 16.5, "person"))
    assert dataset.notes == ()
    assert datasets.load("msrs", msrs, labels="visible").test[0].boxes == ()


def test_msrs_without_train_takes_dev_lists(msrs: Path) -> None:
    for band in ("ir", "vi"):
        (msrs / "train" / band / "00001D.png").rename(msrs / "test" / band / "00001D.png")
        (msrs / "train" / band / "00003N.png").unlink()
        (msrs / "train" / band).rmdir()
    text(msrs / "labels" / "fusion" / "test" / "00001D.txt")
    text(msrs / "dev_train.txt", "00001D")
    text(msrs / "dev_test.txt", "00004N")
    dataset = datasets.load("msrs", msrs)
    assert (names(dataset.train), names(dataset.test)) == (["00001D"], ["00004N"])
    assert dataset.split == "the folder's own lists: train from dev_train.txt, test from dev_test.txt"


def test_msrs_without_labels(msrs: Path) -> None:
    dataset = datasets.load("msrs", msrs, labels="infrared")
    assert dataset.test[0].boxes == ()
    assert dataset.notes[0] == "no folder labels/infrared/train: train images without boxes"


@pytest.mark.parametrize(
    ("infrared", "visible"),
    [("ir", "vi"), ("Ir", "Vis"), ("infrared", "visible"), ("cropinfrared", "crop_LR_visible")],
)
def test_folders_by_their_common_names(infrared: str, visible: str, tmp_path: Path) -> None:
    image(tmp_path / infrared / "a.png")
    image(tmp_path / visible / "a.jpg", mode="RGB")
    for folder in (infrared, visible):
        (tmp_path / folder / "Thumbs.db").write_bytes(b"\0")
    dataset = datasets.load("folders", tmp_path)
    assert (dataset.train, names(dataset.test), dataset.classes) == ((), ["a"], ())


def test_folders_by_option(tmp_path: Path) -> None:
    image(tmp_path / "lwir" / "a.png")
    image(tmp_path / "rgb" / "a.png")
    dataset = datasets.load("folders", tmp_path, infrared="lwir", visible="rgb")
    assert dataset.test[0].infrared == tmp_path / "lwir" / "a.png"
    with pytest.raises(InputError, match=r"does not hold the folders ir and vi or .*found: lwir/, rgb/"):
        datasets.load("folders", tmp_path)


def test_unmatched_images(two_folders: Path) -> None:
    image(two_folders / "ir" / "05.png")
    with pytest.raises(InputError, match=r"ir/05\.png has no visible partner in .*vi\.$"):
        datasets.load("tno", two_folders)
    dataset = datasets.load("tno", two_folders, unmatched="skip")
    assert names(dataset.test) == ["01", "03"]
    assert dataset.notes == ("images without a partner, left out: 1",)


@pytest.mark.parametrize("layout", list(synthetic.LAYOUTS))
def test_synthetic_in_every_layout(layout: str, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "made", layout=layout, train=2, test=1, size=(128, 96))
    dataset = datasets.load("synthetic", tmp_path / "made")
    assert (len(dataset.train), len(dataset.test)) == (2, 1)
    assert dataset.classes
    labels = {label for pair in (*dataset.train, *dataset.test) for label in pair.labels}
    assert labels <= set(dataset.classes)
    as_official = datasets.load(layout, tmp_path / "made")
    assert (as_official.train, as_official.test) == (dataset.train, dataset.test)


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"layout": "tno"}', '{"layout": ["m3fd"]}'])
def test_synthetic_needs_its_settings(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        text(tmp_path / "synthetic.json", content)
    with pytest.raises(InputError, match=r"no readable synthetic\.json|unknown layout in"):
        datasets.load("synthetic", tmp_path)


def test_registry() -> None:
    assert {"m3fd", "flir", "llvip", "msrs", "tno", "folders", "synthetic"} <= set(datasets.names())
    assert datasets.titles()["flir"] == "FLIR"
    published = {name: sum(datasets.record(name).published.values()) for name in datasets.names()}
    # pairs as their authors count them: M3FD 4,200, aligned FLIR 5,142, LLVIP 15,488, MSRS 1,444
    assert [published[name] for name in ("m3fd", "flir", "llvip", "msrs")] == [4200, 5142, 15488, 1444]
    with pytest.raises(InputError, match="unknown data set 'coco'; known: flir, folders, .*file.py:function"):
        datasets.load("coco", ".")


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("m3fd", {"labels": "fusion"}, "unknown option of the data set m3fd 'labels'; known: train_list, test_list"),
        ("llvip", {"train_list": "x"}, "unknown option of the data set llvip 'train_list'; known: unlabelled"),
        ("msrs", {"labels": "both"}, "unknown kind of MSRS labels 'both'; known: fusion, infrared, visible"),
        ("tno", {"unmatched": "keep"}, "unknown way to treat unmatched images 'keep'; known: error, skip"),
        ("folders", {"infrared": "ir"}, "the options infrared and visible go together"),
    ],
)
def test_unknown_options(name: str, option: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        datasets.load(name, tmp_path, **option)
