"""AUIF: the published network, and the composed one that gives the same."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from methods.auif import AUIF, AUIFNetwork
from metrics.images import ImageArray
from tests.methods.checkpoints import golden_cases
from tests.methods.stand_ins import networks, write_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files("auif", tmp_path_factory.mktemp("auif"))


def load_published(folder: Path) -> AUIFNetwork:
    """Return the published network with the weights of a folder, in float64."""
    network = AUIFNetwork()
    for file, part in zip(AUIF.record.files, (network.base, network.detail, network.decoder), strict=True):
        part.load_state_dict(torch.load(folder / file.name, weights_only=True))
    return network.double().eval()


def images(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    """Two random images."""
    infrared, visible = np.random.default_rng(height * width).integers(0, 256, (2, height, width), dtype=np.uint8)
    return infrared, visible


def test_official_names_and_shapes() -> None:
    # Official checkpoints: ten layers of 576 + 1 + 1 + 2 + 1 parameters twice, and a decoder of 9 + 2.
    layer = {"kernel": (64, 1, 3, 3), "eta": (1,), "theta": (1,), "rest.1.weight": (1,)}
    norm = {"weight": (1,), "bias": (1,), "running_mean": (1,), "running_var": (1,), "num_batches_tracked": ()}
    layer |= {f"rest.0.{name}": shape for name, shape in norm.items()}
    shapes = [
        {name: tuple(value.shape) for name, value in part.state_dict().items()} for part in networks("auif").values()
    ]
    for encoder, prefix in zip(shapes, ("conv1", "conv2"), strict=False):
        assert encoder == {f"{prefix}.{index}.{name}": shape for index in range(10) for name, shape in layer.items()}
    assert shapes[2] == {"decoder.1.weight": (1, 1, 3, 3)} | {f"decoder.2.{name}": size for name, size in norm.items()}


@pytest.mark.parametrize("size", [(10, 10), (37, 53), (64, 11)])
def test_the_composed_network_gives_what_the_published_one_gives(folder: Path, size: tuple[int, int]) -> None:
    bands = images(*size)
    with torch.inference_mode():
        published = load_published(folder)(*(torch.from_numpy(band)[None, None].double() / 255 for band in bands))
    expected = published[0, 0].numpy()
    raw = AUIF(weights=str(folder), device="cpu").raw(*bands)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(raw, expected, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(AUIF(weights=str(folder), device="cpu").image(raw), np.rint(255 * raw))


@pytest.mark.shared
def test_the_published_network_gives_the_official_output(shared: Path) -> None:
    (case,) = golden_cases(shared, "auif")
    with np.load(shared / "golden" / case.file) as golden, torch.inference_mode():
        bands = (torch.from_numpy(golden[band])[None, None].double() / 255 for band in ("ir", "vis"))
        fused = load_published(shared / "weights" / "auif")(*bands)
        np.testing.assert_allclose(fused[0, 0], golden["raw"], rtol=0, atol=case.atol)


@pytest.mark.parametrize("size", [(1, 1), (9, 40), (40, 3)])
def test_small_images_are_padded_and_cropped(folder: Path, size: tuple[int, int]) -> None:
    infrared, visible = images(*size)
    method = AUIF(weights=str(folder), device="cpu")
    extra = [(0, max(0, 10 - side)) for side in size]
    padded = method.fuse(np.pad(infrared, extra, mode="edge"), np.pad(visible, extra, mode="edge"))
    np.testing.assert_array_equal(method.fuse(infrared, visible), padded[: size[0], : size[1]])


def test_a_large_pair_needs_little_memory(folder: Path) -> None:
    # 64 channels of 1280x1024 in float32 are 336 MB; the original holds several of them at once.
    code = (
        "import json, resource, sys, numpy as np; from methods.auif import AUIF\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "method = AUIF(weights=sys.argv[1], device='cpu'); before = used()\n"
        "pair = np.random.default_rng(0).integers(0, 256, (2, 1024, 1280), dtype=np.uint8)\n"
        "shape = method.fuse(*pair).shape; print(json.dumps([shape, before, used()]))"
    )
    output = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    shape, before, peak = json.loads(output.stdout)
    megabyte = 1024**2 if sys.platform == "darwin" else 1024
    assert shape == [1024, 1280]
    assert (peak - before) / megabyte < 500
    assert peak / megabyte < 4096
