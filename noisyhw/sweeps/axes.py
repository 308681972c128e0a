"""A sweep card's axes: lists of choices, each of which sets some fields; a run takes one choice of every axis."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import TypeAlias

from ..cards.loading import setting
from ..cards.messages import at
from ..cards.sweep import Draw, Sample, SweepCard
from ..cards.yaml_lines import Located, located, shown
from ..errors import CardError

Choice: TypeAlias = tuple[tuple[str, Located], ...]
Axis: TypeAlias = list[Choice]

LABEL = "label"
"""A list's point may carry a name for tables; it is no field of an experiment."""
MAX_POINTS = 200_000


def axes(card: SweepCard, tree: Located, sets: Sequence[str] = ()) -> list[Axis]:
    """Return all axes but the seeds: tasks, devices, rules, grid, list, sample, and the sets that all runs share.

    Args:
        card: checked.
        tree: the card as it was written, whose values know their lines.
        sets: ``key.path=value``.

    Raises:
        CardError: two axes set one field, a key is empty, or there are too many combinations.
    """
    entries = tree.entries
    found = [_shared(text) for text in sets]
    for name, key in (("tasks", "task"), ("devices", "device"), ("rules", "rule")):
        if getattr(card, name) is not None:
            found.append(_values(key, entries[name]))
    found += [_values(key, node) for key, node in (entries["grid"].entries if card.grid else {}).items()]
    if card.list is not None:
        found.append([tuple(point.entries.items()) for point in _items(entries["list"])])
    if card.sample is not None:
        found.append(_drawn(card.sample, entries["sample"].entries["fields"]))
    _check_keys(found, card.seeds is not None)
    _check_labels(card, tree)
    _check_number(found, tree)
    return found


def combinations(found: Sequence[Axis]) -> Iterator[Choice]:
    """Return every combination of one choice of each axis, as one choice."""
    for choices in product(*found):
        yield tuple(one for choice in choices for one in choice)


def seeds(card: SweepCard) -> tuple[int, ...] | None:
    """Return the seeds; None: the experiment's own."""
    return tuple(range(card.seeds)) if isinstance(card.seeds, int) else card.seeds


def _shared(text: str) -> Axis:
    keys, node = setting(text)
    return [((".".join(keys), node),)]


def _items(node: Located) -> list[Located]:
    assert isinstance(node.value, list)
    return node.value


def _values(key: str, node: Located) -> Axis:
    return [((key, item),) for item in _items(node)]


def _drawn(sample: Sample, fields: Located) -> Axis:
    columns = [
        [(key, located(value, fields.entries[key].origin)) for value in _draws(key, draw, sample)]
        for key, draw in sample.fields.items()
    ]
    return [tuple(point) for point in zip(*columns, strict=True)]


def _draws(key: str, draw: Draw, sample: Sample) -> Iterator[object]:
    """Return one field's values, from a stream of its own."""
    stream = random.Random(f"{sample.seed}/{key}")
    for _ in range(sample.count):
        if draw.uniform is not None:
            yield stream.uniform(*draw.uniform)
        elif draw.log_uniform is not None:
            low, high = draw.log_uniform
            yield min(max(math.exp(stream.uniform(math.log(low), math.log(high))), low), high)
        elif draw.integers is not None:
            yield stream.randint(*draw.integers)
        else:
            assert draw.choice is not None
            yield stream.choice(draw.choice)


def _check_keys(found: Iterable[Axis], seeds_given: bool) -> None:
    taken = {"seed": "seeds"} if seeds_given else {}
    for axis in found:
        for key, node in {key: node for choice in axis for key, node in choice}.items():
            if not all(key.split(".")):
                raise CardError(at(node.origin, f"'{key}': a field is written as in --set, e.g. update.path"))
            if key in taken:
                raise CardError(
                    at(node.origin, f"{key}: is set by two axes of this sweep ({taken[key]}); leave one out")
                )
        taken |= {key: node.origin for choice in axis for key, node in choice}


def _check_labels(card: SweepCard, tree: Located) -> None:
    drawn = tree.entries["sample"].entries["fields"].entries if card.sample else {}
    for node in (tree.entries["grid"].entries.get(LABEL) if card.grid else None, drawn.get(LABEL)):
        if node is not None:
            raise CardError(at(node.origin, "label: names a point of 'list'; it sets nothing elsewhere"))


def _check_number(found: Sequence[Axis], tree: Located) -> None:
    total = math.prod(len(axis) for axis in found)
    if total > MAX_POINTS:
        raise CardError(
            at(tree.origin, f"{total} combinations, at most {MAX_POINTS}; use fewer values, or a sample")
        )


def shown_value(node: Located) -> object:
    """Return a setting as a table shows it: scalars as they are, a named mapping by its name, all else as text."""
    if isinstance(node.value, dict):
        name = node.entries.get("name")
        return str(name.value) if name is not None else _compact(node)
    return _compact(node) if isinstance(node.value, list) else node.value


def _compact(node: Located) -> str:
    if isinstance(node.value, dict):
        return "{" + ", ".join(f"{key}: {_compact(inner)}" for key, inner in node.value.items()) + "}"
    if isinstance(node.value, list):
        return "[" + ", ".join(map(_compact, node.value)) + "]"
    return node.value if isinstance(node.value, str) else shown(node)
