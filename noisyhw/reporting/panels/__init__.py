"""The panels of a report's page, in order; those of plug-ins come after the shipped ones."""

from __future__ import annotations

from ...plugins import instance_of
from ...registry import Registry
from ..panel import Panel
from .cost import Cost
from .curves import Curves
from .sampled import Sampled
from .swept import Swept

_SHIPPED: tuple[Panel, ...] = (Swept(), Cost(), Sampled(), Curves())
PANELS: Registry[Panel] = Registry(
    "panel",
    {panel.name: panel for panel in _SHIPPED},
    instance_of(Panel, "name", "title"),  # type: ignore[type-abstract]
)

__all__ = ["PANELS"]
