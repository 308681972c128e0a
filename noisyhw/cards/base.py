"""What all cards share: strict fields, frozen values, no NaN."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Card(BaseModel):
    """A checked, frozen piece of a YAML card; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __hash__(self) -> int:
        """Return the hash of all values; cards that are equal have the same one."""
        return hash((type(self), _hashable(dict(self))))


def _hashable(value: object) -> object:
    if isinstance(value, dict):
        return tuple((name, _hashable(value[name])) for name in sorted(value))
    return tuple(_hashable(one) for one in value) if isinstance(value, list | tuple) else value


LARGEST = 1e9
"""Largest size of a card's number: squares of a few such numbers, and what a batch or 1e9 pulses add up to, stay below
3.4e38, beyond which arithmetic in 32 bits is infinite."""
SMALLEST = 1e-15
"""Smallest number that something is divided by: its square stays well above 1e-38, below which 32 bits lose digits."""
WIDEST = 1e30
"""Largest time, frequency or rate; the smallest one is its reciprocal. They are never squared."""
LARGEST_SHARE = 1e3
"""Largest relative spread or noise: at a few times 1, a number is all noise."""
LARGEST_STEP = 1e3
"""Largest step of a pulse: that of an outlying cell, squared and 1e15 times over, is still finite in 32 bits."""
SMALLEST_SCALING = 1e-6
"""Least share of a device's range that a layer may be scaled to."""
REASONS = {
    SMALLEST: "32 bits cannot divide by less",
    1 / WIDEST: "32 bits hold no less",
    LARGEST_SHARE: "more has no meaning, and overflows in 32 bits",
    LARGEST: "squares of more overflow in 32 bits",
    -LARGEST: "squares of larger numbers overflow in 32 bits",
    WIDEST: "32 bits hold no more",
}
"""Why a field ends where it does, for messages."""

Positive = Annotated[float, Field(strict=True, ge=SMALLEST, le=LARGEST)]
Wide = Annotated[float, Field(strict=True, ge=1 / WIDEST, le=WIDEST)]
"""A time, a frequency, a resistance: units are fixed, so sizes differ by many decades."""
Rate = Annotated[float, Field(strict=True, gt=0, le=WIDEST)]
"""A learning rate: one that is too large makes a run diverge, and the run says so."""
Step = Annotated[float, Field(strict=True, ge=SMALLEST, le=LARGEST_STEP)]
"""What changes are divided by."""
NonNegative = Annotated[float, Field(strict=True, ge=0, le=LARGEST)]
Share = Annotated[float, Field(strict=True, ge=0, le=LARGEST_SHARE)]
"""A spread or noise relative to what it disturbs."""
Real = Annotated[float, Field(strict=True, ge=-LARGEST, le=LARGEST)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
