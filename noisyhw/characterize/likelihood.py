"""Maximum likelihood with 95 % confidence intervals, and how several devices' estimates are put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Vector: TypeAlias = NDArray[np.float64]
Derived: TypeAlias = Callable[[Vector], dict[str, float]]

LEVEL = 0.95
GRADIENT_STEP = 1e-4
HESSIAN_STEP = 0.1
"""Steps of the finite differences, in units of a parameter's rough standard error."""
CLOSE = 0.01
"""The search ends where no gradient is steeper, in the same units."""
FLAT = 1e-3
"""A smaller curvature, in the same units, counts as this one."""
FARTHEST = 50.0
"""Largest reach of an interval in the logarithm."""
SHARES = frozenset({"asymmetry", "mean", "slope_up", "slope_down"})
"""Parameters of either sign: their intervals are symmetric, the others' are symmetric in the logarithm."""


@dataclass(frozen=True)
class Estimate:
    """A parameter's value, its standard error and its 95 % confidence interval."""

    value: float
    error: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the interval holds a value."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Maximum:
    """Where a likelihood is largest.

    Args:
        point: the parameters.
        covariance: inverse of the negative log-likelihood's Hessian there.
        log_likelihood: its value there.
    """

    point: Vector
    covariance: NDArray[np.float64]
    log_likelihood: float


def maximise(
    cost: Callable[[Vector], float], start: Vector, scale: Vector, *, precise: bool = True
) -> Maximum:
    """Minimise a negative log-likelihood.

    Args:
        cost: the negative log-likelihood of unbounded parameters.
        start: first parameters.
        scale: rough standard error of each parameter.
        precise: compute the covariance too.
    """

    def scaled(z: Vector) -> float:
        with np.errstate(all="ignore"):
            value = cost(start + scale * z)
        return value if math.isfinite(value) else 1e30

    options = {"eps": GRADIENT_STEP, "gtol": CLOSE}
    found = optimize.minimize(scaled, np.zeros_like(start), method="BFGS", options=options)
    inverse = _inverse(_hessian(scaled, found.x)) if precise else np.eye(len(start))
    return Maximum(start + scale * found.x, inverse * np.outer(scale, scale), -float(found.fun))


def _inverse(hessian: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse, for a direction that the data say nothing about a wide one."""
    sizes, directions = np.linalg.eigh(hessian)
    return np.asarray((directions / np.maximum(sizes, FLAT)) @ directions.T)


def _hessian(cost: Callable[[Vector], float], at: Vector) -> NDArray[np.float64]:
    """Second derivatives by central differences."""
    size = len(at)
    steps = np.eye(size) * HESSIAN_STEP
    single = [(cost(at + step), cost(at - step)) for step in steps]
    middle = cost(at)
    hessian = np.diag([up + down - 2 * middle for up, down in single])
    for i in range(size):
        for j in range(i):
            both = cost(at + steps[i] + steps[j]) + cost(at - steps[i] - steps[j])
            hessian[i, j] = (both + 2 * middle - sum(single[i]) - sum(single[j])) / 2
            hessian[j, i] = hessian[i, j]
    return np.asarray(hessian / HESSIAN_STEP**2)


def intervals(maximum: Maximum, derived: Derived, degrees: float) -> dict[str, Estimate]:
    """Estimates of what ``derived`` computes from the parameters, by the delta method.

    Args:
        maximum: the fitted parameters.
        derived: from the fitted parameters to those of the card.
        degrees: degrees of freedom of Student's quantile.
    """
    values = derived(maximum.point)
    steps = np.diag(np.sqrt(np.diag(maximum.covariance).clip(min=0)) * 1e-3)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, max(degrees, 1)))
    sides = [(derived(maximum.point + step), derived(maximum.point - step), step.sum()) for step in steps]
    found = {}
    for name, value in values.items():
        slope = np.array([(up[name] - down[name]) / (2 * step) if step else 0 for up, down, step in sides])
        error = math.sqrt(max(float(slope @ maximum.covariance @ slope), 0.0))
        found[name] = interval(name, float(value), error, quantile)
    return found


def interval(name: str, value: float, error: float, quantile: float) -> Estimate:
    """The interval of one parameter: symmetric, or in the logarithm for one that has a sign."""
    if name in SHARES or value == 0:
        return Estimate(value, error, value - quantile * error, value + quantile * error)
    reach = min(quantile * error / abs(value), FARTHEST)
    ends = sorted(value * math.exp(sign * reach) for sign in (-1, 1))
    if name == "flip_probability":
        ends = [
            _logistic(_logit(value) + sign * quantile * error / (value * (1 - value))) for sign in (-1, 1)
        ]
    return Estimate(value, error, *ends)


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@dataclass(frozen=True)
class Population:
    """One parameter over several devices: its mean, and its device-to-device std if there is more than one."""

    mean: Estimate
    std: Estimate | None


def pool(devices: Sequence[Mapping[str, Estimate]]) -> dict[str, Population]:
    """Mean and device-to-device std of every parameter.

    The mean's interval is Student's over the devices. The std is that of the estimates less their own errors,
    s_d^2 = s^2 - mean(error^2); its interval is that of s (chi-squared), less the same.
    """
    return {name: _population([device[name] for device in devices]) for name in devices[0]}


def _population(estimates: Sequence[Estimate]) -> Population:
    if len(estimates) == 1:
        return Population(estimates[0], None)
    count = len(estimates)
    values = np.array([estimate.value for estimate in estimates])
    variance = float(values.var(ddof=1))
    own = float(np.mean([estimate.error**2 for estimate in estimates]))
    error = math.sqrt(variance / count)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * error
    mean = Estimate(float(values.mean()), error, float(values.mean()) - reach, float(values.mean()) + reach)
    ends = [
        variance * (count - 1) / float(stats.chi2.ppf(tail, count - 1))
        for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    ]
    low, high = (math.sqrt(max(end - own, 0.0)) for end in ends)
    std = math.sqrt(max(variance - own, 0.0))
    return Population(mean, Estimate(std, std / math.sqrt(2 * (count - 1)), low, high))
