"""Checkpoints as tests need them: TensorFlow bundles, damaged PyTorch files, and comparison with golden outputs."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import torch
from numpy.typing import NDArray

from methods.base import Method
from metrics.images import ImageArray

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


def damage(path: Path, kind: str) -> None:
    """Spoil a PyTorch checkpoint; `kind` is one of `DAMAGE`."""
    state = torch.load(path, weights_only=True)
    first = next(iter(state))
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        spoiled: dict[str, Any] = {
            "missing": {name: tensor for name, tensor in state.items() if name != first},
            "unknown": {**state, "conv9.weight": torch.zeros(3)},
            "shape": {**state, first: state[first][:-1]},
            "no tensor": {**state, first: "weights"},
            "list": list(state.values()),
            "code": {**state, first: _Code(path.parent / "ran")},
        }
        torch.save(spoiled[kind], path)


DAMAGE = ("truncated", "empty", "missing", "unknown", "shape", "no tensor", "list", "code")


def compare(
    method: Method,
    shared: Path,
    file: str,
    drawn: Callable[[NDArray[np.float32], ImageArray], ImageArray] | None = None,
) -> None:
    """Assert that a method gives a golden output: raw within its `atol`, its image as shared/golden/README.md says.

    Args:
        method: Ready to fuse.
        shared: Folder of golden outputs.
        file: The case.
        drawn: Gives the image from the raw output and the visible image; None is the method's own.
    """
    case = next(case for case in json.loads((shared / "golden" / "index.json").read_text()) if case["file"] == file)
    with np.load(shared / "golden" / file) as golden:
        raw = method.raw(golden["ir"], golden["vis"])
        np.testing.assert_allclose(raw, golden["raw"], rtol=0, atol=case["atol"])
        image = drawn(raw, golden["vis"]) if drawn else method.image(raw)
        difference = np.abs(image.astype(int) - golden["picture"])
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= 0.001
