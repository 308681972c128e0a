"""What a rule hands back, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..chip.chip import Chip
from ..device import Device
from ..errors import UsageError
from ..rules.base import Change, Knows, Rule


def check_ports(rule: Rule, device: Device, places: int) -> None:
    """Refuse a rule that perturbs weights on a device that has no port for it.

    Raises:
        UsageError: the device does not grant it, or the rule's passes do not fit together.
    """
    probes, weight_probes = rule.probes(places), rule.weight_probes(places)
    if len(probes) != len(weight_probes) or any(len(one) != places for one in (*probes, *weight_probes)):
        raise UsageError(
            f"rule: {rule.name} must say for each of its {len(probes)} passes which of {places} layers it perturbs, in "
            "probes and in weight_probes"
        )
    if any(any(one) for one in weight_probes) and not (device.ideal or device.card.weight_perturbation):
        raise UsageError(
            f"rule: {rule.name} perturbs weights for single passes, and device '{device.card.name}' has no port for "
            "that (weight_perturbation in its card)"
        )
    if any(any(one) for one in weight_probes) and Knows.INJECTED_WEIGHTS not in rule.knows:
        raise UsageError(
            f"rule: {rule.name} perturbs weights; let it declare that it knows Knows.INJECTED_WEIGHTS"
        )


def check_learned(rule: Rule, learned: Sequence[object], chip: Chip) -> None:
    """Refuse what does not fit the network, with the layer and both shapes.

    Raises:
        UsageError: there is not one part a layer, or one has another shape.
    """
    places = chip.graph.places
    if len(learned) != len(places):
        raise UsageError(
            f"rule: {rule.name} handed back {len(learned)} signals for {len(places)} layers; hand back one for each"
        )
    for place, (one, number) in enumerate(zip(learned, places, strict=True)):
        shape = chip.layers[number].shape
        if isinstance(one, Change):
            needed = f"a change of {[shape.outputs, shape.inputs]}"
            fits, got = one.weight.shape == (shape.outputs, shape.inputs), _shown(one.weight)
        else:
            needed = f"[samples, {shape.units}]"
            fits, got = isinstance(one, Tensor) and one.shape == (len(one), shape.units), _shown(one)
        if not fits:
            raise UsageError(
                f"rule: {rule.name} handed back {got} for layer {place}, where {needed} is needed"
            )


def _shown(one: object) -> str:
    return str(list(one.shape)) if isinstance(one, Tensor) else f"a {type(one).__name__}"


def joined(parts: Sequence[Float[Tensor, "some units"]]) -> Float[Tensor, "all units"]:
    """Parts one below the other; one alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def moved(state: Any, device: torch.device) -> Any:
    """Return a rule's memory, from a checkpoint, on a device."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: moved(value, device) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(moved(value, device) for value in state)
    return state
