"""Pulse trains taken literally: every slot of every train is drawn; and the moments that follow on paper."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from support import generator, normal
from torch import Tensor


def chances(row: Tensor, column: Tensor, rate: float, longest: int) -> tuple[Tensor, Tensor, int]:
    """Chances that a sample's inputs and errors fire in a slot, and the number of slots.

    The largest input and error fire with the same chance; what is too much for the longest train is asked of the
    errors alone, which then fire in every slot.
    """
    strength = float(row.abs().max() * column.abs().max()) * rate
    slots = min(max(math.ceil(strength - 1e-5), 1), longest)
    largest = math.sqrt(min(strength / slots, 1.0))
    inputs = largest * row.abs() / row.abs().max()
    errors = largest * column.abs() / column.abs().max() * max(strength / slots, 1.0)
    return inputs, errors.clamp(max=1), slots


def sent_literally(
    x: Tensor, d: Tensor, rate: float, longest: int, trials: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Pulses up and down, [trials, outputs, inputs], with trains that the cells of a row or column share."""
    draws = generator(seed)
    up, down = (torch.zeros(trials, d.shape[1], x.shape[1]) for _ in range(2))
    for row, column in zip(x, d, strict=True):
        inputs, errors, slots = chances(row, column, rate, longest)
        is_down = (torch.outer(column, row) > 0).float()
        for _ in range(slots):
            rows = (torch.rand(trials, 1, len(row), generator=draws) < inputs).float()
            columns = (torch.rand(trials, len(column), 1, generator=draws) < errors[:, None]).float()
            pulses = rows * columns
            down += pulses * is_down
            up += pulses * (1 - is_down)
    return up, down


def moments(x: Tensor, d: Tensor, rate: float, longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and variance of pulses up, mean and variance of pulses down, per cell: a sum of binomials."""
    found = [torch.zeros(d.shape[1], x.shape[1], dtype=torch.float64) for _ in range(4)]
    for row, column in zip(x.double(), d.double(), strict=True):
        inputs, errors, slots = chances(row, column, rate, longest)
        chance = torch.outer(errors, inputs)
        is_down = (torch.outer(column, row) > 0).double()
        for way, share in ((0, 1 - is_down), (2, is_down)):
            found[way] += slots * chance * share
            found[way + 1] += slots * chance * (1 - chance) * share
    return found[0], found[1], found[2], found[3]


def covariance(x: Tensor, d: Tensor, rate: float, longest: int) -> Tensor:
    """Covariance of pulses down less pulses up between all cells, [cells, cells], cells numbered row by row.

    In one slot two lines' firings X_j and Y_i are independent, so E[X_j Y_i X_k Y_l] factors into the chances of the
    lines that differ: cells of a row share Y_i, cells of a column X_j, and others share nothing.
    """
    outputs, inputs = d.shape[1], x.shape[1]
    total = torch.zeros(outputs * inputs, outputs * inputs, dtype=torch.float64)
    for row, column in zip(x.double(), d.double(), strict=True):
        p, q, slots = chances(row, column, rate, longest)
        both_inputs, both_errors = torch.outer(p, p), torch.outer(q, q)
        both_inputs.diagonal().copy_(p)
        both_errors.diagonal().copy_(q)
        mean = torch.outer(q, p).flatten()
        sign = torch.outer(column.sign(), row.sign()).flatten()
        total += (
            slots * (torch.kron(both_errors, both_inputs) - torch.outer(mean, mean)) * torch.outer(sign, sign)
        )
    return total


def assert_covariance(
    found: Tensor, expected: Tensor, sigmas: float = 5.5, share: float = 0.0, rounding: float = 0.0
) -> None:
    """The covariances of [trials, cells] are ``expected``, each within its own standard errors and a share.

    Variances may be larger by ``rounding``.

    The standard error of a covariance c is the std of the products of two cells' deviations over sqrt(trials): as
    found, and no less than that of rare single pulses, whose products have a variance of |c| + v_1 v_2 + c^2.
    """
    centred = found.double() - found.double().mean(0)
    trials = len(centred)
    estimate = centred.t() @ centred / trials
    squares = centred.square().t() @ centred.square() / trials
    size = expected.diagonal().sqrt()
    rare = expected.abs() + torch.outer(size, size).square() + expected.square()
    error = ((squares - estimate.square()).maximum(rare) / trials).sqrt()
    slack = share * torch.outer(size, size) + 1e-6
    off = estimate - expected
    off.diagonal().sub_(off.diagonal().clamp(min=0, max=rounding))
    worst = (off.abs() - slack) / error.clamp(min=1e-9)
    assert float(worst.max()) < sigmas, f"a covariance is off by {float(worst.max()):.1f} standard errors"


def independent() -> tuple[Tensor, Tensor]:
    """Gaussian inputs and errors."""
    return normal(20, 4, seed=1), normal(20, 3, seed=2)


def correlated() -> tuple[Tensor, Tensor]:
    """Lines that are strong in the same samples."""
    size = torch.rand(20, 1, generator=generator(5)).mul(4).exp()
    return size * (2 + normal(20, 4, seed=3)), size.flip(0) * (1 + 0.5 * normal(20, 3, seed=4))


def one_hot() -> tuple[Tensor, Tensor]:
    """What transfers send: one input a sample, of different sizes."""
    return torch.eye(4), normal(4, 3, seed=5) * torch.tensor([[0.1], [1.0], [5.0], [20.0]])


def by_class() -> tuple[Tensor, Tensor]:
    """Each class has an input and an error of its own, as in classification."""
    x, d = torch.rand(24, 4, generator=generator(1)), 0.05 * normal(24, 3, seed=2)
    kind = torch.arange(24) % 3
    x[torch.arange(24), kind] += 3
    d[torch.arange(24), kind] -= 1
    return x, d


def sure_and_rare() -> tuple[Tensor, Tensor]:
    """One sample whose pulse is sure to come (at rate 1), and 63 whose pulses are rare."""
    x, d = torch.full((64, 4), 0.1), torch.full((64, 3), 0.1)
    x[0], d[0] = 1.0, 1.0
    return x, d


BATCHES: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "independent": independent,
    "correlated": correlated,
    "one-hot": one_hot,
    "by class": by_class,
    "sure and rare": sure_and_rare,
}
