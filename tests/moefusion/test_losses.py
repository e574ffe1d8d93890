import pytest
import torch
from torch import Tensor

from moefusion import foreground_mask, fusion_loss, gradient_loss, pixel_loss
from moefusion.losses import cv_squared, load_balance


def image(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows)[None, None]


INFRARED = image([[0.8, 0.2], [0.4, 0.0]])
VISIBLE = image([[0.2, 0.6], [0.0, 1.0]])
FUSED = image([[0.5, 0.5], [0.5, 0.5]])


def test_pixel_loss_by_hand():
    # Foreground, left column: |0.5 - max(0.8, 0.2)| + |0.5 - max(0.4, 0)| = 0.3 + 0.1, over 4 pixels: 0.1.
    # Background, right column: |0.5 - (0.2 + 0.6)/2| + |0.5 - (0 + 1)/2| = 0.1 + 0, over 4 pixels: 0.025.
    mask = image([[1.0, 0.0], [1.0, 0.0]])
    assert pixel_loss(FUSED, INFRARED, VISIBLE, mask).item() == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        # All foreground: targets 0.8, 0.6, 0.4, 1.0; 0.3 + 0.1 + 0.1 + 0.5 = 1.0, over 4: 0.25.
        (1.0, 0.25),
        # All background: targets 0.5, 0.4, 0.2, 0.5; 0 + 0.1 + 0.3 + 0 = 0.4, over 4: 0.1.
        (0.0, 0.1),
    ],
)
def test_pixel_loss_with_one_region_only(level, expected):
    loss = pixel_loss(FUSED, INFRARED, VISIBLE, torch.full_like(FUSED, level))
    assert loss.item() == pytest.approx(expected)


def test_gradient_loss_of_a_single_bright_pixel():
    # A 1 in the middle of 3x3 zeros meets each Sobel weight once: |Sobel_x| gives 1 0 1 / 2 0 2 / 1 0 1, |Sobel_y|
    # its transpose, their sum 2 2 2 / 2 0 2 / 2 2 2: 16 over 9 pixels. The visible pixel is half as bright, so the
    # infrared sets the target; the fused image is flat zero.
    infrared = image([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    loss = gradient_loss(torch.zeros_like(infrared), infrared, infrared / 2)
    assert loss.item() == pytest.approx(16 / 9)
    assert gradient_loss(infrared, infrared, infrared / 2).item() == 0


def test_gradient_loss_pads_with_zeros():
    # A 1x1 image meets only the kernels' middles, which are 0; in 1x2, (1, 0): Sobel_x is 0 at the left pixel and
    # -2 at the right one, Sobel_y 0 at both; the mean is 1.
    pair = image([[1.0, 0.0]])
    assert gradient_loss(torch.zeros_like(pair), pair, torch.zeros_like(pair)).item() == pytest.approx(1.0)


def test_cv_squared_by_hand():
    # Mean 2, deviations -1 -1 0 2: unbiased variance 6/3 = 2, over 2²: 0.5.
    assert cv_squared(torch.tensor([1.0, 1.0, 2.0, 4.0])).item() == pytest.approx(0.5)
    assert cv_squared(torch.full((4,), 3.0)).item() == 0


def test_load_balance_by_hand():
    # One sample, two of four experts. Importance 0.75 0.25 0 0: mean 1/4, squares of deviations 1/4 + 0 + 1/16 + 1/16
    # = 3/8, variance 1/8, over 1/16: 2. Load 1 1 0 0: mean 1/2, variance 4·(1/4)/3 = 1/3, over 1/4: 4/3.
    gates = torch.tensor([[0.75, 0.25, 0.0, 0.0]])
    assert load_balance(gates, (gates > 0).sum(0).float()).item() == pytest.approx(2 + 4 / 3)


def test_fusion_loss_adds_up():
    mask = image([[1.0, 0.0], [1.0, 0.0]])
    loss = fusion_loss(FUSED, INFRARED, VISIBLE, mask, torch.tensor(0.04), alpha=5.0)
    assert loss.pixel.item() == pytest.approx(0.125)
    assert loss.gradient.item() == gradient_loss(FUSED, INFRARED, VISIBLE).item() > 0
    assert loss.total.item() == pytest.approx(0.125 + 5 * loss.gradient.item() + 0.04)


def test_foreground_mask_covers_pixels_whose_centre_is_inside():
    boxes = [
        # Columns 1 and 2 of rows 0 and 1; a second box adds the pixel in row 2, column 4, and reaches outside.
        torch.tensor([[1.0, 0.0, 3.0, 2.0], [4.0, 2.0, 9.0, 9.0]]),
        # Centres at 0.5, 1.5, ...: from 0.6 to 2.4 only column 1's is inside, from 0.4 to 1.6 rows 0 and 1.
        torch.tensor([[0.6, 0.4, 2.4, 1.6]]),
        torch.zeros(0, 4),
    ]
    expected = torch.tensor(
        [
            [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]],
            [[0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]],
            [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
        ]
    )
    mask = foreground_mask(boxes, (3, 5))
    assert mask.dtype == torch.float32
    assert torch.equal(mask, expected[:, None].float())


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "expected one .* for each image"),
        ([torch.zeros(0, 4), torch.zeros(4)], r"boxes of image 1: expected shape .* got \(4,\)"),
        ([torch.tensor([[5.0, 0.0, 1.0, 2.0]])], "boxes of image 0: expected x0 <= x1"),
        ([torch.tensor([[0.0, 0.0, float("nan"), 2.0]])], "boxes of image 0: expected x0 <= x1"),
    ],
)
def test_foreground_mask_refuses_what_is_no_list_of_boxes(boxes, message):
    with pytest.raises(ValueError, match=message):
        foreground_mask(boxes, (4, 4))


def test_losses_refuse_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"mask: expected the shape of fused, \(1, 1, 2, 2\), got \(1, 1, 1, 2\)"):
        pixel_loss(FUSED, INFRARED, VISIBLE, torch.ones(1, 1, 1, 2))
    with pytest.raises(ValueError, match="visible: expected the shape of fused"):
        gradient_loss(FUSED, INFRARED, VISIBLE[..., :1])
    with pytest.raises(ValueError, match="fused: expected shape"):
        gradient_loss(FUSED[0], INFRARED[0], VISIBLE[0])
