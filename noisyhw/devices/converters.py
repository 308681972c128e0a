"""DAC and ADC: clipping and uniform rounding, the same at every read (nothing is drawn)."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from ..cards.device import Converter

SMALLEST_SCALE = 1e-27
"""Inputs that are all smaller are as good as zero; times the spacing of 16 bits, its reciprocal is still finite."""


def level_spacing(card: Converter) -> float:
    """Distance between neighbouring levels: 2 range / (2^bits - 2).

    There are 2^bits - 1 levels, symmetric about zero and zero among them, as in Gokmen & Vlasov,
    Front. Neurosci. 10:333 (2016), and in aihwkit.
    """
    spacing: float = _spacing(card)
    return spacing


def _spacing(card: Converter) -> Any:
    """:func:`level_spacing`, or a tensor of it for a card that holds tensors (a stack of replicas)."""
    levels = 2**card.bits - 1
    return 2 * card.range / (levels - 1)


def convert(
    values: Float[Tensor, "*shape"], card: Converter | None, scale: Float[Tensor, "*#shape"] | None = None
) -> Float[Tensor, "*shape"]:
    """Divide ``values`` by ``scale``, clip them to the converter's range and round them to its levels.

    Args:
        values: analog values.
        card: the converter; None: a continuous one.
        scale: what 1 stands for, at least the size of the largest value; None: 1, and values may be of any size.
    """
    if scale is not None:
        scale = scale.clamp(min=SMALLEST_SCALE)
    if card is None:
        return values if scale is None else values / scale
    spacing = _spacing(card)
    levels = values / spacing if scale is None else values * (1 / (scale * spacing))
    return _round_(levels, card, scale is not None)


def convert_(values: Float[Tensor, "*shape"], card: Converter | None) -> Float[Tensor, "*shape"]:
    """:func:`convert`, in place and without a scale."""
    return values if card is None else _round_(values.div_(_spacing(card)), card, False)


def _round_(levels: Tensor, card: Converter, scaled: bool) -> Tensor:
    spacing = _spacing(card)
    if not scaled or isinstance(card.range, Tensor) or card.range < 1:
        levels.clamp_(-card.range / spacing, card.range / spacing)
    return levels.round_().mul_(spacing)
