import base64
import hashlib
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import metrics
from benchmark import datasets, report
from benchmark.datasets.base import Box, Pair
from benchmark.engine import run_record as record
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings
from benchmark.engine.stage import bring_up_to_date
from benchmark.engine.stages.colour import Colour
from benchmark.report import cards, gallery, plots, provenance, sheets
from benchmark.tables import metric_table, ranking
from metrics import images
from metrics.errors import InputError
from tests.benchmark.report.conftest import METHODS

IDS = list(metrics.PAPER)
Make = Callable[[Path], record.Record]


@pytest.fixture(scope="module")
def made(make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    report.write(folder)
    return folder


def shown(folder: Path) -> tuple[sheets.SheetGroup, ...]:
    return sheets.show_tables(sheets.read_tables(folder, record.read(folder)))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text of each script and style, all other text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("script", "style") and self.cdata_elem:
            self.inline.append((tag, attributes, data))
        else:
            self.text += data

    @property
    def scenes(self) -> list[dict]:
        return [json.loads(text) for _, attributes, text in self.inline if attributes.get("class") == "scene"]


def test_page_allows_its_own_inline_texts_and_asks_no_network(made: Path) -> None:
    page = Page(made / report.FILE)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag, attributes, text in page.inline:
        if attributes.get("type") != "application/json":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
    for tag, attributes in page.tags:
        assert "style" not in attributes  # the policy would block it
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            allowed = ("#", "data:", "https://") if (tag, name) == ("a", "href") else ("#", "data:")
            assert (attributes.get(name) or "#").startswith(allowed)


def test_names_cannot_break_out(made: Path) -> None:
    page = Page(made / report.FILE)
    assert [tag for tag, _ in page.tags].count("script") == 4 + 1  # four scenes and the page's own
    assert all("src" not in a or (a["src"] or "").startswith("data:") for tag, a in page.tags if tag == "img")
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "\"><script>alert(2)</script>'" in page.text
    assert "ran out of <memory>" in page.text
    assert {scene["image"] for scene in page.scenes} == {"00001", "00002", "NA", "scene 'one' & \"two\""}


def test_same_folder_gives_the_same_bytes(run: Path) -> None:
    first = (run / report.FILE).read_bytes()
    assert report.write(run).read_bytes() == first


def test_scene_has_sources_methods_scores_and_places(made: Path) -> None:
    scene = Page(made / report.FILE).scenes[0]
    assert [image["label"] for image in scene["images"]] == [
        "Infrared",
        "Visible",
        "Average",
        "\"><script>alert(2)</script>'",
        "Broken",
    ]
    assert (scene["width"], scene["height"]) == (160, 120)
    assert len(scene["zooms"]) == 2
    image = Image.open(io.BytesIO(base64.b64decode(scene["images"][0]["data"])))
    assert (image.format, image.size) == ("WEBP", (160, 120))
    assert "is not there" in scene["images"][-1]["missing"]
    scores = pd.read_csv(made / "cells/M3FD/Average/score/scores.csv", dtype={"image": str}, keep_default_na=False)
    assert scene["images"][2]["scores"]["EN ↑"] == f"{scores['EN'][0]:.4f}"
    assert list(scene["images"][2]["scores"])[:3] == ["EN ↑", "SF ↑", "SD ↑"]
    assert scene["images"][0]["scores"]["SCD ↑"] == "–"


def test_table_repeats_the_csv(made: Path) -> None:
    first, third = shown(made)
    assert (first.key, third.key) == ("table1", "table3")
    frame = pd.read_csv(made / "table1.csv")
    marks = ranking.marks(frame, IDS, metric_table.DIGITS)
    lines = [line for sheet in first.sheets for line in sheet.lines]
    assert len(lines) == len(frame)
    for line, (index, expected) in zip(lines, frame.iterrows(), strict=True):
        assert list(line.numbers) == IDS
        for metric, number in line.numbers.items():
            assert number.value == expected[metric] or (number.value is None and math.isnan(expected[metric]))
            assert number.place == marks.loc[index, metric]
    broken = next(line for line in lines if line.label == "Broken")
    assert broken.reason == "ran out of <memory>"
    assert first.sheets[0].notes[broken.notes[0] - 1] == broken.reason
    assert {number.text for number in broken.numbers.values()} == {"–"}


def test_statistics_stand_beside_the_means(made: Path) -> None:
    sheet = shown(made)[0].sheets[0]
    statistics = pd.read_csv(made / "table1_statistics.csv").set_index(["dataset", "method", "metric"])
    for line in sheet.lines:
        for metric, number in line.numbers.items():
            if line.origin != "measured" or number.value is None:
                assert not number.interval
                continue
            known = statistics.loc[("M3FD", line.label, metric)]
            assert number.interval == f"{known['low']:.3f}–{known['high']:.3f}"
            assert number.spread == f"{known['standard_deviation']:.3f}"
            assert number.tied == (bool(known["not_worse"]) and number.place != 1)
    # Two methods on three images: no test can tell them apart, so whichever is behind is tied.
    assert any(number.tied for line in sheet.lines for number in line.numbers.values())


def test_table3_shows_interval_and_facts(made: Path) -> None:
    sheet = shown(made)[1].sheets[0]
    assert sheet.parts == {"": ["car", "person", "mAP", "AP"]}
    measured, paper, difference = sheet.lines
    assert [number.text for number in measured.numbers.values()] == ["61.50", "40.25", "50.88", "30.00"]
    assert measured.numbers["mAP"].interval == "48.1–53.2"
    assert [difference.numbers[name].text for name in ("car", "person")] == ["+1.50", "−0.75"]
    assert paper.numbers["AP"].text == "–"
    assert ("protocol", "paper") in sheet.facts


def test_equal_values_share_a_place() -> None:
    values = pd.DataFrame({"EN": [3.0, 5.0, 5.0, np.nan, 9.0, 1.0], "ranked": [True] * 4 + [False, True]})
    values = values.assign(dataset="M3FD", origin="measured")
    assert ranking.marks(values, ["EN"], 4)["EN"].tolist() == [3, 1, 1, 0, 0, 0]


def test_ranks_come_from_the_statistics(made: Path) -> None:
    sheet = sheets.show_ranks(sheets.read_tables(made, record.read(made)))[0]
    assert sheet.parts == {"": [*IDS, "all"]}
    assert [line.label for line in sheet.lines] == ["Average", "\"><script>alert(2)</script>'"]
    for name in (*IDS, "all"):  # two methods: their average ranks add up to three
        assert sum(line.numbers[name].value or 0 for line in sheet.lines) == pytest.approx(3)
    assert "Wilcoxon" in sheet.foot


def test_budget_is_kept_by_fewer_and_smaller_scenes(run: Path) -> None:
    whole = (run / report.FILE).stat().st_size
    page = len(re.sub(rb'<script type="application/json".*?</script>', b"", (run / report.FILE).read_bytes()))
    budget = page + (whole - page) // 2
    small = report.write(run, megabytes=budget / 1e6)
    assert small.stat().st_size <= budget
    assert 0 < len(Page(small).scenes) < 4
    assert "no more fit" in Page(small).text
    none = Page(report.write(run, megabytes=0.05))
    assert (len(none.scenes), "none fits the report’s size" in none.text) == (0, True)
    assert len(Page(report.write(run, scenes=1)).scenes) == 2  # one of each data set
    assert len(Page(report.write(run, scenes=0)).scenes) == 0
    scene = Page(report.write(run, width=64)).scenes[0]
    assert Image.open(io.BytesIO(base64.b64decode(scene["images"][0]["data"]))).size == (64, 48)
    assert (scene["width"], scene["height"]) == (160, 120)  # places stay in the originals' pixels


def test_images_that_moved_are_named_and_the_tables_stay(run: Path) -> None:
    moved = record.read(run)
    pairs = tuple(replace(pair, infrared=run / "gone.png") for pair in moved.parts[0].pairs)
    record.write(run, replace(moved, parts=(replace(moved.parts[0], pairs=pairs), moved.parts[1])))
    (run / "cells/M3FD/Average/fuse/00001.png").unlink()
    page = Page(report.write(run))
    infrared = page.scenes[0]["images"][0]
    assert "gone.png is not there" in infrared["missing"]
    assert not infrared["data"]
    assert page.scenes[0]["images"][1]["data"]
    assert page.scenes[0]["images"][2]["missing"].startswith("cells/M3FD/Average/fuse/00001.png is not there")
    assert "Table 1" in page.text


def test_only_what_the_run_lists_is_shown(run: Path) -> None:
    found = record.read(run)
    record.write(run, replace(found, files=("table1.csv",)))
    text = Page(report.write(run)).text
    assert "Table 1" in text
    assert "Table 3" not in text
    assert "weight of the gradient loss" not in text  # neither the sweep's table nor its figure
    record.add_files(run, [run / "sweep_alpha.csv"])
    assert record.read_files(run) == ("sweep_alpha.csv", "table1.csv")
    assert "Figure 8: weight of the gradient loss" in Page(report.write(run)).text


def test_tables_of_other_data_sets_are_not_shown(run: Path) -> None:
    found = record.read(run)
    record.write(run, replace(found, parts=found.parts[1:]))
    tables = sheets.read_tables(run, record.read(run))
    assert list(tables.tables) == [1]
    assert tables.tables[1]["dataset"].unique().tolist() == [found.parts[1].title]
    assert not tables.sweeps


def test_bare_run_has_a_report(run: Path) -> None:
    for path in run.iterdir():
        if path.name not in (record.FILE, "data"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = Page(report.write(run)).text
    assert "no table yet" in text
    assert "No scores of single images" in text


def test_provenance_names_weights_code_and_failures(made: Path) -> None:
    run = record.read(made)
    origins, environments = provenance.provenance(made, run.parts, ("Average", "Broken"))
    cells = {(one.manifest.method, one.manifest.stage): one for one in origins[0].cells}
    assert list(cells) == [("Average", "fuse"), ("Average", "score"), ("Broken", "fuse")]
    assert cells["Average", "fuse"].weights == (provenance.Weights("x.pth", "ab" * 32, True),)
    assert cells["Broken", "fuse"].manifest.reason == "ran out of <memory>"
    assert [letter for letter, _ in environments] == ["A"]
    text = Page(made / report.FILE).text
    for expected in ("f" * 64, "all of it", "one left out", "abababababab", "cdcdcdcdcdcd", "not the authors’"):
        assert expected in text


def add_colour(folder: Path, label: str) -> None:
    """Write the colour images of a method's fused ones, as `run --colour` does."""
    for part in record.read(folder).parts:
        fused = Cell(folder, part.title, label, "fuse").folder
        bring_up_to_date(Colour(part.pairs, fused), Cell(folder, part.title, label, Colour.name))


def test_gallery_has_colour_images_that_belong_to_the_fused_ones(run: Path) -> None:
    assert "show-colour" not in {attributes.get("id") for _, attributes in Page(run / report.FILE).tags}
    add_colour(run, "Average")
    images.write(
        run / "cells/M3FD/Average/fuse/00002.png", np.zeros((120, 160), np.uint8)
    )  # its colour image is outdated
    (run / "cells/M3FD/Average/colour/NA.png").write_bytes(b"damaged")
    page = Page(report.write(run))
    assert "show-colour" in {attributes.get("id") for _, attributes in page.tags}
    coloured = {
        (scene["image"], image["label"]) for scene in page.scenes for image in scene["images"] if image["colour"]
    }
    assert coloured == {("00001", "Average"), ("scene 'one' & \"two\"", "Average")}
    found = next(image for image in page.scenes[0]["images"] if image["colour"])
    decoded = Image.open(io.BytesIO(base64.b64decode(found["colour"])))
    assert (decoded.format, decoded.mode, decoded.size) == ("WEBP", "RGB", (160, 120))


def test_colour_images_count_in_the_budget(run: Path) -> None:
    for label in METHODS[2:4]:
        add_colour(run, label)
    whole = report.write(run)
    assert all(image["colour"] for scene in Page(whole).scenes for image in scene["images"][2:4])
    size = whole.stat().st_size
    page = len(re.sub(rb'<script type="application/json".*?</script>', b"", whole.read_bytes()))
    budget = page + (size - page) // 2
    assert report.write(run, megabytes=budget / 1e6).stat().st_size <= budget
    assert 0 < len(Page(whole).scenes) < 4


def test_cards_say_whose_data_and_weights_a_run_used(run: Path) -> None:
    """A row with the authors' own weights on the data set that they were trained on says so; other weights do not."""
    methods = [MethodSettings("seafusion"), MethodSettings("seafusion", weights="x.pth", label="Mine")]
    methods += [MethodSettings("average"), MethodSettings("evil.py:Evil", label="Evil")]
    (run / "evil.py").write_text("raise SystemExit('run')\n")
    labels = (*(method.label_or_title for method in methods[:3]), "Evil")
    found = record.read(run)
    pairs = found.parts[0].pairs
    parts = (record.Part("msrs", "MSRS", (), pairs, "", ""), record.Part("evil.py:read", "Own", (), pairs, "", ""))
    experiment = replace(found.experiment, methods=methods)
    changed = record.Record(experiment, labels, parts)
    record.write(run, changed)
    for label, official in (("SeAFusion", True), ("Mine", False)):
        cell = Cell(run, "MSRS", label, "fuse")
        cell.open({"settings": {"official weights": official}}, {}, discard=lambda names: None)
        cell.close()
    known = cards.collect_cards(run, changed)
    (dataset,), (method,) = known.datasets, known.methods
    assert (dataset.title, method.title) == ("MSRS", "SeAFusion, Mine")
    assert dict(dataset.facts)["home page"] == datasets.record("msrs").home_page
    assert dict(method.facts)["licence of the code"] == "MIT"
    assert dict(method.facts)["official weights trained on"] == "MSRS"
    assert method.warning == "SeAFusion: its weights were trained on MSRS"
    assert known.unknown == ("Average", "Evil")
    assert re.findall(r"@\w+\{(\w+),", known.references) == ["tang2022piafusion", "tang2022seafusion"]
    assert known.file == ""
    (run / "references.bib").write_text(known.references)
    text = Page(report.write(run)).text
    for expected in (*dict(dataset.facts).values(), *dict(method.facts).values(), method.warning, "references.bib"):
        assert expected in text


def test_addresses_become_links_and_nothing_else_does() -> None:
    text = cards.link("see https://a.org/x?y=1&z; <b> javascript:alert(1) https://b.org.")
    assert text == (
        'see <a href="https://a.org/x?y=1&amp;z" rel="noreferrer">https://a.org/x?y=1&amp;z</a>; &lt;b&gt; '
        'javascript:alert(1) <a href="https://b.org" rel="noreferrer">https://b.org</a>.'
    )


def test_notes_on_leakage_are_shown_unasked(run: Path) -> None:
    frame = pd.read_csv(run / "table1.csv", dtype={"notes": str})
    frame.loc[frame["method"] == "Average", "notes"] = "its weights were trained on M3FD"
    frame.to_csv(run / "table1.csv", index=False)
    page = Page(report.write(run))
    notes = [attributes for tag, attributes in page.tags if tag == "details" and attributes.get("class") == "notes"]
    assert "open" in notes[0]
    assert not all("open" in attributes for attributes in notes)
    assert "its weights were trained on M3FD" in page.text


def test_figures_are_embedded_and_wide_ones_reduced(made: Path) -> None:
    sheet, wide = [attrs for tag, attrs in Page(made / report.FILE).tags if tag == "img" and attrs.get("src")]
    assert (wide["width"], wide["height"]) == ("1600", "8")
    assert (sheet["src"] or "").startswith("data:image/png;base64,")
    assert sheet["alt"] == "Detections: detections M3FD"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,image,x0,y0,x1,y1\nM3FD,00001,5,5,5,9\n", "expected 0 <= x0 < x1"),
        ("dataset,image,x0,y0,x1,y1\nM3FD,00001,nan,5,6,9\n", "expected 0 <= x0 < x1"),
        ("dataset,image,x0,y0,x1,y1\nM3FD,00009,1,5,6,9\n", "no pair '00009'"),
        ("dataset,image,x0,y0,x1,y1\nFLIR,00001,1,5,6,9\n", "known: M3FD"),
        ("image,x0,y0,x1,y1\n00001,1,5,6,9\n", "dataset where a run has several"),
        ("dataset,image,x0,y0,x1,y1\n" + "M3FD,00001,1,5,6,9\n" * 3, "a third box"),
    ],
)
def test_boxes_that_cannot_be_used(run: Path, text: str, message: str) -> None:
    (run / "boxes.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        report.write(run, boxes=run / "boxes.csv")


def test_given_boxes_are_shown_and_their_scene_first(run: Path) -> None:
    (run / "boxes.csv").write_text("dataset,image,x0,y0,x1,y1\nM3FD,NA,8,9,60,70\nM3FD,NA,100,50,900,90\n")
    page = Page(report.write(run, boxes=run / "boxes.csv", scenes=1))
    scene = page.scenes[0]
    assert (scene["image"], scene["zooms"]) == ("NA", [[8, 9, 60, 70], [100, 50, 160, 90]])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scenes": -1}, "0 or more"), ({"width": 8}, "64 to 8192"), ({"megabytes": math.nan}, "megabytes nan")],
)
def test_options_out_of_range(made: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        report.write(made, **options)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("table1.csv", "method,EN\nA,1\n", "no column dataset"),
        (
            "table1.csv",
            "dataset,method,origin,EN,images,status\nM,A,measured,high,3,done\n",
            "expected a number, got 'high'",
        ),
        ("table1.csv", "dataset,method,origin,EN,images,status\nM,A,measured,1,3,done,9\n", "line 2: more cells"),
        ("cells/M3FD/Average/score/scores.csv", "image,EN\n00001,1\n", "where a score was expected"),
    ],
)
def test_damaged_files_are_named(run: Path, file: str, text: str, message: str) -> None:
    (run / file).write_text(text)
    with pytest.raises(InputError, match=f"{file}.*{message}"):
        report.write(run)


def test_name_that_leads_out_of_the_folder(run: Path) -> None:
    found = record.read(run)
    pair = replace(found.parts[0].pairs[0], name="../../../../secret")
    record.write(run, replace(found, parts=(replace(found.parts[0], pairs=(pair,)),)))
    with pytest.raises(InputError, match="leaves"):
        report.write(run)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of a run"):
        report.write(tmp_path)


def test_places_take_a_person_and_another_class() -> None:
    boxes = (
        Box(0, 0, 90, 90, "Car"),  # above half the height
        Box(100, 60, 150, 100, "Car"),
        Box(10, 20, 30, 60, "People"),
        Box(12, 20, 30, 55, "People"),
        Box(60, 20, 90, 70, "People", difficult=True),
    )
    flat = np.zeros((120, 160), np.uint8)
    green, red = gallery.places(Pair("a", Path("a"), Path("b"), boxes), flat, flat)
    # 1.5 x 4/3 x 40 = 80 wide, 60 high, about (20, 40) and (125, 80), moved into the image
    assert green == (0, 10, 80, 70)
    assert red == (80, 50, 160, 110) or red[0] >= 80


def test_places_without_annotations_are_where_detail_differs() -> None:
    infrared = np.full((120, 160), 90, np.uint8)
    visible = infrared.copy()
    visible[80:100:2, 120:140] = 255
    places = gallery.places(Pair("a", Path("a"), Path("b")), infrared, visible)
    assert len(places) == 2
    x0, y0, x1, y1 = places[0]
    assert x0 <= 130 <= x1
    assert y0 <= 90 <= y1
    assert not gallery._touch(*places)
    assert gallery.places(Pair("a", Path("a"), Path("b")), infrared, visible[:60]) == ()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 300])
def test_spread_has_every_pair_once_and_evenly(count: int) -> None:
    pairs = [Pair(f"{index:04d}", Path("a"), Path("b")) for index in range(count)]
    order = [int(pair.name) for pair in gallery._spread(pairs)]
    assert sorted(order) == list(range(count))
    if count == 300:
        assert np.diff(sorted(order[:24])).max() <= 16  # an even spread leaves 12.5; bit reversal of 512 leaves 16


def test_box_plot_is_tukeys() -> None:
    values = pd.Series([*np.linspace(1, 2, 60), 9.0], index=[f"i{index}" for index in range(61)])
    drawn = plots.draw_box_plot("EN", {"A": values, "B": pd.Series([np.nan], index=["i0"])})
    box = drawn.boxes[0]
    assert [(dot.image, dot.outlier) for dot in box.dots] == [("i60", True)]
    first, median, third = np.quantile(values, (0.25, 0.5, 0.75))
    assert box.text == (
        f"median {median:.4f}, quartiles {first:.4f} and {third:.4f}, mean {values.mean():.4f}, 61 images"
    )
    (left, low), *_, (right, high) = [(x, float(label)) for x, label in drawn.ticks]
    assert low <= 1
    assert high >= 9
    assert box.median == pytest.approx(left + (right - left) * (median - low) / (high - low), abs=0.06)
    assert [method for _, method in drawn.undefined] == ["B"]


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 5.0], [0.0], [1e-9, 2e-9], [-3.0, 1e6]])
def test_axis_spans_whatever_there_is(values: list[float]) -> None:
    drawn = plots.draw_box_plot(
        "EN", {"A": pd.Series(values, index=[str(index) for index in range(len(values))], dtype=float)}
    )
    places = [position for box in drawn.boxes for position in (box.low, box.high, box.mean)]
    assert all(plots.LEFT - 0.1 <= position <= plots.RIGHT + 0.1 for position in places)
    assert len({label for _, label in drawn.ticks}) == len(drawn.ticks) >= 2
