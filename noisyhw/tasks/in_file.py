"""The task that a file of data makes: arrays or a table, checked as data in memory are."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final

from pydantic import BaseModel

from ..cards.data_file import SUFFIXES, TABLES, TEXT_TABLES, FileOptions
from ..cards.experiment import TaskCard
from ..errors import DataError, UsageError
from .array_files import Part, read_npy, read_npz
from .base import TEST_SHARE, Data
from .own import Arrays
from .table_files import read_table

KEPT: Final = 4
"""Contents of files that a process keeps, so that no run of a sweep reads them again."""
Stamp = tuple[int, int, int, int]
OF_ARRAYS: Final = re.compile(r"^(test x|test y|x|y)\b(, )?")
IN_A_CARD: Final = (("kind='", "task.kind='"), ("test=(x, y)", "task.test a file"))
"""What messages about arrays advise, and how a card says it."""
OF: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "targets": ((".npy",), "an .npy"),
    "target": (TABLES, "a table"),
    "leave_out": (TABLES, "a table"),
    "header": (TEXT_TABLES, "a .csv or .tsv"),
}
"""Options that mean something to some files only: the files' endings, and what they are."""


class InFile(Arrays):
    """A task of data in a file.

    Args:
        file: with the data.
        card: says how they are read.

    Raises:
        DataError, UsageError: with the file, the row and column, what is wrong there and what to do.
    """

    options_model: ClassVar[type[BaseModel]] = FileOptions

    def __init__(self, file: Path, card: TaskCard) -> None:
        options: FileOptions = self.options_of(card)
        super().__init__(read(file, options), file, f"Data in {file.name}")


def read(file: Path, options: FileOptions) -> Data:
    """Return the data in a file; they are read again where it, or another that the options name, has changed."""
    if not file.name.lower().endswith(SUFFIXES):
        endings = ", ".join(SUFFIXES)
        raise UsageError(
            f"task.file: {file}: such a file is not read; give {endings} or a class, ./my_task.py:MyTask"
        )
    _check_options(file, options)
    files = [file, *(Path(one) for one in (options.targets, options.test) if isinstance(one, str))]
    return _read(file, options, tuple(_stamp(one) for one in files))


def _stamp(file: Path) -> Stamp:
    """What changes when a file does.

    Raises:
        DataError: it is not there, or no file.
    """
    if file.is_dir():
        raise DataError(f"{file}: is a folder; name a file of data ({', '.join(SUFFIXES)})")
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(
            f"{file}: {error.strerror or error}; the data of this task are read from it, so put it there, or name "
            "where it is (task.file)"
        ) from None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=KEPT)
def _read(file: Path, options: FileOptions, stamps: tuple[Stamp, ...]) -> Data:
    """Read; ``stamps`` serve to tell an edited file from the one that was read before."""
    train, own = _parts(file, options)
    test, source = own, file
    if options.test is not None and own is not None:
        raise UsageError(f"task.test: {file} has a test set of its own ({own.names[0]}); leave task.test out")
    if isinstance(options.test, str):
        source = Path(options.test)
        test = _of_test(source, file, options, train)
    share = options.test if isinstance(options.test, float) else TEST_SHARE
    try:
        data = Data.from_arrays(
            train.x, train.y, test=share if test is None else (test.x, test.y), kind=options.kind
        )
    except UsageError as error:
        raise DataError(_in_file(str(error), (file, train), (source, test))) from None
    notes = [f"{file.name}: {note}" for note in (*train.notes, *data.notes)]
    return replace(data, notes=tuple(notes))


def _parts(file: Path, options: FileOptions) -> tuple[Part, Part | None]:
    name = file.name.lower()
    if name.endswith(TABLES):
        return read_table(file, options), None
    if name.endswith(".npy"):
        if options.targets is None:
            raise UsageError(
                f"task.targets: {file} holds inputs alone; name the file with the targets, ./y.npy"
            )
        return read_npy(file, Path(options.targets)), None
    return read_npz(file)


def _check_options(file: Path, options: FileOptions) -> None:
    """Refuse an option that would change nothing."""
    default = FileOptions()
    for field, (endings, what) in OF.items():
        given = getattr(options, field)
        if given != getattr(default, field) and not file.name.lower().endswith(endings):
            raise UsageError(f"task.{field}: is of {what}, and {file.name} is none; leave it out")


def _of_test(test: Path, file: Path, options: FileOptions, train: Part) -> Part:
    if test.name.lower().endswith(TABLES):
        if not file.name.lower().endswith(TABLES):
            raise UsageError(f"task.test: {test} is a table, and {file.name} is none; give an .npz")
        return read_table(test, options, tuple(train.x.columns))
    if not test.name.lower().endswith(".npz"):
        raise UsageError(f"task.test: give a share above 0 and below 1, a table or an .npz, got {test}")
    if file.name.lower().endswith(TABLES):
        raise UsageError(f"task.test: {test} holds arrays, and {file.name} is a table; give a table")
    return read_npz(test)[0]


def _in_file(message: str, train: tuple[Path, Part], test: tuple[Path, Part | None]) -> str:
    """Tell what is wrong with an array with the file that it is from, and its name there."""
    for words, instead in IN_A_CARD:
        message = message.replace(words, instead)
    found = OF_ARRAYS.match(message)
    if found is None:
        return f"{train[0]}: {message}"
    file, part = test if found[1].startswith("test") else train
    name = "" if part is None else part.names[found[1].endswith("y")]
    comma, rest = found[2] or "", message[found.end() :]
    return f"{file}: {name}{comma}{rest}" if name else f"{file}: {rest.removeprefix(':').lstrip()}"
