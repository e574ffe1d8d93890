"""The benchmark installed from its wheel, away from the checkout; the metrics by themselves, without torch."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement

from benchmark.synthetic import layouts as synthetic

ROOT = Path(__file__).parents[1]
EXPERIMENT = """
title = "Two scenes"
tables = [1]
methods = ["infrared", "average", "my_method.py:Mine"]

[[datasets]]
name = "m3fd"
"""
METHOD = """
from methods import Method

class Mine(Method):
    def forward(self, infrared, visible):
        return 0.25 * infrared + 0.75 * visible
"""


def install(project: Path, tmp: Path) -> Path:
    """Return a folder with a project as its wheel installs it, without its dependencies."""
    copy = tmp / "source"  # building leaves files beside the source
    shutil.copytree(
        project, copy, ignore=shutil.ignore_patterns(".git", "tests", "results", "build", "*.egg-info", ".*cache")
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels, site = tmp / "wheels", tmp / "site"
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    shutil.rmtree(copy)
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with folders that bear the names of the benchmark's packages in it."""
    folder = tmp_path_factory.mktemp("user")
    synthetic.write(folder / "data/M3FD", layout="m3fd", train=1, test=2, seed=1, size=(192, 168))
    (folder / "mine.toml").write_text(EXPERIMENT)
    (folder / "my_method.py").write_text(METHOD)
    for name in ("metrics", "methods", "benchmark"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('the user’s own')\n")
    return folder


def call(site: Path, folder: Path, script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "MPLBACKEND": "agg"}
    command = [sys.executable, str(site / "bin" / script), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_command_works_from_a_wheel(site: Path, folder: Path) -> None:
    call(site, folder, "ivif-benchmark", "run", "mine.toml", "--workers", "2")
    table = pd.read_csv(folder / "results/mine/table1.csv")
    measured = table[table["origin"] == "measured"].set_index("method")
    assert measured.index.tolist() == ["Infrared", "Average", "Mine"]
    assert measured["EN"].notna().all()
    assert (table["origin"] == "paper").any()  # the published numbers are package data
    call(site, folder, "ivif-benchmark", "report", "results/mine")
    assert (folder / "results/mine/report.html").is_file()
    call(site, folder, "ivif-benchmark", "gaming", "mine.toml", "--limit", "1", "--out", "results/gaming")
    call(site, folder, "ivif-benchmark", "check", "m3fd", "data/M3FD")
    for what in ("methods", "metrics", "datasets", "experiments"):
        assert call(site, folder, "ivif-benchmark", "list", what)
    assert not list(folder.glob("results/*/**/error.txt"))


@pytest.mark.slow
def test_metrics_score_where_there_is_no_torch(tmp_path: Path, folder: Path) -> None:
    site = install(ROOT / "metrics", tmp_path)
    packages = tmp_path / "packages"
    packages.mkdir()
    with (ROOT / "metrics/pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["dependencies"]
    for name in dependencies(declared):
        link(name, packages)
    images = [str(folder / "data/M3FD" / name) for name in ("Ir", "Vis", "Vis")]
    program = (
        f"import sys; sys.path[:0] = {[str(site), str(packages)]!r}; import metrics.__main__ as m; "
        f"status = m.main({[*images, '--csv', str(tmp_path / 'scores.csv'), '--metrics', 'all', '--workers', '1']!r}); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    # -I and -S leave nothing on the path but the standard library and what the program adds.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "scores.csv")) == 3
    assert not (packages / "torch").exists()


def dependencies(declared: list[str]) -> set[str]:
    """Return the names of the distributions that requirements need, with what these need in turn."""
    names: set[str] = set()
    waiting = [Requirement(text) for text in declared]
    while waiting:
        requirement = waiting.pop()
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or requirement.name in names:
            continue
        try:
            needs = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            continue  # an alternative that is not installed
        names.add(requirement.name)
        waiting += [Requirement(text) for text in needs]
    return names


def link(name: str, folder: Path) -> None:
    """Link an installed distribution's files into a folder."""
    for file in distribution(name).files or []:
        top = file.parts[0]
        if top != ".." and not (folder / top).exists() and not (folder / top).is_symlink():
            (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))).resolve())
