"""What methods cost: counts that can be worked out by hand."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from benchmark.engine.experiment import MethodSettings
from benchmark.studies import profile

METHOD = """
from methods.network import NetworkMethod, fill, read_state
from methods.record import Record, WeightFile
from torch import nn

class Tiny(NetworkMethod):
    name = "tiny"
    record = Record("Nobody", 2020, "-", "-", "-", (WeightFile("tiny.pth"),), 10, "architecture only")
    def load(self, files):
        network = nn.Conv2d(1, 1, 3, padding=1)
        fill(network, read_state(files["tiny.pth"]), files["tiny.pth"])
        return network
    def infer(self, infrared, visible):
        return self.network(self.tensor(infrared))[0, 0]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> MethodSettings:
    (tmp_path / "tiny.py").write_text(METHOD)
    torch.save(nn.Conv2d(1, 1, 3, padding=1).state_dict(), tmp_path / "tiny.pth")
    return MethodSettings(f"{tmp_path}/tiny.py:Tiny", weights=str(tmp_path / "tiny.pth"), label="Tiny_net")


def test_counts_of_one_convolution(tiny: MethodSettings) -> None:
    missing = MethodSettings(tiny.name, weights="nowhere.pth", label="No weights")
    found = profile.profile([tiny, MethodSettings("average"), missing], size=(40, 30), repeats=1, device="cpu")
    assert found["parameters"][0] == 10  # 3 x 3 weights and a bias
    assert found["multiply-adds as computed (billions)"][0] == pytest.approx(9 * 40 * 30 / 1e9)
    assert found["milliseconds"][:2].gt(0).all()
    assert pd.isna(found["parameters"][1])
    assert "nowhere.pth is not there" in found["reason"][2]
    assert "40x30, float32, CPU" in found.attrs["about"]


def test_files_say_on_what_the_figures_were_taken(tiny: MethodSettings, tmp_path: Path) -> None:
    found = profile.profile([tiny], size=(40, 30), repeats=1, device="cpu")
    profile.write(tmp_path / "out", found)
    assert "CPU" in pd.read_csv(tmp_path / "out/profile.csv")["measured"][0]
    latex = (tmp_path / "out/profile.tex").read_text()
    assert r"Tiny\_net" in latex
    assert "float32" in latex
