"""Learning on noisy neuromorphic hardware, simulated: device cards, crossbar tiles, node perturbation rules, runs."""

from . import plugins
from .cards import DeviceCard, Experiment, load_device, load_experiment, shipped_devices
from .chip.build import build_chip
from .chip.chip import Chip
from .devices.device import Device
from .errors import CardError, DataError, NoisyhwError, RunError, UsageError
from .observation import Injection, Observation
from .rules import Rule, get_rule, rule_names
from .sweeps import Sweep, sweep
from .tasks import TASKS, Data, Task, get_task
from .tiles.base import Tile
from .training.run import Run, resume, train

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "CardError",
    "Chip",
    "Data",
    "DataError",
    "Device",
    "DeviceCard",
    "Experiment",
    "Injection",
    "NoisyhwError",
    "Observation",
    "Rule",
    "Run",
    "RunError",
    "Sweep",
    "Task",
    "Tile",
    "UsageError",
    "build_chip",
    "get_rule",
    "get_task",
    "load_device",
    "load_experiment",
    "resume",
    "rule_names",
    "shipped_devices",
    "sweep",
    "train",
]

plugins.register()
