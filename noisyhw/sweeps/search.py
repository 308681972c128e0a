"""A search for every point of a sweep, by one budget: candidates are judged by training samples held out for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from ..cards.experiment import Resolved
from ..cards.loading import checked_experiment, merged, nested
from ..cards.messages import at
from ..cards.sweep import Tune
from ..cards.yaml_lines import Located, located
from ..errors import CardError, UsageError
from ..rules import Knows, rule_of
from ..tasks import data_of
from ..training.resolve import resolve
from .identities import Identities
from .points import Plan, Point
from .record import Record
from .scaling import SCALE, is_scale, scaled

FOLDER = "search"
"""Where in a sweep's folder the runs of its search are: a sweep's folder of its own."""
FIRST_SEED = 1_000_000
"""Seeds of a search's runs, from here on: none of them is measured later."""
PERTURBATION = "perturbation."
ENDS = {"perturbation.auto_factor": 1.0}
"""The least value that a field can have: beyond it there is nothing to be tried."""
DECIDES = ("update.path", "update.transfer", "device.update.kind", "rule", "network")
"""What defaults of other fields depend on: a search goes on from a point whose defaults are settled."""
NOTE = "note"
"""Beside a point's chosen values: what a reader must be told of the choice."""


@dataclass(frozen=True)
class Candidate:
    """Values that a point's runs may get.

    Args:
        values: field -> value.
        edges: those fields whose value is the first or the last of several that are tried.
        experiment: of the point, with these values.
        runs: what it is judged by.
    """

    values: Mapping[str, Any]
    edges: tuple[str, ...]
    experiment: Resolved
    runs: tuple[Point, ...]


class Search:
    """The candidates of every point of a sweep. Points that differ in their seed alone share a search.

    Where seeds have different test samples (``task.folds``), each has a search of its own, because a test sample of one
    is a training sample of another.

    Args:
        tune: what is tried.
        fields: the card's tree of ``tune.fields``, whose values know their lines.
        points: of the sweep, without a search.
        data_dir: where the data is.
        keep: as of the sweep.

    Raises:
        CardError, UsageError: a candidate is wrong, or the experiment holds out training samples already.
    """

    def __init__(
        self, tune: Tune, fields: Located, points: Sequence[Point], data_dir: Path | None, keep: str = "rows"
    ) -> None:
        self.tune, self.points = tune, points
        self._identities = Identities(data_dir, keep)
        self._of: dict[str, Point] = {}
        for point in points:
            self._of.setdefault(_unseeded(point.experiment), point)
        self.candidates = {key: self._candidates(point, fields) for key, point in self._of.items()}
        runs = [run for several in self.candidates.values() for one in several for run in one.runs]
        self.plan = Plan(FOLDER, tuple(runs), keep)

    def _candidates(self, point: Point, fields: Located) -> tuple[Candidate, ...]:
        experiment = point.experiment
        if experiment.task.held_out is not None:
            raise UsageError(
                "task.held_out: a search holds out training samples itself (tune.held_out); leave one of them out"
            )
        tried = _axes(experiment, fields)
        _check_distinct(tried)
        return tuple(
            self._candidate(point, tried, places) for places in product(*map(_places, tried.values()))
        )

    def _candidate(
        self, point: Point, tried: Mapping[str, list[Located]], places: Sequence[int]
    ) -> Candidate:
        choice = {key: values[place] for (key, values), place in zip(tried.items(), places, strict=True)}
        experiment = _with(point.experiment, choice)
        content = experiment.model_dump(mode="json")
        values = {field_of(key): _at(content, field_of(key)) for key in choice}
        edges = tuple(
            field_of(key)
            for (key, axis), place in zip(tried.items(), places, strict=True)
            if _at_an_end(axis, place) and values[field_of(key)] != ENDS.get(field_of(key))
        )
        return Candidate(values, edges, experiment, tuple(self._runs(point, experiment, values)))

    def _runs(self, point: Point, experiment: Resolved, values: Mapping[str, Any]) -> Iterable[Point]:
        """The runs that judge a candidate."""
        task = data_of(point.experiment).model_copy(update={"held_out": self.tune.held_out})
        epochs = self.tune.epochs or experiment.epochs
        settings = {key: value for key, value in point.settings.items() if key != "seed"}
        for number in range(self.tune.seeds):
            seed = FIRST_SEED + number
            one = experiment.model_copy(update={"task": task, "epochs": epochs, "seed": seed})
            yield Point(settings | dict(values) | {"seed": seed}, one, self._identities.of(one))

    def chosen(self, records: Mapping[str, Record]) -> tuple[Point, ...]:
        """Return the sweep's points, each with the values of its best candidate.

        Of a point for which no candidate learnt anything finite, the values stay what they are without a search.

        Args:
            records: of all of the search's runs.
        """
        best = {key: best_of(several, records) for key, several in self.candidates.items()}
        return tuple(self._with(point, best[_unseeded(point.experiment)]) for point in self.points)

    def _with(self, point: Point, best: Candidate | None) -> Point:
        if best is None:
            return Point(point.settings, point.experiment, point.identity, {NOTE: "no candidate ended well"})
        own = {"task": point.experiment.task, "seed": point.experiment.seed}
        one = best.experiment.model_copy(update=own)
        note = f"at the edge of what was tried: {', '.join(best.edges)}" if best.edges else ""
        return Point(point.settings, one, self._identities.of(one), dict(best.values) | {NOTE: note})


def best_of(candidates: Sequence[Candidate], records: Mapping[str, Record]) -> Candidate | None:
    """Return the candidate with the best mean over its runs, the first of equals; None: none has a finite one.

    Judged by the accuracy and, among equals, the loss on what was held out; where there is no accuracy, by the loss.
    One of whose runs diverged or failed is out.
    """
    judged = [(score(one, records), one) for one in candidates]
    known = [(value, one) for value, one in judged if value is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def score(candidate: Candidate, records: Mapping[str, Record]) -> tuple[float, float] | None:
    """Return (mean accuracy, or 0 where there is none; minus the mean loss); None: not of all runs, or not finite."""
    ended = [records[run.identity] for run in candidate.runs]
    if any(record.status != "done" for record in ended):
        return None
    losses = [float(record.metrics["test_loss"] or 0.0) for record in ended]
    hits = [float(record.metrics["test_accuracy"] or 0.0) for record in ended]
    found = fmean(hits), -fmean(losses)
    return found if all(map(math.isfinite, found)) else None


def _unseeded(experiment: Resolved) -> str:
    """What points have in common that share a search."""
    return experiment.model_copy(update={"seed": 0, "task": data_of(experiment)}).model_dump_json()


def _axes(experiment: Resolved, fields: Located) -> dict[str, list[Located]]:
    """The values to try of each field; a rule that perturbs nothing has no perturbation to be searched for."""
    rule, _ = rule_of(experiment.rule)
    return {
        key: node.value
        for key, node in fields.entries.items()
        if isinstance(node.value, list)
        and not (Knows.GRADIENT in rule.knows and key.startswith(PERTURBATION))
    }


def _check_distinct(tried: Mapping[str, list[Located]]) -> None:
    seen: dict[str, str] = {}
    for key, values in tried.items():
        field = field_of(key)
        if field in ("seed", "epochs") or field.startswith("task."):
            raise CardError(at(values[0].origin, f"tune.fields: '{field}' is no setting to be searched for"))
        if field.startswith(DECIDES):
            raise CardError(
                at(
                    values[0].origin,
                    f"tune.fields: defaults of other fields follow from '{field}'; make it an axis of the sweep's grid",
                )
            )
        if field in seen:
            raise CardError(at(values[0].origin, f"tune.fields: '{key}' and '{seen[field]}' are one field"))
        seen[field] = key


def field_of(key: str) -> str:
    """Return the field that a key of ``tune.fields`` sets or multiplies."""
    return key.removesuffix(f".{SCALE}")


def _at_an_end(axis: Sequence[Located], place: int) -> bool:
    """Whether a number is the smallest or the largest of several that are tried; other values have no order."""
    numbers = [float(one.value) for one in axis if isinstance(one.value, int | float)]
    if len(numbers) < max(2, len(axis)):
        return False
    return numbers[place] in (min(numbers), max(numbers))


def _places(values: Sequence[Located]) -> range:
    return range(len(values))


def _with(experiment: Resolved, choice: Mapping[str, Located]) -> Resolved:
    """Return a resolved experiment with some fields set or multiplied.

    Raises:
        CardError, UsageError: that is no experiment.
    """
    tree = located(experiment.model_dump(mode="json"), "tune.fields")
    for key, node in choice.items():
        keys = key.split(".")
        tree = scaled(tree, keys, node) if is_scale(keys) else merged(tree, nested(keys, node, None))
    checked = checked_experiment(tree)
    try:
        return resolve(checked)
    except CardError:
        raise
    except UsageError as error:
        told = ", ".join(f"{key}={node.plain()}" for key, node in choice.items())
        raise UsageError(f"tune.fields: candidate with {told}: {error}") from None


def _at(content: Mapping[str, Any], field: str) -> Any:
    node: Any = content
    for key in field.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def told_budget(tune: Tune, epochs: int | None = None) -> str:
    """Return in a sentence what is tried, by how many runs of how many epochs, and what judges them.

    Args:
        tune: the search.
        epochs: of a run for which the search says none; None: as many as the runs that are measured.
    """
    fields = "; ".join(f"{key}: {', '.join(map(str, values))}" for key, values in tune.fields.items())
    candidates = math.prod(len(values) for values in tune.fields.values())
    length = tune.epochs or epochs
    told = "as many epochs as those that are measured" if length is None else f"{length} epochs"
    runs = "1 run" if tune.seeds == 1 else f"{tune.seeds} runs"
    return (
        f"{candidates} candidates ({fields}), {runs} of {told} each, with seeds that are not measured, judged by "
        f"{tune.held_out:.3g} of the training samples, which these runs did not train on; test samples had no say."
    )
