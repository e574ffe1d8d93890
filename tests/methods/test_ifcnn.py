"""IFCNN: the published network, the one for grey images that gives the same, and its image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.ifcnn import IFCNN, RULES, IFCNNNetwork
from methods.network import read_state
from metrics.images import ImageArray
from metrics.opencv import cv2
from tests.methods.checkpoints import golden_cases

FILES = {"max": "IFCNN-MAX.pth", "sum": "IFCNN-SUM.pth", "mean": "IFCNN-MEAN.pth", "max-script": "IFCNN-MAX.pth"}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
State = dict[str, Tensor]


def _state() -> State:
    """Random weights with normalisation that matters, without the entries that the official files lack."""
    torch.manual_seed(0)
    state = IFCNNNetwork(torch.maximum).state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.02, 0.2)
        elif name.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.1)
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _write(folder: Path, state: object, name: str = "IFCNN-MAX.pth") -> str:
    torch.save(state, folder / name)
    return str(folder)


def _images(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    infrared, visible = np.random.default_rng(height * width).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def test_names_shapes_and_parameters() -> None:
    # The 13 entries of the official snapshots; num_batches_tracked is absent there and means nothing here.
    expected = {"conv1.weight": (64, 3, 7, 7), "conv4.weight": (3, 64, 1, 1), "conv4.bias": (3,)}
    for name in ("conv2", "conv3"):
        expected[f"{name}.conv.weight"] = (64, 64, 3, 3)
        expected |= {f"{name}.bn.{key}": (64,) for key in ("weight", "bias", "running_mean", "running_var")}
    assert {name: tuple(value.shape) for name, value in _state().items()} == expected
    parameters = sum(parameter.numel() for parameter in IFCNNNetwork(torch.maximum).parameters())
    assert parameters == IFCNN.record.parameters == 83_587


def _published(state: State, variant: str, infrared: ImageArray, visible: ImageArray) -> Tensor:
    """Return the published network's output, (3, H, W), for two grey images as three equal, normalised channels."""
    network = IFCNNNetwork(RULES[variant.partition("-")[0]])
    network.load_state_dict(state)
    mean, deviation = ((0, 0, 0), (1, 1, 1)) if variant == "max-script" else (MEAN, DEVIATION)
    bands = [
        (torch.from_numpy(band).expand(1, 3, -1, -1) / 255 - torch.tensor(mean)[:, None, None])
        / torch.tensor(deviation)[:, None, None]
        for band in (infrared, visible)
    ]
    with torch.inference_mode():
        fused: Tensor = network.eval()(*bands)[0]
    return fused


@pytest.mark.parametrize("variant", IFCNN.variants)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (37, 53), (66, 7), (130, 1)])
def test_the_grey_network_gives_what_the_published_one_gives(
    tmp_path: Path, variant: str, size: tuple[int, int]
) -> None:
    state = _state()
    images = _images(*size)
    raw = IFCNN(variant=variant, weights=_write(tmp_path, state, FILES[variant]), device="cpu").raw(*images)
    np.testing.assert_allclose(raw, _published(state, variant, *images), rtol=0, atol=1e-5)


@pytest.mark.shared
def test_the_published_network_gives_the_official_output(shared: Path) -> None:
    state = read_state(shared / "weights" / "ifcnn" / "IFCNN-MAX.pth")
    for case in golden_cases(shared, "ifcnn"):
        with np.load(shared / "golden" / case.file) as golden:
            fused = _published(state, str(case.variant), golden["ir"], golden["vis"])
            np.testing.assert_allclose(fused, golden["raw"], rtol=0, atol=case.atol)


@pytest.mark.parametrize(
    ("variant", "scale", "offset"), [("max", DEVIATION, MEAN), ("max-script", (1, 1, 1), (0, 0, 0))]
)
def test_the_image_is_denormalised_truncated_and_grey(
    tmp_path: Path, variant: str, scale: tuple[float, ...], offset: tuple[float, ...]
) -> None:
    method = IFCNN(variant=variant, weights=_write(tmp_path, _state()), device="cpu")
    # Half a level from every step, so that rounding in float32 decides nothing.
    levels = np.random.default_rng(0).integers(-40, 300, (3, 20, 30)) + 0.5
    raw = (levels / 255 - np.reshape(offset, (3, 1, 1))) / np.reshape(scale, (3, 1, 1))
    colour = np.clip(np.floor(levels), 0, 255).astype(np.uint8)
    expected = cv2.cvtColor(np.ascontiguousarray(colour.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
    difference = np.abs(method.image(raw.astype(np.float32)).astype(int) - expected)
    # OpenCV 4 rounds its weights to 14 bits, OpenCV 5 to 15.
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.02


def test_the_images_grey_weights(tmp_path: Path) -> None:
    # (9798 R + 19235 G + 3735 B + 16384) >> 15 for 200, 100, 50: 124; 254.99 is truncated to 254, not 255.
    method = IFCNN(variant="max-script", weights=_write(tmp_path, _state()), device="cpu")
    raw = np.array([[200.5, 254.99], [100.5, 254.99], [50.5, 254.99]], dtype=np.float32)[:, None] / np.float32(255)
    assert method.image(raw).tolist() == [[124, 254]]
