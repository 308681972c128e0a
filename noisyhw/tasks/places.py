"""How a message names a place in somebody's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool

from ..errors import UsageError

MAX_SHOWN = 60


def place(name: str, index: Sequence[int], columns: Sequence[str] = ()) -> str:
    """Return ``x, row 3, column 'age'``; rows and columns count from 0, and images have ``[channel, row, column]``."""
    row, *inner = (int(one) for one in index)
    if not inner:
        return f"{name}, row {row}"
    if len(inner) > 1:
        return f"{name}, image {row}, pixel {inner}"
    return f"{name}, row {row}, column {repr(columns[inner[0]]) if columns else inner[0]}"


def refuse(name: str, bad: Bool[np.ndarray, "..."], reason: str, columns: Sequence[str] = ()) -> NoReturn:
    """Refuse an array for its first bad entry, and say how many more there are.

    Raises:
        UsageError: always.
    """
    first, more = np.argwhere(bad)[0], int(bad.sum()) - 1
    also = f" ({more} more like it)" if more else ""
    raise UsageError(f"{place(name, first.tolist(), columns)}: {reason}{also}")


def brief(value: Any) -> str:
    """Return a value as a message shows it."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
