"""From a sweep card to the runs that it asks for, each checked, resolved and with its identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..cards.experiment import Experiment, TaskCard
from ..cards.loading import checked_experiment, merged, nested, read_base, read_sweep
from ..cards.sweep import SweepCard
from ..cards.yaml_lines import Located
from ..errors import CardError, UsageError
from ..tasks import get_task
from ..training.resolve import resolve
from ..training.run import ARITHMETIC
from .axes import LABEL, Choice, axes, combinations, seeds, shown_value
from .scaling import is_scale, scaled

OWN_COLUMNS = ("task", "device", "rule", "seed")


@dataclass(frozen=True)
class Point:
    """One run that a sweep asks for.

    Args:
        settings: task, device, rule, what the axes set, seed: what a table of results shows.
        experiment: resolved.
        identity: of the run; two points that differ in nothing that matters share one.
    """

    settings: Mapping[str, Any]
    experiment: Experiment
    identity: str


@dataclass(frozen=True)
class Plan:
    """A sweep's points, in the card's order."""

    name: str
    points: tuple[Point, ...]
    keep: str = "rows"

    @property
    def runs(self) -> dict[str, Point]:
        """The first point of each identity: what there is to compute."""
        runs: dict[str, Point] = {}
        for point in self.points:
            runs.setdefault(point.identity, point)
        return runs


def plan(
    card: str | Path | Mapping[str, object], sets: Sequence[str] = (), data_dir: Path | None = None
) -> Plan:
    """Plan a sweep.

    Args:
        card: a shipped sweep's name, a card's path, or a card's fields.
        sets: ``key.path=value``, for all runs.
        data_dir: where the data is; its content is part of a run's identity.

    Raises:
        CardError: the card, or a run that it asks for, is wrong.
        UsageError: a run contradicts itself.
        DataError: a task's data is not there.
    """
    checked, tree, path = read_sweep(card)
    points = tuple(_points(checked, tree, Path() if path is None else path.parent, sets, data_dir))
    return Plan("sweep" if path is None else path.stem, points, checked.keep)


def _points(
    card: SweepCard, tree: Located, folder: Path, sets: Sequence[str], data_dir: Path | None
) -> Iterator[Point]:
    base = read_base(tree.entries.get("experiment"), folder)
    version = _data_versions(data_dir)
    layers = _Layers(folder)
    for choice in combinations(axes(card, tree, sets)):
        experiment = _resolved(layers.over(base, choice), choice)
        for seed in seeds(card) or (experiment.seed,):
            one = experiment.model_copy(update={"seed": seed})
            yield Point(_settings(one, choice), one, one.identity(version(one.task), ARITHMETIC))


def make_point(experiment: Experiment, settings: Mapping[str, object], data_dir: Path | None) -> Point:
    """Return the point of one experiment, with the columns that are its own."""
    resolved = resolve(experiment)
    version = _data_versions(data_dir)(resolved.task)
    own = _own_settings(resolved)
    return Point(own | dict(settings), resolved, resolved.identity(version, ARITHMETIC))


def _data_versions(data_dir: Path | None) -> Any:
    @cache
    def version(task: TaskCard) -> str:
        return get_task(task.name).load(task, data_dir).version

    return version


class _Layers:
    """Lays settings over an experiment's tree; each value's tree, perhaps a device's file, is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[tuple[str, int], Located] = {}

    def over(self, base: Located, choice: Choice) -> Located:
        """Return the tree with all settings: the short keys first, factors last."""
        settings = sorted(
            ((key.split("."), node) for key, node in choice if key != LABEL), key=lambda one: len(one[0])
        )
        tree = base
        for keys, node in settings:
            if not is_scale(keys):
                tree = merged(tree, self.layer(keys, node))
        for keys, node in settings:
            if is_scale(keys):
                tree = scaled(tree, keys, node)
        return replace(tree, origin=base.origin)

    def layer(self, keys: list[str], node: Located) -> Located:
        known = ".".join(keys), id(node)
        if known not in self.known:
            self.known[known] = nested(keys, node, self.folder)
        return self.known[known]


def _resolved(tree: Located, choice: Choice) -> Experiment:
    experiment = checked_experiment(tree)
    try:
        return resolve(experiment)
    except CardError:
        raise
    except UsageError as error:
        told = ", ".join(f"{key}={shown_value(node)}" for key, node in choice)
        raise UsageError(f"run with {told or 'no settings'}: {error}") from None


def _settings(experiment: Experiment, choice: Choice) -> dict[str, Any]:
    own = _own_settings(experiment)
    seed = own.pop("seed")
    swept = {key: shown_value(node) for key, node in choice if key not in OWN_COLUMNS}
    if LABEL in swept:  # stands for the blocks that its point sets
        blocks = {key for key, node in choice if isinstance(node.value, dict)}
        swept = {key: value for key, value in swept.items() if key not in blocks}
    return own | swept | {"seed": seed}


def _own_settings(experiment: Experiment) -> dict[str, Any]:
    return {
        "task": experiment.task.name,
        "device": experiment.device.name,
        "rule": experiment.rule.name,
        "seed": experiment.seed,
    }
