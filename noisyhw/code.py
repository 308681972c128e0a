"""What names the code of a class, so that what it computed can be told from what it computes after an edit."""

from __future__ import annotations

import abc
import inspect
import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from .errors import UsageError
from .fingerprint import fingerprint
from .imports import files_beside


def content_of_class(kind: type, beside: Iterable[Path] = ()) -> str:
    """Return what names a class's content.

    That is the text of its file and of those beside it that it imports, and what the class says of itself: plain
    values of attributes, which a program may have set, and where the class was made inside of a function, what that
    function gave it. A class without a file (from an interactive session) is named by its compiled methods, which call
    other code by name only.

    Args:
        kind: the class.
        beside: more files that belong to it.

    Raises:
        UsageError: it was made inside of a function around something that has no content to be named by.
    """
    parts = [part for owner in _own(kind) for part in _attributes(owner)]
    file = file_of(kind)
    made = [owner for owner in _own(kind) if not _says_its_file(owner)]
    parts += [part for owner in made for part in _methods(owner)]
    if file is not None:
        files = sorted({*files_beside(file, kind.__module__), *beside} - {file})
        parts += [one.read_bytes() if one.is_file() else b"" for one in (file, *files)]
    return fingerprint(parts)


def file_of(kind: type) -> Path | None:
    """Return the file of a class's module; None: there is none (an interactive session)."""
    if kind.__module__ == "abc":  # made by calling type
        return None
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file) if file is not None and Path(file).is_file() else None


def _own(kind: type) -> list[type]:
    """The class and those that it is derived from, but for shipped ones and those of libraries."""
    return [
        owner
        for owner in kind.__mro__
        if owner is not abc.ABC
        and owner.__module__.split(".")[0] not in ("noisyhw", "builtins", "torch", "typing", "pydantic")
    ]


def _says_its_file(owner: type) -> bool:
    """Whether a class is what its file's text makes of its name; one that a function made may be made in many ways."""
    module = sys.modules.get(owner.__module__)
    return file_of(owner) is not None and getattr(module, owner.__name__, None) is owner


def _attributes(owner: type) -> list[bytes]:
    """Names and values of what a class holds as plain values."""
    found = []
    for name, value in sorted(vars(owner).items()):
        if name.startswith("__") or callable(value):
            continue
        plain = _plain(value)
        if plain is not None:
            found.append(f"{name} {plain}".encode())
    return found


def _methods(owner: type) -> list[bytes]:
    return [
        f"{name} {_function(function, name)}".encode()
        for name, value in sorted(vars(owner).items())
        if isinstance(function := inspect.unwrap(getattr(value, "__func__", value)), FunctionType)
    ]


def _plain(value: Any) -> str | None:
    """A plain value as text that is the same in every process; None: it is none."""
    if isinstance(value, Enum):
        return str(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, frozenset | set):
        parts = [_plain(one) for one in value]
        return None if None in parts else f"set {sorted(map(str, parts))}"
    if isinstance(value, tuple | list):
        parts = [_plain(one) for one in value]
        return None if None in parts else f"{type(value).__name__} {parts}"
    if isinstance(value, dict):
        parts = [_plain(one) for pair in value.items() for one in pair]
        return None if None in parts else f"dict {parts}"
    torch = sys.modules.get("torch")  # where it was not imported, nothing is a tensor
    if torch is not None and isinstance(value, torch.Tensor):
        content = fingerprint(
            [value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()]
        )
        return f"{value.dtype} {tuple(value.shape)} {content}"
    return None


def _function(function: FunctionType, name: str) -> str:
    """A function's compiled code, its defaults, and what the function around it gave it."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    given = [f"{free} {_given(cell, free, name)}" for free, cell in cells if free != "__class__"]
    return f"{_compiled(function.__code__)} {_plain(function.__defaults__)} {given}"


def _given(cell: Any, free: str, name: str) -> str:
    value = cell.cell_contents
    plain = _plain(value)
    if plain is not None:
        return plain
    if isinstance(value, FunctionType):
        return _function(value, free)
    if isinstance(value, type):
        return f"{value.__qualname__} {_methods(value)}"
    raise UsageError(
        f"code: {name} uses '{free}' of the function around it, a {type(value).__name__}, which names no run; make it "
        "an option, or a plain value"
    )


def _compiled(code: CodeType) -> str:
    constants = [_compiled(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
