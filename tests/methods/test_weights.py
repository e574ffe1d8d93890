"""Official weight files: found, fetched from a server of the test's own, and checked."""

import functools
import hashlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from methods import weights
from methods.record import Record, WeightFile
from metrics.errors import InputError

CONTENT = b"weights " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server of one official file; yields its address."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/net.pth"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IVIF_WEIGHTS", str(tmp_path / "local"))
    return tmp_path / "local" / "net"


def record(*files: WeightFile) -> Record:
    return Record(
        paper="Somebody, Somewhere, 2020",
        year=2020,
        citation="@misc{somebody2020}",
        repository="https://example.org",
        commit="0",
        licence="none found",
        files=files,
        trained_on=("Street", "Sea"),
        parameters=1,
        verified="official outputs",
        by_hand="from the authors' page",
    )


def file(url: str | None = None, **others: object) -> WeightFile:
    return replace(WeightFile("net.pth", url, len(CONTENT), SHA256), **others)  # type: ignore[arg-type]


def test_a_file_is_fetched_once_and_verified(server: str, local: Path) -> None:
    found = weights.fetch("net", record(), file(server))
    assert found == local / "net.pth"
    assert found.read_bytes() == CONTENT
    assert weights.fetch("net", record(), file("http://127.0.0.1:9/unreachable")) == found


@pytest.mark.parametrize("identity", [{"sha256": "0" * 64}, {"sha256": None, "git_blob": "0" * 40}])
def test_another_file_than_the_official_one_is_not_kept(server: str, local: Path, identity: dict[str, str]) -> None:
    with pytest.raises(InputError, match="weights of method 'net'|gave another file"):
        weights.fetch("net", record(), file(server, **identity))
    assert not (local / "net.pth").exists()


def test_no_network_says_how_to_get_it_by_hand() -> None:
    with pytest.raises(InputError, match=r"could not be fetched .* get it by hand .* weights add net PATH"):
        weights.fetch("net", record(), file("http://127.0.0.1:9/net.pth"))
    with pytest.raises(InputError, match="has no direct download; get it by hand .from the authors' page."):
        weights.fetch("net", record(), file())


def test_a_damaged_local_file_is_refused(local: Path) -> None:
    local.mkdir(parents=True)
    (local / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="net.pth is not the official file"):
        weights.fetch("net", record(), file())


def test_adding_takes_official_files_only(tmp_path: Path, local: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "renamed (1).pth").write_bytes(CONTENT)
    assert weights.add("net", record(file()), tmp_path / "downloads") == [local / "net.pth"]
    assert weights.locate("net", record(file()), None, None) == {"net.pth": local / "net.pth"}
    (tmp_path / "other.pth").write_bytes(b"something else")
    with pytest.raises(InputError, match="holds none of the official files of method 'net'"):
        weights.add("net", record(file()), tmp_path / "other.pth")
    with pytest.raises(InputError, match="holds none of the official files"):
        weights.add("net", record(file()), tmp_path / "nowhere")


def test_files_of_ones_own_are_taken_by_path(tmp_path: Path) -> None:
    both = record(file(), file(name="second.pth", variants=("b",)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.pth").write_bytes(b"my own training")
    assert weights.locate("net", both, "a", str(tmp_path / "mine")) == {"net.pth": tmp_path / "mine" / "net.pth"}
    assert list(weights.locate("net", both, "a", str(tmp_path / "mine" / "net.pth"))) == ["net.pth"]
    with pytest.raises(InputError, match="mine does not hold second.pth"):
        weights.locate("net", both, "b", str(tmp_path / "mine"))
    with pytest.raises(InputError, match="net.pth is one file; method 'net' reads net.pth, second.pth"):
        weights.locate("net", both, "b", str(tmp_path / "mine" / "net.pth"))
    with pytest.raises(InputError, match="nowhere is not there; expected net.pth"):
        weights.locate("net", both, "a", str(tmp_path / "nowhere"))


def test_the_git_blob_hash_is_gits(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    said = subprocess.run(["git", "hash-object", "x"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert weights.git_blob(CONTENT) == said.stdout.strip()


def test_a_file_without_a_published_hash_is_taken_by_name_and_not_called_official(tmp_path: Path, local: Path) -> None:
    unknown = file(bytes=None, sha256=None)
    (tmp_path / "net.pth").write_bytes(b"theirs, perhaps")
    (tmp_path / "other.pth").write_bytes(b"something else")
    with pytest.raises(InputError, match="holds none of the official files"):
        weights.add("net", record(unknown), tmp_path / "other.pth")
    assert weights.add("net", record(unknown), tmp_path / "net.pth") == [local / "net.pth"]
    assert weights.locate("net", record(unknown), None, None) == {"net.pth": local / "net.pth"}
    assert not weights.official(local / "net.pth", unknown)


def test_a_data_set_that_the_weights_were_trained_on_is_named() -> None:
    harbour = file(name="second.pth", variants=("b",), probably_trained_on=("Harbour",))
    known = replace(record(file(), harbour), probably_trained_on=("Hill",))
    assert known.leakage("a", "Sea") == "its weights were trained on Sea"
    assert known.leakage("a", "Hill") == "its weights were probably trained on Hill"
    assert known.leakage("b", "Harbour") == "its weights were probably trained on Harbour"
    assert known.leakage("a", "Harbour") is known.leakage("a", "M3FD") is None
