"""Read-noise models fitted to successive reads of one node: white noise, and white noise with a two-state offset."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .likelihood import LEVEL, Estimate, Maximum, Vector, interval, intervals, maximise

Products = NDArray[np.float64]

AMPLITUDES = (0.3, 0.6, 0.85, 0.97)
CHANCES = (0.003, 0.02, 0.08, 0.25, 0.5)
"""Where the telegraph fit looks for its start: the share of the std that is the offset's, and the chance of a flip."""


def fit_white(values: Vector, expected: float | None) -> dict[str, Estimate]:
    """Std and, if the noise-free read-out is known, offset of Gaussian noise.

    The std's interval is chi-squared, the mean's is Student's; both are exact for independent Gaussian reads.

    Args:
        values: successive reads.
        expected: the noise-free read-out; None: no offset is fitted.
    """
    count = len(values)
    std = float(values.std(ddof=1))
    ends = [
        std * math.sqrt((count - 1) / float(stats.chi2.ppf(tail, count - 1)))
        for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    ]
    found = {"std": Estimate(std, std / math.sqrt(2 * (count - 1)), *ends)}
    if expected is not None:
        quantile = float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
        offset = float(values.mean()) - expected
        found["mean"] = interval("mean", offset, std / math.sqrt(count), quantile)
    return found


def correlation(values: Vector) -> float:
    """Correlation of successive reads."""
    left = values - values.mean()
    return float(left[1:] @ left[:-1] / (left @ left))


def fit_telegraph(values: Vector, expected: float | None) -> dict[str, Estimate]:
    """White noise and a two-state offset that flips by chance before each read, by maximum likelihood.

    Args:
        values: successive reads.
        expected: the noise-free read-out; None: no offset is fitted.
    """
    maximum = telegraph_maximum(values)

    def derived(point: Vector) -> dict[str, float]:
        middle, amplitude, std, flip = _unpack(point)
        offset = {} if expected is None else {"mean": middle - expected}
        return {"amplitude": amplitude, "flip_probability": flip, "std": std, **offset}

    return intervals(maximum, derived, float(len(values) - len(maximum.point)))


def telegraph_maximum(values: Vector) -> Maximum:
    """The largest likelihood of middle, log amplitude, log std and logit of the chance of a flip."""
    spread = float(values.std())
    cost = partial(telegraph_cost, values=values)
    starts = [_start(values, share * spread, flip) for share in AMPLITUDES for flip in CHANCES]
    start = min(starts, key=cost)
    count, flip = len(values), 1 / (1 + math.exp(-start[3]))
    scale = np.array(
        [
            spread / math.sqrt(count),
            1 / math.sqrt(count),
            1 / math.sqrt(2 * count),
            1 / math.sqrt(count * flip),
        ]
    )
    return maximise(cost, start, scale)


def _start(values: Vector, amplitude: float, flip: float) -> Vector:
    rest = math.sqrt(float(values.var()) - amplitude**2)
    return np.array([values.mean(), math.log(amplitude), math.log(rest), math.log(flip / (1 - flip) + 1e-12)])


def _unpack(point: Vector) -> tuple[float, float, float, float]:
    flip = 1 / (1 + math.exp(-min(max(point[3], -50.0), 50.0)))
    return float(point[0]), math.exp(point[1]), math.exp(point[2]), flip


def telegraph_cost(point: Vector, values: Vector) -> float:
    """Negative log-likelihood of a hidden two-state chain: the product over reads of P(states) P(value | state).

    The 2 x 2 matrices are multiplied in pairs, pairs of pairs and so on, scaled at each level.
    """
    middle, amplitude, std, flip = _unpack(point)
    left = values - middle
    fit = np.stack([-0.5 * ((left - sign * amplitude) / std) ** 2 for sign in (1, -1)])
    peak = fit.max(0)
    chance = np.exp(fit - peak)
    chain = np.array([[1 - flip, flip], [flip, 1 - flip]])[:, :, None] * chance[None, :, :]
    total, logs = _product(chain)
    likelihood = 0.5 * total.sum()
    return float(len(values) * math.log(std) - peak.sum() - logs - math.log(likelihood))


def _product(chain: Products) -> tuple[Products, float]:
    """Product of the matrices [2, 2, n] in order, as a matrix times exp(the second value)."""
    logs = 0.0
    while (count := chain.shape[2]) > 1:
        first, second, rest = (
            chain[:, :, 0 : count - 1 : 2],
            chain[:, :, 1::2],
            chain[:, :, count - count % 2 :],
        )
        pairs = first[:, :1] * second[None, 0] + first[:, 1:] * second[None, 1]
        size = pairs.max((0, 1))
        logs += float(np.log(size).sum())
        chain = np.concatenate([pairs / size, rest], axis=2)
    return chain[:, :, 0], logs
