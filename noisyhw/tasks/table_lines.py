"""How a table in a text file is written: separator, decimal comma, and whether its first line names the columns."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import DataError

LINES: Final = 50
"""At the start of a file, which tell how it is written."""
NUMBER: Final = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
WITH_COMMA: Final = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
FEWEST: Final = 3
"""As many numbers 0, 1, 2, ... in a first line are names that a program has given."""


class Written(NamedTuple):
    """How a file is written.

    Args:
        separator: between cells.
        decimal: . or a comma.
        header: whether the first line names the columns.
    """

    separator: str
    decimal: str
    header: bool


def written(file: Path, header: bool | None) -> Written:
    """Look at the first lines of a .csv or .tsv.

    Args:
        file: perhaps compressed.
        header: whether the first line names the columns; None: that is to be seen.

    Raises:
        DataError: it is empty or not UTF-8, its first lines differ in length, or a name is there twice.
    """
    lines = _first_lines(file)
    separator = _separator(file, lines[0])
    rows = [row for row in csv.reader(lines, delimiter=separator, skipinitialspace=True) if row]
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if rest and len(rest[0]) != len(first):
        raise DataError(
            f"{file}: line 1 has {len(first)} cells, and line 2 {len(rest[0])}; line 1 must name every column, "
            "with nothing above it"
        )
    named = _is_header(file, first) if header is None else header
    if named:
        _check_names(file, first)
    return Written(separator, _decimal(separator, rest if named else rows), named)


def _first_lines(file: Path) -> list[str]:
    opened = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        with opened(file, "rt", encoding="utf-8-sig", newline="") as text:
            lines = [line for line in islice(text, LINES) if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not lines:
        raise DataError(f"{file}: is empty; a line with the columns' names and one a sample are needed")
    return lines


def _separator(file: Path, line: str) -> str:
    if file.name.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    bare = re.sub(r'"[^"]*"', "", line)
    return max(",;\t|", key=bare.count)  # the first of equals: a single column has commas


def _is_header(file: Path, cells: list[str]) -> bool:
    """Whether a first line holds names; one that could be a sample as well is not guessed about."""
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    counted = [str(number) for number in range(len(cells))]
    if not numbers or (cells == counted and len(cells) >= FEWEST):
        return True
    raise DataError(
        f"{file}: line 1 holds a number ({numbers[0]}), so it may be a sample; say task.header=false if it is one "
        "(columns are then called 0, 1, ...), or task.header=true if these are names"
    )


def _check_names(file: Path, names: list[str]) -> None:
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"{file}: line 1: column '{name}' is there twice; give each a name of its own")


def _decimal(separator: str, rows: list[list[str]]) -> str:
    """A comma is decimal only where it does not separate: in quotes, 1,234 may be a thousand; one number tells."""
    if separator == ",":
        return "."
    cells = [cell.strip() for row in rows for cell in row]
    return "," if any(WITH_COMMA.fullmatch(cell) for cell in cells) else "."
