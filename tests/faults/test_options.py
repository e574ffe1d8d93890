"""Options, roots and records that make no sense: one line each, and nothing is written outside the run's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark import datasets
from benchmark.engine import loading
from benchmark.engine.experiment import DatasetSettings
from benchmark.synthetic import layouts as synthetic
from metrics.errors import InputError
from tests.faults.cases import time_limit
from tests.faults.runs import one_error

SMALL = {"train": 1, "test": 1, "size": [96, 96]}
DEEP = "[" * 200_000  # what a recursive parser cannot take


def load(tmp_path: Path, options: dict[str, Any], name: str = "synthetic", root: str = "") -> loading.LoadedPart:
    wanted = DatasetSettings(name, root, options=options)
    return loading.load_part(wanted, tmp_path / "data", tmp_path / "out" / "data")


def drawn(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((option, value) for option in ("train", "test") for value in ("x", 1.5, True, [1], 0, 100_001, 10**5000)),
        *(("seed", value) for value in ("x", 1.5, False, None, -1, 1 << 32, 1 << 100_000)),
        *(("size", value) for value in ("320x240", ["a", "b"], [100.5, 100.5], [True, 100], 100, {"a": 1, "b": 2})),
        *(("size", value) for value in ([], [100], [100, 100, 100], [1_000_000, 1_000_000], [2049, 96], [95, 96])),
        *(("layout", value) for value in ([1], {"a": 1}, 1, "kitti", "x" * 100_000)),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) or abs(value) < 1 << 40 else "huge",
)
def test_settings_of_the_scenes(option: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^synthetic data set: {option} is .*; expected ") as error:
        load(tmp_path, SMALL | {option: value})
    assert len(str(error.value)) < 250
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["root", "name", "folder", "settings", "self"])
@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("synthetic", "layout, train, test, seed, size"),
        ("m3fd", "split, train_list, test_list, class_order, unlabelled"),
        ("llvip", "unlabelled"),
    ],
)
def test_unknown_options_are_named_with_the_known_ones(name: str, known: str, option: str, tmp_path: Path) -> None:
    message = f"^unknown option of the data set {name} '{option}'; known: {known}$"
    with pytest.raises(InputError, match=message):
        load(tmp_path, {option: "x"}, name)
    if name != "synthetic":
        for read in (datasets.load, datasets.scan, datasets.check):
            with pytest.raises(InputError, match=message):
                read(name, tmp_path, **{option: "x"})


@pytest.mark.parametrize("value", ["x" * 5000, 10**5000, ["x" * 1000] * 1000], ids=["long", "huge", "list"])
def test_values_that_fill_the_screen(value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^option test_list of the data set m3fd is .*; expected a text") as error:
        load(tmp_path, {"test_list": value}, "m3fd")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("root", ["/evil", "..", "../evil", "../../evil", "a/../../../evil", "a\0b", "a" * 300])
def test_scenes_stay_in_the_run_s_folder(root: str, tmp_path: Path) -> None:
    wanted = str(tmp_path / root[1:]) if root.startswith("/") else root
    with pytest.raises(InputError, match="^root of the synthetic data set is .*; expected a name within the run's"):
        load(tmp_path, SMALL, root=wanted)
    assert not list(tmp_path.iterdir())


def test_scenes_under_another_name(tmp_path: Path) -> None:
    load(tmp_path, SMALL, root="a/b")
    assert (tmp_path / "out/data/a/b/synthetic.json").is_file()


@pytest.mark.parametrize("damage", [DEEP, "", "{", "[1]", '"', "\0", "1" * 5000], ids=lambda text: text[:5])
def test_scenes_with_a_damaged_record_are_drawn_again(damage: str, tmp_path: Path) -> None:
    before = load(tmp_path, SMALL)
    folder = tmp_path / "out/data/synthetic"
    whole = drawn(folder)
    (folder / "synthetic.json").write_text(damage)
    (folder / "train.txt").unlink()
    (report,) = datasets.check("synthetic", folder).problems.values()
    assert len(report) == 1
    assert "is no synthetic data set (no readable synthetic.json)" in report[0]
    assert load(tmp_path, SMALL) == before
    assert drawn(folder) == whole
    assert [path.name for path in folder.parent.iterdir()] == ["synthetic"]


def test_a_folder_with_a_damaged_record_and_a_person_s_files_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    synthetic.write(folder, train=1, test=1, size=(96, 96))
    (folder / "synthetic.json").write_text(DEEP)
    (folder / "Ir" / "thesis.txt").write_text("years of work")
    before = drawn(folder)
    with pytest.raises(InputError, match=r"damaged synthetic\.json, and files that are not .* such as Ir/thesis\.txt"):
        synthetic.write(folder, train=1, test=1, size=(96, 96))
    assert drawn(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_record_that_is_endless_or_waits(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").symlink_to("/dev/zero")
    with time_limit(), pytest.raises(InputError, match="no synthetic data set"):
        synthetic.write(tmp_path, train=1, test=1, size=(96, 96))
    with time_limit():
        assert len(datasets.scan("synthetic", tmp_path).problems) == 1


@pytest.mark.parametrize("layout", ['"' + "x" * 1_000_000 + '"', "[" * 400 + "]" * 400], ids=["long", "deep"])
def test_a_layout_that_nobody_knows(layout: str, tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text(f'{{"layout": {layout}}}')
    (line,) = datasets.scan("synthetic", tmp_path).problems
    assert line.startswith(f"unknown layout in {tmp_path}")
    assert len(line) < len(str(tmp_path)) + 250


def test_the_command_line_says_it_in_one_line(call: Callable, tmp_path: Path) -> None:
    experiment = tmp_path / "mine.toml"
    for settings, message in (
        ('root = "../../evil"', "root of the synthetic data set is '../../evil'"),
        ('options = {root = "x"}', "unknown option of the data set synthetic 'root'"),
        ("options = {size = [1000000, 1000000]}", "size is [1000000, 1000000]; expected width and height"),
    ):
        experiment.write_text(f'title = "t"\nmethods = ["average"]\n[[datasets]]\nname = "synthetic"\n{settings}\n')
        status, complaints = call(["python", "run_benchmark.py", "run", str(experiment), "--out", str(tmp_path / "o")])
        assert status == 2
        assert message in one_error(complaints)
        assert not list(tmp_path.rglob("*evil*"))
    (tmp_path / "synthetic.json").write_text(DEEP)
    assert call(["python", "run_benchmark.py", "check", "synthetic", str(tmp_path)]) == (2, [])
