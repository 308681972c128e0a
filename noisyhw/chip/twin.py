"""A digital twin: the noise-free network with the chip's present weights, for rules that need a gradient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .layer import Layer
from .losses import Loss


def gradients(
    layers: list[Layer], loss: Loss, x: Float[Tensor, "samples inputs"], target: Tensor
) -> tuple[Tensor, ...]:
    """dL/da of every layer and sample, [samples, outputs] each, from a noise-free pass (paper, Eq. 1)."""
    pre_activations = []
    values = x[None].detach().requires_grad_()
    with torch.enable_grad():
        for layer in layers:
            a = layer.exact(values)
            pre_activations.append(a)
            values = layer.activate(a)
        found = torch.autograd.grad(loss(values, target).sum(), pre_activations)
    return tuple(gradient[0] for gradient in found)
