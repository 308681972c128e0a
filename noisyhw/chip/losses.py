"""Losses per sample."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(
    outputs: Float[Tensor, "passes samples classes"], target: Tensor
) -> Float[Tensor, "passes samples"]:
    """-log softmax(outputs)[target], for integer class targets [samples]."""
    passes, samples, classes = outputs.shape
    flat = F.cross_entropy(outputs.reshape(-1, classes), target.repeat(passes), reduction="none")
    return flat.view(passes, samples)


def squared_error(
    outputs: Float[Tensor, "passes samples outputs"], target: Tensor
) -> Float[Tensor, "passes samples"]:
    """Mean squared error over the outputs; integer targets are taken as one-hot."""
    wanted = target if target.is_floating_point() else F.one_hot(target, outputs.shape[-1]).to(outputs.dtype)
    return (outputs - wanted).square().mean(-1)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "squared_error": squared_error}
