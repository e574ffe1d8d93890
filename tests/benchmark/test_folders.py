"""Runs on folders as people have them: by a data set's name, with their names and sizes, in colour, without boxes."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark import datasets
from benchmark.engine import experiment
from benchmark.engine.references import collect_references
from benchmark.engine.runner import Options, Outcome
from benchmark.studies.experiment_run import run
from benchmark.synthetic import scenes
from metrics import images
from metrics.errors import InputError
from metrics.images import ImageArray
from metrics.opencv import cv2

METHODS = ("average", "maximum")


def put(folder: Path, names: Sequence[str], arrays: Sequence[ImageArray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        images.write(folder / f"{name}.png", array)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[ImageArray, ImageArray]]:
    drawn = [scenes.scene(seed, (128, 96)) for seed in (4, 9)]
    return [(scene.infrared, scene.visible) for scene in drawn]


def make(name: str, root: Path, out: Path, /, **overrides: object) -> tuple[Outcome, str]:
    """Run an experiment by two methods; return its outcome and what it printed."""
    colour = bool(overrides.pop("colour", False))
    methods = [experiment.method(text) for text in overrides.pop("methods", METHODS)]  # type: ignore[attr-defined]
    chosen = experiment.with_overrides(experiment.read(name), methods=methods, **overrides)  # type: ignore[arg-type]
    console = Console(file=io.StringIO(), width=200)
    outcome = run(chosen, Options(out, data_root=root, workers=1, colour=colour), console=console)
    assert isinstance(console.file, io.StringIO)
    return outcome, console.file.getvalue()


@pytest.mark.parametrize("name", datasets.names())
def test_every_data_set_has_an_experiment(name: str) -> None:
    if name == "synthetic":
        name = "demo"
    chosen = experiment.read(name)
    assert name in experiment.names()
    assert chosen.methods
    assert 1 in chosen.tables


def test_a_data_set_by_name(pairs: list[tuple[ImageArray, ImageArray]], tmp_path: Path) -> None:
    put(tmp_path / "TNO" / "ir", "ab", [pair[0] for pair in pairs])
    put(tmp_path / "TNO" / "vi", "ab", [pair[1] for pair in pairs])
    outcome, _ = make("tno", tmp_path, tmp_path / "out")
    assert outcome.status == 0
    table = pd.read_csv(tmp_path / "out" / "table1.csv")
    assert set(table["dataset"]) == {"TNO"}
    assert (tmp_path / "out" / "references.bib").read_text().startswith("@misc{toet2014tno,")
    elsewhere, printed = make("folders", tmp_path / "TNO", tmp_path / "out2")  # the data root is the folder itself
    assert elsewhere.status == 0, printed


def test_names_as_people_have_them_give_the_same_scores(
    pairs: list[tuple[ImageArray, ImageArray]], tmp_path: Path
) -> None:
    for folder, marks in (("plain", ("{}", "{}", "{}")), ("marked", ("IR{}", "VIS{}", "Fuse{}"))):
        for part, mark, arrays in (
            ("ir", marks[0], [pair[0] for pair in pairs]),
            ("vis", marks[1], [pair[1] for pair in pairs]),
            ("fused", marks[2], [pair[0] for pair in pairs]),
        ):
            put(tmp_path / folder / part, [mark.format(name) for name in "12"], arrays)
    tables = []
    for folder, pattern in (("plain", ""), ("marked", ""), ("marked", "/Fuse{}.png")):
        methods = ("average", f"Theirs=folder:{tmp_path / folder / 'fused'}{pattern}")
        out = tmp_path / f"out{len(tables)}"
        outcome, printed = make("folders", tmp_path / folder, out, methods=methods)
        assert outcome.status == 0, outcome.reasons
        assert ("folders: names matched as infrared IR{}, visible VIS{}" in printed) == (folder == "marked")
        tables.append(pd.read_csv(out / "table1.csv")[["method", "EN", "MI", "VIF", "Q_abf"]])
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    pd.testing.assert_frame_equal(tables[0], tables[2], check_exact=True)
    methods = [experiment.method(f"folder:{tmp_path}/marked/fused/Fuse{{}}.png")]
    assert [method.label_or_title for method in methods] == ["fused"]


def test_pairs_of_unlike_size(pairs: list[tuple[ImageArray, ImageArray]], tmp_path: Path) -> None:
    small = [np.asarray(cv2.resize(pair[0], (64, 48)), np.uint8) for pair in pairs]
    put(tmp_path / "data" / "ir", "ab", small)
    put(tmp_path / "data" / "vi", "ab", [pair[1] for pair in pairs])
    refused, _ = make("folders", tmp_path / "data", tmp_path / "out")
    assert refused.status == 2
    assert "--resize-pairs visible" in refused.reasons[0]
    outcome, _ = make("folders", tmp_path / "data", tmp_path / "out", resize_pairs="visible")
    assert outcome.status == 0
    assert images.size(tmp_path / "out/cells/folders/Average/fuse/a.png") == (128, 96)
    table = (tmp_path / "out" / "table1.csv").read_text()
    assert "infrared images of 2 pairs scaled bilinearly to the visible image's size" in table


def test_colour_images_lie_beside_the_grey_ones(pairs: list[tuple[ImageArray, ImageArray]], tmp_path: Path) -> None:
    put(tmp_path / "data" / "ir", "ab", [pair[0] for pair in pairs])
    put(tmp_path / "data" / "vi", "ab", [pair[1] for pair in pairs])
    make("folders", tmp_path / "data", tmp_path / "grey")
    outcome, _ = make("folders", tmp_path / "data", tmp_path / "out", colour=True)
    assert outcome.status == 0
    assert (tmp_path / "out/table1.csv").read_bytes() == (tmp_path / "grey/table1.csv").read_bytes()
    cell = tmp_path / "out/cells/folders/Average"
    fused, coloured = images.read(cell / "fuse/b.png"), images.read(cell / "colour/b.png")
    assert coloured.shape == (96, 128, 3)
    inside = (coloured > 0).all(axis=2) & (coloured < 255).all(axis=2)  # the others left the cube of RGB
    assert np.abs(images.grey(coloured).astype(int) - fused)[inside].max() <= 1
    chroma = [cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(int) for image in (coloured, pairs[1][1])]
    assert np.abs(chroma[0] - chroma[1])[inside].max() <= 1
    before = (cell / "colour/b.png").stat().st_mtime_ns
    (cell / "colour/a.png").unlink()
    make("folders", tmp_path / "data", tmp_path / "out", colour=True)
    assert (cell / "colour/a.png").is_file()
    assert (cell / "colour/b.png").stat().st_mtime_ns == before


def test_table_1_needs_no_boxes_and_table_3_says_so_before_any_work(
    pairs: list[tuple[ImageArray, ImageArray]], tmp_path: Path
) -> None:
    root = tmp_path / "LLVIP"
    for part, name in (("train", "010001"), ("test", "190001")):
        put(root / "infrared" / part, [name], [pairs[0][0]])
        put(root / "visible" / part, [name], [pairs[0][1]])
    assert make("llvip", tmp_path, tmp_path / "out")[0].status == 0
    outcome, _ = make("llvip", tmp_path, tmp_path / "out3", tables=(3,))
    assert outcome.status == 2
    assert "LLVIP has no boxes, which Tables 2 and 3 and training need" in outcome.reasons[0]
    assert not (tmp_path / "out3" / "cells").exists()


def test_references_are_those_of_the_run() -> None:
    chosen = experiment.with_overrides(
        experiment.read("m3fd"), methods=[experiment.method(name) for name in ("average", "densefuse")]
    )
    entries = collect_references(chosen)
    assert len(entries) == 2
    assert any(entry.startswith("@inproceedings{liu2022tardal,") for entry in entries)
    assert len(collect_references(experiment.read("all"))) > 10


def test_unknown_experiments_list_the_data_sets() -> None:
    with pytest.raises(InputError, match="unknown experiment '.*'; known: .*roadscene, tno, path/to/file.toml"):
        experiment.read("tn\N{CYRILLIC SMALL LETTER O}")


def test_a_data_set_of_a_user_s_own_is_run(pairs: list[tuple[ImageArray, ImageArray]], tmp_path: Path) -> None:
    """The example of docs/datasets.md, through the run to a table."""
    page = Path(__file__).parents[2] / "docs" / "datasets.md"
    code = re.search(r"<!-- own data set -->\n```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert code
    (tmp_path / "my_dataset.py").write_text(code[1])
    root = tmp_path / "data" / "harbour"
    put(root / "thermal", "ab", [pair[0] for pair in pairs])
    put(root / "rgb", "ab", [pair[1] for pair in pairs])
    (root / "boxes.csv").write_text("a,1,2,30,40,ship\nb,3,4,9,80,buoy\n")
    outcome, _ = make(f"{tmp_path}/my_dataset.py:harbour", tmp_path / "data", tmp_path / "out")
    assert outcome.status == 0, outcome.reasons
    table = pd.read_csv(tmp_path / "out" / "table1.csv")
    assert list(table["dataset"]) == ["harbour"] * 2
    assert "the last pair is the test" in table["split"].iloc[0]
