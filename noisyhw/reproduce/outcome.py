"""What the runs of a cell came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..training.run import Run
from .plan import Cell
from .rates import rate_of
from .verdict import Verdict, Word, agrees, judged

PARTIAL_DATA = "partial training file"
"""A run's note that says this was trained on less than the paper's data."""


@dataclass(frozen=True)
class Outcome:
    """A cell's runs, by seed, that have an epoch or more, or that diverged."""

    cell: Cell
    rate: float | None
    runs: Mapping[int, Run]

    @property
    def tables(self) -> dict[int, pd.DataFrame]:
        """By seed, its epochs."""
        return {seed: run.metrics for seed, run in self.runs.items() if not run.metrics.empty}

    @property
    def epochs(self) -> int:
        """Of the shortest run; a run that diverged is at its end."""
        counts = [
            self.cell.study.epochs if run.status == "diverged" else len(run.metrics)
            for run in self.runs.values()
        ]
        return min(counts, default=0)

    def values(self, kind: str) -> list[float]:
        """By seed: peak accuracy in %, or final loss, of the epochs that all seeds have; ``kind``: train or test.

        A seed that diverged counts with those that it has.
        """
        metric = self.cell.study.metric
        return [_value(table[table.epoch <= self.epochs], metric, kind) for table in self.tables.values()]

    def curves(self, kind: str) -> pd.DataFrame:
        """The metric by epoch, a column for each seed."""
        column = f"{kind}_{self.cell.study.metric}"
        scale = 100 if self.cell.study.metric == "accuracy" else 1
        found = {seed: table.set_index("epoch")[column] * scale for seed, table in self.tables.items()}
        return pd.concat(found, axis=1) if found else pd.DataFrame()

    @property
    def lacking(self) -> list[str]:
        """What a complete repetition has and this one has not."""
        study = self.cell.study
        found = []
        if self.epochs < study.epochs:
            found.append(f"{self.epochs} of {study.epochs} epochs")
        if len(self.runs) < study.seeds:
            found.append(f"{len(self.runs)} of {study.seeds} seeds")
        if any(PARTIAL_DATA in note for run in self.runs.values() for note in run.record["notes"]):
            found.append("part of the training data")
        return found

    @property
    def lost(self) -> set[int]:
        """The seeds that diverged."""
        return {seed for seed, run in self.runs.items() if run.status == "diverged"}

    @property
    def diverged(self) -> int:
        """How many seeds diverged."""
        return len(self.lost)

    def verdict(self) -> Verdict:
        """By the paper's numbers; a cell without them is judged by the study's claims. The paper's runs all end."""
        if not self.runs:
            return Verdict(Word.NOT_RUN)
        row, tolerance = self.cell.row, self.cell.study.tolerance
        numbers = {kind: number for kind in ("train", "test") if (number := getattr(row, kind)) is not None}
        holds = not self.diverged and all(
            agrees(number, self.values(kind), tolerance) for kind, number in numbers.items()
        )
        verdict = judged(holds, self.lacking)
        note = [f"{self.diverged} of {len(self.runs)} seeds diverged"] if self.diverged else []
        return Verdict(verdict.word, ", ".join([*([verdict.why] if verdict.why else []), *note]))


def _value(table: pd.DataFrame, metric: str, kind: str) -> float:
    column = table[f"{kind}_{metric}"]
    return float(column.max()) * 100 if metric == "accuracy" else float(column.iloc[-1])


def outcome(cell: Cell, runs: Path, seeds: int) -> Outcome:
    """Look at what lies in the run folders of the first seeds."""
    rate = rate_of(cell, runs)
    if rate is None:
        return Outcome(cell, None, {})
    folders = {seed: cell.folder(runs, rate, seed) for seed in range(seeds)}
    found = {seed: Run.open(folder) for seed, folder in folders.items() if (folder / "run.json").is_file()}
    begun = {seed: run for seed, run in found.items() if run.status == "diverged" or len(run.metrics)}
    return Outcome(cell, rate, begun)


def outcomes(cells: Sequence[Cell], runs: Path, seeds: int) -> list[Outcome]:
    """Look at several cells."""
    return [outcome(cell, runs, seeds) for cell in cells]
