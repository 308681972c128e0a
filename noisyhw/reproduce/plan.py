"""Which runs a study asks for, and where each one's folder lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..cards import load_experiment
from ..cards.experiment import Resolved
from ..errors import UsageError, choose
from ..training.resolve import resolve
from ..training.run import ARITHMETIC
from .paper import Net, Row, Study

EXACT_RULES: Final = ("bp", "dbp")
"""They perturb nothing, so a config's perturbation is taken back."""


@dataclass(frozen=True)
class Cell:
    """One place of a table: all its seeds share what is here."""

    study: Study
    variant: str
    net_name: str
    row_name: str

    @property
    def net(self) -> Net:
        """Its network."""
        return self.study.nets[self.net_name]

    @property
    def row(self) -> Row:
        """Its row."""
        return self.net.rows[self.row_name]

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.net_name} {self.row_name}"

    def sets(self, rate: float | None) -> list[str]:
        """What is changed of the shipped config."""
        exact = ["perturbation.std=auto"] if self.row.rule in EXACT_RULES else []
        passes = [f"perturbation.passes={self.row.passes}"] if self.row.passes > 1 else []
        rates = [] if rate is None else [f"update.learning_rate={rate!r}"]
        return [*exact, *passes, *rates, *self.study.variants[self.variant].sets, *self.row.sets]

    def experiment(self, rate: float | None, seed: int, epochs: int) -> Resolved:
        """The checked and resolved experiment of one seed."""
        options = {"rule.name": self.row.rule, "seed": seed, "epochs": epochs}
        return resolve(load_experiment(self.net.config, options, self.sets(rate)))

    def folder(self, runs: Path, rate: float | None, seed: int) -> Path:
        """Where a seed's run lies; the name hangs on the content, so studies share runs that are the same."""
        content = self.experiment(rate, seed, self.study.epochs).identity("", ARITHMETIC)
        return runs / f"{Path(self.net.config).stem}-{self.row_name}-seed{seed}-{content[:8]}"


def cells(study: Study, variant: str, nets: Sequence[str] = (), rows: Sequence[str] = ()) -> list[Cell]:
    """The cells of a study, those of some nets and rows only where these are given.

    Raises:
        UsageError: there is no such variant, net or row.
    """
    if variant not in study.variants:
        raise UsageError(choose("variant", variant, list(study.variants)))
    known = study.nets_of(variant)
    _check("net", nets, list(known))
    _check("row", rows, list(dict.fromkeys(row for net in known.values() for row in net.rows)))
    found = list(_cells(study, variant, nets or list(known), rows))
    if not found:
        raise UsageError(f"rows: {study.name} has none of {', '.join(rows)} for {', '.join(nets)}")
    return found


def _cells(study: Study, variant: str, nets: Sequence[str], rows: Sequence[str]) -> Iterator[Cell]:
    for name, net in study.nets_of(variant).items():
        for row in net.rows:
            if name in nets and (not rows or row in rows):
                yield Cell(study, variant, name, row)


def _check(kind: str, wanted: Sequence[str], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UsageError(choose(kind, name, known))
