"""Device and experiment cards: their schemas, and how they are found, merged and checked."""

from .device import DeviceCard
from .experiment import Experiment
from .loading import device_json_schema, experiment_json_schema, load_device, load_experiment
from .shipped import shipped_devices, shipped_experiments

__all__ = [
    "DeviceCard",
    "Experiment",
    "device_json_schema",
    "experiment_json_schema",
    "load_device",
    "load_experiment",
    "shipped_devices",
    "shipped_experiments",
]
