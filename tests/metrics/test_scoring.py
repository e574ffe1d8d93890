"""Scoring arrays, files and folders; what bad input says."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metrics
from metrics.__main__ import main
from metrics.conventions import grey_opencv
from metrics.errors import InputError
from metrics.images import MATLAB_LUMA, ImageArray, cv2, grey, write

SHAPE = (48, 56)


def image(seed: int, shape: tuple[int, ...] = SHAPE) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("infrared", "visible", "fused")]
    for number, folder in enumerate(made):
        folder.mkdir()
        for scene in range(4):
            write(folder / f"{scene}.png", image(10 * number + scene, (*SHAPE, 3) if number == 1 else SHAPE))
    (made[2] / "3.png").unlink()
    return made


def test_colour_becomes_grey_as_the_program_does() -> None:
    colour = image(1, (*SHAPE, 3))
    literal = np.floor(colour.astype(float) @ MATLAB_LUMA + 0.5).astype(np.uint8)
    assert np.array_equal(grey(colour), literal)
    # The two programs' coefficients differ in the fourth digit: few colours change, by one level.
    difference = np.abs(grey(colour).astype(int) - grey_opencv(colour))
    assert difference.max() == 1
    assert difference.mean() < 0.01
    for convention, rule in (("tang2022", grey), ("cddfuse", grey_opencv)):
        expected = metrics.evaluate(image(3), rule(colour), rule(colour), convention=convention)
        found = metrics.evaluate(image(3), colour, colour, convention=convention)
        assert found == pytest.approx(expected, rel=0, nan_ok=True)


def test_vifb_scores_the_channels_of_a_colour_fused_image() -> None:
    infrared, visible, fused = image(1), image(2, (*SHAPE, 3)), image(3, (*SHAPE, 3))
    values = metrics.evaluate(infrared, visible, fused, convention="vifb", metrics="all")
    by_channel = [
        metrics.evaluate(infrared, visible[..., channel], fused[..., channel], convention="vifb", metrics="all")
        for channel in range(3)
    ]
    for name in set(values) - {"SF"}:
        assert values[name] == pytest.approx(np.mean([channel[name] for channel in by_channel]), rel=1e-14)
    side_by_side = np.hstack([fused[..., channel] for channel in range(3)])
    assert values["SF"] == metrics.spatial_frequency(side_by_side, per_pixel=True)
    # A grey fused image is scored against the visible image's luma.
    assert metrics.evaluate(infrared, visible, fused[..., 0], convention="vifb") == pytest.approx(
        metrics.evaluate(infrared, grey(visible), fused[..., 0], convention="vifb"), rel=0, nan_ok=True
    )


def test_only_some_metrics() -> None:
    images = [image(seed) for seed in range(3)]
    everything = metrics.evaluate(*images)
    assert tuple(everything) == ("EN", "SF", "SD", "MI", "VIF", "AG", "SCD", "Q_abf")
    assert metrics.evaluate(*images, metrics=["VIF", "EN"]) == {name: everything[name] for name in ("EN", "VIF")}
    assert metrics.evaluate(*images, metrics="SCD") == {"SCD": everything["SCD"]}
    assert math.isnan(metrics.evaluate(*images, convention="vifb", metrics=["VIF"])["VIF"])
    small = [one[:5, :5] for one in images]
    assert metrics.evaluate(*small, metrics=["EN", "AG"])["AG"] > 0


@pytest.mark.parametrize("convention", ["tang2022", "tang2023", "cddfuse", "vifb"])
@pytest.mark.parametrize("levels", [(0, 0, 0), (255, 255, 255), (9, 99, 199), (None, 0, 255), (None, None, 137)])
def test_degenerate_images_warn_of_nothing(convention: str, levels: tuple[int | None, ...]) -> None:
    images = [image(seed) if level is None else np.full(SHAPE, level, np.uint8) for seed, level in enumerate(levels)]
    found = metrics.evaluate(*images, convention=convention)
    assert found["EN"] == found["SF"] == found["SD"] == found["AG"] == 0
    assert not math.isinf(found["Q_abf"])


@pytest.mark.parametrize(
    ("images", "options", "said"),
    [
        ([image(0)] * 3, {"convention": "tang"}, "known: tang2022, tang2023, cddfuse, vifb"),
        ([image(0)] * 3, {"metrics": ["EN", "NO"]}, "unknown metric 'NO'; known: paper, all, EN, SF, SD"),
        ([image(0)] * 3, {"metrics": []}, "no metric"),
        ([image(0), image(0), image(0)[:-1]], {}, "fused is 56x47"),
        ([image(0), image(0).astype(float), image(0)], {}, "visible image: expected a uint8 .* float64"),
        ([image(0), image(0).tolist(), image(0)], {}, "visible image: expected a uint8 .* list"),
        ([image(0, (48, 56, 4)), image(0), image(0)], {}, r"infrared image: .* \(48, 56, 4\)"),
        ([image(0)[:40]] * 3, {}, "56x40 but VIF needs at least 41x41"),
        ([image(0)[:1]] * 3, {"convention": "vifb"}, "56x1 but SF needs at least 2x2"),
        ([image(0)[:0]] * 3, {}, "expected a uint8 array"),
    ],
)
def test_bad_input_says_what_is_wrong(images: list[ImageArray], options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        metrics.evaluate(*images, **options)
    assert "\n" not in str(caught.value)


def test_single_metrics_check_their_images() -> None:
    with pytest.raises(InputError, match="uint8"):
        metrics.entropy(image(0).astype(np.float32))
    with pytest.raises(InputError, match="one size"):
        metrics.mutual_information(image(0), image(0)[1:], image(0))
    with pytest.raises(InputError, match="41x41"):
        metrics.visual_information_fidelity(*[image(0)[:40]] * 3)


def test_files_are_resized_after_they_became_grey(folders: list[Path]) -> None:
    files = [folder / "1.png" for folder in folders]
    colour = image(11, (*SHAPE, 3))
    arrays = [cv2.resize(one, (64, 50)) for one in (image(1), grey(colour), image(21))]
    assert metrics.evaluate_files(*files, size=(64, 50)) == metrics.evaluate(*arrays)
    assert metrics.evaluate_files(*files) == metrics.evaluate(image(1), colour, image(21))


def test_files_of_other_sizes_are_named(folders: list[Path]) -> None:
    files = [folder / "1.png" for folder in folders]
    write(files[2], image(0, (60, 70)))
    with pytest.raises(InputError, match=r"1\.png is 70x60 but its sources are 56x48; .*--size WxH"):
        metrics.evaluate_files(*files)
    assert metrics.evaluate_files(*files, size=SHAPE)["EN"] > 0
    write(files[0], image(0, (60, 70)))
    with pytest.raises(InputError, match=r"infrared/1\.png is 70x60 but .*visible/1\.png is 56x48"):
        metrics.evaluate_files(*files)
    with pytest.raises(InputError, match=r"fused/1\.png: the images are 64x40 but VIF"):
        metrics.evaluate_files(*files, size=(64, 40))
    with pytest.raises(InputError, match="expected .width, height."):
        metrics.evaluate_files(*files, size=(64, 0))


def test_a_folder_gives_one_row_a_image_whatever_the_workers(folders: list[Path]) -> None:
    steps: list[tuple[int, int]] = []
    one = metrics.evaluate_folder(*folders, workers=1, progress=lambda done, total: steps.append((done, total)))
    assert list(one.columns) == ["image", *metrics.PAPER]
    assert list(one["image"]) == ["0", "1", "2"]
    assert one.attrs["unscored"] == ["3"]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    single = metrics.evaluate_files(*(folder / "2.png" for folder in folders))
    assert one.iloc[2, 1:].to_dict() == single
    two = metrics.evaluate_folder(*folders, workers=2)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_fused_image_without_sources_is_an_error(folders: list[Path]) -> None:
    for number in range(7):
        write(folders[2] / f"extra{number}.png", image(0))
    with pytest.raises(InputError, match=r"7 of 10 .* no infrared image .*extra0\.png.*extra4\.png and 2 more"):
        metrics.evaluate_folder(*folders)
    with pytest.raises(InputError, match="workers is 0"):
        metrics.evaluate_folder(*folders, workers=0)


def test_the_command_prints_means_and_writes_values(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "values.csv"
    places = [str(folder) for folder in folders]
    assert main([*places, "--csv", str(csv), "--workers", "1", "--size", "60x50", "--convention", "vifb"]) == 0
    frame = pd.read_csv(csv, dtype={"image": str})
    expected = metrics.evaluate_folder(*folders, convention="vifb", size=(60, 50), workers=1)
    pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    printed = capsys.readouterr().out
    assert "vifb, 60x50 size, 3 images" in printed
    assert f"{expected['EN'].mean():.4f} ± {expected['EN'].std():.4f}" in printed
    assert "not in this convention" in printed
    assert "sources without a fused image: 1 (3)" in printed


@pytest.mark.parametrize(
    "wrong",
    [
        ["--convention", "tang"],
        ["--size", "640"],
        ["--size", "0x9"],
        ["--csv", "absent/values.csv"],
        ["--workers", "-1"],
    ],
)
def test_the_command_ends_with_one_line_for_bad_input(
    folders: list[Path], wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*map(str, folders), *wrong]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


def test_the_command_counts_undefined_values(
    folders: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    write(folders[2] / "0.png", image(0))  # equals the infrared image: SCD is 0/0
    assert main([*map(str, folders), "--workers", "1"]) == 0
    assert "1 of 3 undefined, left out: the fused image equals a source" in capsys.readouterr().out


def test_the_command_refuses_a_convention_without_the_metrics(
    folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*map(str, folders), "--convention", "kumar2013"]) == 2
    assert "kumar2013 has none of the metrics paper; it has N_abf" in capsys.readouterr().err


def test_every_metric_is_described() -> None:
    table = metrics.describe().set_index("metric")
    assert tuple(table.index) == tuple(metrics.METRICS)
    assert tuple(table.columns[-len(metrics.CONVENTIONS) :]) == tuple(metrics.CONVENTIONS)
    paper = table.loc[list(metrics.PAPER), ["tang2022", "tang2023", "cddfuse", "vifb"]]
    assert (paper.drop(columns="vifb") != "").all(axis=None)
    assert set(paper.index[paper["vifb"] == ""]) == {"VIF", "SCD"}


def test_the_package_stands_alone() -> None:
    code = "import sys, metrics; print({'torch', 'methods', 'benchmark', 'moefusion'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
