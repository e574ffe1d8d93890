import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.convolution import Padding, compose_kernels, convolve_composed, enlarge, fold_normalisations, run_in_tiles


def _draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
@pytest.mark.parametrize(
    ("groups", "inputs", "between", "outputs", "size"), [(1, 1, 8, 5, 7), (4, 1, 6, 1, 3), (2, 3, 4, 2, 5)]
)
@pytest.mark.parametrize(("height", "width"), [(9, 12), (8, 8)])
def test_one_convolution_does_the_work_of_two(
    padding: Padding, groups: int, inputs: int, between: int, outputs: int, size: int, height: int, width: int
) -> None:
    maps = _draw(2, groups * inputs, height, width)
    first = _draw(groups, between, inputs, size, size)
    second = _draw(groups, outputs, between, 3, 3)
    bias = _draw(groups * outputs)
    middle = F.conv2d(F.pad(maps, (size // 2,) * 4, mode=padding), first.flatten(0, 1), groups=groups)
    expected = F.conv2d(F.pad(middle, (1,) * 4, mode=padding), second.flatten(0, 1), bias, groups=groups)
    got = convolve_composed(maps, compose_kernels(first, second, padding), bias, padding, groups=groups)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 5), (3, 2)])
def test_composed_replication_holds_down_to_two_pixels(height: int, width: int) -> None:
    maps, first, second = _draw(1, 1, height, width), _draw(1, 4, 1, 7, 7), _draw(1, 3, 4, 3, 3)
    middle = F.conv2d(F.pad(maps, (3,) * 4, mode="replicate"), first[0])
    expected = F.conv2d(F.pad(middle, (1,) * 4, mode="replicate"), second[0])
    kernels = compose_kernels(first, second, "replicate")
    torch.testing.assert_close(convolve_composed(maps, kernels, torch.zeros(3).double(), "replicate"), expected)


def test_folding_keeps_the_output() -> None:
    block = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.PReLU()).double()
    norm = block[2]
    norm.running_mean.copy_(_draw(3))  # type: ignore[operator]
    norm.running_var.copy_(_draw(3).square() + 0.1)  # type: ignore[operator]
    network = nn.ModuleList([block]).eval()
    maps = _draw(1, 2, 6, 7)
    with torch.inference_mode():
        expected = block(maps)
        got = fold_normalisations(network)[0](maps)  # type: ignore[index]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("side", [4, 7, 100])
def test_tiles_agree_with_the_whole(side: int) -> None:
    kernel = _draw(1, 2, 5, 5)

    def network(infrared: Tensor, visible: Tensor) -> Tensor:
        return F.conv2d(F.pad(torch.cat((infrared, visible), 1), (2,) * 4, mode="replicate"), kernel)

    infrared, visible = _draw(1, 1, 23, 15), _draw(1, 1, 23, 15).flip(2)
    torch.testing.assert_close(run_in_tiles(network, infrared, visible, halo=2, side=side), network(infrared, visible))


def test_enlarged_repeats_the_last_row_and_column() -> None:
    image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert enlarge(image, 4)[0, 0].tolist() == [[1, 2, 3, 3]] * 4
    assert enlarge(image, 1).shape == image.shape
