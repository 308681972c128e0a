"""From a sweep card to the runs that it asks for, each checked, resolved and with its identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..cards.experiment import Experiment, Resolved
from ..cards.loading import checked_experiment, merged, nested, read_base, read_sweep
from ..cards.sweep import SweepCard
from ..cards.yaml_lines import Located
from ..errors import CardError, UsageError
from ..training.resolve import resolve
from .axes import LABEL, Choice, axes, combinations, seeds, shown_value
from .identities import Identities
from .points import Plan, Point
from .scaling import is_scale, scaled
from .search import Search

OWN_COLUMNS = ("task", "device", "rule", "seed")


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
        UsageError: a run contradicts itself, or two runs could not be told apart in a table.
        DataError: a task's data is not there.
    """
    checked, tree, path = read_sweep(card)
    points = tuple(_points(checked, tree, Path() if path is None else path.parent, sets, data_dir))
    _check_names(points)
    _check_apart(points)
    search = None
    if checked.tune is not None:
        fields = tree.entries["tune"].entries["fields"]
        search = Search(checked.tune, fields, points, data_dir, checked.keep)
    return Plan("sweep" if path is None else path.stem, points, checked.keep, search)


def _check_apart(points: Sequence[Point]) -> None:
    """Refuse different runs with the same settings: a table would show one of them."""
    known: dict[tuple[tuple[str, Any], ...], str] = {}
    for point in points:
        if known.setdefault(tuple(point.settings.items()), point.identity) != point.identity:
            told = ", ".join(f"{key}={value}" for key, value in point.settings.items())
            raise UsageError(
                f"two runs of this sweep differ and would both be called {told}; let them be points of 'list', each "
                "with a label, or give their devices other names"
            )


def _points(
    card: SweepCard, tree: Located, folder: Path, sets: Sequence[str], data_dir: Path | None
) -> Iterator[Point]:
    base = read_base(tree.entries.get("experiment"), folder)
    identities = Identities(data_dir, card.keep)
    layers = _Layers(folder)
    for choice in combinations(axes(card, tree, sets)):
        experiment = _resolved(layers.over(base, choice), choice)
        for seed in seeds(card) or (experiment.seed,):
            one = experiment.model_copy(update={"seed": seed})
            yield Point(_settings(one, choice), one, identities.of(one))


def _check_names(points: Sequence[Point]) -> None:
    """Refuse files of one name in different folders, which a table of results could not tell apart."""
    files: dict[str, str | None] = {}
    for point in points:
        task = point.experiment.task
        known = files.setdefault(task.name, task.file)
        if known != task.file and "task.file" not in point.settings:
            raise UsageError(
                f"task.name: '{task.name}' stands for {known} and {task.file}; give each a name, "
                f"{{file: {task.file}, name: ...}}"
            )


def make_point(experiment: Experiment, settings: Mapping[str, object], data_dir: Path | None) -> Point:
    """Return the point of one experiment, with the columns that are its own."""
    resolved = resolve(experiment)
    own = _own_settings(resolved)
    return Point(own | dict(settings), resolved, Identities(data_dir).of(resolved))


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


def _resolved(tree: Located, choice: Choice) -> Resolved:
    experiment = checked_experiment(tree)
    try:
        return resolve(experiment)
    except CardError:
        raise
    except UsageError as error:
        told = ", ".join(f"{key}={shown_value(node)}" for key, node in choice)
        raise UsageError(f"run with {told or 'no settings'}: {error}") from None


def _settings(experiment: Resolved, choice: Choice) -> dict[str, Any]:
    own = _own_settings(experiment)
    if LABEL not in dict(choice):
        own["rule"] += _options(dict(choice).get("rule"))
    seed = own.pop("seed")
    swept = {key: shown_value(node) for key, node in choice if key not in OWN_COLUMNS}
    if LABEL in swept:  # stands for the blocks that its point sets
        blocks = {key for key, node in choice if isinstance(node.value, dict)}
        swept = {key: value for key, value in swept.items() if key not in blocks}
    return own | swept | {"seed": seed}


def _options(rule: Located | None) -> str:
    """What a rule is given beside its name, for tables: two points may differ in it alone."""
    given = rule.entries if rule is not None else {}
    told = [f"{key}={shown_value(node)}" for key, node in given.items() if key not in ("name", "file")]
    return f" ({', '.join(told)})" if told else ""


def _own_settings(experiment: Resolved) -> dict[str, Any]:
    return {
        "task": experiment.task.name,
        "device": experiment.device.name,
        "rule": experiment.rule.name,
        "seed": experiment.seed,
    }
