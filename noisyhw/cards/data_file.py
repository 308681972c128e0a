"""The schema of data in a file: which of its columns are learnt, and what it is tested on.

It lies here, beside the card that it is part of; files are read in :mod:`noisyhw.tasks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .task_options import TaskOptions

ARRAYS = (".npz", ".npy")
TEXT_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
TABLES = (*TEXT_TABLES, ".parquet")
SUFFIXES = (*ARRAYS, *TABLES)
PATHS = ("targets", "test")
"""Options that may name another file; a relative path is relative to the card that says it."""

Column = str | Annotated[int, Field(strict=True, ge=0)]


def is_data_file(text: str) -> bool:
    """Whether a task's name is a path to data: by the file's ending, or because it names a folder."""
    return text.lower().endswith(SUFFIXES) or Path(text).name != text


def stem(file: str | Path) -> str:
    """Return a file's name without its ending: what the task is called."""
    name = Path(file).name
    ending = next((one for one in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(one)), "")
    return name[: len(name) - len(ending)] if ending else Path(name).stem


class FileOptions(TaskOptions):
    """What is read of a file of data."""

    targets: str | None = Field(None, description=".npy: the file with the targets.")
    target: Column | tuple[Column, ...] | None = Field(
        None, description="Tables: the column that is learnt, or several."
    )
    leave_out: Column | tuple[Column, ...] = Field(
        (),
        description="Tables: columns that are neither learnt nor given to the network, e.g. a sample's number.",
    )
    header: bool | None = Field(
        None,
        description=".csv, .tsv: whether the first line names the columns. Empty: it does, unless it looks "
        "like a sample, and then this must be said.",
    )
    kind: Literal["classification", "regression"] | None = Field(
        None,
        description="Whether targets are classes or values. Empty: whole numbers, text, true and false are classes.",
    )
    test: Annotated[float, Field(strict=True, gt=0, lt=1)] | str | None = Field(
        None,
        description="Share of the samples that is tested on, or a file with them. Empty: the file's own test set, or "
        "a fifth.",
    )
