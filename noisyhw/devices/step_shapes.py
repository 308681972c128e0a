"""Pulsed cells whose step is not linear in the weight: exponential, power law, or a measured table."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ..cards.device import DeviceCard, PulsedUpdate
from ..cards.shapes import ExponentialShape, PowerShape, TableShape
from .pulsed import LARGEST_PULL, Move, PulsedCells, Which, _take

FINENESS = 0.01
"""A sub-step moves no cell by more than this share of its range."""
FINE_NOISE = 0.03
"""Nor by noise of more than this std, or what HASTE allows."""
AT_REST = 0.05
"""A cell that is nearer to rest than this share of a sub-step takes all its pulses at once."""
HASTE = 0.25
"""Noise need not be fine before the last sub-steps, as cells forget: this share of the pulses that are left may go."""
LOUD = 0.25
"""Cells that noise moves by more than this share of their range forget where they started."""
COARSE = 0.1
"""Their first sub-steps take this share of the pulses that are left; the last ones are fine."""
MOST_SUB_STEPS = 200
"""Where so many would not do, the same is done for quiet cells."""
SMALLEST = 1e-12

Factor = tuple[Tensor, Tensor]
"""A step's size as a multiple of the cell's own step, and its derivative by the weight."""


class StepShape(abc.ABC):
    """How the steps of cells depend on their weights."""

    @abc.abstractmethod
    def factors(self, weight: Tensor, low: Tensor, high: Tensor, cells: Which) -> tuple[Factor, Factor]:
        """Factor and derivative, up and down, of the numbered cells at these weights with these bounds."""


class Exponential(StepShape):
    """max(1 - A exp(+-gamma z), 0), z = 2 a w / (high - low) + b.

    Source: ExpStepDevice of aihwkit 1.2.0 (Rasch et al., IEEE AICAS (2021)), which its authors fitted to the RRAM of
    Gong et al., Nat. Commun. 9, 2102 (2018).
    """

    def __init__(self, card: ExponentialShape) -> None:
        self.card = card

    def factors(self, weight: Tensor, low: Tensor, high: Tensor, cells: Which) -> tuple[Factor, Factor]:
        """Return factors and derivatives."""
        slope = 2 * self.card.a / _range(low, high)
        z = slope * weight + self.card.b
        up = self._one(self.card.A_up, self.card.gamma_up, z, slope)
        return up, self._one(self.card.A_down, -self.card.gamma_down, z, slope)

    @staticmethod
    def _one(amplitude: float, exponent: float, z: Tensor, slope: Tensor) -> Factor:
        taken = amplitude * (exponent * z).exp()
        falling = torch.where(taken < 1, taken, 0.0)  # taken may overflow
        return (1 - taken).clamp_(min=0), falling * (-exponent * slope)


class Power(StepShape):
    """((high - w) / (high - low))^exponent up, ((w - low) / (high - low))^exponent down.

    Source: PowStepDevice of aihwkit 1.2.0, after Fusi & Abbott, Nat. Neurosci. 10, 485 (2007), and Frascaroli et al.,
    Sci. Rep. 8, 7178 (2018).
    """

    def __init__(self, card: PowerShape, shape: tuple[int, int], draws: torch.Generator) -> None:
        scale = torch.ones((), device=draws.device)
        if card.exponent_spread:
            scale = torch.randn(shape, generator=draws, device=draws.device)
            scale = scale.mul_(card.exponent_spread).add_(1).clamp_(min=0)
        self.up, self.down = (scale.expand(shape) * each for each in (card.exponent_up, card.exponent_down))

    def factors(self, weight: Tensor, low: Tensor, high: Tensor, cells: Which) -> tuple[Factor, Factor]:
        """Return factors and derivatives."""
        width = _range(low, high)
        place = ((weight - low) / width).clamp(0, 1)
        value, slope = self._one(1 - place, _take(self.up, cells))
        down_value, down_slope = self._one(place, _take(self.down, cells))
        return (value, -slope / width), (down_value, down_slope / width)

    @staticmethod
    def _one(distance: Tensor, exponent: Tensor) -> Factor:
        away = distance.clamp(min=SMALLEST)  # below an exponent of 1 the slope at a bound is infinite
        slope = torch.where(exponent == 0, 0.0, exponent * away.pow(exponent - 1))
        return distance.pow(exponent), slope


class Table(StepShape):
    """Linear interpolation between measured steps, after PiecewiseStepDevice of aihwkit 1.2.0."""

    def __init__(self, card: TableShape, low: float, high: float, device: torch.device) -> None:
        nodes, self.up, self.down = (
            torch.tensor(v, device=device) for v in (card.weights, card.up, card.down)
        )
        self.nodes = (nodes - low) / (high - low)

    def factors(self, weight: Tensor, low: Tensor, high: Tensor, cells: Which) -> tuple[Factor, Factor]:
        """Return factors and derivatives."""
        width = _range(low, high)
        place = (weight - low) / width
        inside = (place >= self.nodes[0]) & (place <= self.nodes[-1])
        segment = torch.searchsorted(self.nodes, place.contiguous(), right=True).sub_(1)
        segment.clamp_(0, len(self.nodes) - 2)
        place = place.clamp(self.nodes[0], self.nodes[-1])
        rise = self.nodes[segment + 1] - self.nodes[segment]
        share = (place - self.nodes[segment]) / rise

        def one(values: Tensor) -> Factor:
            first, second = values[segment], values[segment + 1]
            return torch.lerp(first, second, share), torch.where(inside, (second - first) / rise / width, 0.0)

        return one(self.up), one(self.down)


def _range(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=1e-6)


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


class ShapedCells(PulsedCells):
    """Pulsed cells with a step shape: a pulse up adds step_up g_up(w), a pulse down takes step_down g_down(w).

    Many pulses go in sub-steps that move a cell by no more than 1 % of its range. Within one the shape is replaced by
    its tangent at the present weight, for which any number of pulses in both directions has a closed form (see
    :class:`~.pulsed.Move`): a single pulse is exact, a linear shape is exact for any number, and else the error falls
    with the square of the sub-step (the exponential Rosenbrock-Euler method; Hochbruck & Ostermann, Acta Numerica 19,
    209 (2010), Section 2.4). A cell that is at rest, where steps up and down cancel, takes all its pulses in one, but
    for its noise: this is drawn in every sub-step, so that the steps which follow, and the bounds, see it. Where it is
    many steps large, it shifts the mean too. Its std is at most 3 % of the range in the last sub-steps.
    """

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        self.shape = make_shape(card, (weight.shape[0], weight.shape[1]), self.device_draws)

    def _moved(
        self, start: Tensor, up: Tensor, down: Tensor, cells: Which, fluctuation: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        kinds = self._kinds(fluctuation)
        weight, left = start.clone(), torch.ones_like(start)
        fixed = up, down, *self._bounds(cells), *(_take(s, cells) for s in (self.step_up, self.step_down))
        going: Which = slice(None)
        numbers = cells
        for turns in range(MOST_SUB_STEPS, 0, -1):
            ups, downs, low, high, *steps = (_of(values, going) for values in fixed)
            local = Tangent(self.shape, weight[going], low, high, numbers, (steps[0], steps[1]))
            rest = left[going]
            fine = local.part(ups, downs, self.update.cycle_noise, rest)
            part = torch.where(rest > fine * turns, (rest * COARSE).maximum(fine), fine).minimum(rest)
            moved, variance = local.go(ups * part, downs * part, kinds)
            std = self._std(variance.__getitem__, None if fluctuation is None else fluctuation[going])
            if std is not None:
                moved = moved.addcmul_(self._normal(moved), std)
            weight[going] = moved.clamp_(low, high)
            left[going] = rest - part
            going = left.nonzero().squeeze(1)
            if len(going) == 0:
                break
            numbers = _numbers(cells, going)
        return weight, None

    def _bounds(self, cells: Which) -> tuple[Tensor, Tensor]:
        assert self.bounds.low is not None
        assert self.bounds.high is not None
        low, high = (_take(b.expand(self.inner.shape), cells) for b in (self.bounds.low, self.bounds.high))
        return low, high

    def _kinds(self, fluctuation: Tensor | None) -> set[bool]:
        """Which kinds of noise are followed: relative to the step at the present weight (True), at zero (False)."""
        own = {self.update.cycle_noise_scales} if self.update.cycle_noise else set()
        return own if fluctuation is None else own | {True}

    def _local_steps(self, weight: Tensor, cells: Which) -> tuple[Tensor, Tensor]:
        (up, _), (down, _) = self.shape.factors(weight, *self._bounds(cells), cells)
        return _take(self.step_up, cells) * up, _take(self.step_down, cells) * down


class Tangent:
    """Cells whose steps are taken as linear about their present weights."""

    def __init__(
        self,
        shape: StepShape,
        weight: Tensor,
        low: Tensor,
        high: Tensor,
        cells: Which,
        steps: tuple[Tensor, Tensor],
    ) -> None:
        self.weight, self.range, self.own = weight, _range(low, high), steps
        (up, up_slope), (down, down_slope) = shape.factors(weight, low, high, cells)
        self.step_up, self.step_down = steps[0] * up, steps[1] * down
        self.pull_up = (-steps[0] * up_slope).clamp(-LARGEST_PULL, LARGEST_PULL)
        self.pull_down = (steps[1] * down_slope).clamp(-LARGEST_PULL, LARGEST_PULL)

    def steady(self, up: Tensor, down: Tensor) -> Tensor:
        """The share of these pulses within which steps that grow on the way grow by no more than e."""
        growing = -(up * self.pull_up + down * self.pull_down)
        return 1 / growing.clamp(min=SMALLEST)

    def part(self, up: Tensor, down: Tensor, noise: float, rest: Tensor) -> Tensor:
        """The share of these pulses that may go at once, at least one pulse.

        Evenly interleaved, they start with a speed v and slow down at a rate l, so that they go no further than v / l,
        and no further than v t in the share t of them.

        Args:
            up: pulses, those included that went already.
            down: the same.
            noise: std of one pulse's, relative to the cell's own step.
            rest: share of the pulses that are still to go.
        """
        speed = (up * self.step_up - down * self.step_down).abs_()
        slowing = up * self.pull_up + down * self.pull_down
        fine = FINENESS * self.range
        steady = self.steady(up, down)
        share = (fine / speed.clamp(min=SMALLEST)).minimum(steady)
        share.lerp_(torch.ones_like(share), (speed <= slowing * (AT_REST * fine)).to(share.dtype))
        jitter = (1 + noise**2) * (up * self.own[0].square() + down * self.own[1].square())
        quiet = (FINE_NOISE * self.range).square() / jitter.clamp(min=SMALLEST)
        loud = quiet < (FINE_NOISE / LOUD) ** 2
        share = torch.where(loud, share.maximum((rest * COARSE).minimum(steady)), share)
        share = share.minimum(quiet.maximum(rest * HASTE))
        return share.maximum(1 / (up + down).clamp(min=1))

    def go(self, up: Tensor, down: Tensor, kinds: set[bool]) -> tuple[Tensor, dict[bool, Tensor]]:
        """Weights afterwards, and the variance of noise of relative std 1, of either kind."""
        move = Move(up, down, self.step_up, self.step_down, self.pull_up, self.pull_down)
        moved = move.mean(torch.zeros_like(self.weight))
        steady = torch.addcmul(move.mean_keep, move.mean_keep, move.lost, value=0.5)
        sums = move.sum_of_squares()
        drawn = {}
        for scales in kinds:
            up_square, down_square = self._squares(moved, up, down, scales)
            drawn[scales] = steady * (up * up_square * sums[0] + down * down_square * sums[1])
        return self.weight + moved, drawn

    def _squares(self, moved: Tensor, up: Tensor, down: Tensor, scales: bool) -> tuple[Tensor, Tensor]:
        """Mean squares of the steps up and down on the way."""
        if not scales:
            return self.own[0].square(), self.own[1].square()
        return (
            _mean_square(self.step_up, self.step_up - self.pull_up * moved * _but_last(up)),
            _mean_square(self.step_down, self.step_down + self.pull_down * moved * _but_last(down)),
        )


def _but_last(count: Tensor) -> Tensor:
    """Share of the way before the last pulse, whose size counts."""
    return 1 - 1 / count.clamp(min=1)


def _of(values: Tensor, going: Which) -> Tensor:
    return values if values.dim() == 0 else values[going]


def _numbers(cells: Which, going: Tensor) -> Tensor:
    return cells[going] if isinstance(cells, Tensor) else going + cells.start


def _mean_square(first: Tensor, last: Tensor) -> Tensor:
    """Mean square of a size that changes evenly from the first to the last."""
    return (first.square() + first * last + last.square()) / 3
