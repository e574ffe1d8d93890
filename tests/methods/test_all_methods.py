"""What holds for every registered method: its record, sizes, colour, determinism, weight files, official outputs."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import methods
from methods import weights
from methods.network import NetworkMethod
from metrics.errors import InputError
from metrics.files import digest
from metrics.images import ImageArray
from tests.methods.checkpoints import DAMAGE, compare, damage, golden_cases, is_pytorch
from tests.methods.stand_ins import Ready, networks

RECORDS = methods.records()
NAMES = [name for name in methods.names() if name not in ("folder", "moefusion")]  # they need files; tests of their own
CASES = [(name, variant) for name in NAMES for variant in methods.find(name).variants or (None,)]
FILES = [(name, file) for name, record in RECORDS.items() for file in record.files]
DAMAGES = [
    pytest.param(name, file, kind, id=f"{name}-{file.name}-{kind}")
    for name, file in FILES
    for kind in (DAMAGE if is_pytorch(file.name) else DAMAGE[:3])
]
each_published = pytest.mark.parametrize("name", RECORDS)
each_case = pytest.mark.parametrize(("name", "variant"), CASES)
each_file = pytest.mark.parametrize(("name", "file"), FILES, ids=[f"{name}-{file.name}" for name, file in FILES])


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return Ready(tmp_path_factory.mktemp)


def pair(height: int, width: int) -> tuple[ImageArray, ImageArray]:
    """Return a random grey infrared image and a random colour visible image."""
    random = np.random.default_rng(height * width)
    return random.integers(0, 256, (height, width), np.uint8), random.integers(0, 256, (height, width, 3), np.uint8)


def published(name: str) -> type[NetworkMethod]:
    method = methods.find(name)
    assert issubclass(method, NetworkMethod)
    return method


@each_published
def test_the_record_is_complete(name: str) -> None:
    method, record = published(name), RECORDS[name]
    assert method.name == name
    assert method.title
    assert method.__doc__
    entry = re.fullmatch(r"@(article|inproceedings)\{\w+,\n.*\n\}", record.citation.strip(), re.DOTALL)
    assert entry, record.citation
    assert entry[0].count("{") == entry[0].count("}")
    for field in ("author", "title", "year"):
        assert re.search(rf"^ *{field} *= *\{{.+", entry[0], re.MULTILINE), field
    assert str(record.year) in record.paper
    assert str(record.year) in entry[0]
    assert record.repository.startswith("https://")
    assert record.licence
    assert record.commit
    assert record.task
    assert record.notes
    for file in record.files:
        assert file.url or record.by_hand
        assert file.known or record.by_hand
        assert set(file.variants) <= set(method.variants)
    for variant in method.variants:
        assert record.variant_files(variant)


@each_published
def test_the_number_of_parameters_is_the_records(name: str) -> None:
    default = RECORDS[name].variant_files(next(iter(published(name).variants), None))
    parts = networks(name)
    counts = [sum(map(torch.numel, parts[file.name].parameters())) for file in default if file.name in parts]
    assert sum(counts) == RECORDS[name].parameters


@each_case
@pytest.mark.parametrize("size", [(37, 53), (1, 1), (1, 9), (2, 2), (130, 3)])
def test_every_size_in_grey_and_colour(
    ready: Ready, name: str, variant: str | None, size: tuple[int, int], device: str
) -> None:
    method = ready.method(name, variant, device)
    infrared, visible = pair(*size)
    raw = method.raw(infrared, visible)
    assert raw.dtype == np.float32
    assert raw.shape[-2:] == size
    assert np.isfinite(raw).all()
    fused = method.fuse(infrared, visible)
    assert fused.dtype == np.uint8
    assert fused.shape == size
    np.testing.assert_array_equal(fused, method.image(raw))
    np.testing.assert_array_equal(method.fuse(infrared, visible), fused)  # nothing is left behind by the first time
    in_colour = [np.repeat(band[:, :, None], 3, axis=2) for band in (infrared, visible[:, :, 0])]
    np.testing.assert_array_equal(method.raw(*in_colour), method.raw(infrared, visible[:, :, 0].copy()))


@each_case
def test_the_image_depends_on_the_pair(ready: Ready, name: str, variant: str | None, device: str) -> None:
    infrared, visible = pair(24, 31)
    method = ready.method(name, variant, device)
    raw = method.raw(infrared, visible)
    changes = [np.ptp(method.raw(255 - infrared, visible) - raw), np.ptp(method.raw(infrared, 255 - visible) - raw)]
    # Only a source ignores the other image.
    assert [change > 1e-3 for change in changes].count(False) == (1 if methods.find(name).source else 0), changes


@each_case
def test_settings_can_be_stored(ready: Ready, name: str, variant: str | None) -> None:
    method = ready.method(name, variant, "cpu")
    settings = method.settings()
    assert json.loads(json.dumps(settings)) == settings
    if isinstance(method, NetworkMethod):
        files = {file.name for file in RECORDS[name].variant_files(variant)}
        assert settings["weights"] == {file: digest(ready.folder(name) / file) for file in files}
        assert settings["variant"] == variant
        assert settings["official weights"] is False


@pytest.mark.parametrize("name", NAMES)
def test_unknown_variants_and_unusable_images_are_refused(ready: Ready, name: str) -> None:
    with pytest.raises(InputError, match=r"unknown variant of \w+ 'old'; known: |has no variants, but 'old'"):
        methods.create(name, variant="old")
    method = ready.method(name, None, "cpu")
    infrared, visible = pair(8, 9)
    with pytest.raises(InputError, match="infrared is 9x8 but visible is 9x7"):
        method.raw(infrared, visible[:7])
    with pytest.raises(InputError, match="visible image: expected uint8 .* got float64"):
        method.raw(infrared, visible / 255)
    with pytest.raises(InputError, match=r"infrared image: .* got uint8 \(0, 9\)"):
        method.raw(infrared[:0], visible[:0])


@each_published
def test_an_unknown_device_is_refused(ready: Ready, name: str) -> None:
    with pytest.raises(InputError, match="device 'warp' cannot be used"):
        methods.create(name, weights=ready.folder(name), device="warp")


@pytest.mark.parametrize(("name", "variant"), [case for case in CASES if case[0] in RECORDS])
def test_weights_by_path(ready: Ready, tmp_path: Path, name: str, variant: str | None) -> None:
    """A single file stands for a method of one file; a method of several reads a folder."""
    files = RECORDS[name].variant_files(variant)
    with pytest.raises(InputError, match="nowhere is not there; expected "):
        methods.create(name, variant=variant, weights=tmp_path / "nowhere", device="cpu")
    with pytest.raises(InputError, match=re.escape(f"does not hold {files[0].name}")):
        methods.create(name, variant=variant, weights=tmp_path, device="cpu")
    own = shutil.copyfile(ready.folder(name) / files[0].name, tmp_path / f"mine{Path(files[0].name).suffix}")
    if len(files) > 1:
        with pytest.raises(InputError, match="is one file; method .* reads .*: give their folder"):
            methods.create(name, variant=variant, weights=own, device="cpu")
        return
    method = methods.create(name, variant=variant, weights=own, device="cpu")
    images = pair(17, 20)
    np.testing.assert_array_equal(method.raw(*images), ready.method(name, variant, "cpu").raw(*images))


@pytest.mark.parametrize(("name", "file", "kind"), DAMAGES)
def test_damaged_weights_are_refused(
    ready: Ready, tmp_path: Path, name: str, file: weights.WeightFile, kind: str
) -> None:
    for part in RECORDS[name].variant_files(next(iter(file.variants), None)):
        shutil.copyfile(ready.folder(name) / part.name, tmp_path / part.name)
    path = tmp_path / file.name
    damage(path, kind)
    with pytest.raises(InputError, match=re.escape(path.name.partition(".")[0])) as caught:
        methods.create(name, variant=next(iter(file.variants), None), weights=tmp_path, device="cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@each_file
@pytest.mark.shared
def test_official_files_are_known(shared: Path, name: str, file: weights.WeightFile) -> None:
    path = shared / "weights" / name / file.name
    if not path.is_file():
        pytest.skip("the official file could not be obtained")
    assert weights.official(path, file)
    assert file.git_blob in (None, weights.git_blob(path.read_bytes()))


@each_published
@pytest.mark.shared
def test_official_outputs(shared: Path, ready: Ready, name: str, device: str) -> None:
    """The authors' code with the authors' weights or, where these could not be obtained, with stand-ins."""
    stand_ins = {
        "piafusion": shared / "weights" / "piafusion_synthetic",
        "swinfuse": shared / "weights" / "swinfuse_synthetic" / "params_without_attn_mask.pt",
        "rfn_nest": ready.folder(name),
    }
    official = RECORDS[name].verified != "architecture only"
    assert official is (name not in stand_ins)
    cases = golden_cases(shared, name)
    assert cases
    for case in cases:
        folder = shared / "weights" / name if official else stand_ins[name]
        method = methods.create(name, variant=case.variant, weights=folder, device=device)
        assert method.settings()["official weights"] is official
        compare(method, shared, case)
