"""aihwkit, made ready for use: whether it works, its presets, its configs. Only this module imports it, and late."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import torch
from torch import Tensor

from ..cards.device import DeviceCard, ExactUpdate
from ..errors import UsageError, choose
from .aihwkit_card import check_card, device_parameters, io_parameters

BUILD = "bash scripts/aihwkit.sh"
NOTE = (
    "aihwkit draws its noise without a seed: the same run again gives other numbers, and a resumed run ends like, "
    "not as, an undisturbed one"
)
ALMOST = 1 - 2.0**-22
"""Asks for a pulse a little less than surely, so that rounding asks for no further slot: one in four million fails."""


@functools.cache
def prove() -> None:
    """Make sure that aihwkit works here, by a forward and an update of a noise-free tile.

    Raises:
        UsageError: it is not installed, or does not work (a wheel built against another torch imports, and then fails).
    """
    if importlib.util.find_spec("aihwkit") is None:
        raise UsageError(f"backend: aihwkit is not installed; build it against this torch: {BUILD}")
    try:
        card = DeviceCard.model_validate({"name": "proof", "update": {"kind": "pulsed", "step": 0.5}})
        read, moved = _tried(_own_config(card))
    except Exception as error:  # what fails in a foreign build can be anything
        raise UsageError(_broken(f"{type(error).__name__}: {error}")) from None
    expected = torch.tensor([[0.5, -1.5, 2.0]])
    if not (torch.allclose(read, torch.tensor(1.5)) and torch.allclose(moved, expected)):
        raise UsageError(_broken("a forward or an update gives wrong numbers"))


def _tried(config: Any) -> tuple[Tensor, Tensor]:
    _still(config.device)
    tile = config.tile_class(1, 3, config)
    with torch.no_grad():
        tile.set_weights(torch.tensor([[0.5, -1.0, 2.0]]))
        read = tile(torch.ones(1, 3))
        tile.tile.set_learning_rate(0.5)
        tile.update(torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1, 1))
    return read, tile.tile.get_weights()


def _broken(reason: str) -> str:
    first = reason.splitlines()[0][:120]
    return f"backend: aihwkit is installed but does not work ({first}); remove it and build it anew: {BUILD}"


def version() -> str:
    """The installed aihwkit's version."""
    from importlib.metadata import version as installed

    return installed("aihwkit")


@functools.cache
def presets() -> dict[str, Any]:
    """Name -> maker of a config, for every training preset that aihwkit has."""
    from aihwkit.simulator import presets as known
    from aihwkit.simulator.configs import configs

    kinds = (configs.SingleRPUConfig, configs.UnitCellRPUConfig, configs.DigitalRankUpdateRPUConfig)
    found: dict[str, Any] = {}
    for name, member in sorted(vars(known).items()):
        if name.endswith("Preset") and issubclass(member, kinds):
            found[name.removesuffix("Preset")] = member
    for name, member in sorted(vars(known).items()):
        if name.endswith("PresetDevice"):
            found.setdefault(name.removesuffix("PresetDevice"), functools.partial(_alone, member))
    return dict(sorted(found.items()))


def _alone(device: Any) -> Any:
    """A config for a preset that is only a device: aihwkit's usual periphery and pulses."""
    from aihwkit.simulator.configs import configs
    from aihwkit.simulator.presets import PresetIOParameters, PresetUpdateParameters

    return configs.SingleRPUConfig(
        device=device(),
        forward=PresetIOParameters(),
        backward=PresetIOParameters(),
        update=PresetUpdateParameters(),
    )


def make_config(card: DeviceCard) -> Any:
    """Return aihwkit's config for a card.

    Raises:
        UsageError: aihwkit does not work, has no such preset, or has no counterpart of a field.
    """
    check_card(card)
    if card.preset is None:
        return _own_config(card)
    if card.preset not in presets():
        raise UsageError(choose("preset", card.preset, list(presets())))
    return presets()[card.preset]()


def _own_config(card: DeviceCard) -> Any:
    from aihwkit.simulator.configs import configs, devices
    from aihwkit.simulator.parameters import enums
    from aihwkit.simulator.parameters.io import IOParameters
    from aihwkit.simulator.parameters.training import UpdateParameters

    fields = io_parameters(card)
    for key, kind in (
        ("noise_management", enums.NoiseManagementType),
        ("bound_management", enums.BoundManagementType),
        ("w_noise_type", enums.WeightNoiseType),
    ):
        fields[key] = kind[fields[key]]
    name, device = device_parameters(card)
    if isinstance(card.update, ExactUpdate):
        update = UpdateParameters(pulse_type=enums.PulseType.NONE_WITH_DEVICE)
    else:
        update = UpdateParameters(desired_bl=getattr(card.update, "pulses_per_update", 31))
    return configs.SingleRPUConfig(
        device=getattr(devices, name)(**device),
        forward=IOParameters(**fields),
        backward=IOParameters(is_perfect=True),
        update=update,
    )


def check_device(card: DeviceCard) -> bool:
    """Make sure that aihwkit can build the card's tiles, and return whether pulses move their weights.

    Raises:
        UsageError: aihwkit is missing, does not work, or cannot do what the card asks for.
    """
    prove()
    return follows_pulses(card)


def follows_pulses(card: DeviceCard) -> bool:
    """Whether a pulse moves the weight itself, rather than a fast array or a digital memory of the preset's own."""
    from aihwkit.simulator.configs import compounds, configs

    config = make_config(card)
    cells = compounds.VectorUnitCell | compounds.OneSidedUnitCell
    return isinstance(config, configs.SingleRPUConfig) or isinstance(config.device, cells)


def granularity(tile: Any) -> float:
    """The weight change that aihwkit reckons with for one pulse; 0 where it tells none."""
    extra = tile.tile.dump_extra()
    return float(extra.get("rpu.rpu_device.weight_granularity", [0.0])[0])


@functools.cache
def measured_step(preset: str) -> float:
    """Mean size of a pulse up and one down at weight zero, on a copy of the preset without noise and spread."""
    config = presets()[preset]()
    _still(config.device)
    tile = config.tile_class(2, 1, config)
    with torch.no_grad():
        tile.set_weights(torch.zeros(2, 1))
        tile.tile.set_learning_rate(granularity(tile) * ALMOST)
        tile.update(torch.ones(1, 1), torch.tensor([[-1.0, 1.0]]))
    return float(tile.tile.get_weights().abs().mean())


def _still(device: Any) -> None:
    for name in vars(device):
        if name.endswith(("_dtod", "_std", "_std_add", "_std_slope")):
            setattr(device, name, 0.0)
    for inner in _inner(device):
        _still(inner)


def check_path(card: DeviceCard, path: str) -> None:
    """Refuse an update path that the card's aihwkit cells cannot carry out.

    Raises:
        UsageError: names the paths that work.
    """
    if not check_device(card) and path != "on_tile":
        raise UsageError(only_on_tile(card, path))


def only_on_tile(card: DeviceCard, path: str) -> str:
    """What to say to someone who asks for a path that would pulse single cells."""
    return (
        f"update.path: preset '{card.preset}' turns outer products into pulses by a scheme of its own, so '{path}' "
        "cannot write its cells. Paths that work: on_tile"
    )


def seed_devices(device: Any, draws: torch.Generator) -> None:
    """Give every device of a config a seed of its own for what is drawn once per device."""
    if hasattr(device, "construction_seed"):
        device.construction_seed = int(torch.randint(1, 2**31 - 1, (), generator=draws))
    for inner in _inner(device):
        seed_devices(inner, draws)


def _inner(device: Any) -> list[Any]:
    """The devices that a unit cell is made of."""
    single = getattr(device, "device", None)
    return [*getattr(device, "unit_cell_devices", []), *([] if single is None else [single])]
