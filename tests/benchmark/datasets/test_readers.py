"""Every layout, whole."""

from pathlib import Path

import pytest
from PIL import Image

from benchmark import datasets
from benchmark.datasets import Box
from benchmark.datasets.splits import SPLITS
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
    assert datasets.names()[:4] == ("m3fd", "flir", "llvip", "msrs")
    assert {"tno", "roadscene", "m3fd_fusion", "folders", "synthetic"} <= set(datasets.names())
    assert datasets.titles()["flir"] == "FLIR"
    published = {name: sum(datasets.record(name).published.values()) for name in datasets.names()}
    # pairs as their authors count them: M3FD 4,200, aligned FLIR 5,142, LLVIP 15,488, MSRS 1,444
    assert [published[name] for name in ("m3fd", "flir", "llvip", "msrs")] == [4200, 5142, 15488, 1444]
    with pytest.raises(InputError, match="unknown data set 'coco'; known: m3fd, flir, llvip, msrs, .*file.py:function"):
        datasets.load("coco", ".")


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        (
            "m3fd",
            {"labels": "fusion"},
            "unknown option of the data set m3fd 'labels'; known: split, train_list",
        ),
        ("llvip", {"train_list": "x"}, "unknown option of the data set llvip 'train_list'; known: unlabelled"),
        ("msrs", {"labels": "both"}, "unknown kind of MSRS labels 'both'; known: fusion, infrared, visible"),
        ("tno", {"unmatched": "keep"}, "unknown way to treat unmatched images 'keep'; known: error, skip"),
        ("folders", {"infrared": "ir"}, "the options infrared and visible go together"),
    ],
)
def test_unknown_options(name: str, option: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        datasets.load(name, tmp_path, **option)


def test_both_bands_in_one_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        image(tmp_path / "flat" / f"IR_{name}_g.png")
        image(tmp_path / "flat" / f"VIS_{name}_r.png", level=91)
    dataset = datasets.load("folders", tmp_path, infrared="flat", visible="flat")
    assert names(dataset.test) == ["a", "b"]
    assert (dataset.test[0].infrared.name, dataset.test[0].visible.name) == ("IR_a_g.png", "VIS_a_r.png")
    assert dataset.notes == ("names matched as infrared IR_{}_g, visible VIS_{}_r",)
    assert datasets.load("folders", tmp_path / "flat").test == dataset.test


@pytest.mark.parametrize("patterns", [["IR{}.png", "VIS{}.png"], "IR{}.png VIS{}.png", []])
def test_patterns_of_names(patterns: list[str] | str, tmp_path: Path) -> None:
    for name in ("1", "2"):
        image(tmp_path / "ir" / f"IR{name}.png")
        image(tmp_path / "vis" / f"VIS{name}.png")
    dataset = datasets.load("folders", tmp_path, names=patterns)
    assert names(dataset.test) == ["1", "2"]
    assert "infrared IR{}" in dataset.notes[0]
    with pytest.raises(InputError, match="holds no image whose name fits X{}"):
        datasets.load("folders", tmp_path, names=["X{}", "VIS{}"])


def test_one_file_is_not_a_pair(two_folders: Path) -> None:
    (two_folders / "vi" / "01.bmp").unlink()
    (two_folders / "vi" / "01.png").hardlink_to(two_folders / "ir" / "01.png")
    found = datasets.scan("tno", two_folders)
    assert [problem.kind for problem in found.findings] == ["same file"]
    assert "ir/01.png is both the infrared and the visible image of 01" in found.problems[0]


def test_flir_counts_pixels_from_0(flir: Path) -> None:
    """As its official annotations do over 640x512 images: xmin from 0 on, xmax up to 639."""
    path = flir / "align" / "Annotations" / "FLIR_08864_PreviewData.xml"
    xml(path, item("car", (0, 0, 39, 29)), item("person", (21, 3, 30, 9)))
    dataset = datasets.load("flir", flir)
    assert dataset.test[0].boxes == (Box(0, 0, 40, 30, "car"), Box(21, 3, 31, 10, "person"))
    assert dataset.notes == ()


def test_m3fd_and_llvip_count_pixels_from_1(m3fd: Path, llvip: Path) -> None:
    xml(m3fd / "Annotation" / "00002.xml", item("Car", (1, 1, 40, 30)))
    xml(llvip / "Annotations" / "190001.xml", item("person", (1, 1, 40, 30)))
    assert datasets.load("m3fd", m3fd).test[0].boxes == (Box(0, 0, 40, 30, "Car"),)
    assert datasets.load("llvip", llvip).test[0].boxes == (Box(0, 0, 40, 30, "person"),)


def test_tardals_class_order_and_the_other(tardal: Path) -> None:
    text(tardal / "labels" / "00001.txt", "3 0.5 0.5 0.25 0.2", "4.0 0.5 0.5 0.25 0.2", "1.0e+00 0.5 0.5 0.25 0.2")
    assert datasets.load("m3fd", tardal).test[0].labels == ("Lamp", "Motorcycle", "Car")
    other = datasets.load("m3fd", tardal, class_order="damsdet")
    assert other.test[0].labels == ("Motorcycle", "Lamp", "Car")
    assert other.notes == (
        "class numbers read as 0 People, 1 Car, 2 Bus, 3 Motorcycle, 4 Lamp, 5 Truck (option class_order damsdet)",
    )
    with pytest.raises(InputError, match="unknown order of M3FD's classes 'x'; known: tardal, damsdet"):
        datasets.load("m3fd", tardal, class_order="x")
    text(tardal / "labels" / "00001.txt", "1.5 0.5 0.5 0.25 0.2")
    with pytest.raises(InputError, match="expected a class number and four numbers"):
        datasets.load("m3fd", tardal)


@pytest.mark.parametrize(
    "lines",
    [
        ["0: People", "1: Car", "2: Bus", "3: Lamp", "4: Motorcycle", "5: Truck"],
        ["0:People", "1:Car", "2:Bus", "3:Lamp", "4:Motorcycle", "5:Truck"],
        ["people", "car", "bus", "light", "moto", "trunk"],  # as DCEvo's labels have them
        ["0. person", "1. car", "2. bus", "3. lamp", "4. motorbike", "5. truck"],
    ],
)
def test_classes_txt_as_people_write_it(lines: list[str], tardal: Path) -> None:
    text(tardal / "labels" / "classes.txt", *lines)
    text(tardal / "labels" / "00001.txt", "3 0.5 0.5 0.25 0.2")
    assert datasets.load("m3fd", tardal).test[0].labels == ("Lamp",)


def test_annotations_in_upper_case(m3fd: Path, flir: Path, msrs: Path) -> None:
    for root, name, file in (
        ("m3fd", m3fd, "Annotation/00002.xml"),
        ("flir", flir, "align/Annotations/FLIR_08864_PreviewData.xml"),
        ("msrs", msrs, "labels/fusion/test/00004N.txt"),
    ):
        path = name / file
        path.rename(path.with_suffix(path.suffix.upper()))
        assert datasets.load(root, name).test[0].boxes


def test_a_part_without_any_annotation_is_an_error(flir: Path) -> None:
    """In FLIR an image without a file is one without objects; a part without any has lost its ground truth."""
    annotations = flir / "align" / "Annotations"
    (annotations / "FLIR_08864_PreviewData.xml").unlink()
    (problem,) = datasets.scan("flir", flir).findings
    assert problem.kind == "missing annotation"
    assert "none of the images (1) has an annotation file in" in problem.text
    for path in annotations.iterdir():
        path.unlink()
    assert [found.kind for found in datasets.scan("flir", flir).findings] == ["missing annotation"] * 2


def test_an_annotation_that_is_almost_named_so_is_an_error(flir: Path) -> None:
    path = flir / "align" / "Annotations" / "FLIR_00003_PreviewData.xml"
    path.rename(path.with_stem("FLIR_00003_PreviewData (1)"))
    (problem,) = datasets.scan("flir", flir).findings
    assert "FLIR_00003_PreviewData (1).xml is there, which names another image" in problem.text


@pytest.mark.parametrize("encoding", ["gb2312", "gbk", "big5", "shift_jis"])
def test_declared_encodings(encoding: str, m3fd: Path) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?>\n<annotation><folder>\u4e2d</folder>{item()}</annotation>'
    path = m3fd / "Annotation" / "00002.xml"
    path.write_bytes(body.encode(encoding))
    assert datasets.load("m3fd", m3fd).test[0].labels == ("Car",)
    path.write_bytes(body.encode("utf-8").replace(b"\xe4", b"\xff"))
    with pytest.raises(InputError, match=f"declares the encoding {encoding}, but its byte .* is not. Save it as UTF-8"):
        datasets.load("m3fd", m3fd)


def test_llvip_as_detection_repositories_lay_it_out(tmp_path: Path) -> None:
    for part, name in (("train", "010001"), ("val", "190001")):
        for band in ("infrared", "visible"):
            image(tmp_path / band / part / f"{name}.jpg")
        text(tmp_path / "labels" / part / f"{name}.txt", "0 0.5 0.5 0.25 0.2")
    dataset = datasets.load("llvip", tmp_path)
    assert (names(dataset.train), names(dataset.test)) == (["010001"], ["190001"])
    assert dataset.test[0].boxes == (Box(15, 12, 25, 18, "person"),)
    assert dataset.split == "the folders train and val"
    assert "no folder infrared/test: infrared/val is the test part" in dataset.notes


def test_an_image_without_a_label_file_may_be_background(msrs: Path, tardal: Path) -> None:
    (msrs / "labels" / "fusion" / "train" / "00001D.txt").unlink()
    with pytest.raises(InputError, match="has no annotation file"):
        datasets.load("msrs", msrs)
    dataset = datasets.load("msrs", msrs, unlabelled="background")
    assert [pair.labels for pair in dataset.train] == [(), ("car", "person")]
    assert dataset.notes == ("images without an annotation file, taken as images without objects: 1",)
    with pytest.raises(InputError, match="unknown way to treat images without a label file 'x'; known: error"):
        datasets.load("msrs", msrs, unlabelled="x")
    (tardal / "labels" / "00001.txt").unlink()
    with pytest.raises(InputError, match="none of the images"):  # a whole part of background is a failed match
        datasets.load("m3fd", tardal, unlabelled="background")


def test_msrs_authors_own_boxes(msrs: Path) -> None:
    for band in ("ir", "vi"):
        image(msrs / "detection" / band / "00055D.png")
    text(msrs / "detection" / "labels" / "00055D.txt", "2 0.5 0.5 0.25 0.2", "0 0.5 0.5 0.1 0.1")
    dataset = datasets.load("msrs", msrs, labels="authors")
    assert (dataset.train, names(dataset.test)) == ((), ["00055D"])
    assert dataset.test[0].labels == ("car", "person")
    text(msrs / "detection" / "labels" / "00055D.txt", "1 0.5 0.5 0.25 0.2")
    with pytest.raises(InputError, match="is 1 the car there"):
        datasets.load("msrs", msrs, labels="authors")


def test_flir_lists_of_visible_names(flir: Path) -> None:
    text(flir / "align" / "align_validation.txt", "JPEGImages/FLIR_08864_RGB.jpg")
    assert names(datasets.load("flir", flir).test) == ["FLIR_08864"]


def test_turned_images_are_measured_turned_and_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for band, size in (("ir", (40, 30)), ("vi", (30, 40))):
        image(tmp_path / band / "a.png", size=size)
    Image.new("L", (30, 40), 90).save(tmp_path / "vi" / "a.png", exif=exif)
    dataset = datasets.load("folders", tmp_path)
    assert dataset.notes == ("images turned or mirrored, as their EXIF orientation says: 1",)


def test_boxes_of_an_image_before_it_was_turned_are_refused(m3fd: Path) -> None:
    xml(m3fd / "Annotation" / "00002.xml", item(), size=(30, 40))
    with pytest.raises(InputError, match="states 30x40 but its image is 40x30: the boxes are of the image before"):
        datasets.load("m3fd", m3fd)


def test_published_splits() -> None:
    for split in SPLITS:
        lists = [path.read_text().split() for path in (split.lists.train, split.lists.test) if path]
        assert [len(names) for names in lists] == [split.train, split.test]
        assert len({name for names in lists for name in names}) == split.train + split.test  # no scene on both sides


def test_a_published_split_by_name(tmp_path: Path) -> None:
    chosen = [path.read_text().split()[0] for path in (SPLITS[0].lists.train, SPLITS[0].lists.test) if path]
    for name in chosen:
        image(tmp_path / "Ir" / f"{name}.png")
        image(tmp_path / "Vis" / f"{name}.png")
        xml(tmp_path / "Annotation" / f"{name}.xml")
    found = datasets.scan("m3fd", tmp_path, split="damsdet")
    assert (names(found.dataset.train), names(found.dataset.test)) == ([chosen[0]], [chosen[1]])
    assert found.dataset.split.startswith("published split damsdet of DAMSDet (github.com/gjj45/DAMSDet): train from")
    assert len(found.problems) == 3368 + 831 - 2
    assert "has neither an infrared nor a visible image" in found.problems[0]
    with pytest.raises(InputError, match="unknown split of m3fd 'x'; known: damsdet, bdlfusion, voc2coco"):
        datasets.load("m3fd", tmp_path, split="x")
    with pytest.raises(InputError, match="split damsdet and lists were given"):
        datasets.load("m3fd", tmp_path, split="damsdet", test_list="x")


CASES = {  # of ../shared/cases: the data set, and the labels of the test part
    "upper_xml": ("m3fd", ("Car",)),
    "gb2312_declared": ("m3fd", ("Car",)),
    "list_path_posix": ("m3fd", ("Car",)),
    "yolo_float_class": ("m3fd", ("Car",)),
    "yolo_classes_dcevo": ("m3fd", ("Lamp",)),
    "m3fd_tardal_labels": ("m3fd", ("Car",) * 4 + ("Motorcycle", "People")),
    "llvip_yolo_val": ("llvip", ("person", "person")),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES)
def test_folders_as_people_have_them(name: str, shared: Path) -> None:
    dataset_name, labels = CASES[name]
    dataset = datasets.load(dataset_name, shared / "cases" / name)
    assert tuple(label for pair in dataset.test for label in pair.labels) == labels
    if name == "m3fd_tardal_labels":  # 00118 has four lamps, by the published annotations
        assert next(pair.labels for pair in dataset.train if pair.name == "00118").count("Lamp") == 4


@pytest.mark.shared
def test_flir_s_boxes_are_counted_from_0(shared: Path) -> None:
    test = datasets.load("flir", shared / "data" / "FLIR_aligned").test
    boxes = next(pair.boxes for pair in test if pair.name == "FLIR_08864")
    assert boxes[0].x0 == 212  # xmin 212 in its annotation is the pixel 212


def test_files_that_nothing_reads_are_told(two_folders: Path, tardal: Path) -> None:
    """Pairs in a format that is not read would be missed in silence, as would class names in a YAML file."""
    for band in ("ir", "vi"):
        text(two_folders / band / "02.webp")
    notes = datasets.load("tno", two_folders).notes
    assert len(notes) == 2
    assert notes[0].startswith(f"{two_folders / 'ir'}: 1 file passed over, such as 02.webp; expected .png, .jpg")
    text(tardal / "data.yaml", "names: [People]")
    found = datasets.load("m3fd", tardal).notes
    assert "data.yaml is not read; write its classes into labels/classes.txt, one a line" in found
