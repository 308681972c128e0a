"""Pulsed cells: weights that move by pulses, with soft or hard bounds, asymmetry, spread and cycle-to-cycle noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cards.device import DeviceCard, PulsedUpdate
from .cells import Cells
from .pulse_trains import draw_pulses, expected_pulses

LARGEST_PULL = 0.99
"""One pulse takes a cell at most this share of the way to its bound."""
SMALLEST_RATE = 1e-12
"""Below it a cell has no weight at which it comes to rest."""


class PulsedCells(Cells):
    """Cells with a linear step: up by step_up (1 - slope_up w / high), down by step_down (1 - slope_down w / low).

    Many pulses are applied at once, in closed form. One pulse up maps w to (1 - a) w + step_up with
    a = slope_up step_up / high, so U up and D down pulses keep a share (1 - a_up)^U (1 - a_down)^D of w; pulses in both
    directions are taken as evenly interleaved. Drawn once per cell: step, asymmetry, bounds. Drawn at each pulse:
    cycle-to-cycle noise. Drawn whenever a cell is pulsed: write noise.

    Source: the linear-step and soft-bounds devices of Gokmen & Vlasov, Front. Neurosci. 10:333 (2016), and
    Rasch et al., IEEE AICAS (2021).
    """

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
        self.weight = self.inner.clone()
        self._show(torch.arange(weight.numel(), device=weight.device))

    def _steps(self, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        if self.update.step_distribution == "log_normal":
            step = self._per_cell(0.0, self.update.step_spread, shape).exp().mul_(self.update.step)
        else:
            spread = self.update.step * self.update.step_spread
            step = self._per_cell(self.update.step, spread, shape).clamp_(min=0)
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
        self._apply(counts.clamp(min=0), counts.neg().clamp_(min=0))

    def outer(self, x: Tensor, d: Tensor, rate: float) -> None:
        """Send the coincidences of two stochastic pulse trains per sample (see :mod:`.pulse_trains`)."""
        trains = expected_pulses(x, d, rate / self.update.step, self.update.pulses_per_update)
        up, down = (draw_pulses(mean, variance, self.generator) for mean, variance in trains)
        self._apply(up, down)

    def _apply(self, up: Tensor, down: Tensor) -> None:
        cells = (up + down).flatten().nonzero().squeeze(1)
        if cells.numel() == 0:
            return
        end, std = self._moved(_take(self.inner, cells), _take(up, cells), _take(down, cells), cells)
        if std is not None:
            noise = torch.randn(end.shape, generator=self.generator, device=end.device)
            end = end + noise.mul_(self.update.cycle_noise * std)
        self.inner.view(-1)[cells] = self._clip(end, cells)
        self._show(cells)

    def _moved(self, start: Tensor, up: Tensor, down: Tensor, cells: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean weight of the numbered cells after the pulses, and its std for noise of relative std 1, if any."""
        move = Move(
            up,
            down,
            *(_take(part, cells) for part in (self.step_up, self.step_down, self.pull_up, self.pull_down)),
        )
        noisy = self.update.cycle_noise > 0
        return move.mean(start), move.noise(start, self.update.cycle_noise_scales) if noisy else None

    def _show(self, cells: Tensor) -> None:
        """Let reads see the pulsed cells' inner state, with fresh write noise about it, beyond the bounds too."""
        shown = _take(self.inner, cells)
        if self.update.write_noise:
            noise = torch.randn(shown.shape, generator=self.generator, device=shown.device)
            shown = shown.add_(noise, alpha=self.update.write_noise)
        self.weight.view(-1)[cells] = shown

    def _clip(self, values: Tensor, cells: Tensor) -> Tensor:
        low, high = self.bounds.low, self.bounds.high
        if low is None or high is None:
            return values
        return values.clamp_(
            _take(low.expand(self.inner.shape), cells), _take(high.expand(self.inner.shape), cells)
        )

    def state(self) -> dict[str, Any]:
        """Return inner and visible weights and the generator."""
        return super().state() | {"inner": self.inner}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        super().load(state)
        self.inner.copy_(state["inner"])


def _take(values: Tensor, cells: Tensor) -> Tensor:
    """The values of the named cells; a value that all cells share is not copied."""
    if values.numel() > 1 and all(stride == 0 for stride in values.stride()):
        return values[0, 0]
    return values.reshape(-1)[cells]


class Move:
    """What U pulses up and D pulses down do to cells of weight w, in mean and in noise."""

    def __init__(
        self, up: Tensor, down: Tensor, step_up: Tensor, step_down: Tensor, pull_up: Tensor, pull_down: Tensor
    ):
        self.up, self.down = up, down
        self.step_up, self.step_down = step_up, step_down
        self.pull_up, self.pull_down = pull_up, pull_down
        log_up, log_down = torch.log1p(-pull_up), torch.log1p(-pull_down)
        self.log_keep = up * log_up + down * log_down
        self.drift = up * step_up * _ratio(log_up, -pull_up) - down * step_down * _ratio(log_down, -pull_down)

    def mean(self, weight: Tensor) -> Tensor:
        """Mean weight afterwards: w keep + drift (1 - keep) / -log keep; exact where all pulses go one way."""
        return weight * self.log_keep.exp() + self.drift * _ratio(torch.expm1(self.log_keep), self.log_keep)

    def noise(self, start: Tensor, scales: bool) -> Tensor:
        """Std of the weight afterwards, for noise of relative std 1 at each pulse.

        Noise of a pulse shrinks by the later pulses' keep; to first order in the pull, the sum over pulses is an
        integral. With k = keep and l = -log keep, n pulses of a steady size a leave n a^2 (1 - k^2) / 2 l. If the noise
        is a share of the step at the present weight, a step's size decays as a + b k^t from the first pulse (t = 0) to
        the last (t = 1), where a is its size at the weight at which the cell comes to rest, and n pulses leave
        n (a^2 (1 - k^2) / 2 l + 2 a b k (1 - k) / l + b^2 k^2). What turns the integrals back into sums, which are
        exact where all pulses go one way, depends on the pull alone (see :func:`as_sums`).
        """
        steady = _ratio(torch.expm1(2 * self.log_keep), 2 * self.log_keep)
        sums = as_sums(self.pull_up), as_sums(self.pull_down)
        if not scales:
            up = self.up * self.step_up.square() * sums[0][0]
            return (steady * (up + self.down * self.step_down.square() * sums[1][0])).sqrt()
        keep = self.log_keep.exp()
        fading = 2 * keep * _ratio(torch.expm1(self.log_keep), self.log_keep)
        rest = self.drift / (-self.log_keep).clamp(min=SMALLEST_RATE)
        parts = (
            (self.up, self.step_up - self.pull_up * rest, self.pull_up * (rest - start)),
            (self.down, self.step_down + self.pull_down * rest, self.pull_down * (start - rest)),
        )
        variance = sum(
            n * (a * a * steady * first + a * b * fading * second + (b * keep).square() * third)
            for (n, a, b), (first, second, third) in zip(parts, sums, strict=True)
        )
        return torch.as_tensor(variance).clamp(min=0).sqrt()


def as_sums(pull: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over pulses, divided by the integrals that stand for them.

    With q = 1 - pull and r = -log q: of q^2j, of q^j q^(n-1), and of q^(2n-2).
    """
    rate = -torch.log1p(-pull)
    q = 1 - pull
    return _ratio(2 * rate, pull * (2 - pull)), _ratio(rate, pull) / q, 1 / q.square()


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Numerator / denominator, and 1 where both vanish."""
    return torch.where(denominator == 0, 1.0, numerator / denominator)
