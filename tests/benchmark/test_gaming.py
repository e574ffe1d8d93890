"""The gaming check: the changes themselves, what is measured of them, and that the page says what was measured."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metrics
from benchmark.datasets.base import Pair
from benchmark.datasets.findings import Findings
from benchmark.engine.experiment import ScoreSettings
from benchmark.studies import gaming
from benchmark.studies.gaming import CHANGES, VARIANTS
from benchmark.synthetic import layouts as synthetic
from benchmark.synthetic import reader as embedded
from benchmark.tables.markdown import in_markdown
from metrics import images
from metrics.errors import InputError
from metrics.images import ImageArray

IDS = list(metrics.PAPER)
ROOT = Path(__file__).parents[2]
REAL = {"M3FD": "m3fd", "FLIR": "flir", "LLVIP": "llvip"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, ...]:
    root = tmp_path_factory.mktemp("scenes")
    synthetic.write(root, layout="m3fd", train=1, test=2, seed=3, size=(128, 96))
    return embedded.read(root, Findings()).test


@pytest.fixture(scope="module")
def found(pairs: tuple[Pair, ...]) -> pd.DataFrame:
    return gaming.gaming(pairs, ScoreSettings(), dataset="Small_one", workers=1)


def row(found: pd.DataFrame, image: str, quantity: str) -> pd.Series:
    (number,) = found.index[(found["variant"] == image) & (found["quantity"] == quantity)]
    return found.loc[number]


@pytest.fixture
def ramp() -> ImageArray:
    return np.tile(np.linspace(60, 180, 256).astype(np.uint8), (64, 1))


def test_noise_has_its_standard_deviation_and_its_seed(ramp: ImageArray) -> None:
    one, same, other = (gaming.noisy(ramp, 10, np.random.default_rng(seed)) for seed in (0, 0, 1))
    difference = one.astype(float) - ramp
    assert difference.std() == pytest.approx(10, rel=0.03)  # standard error of the spread of 16,384 draws: 0.6 %
    assert abs(difference.mean()) < 0.3
    assert (one == same).all()
    assert (one != other).any()


def test_the_stretch_is_linear_between_the_percentiles(ramp: ImageArray) -> None:
    low, high = np.percentile(ramp, [1, 99])
    expected = np.clip((ramp - low) / (high - low), 0, 1) * 255
    assert np.abs(gaming.stretched(ramp) - expected).max() <= 0.5
    flat = np.full((8, 8), 77, np.uint8)
    assert (gaming.stretched(flat) == 77).all()


def test_clahe_raises_contrast_and_the_unsharp_mask_steepens_an_edge(ramp: ImageArray) -> None:
    texture = np.clip(100 + gaming.noisy(np.full((64, 64), 20, np.uint8), 4, np.random.default_rng(0)), 0, 255)
    texture = texture.astype(np.uint8)
    assert gaming.equalised(texture).std() > 1.5 * texture.std()
    edge = np.repeat(np.array([[60] * 16 + [180] * 16], np.uint8), 32, axis=0)
    sharp = gaming.sharpened(edge)
    assert sharp[:, 15].max() < 60
    assert sharp[:, 16].min() > 180
    assert (sharp[:, [0, -1]] == edge[:, [0, -1]]).all()


def test_means_are_those_of_the_metrics(found: pd.DataFrame, pairs: tuple[Pair, ...]) -> None:
    expected = []
    for pair in pairs:
        infrared, visible = images.grey(images.read(pair.infrared)), images.grey(images.read(pair.visible))
        average = np.rint((infrared.astype(float) + visible) / 2).astype(np.uint8)
        expected.append(metrics.evaluate(infrared, visible, gaming.stretched(average)))
    assert row(found, "Average, stretched", "mean")[IDS].tolist() == pytest.approx(
        pd.DataFrame(expected)[IDS].mean().tolist()
    )


def test_changes_are_against_the_average(found: pd.DataFrame) -> None:
    assert found["variant"].unique().tolist() == VARIANTS
    assert (row(found, "Average", "change")[IDS] == 0).all()
    assert (row(found, "Average", "improved")[IDS] == 0).all()
    for image in VARIANTS:
        mean, average = row(found, image, "mean")[IDS], row(found, "Average", "mean")[IDS]
        expected = (mean / average - 1).astype(float)
        pd.testing.assert_series_equal(row(found, image, "change")[IDS].astype(float), expected, check_names=False)
    assert row(found, "Average, noise 20", "improved")["SF"] == 1
    assert np.isnan(row(found, "Infrared", "improved")["SCD"])  # undefined for a copy of a source
    assert found[["dataset", "images", "convention", "size"]].drop_duplicates().to_numpy().tolist() == [
        ["Small_one", 2, "tang2022", "native"]
    ]


def test_what_rises_by_what(found: pd.DataFrame) -> None:
    best = gaming.find_gains(found).set_index("metric")
    assert best.index.tolist() == IDS
    for metric in IDS:
        changes = {image: row(found, image, "change")[metric] for image in CHANGES}
        top = max(changes, key=lambda image: changes[image])
        assert best.loc[metric, ["variant", "change", "gained"]].tolist() == [top, changes[top], changes[top] > 0]
    assert best.loc["SCD", "source"] == ""
    assert best.loc["MI", "source"] in gaming.SOURCES


def test_the_seed_and_the_name_decide_the_noise(pairs: tuple[Pair, ...], found: pd.DataFrame) -> None:
    again = gaming.gaming(pairs[:1], ScoreSettings(), workers=1)
    alone = gaming.gaming(pairs[:1], ScoreSettings(), seed=1, workers=1)
    noise, other = (row(frame, "Average, noise 20", "mean")["SF"] for frame in (again, alone))
    assert noise != other
    both = gaming.gaming(pairs[1:], ScoreSettings(), workers=1)
    mean = (noise + row(both, "Average, noise 20", "mean")["SF"]) / 2
    assert row(found, "Average, noise 20", "mean")["SF"] == pytest.approx(mean)


def test_a_convention_without_vif_leaves_it_empty(pairs: tuple[Pair, ...]) -> None:
    done: list[tuple[int, int]] = []
    score = ScoreSettings(convention="vifb", size="64x48")
    found = gaming.gaming(pairs[:1], score, workers=1, progress=lambda *counts: done.append(counts))
    assert found["VIF"].isna().all()
    assert "VIF" not in gaming.find_gains(found)["metric"].tolist()
    assert "| – |" in gaming.to_markdown(found)
    assert done[-1] == (len(VARIANTS), len(VARIANTS))


def test_a_loss_improves_where_it_falls(pairs: tuple[Pair, ...]) -> None:
    found = gaming.gaming(pairs, ScoreSettings(metrics="MSE,N_abf,SF"), workers=1)
    best = gaming.find_gains(found).set_index("metric")
    assert sorted(best.index) == ["MSE", "N_abf", "SF"]
    mean = {name: row(found, name, "mean") for name in VARIANTS}
    for metric in ("MSE", "N_abf"):
        lowest = min(CHANGES, key=lambda name: mean[name][metric])
        assert best.loc[metric, "variant"] == lowest
        assert best.loc[metric, "gained"] == (mean[lowest][metric] < mean["Average"][metric])
    # The average is nearest to both sources, so noise raises its MSE on every image.
    assert row(found, "Average, noise 20", "change")["MSE"] > 0
    assert row(found, "Average, noise 20", "improved")["MSE"] == 0
    page = gaming.to_markdown(found)
    assert "MSE ↓" in page
    assert "SF ↑" in page


def test_written_files(found: pd.DataFrame, tmp_path: Path) -> None:
    csv, page = gaming.write(tmp_path, found)
    pd.testing.assert_frame_equal(pd.read_csv(csv), found)
    assert "**Small\\_one**: 2 pairs" in page.read_text()


def test_no_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="M3FD has no pairs"):
        gaming.gaming([], ScoreSettings(), dataset="M3FD")


@pytest.fixture(scope="module")
def measured() -> dict[str, pd.DataFrame]:
    folders = {**REAL, "Synthetic": "demo"}
    return {
        title: pd.read_csv(ROOT / "results/reference/gaming" / name / "gaming.csv") for title, name in folders.items()
    }


def test_the_page_says_what_was_measured(measured: dict[str, pd.DataFrame]) -> None:
    page = (ROOT / "docs/gaming.md").read_text()
    for title, frame in measured.items():
        assert frame["dataset"].unique().tolist() == [title]
    best = {title: gaming.find_gains(frame).set_index("metric") for title, frame in measured.items()}
    for metric in IDS:
        rows = [frame.loc[metric] for frame in best.values()]
        risen = [f"{row['variant'].removeprefix('Average, ')} {row['change']:+.1%}" for row in rows]
        alone = [f"{row['source']} {row['source_change']:+.1%}" if row["source"] else "–" for row in rows]
        for cells in (risen, alone):
            line = "| " + " | ".join([in_markdown(metric), *cells]) + " |"
            assert line in page, line


def test_the_page_says_what_was_measured_of_further_metrics() -> None:
    frame = pd.read_csv(ROOT / "results/reference/gaming/m3fd_more/gaming.csv")
    page = (ROOT / "docs/gaming.md").read_text()
    assert gaming.to_markdown(frame).split("\n\n")[2].strip() in page
    change = frame[frame["quantity"] == "change"].set_index("variant")
    others = [name for name in VARIANTS if name != "Average"]
    assert (change.loc[others, "MSE"] > 0).all()
    assert (change.loc[others, "PSNR"] < 0).all()
    for name in ("Average, stretched", "Average, CLAHE", "Average, sharpened"):
        assert (change.loc[name, ["SSIM", "MS_SSIM"]] > 0).all()
    for sigma in (5, 10, 20):
        assert (change.loc[f"Average, noise {sigma}", ["SSIM", "MS_SSIM", "CC"]] < 0).all()
    assert (frame[frame["quantity"] == "mean"].set_index("variant").loc[gaming.SOURCES, "N_abf"] == 0).all()


def test_the_pages_remarks_hold(measured: dict[str, pd.DataFrame]) -> None:
    for frame in measured.values():
        change = frame[frame["quantity"] == "change"].set_index("variant")
        assert (change.loc["Average, noise 20", ["SF", "AG"]] > 1).all()
        assert (change.loc["Average, noise 5", ["VIF", "SCD", "Q_abf", "MI"]] < 0).all()
        assert (change.loc["Average, stretched", ["VIF", "SCD", "Q_abf"]] > 0).all()
        assert abs(change.loc["Average, stretched", "MI"]) < 0.05
        assert (change.loc[gaming.SOURCES, "Q_abf"] < 0).all()
        assert (change.loc[gaming.SOURCES, ["MI", "VIF"]] > 0.25).all(axis=None)
    frame = measured["M3FD"]
    stretched = frame[(frame["quantity"] == "mean") & (frame["variant"] == "Average, stretched")][IDS].iloc[0]
    sample = pd.read_csv(ROOT / "results/reference/sample/m3fd/table1.csv")
    methods = sample[(sample["origin"] == "measured") & (sample["ranked"] == True)]  # noqa: E712  (an object column)
    assert len(methods) == 9
    places = (methods[IDS] > stretched).sum() + 1
    assert places.to_dict() == {"EN": 1, "SF": 1, "SD": 3, "MI": 5, "VIF": 1, "AG": 1, "SCD": 2, "Q_abf": 3}


@pytest.mark.parametrize("name", [*REAL.values(), "demo", "m3fd_more"])
def test_the_committed_pages_belong_to_their_tables(name: str) -> None:
    folder = ROOT / "results/reference/gaming" / name
    assert (folder / "gaming.md").read_text() == gaming.to_markdown(pd.read_csv(folder / "gaming.csv"))
