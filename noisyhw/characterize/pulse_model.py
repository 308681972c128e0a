"""The likelihood of a pulse response: what one pulse does to a weight, in mean and in noise."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from .likelihood import Vector

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Pulses:
    """One device's pulses, in order.

    Args:
        name: the device.
        before: weight before each pulse.
        change: the weight's change.
        up: whether the pulse was up.
        follows: whether the row before is the pulse before.
        low: lowest reading.
        high: highest reading.
        stops: whether the lowest and the highest are read again and again, as at a hard bound.
        rounding: smallest difference of two readings.
    """

    name: str
    _: KW_ONLY
    before: Vector
    change: Vector
    up: Mask
    follows: Mask
    low: float
    high: float
    stops: tuple[bool, bool]
    rounding: float

    @cached_property
    def design(self) -> Vector:
        """Derivatives of the mean change by step up, step down, pull up and pull down, [pulses, 4]."""
        sides = [self.up.astype(float), self.up - 1.0]
        return np.column_stack([*sides, -self.before * self.up, -self.before * ~self.up])

    def take(self, rows: Mask) -> Pulses:
        """Only some of the pulses."""
        kept = np.flatnonzero(rows)
        adjacent = np.diff(kept, prepend=-2) == 1
        return replace(
            self,
            before=self.before[rows],
            change=self.change[rows],
            up=self.up[rows],
            follows=self.follows[rows] & adjacent,
        )


@dataclass(frozen=True)
class Model:
    """What is fitted.

    Args:
        sloped: steps depend on the weight.
        hard: cells stop at hard bounds.
        scales: cycle noise is a share of the present step, else of the step at weight zero.
        write_noise: readings have noise of their own.
    """

    sloped: bool
    hard: bool
    scales: bool
    write_noise: bool = False


@dataclass(frozen=True)
class Physics:
    """A pulsed cell's parameters, in weight units."""

    step_up: float
    step_down: float
    pull_up: float
    pull_down: float
    cycle_noise: float
    write_noise: float

    def mean(self, weight: Vector, up: Mask) -> Vector:
        """Mean change of one pulse."""
        return np.where(up, self.step_up - self.pull_up * weight, -self.step_down - self.pull_down * weight)

    def variance(self, mean: Vector, up: Mask, scales: bool) -> Vector:
        """Cycle-to-cycle variance of one pulse: c^2 times its step squared, or that at weight zero."""
        size = mean if scales else np.where(up, self.step_up, self.step_down)
        return np.asarray((self.cycle_noise * size) ** 2)

    def keep(self, up: Mask) -> Vector:
        """Share of the weight that one pulse leaves."""
        return 1 - np.where(up, self.pull_up, self.pull_down)


def unpack(point: Vector, model: Model) -> Physics:
    """The physics of the fitted parameters: log steps, relative pulls, log cycle noise, log write noise."""
    step_up, step_down = float(np.exp(point[0])), float(np.exp(point[1]))
    pull_up, pull_down = (
        (step_up * float(point[2]), step_down * float(point[3])) if model.sloped else (0.0, 0.0)
    )
    rest = point[4 if model.sloped else 2 :]
    write_noise = float(np.exp(rest[1])) if model.write_noise else 0.0
    return Physics(step_up, step_down, pull_up, pull_down, float(np.exp(rest[0])), write_noise)


def cost(point: Vector, data: Pulses, model: Model, weight: Vector) -> float:
    """Negative restricted log-likelihood; ``weight`` is where the noise's size is taken.

    0.5 (log|S| + u' S^-1 u + log|X' S^-1 X|) with changes' deviations u, covariance S and X the mean's derivatives; the
    last term makes up for the mean having been fitted (Patterson & Thompson, Biometrika 58, 545 (1971)).
    """
    physics = unpack(point, model)
    left = data.change - physics.mean(data.before, data.up)
    columns = np.column_stack([left, data.design[:, : 4 if model.sloped else 2]])
    variance = variance_of(physics, data, model, weight)
    if model.write_noise:
        pivots, solved = _solve(physics, data, variance, columns)
    else:
        pivots, solved = variance, columns / variance[:, None]
    products = columns.T @ solved
    fitted = float(np.linalg.slogdet(products[1:, 1:])[1])
    return 0.5 * (float(np.log(pivots).sum()) + float(products[0, 0]) + fitted)


def variance_of(physics: Physics, data: Pulses, model: Model, weight: Vector) -> Vector:
    """Variance of each change without that of the readings, rounding included."""
    size = physics.mean(weight, data.up)
    return np.asarray(physics.variance(size, data.up, model.scales) + data.rounding**2 / 6)


def _solve(physics: Physics, data: Pulses, variance: Vector, columns: Vector) -> tuple[Vector, Vector]:
    """The pivots of the tridiagonal covariance, and its inverse times ``columns``."""
    keep = physics.keep(data.up)
    noise = physics.write_noise**2
    diagonal = variance + noise * (1 + keep**2)
    beside = np.where(data.follows, -noise * keep, 0.0)[1:]
    factor, lower, _ = lapack.dpttrf(diagonal, beside)
    solved, _ = lapack.dpttrs(factor, lower, columns)
    return factor, solved


def smoothed(physics: Physics, data: Pulses, model: Model, weight: Vector) -> Vector:
    """Weight before each pulse, freed of the readings' noise (its mean given all readings)."""
    left = data.change - physics.mean(data.before, data.up)
    _, solved = _solve(physics, data, variance_of(physics, data, model, weight), left)
    earlier = np.where(data.follows, np.roll(solved, 1), 0.0)
    return np.asarray(data.before - physics.write_noise**2 * (earlier - physics.keep(data.up) * solved))
