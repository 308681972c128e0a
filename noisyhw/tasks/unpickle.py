"""Read a pickle that holds plain values and NumPy arrays, and nothing that could run code."""

from __future__ import annotations

import io
import pickle
from typing import Any, Final

import numpy as np

from ..errors import DataError

_RECONSTRUCT = np.empty(0).__reduce__()[0]
ADMITTED: Final[dict[tuple[str, str], Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data file needs")
        return ADMITTED[module, name]


def unpickle_arrays(content: bytes, source: str) -> Any:
    """Unpickle plain values and arrays; text written by Python 2 comes back as bytes.

    Args:
        content: the pickle.
        source: the file's name, for the error.

    Raises:
        DataError: the pickle is broken, or names anything else than a NumPy array (nothing of it is run).
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a broken pickle can raise anything
        raise DataError(f"{source}: no readable data file ({error}). Delete it and fetch it again") from error
