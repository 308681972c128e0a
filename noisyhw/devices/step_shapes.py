"""Steps that are not linear in the weight: exponential, power law, or a measured table."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cards.base import LARGEST
from ..cards.device import DeviceCard, PulsedUpdate
from ..cards.shapes import ExponentialShape, PowerShape, TableShape
from .pulsed import Which, _take

SMALLEST = 1e-12
LARGEST_EXPONENT = 80.0
"""The exponential of a larger number is as good as infinite in 32 bits."""
ROUNDING = 1e-6
"""A cell at its bound may seem to be this share of the range beyond it."""
STEEPEST = 1e9
"""A power law with a larger exponent has no step at any weight of 32 bits but at the bound itself."""

Factor = tuple[Tensor, Tensor]
"""A step's size as a multiple of the cell's own step, and its derivative by the weight as a share of the range."""


@dataclass(frozen=True)
class Place:
    """Where some cells stand.

    Attributes:
        weight: their weights.
        low: their lowest weights.
        inverse: 1 / (highest weight - lowest weight).
    """

    weight: Tensor
    low: Tensor
    inverse: Tensor

    def share(self) -> Tensor:
        """Share of the range that lies below the weight, 0 to 1."""
        return (self.weight - self.low).mul_(self.inverse)


class StepShape(abc.ABC):
    """How the steps of cells depend on their weights. All factors and derivatives are finite."""

    @abc.abstractmethod
    def factors(self, place: Place, cells: Which) -> tuple[Factor, Factor]:
        """Factor and derivative, up and down, of the numbered cells at these weights."""


class Exponential(StepShape):
    """max(1 - A exp(+-gamma z), 0), z = 2 a w / (high - low) + b.

    Source: ExpStepDevice of aihwkit 1.2.0 (Rasch et al., IEEE AICAS (2021)), which its authors fitted to the RRAM of
    Gong et al., Nat. Commun. 9, 2102 (2018).
    """

    def __init__(self, card: ExponentialShape) -> None:
        self.card = card

    def factors(self, place: Place, cells: Which) -> tuple[Factor, Factor]:
        """Return factors and derivatives."""
        z = (place.weight * place.inverse).mul_(2 * self.card.a).add_(self.card.b)
        up = self._one(self.card.A_up, self.card.gamma_up, z)
        return up, self._one(self.card.A_down, -self.card.gamma_down, z)

    def _one(self, amplitude: float, exponent: float, z: Tensor) -> Factor:
        taken = (z * exponent).clamp_(max=LARGEST_EXPONENT).exp_().mul_(amplitude).clamp_(-LARGEST, LARGEST)
        falling = taken * (taken < 1) if amplitude > 0 else taken
        slope = (falling * _held(-exponent * 2 * self.card.a)).clamp_(-LARGEST, LARGEST)
        return taken.neg_().add_(1).clamp_(0, LARGEST), slope


class Power(StepShape):
    """((high - w) / (high - low))^exponent up, ((w - low) / (high - low))^exponent down.

    Source: PowStepDevice of aihwkit 1.2.0, after Fusi & Abbott, Nat. Neurosci. 10, 485 (2007), and Frascaroli et al.,
    Sci. Rep. 8, 7178 (2018).
    """

    def __init__(self, card: PowerShape, shape: tuple[int, int], draws: torch.Generator) -> None:
        scale = torch.ones((), device=draws.device)
        if card.exponent_spread:
            scale = torch.randn(shape, generator=draws, device=draws.device)
            scale = scale.mul_(card.exponent_spread).add_(1).clamp_(0, STEEPEST)
        self.up, self.down = (
            (scale * each).clamp_(max=STEEPEST).expand(shape)
            for each in (card.exponent_up, card.exponent_down)
        )

    def factors(self, place: Place, cells: Which) -> tuple[Factor, Factor]:
        """Return factors and derivatives."""
        share = place.share().clamp_(0, 1)
        value, slope = self._one(1 - share, _take(self.up, cells))
        return (value, slope.neg_()), self._one(share, _take(self.down, cells))

    @staticmethod
    def _one(distance: Tensor, exponent: Tensor) -> Factor:
        value = distance.pow(exponent)
        return value, exponent * value / distance.clamp(min=SMALLEST)


class Table(StepShape):
    """Linear interpolation between measured steps, after PiecewiseStepDevice of aihwkit 1.2.0."""

    def __init__(self, card: TableShape, low: float, high: float, device: torch.device) -> None:
        nodes = [w / (high - low) - low / (high - low) for w in card.weights]
        self.starts = torch.tensor([nodes[0], *nodes], device=device)
        outermost = [nodes[0] - ROUNDING, *nodes[1:-1], nodes[-1] + ROUNDING]
        self.nodes = torch.tensor(outermost, device=device)
        self.up, self.down = (
            tuple(torch.tensor(v, device=device) for v in _segments(nodes, values))
            for values in (card.up, card.down)
        )

    def factors(self, place: Place, cells: Which) -> tuple[Factor, Factor]:
        """Return factors and derivatives."""
        share = place.share()
        segment = torch.searchsorted(self.nodes, share, right=True, out_int32=True).flatten()
        beyond = share.sub_(self.starts.index_select(0, segment).view_as(share))

        def one(values: Tensor, slopes: Tensor) -> Factor:
            slope = slopes.index_select(0, segment).view_as(beyond)
            value = values.index_select(0, segment).view_as(beyond)
            return value.addcmul_(slope, beyond).clamp_(0, LARGEST), slope

        return one(*self.up), one(*self.down)


def _segments(nodes: list[float], values: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """Value at the start, and slope, of each piece of a table: constant before the first node and after the last."""
    slopes = [0.0]
    for i in range(len(nodes) - 1):
        slopes.append(_held((values[i + 1] - values[i]) / max(nodes[i + 1] - nodes[i], 1 / LARGEST)))
    return [values[0], *values], [*slopes, 0.0]


def _held(number: float) -> float:
    """The number, kept to what 32 bits can hold."""
    return min(max(number, -LARGEST), LARGEST)


def make_shape(card: DeviceCard, shape: tuple[int, int], draws: torch.Generator) -> StepShape:
    """Return the step shape that the card names."""
    assert isinstance(card.update, PulsedUpdate)
    named = card.update.shape
    if isinstance(named, ExponentialShape):
        return Exponential(named)
    if isinstance(named, PowerShape):
        return Power(named, shape, draws)
    assert named is not None
    assert card.weights.min is not None
    assert card.weights.max is not None
    return Table(named, card.weights.min, card.weights.max, draws.device)
