"""What a GPU makes of fusing, training and detecting: python tests/speed/gpu.py --help."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
import tyro

import moefusion
from benchmark import datasets
from benchmark.datasets.base import Pair
from benchmark.detection import inference, samples, training
from benchmark.detection.detectors import build
from benchmark.detection.settings import DetectionSettings
from benchmark.engine.cells import Cell
from benchmark.engine.experiment import MethodSettings
from benchmark.engine.stages.fuse import Fuse, _fuse_pair
from benchmark.engine.stages.train import PairSamples
from benchmark.synthetic import layouts as synthetic
from metrics import images
from metrics.errors import InputError

SIZE, DISTINCT = (1280, 1024), 8  # LLVIP's; scenes that are drawn
CLASSES = ("People", "Car", "Motorcycle")


@dataclass
class Gpu:
    """Measure on a GPU: fusing with files in turn and beside, training MoE-Fusion, training and running detectors."""

    methods: tuple[str, ...] = ("densefuse", "ifcnn", "didfuse", "auif", "ydtr", "tardal")
    """Those whose weights are here."""

    images: int = 64
    """How many each method fuses."""

    steps: int = 24
    """Steps of each training; the median of the second half counts."""

    device: str = "cuda"
    """The GPU; a CPU shows that the script runs."""

    out: Path = Path("results/reference/gpu")
    """Where fusing.csv and steps.csv go."""

    def __call__(self) -> None:
        """Measure and write the tables."""
        self.out.mkdir(parents=True, exist_ok=True)
        card = torch.cuda.get_device_name() if self.device.startswith("cuda") else "CPU"
        with TemporaryDirectory() as name:
            root = Path(name)
            synthetic.write(root / "drawn", layout="m3fd", train=DISTINCT, test=DISTINCT, seed=0, size=SIZE)
            found = datasets.load("m3fd", root / "drawn")
            many = [replace(found.test[n % DISTINCT], name=f"{n:05d}") for n in range(self.images)]
            self._write("fusing", card, [self._fusing(each, many, root) for each in self.methods])
            rows = [self._training(batch, mixed, found.train) for batch in (4, 8) for mixed in (True, False)]
            rows += self._detecting(found.train, many, root)
            self._write("steps", card, rows)

    def _write(self, name: str, card: str, rows: list[dict[str, object]]) -> None:
        table = pd.DataFrame(rows).assign(measured=f"{card}, {os.cpu_count()} cores, torch {torch.__version__}")
        table.to_csv(self.out / f"{name}.csv", index=False)
        print(table.drop(columns="measured").to_string(index=False), flush=True)

    def _fusing(self, name: str, pairs: list[Pair], root: Path) -> dict[str, object]:
        try:
            stage = Fuse("m3fd", pairs, MethodSettings(name), device=self.device)
        except InputError as error:
            return {"method": name, "reason": str(error)}
        method, cell = stage.method, Cell(root, "m3fd", name, "fuse")
        cell.folder.mkdir(parents=True)

        def in_turn() -> None:
            for pair in pairs:
                pair.stamps  # noqa: B018 - known before, as in a run
                assert _fuse_pair(method, "m3fd", pair, cell.folder / f"{pair.name}.png") is None

        def beside() -> None:
            assert len(list(stage._fuse_here(pairs, cell))) == len(pairs)

        infrared, visible = images.read(pairs[0].infrared), images.read(pairs[0].visible)
        method.fuse(infrared, visible)  # sets up what is set up once
        alone = [seconds(lambda: method.fuse(infrared, visible)) for _ in range(5)]
        slow, fast = (1000 * seconds(work) / len(pairs) for work in (in_turn, beside))
        return {
            "method": name,
            "size": "x".join(map(str, SIZE)),
            "images": len(pairs),
            "ms of the network": round(1000 * statistics.median(alone), 1),
            "ms an image, files in turn": round(slow, 1),
            "ms an image, files beside": round(fast, 1),
            "times as fast": round(slow / fast, 2),
        }

    def _training(self, batch: int, mixed: bool, pairs: tuple[Pair, ...]) -> dict[str, object]:
        """Return the cost of a training step of the paper's MoE-Fusion at 480x640, from random initialisation."""
        torch.manual_seed(0)
        model = moefusion.MoEFusion(
            moefusion.FusionConfig.paper(), moefusion.DetectorConfig(weights=None), len(CLASSES)
        )
        config = replace(
            moefusion.TrainingConfig.paper(),
            epochs=1,
            repeat=self.steps * batch // len(pairs),
            batch=batch,
            mixed_precision=mixed,
            checkpoint_steps=self.steps + 1,
            workers=8,
        )
        data = PairSamples(pairs, CLASSES)
        return self._steps(
            f"MoE-Fusion, step of {batch}, {'bfloat16' if mixed else 'float32'} detectors",
            lambda folder: moefusion.train(model, data, folder, config, device=self.device, progress=False),
        )

    def _detecting(self, train: tuple[Pair, ...], test: list[Pair], root: Path) -> list[dict[str, object]]:
        settings = DetectionSettings(weights="none", workers=8, epochs=max(self.steps * 4 // (2 * len(train)), 1))
        model = build(settings, len(CLASSES))
        seen = [*samples.infrared_examples(train), *samples.visible_examples(train)]
        trained = self._steps(
            "Faster R-CNN, step of 4",
            lambda folder: training.train(model, seen, CLASSES, folder, settings, device=self.device),
        )
        examples = samples.visible_examples(test)
        next(inference.detect(model, examples, settings, device=self.device))
        spent = seconds(lambda: list(inference.detect(model, examples, settings, device=self.device)))
        return [trained, {"what": "Faster R-CNN, an image found in", "ms": round(1000 * spent / len(examples), 1)}]

    def _steps(self, what: str, train: Callable[[Path], object]) -> dict[str, object]:
        on_gpu = self.device.startswith("cuda")
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        with TemporaryDirectory() as folder:
            spent = seconds(lambda: train(Path(folder)))
            taken: Sequence[float] = pd.read_csv(Path(folder) / "train.csv")["seconds"].tolist()
        return {
            "what": what,
            "ms": round(1000 * statistics.median(taken[len(taken) // 2 :]), 1),
            "steps": len(taken),
            "seconds in all": round(spent, 1),
            "GPU memory (GB)": round(torch.cuda.max_memory_allocated() / 1e9, 1) if on_gpu else None,
        }


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes; what runs on a GPU ends with a result in main memory."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    tyro.cli(Gpu)()
