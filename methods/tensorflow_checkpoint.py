"""TensorFlow checkpoints (V2 bundles of one shard, float32) read without TensorFlow, every checksum verified.

A bundle is a `.data-00000-of-00001` file of raw tensors and an `.index` file: a LevelDB table, uncompressed, from
variable names to protocol buffers that say where each tensor lies. Every length in a file is checked against
the file's size before use, so a damaged or hostile file gives one error of one line.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import google_crc32c
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.errors import InputError

Bundle = dict[str, NDArray[np.float32]]

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_FLOAT32 = 1
# An index of a thousand variables is some 50 KB. The limits keep hostile files from costing time or memory.
_MOST_INDEX = 4 << 20
_MOST_DATA = 1 << 30
_LONGEST_NAME = 1024


class _DamagedError(ValueError):
    """Raised inside this file, without the file's name, which `read` adds."""


def read(index: bytes, data: bytes, where: str | Path) -> Bundle:
    """Return a bundle's tensors by variable name, in the layout that TensorFlow has them.

    Args:
        index: Content of the `.index` file.
        data: Content of the `.data-00000-of-00001` file.
        where: What error messages call them.

    Raises:
        InputError: Anything is damaged, cut short, compressed, spread over several shards, or not float32.
    """
    try:
        return dict(_tensors(index, data))
    except _DamagedError as error:
        raise InputError(f"{where} is no TensorFlow checkpoint that can be read ({error}); fetch it again") from None


def read_files(index: Path, data: Path) -> Bundle:
    """Return the tensors of a bundle's two files by variable name; see `read`."""
    for path, most in ((index, _MOST_INDEX), (data, _MOST_DATA)):
        if path.stat().st_size > most:
            raise InputError(f"{path} has {path.stat().st_size} bytes; expected a checkpoint file of at most {most}")
    return read(index.read_bytes(), data.read_bytes(), data)


def convolutions(
    bundle: Bundle,
    layers: Mapping[str, str],
    where: str | Path,
    *,
    kernel: str = "{}/kernel",
    bias: str = "{}/bias",
) -> dict[str, Tensor]:
    """Return the state dictionary of convolution layers, kernels turned from (H, W, in, out) to (out, in, H, W).

    Args:
        bundle: What `read` gave.
        layers: PyTorch's name of each layer to TensorFlow's.
        where: What error messages call the checkpoint.
        kernel, bias: Format strings that make a layer's variable names of TensorFlow's name for the layer.

    Raises:
        InputError: A layer is missing, or its kernel is not that of a convolution.
    """
    state = {}
    for ours, theirs in layers.items():
        weights = _variable(bundle, kernel.format(theirs), 4, where).transpose(3, 2, 0, 1)
        state[f"{ours}.weight"] = torch.from_numpy(np.ascontiguousarray(weights))
        state[f"{ours}.bias"] = torch.from_numpy(_variable(bundle, bias.format(theirs), 1, where))
    return state


def _variable(bundle: Bundle, name: str, dimensions: int, where: str | Path) -> NDArray[np.float32]:
    if name not in bundle or bundle[name].ndim != dimensions:
        found = f"one of shape {bundle[name].shape}" if name in bundle else "none"
        raise InputError(f"{where}: expected a tensor {name} with {dimensions} dimensions, found {found}")
    return bundle[name]


def masked_crc32c(content: bytes) -> int:
    """Return the checksum as LevelDB and TensorFlow store it: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class _Cursor:
    """A walk through bytes that never leaves them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.content)

    def take(self, count: int) -> bytes:
        if count > len(self.content) - self.at:
            raise _DamagedError("it ends early")
        self.at += count
        return self.content[self.at - count : self.at]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise _DamagedError("a number runs over ten bytes")


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    used = 0
    for key, value in _records(index):
        numbers, messages = _message(value)
        if not key:  # the header: number of shards, byte order (0 is little-endian)
            if numbers.get(1, 0) != 1 or numbers.get(2, 0) != 0:
                raise _DamagedError("it is not one little-endian shard")
            continue
        name = key.decode(errors="replace")
        offset, size = numbers.get(4, 0), numbers.get(5, 0)
        shape = _shape(messages.get(2, [b""])[-1])
        if numbers.get(1, 0) != _FLOAT32 or numbers.get(3, 0) != 0 or 7 in messages:
            raise _DamagedError(f"tensor {name[:80]!r} is not float32 in one piece in the first shard")
        used += size
        if size != 4 * math.prod(shape) or offset + size > len(data) or used > len(data):
            raise _DamagedError(
                f"tensor {name[:80]!r} of shape {shape} claims {size} bytes at {offset} of {len(data)} bytes of data"
            )
        content = data[offset : offset + size]
        if masked_crc32c(content) != numbers.get(6):
            raise _DamagedError(f"tensor {name[:80]!r} fails its checksum")
        yield name, np.frombuffer(content, "<f4").reshape(shape).astype(np.float32)


def _shape(message: bytes) -> tuple[int, ...]:
    sizes = [_message(dimension)[0].get(1, 0) for dimension in _message(message)[1].get(2, [])]
    if len(sizes) > 8 or 0 in sizes:
        raise _DamagedError(f"a tensor claims {len(sizes)} dimensions, some of them perhaps empty")
    return tuple(sizes)


def _records(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a LevelDB table in order; keys rise strictly, so none comes twice."""
    if not _FOOTER <= len(table) <= _MOST_INDEX:
        raise _DamagedError(f"an index of {len(table)} bytes")
    footer = _Cursor(table[-_FOOTER:])
    if int.from_bytes(table[-8:], "little") != _MAGIC:
        raise _DamagedError("the index does not end as a LevelDB table does")
    _handle(footer)  # of the table's own statistics
    end, last = 0, None
    for _, value in _entries(_block(table, *_handle(footer))):
        offset, size = _handle(_Cursor(value))
        if offset < end:
            raise _DamagedError("blocks of the index overlap")
        end = offset + size
        for key, content in _entries(_block(table, offset, size)):
            if last is not None and key <= last:
                raise _DamagedError("names in the index are not in order")
            last = key
            yield key, content


def _handle(cursor: _Cursor) -> tuple[int, int]:
    return cursor.varint(), cursor.varint()


def _block(table: bytes, offset: int, size: int) -> bytes:
    trailer = table[offset + size : offset + size + 5]
    if len(trailer) != 5 or masked_crc32c(table[offset : offset + size + 1]) != int.from_bytes(trailer[1:], "little"):
        raise _DamagedError("a block of the index fails its checksum")
    if trailer[0] != 0:
        raise _DamagedError("the index is compressed")
    return table[offset : offset + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of one block; a key is given as what it shares with the one before, and the rest."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise _DamagedError("a block of the index is too short")
    cursor, key = _Cursor(block[:end]), b""
    while cursor:
        shared, own, length = cursor.varint(), cursor.varint(), cursor.varint()
        if shared > len(key) or shared + own > _LONGEST_NAME:
            raise _DamagedError("a name in the index is malformed")
        key = key[:shared] + cursor.take(own)
        yield key, cursor.take(length)


def _message(content: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """Return a protocol buffer's numbers (the last of each field) and its byte strings (all), by field number."""
    cursor = _Cursor(content)
    numbers: dict[int, int] = {}
    strings: dict[int, list[bytes]] = {}
    while cursor:
        field, kind = divmod(cursor.varint(), 8)
        if kind == 0:
            numbers[field] = cursor.varint()
        elif kind == 2:
            strings.setdefault(field, []).append(cursor.take(cursor.varint()))
        elif kind in (1, 5):
            numbers[field] = int.from_bytes(cursor.take(8 if kind == 1 else 4), "little")
        else:
            raise _DamagedError("a record of the index is malformed")
    return numbers, strings
