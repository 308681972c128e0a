"""Blocks of a card whose fields a class elsewhere brings with it: noise sources, cells and tasks.

The registries are filled by :func:`noisyhw.register_noise`, :func:`noisyhw.register_cells` and :mod:`noisyhw.tasks`;
cards look up here what such a block may say, and load no tensors for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from ..foreign import code_of
from ..registry import Registry
from .base import Card

NOISES: Registry[Any] = Registry("noise source", home="noisyhw.devices.noise")
"""Registered noise sources by name, :class:`noisyhw.NoiseSource` each."""
CELLS: Registry[Any] = Registry("cell", home="noisyhw.devices.choice")
"""Registered cells by ``update.kind``, :class:`noisyhw.Cells` each."""
TASKS: Registry[Any] = Registry("task", home="noisyhw.tasks")
"""Tasks by name, :class:`noisyhw.Task` each."""


class NoiseBlock(Card):
    """What a card says of one source of read noise."""

    scales: ClassVar[str] = "std"
    """The field that ``read_noise.scale`` multiplies."""


def checked_noises(given: Mapping[str, Any]) -> dict[str, Card]:
    """Return the blocks of registered noise sources, checked.

    Raises:
        ValidationError: one does not fit its class's model, or nothing is registered by that name.
    """
    blocks: dict[str, Card] = {}
    wrong: list[InitErrorDetails] = []
    for name, value in given.items():
        if name not in NOISES:
            wrong.append({"type": "extra_forbidden", "loc": (name,), "input": value})
            continue
        try:
            blocks[name] = NOISES[name].options.model_validate(value)
        except ValidationError as error:
            wrong += [
                {
                    "type": one["type"],
                    "loc": (name, *one["loc"]),
                    "input": one["input"],
                    "ctx": one.get("ctx", {}),
                }
                for one in error.errors(include_url=False)
            ]
    if wrong:
        raise ValidationError.from_exception_data("read_noise", wrong)
    return blocks


def checked_update(given: Any, handler: Any) -> Any:
    """Check an ``update`` block of registered cells by its class's model, any other as shipped."""
    kind = given.get("kind") if isinstance(given, dict) else getattr(given, "kind", None)
    if not isinstance(kind, str) or kind not in CELLS:
        return handler(given)
    return CELLS[kind].options.model_validate(given)


def codes(noises: Mapping[str, Card], kind: str) -> str:
    """Return what names the code of a device's registered classes, for a run's identity."""
    names = [f" {name} {code_of(NOISES[name])}" for name in sorted(noises)]
    return "".join(names) + (f" {kind} {code_of(CELLS[kind])}" if kind in CELLS else "")
