"""The schema of a sweep card: which experiments, as a grid, a list or a random sample over their fields."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from .base import Card, Count

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Number = Annotated[float, Field(strict=True)]


Given = TypeVar("Given", bound=Sized)


def _some(values: Given) -> Given:
    if not values:
        raise ValueError("is empty; give at least one value, or leave it out")
    return values


Values = Annotated[tuple[Any, ...], AfterValidator(_some)]
Range = tuple[Number, Number]


class Draw(Card):
    """How one field's value is drawn: exactly one of these."""

    uniform: Range | None = Field(None, description="[low, high]")
    log_uniform: Range | None = Field(None, description="[low, high], uniform in the logarithm.")
    integers: tuple[int, int] | None = Field(None, description="[low, high], both included.")
    choice: Values | None = Field(None, description="One of these.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"give exactly one of {names}; got {', '.join(given) or 'none'}")
        span = self.uniform or self.log_uniform or self.integers
        if span is not None and not (span[0] < span[1] and all(math.isfinite(end) for end in span)):
            raise ValueError(f"{given[0]} needs [low, high] with low < high, got [{span[0]:g}, {span[1]:g}]")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise ValueError(f"log_uniform needs a low end above 0, got {self.log_uniform[0]:g}")
        return self


class Sample(Card):
    """Random points: the i-th is the same whatever ``count`` is, and adding a field moves no other field's values."""

    count: Count = Field(description="Points to draw.")
    seed: Seed = Field(0, description="Of the draws; an experiment's own seed is another matter.")
    fields: Annotated[dict[str, Draw], AfterValidator(_some)] = Field(
        description="Field (dotted, as in --set) -> how it is drawn."
    )


class Tune(Card):
    """A search before the runs: each device, rule and point gets the same candidates, and its runs the best one.

    A candidate's run trains on the training samples but for a share, which it is judged by; test samples have no say.
    """

    fields: Annotated[dict[str, Values], AfterValidator(_some)] = Field(
        description="Field (dotted, as in --set) -> values to try, or FIELD.scale -> factors on what it is without a "
        "search; every combination is a candidate."
    )
    epochs: Count | None = Field(None, description="Of a candidate's run; empty: as many as the sweep's own.")
    seeds: Count = Field(1, description="Runs of a candidate; their seeds are none of the sweep's.")
    held_out: Annotated[float, Field(strict=True, gt=0, lt=1)] = Field(
        0.2, description="Share of the training samples that candidates are judged by."
    )


class SweepCard(Card):
    """Every combination of tasks, devices, rules, grid, list, sample and seeds is one run."""

    title: str = Field("", description="One line for people.")
    experiment: Any = Field(
        None, description="What all runs share: a shipped experiment's name, a card's path, or fields."
    )
    tasks: Values | None = Field(None, description="Tasks, one after another.")
    devices: Values | None = Field(
        None, description="Devices: shipped names, card paths, or a card's fields."
    )
    rules: Values | None = Field(None, description="Learning rules.")
    seeds: Count | Annotated[tuple[Seed, ...], AfterValidator(_some)] | None = Field(
        None, description="A number n (seeds 0 to n - 1), or a list of seeds; empty: the experiment's."
    )
    grid: dict[str, Values] = Field(
        {}, description="Field (dotted, as in --set) -> its values; all combinations."
    )
    list: tuple[dict[str, Any], ...] | None = Field(
        None, description="Points, each a mapping of fields (dotted, as in --set); 'label' names one."
    )
    sample: Sample | None = Field(None, description="Points drawn at random.")
    tune: Tune | None = Field(
        None, description="What is chosen for each device, rule and point, by a search of its own."
    )
    keep: Literal["rows", "folders"] = Field(
        "rows",
        description="rows: each run's table of epochs; folders: also a run folder with checkpoints, from which the "
        "next start resumes a run that was cut off (for long runs).",
    )

    @model_validator(mode="after")
    def _no_empty_list(self) -> Self:
        if self.list is not None and not all(self.list):
            raise ValueError("list: each point needs at least one field")
        if self.list == ():
            raise ValueError("list: is empty; give at least one point, or leave it out")
        return self
