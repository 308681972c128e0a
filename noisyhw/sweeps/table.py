"""The results of a sweep as one tidy table: a row for each run that was asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from ..training.files import write_atomically
from .record import METRICS, TIMES
from .store import Store

LAST = ("status", "reason", *METRICS, "perturbation_std", *TIMES, "identity")
OWN = ("task", "device", "rule")
TUNED = "tuned."
"""Names of the columns that tell what a search has chosen start so."""


def load(path: str | Path, *, unfinished: bool = False) -> pd.DataFrame:
    """Return a sweep's results.

    Columns: task, device, rule, what the axes set, seed; tuned.FIELD, what a search has chosen, and tuned.note, where
    there was one; status (done, diverged, failed) and reason; the last epoch's metrics; perturbation_std; seconds and
    finished, the only ones that differ when a sweep is computed again; identity.
    Runs that diverged keep the last epoch that they finished, if any; those that failed have no metrics.

    Args:
        path: the sweep's folder.
        unfinished: also list runs that were asked for and are not finished, with status "to do".

    Raises:
        RunError: there is no sweep, or it is damaged.
    """
    return results(Store.open(path), unfinished=unfinished)


def load_curves(path: str | Path) -> pd.DataFrame:
    """Return the learning curves of a sweep's runs: one row an epoch, with the run's settings and identity.

    Raises:
        RunError: there is no sweep, or it is damaged.
    """
    store = Store.open(path)
    curves = store.curves()
    parts = [
        pd.DataFrame(curves[point["identity"]]).assign(**point["settings"], identity=point["identity"])
        for point in store.current
        if point["identity"] in curves
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def results(store: Store, *, unfinished: bool = False) -> pd.DataFrame:
    """Return the table of an open store (see :func:`load`)."""
    rows = [_row(store, point) for point in store.current if unfinished or point["identity"] in store.records]
    return pd.DataFrame(rows, columns=_columns(store))


def _columns(store: Store) -> list[str]:
    swept = dict.fromkeys(key for point in store.current for key in point["settings"])
    tuned = dict.fromkeys(TUNED + key for point in store.current for key in point.get("tuned", {}))
    return [*OWN, *(key for key in swept if key not in (*OWN, "seed")), "seed", *tuned, *LAST]


def _row(store: Store, point: dict[str, Any]) -> dict[str, Any]:
    record = store.records.get(point["identity"])
    row = dict(point["settings"]) | {"status": "to do", "identity": point["identity"]}
    row |= {TUNED + key: value for key, value in point.get("tuned", {}).items()}
    if record is None:
        return row
    return (
        row
        | {"status": record.status, "reason": record.reason}
        | record.metrics
        | {
            "perturbation_std": record.perturbation_std,
            "seconds": record.seconds,
            "finished": record.finished,
        }
    )


def write_results(store: Store) -> None:
    """Write results.csv, and results.parquet where pyarrow is installed, unless they are as they should be.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    with store.locked():
        store.refresh()
        table = results(store)
        _write(store.path / "results.csv", table.to_csv(index=False).encode())
        if find_spec("pyarrow") is not None:
            _write(store.path / "results.parquet", _uniform(table).to_parquet(index=False, engine="pyarrow"))


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, lambda file: file.write(content))


def _uniform(table: pd.DataFrame) -> pd.DataFrame:
    """Parquet's columns have one type: where an axis mixes numbers and words, all become words."""
    mixed = [name for name in table if pd.api.types.infer_dtype(table[name]).startswith("mixed")]
    return table.assign(**{str(name): table[name].map(str, na_action="ignore") for name in mixed})
