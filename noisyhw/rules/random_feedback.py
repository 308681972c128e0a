"""FA and DFA: errors go back through fixed random matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor

from ..observation import Observation
from .base import Knows, LayerShape, Learned, Options, Probe, Rule, State
from .output_error import is_output, told


class RandomFeedback(Options):
    """Options of random feedback."""

    scale: float = Field(
        1.0,
        gt=0,
        description="Standard deviation of the feedback weights, times sqrt(2 / units of the layer that they feed); 1 "
        "is that of He's first weights.",
    )


class DirectFeedbackAlignment(Rule):
    """d_l = phi'(a_l) * (B_l e), with B_l [units, outputs] drawn once.

    e is the loss's derivative at the outputs and the output layer's own signal. It makes no noisy pass.

    Nokland, "Direct feedback alignment provides learning in deep neural networks", NeurIPS 2016.
    """

    name = "dfa"
    title = "direct feedback alignment"
    knows = frozenset({Knows.OUTPUT_ERROR})
    options_model = RandomFeedback
    per_unit = ("a feedback weight from each output",)
    options: RandomFeedback

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """No noisy pass."""
        return ()

    def init(self, layers: Sequence[LayerShape], generator: torch.Generator) -> State:
        """Choose where the draws begin; how many outputs there are is known with the first batch."""
        start = torch.randint(2**62, (), generator=generator, device=generator.device)
        return {"start": int(start), "weights": None}

    def learn(self, seen: Observation, state: State) -> tuple[Learned, State]:
        """Send the output error to every layer."""
        error, slopes = told(seen)
        if state["weights"] is None:
            state = state | {"weights": self._drawn(error, slopes, state["start"])}
        signals = [
            error if is_output(a, seen) else (error @ weights.t()).mul_(slope)
            for a, slope, weights in zip(seen.pre_activations, slopes, state["weights"], strict=True)
        ]
        return tuple(signals), state

    def _drawn(self, error: Tensor, slopes: Sequence[Tensor], start: int) -> list[Tensor]:
        draws = torch.Generator(error.device).manual_seed(start)
        return [_matrix(slope.shape[1], error.shape[1], self.options.scale, draws) for slope in slopes]


class FeedbackAlignment(Rule):
    """d_l = phi'(a_l) * (B_l d_(l+1)), with B_l [units, next layer's units] drawn once; d of the outputs is e.

    e is the loss's derivative at the outputs. It makes no noisy pass, and needs one dense layer after another.

    Lillicrap, Cownden, Tweed & Akerman, "Random synaptic feedback weights support error backpropagation for deep
    learning", Nature Communications 7, 2016.
    """

    name = "fa"
    title = "feedback alignment"
    knows = frozenset({Knows.OUTPUT_ERROR})
    options_model = RandomFeedback
    chain_only = True
    per_weight = ("a feedback weight",)
    options: RandomFeedback

    def probes(self, layers: int) -> tuple[Probe, ...]:
        """No noisy pass."""
        return ()

    def init(self, layers: Sequence[LayerShape], generator: torch.Generator) -> State:
        """Draw the way back from each layer to the one before."""
        return [
            _matrix(before.units, after.units, self.options.scale, generator)
            for before, after in pairwise(layers)
        ]

    def learn(self, seen: Observation, state: State) -> tuple[Learned, State]:
        """Send the output error back, layer by layer."""
        error, slopes = told(seen)
        return sent_back(error, slopes, state), state


def sent_back(error: Tensor, slopes: Sequence[Tensor], ways: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return all layers' signals, of a matrix [units, next layer's units] for each way between two layers."""
    signals = [error]
    for slope, way in zip(reversed(slopes[:-1]), reversed(ways), strict=True):
        signals.append((signals[-1] @ way.t()).mul_(slope))
    return tuple(reversed(signals))


def _matrix(units: int, sources: int, scale: float, draws: torch.Generator) -> Tensor:
    drawn = torch.empty(units, sources, device=draws.device)
    return drawn.normal_(0, scale * math.sqrt(2 / units), generator=draws)
