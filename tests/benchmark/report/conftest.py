"""A small run with every kind of file that the report reads, under names that would break a careless page."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.datasets.base import Box, Pair
from benchmark.engine import run_record as record
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import Experiment, MethodSettings, ScoreSettings
from benchmark.engine.stages.score import SCORES
from benchmark.tables import metric_table as tables
from benchmark.tables import statistics
from metrics import images

HOSTILE = "<img src=x onerror=alert(1)>"
QUOTED = "\"><script>alert(2)</script>'"
TITLE = "A run </script><script>alert(3)</script> & more"
SETS = (("M3FD", ("00001", "00002", "NA")), (HOSTILE, ("scene 'one' & \"two\"",)))
METHODS = ("Infrared", "Visible", "Average", QUOTED, "Broken")
RANKED = METHODS[2:4]
WIDTH, HEIGHT = 160, 120


@pytest.fixture(scope="session")
def make_run() -> Callable[..., record.Record]:
    return _make


def _make(folder: Path, selection: str = "paper") -> record.Record:
    score = ScoreSettings(metrics=selection)
    generator = np.random.default_rng(0)
    parts, blocks = [], []
    for title, names in SETS:
        pairs = tuple(_pair(folder / "data" / str(len(parts)), name, generator) for name in names)
        part = record.Part("folders", title, ("Car", "People"), pairs, "all of it", "f" * 64, ("one left out",))
        parts.append(part)
        rows = [_row(folder, part, label, generator, score.ids) for label in METHODS]
        blocks.append(tables.DatasetScores(title, len(pairs), part.fingerprint, part.split, rows))
    methods = [MethodSettings(name=name) for name in ("infrared", "visible", "average")]
    methods += [MethodSettings(name="average", label=label) for label in METHODS[3:]]
    experiment = Experiment(TITLE, [], methods, score=score)
    found = record.Record(experiment, METHODS, tuple(parts))
    record.write(folder, found)
    tables.table(blocks, experiment.score).to_csv(folder / "table1.csv", index=False)
    summaries = [
        statistics.summary(
            block.dataset, {row.method: row.scores for row in block.rows if row.scores is not None}, RANKED
        )
        for block in blocks
    ]
    pd.concat(summaries).to_csv(folder / "table1_statistics.csv", index=False)
    (folder / "figures").mkdir()
    images.write(folder / "figures" / "detections_M3FD.png", np.full((40, 60, 3), 200, np.uint8))
    images.write(folder / "figures" / "sweep_alpha.png", np.full((10, 2000), 90, np.uint8))
    note = "SCD: undefined on 1 of 3 images; weights are not the authors' own and this note is long " * 3
    (folder / "sweep_alpha.csv").write_text(
        "dataset,setting,alpha,EN,images,notes,status\n"
        f"M3FD,alpha 1,1.0,6.5,3,{note},done\nM3FD,alpha 10,10.0,,3,{note},it ran out of memory after a while\n"
    )
    (folder / "table3.csv").write_text(
        "dataset,method,origin,car,person,mAP,mAP_low,mAP_high,AP,ranked,images,protocol,classes,notes,status\n"
        "M3FD,Average,measured,61.5,40.25,50.875,48.1,53.2,30,True,3,paper,car; person,,done\n"
        "M3FD,Average,paper,60,41,50.5,,,,,,,car; person,,\n"
        "M3FD,Average,difference,1.5,-0.75,0.375,,,,,3,paper,car; person,,\n"
    )
    return found


def _pair(folder: Path, name: str, generator: np.random.Generator) -> Pair:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{len(list(folder.iterdir())):03d}"
    infrared, visible = folder / f"{stem}_ir.png", folder / f"{stem}_vi.png"
    images.write(infrared, _image(generator))
    light = _image(generator)
    images.write(visible, np.stack([light, light // 2 + 60, light // 3], axis=-1))
    return Pair(name, infrared, visible, (Box(10, 20, 30, 60, "People"), Box(100, 60, 150, 100, "Car")))


def _image(generator: np.random.Generator) -> images.ImageArray:
    coarse = generator.integers(0, 256, (HEIGHT // 20, WIDTH // 20), dtype=np.uint8)
    fine = generator.integers(0, 64, (HEIGHT, WIDTH), dtype=np.uint8)
    return np.kron(coarse // 2, np.ones((20, 20), np.uint8)) + fine


def _row(
    folder: Path, part: record.Part, label: str, generator: np.random.Generator, ids: tuple[str, ...]
) -> tables.MethodScores:
    ranked = label not in METHODS[:2]
    items = {pair.name: "0" * 64 for pair in part.pairs}
    fuse, score = (Cell(folder, part.title, label, stage) for stage in ("fuse", "score"))
    recipe = {
        "method": "x",
        "settings": {"weights": {"x.pth": "ab" * 32}, "official weights": ranked},
        "code": "cd" * 32,
    }
    fuse.open(recipe, items, discard=lambda names: None)
    if label == "Broken":
        fuse.fail("ran out of <memory>")
        return tables.MethodScores(label, None, "ran out of <memory>", ranked)
    for pair in part.pairs:
        images.write(fuse.folder / f"{pair.name}.png", _image(generator))
    fuse.close()
    values = generator.uniform(0.1, 9.0, (len(part.pairs), len(ids)))
    frame = pd.DataFrame(values, pd.Index([pair.name for pair in part.pairs], name="image"), list(ids))
    if not ranked:
        frame["SCD"] = np.nan
    score.open({"convention": "tang2022", "size": "native", "code": "ef" * 32}, items, discard=lambda names: None)
    frame.to_csv(score.folder / SCORES, na_rep="nan")  # an empty cell is a metric that was not scored
    score.close()
    return tables.MethodScores(label, frame, ranked=ranked)
