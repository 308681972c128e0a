"""What the tests of sweeps share: a small card, tables without times, and what a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from noisyhw.sweeps.record import TIMES

SMALL = {"epochs": 2, "network": {"hidden": [8]}, "batch": 200}
CARD: dict[str, Any] = {
    "experiment": SMALL,
    "devices": ["ideal-noisy.yaml", "rram"],
    "rules": ["np", "danp"],
    "grid": {"device.read_noise.scale": [0.5, 1]},
    "seeds": 2,
}
"""16 runs of 16 batches."""
CARD["devices"][0] = {"extends": "ideal", "name": "ideal-noisy", "read_noise": {"white": {"std": 0.01}}}


def lasting(table: pd.DataFrame) -> pd.DataFrame:
    """All columns that must not differ from one computation to the next."""
    return table.drop(columns=list(TIMES))


def assert_same_results(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Row by row, bit by bit, all columns but the times."""
    pd.testing.assert_frame_equal(lasting(one), lasting(other), check_exact=True)


def content(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
