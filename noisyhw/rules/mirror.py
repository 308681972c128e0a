"""Weight mirror: the way back is identified from what a layer's noise does to the next layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor

from ..observation import Observation
from .base import Knows, LayerShape, Learned, Options, Probe, Rule, State
from .output_error import TINY, told
from .random_feedback import sent_back


class Mirroring(Options):
    """Options of the weight mirror."""

    rate: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the way to what one batch says that the estimate goes at each batch; too large a share "
        "lets it diverge where differences are strongly correlated.",
    )


class WeightMirror(Rule):
    """d_l = phi'(a_l) * (V_(l+1)^T d_(l+1)), with V estimated from activity differences; d of the outputs is e.

    To first order the next layer's difference is da_(l+1) = J u plus noise of its own, with u = phi'(a_l) * da_l, and J
    its weights, its decorrelation included. V follows that regression::

        V <- V + rate / (samples mean(u^2)) sum_b (da_(l+1) - V u) u^T

    It needs one dense layer after another, and keeps a digital number for each weight behind the first layer.

    Akrout, Wilson, Humphreys, Lillicrap & Tweed, "Deep learning without weight transport", NeurIPS 2019, who show noise
    to one layer at a time and correlate; after Kolen & Pollack, 1994.
    """

    name = "mirror"
    title = "weight mirror from activity differences"
    knows = frozenset({Knows.ACTIVITIES, Knows.OUTPUT_ERROR})
    options_model = Mirroring
    chain_only = True
    per_weight = ("an estimate of the weight",)
    options: Mirroring

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Perturb every layer in one pass (if anything is injected at all)."""
        return ((True,) * layers,)

    def init(self, layers: Sequence[LayerShape], generator: torch.Generator) -> State:
        """Begin with no way back from any layer to the one before, [units, next layer's units]."""
        return [
            torch.zeros(before.units, after.units, device=generator.device)
            for before, after in pairwise(layers)
        ]

    def learn(self, seen: Observation, state: State) -> tuple[Learned, State]:
        """Send the output error back by the estimates so far, then mend them."""
        error, slopes = told(seen)
        signals = sent_back(error, slopes, state)
        differences = [(a[1:] - a[:1]) for a in seen.pre_activations]
        ways = [
            self._mended(way, (before * slope).flatten(0, 1), after.flatten(0, 1))
            for way, slope, (before, after) in zip(state, slopes, pairwise(differences), strict=False)
        ]
        return signals, ways

    def _mended(self, way: Tensor, u: Tensor, difference: Tensor) -> Tensor:
        """One step of the regression."""
        left = difference - u @ way
        scale = self.options.rate / u.square().sum().clamp(min=TINY) * u.shape[1]
        return torch.addmm(way, u.t() * scale, left)
