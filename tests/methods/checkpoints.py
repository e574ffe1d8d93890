"""Checkpoints as tests need them: TensorFlow bundles, damaged PyTorch files, and comparison with golden outputs."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import torch
from numpy.typing import NDArray

import methods
from methods.base import Method

Record = tuple[bytes, bytes]
HEADER: Record = (b"", b"\x08\x01\x1a\x02\x08\x01")  # one shard, little-endian, version 1


def varint(number: int) -> bytes:
    """Return a number as protocol buffers and LevelDB write it: seven bits a byte, the lowest first."""
    low = b""
    while number > 0x7F:
        low += bytes([number & 0x7F | 0x80])
        number >>= 7
    return low + bytes([number])


def checksum(content: bytes) -> bytes:
    crc: int = google_crc32c.value(content)
    return (((crc >> 15) + (crc << 17) + 0xA282EAD8) % 2**32).to_bytes(4, "little")


def entry(
    content: bytes,
    shape: tuple[int, ...],
    offset: int,
    *,
    kind: int = 1,
    shard: int = 0,
    size: int | None = None,
    more: bytes = b"",
) -> bytes:
    """Return the record of one tensor: type, shape, shard, offset, size, checksum."""
    sizes = b"".join(b"\x12" + varint(len(varint(n)) + 1) + b"\x08" + varint(n) for n in shape)
    place = b"\x18" + varint(shard) + b"\x20" + varint(offset)
    size = len(content) if size is None else size
    return (
        b"\x08" + varint(kind) + b"\x12" + varint(len(sizes)) + sizes + place + b"\x28" + varint(size)
        + b"\x35" + checksum(content) + more
    )  # fmt: skip


def block(records: list[Record]) -> bytes:
    """Return a LevelDB block; a key leaves out what it shares with the one before."""
    content, last = b"", b""
    for key, value in records:
        shared = next(
            (at for at, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(len(last), len(key))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return content + bytes(4) + b"\x01\x00\x00\x00"


def table(blocks: list[bytes], compression: int = 0) -> bytes:
    """Return a LevelDB table of blocks."""
    content, handles = b"", []
    for one in [*blocks, block([])]:
        handles.append(varint(len(content)) + varint(len(one)))
        content += one + bytes([compression]) + checksum(one + bytes([compression]))
    places = block([(b"%03d" % number, handle) for number, handle in enumerate(handles[:-1])])
    footer = handles[-1] + varint(len(content)) + varint(len(places))
    magic = bytes.fromhex("57fb808b247547db")
    return content + places + b"\0" + checksum(places + b"\0") + footer.ljust(40, b"\0") + magic


def bundle(tensors: Mapping[str, NDArray[np.float32]]) -> tuple[bytes, bytes]:
    """Return the index and the data of a TensorFlow checkpoint; the index has two blocks."""
    data, records = b"", [HEADER]
    for name in sorted(tensors):
        content = tensors[name].astype("<f4").tobytes()
        records.append((name.encode(), entry(content, tensors[name].shape, len(data))))
        data += content
    half = len(records) // 2
    return table([block(records[:half]), block(records[half:])]), data


class _Code:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def is_pytorch(name: str) -> bool:
    """Return whether a weight file of this name is PyTorch's; the others hold TensorFlow's checkpoints."""
    return not (name.endswith((".index", ".zip")) or ".data-" in name)


def damage(path: Path, kind: str) -> None:
    """Spoil a file of weights; `kind` is one of `DAMAGE`, of which all but the first three are for PyTorch's files."""
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) * 4 // 5])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 30)
    else:
        file = torch.load(path, weights_only=True)
        state = file[wrapper] if (wrapper := next(iter(WRAPPERS & set(file)), "")) else file
        first = next(iter(state))
        spoiled: dict[str, Any] = {
            "missing": {name: tensor for name, tensor in state.items() if name != first},
            "unknown": {**state, "conv9.weight": torch.zeros(3)},
            "shape": {**state, first: state[first][:-1]},
            "no tensor": {**state, first: "weights"},
            "infinite": {**state, first: torch.full_like(state[first], torch.inf)},
            "list": list(state.values()),
            "code": {**state, first: _Code(path.parent / "ran")},
        }
        torch.save({**file, wrapper: spoiled[kind]} if wrapper else spoiled[kind], path)


WRAPPERS = {"weight", "params"}  # under which some official files hold their weights
DAMAGE = ("truncated", "empty", "text", "missing", "unknown", "shape", "no tensor", "infinite", "list", "code")


@dataclass(frozen=True)
class GoldenCase:
    """A golden output: its file, the variant that gave it, and the tolerance of its raw values."""

    file: str
    variant: str | None
    atol: float


def golden_cases(shared: Path, name: str) -> list[GoldenCase]:
    """Return the golden outputs of a method, whose index calls some variants by longer names."""
    variants = methods.find(name).variants
    names = {"tf-l1norm": "tf-l1", "max-paper_norm": "max", "max-script_norm": "max-script"}
    cases = []
    for case in json.loads((shared / "golden" / "index.json").read_text()):
        if case["method"] == name:
            word = re.split("[ ,(]", case["variant"])[0]
            variant = names.get(word, word)
            cases.append(GoldenCase(case["file"], variant if variant in variants else None, case["atol"]))
    return cases


def compare(method: Method, shared: Path, case: GoldenCase) -> None:
    """Assert that a method gives a golden output: raw within its tolerance, its image as shared/golden/README.md says.

    Where the authors save colour, the method's module gives the colour image by `recolour_image`.
    """
    with np.load(shared / "golden" / case.file) as golden:
        raw = method.raw(golden["ir"], golden["vis"])
        np.testing.assert_allclose(raw, golden["raw"], rtol=0, atol=case.atol, err_msg=case.file)
        print(f"{case.file}: {np.abs(raw - golden['raw']).max():.1e} of {case.atol:.1e}")
        for key in {"picture", "picture_rgb"} & set(golden):
            image = method.image(raw)
            if golden[key].ndim == 3:
                image = sys.modules[type(method).__module__].recolour_image(raw, golden["vis"])
            difference = np.abs(image.astype(int) - golden[key])
            assert difference.max() <= 1, (case.file, key)
            assert np.mean(difference > 0) <= 0.001, (case.file, key)
