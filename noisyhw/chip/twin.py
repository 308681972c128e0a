"""A digital twin: the noise-free network with the chip's present weights, for rules that need a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from .losses import Loss

if TYPE_CHECKING:
    from .chip import Chip


def gradients(chip: Chip, x: Float[Tensor, "samples inputs"], target: Tensor) -> tuple[Tensor, ...]:
    """dL/da of every layer and sample, [samples, outputs] each, from a noise-free pass (paper, Eq. 1)."""
    pre_activations = []

    def read(place: int, values: Tensor) -> Tensor:
        a = chip.layers[chip.graph.places[place]].exact(values)
        if not a.requires_grad:  # what is read there depends on no input, as a recurrent net's first state
            a = a.requires_grad_()
        pre_activations.append(a)
        return a

    with torch.enable_grad():
        values = x[None].detach().requires_grad_()
        outputs = chip.graph.run(values, read, learning=True)
        found = torch.autograd.grad(chip.loss(outputs, target).sum(), pre_activations)
    return tuple(gradient[0] for gradient in found)


def output_error(
    loss: Loss, outputs: Float[Tensor, "samples outputs"], target: Tensor
) -> Float[Tensor, "samples outputs"]:
    """Derivative of each sample's loss by its own outputs, which are read and not computed again."""
    with torch.enable_grad():
        read = outputs.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(loss(read[None], target).sum(), read)
    return found
