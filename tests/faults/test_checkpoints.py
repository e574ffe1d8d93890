"""Checkpoint files that are damaged or hostile: refused in one line, with no code run and no memory taken."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import moefusion
from benchmark.detection import training as detector_training
from methods import tensorflow_checkpoint, weights
from methods.network import fill, read_state
from methods.record import Record, WeightFile
from metrics.errors import InputError
from moefusion.checkpoints import read_checkpoint
from tests.faults.cases import answer, damaged, fuzz
from tests.methods.checkpoints import bundle


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))


def saved(value: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


STATE = network().state_dict()
FILES = [saved(STATE), saved(STATE, legacy=True), saved({"model": STATE, "epoch": 3})]


@fuzz(1.5)
@given(data=st.data())
def test_damaged_pytorch_files(data: st.DataObject, folder: Path) -> None:
    path = folder / "damaged.pth"
    whole = data.draw(st.sampled_from(FILES))
    path.write_bytes(data.draw(damaged(whole, head=900)))
    state = answer(lambda: read_state(path))
    if state is not None:
        own = network()
        answer(lambda: fill(own, state, path))


@fuzz(0.5)
@given(data=st.data())
def test_damaged_safetensors(data: st.DataObject, folder: Path) -> None:
    whole, path = folder / "whole.safetensors", folder / "damaged.safetensors"
    if not whole.exists():
        settings = {"format": 1, "fusion": {"experts": 2}, "detector": {}, "classes": 1}
        save_file(
            {"model.a": torch.ones(3), "optimiser.a.b": torch.ones(2)}, whole, {"moefusion": json.dumps(settings)}
        )
    path.write_bytes(data.draw(damaged(whole.read_bytes(), head=300)))
    answer(lambda: read_checkpoint(path), ValueError)


@fuzz(0.5)
@given(data=st.data())
def test_damaged_tensorflow_files(data: st.DataObject, folder: Path) -> None:
    """Several kinds of damage at once, on disk; tests/methods/test_tensorflow_checkpoint.py has single bits."""
    parts = bundle({"a/kernel": np.ones((3, 3, 1, 2), np.float32), "a/bias": np.ones(2, np.float32)})
    paths = folder / "m.index", folder / "m.data-00000-of-00001"
    for path, whole in zip(paths, parts, strict=True):
        path.write_bytes(data.draw(st.just(whole) | damaged(whole)))
    found = answer(lambda: tensorflow_checkpoint.read_files(*paths))
    if found is not None:
        assert sum(tensor.nbytes for tensor in found.values()) <= paths[1].stat().st_size


class _Runs:
    """A pickle that calls something when it is read."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("call", [os.mkdir, os.system, eval, exec, open], ids=lambda call: call.__name__)
def test_no_code_in_a_pickle_runs(call: Callable[..., object], legacy: bool, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    arguments = {
        os.mkdir: (str(sentinel),),
        os.system: (f"touch '{sentinel}'",),
        open: (str(sentinel), "w"),
    }.get(call, (f"__import__('os').mkdir({str(sentinel)!r})",))
    path = tmp_path / "evil.pth"
    path.write_bytes(saved({"weight": _Runs(call, *arguments)}, legacy=legacy))
    assert answer(lambda: read_state(path)) is None
    assert not sentinel.exists()


LIMITED = """
import resource, sys
from pathlib import Path
from methods.network import read_state
from metrics.errors import InputError
room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (128 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for path in sys.argv[1:]:
    try:
        read_state(Path(path))
    except InputError as error:
        print(error)
"""


def bomb(path: Path) -> Path:
    """Write a zip of a megabyte that PyTorch would unpack to 256."""
    with (
        zipfile.ZipFile(io.BytesIO(saved({"weight": torch.zeros(1 << 26)}))) as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as small,
    ):
        for name in whole.namelist():
            small.writestr(name, whole.read(name))
    return path


def claim(path: Path, *, legacy: bool) -> Path:
    """Write a checkpoint of three numbers whose pickle claims 2^40 of them."""
    whole, three = saved({"weight": torch.arange(3.0)}, legacy=legacy), b"K\x03"
    assert three in whole
    path.write_bytes(whole.replace(three, b"\x8a\x06" + (1 << 40).to_bytes(6, "little")))
    return path


@pytest.mark.slow
def test_files_that_claim_more_than_they_hold_take_no_memory(tmp_path: Path) -> None:
    """In a process that has 128 MiB left."""
    files = [
        bomb(tmp_path / "bomb.pth"),
        claim(tmp_path / "zip.pth", legacy=False),
        claim(tmp_path / "legacy.pth", legacy=True),
    ]
    assert files[0].stat().st_size < 2 << 20
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, files)], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    said = done.stdout.splitlines()
    assert [
        line.startswith(f"{path} is no checkpoint that can be read") for line, path in zip(said, files, strict=True)
    ]
    assert "bytes claim to unpack to 268" in said[0]


@pytest.mark.parametrize("name", ["../../escape", "/tmp/escape", "a/../../../escape"])
def test_names_in_an_archive_are_never_paths(name: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / "n.pth"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr(f"{name}/version", b"3\n")
    answer(lambda: read_state(path))
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]
    assert not Path("/tmp/escape").exists()


@pytest.mark.parametrize("kind", [torch.complex64, torch.int32, torch.bool, torch.uint8])
def test_numbers_of_another_kind_are_not_cast_in_silence(kind: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "n.pth"
    torch.save(STATE | {"0.weight": torch.ones(4, 1, 3, 3, dtype=kind)}, path)
    with pytest.raises(InputError, match=f"0.weight holds {kind}; expected torch.float32"):
        fill(network(), read_state(path), path)


@pytest.mark.parametrize(
    "settings",
    [
        {"experts": 10**9},
        {"experts": 10**9, "local_experts": False},
        {"local_gate_grid": [10**6, 10**6]},
        {"experts": "many"},
        {"top_k": -1},
        {"alpha": 1e400},
    ],
)
def test_settings_that_claim_a_huge_model(settings: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    whole = {"format": 1, "fusion": settings, "detector": {"backbone": "small", "weights": None}, "classes": 1}
    save_file({"model.a": torch.ones(2000)}, path, {"moefusion": json.dumps(whole)})
    assert answer(lambda: moefusion.load_checkpoint(path), ValueError) is None


def test_classes_that_claim_a_huge_model(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    fusion = {"local_gate_grid": [2, 2], "global_gate_grid": [2, 2]}
    whole = {"format": 1, "fusion": fusion, "detector": {"backbone": "small", "weights": None}, "classes": 10**8}
    save_file({f"model.{number}": torch.ones(1000) for number in range(4)}, path, {"moefusion": json.dumps(whole)})
    with pytest.raises(ValueError, match="they claim a larger model than one of 4000 numbers. .* makes it again"):
        moefusion.load_checkpoint(path)


def test_nested_settings_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    save_file({"model.a": torch.ones(3)}, path, {"moefusion": "[" * 200_000, "detector": "[" * 200_000})
    with pytest.raises(ValueError, match="is damaged, .* remove it where a run made it"):
        moefusion.load_checkpoint(path)
    assert answer(lambda: moefusion.load_checkpoint(path), ValueError) is None
    with pytest.raises(InputError, match="is damaged, .*; remove it"):
        detector_training.load(path)


def test_adding_weights_reads_no_foreign_files_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVIF_WEIGHTS", str(tmp_path / "kept"))
    content = b"weights"
    file = WeightFile("n.pth", bytes=len(content), git_blob=weights.git_blob(content))
    record = Record("-", 2020, "-", "-", "-", (file,), 1, "official outputs")
    source = tmp_path / "downloads"
    source.mkdir()
    (source / "film.mkv").touch()
    os.truncate(source / "film.mkv", 1 << 42)  # would take hours to read
    (source / "n.pth").write_bytes(content)
    assert answer(lambda: weights.add("net", record, source)) == [tmp_path / "kept" / "net" / "n.pth"]

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(InputError, match="n.pth cannot be written .No space left on device"):
        weights.add("net", record, source)
    assert [path.name for path in (tmp_path / "kept" / "net").iterdir()] == ["n.pth"]


def test_a_method_s_file_that_ends_the_process(tmp_path: Path) -> None:
    import methods

    path = tmp_path / "script.py"
    path.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(InputError, match="does not load: SystemExit"):
        methods.find(f"{path}:Mine")
