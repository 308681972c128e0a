"""Inputs of somebody's own: checked, flattened, in 32 bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped

from ..errors import UsageError
from .as_array import Array
from .places import brief, refuse

CHANNELS = (1, 3, 4)
"""Of pictures, where they are last by mistake."""


class Inputs(NamedTuple):
    """What a network is given.

    Args:
        values: one row a sample.
        image: (channels, height, width); None: no images.
    """

    values: Float32[np.ndarray, "samples features"]
    image: tuple[int, int, int] | None


def inputs_of(array: Array, name: str) -> Inputs:
    """Return inputs, images flattened.

    Args:
        array: [samples, columns], or images [samples, channels, height, width] or [samples, height, width].
        name: for messages.

    Raises:
        UsageError: they are text, of another shape, empty, or not finite in 32 bits.
    """
    values = array.values
    if values.dtype.kind not in "biuf":
        if values.size == 0:
            raise UsageError(f"{name}: is empty")
        first = brief(values[(0,) * values.ndim])
        refuse(name, np.ones(values.shape, dtype=bool), f"{first} is text; give numbers", array.columns)
    _check_shape(values, name)
    single = finite(values, name, array.columns)
    image = tuple(values.shape[1:]) if values.ndim > 2 else None
    if image is not None and len(image) == 2:
        image = (1, *image)
    return Inputs(single.reshape(len(values), -1), image)


def _check_shape(values: Shaped[np.ndarray, "..."], name: str) -> None:
    own = name.replace(" ", "_")
    if values.ndim < 2:
        raise UsageError(
            f"{name}: has {values.ndim} dimension{'' if values.ndim == 1 else 's'}, and [samples, columns] is needed; "
            f"a single column is {own}.reshape(-1, 1)"
        )
    if values.ndim > 4:
        raise UsageError(
            f"{name}: has shape {values.shape}; give [samples, columns], or images [samples, channels, height, width]"
        )
    if len(values) == 0:
        raise UsageError(f"{name}: is empty (shape {values.shape}); at least one sample is needed")
    if values.size == 0:
        raise UsageError(f"{name}: has no columns (shape {values.shape})")
    if values.ndim == 4 and values.shape[-1] in CHANNELS and values.shape[1] not in CHANNELS:
        raise UsageError(
            f"{name}: has shape {values.shape}, with channels last; give [samples, channels, height, width], as by "
            f"numpy.moveaxis({own}, -1, 1)"
        )


def finite(
    values: Shaped[np.ndarray, "..."], name: str, columns: tuple[str, ...] = ()
) -> Float32[np.ndarray, "..."]:
    """Return a copy in 32 bits, all of it finite.

    Raises:
        UsageError: an entry is NaN, infinite, or does not fit.
    """
    with np.errstate(over="ignore"):
        single = np.array(values, dtype=np.float32, order="C")
    bad = ~np.isfinite(single)
    if bad.any():
        refuse(name, bad, _reason(values[tuple(np.argwhere(bad)[0])]), columns)
    return single


def _reason(value: Any) -> str:
    if np.isnan(value):
        return "is missing (NaN); drop such rows, or fill them in"
    if np.isinf(value):
        return f"is infinite ({value}); drop such rows, or mend them"
    return f"{brief(value)} does not fit into 32 bits (up to 3.4e38); scale the column"
