"""OpenMP's threads wait without taking the cores from other programs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def spin_count(module: str, environment: dict[str, str]) -> int:
    """Return what libgomp, which prints its settings when torch loads it, says of its spinning."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}; import torch"],
        env={**inherited, "OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    counts = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not counts:
        pytest.skip("torch does not use GNU OpenMP here")
    return int(counts[-1])


@pytest.mark.parametrize("module", ["metrics", "methods", "moefusion", "run_benchmark"])
def test_spinning_is_limited_before_torch_loads(module: str) -> None:
    assert spin_count(module, {}) == 10000


@pytest.mark.parametrize("environment", [{"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "active"}])
def test_the_users_own_setting_stays(environment: dict[str, str]) -> None:
    expected = int(environment.get("GOMP_SPINCOUNT", "30000000000"))
    assert spin_count("metrics", environment) == expected
