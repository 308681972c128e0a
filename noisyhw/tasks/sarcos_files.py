"""The SARCOS files: where they are looked for, and how they are read and checked."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ..errors import DataError
from .files import Source
from .remote import Remote

INPUTS: Final = 21
OUTPUTS: Final = 7
ALL_ROWS: Final = 44_484
TEST_ROWS: Final = 4_449
TEST_STRIDE: Final = 10
"""Row j of the test file is row 10 j of the training file, so the one can be checked by the other."""
ROUNDING: Final = 1e-5
"""Copies of the recording differ by their rounding, at most 4e-6 in any column."""

URL: Final = "http://www.gaussianprocess.org/gpml/data/"
TRAIN: Final = "sarcos_inv.mat"
TEST: Final = "sarcos_inv_test.mat"
PARTIAL: Final = "sarcos_inv_partial.npz"
TEST_SHA256 = "161a59b5c3b4f4b404584323f181607b2acbe620eb134dc720760dc3f38f5cec"
FIX: Final = "Delete it and fetch it again"


def _find(folder: Path) -> Path | None:
    """The folder with both files: ``folder`` itself or its subfolder ``sarcos``."""
    for place in (folder, folder / "sarcos"):
        if (place / TEST).is_file() and any((place / name).is_file() for name in (TRAIN, PARTIAL)):
            return place
    return None


SOURCE = Source(
    title="SARCOS",
    looked_for=f"{TEST} together with {TRAIN} (or {PARTIAL}), there or in its subfolder sarcos",
    find=_find,
    remotes=(Remote(URL + TRAIN, TRAIN, None), Remote(URL + TEST, TEST, f"sha256:{TEST_SHA256}")),
)


class Recording(NamedTuple):
    """The training rows, their places in the recording, the usual test rows, and what to tell of them."""

    train: Float64[Tensor, "rows 28"]
    row: Int64[Tensor, "rows"]
    test: Float64[Tensor, "test 28"]
    notes: tuple[str, ...]


def read(folder: Path) -> Recording:
    """Read the files in a folder: the whole training file if it is there, else the partial one.

    Raises:
        DataError: a file is truncated or altered.
    """
    test = _read_test(folder / TEST)
    path = folder / TRAIN
    if path.is_file():
        train, row = (
            _table(_load_mat(path, "sarcos_inv"), path, "sarcos_inv", ALL_ROWS),
            torch.arange(ALL_ROWS),
        )
        note = f"SARCOS: {TRAIN} has no published checksum; its shape, type and every 10th row were checked"
    else:
        path = folder / PARTIAL
        train, row = _read_partial(path)
        note = f"SARCOS: partial training file, {len(train):,} of {ALL_ROWS:,} rows"
    _check_against_test(train, row, test, path)
    return Recording(train, row, test, (note,))


def _read_test(path: Path) -> Float64[Tensor, "test 28"]:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != TEST_SHA256:
        raise DataError(
            f"{path}: truncated or altered: its SHA-256 is {found}, the original's {TEST_SHA256}. "
            f"Delete it and fetch {URL}{TEST} again"
        )
    return _table(_load_mat(path, "sarcos_inv_test"), path, "sarcos_inv_test", TEST_ROWS)


def _read_partial(path: Path) -> tuple[Float64[Tensor, "rows 28"], Int64[Tensor, "rows"]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            table, row = file["sarcos_inv"], file["row_index"]
    except Exception as error:  # a broken archive can raise anything
        raise DataError(f"{path}: not a readable npz file ({error}). {FIX}") from error
    train = _table(table, path, "sarcos_inv", None)
    if row.shape != (len(train),) or row.dtype.kind not in "iu":
        raise DataError(
            f"{path}: 'row_index' must hold one whole number for each of the {len(train)} rows. {FIX}"
        )
    if len(np.unique(row)) != len(row) or row.min() < 0 or row.max() >= ALL_ROWS:
        raise DataError(f"{path}: 'row_index' must hold different rows from 0 to {ALL_ROWS - 1}. {FIX}")
    return train, torch.from_numpy(row.astype(np.int64))


def _load_mat(path: Path, key: str) -> Any:
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[key])[key]
    except Exception as error:  # a broken file can raise anything
        raise DataError(f"{path}: no readable MATLAB file with '{key}' ({error}). {FIX}") from error


def _table(values: Any, path: Path, key: str, rows: int | None) -> Float64[Tensor, "rows 28"]:
    """Check a table's type, shape (any positive number of rows where ``rows`` is None) and values."""
    columns = INPUTS + OUTPUTS
    fits = values.ndim == 2 and len(values) == (rows or max(1, len(values))) and values.shape[1] == columns
    if not fits or values.dtype != np.float64:
        raise DataError(
            f"{path}: '{key}' must be float64 of shape ({rows or 'rows'}, {columns}), "
            f"not {values.dtype} of shape {values.shape}. {FIX}"
        )
    if not np.isfinite(values).all():
        raise DataError(f"{path}: '{key}' holds NaN or infinite values. {FIX}")
    return torch.from_numpy(np.ascontiguousarray(values))


def _check_against_test(
    train: Float64[Tensor, "rows 28"],
    row: Int64[Tensor, "rows"],
    test: Float64[Tensor, "test 28"],
    path: Path,
) -> None:
    shared = row % TEST_STRIDE == 0
    off = (train[shared] - test[row[shared] // TEST_STRIDE]).abs().amax(1) > ROUNDING
    if off.any():
        raise DataError(
            f"{path}: altered: recorded row {int(row[shared][off][0])} is not that of the test file. {FIX}"
        )
