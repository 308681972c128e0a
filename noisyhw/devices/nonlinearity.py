"""Cells that do not follow Ohm's law."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import Periphery


def bend(
    inputs: Float[Tensor, "*shape"], card: Periphery, sinh: Callable[[Tensor], Tensor] = torch.sinh
) -> Float[Tensor, "*shape"]:
    """Return the inputs as cells of a hyperbolic-sine I-V curve weigh them: u sinh(alpha x / u) / sinh(alpha).

    The current of a cell is its weight times this, so that the largest input u gives what an ohmic cell gives.

    Args:
        inputs: what the DAC gives out.
        card: u is the DAC's range, or 1 if inputs are scaled and there is no DAC.
        sinh: of each number.

    Source: the sinh I-V relation of Yakopcic et al., IEEE Electron Device Lett. 32, 1436 (2011), Eq. 1.
    """
    if card.nonlinearity is None:
        return inputs
    alpha, largest = card.nonlinearity.alpha, 1.0 if card.dac is None else card.dac.range
    return sinh(inputs * (alpha / largest)).mul_(largest / math.sinh(alpha))
