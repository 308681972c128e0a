"""Anything that holds numbers or text, as one numpy array: tensors, tables, lists, and data sets of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Shaped

from ..errors import UsageError
from .places import brief, place, refuse


@dataclass(frozen=True)
class Array:
    """Values with what a table says of them.

    Args:
        values: of a numeric type, or text, or (columns that may hold anything) objects.
        columns: names; empty: there are none.
        index: the table's labels of its rows; None: it was no table.
    """

    values: Shaped[np.ndarray, "..."]
    columns: tuple[str, ...] = ()
    index: pd.Index[Any] | None = None


def as_array(values: Any, name: str) -> Array:
    """Return the values as an array.

    Args:
        values: numpy, torch, pandas, lists, or what offers ``__array__``.
        name: for messages, e.g. ``test x``.

    Raises:
        UsageError: it is nothing of the kind, ragged, sparse, or of a type that is no number and no text.
    """
    _check_kind(values, name)
    if isinstance(values, pd.DataFrame):
        return _of_frame(values, name)
    if isinstance(values, pd.Series):
        return Array(_of_column(values, place_of=name), index=values.index)
    if isinstance(values, torch.Tensor):
        return Array(_checked(of_tensor(values, name), name))
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        if mask.any():
            refuse(name, mask, "is masked; drop such rows, or fill them in")
        values = values.data
    return Array(_checked(_of_sequence(values, name), name))


def _check_kind(values: Any, name: str) -> None:
    if values is None:
        raise UsageError(f"{name}: is None; give an array of one entry a sample")
    if isinstance(values, str | bytes):
        raise UsageError(f"{name}: is text ({brief(values)}); give an array, or name a file as the task")
    if isinstance(values, dict | set):
        raise UsageError(f"{name}: is a {type(values).__name__}; give an array [samples, columns]")
    if hasattr(values, "nnz") and hasattr(values, "toarray"):
        raise UsageError(f"{name}: is a sparse matrix; give {name.replace(' ', '_')}.toarray()")


def of_tensor(values: torch.Tensor, name: str) -> Shaped[np.ndarray, "..."]:
    """Return a tensor's values; those that numpy has no type for in 32 bits.

    Raises:
        UsageError: it is sparse, nested or quantized.
    """
    if values.layout != torch.strided or values.is_nested:
        raise UsageError(f"{name}: is a sparse or nested tensor; give one with .to_dense() or padded rows")
    if values.is_quantized:
        raise UsageError(f"{name}: is a quantized tensor; give .dequantize()")
    values = values.detach().cpu().resolve_conj().resolve_neg()
    if values.is_floating_point() and values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    return values.numpy()


def _of_sequence(values: Any, name: str) -> Shaped[np.ndarray, "..."]:
    if isinstance(values, list | tuple) and any(isinstance(one, torch.Tensor) for one in values):
        values = [of_tensor(one, name) if isinstance(one, torch.Tensor) else one for one in values]
    if isinstance(values, list | tuple):
        _check_ragged(values, name)
    elif not hasattr(values, "__array__"):
        raise UsageError(
            f"{name}: is a {type(values).__name__}; give a numpy array, a torch tensor, a pandas table or a map-style "
            "Dataset"
        )
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{name}: cannot be read as an array ({error}); rows must have one length") from None


def _check_ragged(rows: Sequence[Any], name: str) -> None:
    shapes = [getattr(one, "shape", None) or _length(one) for one in rows]
    for row, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise UsageError(
                f"{name}, row {row}: is ragged: {_told(shape)}, and row 0 has {_told(shapes[0])}; rows must have one "
                "length"
            )


def _length(value: Any) -> tuple[int, ...]:
    return (len(value),) if isinstance(value, list | tuple) else ()


def _told(shape: tuple[int, ...]) -> str:
    sizes = tuple(shape)
    if not sizes:
        return "a single value"
    return f"{sizes[0]} values" if len(sizes) == 1 else f"shape {sizes}"


def _checked(values: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "..."]:
    """Refuse types that are neither numbers nor text; an object array of text alone becomes one of text."""
    kind = values.dtype.kind
    if kind == "c":
        raise UsageError(
            f"{name}: is complex ({values.dtype}); give real and imaginary parts as columns of their own"
        )
    if kind in "mM":
        raise UsageError(f"{name}: holds dates or times ({values.dtype}); give them as numbers, e.g. seconds")
    if kind == "V":
        raise UsageError(f"{name}: is a structured array; give its fields as columns of one plain array")
    return _of_objects(values, name) if kind == "O" else values


def _of_objects(values: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "..."]:
    missing = pd.isna(values)
    if missing.any():
        refuse(name, missing, "is missing; drop such rows, or fill them in")
    if values.ndim == 1 and len(values) and hasattr(values[0], "__len__") and not isinstance(values[0], str):
        _check_ragged([tuple(np.shape(one)) and np.asarray(one) for one in values], name)
        raise UsageError(f"{name}: is an object array of arrays; give numpy.stack({name.replace(' ', '_')})")
    flat = values.ravel().tolist()
    for kinds in ((bool,), (int,), (int, float), (str,)):
        if all(type(one) in kinds for one in flat):
            return _of_type(values, kinds[-1])
    typical = type(flat[0]) if flat else object
    odd = np.array([type(one) is not typical for one in flat], dtype=bool).reshape(values.shape)
    if not odd.any():
        odd[...] = True
    value = values[tuple(np.argwhere(odd)[0])]
    refuse(
        name,
        odd,
        f"{brief(value)} is a {type(value).__name__} in an object array; give an array of one numeric type, e.g. "
        f"{name.replace(' ', '_')}.astype('float32')",
    )


def _of_type(values: Shaped[np.ndarray, "..."], kind: type) -> Shaped[np.ndarray, "..."]:
    try:
        return values.astype(kind)
    except OverflowError:  # a whole number of more than 64 bits
        return values.astype(float)


def _of_frame(frame: pd.DataFrame, name: str) -> Array:
    columns = tuple(str(column) for column in frame.columns)
    parts = [
        _of_column(frame.iloc[:, number], f"{name}, column {column!r}")
        for number, column in enumerate(columns)
    ]
    for column, part in zip(columns, parts, strict=True):
        if part.dtype.kind == "U" and len(columns) > 1:
            first = brief(part[0]) if len(part) else "text"
            raise UsageError(
                f"{place(name, (0,))}, column {column!r}: {first} is text; give numbers, e.g. by pandas.get_dummies, "
                "or leave the column out"
            )
    if not parts:
        raise UsageError(f"{name}: has no columns")
    return Array(np.stack(parts, axis=1), columns, frame.index)


def _of_column(column: pd.Series[Any], place_of: str) -> Shaped[np.ndarray, " rows"]:
    """One column of a table: numbers as they are, true and false, text and categories as text."""
    missing = column.isna().to_numpy()
    if missing.any():
        row, more = int(missing.argmax()), int(missing.sum()) - 1
        also = f" ({more} more in this column)" if more else ""
        raise UsageError(f"{_in_row(place_of, row)}: is missing{also}; drop such rows, or fill them in")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.SparseDtype):
        column = column.astype(column.dtype.subtype)
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(dtype=bool)
    if pd.api.types.is_string_dtype(column.dtype) and column.dtype != object:
        return column.to_numpy(dtype=str)
    if pd.api.types.is_extension_array_dtype(column.dtype) and pd.api.types.is_numeric_dtype(column.dtype):
        whole = pd.api.types.is_integer_dtype(column.dtype)
        return column.to_numpy(dtype="int64" if whole else "float64")
    return _checked(column.to_numpy(), place_of)


def _in_row(place_of: str, row: int) -> str:
    name, comma, column = place_of.partition(", column ")
    return f"{name}, row {row}{comma}{column}"
