"""Reading TensorFlow bundles: what they hold, and that nothing a file says can do harm."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods import tensorflow_checkpoint
from methods.tensorflow_checkpoint import convolutions, masked_crc32c, read, read_files
from metrics.errors import InputError
from tests.methods.checkpoints import HEADER, block, bundle, entry, table, varint

RANDOM = np.random.default_rng(5)
TENSORS = {
    "a/conv/bias": RANDOM.standard_normal(4).astype(np.float32),
    "a/conv/kernel": RANDOM.standard_normal((3, 2, 5, 4)).astype(np.float32),
    "a/conv/kernel/Adam": RANDOM.standard_normal((3, 2, 5, 4)).astype(np.float32),
    "beta1_power": np.array(0.9, np.float32),
    "long/" + "x" * 300: RANDOM.standard_normal(200).astype(np.float32),
}
INDEX, DATA = bundle(TENSORS)
EIGHT = bytes(range(8))
SMALL = block([HEADER, (b"t", entry(EIGHT, (2, 1), 0))])


def one(record: bytes, data: bytes = EIGHT) -> dict[str, np.ndarray]:
    return read(table([block([HEADER, (b"t", record)])]), data, "here")


def test_tensors_come_back() -> None:
    found = read(INDEX, DATA, "here")
    assert list(found) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].shape == tensor.shape
        np.testing.assert_array_equal(found[name], tensor)


def test_checksum() -> None:
    # 0xE3069283 is CRC-32C of these nine bytes (RFC 3720 names the polynomial; the value is its usual check);
    # rotated right by 15 bits it is 0x2507C60D.
    assert masked_crc32c(b"123456789") == (0x2507C60D + 0xA282EAD8) % 2**32


def test_convolutions_turn_kernels() -> None:
    state = convolutions(read(INDEX, DATA, "here"), {"first.0": "a/conv"}, "here")
    assert list(state) == ["first.0.weight", "first.0.bias"]
    np.testing.assert_array_equal(state["first.0.weight"][3, 4, 2, 1], TENSORS["a/conv/kernel"][2, 1, 4, 3])
    np.testing.assert_array_equal(state["first.0.bias"], TENSORS["a/conv/bias"])


@pytest.mark.parametrize("layer", ["b/conv", "a/conv/kernel"])
def test_missing_layers(layer: str) -> None:
    with pytest.raises(InputError, match=f"expected a tensor {layer}/kernel with 4 dimensions, found none"):
        convolutions(read(INDEX, DATA, "here"), {"first": layer}, "here")


def test_layers_that_are_no_convolution() -> None:
    index, data = bundle({"dense/kernel": np.zeros((2, 3), np.float32)})
    with pytest.raises(InputError, match=r"4 dimensions, found one of shape \(2, 3\)"):
        convolutions(read(index, data, "here"), {"first": "dense"}, "here")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (entry(EIGHT, (1,), 0, kind=9), "not float32"),
        (entry(EIGHT, (2,), 0, shard=1), "not float32 in one piece in the first shard"),
        (entry(EIGHT, (2,), 0, more=b"\x3a\x00"), "not float32 in one piece"),
        (entry(EIGHT, (3,), 0), "claims 8 bytes"),
        (entry(EIGHT, (2,), 1), "at 1 of 8 bytes"),
        (entry(EIGHT, (2,), 2**63), "claims 8 bytes"),
        (entry(EIGHT, (2**40,), 0, size=2**42), "claims"),
        (entry(EIGHT, (2**64 - 1, 2**64 - 1), 0), "claims"),
        (entry(EIGHT, (2,) * 9, 0), "9 dimensions"),
        (entry(b"", (0, 2**62), 0), "2 dimensions"),
        (entry(EIGHT[::-1], (2,), 0), "fails its checksum"),
        (entry(EIGHT, (2,), 0)[:-5], "fails its checksum"),
        (b"\xff" * 12, "ten bytes"),
        (b"\x0b", "malformed"),
        (b"\x12\x7f", "ends early"),
    ],
)
def test_bad_records(record: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        one(record)


def test_good_record() -> None:
    np.testing.assert_array_equal(one(entry(EIGHT, (2, 1), 0))["t"], np.frombuffer(EIGHT, "<f4").reshape(2, 1))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (b"", "an index of 0 bytes"),
        (bytes(5 << 20), "an index of"),
        (INDEX[:-1] + b"!", "does not end as"),
        (table([block([HEADER])], compression=1), "the index is compressed"),
        (table([block([(b"", b"\x08\x02")])]), "one little-endian shard"),
        (table([block([(b"", b"\x08\x01\x10\x01")])]), "one little-endian shard"),
        (table([b""]), "too short"),
        (table([b"\xff\xff\xff\x7f"]), "too short"),
        (table([b"\x01\x01\x00a" + bytes(4) + b"\x01\0\0\0"]), "a name in the index is malformed"),
        (table([block([(b"a" * 1025, b"")])]), "a name in the index is malformed"),
        (table([block([HEADER, (b"t", entry(EIGHT, (2,), 0)), (b"t", b"")])]), "not in order"),
    ],
)
def test_bad_indices(index: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"^here is no TensorFlow checkpoint that can be read .*({said})"):
        read(index, EIGHT, "here")


def test_tensors_that_share_bytes_are_refused() -> None:
    record = entry(EIGHT, (2,), 0)
    with pytest.raises(InputError, match="'u' of shape"):
        read(table([block([HEADER, (b"t", record), (b"u", record)])]), EIGHT, "here")


def test_blocks_that_overlap_are_refused() -> None:
    good = block([HEADER])
    content = good + b"\0" + masked_crc32c(good + b"\0").to_bytes(4, "little")
    handle = varint(0) + varint(len(good))
    places = block([(b"0", handle), (b"1", handle)])
    content += places + b"\0" + masked_crc32c(places + b"\0").to_bytes(4, "little")
    footer = handle + varint(len(good) + 5) + varint(len(places))
    with pytest.raises(InputError, match="overlap"):
        read(content + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db"), b"", "here")


@settings(deadline=None)
@given(st.integers(0, len(INDEX) - 1))
def test_truncated_index(length: int) -> None:
    with pytest.raises(InputError):
        read(INDEX[:length], DATA, "here")


@settings(deadline=None)
@given(st.integers(0, len(DATA) - 1))
def test_truncated_data(length: int) -> None:
    with pytest.raises(InputError, match="claims"):
        read(INDEX, DATA[:length], "here")


@settings(deadline=None)
@given(st.integers(0, 8 * len(DATA) - 1))
def test_flipped_bit_in_data(bit: int) -> None:
    with pytest.raises(InputError, match="fails its checksum"):
        read(INDEX, _flipped(DATA, bit), "here")


@settings(deadline=None)
@given(st.integers(0, 8 * len(INDEX) - 1))
def test_flipped_bit_in_index(bit: int) -> None:
    try:
        found = read(_flipped(INDEX, bit), DATA, "here")
    except InputError:
        return
    # The bit lay where nothing is read: the statistics block, its handle, or the footer's padding.
    assert {name: tensor.tobytes() for name, tensor in found.items()} == {
        name: tensor.tobytes() for name, tensor in TENSORS.items()
    }


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.binary(max_size=40))
def test_hostile_blocks(blocks: list[bytes], data: bytes) -> None:
    _read_or_refuse(table(blocks), data)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_hostile_records(record: bytes) -> None:
    _read_or_refuse(table([block([HEADER, (b"t", record)])]), EIGHT)


@settings(deadline=None)
@given(st.integers(0, 8 * len(SMALL) - 1))
def test_flipped_bit_under_a_valid_checksum(bit: int) -> None:
    _read_or_refuse(table([_flipped(SMALL, bit)]), EIGHT)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, data = tmp_path / "m.index", tmp_path / "m.data-00000-of-00001"
    index.write_bytes(INDEX)
    data.write_bytes(DATA)
    assert list(read_files(index, data)) == sorted(TENSORS)
    monkeypatch.setattr(tensorflow_checkpoint, "_MOST_DATA", 100)
    with pytest.raises(InputError, match=f"{data} has {len(DATA)} bytes; expected a checkpoint file of at most 100"):
        read_files(index, data)


@pytest.mark.shared
def test_authors_file(shared: Path) -> None:
    folder = shared / "weights" / "piafusion" / "Illumination"
    name = "Illumination.model-99"
    found = read_files(folder / f"{name}.index", folder / f"{name}.data-00000-of-00001")
    # Parameters of the illumination network: spec of PIAFusion's checkpoint.
    assert sum(tensor.size for tensor in found.values()) == 189810
    assert found["classifier/Classifier/conv3/kernel"].shape == (4, 4, 32, 64)


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _read_or_refuse(index: bytes, data: bytes) -> None:
    """Any other error than this one fails the test."""
    with contextlib.suppress(InputError):
        assert sum(tensor.nbytes for tensor in read(index, data, "here").values()) <= len(data)
