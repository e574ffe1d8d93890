"""Which conventions can have printed a row."""

import re
from pathlib import Path

import numpy as np
import pytest

import metrics
from metrics.__main__ import main
from metrics.errors import InputError
from metrics.which import exclude_conventions, parse_row, read_rows


def possible(**row: float) -> set[str]:
    return {convention for convention, reasons in exclude_conventions(row).items() if not reasons}


def test_the_papers_row_is_of_tang2022() -> None:
    """DenseFuse on M3FD in Table 1 of MoE-Fusion."""
    row = {"EN": 6.41, "SF": 0.0364, "SD": 8.60, "MI": 2.95, "VIF": 0.657, "AG": 3.07, "SCD": 1.51, "Q_abf": 0.384}
    assert possible(**row) == {"tang2022"}


def test_scales_and_metrics_decide() -> None:
    assert possible(SF=13.2, SD=40) == {"tang2023", "cddfuse", "vifb"}
    assert possible(PSNR=62.0, CC=0.6) == {"tang2022", "tang2023", "metric_python"}
    assert possible(PSNR=15.0) == {"cddfuse"}
    assert possible(SSIM=1.3) == {"cddfuse", "vifb", "metric_python"}
    assert possible(MI=7.0, EN=4.0) == {"tang2022", "tang2023"}  # more than twice EN in nats
    assert possible(Q_p=0.5) == {"mefb"}


@pytest.mark.parametrize("convention", list(metrics.CONVENTIONS))
def test_no_convention_excludes_its_own_values(convention: str) -> None:
    random = np.random.default_rng(0)
    scene = random.normal(0, 9, (180, 190)).cumsum(axis=0)
    sources = [np.clip(scene + random.normal(100, 12, scene.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    fused = ((sources[0].astype(int) + sources[1]) // 2).astype(np.uint8)
    names = [name for name in metrics.CONVENTIONS[convention].rules if name != "Q_p"]
    assert (
        exclude_conventions(metrics.evaluate(*sources, fused, convention=convention, metrics=names))[convention] == []
    )


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["which", "SF=0.0364", "SD=8.60", "VIF=0.66", "MI=2.95"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[1] for line in shown.splitlines() if " yes " in line] == ["tang2022"]
    assert main(["which", "SF"]) == 2
    assert "expected ID=VALUE" in capsys.readouterr().err


def test_rows_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DenseFuse on M3FD as MoE-Fusion's Table 1 has it, and a row on levels 0-255."""
    table = tmp_path / "table.csv"
    table.write_text("method, year,SF,SD,EN,seconds\nDenseFuse,2019,0.0364,8.60,6.41,9\nOther,,13.2,40,,\nNone,,,,,3\n")
    assert read_rows(table) == [
        ("DenseFuse · 2019", {"SF": 0.0364, "SD": 8.6, "EN": 6.41}),
        ("Other", {"SF": 13.2, "SD": 40.0}),
    ]
    assert main(["which", str(table)]) == 0
    shown = capsys.readouterr().out
    assert "│ DenseFuse · 2019 │ tang2022 " in shown
    assert "│ Other            │ tang2023, cddfuse, vifb " in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a CSV file"),
        ("method,speed\nA,1\n", "no column that is named like a metric; known: EN"),
        ("method,EN\n", "no row with a value"),
        ("method,EN\nA,6.4 (2)\n", "line 2, column EN: '6.4 .2.'; expected a number"),
        ("EN\nnan\ninf\n", "EN=inf: expected a finite number"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)
    assert main(["which", str(table)]) == 2
    complaint = capsys.readouterr().err
    assert re.search(message, complaint)
    assert len(complaint.splitlines()) == 1
    assert main(["which", str(tmp_path / "none.csv")]) == 2
    assert "none.csv cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "message"), [({"NO": 1.0}, "unknown metric"), ({"EN": float("nan")}, "finite"), ({}, "no value")]
)
def test_what_is_no_row_is_refused(row: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        exclude_conventions(row)
    with pytest.raises(InputError, match="ID=VALUE"):
        parse_row(["EN=high"])
