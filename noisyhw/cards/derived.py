"""How a card's numbers follow from those that its sources state."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from .base import Card, Count, Real

if TYPE_CHECKING:
    from .device import DeviceCard

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
}
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class Derivation(Card):
    """One number of the card: what its source states, in the source's own unit, and how ours follows."""

    field: str = Field(description="The card's field, e.g. update.step; update.shape.up.0 is a list's first.")
    source: Count = Field(description="Which of the card's sources states it; 1 is the first.")
    given: dict[str, Real] = Field(
        description="The numbers as the source states them, by its own names; a scale is one of them."
    )
    unit: str = Field("", description="The source's unit; empty: that of the field.")
    formula: str = Field(
        "",
        description="The field's value from the names in 'given': numbers, + - * / ** and sqrt, exp, log, log2; "
        "empty: the one given number itself.",
    )

    def __hash__(self) -> int:
        return hash((self.field, self.source, tuple(sorted(self.given.items())), self.unit, self.formula))

    @model_validator(mode="after")
    def _computable(self) -> Self:
        self.value()
        return self

    @property
    def rule(self) -> str:
        """The formula, or the one given name."""
        return self.formula or " ".join(self.given)

    def value(self) -> float:
        """Return what the field should be.

        Raises:
            ValueError: the formula and the given numbers do not fit each other.
        """
        if not self.formula and len(self.given) != 1:
            raise ValueError(
                f"'formula' is missing: {self.field} has {len(self.given)} given numbers, not one"
            )
        try:
            tree = ast.parse(self.rule, mode="eval").body
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - FUNCTIONS.keys()
            if used != self.given.keys():
                raise ValueError(f"names {', '.join(sorted(used ^ self.given.keys()))} are not in both")
            return _value(tree, self.given)
        except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
            raise ValueError(f"'formula' of {self.field} and 'given' do not fit: {error}") from None


def _value(node: ast.expr, given: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return float(given[node.id])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, given)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        result = _BINARY[type(node.op)](_value(node.left, given), _value(node.right, given))
        return _real(result)
    if (called := _called(node)) is not None:
        function, argument = called
        return function(_value(argument, given))
    raise ValueError(f"'{ast.unparse(node)}' is more than numbers, + - * / ** and {', '.join(FUNCTIONS)}")


def _called(node: ast.expr) -> tuple[Callable[[float], float], ast.expr] | None:
    """One of FUNCTIONS and its one argument, if that is what the node says."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    if node.func.id not in FUNCTIONS or len(node.args) != 1 or node.keywords:
        return None
    return FUNCTIONS[node.func.id], node.args[0]


def _real(result: float | complex) -> float:
    if isinstance(result, complex):
        raise ValueError("a root of a negative number")
    return result


def numbers(card: DeviceCard, provenance: set[str]) -> dict[str, float]:
    """Return every number that a card (or what it extends) says, by its dotted field.

    Args:
        card: the card.
        provenance: the card's fields that are no physics.
    """
    stated = card.model_dump(exclude_unset=True, exclude=provenance)
    return dict(_numbers(stated, ""))


def _numbers(node: Any, field: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _numbers(value, f"{field}.{key}" if field else key)
    elif isinstance(node, list | tuple):
        yield from _numbers(dict(enumerate(node)), field)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield field, node


def agrees(stated: float, derived: float) -> bool:
    """Whether a card's number is the derived one, rounded to the digits that the card gives, and to half a percent."""
    if isinstance(stated, int):
        return math.isclose(stated, derived, rel_tol=1e-6)
    exponent = Decimal(repr(stated)).as_tuple().exponent
    assert isinstance(exponent, int)
    rounding = min(0.5 * 10.0**exponent, 5e-3 * abs(stated))
    return abs(stated - derived) <= rounding + 1e-9 * abs(stated)
