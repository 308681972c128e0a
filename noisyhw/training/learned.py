"""What a rule hands back, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..chip.chip import Chip
from ..chip.graph import Chain
from ..device import Device
from ..errors import UsageError
from ..rules.base import Change, Knows, LayerShape, Rule


def check_network(rule: Rule, chip: Chip) -> None:
    """Refuse a network that a rule has no way through.

    Raises:
        UsageError: the rule needs one dense layer after another.
    """
    dense = isinstance(chip.graph, Chain) and all(layer.shape.count == 1 for layer in chip.layers)
    if rule.chain_only and not dense:
        raise UsageError(
            f"rule: {rule.name} sends errors from each layer to the one before it, and needs dense layers one after "
            "another (network.hidden); for other networks take a rule that does not, e.g. alf or danp"
        )


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


def unpacked(rule: Rule, handed_back: object) -> tuple[Any, Any]:
    """Return what a rule has learnt and its memory.

    Raises:
        UsageError: it did not hand back these two.
    """
    if isinstance(handed_back, tuple) and len(handed_back) == 2:
        return handed_back
    raise UsageError(
        f"rule: {rule.name}.learn handed back {_shown(handed_back)}; hand back two things: one part a layer, and the "
        "memory"
    )


def check_learned(rule: Rule, learned: object, chip: Chip, losses: Float[Tensor, " samples"]) -> None:
    """Refuse what does not fit the network, with the layer and both shapes.

    Args:
        rule: names itself in messages.
        learned: what it handed back.
        chip: the network.
        losses: of the batch, in the numbers that the network computes in.

    Raises:
        UsageError: there is not one part a layer, one has another shape or type, or one layer, read at several places,
            got error signals and weight changes.
    """
    places = chip.graph.places
    if not isinstance(learned, tuple | list) or len(learned) != len(places):
        given = f"{len(learned)} signals" if isinstance(learned, tuple | list) else _shown(learned)
        raise UsageError(
            f"rule: {rule.name} handed back {given} for {len(places)} layers; hand back one for each"
        )
    forms: dict[int, type] = {}
    for place, (one, number) in enumerate(zip(learned, places, strict=True)):
        wrong = _misfit(one, chip.layers[number].shape, losses)
        if wrong is not None:
            raise UsageError(
                f"rule: {rule.name} handed back {wrong[0]} for layer {place}, where {wrong[1]} is needed"
            )
        if forms.setdefault(number, type(one)) is not type(one):
            raise UsageError(
                f"rule: {rule.name} handed back error signals and weight changes for one layer, which is read at "
                f"several places ({place} is one); hand back the same kind for all of them"
            )


def _misfit(one: object, shape: LayerShape, losses: Tensor) -> tuple[str, str] | None:
    """What was handed back and what is needed; None: it fits."""
    if not isinstance(one, Change):
        return _wrong(one, (len(losses), shape.units), losses.dtype)
    wrong = _wrong(one.weight, (shape.outputs, shape.inputs), losses.dtype, "a change of ")
    if wrong is None and one.bias is not None:
        wrong = _wrong(one.bias, (shape.outputs,), losses.dtype, "a change of biases of ")
    return wrong


def _wrong(one: object, shape: tuple[int, ...], dtype: torch.dtype, what: str = "") -> tuple[str, str] | None:
    if isinstance(one, Tensor) and one.shape == shape:
        return None if one.dtype == dtype else (what + str(one.dtype), str(dtype))
    return what + _shown(one), f"{what}{list(shape)}"


def _shown(one: object) -> str:
    if isinstance(one, Tensor):
        return str(list(one.shape))
    return f"a {type(one).__name__}"


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
