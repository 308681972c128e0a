"""Decoded pictures, kept as plain arrays in the user's cache so that the next start need not decode them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64, UInt8

from ..fingerprint import fingerprint
from . import files

ARRAYS: Final = ("train_x", "train_y", "test_x", "test_y")
VERSION: Final = "version"
"""The last file to be written, into a folder that gets its name when all is there."""


@dataclass(frozen=True)
class Pictures:
    """Pixels (red, green, then blue) and class numbers; the arrays may be memory maps.

    Attributes:
        version: names the content: 16 hex digits of a SHA-256 over all arrays.
    """

    train_x: UInt8[np.ndarray, "train pixels"]
    train_y: Int64[np.ndarray, "train"]
    test_x: UInt8[np.ndarray, "test pixels"]
    test_y: Int64[np.ndarray, "test"]
    version: str = ""


def cached(name: str, stamp: str, decode: Callable[[], Pictures]) -> Pictures:
    """The pictures of a data set, decoded only where the cache has none with this stamp.

    Args:
        name: the data set's folder in the cache.
        stamp: names the content of the files that are decoded.
        decode: reads these files.
    """
    folder = files.cache_dir() / name / f"decoded-{stamp}"
    found = _load(folder)
    if found is not None:
        return found
    fresh = decode()
    version = fingerprint(_bytes(getattr(fresh, array)) for array in ARRAYS)
    fresh = Pictures(fresh.train_x, fresh.train_y, fresh.test_x, fresh.test_y, version)
    _store(folder, fresh)
    return fresh


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _load(folder: Path) -> Pictures | None:
    """What a whole cache folder holds; None where there is none, or a damaged one."""
    try:
        version = (folder / VERSION).read_text()
        arrays = {
            array: np.load(folder / f"{array}.npy", mmap_mode="r", allow_pickle=False) for array in ARRAYS
        }
    except (OSError, ValueError, EOFError):
        return None
    return Pictures(**arrays, version=version)


def _store(folder: Path, pictures: Pictures) -> None:
    """Write the cache beside its place and move it there; a full or read-only disk only costs the next start time."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    except OSError:
        return
    try:
        for array in ARRAYS:
            np.save(part / f"{array}.npy", getattr(pictures, array))
        (part / VERSION).write_text(pictures.version)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
