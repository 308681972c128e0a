"""Pulsed-update models fitted to pulse responses, by maximum likelihood on the increments.

The reading before a pulse is known, so each pulse's change is a value of its own: change = m(w) + noise with
m = step_up - pull_up w for a pulse up and -(step_down + pull_down w) for a pulse down, and the pulses' noise is
independent. The noise's std is a share of |m(w)| or of the step at weight zero.

If the readings carry noise of their own (write noise, or that of the instrument), a change holds the difference of two
readings' noise: u_k = change - m(w_k) = e_k + v_k - (1 - pull) v_{k-1}. Neighbouring changes then correlate negatively,
and a plain regression is biased (errors in variables). It shows in the residuals' lag-1 correlation; where it does, the
exact likelihood is used, whose covariance is tridiagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..errors import DataError
from .likelihood import Maximum, Vector, maximise
from .pulse_model import Mask, Model, Physics, Pulses, cost, smoothed, unpack, variance_of

EDGE_SIGMAS = 4.0
"""Changes that noise of so many std could carry to a hard bound are left out: it may have cut them."""
REPEATS = 3
"""So many equal readings at an end of a device's range are a hard bound."""
BEYOND_SIGMAS = 2.5
"""The largest of many readings at a hard bound is about so many std of the write noise beyond it."""
SEEN_SIGMAS = 3.0
"""Write noise is modelled if the lag-1 correlation is this many standard errors below zero."""
FEWEST = 10
"""Fewest usable pulses in each direction."""


@dataclass(frozen=True)
class PulseFit:
    """One device's fit: the rows that were used, and where the likelihood is largest."""

    data: Pulses
    model: Model
    maximum: Maximum
    weight: Vector

    @property
    def physics(self) -> Physics:
        """The fitted parameters."""
        return unpack(self.maximum.point, self.model)

    def degrees(self) -> float:
        """Degrees of freedom of the pulses' variance: pulses less parameters, fewer if readings are noisy.

        A variance s^2 of standard error e has 2 s^4 / e^2 (Satterthwaite, Biometrics 2, 110 (1946)).
        """
        place = 4 if self.model.sloped else 2
        relative = max(float(self.maximum.covariance[place, place]), 1e-12)
        return min(float(len(self.data.change) - len(self.maximum.point)), 1 / (2 * relative))

    def residuals(self) -> Vector:
        """Changes less their mean, in std."""
        physics = self.physics
        left = self.data.change - physics.mean(self.data.before, self.data.up)
        variance = variance_of(physics, self.data, self.model, self.weight)
        return np.asarray(
            left / np.sqrt(variance + physics.write_noise**2 * (1 + physics.keep(self.data.up) ** 2))
        )

    def correlation(self) -> tuple[float, int]:
        """Correlation of neighbouring residuals, and the number of pairs."""
        values = self.residuals()
        values = (values - values.mean()) / values.std()
        pairs = (values[1:] * values[:-1])[self.data.follows[1:]]
        return float(pairs.mean()) if len(pairs) else 0.0, len(pairs)


def start(data: Pulses, sloped: bool) -> tuple[Vector, Vector]:
    """Least-squares parameters and their rough standard errors."""
    lines = [_line(data, data.up, 1.0, sloped), _line(data, ~data.up, -1.0, sloped)]
    for (step, *_), word in zip(lines, ("up", "down"), strict=True):
        if step <= 0:
            raise DataError(
                f"device '{data.name}': pulses {word} move the weight the other way at weight zero "
                f"(step {step:.3g}); check the sign of 'direction', and the range that maps to weights"
            )
    noise = math.log(max(sum(line[2] / line[0] for line in lines) / 2, 1e-9))
    steps = [math.log(line[0]) for line in lines]
    pulls = [line[1] / line[0] for line in lines] if sloped else []
    errors = [line[3] / line[0] for line in lines]
    slopes = [line[4] / line[0] for line in lines] if sloped else []
    return np.array([*steps, *pulls, noise]), np.array([*errors, *slopes, 1 / math.sqrt(2 * len(data.up))])


def _line(data: Pulses, rows: Mask, sign: float, sloped: bool) -> tuple[float, float, float, float, float]:
    """Least squares of sign * change = step - sign * pull w: step, pull, noise, and the errors of the first two."""
    w, change = data.before[rows], sign * data.change[rows]
    if not sloped:
        noise = float(change.std()) + 1e-12
        return float(change.mean()), 0.0, noise, noise / math.sqrt(len(w)), 0.0
    slope, step = np.polyfit(w, change, 1)
    noise = float((change - slope * w - step).std()) + 1e-12
    spread = float(w.std()) * math.sqrt(len(w))
    return float(step), -sign * float(slope), noise, noise / math.sqrt(len(w)), noise / spread


def fit_pulses(data: Pulses, model: Model) -> PulseFit:
    """Fit one device.

    Raises:
        DataError: too few pulses of one direction are clear of the range's ends, or they move the weight the wrong way.
    """
    _check_enough(data, np.ones_like(data.up))
    first, scale = start(data, model.sloped)
    if model.write_noise:
        first, scale = _with_write_noise(data, first, scale, model)
    weight = data.before
    rows = clear(unpack(first, model), data, replace(model, scales=False))
    for _ in range(_rounds(data, model)):
        used = data.take(rows)
        task = partial(cost, data=used, model=model, weight=weight[rows])
        first = maximise(task, first, scale, precise=False).point
        physics = unpack(first, model)
        rows = clear(physics, data, model)
        weight = smoothed(physics, data, model, data.before) if model.write_noise else data.before
    used = data.take(rows)
    best = maximise(partial(cost, data=used, model=model, weight=weight[rows]), first, scale)
    return PulseFit(used, model, best, weight[rows])


def _rounds(data: Pulses, model: Model) -> int:
    """How often to fit before the last time: the choice of pulses and the smoothing need a fit to start from."""
    return int(any(data.stops) or (model.write_noise and (model.scales or model.hard)))


def _with_write_noise(data: Pulses, first: Vector, scale: Vector, model: Model) -> tuple[Vector, Vector]:
    """Take the residuals' noise apart: their lag-1 covariance is minus the write noise's variance."""
    plain = unpack(first, replace(model, write_noise=False))
    left = data.change - plain.mean(data.before, data.up)
    shared = -float(np.mean((left[1:] * left[:-1])[data.follows[1:]]))
    total = float(left.var())
    shared = min(max(shared, 0.01 * total), 0.49 * total)
    step = (plain.step_up + plain.step_down) / 2
    first = np.append(first, math.log(shared) / 2)
    first[-2] = math.log(math.sqrt(total - 2 * shared) / step)
    return first, np.append(scale, scale[-1])


def clear(physics: Physics, data: Pulses, model: Model) -> Mask:
    """Which pulses end well off the hard bounds, whatever their noise.

    The choice looks at readings before the pulse alone, so it does not bias the regression.
    """
    mean = physics.mean(data.before, data.up)
    margin = EDGE_SIGMAS * np.sqrt(physics.variance(mean, data.up, model.scales) + 2 * physics.write_noise**2)
    ends = data.before + mean
    low, high = _bounds(physics, data, model)
    rows = np.asarray((ends - margin >= low) & (ends + margin <= high))
    if model.write_noise:
        rows = _stretches(rows)
    _check_enough(data, rows)
    return rows


def _check_enough(data: Pulses, rows: Mask) -> None:
    for word, chosen in (("up", rows & data.up), ("down", rows & ~data.up)):
        if chosen.sum() < FEWEST:
            raise DataError(
                f"device '{data.name}': {chosen.sum()} of its pulses {word} are clear of the range's ends by "
                f"{EDGE_SIGMAS:g} std of the noise; at least {FEWEST} are needed: measure more pulses, mid-range"
            )


def _bounds(physics: Physics, data: Pulses, model: Model) -> tuple[float, float]:
    """Where the device seems to stop, else infinity; noisy readings at a hard bound reach beyond it."""
    noisy = model.hard and model.write_noise
    reach = BEYOND_SIGMAS * physics.write_noise
    low = data.low + reach if noisy or data.stops[0] else -math.inf
    high = data.high - reach if noisy or data.stops[1] else math.inf
    return low, high


def _stretches(rows: Mask) -> Mask:
    """Stretches of pulses that begin one pulse after the reading that let them begin.

    With noisy readings that reading's own noise is in the next change; it was chosen, so the change would be biased.
    """
    kept = np.zeros_like(rows)
    for k in range(len(rows)):
        begins = k == 0 or (rows[k - 1] and (k == 1 or not rows[k - 2]))
        kept[k] = begins or (kept[k - 1] and rows[k])
    return kept
