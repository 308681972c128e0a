"""What rules have in common that know the output error."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..observation import Observation

TINY = 1e-30
"""Keeps a quotient of two numbers that vanish together finite."""


def told(seen: Observation) -> tuple[Float[Tensor, "samples outputs"], tuple[Tensor, ...]]:
    """The output error and the slopes; a rule that needs them must have declared so."""
    if seen.output_error is None or seen.slopes is None:
        raise ValueError("this observation holds no output error")
    return seen.output_error, seen.slopes


def is_output(a: Float[Tensor, "passes samples units"], seen: Observation) -> bool:
    """Whether a layer's pre-activations are the network's outputs; then its signal is the output error itself."""
    return a.shape == seen.outputs.shape and torch.equal(a, seen.outputs)
