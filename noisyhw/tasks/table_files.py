"""Tables in files: .csv and .tsv, perhaps compressed, and .parquet."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from ..cards.data_file import TEXT_TABLES, FileOptions
from ..errors import DataError, UsageError
from .array_files import Part
from .places import brief
from .table_lines import written

LISTED: Final = 12
UNNAMED: Final = "Unnamed: "
"""What pandas calls a column without a name, before its number."""


def read_table(file: Path, options: FileOptions, like: Sequence[str] = ()) -> Part:
    """Return the inputs and targets of a table.

    Args:
        file: the table.
        options: which columns are what.
        like: columns of the inputs, in the order that is wanted; empty: as they are.

    Raises:
        DataError: it cannot be read, a cell of the inputs is no number, or a column is not there.
        UsageError: no target is named, or it is no column of the table.
    """
    table, notes = _unnumbered(_read(file, options.header))
    if not table.columns.is_unique:
        raise DataError(f"{file}: column '{table.columns[table.columns.duplicated()][0]}' is there twice")
    if len(table) == 0:
        raise DataError(f"{file}: has no rows; at least one sample is needed")
    targets = _columns(file, table, options.target, "target")
    left_out = _columns(file, table, options.leave_out, "leave_out")
    if not targets:
        raise UsageError(f"task.target: {file}: name the column that is learnt; there are {_listed(table)}")
    x = table.drop(columns=list(dict.fromkeys([*targets, *left_out])))
    if x.shape[1] == 0:
        raise UsageError(f"task.target: {file}: no column is left for the inputs; there are {_listed(table)}")
    x = _in_order(file, x, like) if like else x
    x = _numbers(file, x)
    for name in targets if options.kind != "classification" else ():
        _check_target(file, table[name])
    y = table[targets[0]] if len(targets) == 1 else table[targets]
    called = f"column '{targets[0]}'" if len(targets) == 1 else "targets"
    return Part(x, y, ("", called), notes)


def _read(file: Path, header: bool | None) -> pd.DataFrame:
    if not file.name.lower().endswith(TEXT_TABLES):
        return _parquet(file)
    form = written(file, header)
    try:
        table = pd.read_csv(
            file,
            sep=form.separator,
            decimal=form.decimal,
            header=0 if form.header else None,
            encoding="utf-8-sig",
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
        )
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'") from None
    except (pd.errors.ParserError, ValueError, OSError, EOFError) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())[:160]})") from None
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    if form.decimal == ",":
        _check_points(file, table)
    return table


def _parquet(file: Path) -> pd.DataFrame:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{file}: needs pyarrow, which is not installed: pip install 'noisyhw[parquet]', or save the table as .csv"
        ) from None
    try:
        table = pd.read_parquet(file, engine="pyarrow")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: is no readable .parquet ({' '.join(str(error).split())[:160]})") from None
    table.columns = pd.Index([str(column) for column in table.columns])
    return table.reset_index(drop=True)


def _unnumbered(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leave out what is no column of the data: one without a name that is empty, or that counts the rows."""
    unnamed = [name for name in table.columns if name.startswith(UNNAMED)]
    empty = [name for name in unnamed if table[name].isna().all()]
    counting = [name for name in unnamed if name == table.columns[0] and _counts(table[name])]
    notes = ("the first column has no name and counts the rows; it is left out",) if counting else ()
    return table.drop(columns=[*empty, *counting]), notes


def _counts(column: pd.Series[Any]) -> bool:
    if len(column) == 0 or column.dtype.kind != "i":
        return False
    first = int(column.iloc[0])
    return first in (0, 1) and bool((column.to_numpy() == np.arange(first, first + len(column))).all())


def _columns(file: Path, table: pd.DataFrame, asked: Any, option: str) -> list[str]:
    """The names of columns that an option asks for."""
    names = [
        str(name).strip() for name in (asked if isinstance(asked, tuple) else (asked,)) if name is not None
    ]
    for name in names:
        if name not in table.columns:
            near = get_close_matches(name, list(table.columns), n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise UsageError(
                f"task.{option}: {file}: there is no column '{name}'.{hint} There are {_listed(table)}"
            )
    return list(dict.fromkeys(names))


def _listed(table: pd.DataFrame) -> str:
    names = [repr(name) for name in table.columns]
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _in_order(file: Path, x: pd.DataFrame, like: Sequence[str]) -> pd.DataFrame:
    lacking = [name for name in like if name not in x.columns]
    more = [name for name in x.columns if name not in like]
    if lacking or more:
        told = f"lacks column '{lacking[0]}' of" if lacking else f"has column '{more[0]}', which is not in"
        raise DataError(f"{file}: {told} the table that is trained on; give both the same columns")
    return x[list(like)]


def _odd(column: pd.Series[Any]) -> np.ndarray | None:
    """Which cells of a column of text are no numbers; None: it is no column of text."""
    if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
        return None
    try:
        odd: np.ndarray = (pd.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy()
    except TypeError:  # lists or dates, which are refused where arrays are
        return None
    return odd


def _numbers(file: Path, x: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs with numbers that were kept as text; other text is refused with its first cell."""
    for name in x.columns:
        odd = _odd(x[name])
        if odd is None:
            continue
        if not odd.any():
            x = x.assign(**{name: pd.to_numeric(x[name])})
            continue
        row, number = int(odd.argmax()), int(odd.sum())
        fix = f"mend {'it' if number == 1 else f'these {number} cells'}, or leave the column out (task.leave_out)"
        if odd.all():
            fix = "all of the column is text: give it as numbers, or leave it out (task.leave_out)"
        raise DataError(f"{file}: row {row}, column '{name}': {brief(x[name].iloc[row])} is no number; {fix}")
    return x


def _check_target(file: Path, column: pd.Series[Any]) -> None:
    """Refuse numbers among which a few cells are text: they would all be taken for classes."""
    odd = _odd(column)
    if odd is not None and odd.any() and 2 * odd.sum() <= len(odd):
        row = int(odd.argmax())
        raise DataError(
            f"{file}: row {row}, column '{column.name}': {brief(column.iloc[row])} is no number, and most of the "
            "column is; mend it, or say task.kind=classification"
        )


def _check_points(file: Path, table: pd.DataFrame) -> None:
    """Refuse numbers with a point in a table whose numbers have a decimal comma."""
    for name in table.columns:
        odd = _odd(table[name])
        if odd is not None and len(odd) and not odd.any() and table[name].notna().any():
            cell = brief(table[name].dropna().iloc[0])
            raise DataError(
                f"{file}: column '{name}': {cell} has a point, and numbers of other columns a comma; write all one way"
            )
