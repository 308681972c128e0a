"""Measurements read from CSV files; a mistake is told with its file, line, column and fix."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cards.yaml_lines import shorten, shown_path
from ..errors import DataError, UsageError
from .likelihood import Vector
from .pulse_fit import REPEATS
from .pulse_model import Pulses

FEWEST_READS = 20
ONLY = "all"
"""What the device is called where the file has no device column."""

Row = dict[str, str]


@dataclass(frozen=True)
class Mapping:
    """How measured values become weights: weight = -1 + 2 (g - g_min) / (g_max - g_min), or as they are.

    Args:
        g_min_us: conductance of weight -1, in microsiemens; None: the file holds weights.
        g_max_us: conductance of weight 1.
        told: how the range was chosen, for the card.
    """

    g_min_us: float | None
    g_max_us: float | None
    told: str

    def weights(self, values: Vector) -> Vector:
        """Measured values as weights."""
        if self.g_min_us is None or self.g_max_us is None:
            return values
        return np.asarray(2 * (values - self.g_min_us) / (self.g_max_us - self.g_min_us) - 1)


@dataclass(frozen=True)
class Responses:
    """Pulse responses: the devices' pulses, and how their values became weights."""

    devices: tuple[Pulses, ...]
    mapping: Mapping
    low: float
    high: float


def read_responses(path: Path, g_min_us: float | None = None, g_max_us: float | None = None) -> Responses:
    """Read a pulse-response file: pulse, direction (+1 or -1), conductance_us or weight, and perhaps device.

    A row is the reading after its pulse; the first row of a device is where it starts.

    Args:
        path: the file.
        g_min_us: conductance that is weight -1, in microsiemens; None: the file's smallest.
        g_max_us: conductance that is weight 1; None: the file's largest.

    Raises:
        DataError: the file is missing or wrong.
        UsageError: the range is empty, or given for a file of weights.
    """
    table = _Table(path, ("pulse", "direction"), ("conductance_us", "weight"))
    groups = table.groups(("pulse", "direction", table.measured))
    values = np.concatenate([group[:, 2] for group in groups.values()])
    mapping = _mapping(table, values, g_min_us, g_max_us)
    for column, line in table.lines("direction"):
        if float(column) not in (-1.0, 0.0, 1.0):
            raise table.wrong(line, "direction", column, "write 1 for a pulse up, -1 for one down")
    devices = tuple(_pulses(table, name, group, mapping) for name, group in groups.items())
    weights = mapping.weights(values)
    return Responses(devices, mapping, float(weights.min()), float(weights.max()))


def _mapping(table: _Table, values: Vector, low: float | None, high: float | None) -> Mapping:
    if table.measured == "weight":
        if low is not None or high is not None:
            raise UsageError(
                f"{table.name}: --g-min-us and --g-max-us map conductances; this file holds weights"
            )
        return Mapping(None, None, f"Weights are those of the file, {values.min():g} to {values.max():g}.")
    own = "" if low is not None and high is not None else ", the data's own range"
    low, high = float(values.min() if low is None else low), float(values.max() if high is None else high)
    if not low < high:
        raise UsageError(f"{table.name}: --g-min-us {low:g} must lie below --g-max-us {high:g}")
    return Mapping(low, high, f"Weights -1 to 1 are {low:g} to {high:g} uS{own}.")


def _pulses(table: _Table, name: str, group: Vector, mapping: Mapping) -> Pulses:
    number, direction, weights = group[:, 0], group[:, 1], mapping.weights(group[:, 2])
    next_pulse = (np.diff(number) == 1) & (direction[1:] != 0)
    label = table.label(name)
    for sign, word in ((1, "up (1)"), (-1, "down (-1)")):
        if not np.any(direction[1:][next_pulse] == sign):
            raise DataError(
                f"{table.name}: column 'direction'{label}: no pulse {word} follows another row's pulse; "
                "measure both directions, pulse by pulse, and number the pulses 1, 2, 3, ..."
            )
    kept = np.flatnonzero(next_pulse)
    differences = np.diff(np.unique(weights))
    return Pulses(
        name,
        before=weights[:-1][kept],
        change=np.diff(weights)[kept],
        up=direction[1:][kept] > 0,
        follows=np.diff(kept, prepend=-2) == 1,
        low=float(weights.min()),
        high=float(weights.max()),
        stops=stops(weights),
        rounding=float(differences.min()) if len(differences) else 0.0,
    )


def stops(weights: Vector) -> tuple[bool, bool]:
    """Whether the lowest and the highest reading repeat, as they do at a hard bound."""
    low, high = (int(np.sum(weights == end)) >= REPEATS for end in (weights.min(), weights.max()))
    return low, high


def read_reads(path: Path) -> dict[str, Vector]:
    """Read a read-noise file (read, value, and perhaps device): device -> values, in read-out units.

    Raises:
        DataError: the file is missing or wrong.
    """
    table = _Table(path, ("read", "value"), ("value",))
    found = {name: group[:, 1] for name, group in table.groups(("read", "value")).items()}
    for name, values in found.items():
        if len(values) < FEWEST_READS:
            raise DataError(
                f"{table.name}: {len(values)} reads{table.label(name)}; at least {FEWEST_READS} are needed"
            )
        if np.all(values == values[0]):
            raise DataError(
                f"{table.name}: column 'value'{table.label(name)}: all values are {values[0]:g}; no noise"
            )
    return found


class _Table:
    """A CSV file's rows with their line numbers."""

    def __init__(self, path: Path, needed: Sequence[str], one_of: Sequence[str]) -> None:
        self.name = shown_path(path)
        lines = self._text(path).splitlines()
        delimiter = max(",;\t", key=lines[0].count) if lines else ","
        reader = csv.reader(lines, delimiter=delimiter)
        self.columns = [word.strip() for word in next(reader, [])]
        self._check_columns(needed, one_of)
        self.measured = next(word for word in one_of if word in self.columns)
        self.rows = [(row, reader.line_num) for row in reader if any(word.strip() for word in row)]

    def _text(self, path: Path) -> str:
        try:
            return path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.name}: is not UTF-8 text (byte {error.start}); save it as CSV") from None
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read: {error.strerror}") from None

    def _check_columns(self, needed: Sequence[str], one_of: Sequence[str]) -> None:
        lacking = [f"'{word}'" for word in needed if word not in self.columns]
        if not any(word in self.columns for word in one_of) and f"'{one_of[0]}'" not in lacking:
            lacking.append(" or ".join(f"'{word}'" for word in one_of))
        if lacking:
            there = shorten(", ".join(self.columns)) or "nothing"
            raise DataError(f"{self.name}:1: no column {', '.join(lacking)}; the first line names: {there}")

    def lines(self, column: str) -> Iterator[tuple[str, int]]:
        """A column's texts with their lines."""
        place = self.columns.index(column)
        return ((row[place].strip(), line) for row, line in self.rows)

    def groups(self, columns: Sequence[str]) -> dict[str, Vector]:
        """The columns' numbers, [rows, columns], of each device."""
        groups: dict[str, list[list[float]]] = {}
        for row, line in self.rows:
            if len(row) != len(self.columns):
                raise DataError(
                    f"{self.name}:{line}: {len(row)} values for {len(self.columns)} columns; write one value each"
                )
            cells = dict(zip(self.columns, (word.strip() for word in row), strict=True))
            numbers = [self._number(cells[column], line, column) for column in columns]
            groups.setdefault(cells.get("device", ONLY), []).append(numbers)
        if not groups:
            raise DataError(f"{self.name}: no rows below the first line; write one row a pulse or read")
        return {name: np.array(rows) for name, rows in groups.items()}

    def _number(self, text: str, line: int, column: str) -> float:
        try:
            number = float(text)
        except ValueError:
            fix = "write it with a point, not a comma" if "," in text else "write a number, or drop the row"
            raise self.wrong(line, column, text, fix) from None
        if not math.isfinite(number):
            raise self.wrong(line, column, text, "drop rows without a measured value")
        return number

    def wrong(self, line: int, column: str, text: str, fix: str) -> DataError:
        """The error of one value."""
        return DataError(f"{self.name}:{line}: column '{column}': {shorten(text)!r} is no such value; {fix}")

    def label(self, name: str) -> str:
        """How a message names a device."""
        return "" if name == ONLY and "device" not in self.columns else f" of device '{shorten(name)}'"
