"""What the detector sees, by each colour rule, and what it is told to find."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.datasets.base import Box, Pair
from benchmark.detection.samples import (
    Example,
    Samples,
    build_target,
    fused_examples,
    infrared_examples,
    read_input,
    recolour,
    visible_examples,
)
from metrics import images
from metrics.errors import InputError

RNG = np.random.default_rng(0)
VISIBLE = RNG.integers(0, 256, (12, 16, 3), np.uint8)
GREY = RNG.integers(0, 256, (12, 16), np.uint8)


def test_luma_is_grey_three_times() -> None:
    for source in (GREY, VISIBLE):
        shown = recolour(source, VISIBLE, "luma")
        assert shown.shape == (12, 16, 3)
        assert (shown == images.grey(source)[..., None]).all()


def test_chroma_is_ycbcr_recolouring() -> None:
    # ITU-R BT.601: Cb = (B - Y) / 1.772, Cr = (R - Y) / 1.402, and back again with another Y.
    red, green, blue = (VISIBLE[..., channel].astype(float) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / 1.772, (red - luma) / 1.402
    expected = np.stack([GREY + 1.402 * cr, GREY - 0.344136 * cb - 0.714136 * cr, GREY + 1.772 * cb], axis=-1)
    shown = recolour(GREY, VISIBLE, "chroma").astype(float)
    # Y is rounded to a level, so all three may be half a level off, and the sum is cut to a level.
    assert np.abs(shown - np.clip(expected, 0, 255)).max() < 1.01


def test_a_visible_image_keeps_its_colours_and_an_infrared_one_is_grey() -> None:
    assert (recolour(VISIBLE, VISIBLE, "chroma") == VISIBLE).all()
    assert (recolour(GREY, None, "chroma") == GREY[..., None]).all()
    assert (recolour(GREY, GREY, "chroma") == GREY[..., None]).all()  # a grey visible image has no chroma


def test_sizes_must_agree_for_chroma(tmp_path: Path) -> None:
    images.write(tmp_path / "fused.png", GREY)
    images.write(tmp_path / "visible.png", VISIBLE[:10])
    example = Example("a", tmp_path / "fused.png", tmp_path / "visible.png")
    with pytest.raises(InputError, match="fused.png: the image is 16x12 but the visible one is 16x10"):
        read_input(example, "chroma")
    assert read_input(example, "luma").shape == (12, 16, 3)  # which the visible image has no part in


def test_targets_are_clipped_and_numbered_from_one() -> None:
    boxes = (
        Box(-4.0, 2.5, 8.0, 30.0, "car"),  # over the left and the lower edge
        Box(3.0, 3.0, 5.0, 6.0, "person"),
        Box(3.0, 3.0, 5.0, 6.0, "person", difficult=True),
        Box(16.0, 1.0, 20.0, 4.0, "car"),  # nothing of it is in the image
        Box(5.0, 5.0, 5.0, 9.0, "car"),  # no width
    )
    wanted = build_target(boxes, ("person", "car"), (16, 12))
    assert wanted["boxes"].tolist() == [[0.0, 2.5, 8.0, 12.0], [3.0, 3.0, 5.0, 6.0]]
    assert wanted["labels"].tolist() == [2, 1]
    assert wanted["boxes"].dtype == torch.float32
    assert wanted["labels"].dtype == torch.int64
    with pytest.raises(InputError, match="unknown class of a box 'dog'; known: person, car"):
        build_target([Box(0, 0, 1, 1, "dog")], ("person", "car"), (16, 12))


def test_samples(tmp_path: Path) -> None:
    images.write(tmp_path / "00.png", GREY)
    images.write(tmp_path / "vi.png", VISIBLE)
    pair = Pair("00", tmp_path / "00.png", tmp_path / "vi.png")
    (infrared,), (visible,), (fused,) = (
        infrared_examples([pair]),
        visible_examples([pair]),
        fused_examples([pair], tmp_path),
    )
    data = Samples([infrared, visible, fused], ("car",), "chroma")
    assert len(data) == 3
    shown, wanted = data[0]
    assert shown.dtype == torch.float32
    assert torch.equal(shown, torch.from_numpy(GREY).float().div(255).expand(3, -1, -1))
    assert wanted["boxes"].shape == (0, 4)  # an image without objects stays, as a negative
    assert wanted["labels"].shape == (0,)
    assert torch.equal(data[1][0], torch.from_numpy(VISIBLE).permute(2, 0, 1).float() / 255)
    assert (data[2][0] * 255).round().permute(1, 2, 0).numpy() == pytest.approx(recolour(GREY, VISIBLE, "chroma"))
    with pytest.raises(InputError, match="gone.png cannot be read"):
        Samples([Example("gone", tmp_path / "gone.png")], ("car",), "chroma")
