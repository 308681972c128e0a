"""Data of somebody's own: from arrays to :class:`Data`, checked once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped

from ..errors import UsageError
from ..fingerprint import fingerprint
from .as_array import Array, as_array
from .base import Data, Kind
from .datasets import gathered, is_dataset
from .inputs import inputs_of
from .splitting import set_aside
from .targets import Labels, classes_of, numbers_of, targets_of

LARGE = 30.0
"""An input whose rms is above this makes usual learning rates diverge."""


class _Part(NamedTuple):
    x: Float32[np.ndarray, "samples features"]
    image: tuple[int, int, int] | None
    columns: tuple[str, ...]
    y: Labels | Float32[np.ndarray, "samples outputs"]


def from_arrays(x: Any, y: Any, *, test: Any, kind: str | None) -> Data:
    """See :meth:`.Data.from_arrays`."""
    share = _share(test)
    train = _part(x, y, "", _kind(kind))
    if isinstance(train.y, Labels):
        return _classification(train, test, share)
    return _regression(train, test, share)


def content_of(
    arrays: Sequence[Shaped[np.ndarray, "..."]],
    classes: tuple[str, ...],
    image: tuple[int, int, int] | None,
    loss_scale: float = 1.0,
) -> str:
    """Return what names data by their content: training inputs and targets, test inputs and targets, in that order."""
    about = [classes, image, [part.shape for part in arrays]] + ([] if loss_scale == 1 else [loss_scale])
    return fingerprint(
        [json.dumps(about).encode(), *(np.ascontiguousarray(part).data.cast("B") for part in arrays)]
    )


def _kind(given: str | None) -> Kind | None:
    for kind in get_args(Kind):
        if given == kind:
            found: Kind = kind
            return found
    if given is None:
        return None
    raise UsageError(f"kind: must be 'classification', 'regression' or None, got {given!r}")


def _share(test: Any) -> float | None:
    """The share that is set aside; None: a test set is given."""
    if isinstance(test, float) and 0 < test < 1:
        return test
    if is_dataset(test) or (isinstance(test, list | tuple) and len(test) == 2):
        return None
    given = f"{test!r}" if isinstance(test, bool | int | float | str | None) else f"a {type(test).__name__}"
    raise UsageError(f"test: must be (x, y), a data set, or a share above 0 and below 1, got {given}")


def _part(x: Any, y: Any, prefix: str, kind: Kind | None) -> _Part:
    names = f"{prefix}x", f"{prefix}y"
    if is_dataset(x):
        if y is not None:
            raise UsageError(f"{names[1]}: {names[0]} is a data set, which has its own targets; leave it out")
        x, y = gathered(x, prefix)
    inputs, targets = as_array(x, names[0]), as_array(y, names[1])
    flat = inputs_of(inputs, names[0])
    wanted = targets_of(targets, names[1], kind)
    _check_pairs(inputs, targets, names)
    return _Part(flat.values, flat.image, inputs.columns, wanted)


def _check_pairs(x: Array, y: Array, names: tuple[str, str]) -> None:
    if len(x.values) != len(y.values):
        raise UsageError(
            f"{names[0]} has {len(x.values)} samples, and {names[1]} {len(y.values)}; give one target a sample"
        )
    if x.index is not None and y.index is not None and not x.index.equals(y.index):
        row = int(np.argmax(x.index.to_numpy() != y.index.to_numpy()))
        raise UsageError(
            f"{names[1]}, row {row}: its label in the table is {y.index[row]!r}, and {names[0]}'s is {x.index[row]!r}; "
            "put the rows in one order, or call reset_index(drop=True) on both"
        )


def _given_test(train: _Part, test: Any, kind: Kind) -> _Part:
    x, y = (test, None) if is_dataset(test) else test
    part = _part(x, y, "test ", kind)
    if part.x.shape[1] != train.x.shape[1] or part.image != train.image:
        raise UsageError(f"test x: has {_size(part)}, and x {_size(train)}; give both alike")
    if train.columns and part.columns and train.columns != part.columns:
        pairs = zip(part.columns, train.columns, strict=True)
        number, (other, own) = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
        raise UsageError(
            f"test x, column {number}: is {other!r}, and x has {own!r} there; give the columns in one order"
        )
    return part


def _size(part: _Part) -> str:
    return f"{part.x.shape[1]} columns" if part.image is None else f"images of {part.image}"


def _classification(train: _Part, test: Any, share: float | None) -> Data:
    assert isinstance(train.y, Labels)
    classes = classes_of(train.y, "y")
    numbers = numbers_of(train.y, classes, "y", "y")
    if share is not None:
        aside = _aside(train, share, numbers)
        return _data(train, (train.x[~aside], numbers[~aside], train.x[aside], numbers[aside]), classes)
    given = _given_test(train, test, "classification")
    assert isinstance(given.y, Labels)
    trained = tuple(classes[number] for number in np.unique(numbers))
    numbers_of(given.y, trained, "test y", "y")
    return _data(train, (train.x, numbers, given.x, numbers_of(given.y, classes, "test y", "y")), classes)


def _regression(train: _Part, test: Any, share: float | None) -> Data:
    assert not isinstance(train.y, Labels)
    if share is not None:
        aside = _aside(train, share, None)
        return _data(train, (train.x[~aside], train.y[~aside], train.x[aside], train.y[aside]))
    given = _given_test(train, test, "regression")
    assert not isinstance(given.y, Labels)
    if given.y.shape[1] != train.y.shape[1]:
        raise UsageError(f"test y: has {given.y.shape[1]} columns, and y {train.y.shape[1]}; give both alike")
    return _data(train, (train.x, train.y, given.x, given.y))


def _aside(train: _Part, share: float, classes: Int64[np.ndarray, " samples"] | None) -> Any:
    if len(train.x) < 2:
        raise UsageError(
            "x: has 1 sample, and one to train on and one to test on are needed; give test=(x, y)"
        )
    return set_aside(len(train.x), share, classes)


def _data(train: _Part, parts: tuple[Any, Any, Any, Any], classes: tuple[Any, ...] = ()) -> Data:
    names = tuple(str(one) for one in classes)
    arrays = [np.ascontiguousarray(part) for part in parts]
    rms = float(np.sqrt(np.square(arrays[0], dtype=np.float64).mean()))
    note = (
        f"inputs are large (rms {rms:.3g}); scale them to about 1 if training diverges" if rms > LARGE else ""
    )
    return Data(
        train_x=torch.from_numpy(arrays[0]),
        train_y=torch.from_numpy(arrays[1]),
        test_x=torch.from_numpy(arrays[2]),
        test_y=torch.from_numpy(arrays[3]),
        version=content_of(arrays, names, train.image),
        notes=(note,) if note else (),
        image=train.image,
        classes=names,
    )
