"""Targets of somebody's own: classes of any kind, or values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from ..errors import UsageError
from .as_array import Array
from .base import Kind
from .inputs import finite
from .places import brief, refuse

MANY = 20
"""So many different whole numbers, in more than half of the samples, are rather values than classes."""
LISTED = 8


class Labels(NamedTuple):
    """One class a sample.

    Args:
        values: whole numbers, true and false, or text.
        known: all classes, in order, where the targets themselves name them (the columns of one-hot rows); else None.
    """

    values: Shaped[np.ndarray, " samples"]
    known: tuple[Any, ...] | None = None


Values = Float32[np.ndarray, "samples outputs"]


def targets_of(array: Array, name: str, kind: Kind | None) -> Labels | Values:
    """Return classes or values.

    Args:
        array: [samples], [samples, 1], one-hot [samples, classes], or [samples, outputs].
        name: for messages.
        kind: None: whole numbers, true and false, text and one-hot rows are classes, real numbers are values.

    Raises:
        UsageError: they are of another shape, empty, not finite, or not of that kind.
    """
    values = array.values
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        raise UsageError(
            f"{name}: has shape {values.shape}; give [samples], one-hot [samples, classes] or [samples, outputs]"
        )
    if len(values) == 0:
        raise UsageError(f"{name}: is empty; at least one target is needed")
    if values.ndim == 1:
        return _column(values, name, kind)
    return _rows(values, name, kind, array.columns)


def _column(values: Shaped[np.ndarray, " samples"], name: str, kind: Kind | None) -> Labels | Values:
    what = values.dtype.kind
    if what in "US":
        if kind == "regression":
            raise UsageError(
                f"{name}, row 0: {brief(values[0])} is text, and a regression needs numbers; leave out kind, or give "
                "kind='classification'"
            )
        return Labels(values.astype(str))
    if kind == "regression" or (kind is None and what == "f"):
        return finite(values, name)[:, None]
    if what == "f":
        finite(values, name)
        broken = values != np.floor(values)
        if broken.any():
            value = brief(values[broken.argmax()])
            refuse(name, broken, f"{value} is no class; give whole numbers, or kind='regression'")
        return Labels(values.astype(np.int64))
    if kind is None and what in "iu":
        _check_many(values, name)
    return Labels(values)


def _check_many(values: Shaped[np.ndarray, " samples"], name: str) -> None:
    different = len(np.unique(values))
    if different > max(MANY, len(values) // 2):
        raise UsageError(
            f"{name}: {different} different whole numbers in {len(values)} samples are values rather than classes; "
            "give kind='regression', or kind='classification' if they are classes"
        )


def _rows(
    values: Shaped[np.ndarray, "samples outputs"], name: str, kind: Kind | None, columns: Sequence[str]
) -> Labels | Values:
    if values.dtype.kind not in "biuf":
        raise UsageError(
            f"{name}: has {values.shape[1]} columns of text; give one column of classes, or numbers"
        )
    if kind == "regression":
        return finite(values, name, tuple(columns))
    odd = _not_one_hot(values)
    if not odd.any():
        known: tuple[Any, ...] = tuple(columns) or tuple(range(values.shape[1]))
        return Labels(np.array(known)[values.argmax(axis=1)], known)
    if kind is None and values.dtype.kind == "f":
        return finite(values, name, tuple(columns))
    finite(values, name, tuple(columns))
    row = brief(values[odd.argmax()].tolist())
    refuse(
        name,
        odd,
        f"{row} is not one-hot (a single 1); give one class a sample, or "
        f"kind='regression' for {values.shape[1]} values",
    )


def _not_one_hot(values: Shaped[np.ndarray, "samples outputs"]) -> Shaped[np.ndarray, " samples"]:
    ones = (values == 1).sum(axis=1)
    rest = ((values != 0) & (values != 1)).any(axis=1)
    odd: Shaped[np.ndarray, " samples"] = (ones != 1) | rest
    return odd


def classes_of(labels: Labels, name: str) -> tuple[Any, ...]:
    """Return all classes, sorted or as the targets name them.

    Raises:
        UsageError: there is one only.
    """
    found = np.unique(labels.values).tolist()
    if len(found) < 2:
        raise UsageError(
            f"{name}: all samples are of one class ({found[0]!r}); at least two classes are needed"
        )
    return tuple(found) if labels.known is None else labels.known


def numbers_of(labels: Labels, classes: Sequence[Any], name: str, of: str) -> Int64[np.ndarray, " samples"]:
    """Return the class number of each sample, 0 to classes - 1.

    Args:
        labels: of the samples.
        classes: all there are.
        name: for messages.
        of: what the classes are those of.

    Raises:
        UsageError: a sample has another class.
    """
    found, inverse = np.unique(labels.values, return_inverse=True)
    index = {one: number for number, one in enumerate(classes)}
    numbers = np.array([index.get(one, -1) for one in found.tolist()], dtype=np.int64)[inverse]
    if (numbers < 0).any():
        value = labels.values[(numbers < 0).argmax()]
        listed = ", ".join(repr(one) for one in classes[:LISTED]) + (", ..." if len(classes) > LISTED else "")
        refuse(
            name,
            numbers < 0,
            f"class {brief(value)} is not among those of {of} ({listed}); train on it too, or leave it out",
        )
    return numbers
