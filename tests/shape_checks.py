"""Types and shapes are checked at every call: what jaxtyping's import hook does, in a third of the time.

The hook's own wrapper looks up every call's signature and checks the arguments twice. Here beartype checks a call once,
and only functions with shapes in their types have a scope of shapes. A call breaks here where it breaks there.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import beartype
from beartype.roar import BeartypeDecorHintException

_whole = jaxtyping.jaxtyped
SCOPE = _whole("context")


def check_calls(modules: Sequence[str]) -> None:
    """From now on, these modules are imported with checks; none of them may be imported yet."""
    assert not [name for name in modules if name in sys.modules]
    jaxtyping.jaxtyped = checked
    jaxtyping.install_import_hook(modules, "beartype.beartype")


def checked(function: Any = None, *, typechecker: Any) -> Any:
    """Stand in for ``jaxtyped``: functions are checked here, classes, properties and generators there."""
    if function is None:
        return functools.partial(checked, typechecker=typechecker)
    if not inspect.isfunction(function) or inspect.isgeneratorfunction(function):
        return _whole(function, typechecker=typechecker)
    try:
        hints = get_type_hints(function)
        checking = beartype(function)
    except (NameError, TypeError, BeartypeDecorHintException):  # a type that jaxtyping takes for Any
        return _whole(function, typechecker=typechecker)
    return _scoped(checking) if any(map(_holds_an_array, hints.values())) else checking


def _scoped(checking: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(checking)
    def call(*args: Any, **kwargs: Any) -> Any:
        with SCOPE:
            return checking(*args, **kwargs)

    return call


def _holds_an_array(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    if isinstance(hint, list | tuple):  # the arguments of a Callable
        return any(map(_holds_an_array, hint))
    return any(map(_holds_an_array, get_args(hint)))
