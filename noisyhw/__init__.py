"""Learning on noisy neuromorphic hardware, simulated: device cards, crossbar tiles, node perturbation rules, runs.

A name is imported when it is first asked for, so that ``import noisyhw`` and the command line's help wait for no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .cards import DeviceCard, Experiment, load_device, load_experiment, shipped_devices
    from .cards.base import Card
    from .cards.registered import NoiseBlock
    from .chip.build import build_chip
    from .chip.chip import Chip
    from .device import Device
    from .devices.cells import Cells
    from .devices.choice import register_cells
    from .devices.noise import NoiseSource, register_noise
    from .errors import CardError, DataError, NoisyhwError, RunError, UsageError
    from .network import Traced, from_torch
    from .observation import Injection, Observation
    from .rules import Rule, get_rule, rule_names
    from .sweeps import Sweep, sweep
    from .sweeps.compare import Comparison, compare
    from .tasks import TASKS, Data, Task, get_task
    from .tiles.base import Tile
    from .training.run import Run, resume, train
    from .updates import UpdatePath

_WHERE = {
    "cards.base": ("Card",),
    "cards.registered": ("NoiseBlock",),
    "devices.cells": ("Cells",),
    "devices.choice": ("register_cells",),
    "devices.noise": ("NoiseSource", "register_noise"),
    "cards": ("DeviceCard", "Experiment", "load_device", "load_experiment", "shipped_devices"),
    "chip.build": ("build_chip",),
    "chip.chip": ("Chip",),
    "device": ("Device",),
    "errors": ("CardError", "DataError", "NoisyhwError", "RunError", "UsageError"),
    "network": ("Traced", "from_torch"),
    "observation": ("Injection", "Observation"),
    "rules": ("Rule", "get_rule", "rule_names"),
    "sweeps": ("Sweep", "sweep"),
    "sweeps.compare": ("Comparison", "compare"),
    "tasks": ("TASKS", "Data", "Task", "get_task"),
    "tiles.base": ("Tile",),
    "training.run": ("Run", "resume", "train"),
    "updates": ("UpdatePath",),
}
"""Module -> the names that the package shows of it; the imports above say the same to type checkers."""

__all__ = [
    "TASKS",
    "Card",
    "CardError",
    "Cells",
    "Chip",
    "Comparison",
    "Data",
    "DataError",
    "Device",
    "DeviceCard",
    "Experiment",
    "Injection",
    "NoiseBlock",
    "NoiseSource",
    "NoisyhwError",
    "Observation",
    "Rule",
    "Run",
    "RunError",
    "Sweep",
    "Task",
    "Tile",
    "Traced",
    "UpdatePath",
    "UsageError",
    "build_chip",
    "compare",
    "from_torch",
    "get_rule",
    "get_task",
    "load_device",
    "load_experiment",
    "register_cells",
    "register_noise",
    "resume",
    "rule_names",
    "shipped_devices",
    "sweep",
    "train",
]

_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for: one of the package's names, or one of its modules."""
    if name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
