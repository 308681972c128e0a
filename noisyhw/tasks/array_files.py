"""Arrays in NumPy's files: .npz with inputs and targets, or a pair of .npy."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Shaped

from ..errors import DataError

SPELLINGS: Final = {
    "x": ("x", "x_train", "train_x"),
    "y": ("y", "y_train", "train_y"),
    "test x": ("test_x", "x_test"),
    "test y": ("test_y", "y_test"),
}
"""What a part of the data may be called in an .npz, in small letters or capitals."""
NEEDED: Final = (
    "name the arrays x and y, and test_x and test_y for a test set (or x_train, y_train and so on)"
)
BROKEN: Final = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, SyntaxError)


class Part(NamedTuple):
    """Inputs and targets as a file holds them, with what messages call them.

    Args:
        x, y: an array or a table each.
        names: what messages call x and y; empty: the file alone.
        notes: what a person must be told.
    """

    x: Any
    y: Any
    names: tuple[str, str]
    notes: tuple[str, ...] = ()


def read_npz(file: Path) -> tuple[Part, Part | None]:
    """Return the training samples of an archive, and its test samples if it has any.

    Raises:
        DataError: it is no sound archive, an array is missing, or one holds Python objects.
    """
    try:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"{file}: holds one array, not an archive; call it .npy, with task.targets")
        with archive:
            found = _found(file, archive.files)
            arrays = {part: _member(file, archive, name) for part, name in found.items()}
            unused = [name for name in archive.files if name not in found.values()]
    except BROKEN as error:
        raise DataError(
            f"{file}: is no readable .npz ({_reason(error)}); write it again by numpy.savez"
        ) from None
    notes = (f"arrays that are not used: {', '.join(unused)}",) if unused else ()
    train = Part(arrays["x"], arrays["y"], (found["x"], found["y"]), notes)
    if "test x" not in arrays:
        return train, None
    return train, Part(arrays["test x"], arrays["test y"], (found["test x"], found["test y"]))


def _found(file: Path, names: list[str]) -> dict[str, str]:
    """Part -> name of its array."""
    found: dict[str, str] = {}
    for part, spellings in SPELLINGS.items():
        several = [name for name in names if name.lower() in spellings]
        if len(several) > 1:
            raise DataError(f"{file}: {' and '.join(several)} both stand for {part}; leave one of them out")
        found |= dict.fromkeys([part], *several) if several else {}
    pairs = (("x", "y"), ("test x", "test y"))
    lacking = [part for pair in pairs for part in pair if part not in found]
    if "x" in lacking or "y" in lacking or len(lacking) == 1:
        holds = ", ".join(names) or "nothing"
        raise DataError(f"{file}: has no array {SPELLINGS[lacking[0]][0]}, it holds {holds}; {NEEDED}")
    return found


def _member(file: Path, archive: Any, name: str) -> Shaped[np.ndarray, "..."]:
    try:
        array: Shaped[np.ndarray, "..."] = archive[name]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise DataError(
            f"{file}: array {name} holds Python objects, which are not read, as they could run code; write it "
            f"as numbers or text, e.g. {name}.astype('float32') or {name}.astype(str)"
        ) from None
    return array


def read_npy(file: Path, targets: Path) -> Part:
    """Return the samples of two files, one with inputs and one with targets.

    Raises:
        DataError: one is no sound .npy, or holds Python objects.
    """
    return Part(_array(file), _array(targets), ("", f"targets ({targets.name})"))


def _array(file: Path) -> Shaped[np.ndarray, "..."]:
    try:
        array = np.load(file, allow_pickle=False)
    except BROKEN as error:
        raise DataError(
            f"{file}: is no readable .npy ({_reason(error)}); write it by numpy.save, as numbers or text"
        ) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{file}: is an archive of several arrays; call it .npz")
    return array


def _reason(error: BaseException) -> str:
    if isinstance(error, EOFError):
        return "it is empty"
    if "pickle" in str(error):
        return "it holds Python objects, or is no such file at all"
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
