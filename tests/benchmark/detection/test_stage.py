"""Detection as a stage of a run: both protocols, resuming, and what a changed input costs."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console

from benchmark.detection.settings import DetectionSettings
from benchmark.engine import experiment
from benchmark.engine.runner import Options
from benchmark.studies.experiment_run import run
from benchmark.synthetic import layouts as synthetic
from metrics import images


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detection")
    synthetic.write(folder / "M3FD", layout="m3fd", train=4, test=3, seed=1, size=(128, 96))
    return folder


def wanted(*methods: str, **settings: object) -> experiment.Experiment:
    base: dict[str, object] = {"detector": "small", "weights": "none", "epochs": 1, "workers": 0, "warmup": 1}
    return experiment.Experiment(
        title="Tiny",
        datasets=[experiment.DatasetSettings(name="m3fd")],
        methods=[experiment.method(text) for text in methods],
        tables=[3],
        detection=DetectionSettings(**base | {"score_threshold": 0.0} | settings),  # type: ignore[arg-type]
    )


def go(experiment_: experiment.Experiment, options: Options, stage: str | None = None) -> str:
    shown = io.StringIO()
    outcome = run(experiment_, options, stage=stage, console=Console(file=shown, width=200))
    assert outcome.reasons == []
    return shown.getvalue()


def test_the_papers_protocol(scenes: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path, data_root=scenes, workers=1)
    shown = go(wanted("infrared", "visible", "average"), options)
    assert shown.count("detect: done") == 4  # the shared detector, and three methods
    found = pd.read_csv(tmp_path / "table3.csv")
    assert found["method"].tolist() == ["Infrared", "Visible", "Average"]
    assert found["protocol"].unique() == ["paper"]
    assert found["training_images"].unique() == [8]  # both bands of four pairs
    assert found["weights"].unique() == ["random weights"]
    assert list(tmp_path.glob("figures/detections_*.png"))

    # The cell's files are what any COCO tool takes.
    cell = tmp_path / "cells/M3FD/Average/detect"
    truth = COCO(str(cell / "ground_truth.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(cell / "detections.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert 100 * evaluation.stats[0] == pytest.approx(found.set_index("method").loc["Average", "AP"], abs=1e-9)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert go(wanted("infrared", "visible", "average", "maximum"), options).count("detect: kept") == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is trained again for one more method"


def test_a_stopped_detection_goes_on_behind_the_last_image(scenes: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path, data_root=scenes, workers=1)
    go(wanted("average"), options)
    cell = tmp_path / "cells/M3FD/Average/detect"
    table, found = (tmp_path / "table3.csv").read_bytes(), (cell / "detections.json").read_bytes()
    manifest = json.loads((cell / "manifest.json").read_text())
    (cell / "manifest.json").write_text(json.dumps(manifest | {"status": "running"}))
    lines = (cell / "detections.jsonl").read_text().splitlines(keepends=True)
    (cell / "detections.jsonl").write_text(lines[0] + lines[1][: len(lines[1]) // 2])  # killed in mid-write
    (cell / "detections.json").unlink()
    go(wanted("average"), options, "detect")
    assert len((cell / "detections.jsonl").read_text().splitlines()) == 3
    assert (cell / "detections.json").read_bytes() == found
    assert (tmp_path / "table3.csv").read_bytes() == table


def test_damage_is_refused_and_costs_nothing(scenes: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path, data_root=scenes, workers=1)
    go(wanted("average"), options)
    cell = tmp_path / "cells/M3FD/Average/detect"
    fused = sorted((tmp_path / "cells/M3FD/Average/fuse").glob("*.png"))[1]
    model = tmp_path / "cells/M3FD/infrared+visible/detector/model.safetensors"
    found = (cell / "detections.jsonl").read_bytes()
    before = fused.read_bytes()
    images.write(fused, np.zeros((48, 64), np.uint8))
    outcome = run(wanted("average"), options, stage="detect", console=Console(file=io.StringIO()))
    assert outcome.status == 2
    assert f"{fused} is 64x48 but its sources are 128x96" in outcome.refused[0]
    assert (cell / "detections.jsonl").read_bytes() == found
    fused.write_bytes(before)
    trained = model.read_bytes()
    model.write_bytes(trained[:-9])
    go(wanted("average"), options, "detect")
    assert model.read_bytes() == trained, "it is rewritten from the last checkpoint"
    assert (cell / "detections.jsonl").read_bytes() == found


def test_retraining_on_each_methods_images(scenes: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path, data_root=scenes, workers=1)
    go(wanted("average", "maximum", protocol="retrain"), options)
    models = [tmp_path / f"cells/M3FD/{name}/detector/model.safetensors" for name in ("Average", "Maximum")]
    assert models[0].read_bytes() != models[1].read_bytes()
    assert not (tmp_path / "cells/M3FD/infrared+visible").exists()
    found = pd.read_csv(tmp_path / "table3.csv")
    assert found["protocol"].unique() == ["retrain"]
    assert found["training_images"].unique() == [4]
    assert "kept" in go(wanted("average", "maximum", protocol="retrain"), options, "detect")


def test_another_colour_rule_needs_another_detector(scenes: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path, data_root=scenes, workers=1)
    go(wanted("average"), options)
    outcome = run(wanted("average", colour="chroma"), options, console=Console(file=io.StringIO()))
    assert outcome.status == 2
    assert "was trained with settings.colour 'luma', but this run has 'chroma'" in outcome.refused[0]


def test_a_failed_method_has_a_row_that_says_so(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from methods import Method\n\nclass Broken(Method):\n"
        "    def forward(self, infrared, visible):\n        raise RuntimeError('no')\n"
    )
    options = Options(out=tmp_path / "out", data_root=scenes, workers=1)
    outcome = run(wanted("average", f"{tmp_path / 'own.py'}:Broken"), options, console=Console(file=io.StringIO()))
    assert outcome.status == 1
    found = pd.read_csv(tmp_path / "out/table3.csv").set_index("method")
    assert found.loc["Broken", "status"] == "RuntimeError: no"
    assert found.loc["Average", "status"] == "done"


OWN = '''"""A detector of a user."""
from benchmark.detection.detectors import RetinaNetDetector
from moefusion.backbones import small_backbone
from torchvision.models.detection.anchor_utils import AnchorGenerator


def build(classes, pretrained, **sizes):
    """Return it."""
    anchors = AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4)
    return RetinaNetDetector(small_backbone((8, 16, 32), 32, 4), classes + 1, anchor_generator=anchors, **sizes)
'''


@pytest.mark.parametrize("detector", ["retinanet_small", "fcos_small", "own.py:build"])
def test_every_family_is_trained_run_and_tabulated_by_the_same_code(
    detector: str, scenes: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    name = str(tmp_path / detector) if detector.startswith("own") else detector
    options = Options(out=tmp_path / "out", data_root=scenes, workers=1)
    experiment_ = wanted("average", detector=name, min_size=96)
    assert go(experiment_, options).count("detect: done") == 2
    found = pd.read_csv(tmp_path / "out/table3.csv")
    assert found["detector"].tolist() == [name]
    assert found["weights"].tolist() == ["random weights"]
    assert found["mAP"].notna().all()
    assert go(experiment_, options).count("detect: kept") == 2
    # Another docstring redoes nothing; another line of code detects again, with the detector as it was trained.
    for old, new, stays in (("Return it", "Give it", True), ("**sizes)\n", "nms_thresh=0.9, **sizes)\n", False)):
        changed = (tmp_path / "own.py").read_text().replace(old, new)
        (tmp_path / "own.py").write_text(changed)
        expected = 2 if stays or not detector.startswith("own") else 1
        assert go(experiment_, options).count("detect: kept") == expected
