"""What holds for all images: bounds, symmetries, no undefined values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metrics
from metrics.images import ImageArray

PAPERS = [name for name, record in metrics.CONVENTIONS.items() if "EN" in record.rules]
FEW = settings(max_examples=25, deadline=None)


@st.composite
def triples(draw: st.DrawFn) -> list[ImageArray]:
    """Three images of one size whose levels, contrast and relation vary; none is constant."""
    height, width = draw(st.integers(41, 64)), draw(st.integers(41, 64))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.floats(0, 1))
    images = []
    for _ in range(3):
        low = draw(st.integers(0, 250))
        high = draw(st.integers(low + 2, 255))
        images.append(random.integers(low, high + 1, (height, width)))
    images[2] = np.round(share * images[2] + (1 - share) * (images[0] + images[1]) / 2).astype(int)
    for image in images:
        image[0, :2] = image.min(), image.max() + (image.max() == image.min())
    return [np.clip(image, 0, 255).astype(np.uint8) for image in images]


@pytest.mark.parametrize("convention", PAPERS)
@FEW
@given(images=triples())
def test_values_are_defined_and_within_bounds(convention: str, images: list[ImageArray]) -> None:
    found = metrics.evaluate(*images, convention=convention)
    assert tuple(found) == metrics.PAPER
    present = {name: value for name, value in found.items() if name in metrics.CONVENTIONS[convention].rules}
    assert all(math.isfinite(value) for value in present.values())
    assert all(math.isnan(value) for name, value in found.items() if name not in present)
    assert 0 <= found["EN"] <= 8
    assert 0 <= found["SF"] <= (math.sqrt(2) if convention == "tang2022" else 255 * math.sqrt(2))
    assert 0 <= found["SD"] <= (math.sqrt(255) if convention == "tang2022" else 127.5)
    assert -1e-12 <= found["MI"] <= 16
    assert found["AG"] >= 0
    assert 0 <= found["Q_abf"] <= 0.9994 * 0.9879
    if convention != "vifb":
        assert found["VIF"] >= 0
        assert -2 <= found["SCD"] <= 2


@pytest.mark.parametrize("convention", PAPERS)
@FEW
@given(images=triples())
def test_the_sources_are_interchangeable(convention: str, images: list[ImageArray]) -> None:
    infrared, visible, fused = images
    one = metrics.evaluate(infrared, visible, fused, convention=convention)
    other = metrics.evaluate(visible, infrared, fused, convention=convention)
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-10, nan_ok=True)


@pytest.mark.parametrize("convention", PAPERS)
@FEW
@given(images=triples())
def test_transposed_images_score_the_same(convention: str, images: list[ImageArray]) -> None:
    """But for Q_abf, whose angles have no wrap-around and put a vertical gradient at +90 degrees only."""
    names = [name for name in metrics.PAPER if name != "Q_abf"]
    one = metrics.evaluate(*images, convention=convention, metrics=names)
    other = metrics.evaluate(*(image.T for image in images), convention=convention, metrics=names)
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-10, abs=1e-13, nan_ok=True)


@FEW
@given(images=triples())
def test_conventions_are_related_as_their_definitions(images: list[ImageArray]) -> None:
    tang2022, tang2023, cddfuse, vifb = (metrics.evaluate(*images, convention=name) for name in PAPERS)
    height, width = images[0].shape
    assert tang2023["SF"] == pytest.approx(255 * tang2022["SF"])
    assert cddfuse["AG"] * height * width == pytest.approx(tang2023["AG"] * (height - 1) * (width - 1))
    assert cddfuse["VIF"] == tang2023["VIF"]
    assert cddfuse["MI"] <= tang2023["MI"] * math.log(2) + 1e-12  # merging levels in the joint only adds
    assert vifb["MI"] == cddfuse["MI"]
    assert vifb["SF"] < tang2023["SF"]
