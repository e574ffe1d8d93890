"""Figures: what is drawn, where, and files that a paper can take."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

import metrics
from benchmark.datasets.base import Box
from benchmark.figures import (
    Region,
    Scene,
    average_ranks,
    box_plots,
    critical_difference,
    experts,
    gates,
    qualitative,
    regions,
    sweep,
)
from benchmark.figures import distributions as distributions_module
from benchmark.figures import scenes as scenes_module
from benchmark.figures import sheet as sheet_module
from benchmark.figures import sweeps as sweeps_module
from benchmark.figures.average_ranks import bars
from metrics import METRICS
from metrics.errors import InputError

IDS = list(metrics.PAPER)
AWKWARD = r"50%_of $R_1$ & \alpha <b>"
UNKNOWN_TO_THE_FONT = "融合"
SIZE = (64, 48)


def scores(images: int = 12) -> dict[str, pd.DataFrame]:
    generator = np.random.default_rng(0)
    found = {
        name: pd.DataFrame(generator.normal(size=(images, 8)), columns=IDS)
        for name in ("Average", AWKWARD, UNKNOWN_TO_THE_FONT)
    }
    found["Average"]["SCD"] = np.nan
    return found


def swept(setting: str) -> pd.DataFrame:
    values = {"setting": ["E4K2", "E2K2", "E8K2"], "alpha": [20.0, 1.0, 5.0]}[setting]
    rows = [
        {"dataset": dataset, setting: value, **dict.fromkeys(IDS, float(number))}
        for dataset in ("M3FD", AWKWARD)
        for number, value in enumerate(values)
    ]
    rows[1]["SCD"] = np.nan
    return pd.DataFrame(rows)


def scene(methods: int = 3) -> Scene:
    ramp = np.tile(np.arange(SIZE[0], dtype=np.uint8) * 4, (SIZE[1], 1))
    images = {f"{AWKWARD} {number}": ramp for number in range(methods)}
    return Scene(images | {"Visible": np.repeat(ramp[:, :, None], 3, 2)}, regions((), SIZE))


def picked(*groups: str) -> dict[str, dict[str, np.ndarray]]:
    return {gate: {group: np.array([0.5, 1.0, 0.25, 0.25]) for group in groups} for gate in ("local", "global")}


def maps() -> dict[str, np.ndarray]:
    responses = np.arange(4)[:, None, None] + np.zeros((4, SIZE[1], SIZE[0]))
    return {"foreground": responses, "background": np.zeros_like(responses)}


def source() -> np.ndarray:
    return np.zeros((SIZE[1], SIZE[0]), np.uint8)


FIGURES: dict[str, Callable[[Path], list[Path]]] = {
    "box_plots": lambda stem: box_plots(scores(), stem),
    "critical_difference": lambda stem: critical_difference({"a": 1.2, AWKWARD: 1.9, "c": 2.9}, 1.0, stem),
    "sweep": lambda stem: sweep(swept("setting"), "setting", stem, IDS),
    "qualitative": lambda stem: qualitative([scene()], stem),
    "experts": lambda stem: experts(source(), source(), maps(), picked("day", "night"), stem),
}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn instead of written."""
    figures: list[Figure] = []

    def keep(figure: Figure, _: Path) -> list[Path]:
        figure.draw_without_rendering()  # which makes the ticks
        figures.append(figure)
        return []

    for module in (distributions_module, average_ranks, sweeps_module, scenes_module, gates):
        monkeypatch.setattr(module, "save", keep)
    return figures


def texts(figure: Figure) -> list[str]:
    found = figure.findobj(lambda artist: hasattr(artist, "get_parse_math") and artist.get_text())
    assert not any(text.get_parse_math() for text in found)
    return [text.get_text() for text in found]


@pytest.mark.parametrize("name", FIGURES)
def test_files_for_papers(name: str, tmp_path: Path) -> None:
    pdf, png = FIGURES[name](tmp_path / "new folder" / "figure v1.2")
    assert [path.name for path in (pdf, png)] == ["figure v1.2.pdf", "figure v1.2.png"]
    data = pdf.read_bytes()
    assert b"/FontFile2" in data  # TrueType, embedded
    assert b"/Type3" not in data
    assert b"CreationDate" not in data
    with Image.open(png) as image:
        assert image.width / 300 == pytest.approx(
            sheet_module.COLUMN if name in ("box_plots", "critical_difference") else sheet_module.PAGE, abs=0.01
        )
        pixels = np.asarray(image.convert("L"))
    assert (pixels == 255).mean() > 0.1
    assert (pixels < 128).mean() > 0.001


@pytest.mark.parametrize("name", ["critical_difference", "qualitative"])
def test_twice_the_same_bytes(name: str, tmp_path: Path) -> None:
    one, two = (FIGURES[name](tmp_path / stem) for stem in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_another_process_writes_the_same_bytes_and_loads_no_pyplot(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from benchmark.figures import critical_difference\n"
        "critical_difference({'a': 1.2, 'b': 1.9, 'c': 2.0, 'd': 2.9}, 1.0, Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root), "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "other")], check=True, env=environment)
    critical_difference({"a": 1.2, "b": 1.9, "c": 2.0, "d": 2.9}, 1.0, tmp_path / "mine")
    for extension in ("pdf", "png"):
        mine, other = (tmp_path / f"{name}.{extension}" for name in ("mine", "other"))
        assert mine.read_bytes() == other.read_bytes()


def test_the_callers_own_style_stays(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31.0}):
        FIGURES["critical_difference"](tmp_path / "one")
        assert mpl.rcParams["font.size"] == 31.0
    FIGURES["critical_difference"](tmp_path / "two")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.filterwarnings("ignore:Glyph .* missing")  # the figure is laid out here, not written
def test_box_plots_have_a_panel_a_metric_and_a_box_a_method(drawn: list[Figure], tmp_path: Path) -> None:
    given = scores()
    box_plots(given, tmp_path)
    assert [axes.get_title() for axes in drawn[0].axes] == [f"{name} ↑" for name in IDS]
    for metric, axes in zip(IDS, drawn[0].axes, strict=True):
        medians = [line.get_xdata()[0] for line in axes.lines if line.get_color() == sheet_module.COLOURS[1]]
        assert np.allclose(medians, [frame[metric].median() for frame in given.values()], equal_nan=True)
    assert AWKWARD in texts(drawn[0])


def test_more_than_eight_metrics_are_drawn_in_a_figure_a_group(tmp_path: Path) -> None:
    ids = metrics.select("all", "tang2022")
    values = np.random.default_rng(0).normal(size=(5, len(ids)))
    files = box_plots({"a": pd.DataFrame(values, columns=list(ids))}, tmp_path / "box_plots_M3FD")
    assert {path.stem for path in files} >= {"box_plots_M3FD_information", "box_plots_M3FD_gradient"}
    assert all(path.is_file() for path in files)


@pytest.mark.parametrize("ids", [("MSE",), ("EN", "SSIM", "MSE", "N_abf", "CC"), tuple(METRICS)])
def test_a_sweep_has_a_panel_for_any_metric(drawn: list[Figure], tmp_path: Path, ids: tuple[str, ...]) -> None:
    frame = pd.DataFrame([{"dataset": "M3FD", "alpha": alpha, **dict.fromkeys(ids, alpha)} for alpha in (1.0, 2.0)])
    sweep(frame, "alpha", tmp_path, ids)
    titles = [axes.get_title() for axes in drawn[0].axes if axes.get_visible()]
    assert titles == [f"{name} {METRICS[name].arrow}" for name in ids]


def test_runs_of_ranks_that_a_difference_joins() -> None:
    # Demšar, JMLR 7, 2006, figure 1a: average ranks of his Table 6; the critical difference of 1.25 joins all four.
    assert bars([1.964, 2.0, 2.893, 3.143], 1.25) == [(1.964, 3.143)]
    assert bars([1.0, 1.5, 2.2, 4.0, 4.4], 1.0) == [(1.0, 1.5), (1.5, 2.2), (4.0, 4.4)]
    assert bars([1.0, 2.0, 3.0], 0.5) == []
    assert bars([2.0, 2.0, 2.0], 0.0) == [(2.0, 2.0)]
    assert bars([1.0, 3.0], float("inf")) == [(1.0, 3.0)]


def test_the_diagram_orders_methods_and_says_the_difference(drawn: list[Figure], tmp_path: Path) -> None:
    critical_difference({"c": 2.9, AWKWARD: 1.2, "b": 1.9}, 0.8, tmp_path)
    found = texts(drawn[0])
    assert f"{AWKWARD} (1.20) " in found
    assert " (2.90) c" in found
    assert "  critical difference 0.80" in found
    critical_difference({"a": 1.2, "b": 1.8}, float("inf"), tmp_path)
    assert "no significant difference" in texts(drawn[1])


@pytest.mark.parametrize(
    ("ranks", "difference"), [({"a": 1.0}, 1.0), ({"a": 1.0, "b": float("nan")}, 1.0), ({"a": 1, "b": 2}, float("nan"))]
)
def test_ranks_that_no_test_compared_are_refused(ranks: dict[str, float], difference: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two methods, and a test"):
        critical_difference(ranks, difference, tmp_path / "x")


def test_a_sweep_over_numbers_is_in_rising_order(drawn: list[Figure], tmp_path: Path) -> None:
    sweep(swept("alpha"), "alpha", tmp_path, IDS)
    axes = drawn[0].axes[-1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "5", "20"]
    assert axes.lines[0].get_ydata().tolist() == [1.0, 2.0, 0.0]
    assert [line.get_label() for line in axes.lines] == ["M3FD", AWKWARD]
    gap = drawn[0].axes[IDS.index("SCD")].lines[0].get_ydata()
    assert np.isnan(gap).tolist() == [True, False, False]
    assert AWKWARD in texts(drawn[0])


def test_a_sweep_over_names_keeps_their_order(drawn: list[Figure], tmp_path: Path) -> None:
    sweep(swept("setting"), "setting", tmp_path, IDS)
    axes = drawn[0].axes[-1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["E4K2", "E2K2", "E8K2"]
    assert axes.lines[0].get_ydata().tolist() == [0.0, 1.0, 2.0]


def test_frames_that_are_no_sweep_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without VIF"):
        sweep(swept("alpha").drop(columns="VIF"), "alpha", tmp_path / "x", IDS)
    with pytest.raises(InputError, match="got 0 rows"):
        sweep(swept("alpha")[:0], "alpha", tmp_path / "x", IDS)
    with pytest.raises(InputError, match="M3FD has two rows for alpha 20"):
        sweep(pd.concat([swept("alpha")] * 2), "alpha", tmp_path / "x", IDS)
    with pytest.raises(InputError, match="no scores"):
        box_plots({}, tmp_path / "x")


def inside(region: Region, box: Box) -> bool:
    return region.x0 <= box.x0 and region.y0 <= box.y0 and box.x1 <= region.x1 and box.y1 <= region.y1


def test_regions_are_around_the_largest_person_and_the_largest_other_thing() -> None:
    person, smaller = Box(10, 10, 40, 90, "People"), Box(200, 10, 220, 60, "People")
    car, lamp = Box(300, 200, 400, 260, "Car"), Box(600, 10, 610, 20, "Lamp")
    found = regions([lamp, smaller, car, person], (640, 480))
    assert inside(found[0], person)
    assert inside(found[1], car)
    for region in found:
        assert (region.x1 - region.x0) / (region.y1 - region.y0) == pytest.approx(640 / 480, rel=0.02)
        assert 0 <= region.x0 < region.x1 <= 640
        assert 0 <= region.y0 < region.y1 <= 480
    assert regions([person, car, smaller, lamp], (640, 480)) == found


def test_the_second_region_shows_something_else_than_the_first() -> None:
    person, van, car = Box(100, 100, 200, 300, "person"), Box(110, 110, 210, 310, "car"), Box(400, 100, 450, 140, "car")
    assert inside(regions([person, van, car], (640, 480))[1], car)
    assert inside(regions([person, van], (640, 480))[1], van)


def test_regions_without_persons_or_without_boxes() -> None:
    one, two = Box(10, 10, 100, 60, "car"), Box(300, 200, 380, 240, "car")
    found = regions([two, one], (640, 480))
    assert inside(found[0], one)
    assert inside(found[1], two)
    assert inside(regions([one], (640, 480))[1], one)
    persons = [Box(10, 10, 40, 90, "person"), Box(200, 10, 220, 60, "person")]
    assert [inside(*pair) for pair in zip(regions(persons, (640, 480)), persons, strict=True)] == [True, True]
    left, right = regions((), (640, 480))
    assert left.x1 <= 320 <= right.x0
    hard = Box(10, 10, 40, 90, "person", difficult=True)
    assert regions([hard], (640, 480)) == (left, right)
    assert regions([Box(0, 0, 8, 6, "person")], (8, 6))[0] == Region(2, 1, 7, 5)  # no more than 60 % of the sides


def test_a_sheet_shows_each_image_and_its_two_regions(drawn: list[Figure], tmp_path: Path) -> None:
    one = scene(2)
    partial = Scene({"Visible": one.images["Visible"]}, one.regions)
    qualitative([one, partial], tmp_path)
    axes = drawn[0].axes
    assert len(axes) == 3 * 3 + 3
    shown = [panel.images[0].get_array() for panel in axes[:3]]
    first = next(iter(one.images.values()))
    assert (shown[0] == first).all()
    for array, (x0, y0, x1, y1) in zip(shown[1:], one.regions, strict=True):
        assert (array == first[y0:y1, x0:x1]).all()
    frames = [patch for patch in axes[0].patches if patch.get_width() != 1]
    assert [frame.get_xy() for frame in frames] == [(x0 - 0.5, y0 - 0.5) for x0, y0, _, _ in one.regions]


def test_scenes_that_cannot_be_drawn_are_refused(tmp_path: Path) -> None:
    image = np.zeros((48, 64), np.uint8)
    with pytest.raises(InputError, match="of one size, but there are 64x47, 64x48"):
        qualitative([Scene({"a": image, "b": image[1:]}, regions((), SIZE))], tmp_path / "x")
    with pytest.raises(InputError, match="not within the images of 64x48"):
        qualitative([Scene({"a": image}, (Region(0, 0, 5, 5), Region(60, 0, 65, 5)))], tmp_path / "x")
    with pytest.raises(InputError, match="no images"):
        qualitative([], tmp_path / "x")


def test_the_experts_sheet_shows_maps_on_one_scale_and_shares(drawn: list[Figure], tmp_path: Path) -> None:
    experts(source(), source(), maps(), picked("day", "night"), tmp_path)
    figure = drawn[0]
    images = [image for axes in figure.axes for image in axes.images]
    assert len(images) == 2 + 8
    assert {image.get_clim() for image in images[2:6]} == {(0.0, 3.0)}
    heights = [bar.get_height() for axes in figure.axes for bar in axes.patches]
    assert heights == [50, 100, 25, 25] * 4
    found = texts(figure)
    for text in ("foreground", "background", "expert 4", "local", "global", "day", "night"):
        assert text in found


def test_experts_without_maps_or_with_one_group(drawn: list[Figure], tmp_path: Path) -> None:
    experts(source(), source(), {}, picked("all"), tmp_path)
    experts(source(), source(), maps(), {}, tmp_path)
    assert "all" not in texts(drawn[0])  # one group needs no legend
    with pytest.raises(InputError, match="neither maps nor shares"):
        experts(source(), source(), {}, {}, tmp_path / "x")
    with pytest.raises(InputError, match=r"maps of part are \(4, 4\)"):
        experts(source(), source(), {"part": np.zeros((4, 4))}, {}, tmp_path / "x")
    uneven = {"global": {"day": np.ones(4), "night": np.ones(3)}}
    with pytest.raises(InputError, match=r"have \[3, 4\] experts"):
        experts(source(), source(), {}, uneven, tmp_path / "x")
