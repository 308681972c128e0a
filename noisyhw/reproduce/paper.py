"""The paper's numbers and how each experiment is repeated, read from ``paper.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import UsageError, choose

FILE = Path(__file__).with_name("paper.yaml")
DOUBLING = "doubling"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Entry):
    """One line of a table: a rule, how it is run, and the paper's numbers.

    Attributes:
        rule: a learning rule; empty in the file: the row's name.
        rate: learning rate by variant (``""``: of every variant), or doubling: to be found.
        passes: noisy passes per update.
        sets: further settings.
        train, test: the paper's numbers, where it has them.
    """

    rule: str
    rate: dict[str, float] | Literal["doubling"]
    passes: int = 1
    sets: tuple[str, ...] = ()
    train: float | None = None
    test: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_rate(cls, value: Any) -> Any:
        rate = value["rate"]
        return value if isinstance(rate, dict) or rate == DOUBLING else value | {"rate": {"": rate}}

    def given_rate(self, variant: str) -> float | None:
        """The learning rate, or None where it must be found."""
        return None if isinstance(self.rate, str) else self.rate.get(variant, self.rate.get(""))


class Net(_Entry):
    """One network: a shipped experiment card, and the rows that are run with it."""

    config: str
    rows: dict[str, Row]

    @model_validator(mode="before")
    @classmethod
    def _named_rows(cls, value: Any) -> Any:
        return value | {"rows": {name: {"rule": name} | row for name, row in value["rows"].items()}}


class Variant(_Entry):
    """One reading of what the paper leaves open; ``nets`` are those it is defined for, empty: all."""

    note: str
    sets: tuple[str, ...] = ()
    nets: tuple[str, ...] = ()


class Study(_Entry):
    """One table or figure.

    Attributes:
        metric: peak accuracy in %, or final loss.
        tolerance: by how much our lowest and highest are widened before the paper's number must lie between them.
        seeds, epochs: of a complete repetition.
    """

    name: str
    title: str
    source: str
    task: str
    metric: Literal["accuracy", "loss"]
    tolerance: float
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)
    notes: tuple[str, ...] = ()
    variants: dict[str, Variant]
    nets: dict[str, Net]

    def nets_of(self, variant: str) -> dict[str, Net]:
        """The networks that a variant is defined for."""
        chosen = self.variants[variant].nets
        return {name: net for name, net in self.nets.items() if not chosen or name in chosen}

    @property
    def default_variant(self) -> str:
        """The first one."""
        return next(iter(self.variants))


def studies() -> dict[str, Study]:
    """All studies, by name."""
    return _read(FILE)


@cache
def _read(file: Path) -> dict[str, Study]:
    content = yaml.safe_load(file.read_text())
    return {name: Study(name=name, **entry) for name, entry in content["studies"].items()}


def get_study(name: str) -> Study:
    """Return the study of that name.

    Raises:
        UsageError: there is none.
    """
    known = studies()
    if name not in known:
        raise UsageError(choose("study", name, list(known)))
    return known[name]
