from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from methods import weights
from methods.ifcnn import IFCNN, IFCNNNetwork
from metrics.errors import InputError
from metrics.images import ImageArray
from metrics.opencv import cv2

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


def _straightforward(state: State, variant: str, infrared: ImageArray, visible: ImageArray) -> NDArray[np.float32]:
    """Fuse as published: three equal channels, replicate padding, no activation after the first convolution."""

    def block(maps: Tensor, name: str) -> Tensor:
        maps = F.conv2d(F.pad(maps, (1,) * 4, mode="replicate"), state[f"{name}.conv.weight"])
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (state[f"{name}.bn.{key}"] for key in keys)
        return F.relu(F.batch_norm(maps, mean, variance, weight, bias))

    features = []
    for band in (visible, infrared):
        image = torch.from_numpy(band).float().expand(1, 3, *band.shape) / 255
        if variant != "max-script":
            image = (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
        maps = F.conv2d(F.pad(image, (3,) * 4, mode="replicate"), state["conv1.weight"])
        features.append(block(maps, "conv2"))
    both = torch.stack(features)
    fused = {"sum": both.sum(0), "mean": both.mean(0)}.get(variant, both.amax(0))
    fused = F.conv2d(block(fused, "conv3"), state["conv4.weight"], state["conv4.bias"])
    result: NDArray[np.float32] = fused[0].numpy()
    return result


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


@pytest.mark.parametrize("variant", IFCNN.variants)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (37, 53), (66, 7), (130, 1)])
def test_agrees_with_the_published_computation(tmp_path: Path, variant: str, size: tuple[int, int]) -> None:
    state = _state()
    infrared, visible = _images(*size)
    method = IFCNN(variant=variant, weights=_write(tmp_path, state, FILES[variant]), device="cpu")
    raw = method.raw(infrared, visible)
    assert raw.shape == (3, *size)
    assert method.fuse(infrared, visible).shape == size
    np.testing.assert_allclose(raw, _straightforward(state, variant, infrared, visible), rtol=0, atol=1e-5)
    assert method.settings()["official weights"] is False


def test_the_published_network_gives_the_same(tmp_path: Path) -> None:
    network = IFCNNNetwork(torch.maximum).eval()
    network.load_state_dict(_state())
    infrared, visible = _images(12, 15)
    with torch.inference_mode():
        bands = [torch.from_numpy(band).float().expand(1, 3, -1, -1) / 255 for band in (infrared, visible)]
        expected = network(*bands)[0].numpy()
    np.testing.assert_allclose(
        IFCNN(variant="max-script", weights=_write(tmp_path, _state()), device="cpu").raw(infrared, visible),
        expected,
        rtol=0,
        atol=1e-5,
    )


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


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))


@pytest.mark.parametrize(
    "damage", ["truncated", "no tensors", "a list", "code", "a name short", "a name too many", "another shape"]
)
def test_damaged_checkpoints_are_refused(tmp_path: Path, damage: str) -> None:
    state = _state()
    cases: dict[str, object] = {
        "truncated": state,
        "no tensors": dict.fromkeys(state, "text"),
        "a list": list(state.values()),
        "code": {"conv1.weight": _Runs()},
        "a name short": {name: value for name, value in state.items() if name != "conv4.bias"},
        "a name too many": state | {"conv5.bias": torch.zeros(3)},
        "another shape": state | {"conv4.bias": torch.zeros(4)},
    }
    folder = _write(tmp_path, cases[damage])
    path = tmp_path / "IFCNN-MAX.pth"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=path.name) as error:
        IFCNN(weights=folder, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.shared
@pytest.mark.parametrize(("variant", "case"), [("max", "max_paper_norm"), ("max-script", "max_script_norm")])
def test_official_output(shared: Path, variant: str, case: str, device: str) -> None:
    golden = np.load(shared / "golden" / f"ifcnn_{case}_1.npz")
    method = IFCNN(variant=variant, weights=str(shared / "weights" / "ifcnn"), device=device)
    np.testing.assert_allclose(method.raw(golden["ir"], golden["vis"]), golden["raw"], rtol=0, atol=1e-4)
    difference = np.abs(method.fuse(golden["ir"], golden["vis"]).astype(int) - golden["picture"])
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= 1e-3


@pytest.mark.shared
@pytest.mark.parametrize("variant", IFCNN.variants)
def test_official_files_are_known(shared: Path, variant: str) -> None:
    method = IFCNN(variant=variant, weights=str(shared / "weights" / "ifcnn"), device="cpu")
    assert list(method.files) == [FILES[variant]]
    known = {file.name: file for file in IFCNN.record.files}
    assert all(weights.official(path, known[name]) for name, path in method.files.items())
    assert method.settings()["official weights"] is True
