"""Data that a person hands over in place of a task's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from ..errors import UsageError
from .arrays import content_of
from .base import Data
from .datasets import is_dataset


def kept(given: Any) -> Data:
    """Return the data, named by their content whatever somebody called them.

    Args:
        given: see :func:`noisyhw.tasks.card_of`.

    Raises:
        UsageError: it is no data, or cannot be trained on.
    """
    if isinstance(given, Data):
        return _named(given)
    if is_dataset(given):
        return Data.from_arrays(given)
    if isinstance(given, tuple | list) and len(given) == 2:
        return Data.from_arrays(*given)
    what = f"{len(given)} things" if isinstance(given, tuple | list) else f"a {type(given).__name__}"
    if isinstance(given, Mapping):
        what = "a mapping"
    raise UsageError(
        f"task: got {what}; give a task's name, a file, (x, y), or data, noisyhw.Data.from_arrays(x, y, test=...)"
    )


def _named(data: Data) -> Data:
    """The data under their content's name; what :meth:`.Data.from_arrays` has not made is checked as it checks."""
    data = data.to(torch.device("cpu"))
    if data.version == _content(data):
        return data
    shape = (-1, *data.image) if data.image is not None else ()
    x, test_x = (part.reshape(shape) if shape else part for part in (data.train_x, data.test_x))
    made = Data.from_arrays(x, data.train_y, test=(test_x, data.test_y), kind=data.kind)
    classes = tuple(data.classes[int(number)] for number in made.classes) if data.classes else made.classes
    made = replace(made, classes=classes, notes=data.notes or made.notes, loss_scale=data.loss_scale)
    return replace(made, version=_content(made))


def _content(data: Data) -> str:
    parts = [part.numpy() for part in (data.train_x, data.train_y, data.test_x, data.test_y)]
    return content_of(parts, data.classes, data.image, data.loss_scale)
