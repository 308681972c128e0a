"""Pulsed cells: weights that move by pulses, with soft or hard bounds, asymmetry, spread and cycle-to-cycle noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cards.base import LARGEST
from ..cards.device import DeviceCard, PulsedUpdate
from ..streams import normal_
from .cells import Cells, load_count_
from .coincidences import coincidences

LARGEST_PULL = 0.99
"""One pulse takes a cell at most this share of the way to its bound."""
MOST_GROWTH = 20.0
"""Logarithm by which steps grow at most along the way, where they do: a cell has then long been at a bound."""
SMALLEST_RATE = 1e-12
"""Below it a cell has no weight at which it comes to rest."""
FARTHEST_REST = 1e10
"""Beyond any bound. Where no pulse that was sent pulls, there is no such weight, and the other direction's pull (of no
pulses) times a number in its place must be finite."""
FEW_SAMPLES = 15
"""Samples that make up a part of a batch."""
FAR = 0.05
"""Cells whose pulses take them further than this share of the way to a bound, on average, get batches in parts."""
DENSE = 0.4
"""Where more of the cells than this share are pulsed, all of a block go through the arithmetic."""
MOST_PULSES = 1e15
"""A cell gets no more at once: any step above 1e-15 of the range has long reached its bound, and what is computed with
the number stays finite."""

Which = Tensor | slice
"""Cells, numbered row by row."""


class PulsedCells(Cells):
    """Cells with a linear step: up by step_up (1 - slope_up w / high), down by step_down (1 - slope_down w / low).

    Many pulses are applied at once, in closed form. One pulse up maps w to (1 - a) w + step_up with
    a = slope_up step_up / high, so U up and D down pulses keep a share (1 - a_up)^U (1 - a_down)^D of w; pulses in both
    directions are taken as evenly interleaved. Drawn once per cell: step, asymmetry, bounds. Drawn at each pulse:
    cycle-to-cycle noise. Drawn whenever a cell is pulsed: write noise.

    Source: the linear-step and soft-bounds devices of Gokmen & Vlasov, Front. Neurosci. 10:333 (2016), and
    Rasch et al., IEEE AICAS (2021).

    Attributes:
        sent: pulses of every cell since its first write, up and down, [outputs, inputs], in double precision, as a
            single one stops at 2^24.
    """

    name = "pulsed"

    @classmethod
    def accepts(cls, card: DeviceCard) -> bool:
        """Whether these cells are what the card asks for (see :class:`.Cells`)."""
        return not card.has_shape

    def __init__(self, card: DeviceCard, weight: Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        assert isinstance(card.update, PulsedUpdate)
        self.update = card.update
        self.step = card.update.step
        shape = (weight.shape[0], weight.shape[1])
        self.step_up, self.step_down = self._steps(shape)
        self.pull_up = self._pull(self.step_up, self.bounds.high, card.update.slope_up)
        self.pull_down = self._pull(self.step_down, self.bounds.low, card.update.slope_down)
        self.inner = self.bounds.clip_(weight.clone(memory_format=torch.contiguous_format))
        self.weight = self._shown(self.inner).clone()
        self.far_reaching = max(float(pull.mean()) for pull in (self.pull_up, self.pull_down)) > FAR
        self.sent = torch.zeros_like(self.inner, dtype=torch.float64)

    def _steps(self, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if self.update.step_distribution == "log_normal":
            step = self._per_cell(0.0, self.update.step_spread, shape).exp().mul_(self.update.step)
            step.clamp_(max=LARGEST)
        else:
            spread = self.update.step * self.update.step_spread
            step = self._per_cell(self.update.step, spread, shape).clamp_(0, LARGEST)
        asymmetry = self._per_cell(self.update.asymmetry, self.update.asymmetry_spread, shape).clamp_(-1, 1)
        return (step * (1 + asymmetry)).expand(shape), (step * (1 - asymmetry)).expand(shape)

    def _per_cell(self, mean: float, std: float, shape: tuple[int, int]) -> Tensor:
        if std == 0:
            return torch.tensor(mean, device=self.device_draws.device)
        draw = torch.randn(shape, generator=self.device_draws, device=self.device_draws.device)
        return draw.mul_(std).add_(mean)

    @staticmethod
    def _pull(step: Tensor, bound: Tensor | None, slope: float) -> Tensor:
        """Share of the way to the bound that one pulse takes a cell at weight zero: slope step / |bound|."""
        if bound is None or slope == 0:
            return torch.zeros((), device=step.device).expand(step.shape)
        return (
            (slope * step / bound.abs())
            .nan_to_num_(nan=LARGEST_PULL)
            .clamp_(max=LARGEST_PULL)
            .expand(step.shape)
        )

    def write(self, change: Tensor) -> None:
        """Send change / step pulses, rounded up or down at random so that the mean is right."""
        wanted = change / self.update.step
        dither = torch.rand(wanted.shape, generator=self.generator, device=wanted.device)
        self.pulse(wanted.add_(dither).floor_())

    def pulse(self, counts: Tensor) -> None:
        """Send whole pulses, up where ``counts`` is positive and down where it is negative."""
        self._apply(counts.clamp(0, MOST_PULSES), counts.neg().clamp_(0, MOST_PULSES))

    def outer(self, x: Tensor, d: Tensor, rate: float) -> None:
        """Send the coincidences of two stochastic pulse trains per sample (see :mod:`.coincidences`).

        Cells of which a pulse reaches far get a batch in parts, as there sample follows sample.
        """
        size = FEW_SAMPLES if self.far_reaching else x.shape[0]
        arguments = rate / self.update.step, self.update.pulses_per_update, self.generator
        for x_part, d_part in zip(torch.split(x, size), torch.split(d, size), strict=True):
            for cells, (up, down) in coincidences(x_part, d_part, *arguments).blocks(self.generator):
                self._receive(cells, up, down)

    def _receive(self, cells: slice, up: Tensor, down: Tensor) -> None:
        """Let neighbouring cells receive whole pulses."""
        both = up + down
        self.sent.view(-1)[cells].add_(both)
        number = both.numel()
        if both.device.type == "cpu":
            number = int(both.count_nonzero())
            if number < DENSE * both.numel():
                self._receive_some(cells, up, down, both)
                return
        moved = self._moved(self.inner.view(-1)[cells], up, down, cells)
        self._land(cells, moved, (both > 0).to(both.dtype))

    def _receive_some(self, cells: slice, up: Tensor, down: Tensor, both: Tensor) -> None:
        """The same, where few of the cells get any."""
        some = both.nonzero().squeeze(1)
        if some.numel() > 0:
            self._land_some(some + cells.start, up[some], down[some])

    def _land(self, cells: slice, moved: tuple[Tensor, Tensor | None], pulsed: Tensor) -> None:
        """Bring the pulsed ones (1.0, else 0.0) of neighbouring cells to where they have moved, with noise."""
        inner, weight = self.inner.view(-1)[cells], self.weight.view(-1)[cells]
        inner.lerp_(self._clip(self._noisy(*moved), cells), pulsed)
        weight.lerp_(self._shown(inner), pulsed)

    def _noisy(self, end: Tensor, std: Tensor | None) -> Tensor:
        return end if std is None else end + self._normal(end).mul_(std)

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.step_up, self.step_down, self.pull_up, self.pull_down

    def _apply(self, up: Tensor, down: Tensor) -> None:
        up, down = up.flatten(), down.flatten()
        if up.device.type != "cpu":  # which cells are pulsed would have to be waited for
            self._receive(slice(0, up.numel()), up, down)
            return
        both = up + down
        self.sent.view(-1).add_(both)
        self._receive_some(slice(0, up.numel()), up, down, both)

    def _land_some(self, cells: Tensor, up: Tensor, down: Tensor) -> None:
        moved = self._moved(_take(self.inner, cells), up, down, cells)
        self.inner.view(-1)[cells] = self._clip(self._noisy(*moved), cells)
        self.weight.view(-1)[cells] = self._shown(_take(self.inner, cells))

    def _moved(self, start: Tensor, up: Tensor, down: Tensor, cells: Which) -> tuple[Tensor, Tensor | None]:
        """Mean weight of the cells after the pulses, and its std, or None if there is none.

        Args:
            start: weights before.
            up: pulses up.
            down: pulses down.
            cells: which these are.
        """
        move = Move(up, down, *(_take(part, cells) for part in self._parts()))
        noise = self.update.cycle_noise
        if not noise:
            return move.mean(start), None
        return move.mean(start), move.variance(start, self.update.cycle_noise_scales).sqrt_().mul_(noise)

    def _shown(self, inner: Tensor) -> Tensor:
        """What reads see of an inner state: fresh write noise about it, beyond the bounds too."""
        if not self.update.write_noise:
            return inner
        return inner.add(self._normal(inner), alpha=self.update.write_noise)

    def _normal(self, like: Tensor) -> Tensor:
        return normal_(torch.empty_like(like, memory_format=torch.contiguous_format), self.generator)

    def _clip(self, values: Tensor, cells: Which) -> Tensor:
        low, high = self.bounds.low, self.bounds.high
        if low is None or high is None:
            return values
        return values.clamp_(
            _take(low.expand(self.inner.shape), cells), _take(high.expand(self.inner.shape), cells)
        )

    def pulses(self) -> Tensor:
        """Pulses of every cell since its first write."""
        return self.sent

    def state(self) -> dict[str, Any]:
        """Return inner and visible weights, counted pulses and the generator."""
        return super().state() | {"inner": self.inner, "sent": self.sent}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        super().load(state)
        self.inner.copy_(state["inner"])
        load_count_(self.sent, state)


def _take(values: Tensor, cells: Which) -> Tensor:
    """The values of some cells; a value that all cells share is not copied."""
    if values.numel() > 1 and all(stride == 0 for stride in values.stride()):
        return values[0, 0]
    flat = values.reshape(-1)
    return (
        flat.index_select(0, cells) if isinstance(cells, Tensor) else flat[cells]
    )  # a third of an index's time


class Move:
    """What U pulses up and D pulses down do to cells of weight w, in mean and in noise."""

    def __init__(
        self, up: Tensor, down: Tensor, step_up: Tensor, step_down: Tensor, pull_up: Tensor, pull_down: Tensor
    ):
        self.up, self.down = up, down
        self.step_up, self.step_down = step_up, step_down
        self.pull_up, self.pull_down = pull_up, pull_down
        log_up, log_down = torch.log1p(-pull_up), torch.log1p(-pull_down)
        self.log_keep = (up * log_up + down * log_down).clamp_(max=MOST_GROWTH)
        self.rates = _ratio(log_up, -pull_up), _ratio(log_down, -pull_down)
        self.drift = (up * step_up).mul_(self.rates[0]).sub_((down * step_down).mul_(self.rates[1]))
        self.lost = torch.expm1(self.log_keep)
        self.mean_keep = _ratio(self.lost, self.log_keep)

    def mean(self, weight: Tensor) -> Tensor:
        """Mean weight afterwards: w keep + drift (1 - keep) / -log keep; exact where all pulses go one way."""
        return torch.addcmul(weight, weight, self.lost).addcmul_(self.drift, self.mean_keep)

    def sum_of_squares(self) -> tuple[Tensor, Tensor]:
        """What turns an integral over pulses up, and down, of keep^2 back into the sum (see :func:`as_sums`)."""
        return square_sum(self.pull_up, self.rates[0]), square_sum(self.pull_down, self.rates[1])

    def variance(self, start: Tensor, scales: bool) -> Tensor:
        """Variance of the weight afterwards, for noise of relative std 1 at each pulse.

        Noise of a pulse shrinks by the later pulses' keep; to first order in the pull, the sum over pulses is an
        integral. With k = keep and l = -log keep, n pulses of a steady size a leave n a^2 (1 - k^2) / 2 l. If the noise
        is a share of the step at the present weight, a step's size decays as a + b k^t from the first pulse (t = 0) to
        the last (t = 1), where a is its size at the weight at which the cell comes to rest, and n pulses leave
        n (a^2 (1 - k^2) / 2 l + 2 a b k (1 - k) / l + b^2 k^2). What turns the integrals back into sums, which are
        exact where all pulses go one way, depends on the pull alone (see :func:`as_sums`).
        """
        steady = torch.addcmul(self.mean_keep, self.mean_keep, self.lost, value=0.5)
        if not scales:
            up, down = self.sum_of_squares()
            squares = self.up * (self.step_up.square() * up)
            return steady * squares.addcmul_(self.down, self.step_down.square() * down)
        sums = (
            as_sums(pull, rate) for pull, rate in zip((self.pull_up, self.pull_down), self.rates, strict=True)
        )
        keep = self.lost + 1
        fading, last = 2 * keep * self.mean_keep, keep.square()
        rest = self.drift / self.log_keep.clamp(max=-SMALLEST_RATE)  # with the sign turned
        rest.clamp_(-FARTHEST_REST, FARTHEST_REST)
        way = rest + start
        variance = torch.zeros_like(steady)
        ways = (
            (self.up, self.pull_up, 1, self.step_up),
            (self.down, self.pull_down, -1, self.step_down),
        )
        for (n, pull, sign, step), (first, second, third) in zip(ways, sums, strict=True):
            a = torch.addcmul(step, pull, rest, value=sign)
            b = (pull * way).mul_(-sign)
            size = (a * steady).mul_(first).addcmul_(b, fading * second).mul_(a)
            variance.addcmul_(n, size.addcmul_(b.square_(), last * third))
        return variance.clamp_(min=0)


def square_sum(pull: Tensor, rate: Tensor) -> Tensor:
    """The first of :func:`as_sums`."""
    return rate / (1 - 0.5 * pull)


def as_sums(pull: Tensor, rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over pulses, divided by the integrals that stand for them.

    With q = 1 - pull and r = -log q: of q^2j, of q^j q^(n-1), and of q^(2n-2).

    Args:
        pull: of one pulse.
        rate: r / pull.
    """
    inverse = (1 - pull).reciprocal_()
    return square_sum(pull, rate), rate * inverse, inverse.square()


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Numerator / denominator, and 1 where both vanish."""
    return (numerator / denominator).nan_to_num_(nan=1.0, posinf=torch.inf, neginf=-torch.inf)
