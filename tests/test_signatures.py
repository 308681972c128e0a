"""How public callables are called: with at most six values whose meaning only their place tells."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import noisyhw_cli
import pytest

import noisyhw

MOST = 6
EXTRAS = {"noisyhw.sweeps.engines.on_ray"}
"""Modules that import packages which need not be there."""


def modules() -> Iterator[ModuleType]:
    for package in (noisyhw, noisyhw_cli):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name not in EXTRAS:
                yield importlib.import_module(found.name)


def by_place(function: Callable[..., Any]) -> int:
    """How many arguments can be given without their names."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # an exception or enum, made by C code
        return 0
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)


def crowded(module: ModuleType | SimpleNamespace) -> Iterator[str]:
    """Public functions, classes and methods, written in a module, that take more than six arguments by place."""
    for name, found in vars(module).items():
        if name.startswith("_") or getattr(found, "__module__", None) != module.__name__:
            continue
        if (inspect.isroutine(found) or inspect.isclass(found)) and by_place(found) > MOST:
            yield f"{module.__name__}.{name}"
        if inspect.isclass(found):
            yield from (f"{module.__name__}.{name}.{method}" for method in _crowded_methods(found))


def _crowded_methods(kind: type) -> Iterator[str]:
    for name, raw in vars(kind).items():
        function = getattr(raw, "__func__", raw)
        if not inspect.isfunction(function) or (name.startswith("_") and name != "__call__"):
            continue
        if by_place(function) - (not isinstance(raw, staticmethod)) > MOST:
            yield name


def test_no_public_callable_takes_more_than_six_arguments_by_place() -> None:
    assert {name for module in modules() for name in crowded(module)} == set()


def crowd(a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> None: ...


def orderly(a: int, b: int, c: int, d: int, e: int, f: int, *, g: int) -> None: ...


class Many(NamedTuple):
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int


@dataclass
class Named:
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    _: KW_ONLY
    g: int


class Methods:
    def __call__(self, a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> None: ...

    def six(self, a: int, b: int, c: int, d: int, e: int, f: int) -> None: ...

    @classmethod
    def seven(cls, a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> None: ...

    @staticmethod
    def static(a: int, b: int, c: int, d: int, e: int, f: int, g: int) -> None: ...


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (crowd, [""]),
        (orderly, []),
        (Many, [""]),
        (Named, []),
        (Methods, [".__call__", ".seven", ".static"]),
    ],
)
def test_the_walk_sees_functions_classes_and_methods(found: Any, names: list[str]) -> None:
    module = SimpleNamespace(__name__=__name__, it=found)
    assert [name.removeprefix(f"{__name__}.it") for name in crowded(module)] == names
