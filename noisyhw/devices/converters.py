"""DAC and ADC: clipping and uniform rounding, the same at every read (nothing is drawn)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..cards.device import Converter


def level_spacing(card: Converter) -> float:
    """Distance between neighbouring levels: 2 range / (2^bits - 2).

    There are 2^bits - 1 levels, symmetric about zero and zero among them, as in Gokmen & Vlasov,
    Front. Neurosci. 10:333 (2016), and in aihwkit.
    """
    levels: int = 2**card.bits - 1
    return 2 * card.range / (levels - 1)


def convert_(values: Float[Tensor, "*shape"], card: Converter | None) -> Float[Tensor, "*shape"]:
    """Clip ``values`` to the converter's range and round them to its levels, in place.

    Args:
        values: analog values, in units of the converter's range.
        card: the converter; None leaves the values as they are.
    """
    if card is None:
        return values
    spacing = level_spacing(card)
    return values.clamp_(-card.range, card.range).div_(spacing).round_().mul_(spacing)
