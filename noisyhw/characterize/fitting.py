"""A card's parameters fitted to measurements: which model, which devices, what was assumed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import DataError, UsageError, choose
from .likelihood import Estimate, Population, Vector, intervals, pool
from .measured import Responses, read_reads, read_responses
from .noise_fit import correlation, fit_telegraph, fit_white
from .pulse_fit import SEEN_SIGMAS, PulseFit, fit_pulses
from .pulse_model import Model, Physics, Pulses, unpack

PULSE_MODELS = ("soft_bounds", "linear_step", "constant_step")
NOISE_MODELS = ("read_noise", "telegraph")
MODELS = (*PULSE_MODELS, *NOISE_MODELS)
FAR = 3.0
"""A correlation this many standard errors from zero is worth a note."""

CycleNoise = Literal["auto", "scales", "constant"]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit found.

    Args:
        model: one of MODELS.
        file: the file's name.
        digest: first 12 hex digits of the file's SHA-256.
        rows: how many values were fitted.
        devices: names of the devices.
        parameters: parameter -> mean and device-to-device std.
        notes: what was assumed and found.
        bounds: weights that hard bounds were taken to be.
        scales: whether cycle-to-cycle noise is a share of the present step.
        pulses: each device's fit to pulse responses.
        reads: each device's reads.
    """

    model: str
    file: str
    digest: str
    rows: int
    devices: tuple[str, ...]
    parameters: dict[str, Population]
    notes: tuple[str, ...]
    bounds: tuple[float, float] | None = None
    scales: bool = True
    pulses: tuple[PulseFit, ...] = ()
    reads: tuple[Vector, ...] = ()


def fit(
    path: Path,
    model: str,
    *,
    g_min_us: float | None = None,
    g_max_us: float | None = None,
    expected: float | None = None,
    cycle_noise: CycleNoise = "auto",
) -> Fitted:
    """Fit a card's parameters to a file of measurements.

    Args:
        path: a CSV file (see :mod:`.measured`).
        model: soft_bounds, linear_step, constant_step, read_noise or telegraph.
        g_min_us: conductance that is weight -1, in microsiemens; None: the file's smallest.
        g_max_us: conductance that is weight 1; None: the file's largest.
        expected: noise-free read-out, for the offset of read noise; None: no offset is fitted.
        cycle_noise: whether its std is a share of the present step (scales) or of the step at weight zero (constant);
            auto: whichever is likelier.

    Raises:
        DataError: the file is missing or wrong, or the model does not fit it.
        UsageError: there is no such model, or an option does not go with it.
    """
    if model not in MODELS:
        raise UsageError(choose("model", model, list(MODELS)))
    if model in NOISE_MODELS:
        if g_min_us is not None or g_max_us is not None:
            raise UsageError(f"--g-min-us and --g-max-us are for pulse responses, not for model '{model}'")
        return _noise(path, model, expected)
    if expected is not None:
        raise UsageError(f"--expected is for read noise, not for model '{model}'")
    return _pulsed(path, model, read_responses(path, g_min_us, g_max_us), cycle_noise)


def _noise(path: Path, model: str, expected: float | None) -> Fitted:
    reads = read_reads(path)
    one = fit_telegraph if model == "telegraph" else fit_white
    parameters = pool([one(values, expected) for values in reads.values()])
    notes = ["Values are in read-out units."]
    if expected is None:
        notes.append("No offset was fitted: the noise-free read-out is not known (--expected).")
    if model == "read_noise":
        notes.append("Reads were taken to be independent.")
        notes += [
            f"Successive reads of device '{name}' correlate by {r:.2f}: not white noise; try --model telegraph."
            for name, values in reads.items()
            if abs(r := correlation(values)) * math.sqrt(len(values)) > FAR
        ][:1]
    rows = sum(map(len, reads.values()))
    return Fitted(
        model=model,
        file=path.name,
        digest=_digest(path),
        rows=rows,
        devices=tuple(reads),
        parameters=parameters,
        notes=tuple(notes),
        reads=tuple(reads.values()),
    )


def _pulsed(path: Path, model: str, data: Responses, cycle_noise: CycleNoise) -> Fitted:
    fits, notes = _choose(data.devices, model, cycle_noise)
    bounds = None if model == "soft_bounds" else (data.low, data.high)
    if bounds is not None and data.mapping.g_min_us is not None:
        bounds = (-1.0, 1.0)
    estimates = [_estimates(one, model, bounds) for one in fits]
    taken = (
        "" if bounds is None else f" Hard bounds were taken at {bounds[0]:g} and {bounds[1]:g}, not fitted."
    )
    rows = sum(len(one.data.change) for one in fits)
    left_out = sum(len(one.change) for one in data.devices) - rows
    parameters = pool(estimates)
    notes = [data.mapping.told + taken, *notes, *_steep(parameters)]
    if left_out:
        notes.append(
            f"{left_out} pulses near the ends of the range were left out: a bound may have cut them."
        )
    return Fitted(
        model=model,
        file=path.name,
        digest=_digest(path),
        rows=rows,
        devices=tuple(one.name for one in data.devices),
        parameters=parameters,
        notes=tuple(notes),
        bounds=bounds,
        scales=fits[0].model.scales,
        pulses=tuple(fits),
    )


def _steep(parameters: dict[str, Population]) -> list[str]:
    """A note for each slope that a card cannot have."""
    found = {name: one.mean.value for name, one in parameters.items() if name.startswith("slope")}
    return [
        f"{name} was fitted as {value:.3g}; a card's lies between 0 and 1."
        for name, value in found.items()
        if not 0 <= value <= 1
    ]


def _choose(
    devices: tuple[Pulses, ...], kind: str, cycle_noise: CycleNoise
) -> tuple[list[PulseFit], list[str]]:
    """Fit with and without noise that scales, keep the likelier, and add write noise if the residuals show it."""
    fits, told = _likelier(devices, kind, cycle_noise, False)
    pairs = [one.correlation() for one in fits]
    count = sum(n for _, n in pairs)
    r = sum(r * n for r, n in pairs) / max(count, 1)
    seen = f"lag-1 correlation of the residuals {r:.3f} +- {1 / math.sqrt(max(count, 1)):.3f}"
    if r * math.sqrt(count) > -SEEN_SIGMAS:
        return fits, [told, f"Readings were taken to be exact: no write noise is seen ({seen})."]
    fits, told = _likelier(devices, kind, cycle_noise, True)
    return fits, [
        told,
        f"Write noise was fitted; it holds the instrument's own noise too ({seen} without it).",
    ]


def _likelier(
    devices: tuple[Pulses, ...], kind: str, cycle_noise: CycleNoise, write_noise: bool
) -> tuple[list[PulseFit], str]:
    words = {"scales": "the present step", "constant": "the step at weight zero"}
    model = Model(kind != "constant_step", kind != "soft_bounds", cycle_noise != "constant", write_noise)
    scaling = [fit_pulses(one, model) for one in devices]
    if not model.sloped or cycle_noise != "auto":
        return scaling, f"Cycle noise is a share of {words['scales' if model.scales else 'constant']}."
    constant = [fit_pulses(one, replace(model, scales=False)) for one in devices]
    gain = sum(one.maximum.log_likelihood for one in scaling) - sum(
        one.maximum.log_likelihood for one in constant
    )
    better, other = ("scales", "constant") if gain > 0 else ("constant", "scales")
    told = (
        f"Cycle noise is a share of {words[better]}: likelier than of {words[other]} "
        f"(log-likelihood {abs(gain):.3g} higher)."
    )
    return (scaling if gain > 0 else constant), told


def _estimates(one: PulseFit, model: str, bounds: tuple[float, float] | None) -> dict[str, Estimate]:
    """The card's parameters of one device, with intervals.

    Raises:
        DataError: the steps do not shrink towards a bound, so soft bounds have no place.
    """
    if model == "soft_bounds":
        _check_soft(one)
    derived = partial(_derived, model=one.model, kind=model, bounds=bounds)
    return intervals(one.maximum, derived, one.degrees())


def _check_soft(one: PulseFit) -> None:
    errors = np.sqrt(np.diag(one.maximum.covariance))
    for place, word in ((2, "up"), (3, "down")):
        if one.maximum.point[place] < 2 * errors[place]:
            raise DataError(
                f"device '{one.data.name}': steps {word} do not shrink towards a bound, so soft bounds do not fit; "
                "use --model linear_step or constant_step"
            )


def _derived(point: Vector, model: Model, kind: str, bounds: tuple[float, float] | None) -> dict[str, float]:
    physics = unpack(point, model)
    return _as_card(physics, kind, bounds) | (
        {"write_noise": physics.write_noise} if model.write_noise else {}
    )


def _as_card(physics: Physics, kind: str, bounds: tuple[float, float] | None) -> dict[str, float]:
    up, down = physics.step_up, physics.step_down
    found = {
        "step": (up + down) / 2,
        "asymmetry": (up - down) / (up + down),
        "cycle_noise": physics.cycle_noise,
    }
    if kind == "soft_bounds":
        return found | {"max": up / physics.pull_up, "min": -down / physics.pull_down}
    if kind == "linear_step" and bounds is not None:
        return found | {
            "slope_up": physics.pull_up * bounds[1] / up,
            "slope_down": -physics.pull_down * bounds[0] / down,
        }
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
