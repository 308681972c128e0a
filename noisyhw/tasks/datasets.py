"""Map-style torch data sets of (x, y), gathered into two arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..errors import UsageError
from .as_array import of_tensor


def gathered(dataset: Any, name: str) -> tuple[Any, Any]:
    """Return all x and all y of a data set.

    Args:
        dataset: map-style, with items (x, y).
        name: for messages: ``""``, or ``test `` before x and y.

    Raises:
        UsageError: it cannot be indexed, is empty, or an item is no pair, a picture without a transform, or of another
            shape than the first.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise UsageError(f"{name}x: is a data set without a length; give a map-style one, or arrays")
    if len(dataset) == 0:
        raise UsageError(f"{name}x: the data set is empty; at least one sample is needed")
    pairs = [_pair(dataset, row, name) for row in range(len(dataset))]
    inputs = [_plain(x, f"{name}x, row {row}") for row, (x, _) in enumerate(pairs)]
    targets = [_plain(y, f"{name}y, row {row}") for row, (_, y) in enumerate(pairs)]
    if isinstance(inputs[0], int | float | np.number) or np.ndim(inputs[0]) == 0:
        inputs = [[one] for one in inputs]
    return inputs, targets


def is_dataset(value: Any) -> bool:
    """Whether something is a data set; a loader is refused by its name.

    Raises:
        UsageError: it is a loader.
    """
    if isinstance(value, DataLoader):
        raise UsageError("x: is a DataLoader, which batches and shuffles by itself; give its .dataset")
    return isinstance(value, Dataset)


def _pair(dataset: Any, row: int, name: str) -> tuple[Any, Any]:
    try:
        item = dataset[row]
    except Exception as error:  # whatever somebody's code raises
        raise UsageError(
            f"{name}x, row {row}: the data set raises {type(error).__name__} ({error})"
        ) from error
    if not isinstance(item, list | tuple) or len(item) != 2:
        held = f"of {len(item)} parts" if isinstance(item, list | tuple) else f"a {type(item).__name__}"
        raise UsageError(f"{name}x, row {row}: the item is {held}, and a pair (x, y) is needed")
    return item[0], item[1]


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, torch.Tensor):
        return of_tensor(value, where)
    if isinstance(value, np.ndarray | np.generic | int | float | complex | str | list | tuple):
        return value
    if hasattr(value, "convert") and hasattr(value, "getbands"):
        raise UsageError(f"{where}: is a picture; give the data set a transform to tensors, as ToTensor()")
    raise UsageError(f"{where}: is a {type(value).__name__}; give tensors, arrays or numbers")
