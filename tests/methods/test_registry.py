"""Methods by name: built in, in a file, in an installed package."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import methods
from methods import registry
from methods.classical import Average
from metrics import plugins
from metrics.errors import InputError
from metrics.files import digest

OWN = """
import numpy as np
from methods import Method

class Darker(Method):
    title = "Darker pixel"
    def forward(self, infrared, visible):
        return np.minimum(infrared, visible)

class NotAMethod:
    pass
"""
IMAGE = np.full((4, 5), 7, np.uint8)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_every_name_can_be_found() -> None:
    assert {"infrared", "visible", "average", "maximum", "laplacian", "folder"} <= set(methods.names())
    for name in methods.names():
        assert issubclass(methods.find(name), methods.Method)
        assert methods.find(name).__doc__


def test_groups_stand_for_their_methods() -> None:
    records = methods.records()
    paper = methods.expand(["average", "paper"])
    assert set(paper) == {"average", *(name for name, record in records.items() if record.row)}
    assert len(paper) >= 10
    verified = methods.expand(["ydtr:x", "all-verified", "ifcnn"])
    assert verified[0] == "ydtr:x"
    assert verified.count("ifcnn") == 1
    assert "densefuse" in verified
    assert "rfn_nest" not in verified
    assert methods.expand(["average", "average"]) == ["average", "average"]  # an error, but not of this function


def test_names_are_known_without_loading_torch() -> None:
    code = "import sys, methods; assert 'ydtr' in methods.names(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(InputError, match="unknown method 'avrage'; known: infrared, visible, average"):
        methods.create("avrage")
    with pytest.raises(InputError, match="Average has no variants, but 'x' was asked for"):
        methods.create("average", variant="x")


def test_a_class_in_a_file(own: Path) -> None:
    method = methods.create(f"{own}:Darker")
    assert method.fuse(IMAGE, IMAGE + 1).tolist() == IMAGE.tolist()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{own}:Lighter", "unknown class in .*own.py 'Lighter'; known: Darker"),
        ("{own}:NotAMethod", "expected a subclass of methods.Method"),
        ("{folder}/missing.py:X", "missing.py is not there"),
    ],
)
def test_a_file_that_does_not_hold_it(own: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        methods.create(name.format(own=own, folder=own.parent))


def test_a_file_that_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_this_name\n")
    with pytest.raises(InputError, match="broken.py does not load: ModuleNotFoundError"):
        methods.create(f"{path}:X")


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for level, folder in ((10, "a"), (20, "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "method.py").write_text(
            "from methods import Method\n"
            "class Flat(Method):\n"
            "    def forward(self, infrared, visible):\n"
            f"        return infrared * 0 + {level}\n"
        )
    found = [methods.create(f"{tmp_path / folder}/method.py:Flat").fuse(IMAGE, IMAGE)[0, 0] for folder in "ab"]
    assert found == [10, 20]


def test_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("theirs", "methods.classical:Average", registry.ENTRY_POINTS),
        EntryPoint("gone", "no_such_package:Method", registry.ENTRY_POINTS),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group, name=None: [p for p in points if name in (None, p.name)])
    assert methods.names()[-2:] == ("gone", "theirs")
    assert isinstance(methods.create("theirs"), Average)
    with pytest.raises(InputError, match="'gone' of no_such_package:Method does not load: ModuleNotFoundError"):
        methods.create("gone")


def test_a_method_that_gives_the_wrong_size_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "small.py"
    path.write_text(
        "from methods import Method\n"
        "class Half(Method):\n"
        "    def forward(self, infrared, visible):\n"
        "        return infrared[::2]\n"
    )
    with pytest.raises(InputError, match=r"Half gave uint8 \(2, 5\); expected uint8 \(4, 5\)"):
        methods.create(f"{path}:Half").fuse(IMAGE, IMAGE)


def test_a_method_that_gives_no_numbers_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "nothing.py"
    path.write_text(
        "from methods import Method\n"
        "class Nothing(Method):\n"
        "    def forward(self, infrared, visible):\n"
        "        return infrared * float('nan')\n"
    )
    with pytest.raises(InputError, match="Nothing gave numbers that are not finite"):
        methods.create(f"{path}:Nothing").fuse(IMAGE, IMAGE)


def test_a_file_that_changes_is_another_method(own: Path) -> None:
    """What runs is what was loaded, and so is its hash; who asks again gets the new one."""
    before = methods.find(f"{own}:Darker")
    known = methods.code_digest(before)
    own.write_text(OWN.replace("minimum", "maximum"))
    assert methods.code_digest(before) == known
    after = methods.find(f"{own}:Darker")
    assert methods.code_digest(after) != known
    pair = IMAGE, IMAGE + 1
    assert [method().fuse(*pair)[0, 0] for method in (before, after)] == [7, 8]
    own.write_text(OWN)
    assert methods.code_digest(methods.find(f"{own}:Darker")) == known


def test_a_reworded_docstring_is_the_same_method(own: Path) -> None:
    before = methods.code_digest(methods.find(f"{own}:Darker"))
    prose = OWN.replace('title = "Darker pixel"', '"""Darker."""\n    title = "Darkest"  # of both')
    own.write_text(
        prose.replace("def forward", "def forward").replace("visible):\n", 'visible):\n        """Min."""\n')
    )
    assert methods.code_digest(methods.find(f"{own}:Darker")) == before


def documented(marker: str, folder: Path) -> Path:
    """Return a file with the code after a marker in docs/your-method.md."""
    page = (Path(__file__).parents[2] / "docs" / "your-method.md").read_text(encoding="utf-8")
    code = re.search(rf"<!-- {marker} -->\n```python\n(.*?)```", page, re.DOTALL)
    assert code
    path = folder / "documented.py"
    path.write_text(code[1])
    return path


def test_the_documented_network(tmp_path: Path) -> None:
    path, weights = documented("blend", tmp_path), tmp_path / "blend.pt"
    torch.save(torch.nn.Conv2d(2, 1, 3, padding=1).state_dict(), weights)
    method = methods.create(f"{path}:Blend", weights=weights, device="cpu")
    assert method.fuse(IMAGE, IMAGE + 1).shape == IMAGE.shape
    assert method.settings() == {"weights": digest(weights)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_documented_published_network(tmp_path: Path, suffix: str) -> None:
    name = f"{documented('published network', tmp_path)}:Gate"
    state = {f"gate.{key}": value for key, value in torch.nn.Conv2d(2, 1, 3, padding=1).state_dict().items()}
    weights = tmp_path / f"retrained{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, weights)
    method = methods.create(name, weights=weights, device="cpu")
    assert method.fuse(IMAGE, IMAGE)[0, 0] == IMAGE[0, 0]
    assert method.settings()["official weights"] is False
    record = method.record  # type: ignore[attr-defined]
    assert sum(value.numel() for value in state.values()) == record.parameters
    (save_file if suffix == ".safetensors" else torch.save)({"gate.bias": torch.zeros(1)}, weights)
    with pytest.raises(InputError, match=rf"retrained\{suffix} does not fit GateNetwork: .*gate.weight"):
        methods.create(name, weights=weights, device="cpu")
