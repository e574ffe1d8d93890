"""The losses that train the fusion network: pixels, gradients and the balance between experts."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.errors import InputError


class FusionLoss(NamedTuple):
    """The total fusion loss and its unweighted terms, all scalars."""

    total: Tensor
    pixel: Tensor
    gradient: Tensor
    load: Tensor


def fusion_loss(
    fused: Tensor, infrared: Tensor, visible: Tensor, mask: Tensor, load: Tensor, *, alpha: float = 10.0
) -> FusionLoss:
    """Return L = L_pixel + alpha·L_grad + L_load and its terms.

    Args:
        fused, infrared, visible: (N, 1, H, W), on the scale [0, 1].
        mask: (N, 1, H, W), 1 on foreground and 0 elsewhere, as from `foreground_mask`.
        load: Scalar, the gates' weighted load-balancing losses: `FusionOutput.load_loss`.
        alpha: Weight of the gradient loss, `FusionConfig.alpha`.

    Raises:
        InputError: The shapes differ.

    Reference:
        Cao, Sun, Zhu and Hu, "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion", 2023.
    """
    pixel = pixel_loss(fused, infrared, visible, mask)
    gradient = gradient_loss(fused, infrared, visible)
    return FusionLoss(pixel + alpha * gradient + load, pixel, gradient, load)


def pixel_loss(fused: Tensor, infrared: Tensor, visible: Tensor, mask: Tensor) -> Tensor:
    """Return L_pixel = mean|M·F - M·max(I, V)| + mean|(1-M)·F - (1-M)·(I+V)/2|, a scalar.

    The foreground shall keep the brighter source and the background the sources' mean. Both means run over all
    pixels, so a small foreground weighs little.

    Args:
        fused, infrared, visible: F, I and V, (N, 1, H, W), on the scale [0, 1].
        mask: M, (N, 1, H, W), 1 on foreground and 0 elsewhere.

    Raises:
        InputError: The shapes differ.
    """
    _check_shapes(fused, infrared=infrared, visible=visible, mask=mask)
    foreground = mask * (fused - torch.maximum(infrared, visible))
    background = (1 - mask) * (fused - (infrared + visible) / 2)
    return foreground.abs().mean() + background.abs().mean()


def gradient_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> Tensor:
    """Return L_grad = mean| |∇F| - max(|∇I|, |∇V|) |, a scalar, with |∇x| = |Sobel_x(x)| + |Sobel_y(x)|.

    Args:
        fused, infrared, visible: F, I and V, (N, 1, H, W), on the scale [0, 1].

    Raises:
        InputError: The shapes differ.
    """
    _check_shapes(fused, infrared=infrared, visible=visible)
    sharpest = torch.maximum(_gradient(infrared), _gradient(visible))
    return (_gradient(fused) - sharpest).abs().mean()


def load_balance(gates: Tensor, load: Tensor) -> Tensor:
    """Return CV²(importance) + CV²(load) of one gate, a scalar; importance = Σ_batch gates.

    Args:
        gates: (N, experts), the share of each expert in each sample.
        load: (experts,), how many samples each expert gets, or its smooth estimate.

    Reference:
        Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer", 2017,
        equations 6-7 and appendix A.
    """
    return cv_squared(gates.sum(dim=0)) + cv_squared(load)


def cv_squared(values: Tensor) -> Tensor:
    """Return CV² = var / (mean² + 1e-10), the squared coefficient of variation, with the unbiased variance.

    Args:
        values: (experts,), at least two.
    """
    return values.var() / (values.mean().square() + 1e-10)


def foreground_mask(boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return the mask of the pixels whose centre lies in a box, (N, 1, H, W), float32, 1 inside and 0 outside.

    Args:
        boxes: One tensor for each image, (number of boxes, 4), each box x0 y0 x1 y1 in pixels; x1 and y1 are the
            box's outer edge. Boxes may reach over the image's border, and an image may have none.
        size: (H, W).

    Raises:
        InputError: There is no image, or something is not a list of boxes.
    """
    if not boxes:
        raise InputError("boxes: expected one (number of boxes, 4) tensor for each image, got none")
    return torch.stack([_inside(image, index, size) for index, image in enumerate(boxes)])


def _inside(boxes: Tensor, index: int, size: tuple[int, int]) -> Tensor:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes of image {index}: expected shape (number of boxes, 4), got {tuple(boxes.shape)}")
    # Written so that a box with a NaN is refused as well.
    if not bool((boxes[:, 2:] >= boxes[:, :2]).all()):
        raise InputError(f"boxes of image {index}: expected x0 <= x1 and y0 <= y1 in all, got {boxes.tolist()}")
    left, top, right, bottom = boxes.float().unsqueeze(2).unbind(1)
    rows = torch.arange(size[0], device=boxes.device) + 0.5
    columns = torch.arange(size[1], device=boxes.device) + 0.5
    in_rows = ((top <= rows) & (rows < bottom)).float()
    in_columns = ((left <= columns) & (columns < right)).float()
    return (in_rows.T @ in_columns > 0).float().unsqueeze(0)


def _gradient(image: Tensor) -> Tensor:
    sobel_x = image.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([sobel_x, sobel_x.T]).unsqueeze(1)
    return F.conv2d(image, kernels, padding=1).abs().sum(dim=1, keepdim=True)


def _check_shapes(fused: Tensor, **others: Tensor) -> None:
    if fused.ndim != 4 or fused.shape[1] != 1:
        raise InputError(f"fused: expected shape (N, 1, H, W), got {tuple(fused.shape)}")
    for name, other in others.items():
        if other.shape != fused.shape:
            raise InputError(f"{name}: expected the shape of fused, {tuple(fused.shape)}, got {tuple(other.shape)}")
