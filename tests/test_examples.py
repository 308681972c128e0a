"""The examples run as they stand, each within its sixty lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_leaves_its_figures(path: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(path), "--epochs", "2", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    if "savefig" in path.read_text():
        assert list((tmp_path / "out").glob("*.png"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_fewer_than_sixty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60


def test_there_are_examples_of_a_rule_and_of_a_network() -> None:
    assert {"my_rule", "my_network"} <= {path.stem for path in EXAMPLES}
