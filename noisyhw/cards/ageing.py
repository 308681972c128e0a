"""The schema of what time does to written cells, and how an age is written."""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from .base import Card, NonNegative, Real, Wide

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}
_AGE = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?) ?([a-z]+)")


def seconds(age: str) -> float:
    """Return an age such as ``0s``, ``20 min``, ``1h``, ``1d`` or ``1y`` (365.25 days) in seconds.

    Raises:
        ValueError: it is no number with a unit.
    """
    match = _AGE.fullmatch(age.strip())
    if match is None or match[2] not in UNITS_S:
        raise ValueError(f"must be a number with a unit of {', '.join(UNITS_S)} (such as '1h'), got '{age}'")
    found = float(match[1]) * UNITS_S[match[2]]
    if not math.isfinite(found):
        raise ValueError(f"must be finite, got '{age}'")
    return found


def _checked(age: str) -> str:
    seconds(age)
    return age


Age = Annotated[str, AfterValidator(_checked)]


class Drift(Card):
    """A conductance that decays as a power of time: w(t) = w_0 ((t + t0) / t0)^-nu, t since the cell was written."""

    nu: NonNegative = Field(description="Mean drift exponent of the cells.")
    nu_spread: NonNegative = Field(
        0.0, description="Device-to-device std of nu, absolute; drawn once per cell, and never below zero."
    )
    t0_s: Wide = Field(20.0, description="When the weights w_0 were first read after writing, in s.")


class Retention(Card):
    """A weight that forgets: w(t) = rest + (w_0 - rest) exp(-t / tau), t since the cell was written."""

    tau_s: Wide = Field(description="Mean time constant of the cells, in s.")
    tau_spread: Annotated[float, Field(strict=True, ge=0, le=10)] = Field(
        0.0, description="Device-to-device std of ln tau; drawn once per cell (tau_s is then the median)."
    )
    rest: Real = Field(0.0, description="The weight that cells decay to.")
