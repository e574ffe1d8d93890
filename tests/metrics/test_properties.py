"""What holds for all pictures: bounds, symmetries, no undefined values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metrics
from metrics.pictures import Picture

FEW = settings(max_examples=25, deadline=None)


@st.composite
def triples(draw: st.DrawFn) -> list[Picture]:
    """Three pictures of one size whose levels, contrast and relation vary; none is constant."""
    height, width = draw(st.integers(41, 64)), draw(st.integers(41, 64))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.floats(0, 1))
    pictures = []
    for _ in range(3):
        low = draw(st.integers(0, 250))
        high = draw(st.integers(low + 2, 255))
        pictures.append(random.integers(low, high + 1, (height, width)))
    pictures[2] = np.round(share * pictures[2] + (1 - share) * (pictures[0] + pictures[1]) / 2).astype(int)
    for picture in pictures:
        picture[0, :2] = picture.min(), picture.max() + (picture.max() == picture.min())
    return [np.clip(picture, 0, 255).astype(np.uint8) for picture in pictures]


@pytest.mark.parametrize("convention", list(metrics.CONVENTIONS))
@FEW
@given(pictures=triples())
def test_values_are_defined_and_within_bounds(convention: str, pictures: list[Picture]) -> None:
    found = metrics.evaluate(*pictures, convention=convention)
    assert tuple(found) == metrics.IDS
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


@pytest.mark.parametrize("convention", list(metrics.CONVENTIONS))
@FEW
@given(pictures=triples())
def test_the_sources_are_interchangeable(convention: str, pictures: list[Picture]) -> None:
    infrared, visible, fused = pictures
    one = metrics.evaluate(infrared, visible, fused, convention=convention)
    other = metrics.evaluate(visible, infrared, fused, convention=convention)
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-10, nan_ok=True)


@pytest.mark.parametrize("convention", list(metrics.CONVENTIONS))
@FEW
@given(pictures=triples())
def test_transposed_pictures_score_the_same(convention: str, pictures: list[Picture]) -> None:
    """But for Q_abf, whose angles have no wrap-around and put a vertical gradient at +90 degrees only."""
    names = [name for name in metrics.IDS if name != "Q_abf"]
    one = metrics.evaluate(*pictures, convention=convention, only=names)
    other = metrics.evaluate(*(picture.T for picture in pictures), convention=convention, only=names)
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-10, abs=1e-13, nan_ok=True)


@FEW
@given(pictures=triples())
def test_conventions_are_related_as_their_definitions(pictures: list[Picture]) -> None:
    tang2022, tang2023, cddfuse, vifb = (metrics.evaluate(*pictures, convention=name) for name in metrics.CONVENTIONS)
    height, width = pictures[0].shape
    assert tang2023["SF"] == pytest.approx(255 * tang2022["SF"])
    assert cddfuse["AG"] * height * width == pytest.approx(tang2023["AG"] * (height - 1) * (width - 1))
    assert cddfuse["VIF"] == tang2023["VIF"]
    assert cddfuse["MI"] <= tang2023["MI"] * math.log(2) + 1e-12  # merging levels in the joint only adds
    assert vifb["MI"] == cddfuse["MI"]
    assert vifb["SF"] < tang2023["SF"]
