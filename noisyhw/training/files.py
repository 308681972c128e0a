"""Files that are whole or not there: atomic writes, and appends that survive a kill."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from ..errors import RunError


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file through a temporary one beside it, synced and then renamed, so that it is never half there.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written ({_reason(error)}); free some space or choose another --out"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))


def sync(path: Path) -> None:
    """Let a file reach the disk.

    Raises:
        RunError: it is gone, or cannot be written.
    """
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({_reason(error)})") from None


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically: tensors and plain values only."""
    write_atomically(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code from it.

    Raises:
        RunError: it is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what damaged bytes look like
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"{path}: there is no checkpoint; start the run again with --fresh") from None
    except pickle.UnpicklingError:
        raise RunError(
            f"{path}: damaged, or holds more than tensors and plain values; nothing of it was run. Start the run "
            "again with --fresh"
        ) from None
    except Exception as error:  # damaged bytes can fail anywhere in the reader
        raise RunError(
            f"{path}: not a sound checkpoint ({_reason(error)}); start the run again with --fresh"
        ) from None
    if not isinstance(state, dict):
        raise RunError(f"{path}: not a checkpoint of noisyhw; start the run again with --fresh")
    return state


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0][:120]
