"""The schema of closed-loop programming: a cell is read after it was programmed, and programmed again if need be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Card, Fraction, NonNegative, Positive


class Verify(Card):
    """Write and verify: program, read, and program again while |read - target| > tolerance."""

    tolerance: Positive = Field(description="Largest accepted |read - target|, in weight units.")
    max_rounds: Annotated[int, Field(strict=True, ge=2, le=1000)] = Field(
        10,
        description="Most programming events of one write, the first among them; the last is not verified.",
    )
    read_std: NonNegative = Field(
        0.0,
        description="Std of a verifying read about the cell's weight, in weight units; drawn at each read.",
    )
    correction_noise: Fraction | None = Field(
        None,
        description="Empty: a retry programs the cell afresh, with a fresh error of the full std. Else it moves the "
        "cell by target - read, with Gaussian noise of this share of the move (at most 1: with more, retries do not "
        "close in); drawn at each retry.",
    )
