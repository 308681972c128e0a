"""The schema of a pulsed cell's step shape: how the size of a step depends on the present weight."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .base import Card, Fraction, NonNegative, Positive, Real, Share


class ExponentialShape(Card):
    """Step up times max(1 - A_up exp(gamma_up z), 0), step down times max(1 - A_down exp(-gamma_down z), 0).

    z = 2 a w / (max - min) + b, with each cell's own bounds.
    """

    kind: Literal["exponential"]
    A_up: Real = Field(
        description="Factor of the exponential, pulses up; negative: the step shrinks upwards."
    )
    A_down: Real = Field(description="Factor of the exponential, pulses down.")
    gamma_up: Real = Field(description="Exponent per unit of z, pulses up.")
    gamma_down: Real = Field(description="Exponent per unit of z, pulses down.")
    a: Real = Field(description="Slope of z over half the weight range.")
    b: Real = Field(0.0, description="z at weight zero.")


class PowerShape(Card):
    """Step up times ((max - w) / (max - min))^exponent_up, step down times ((w - min) / (max - min))^exponent_down."""

    kind: Literal["power"]
    exponent_up: NonNegative = Field(
        description="Exponent of the distance to max, pulses up; 1: a soft bound."
    )
    exponent_down: NonNegative = Field(description="Exponent of the distance to min, pulses down.")
    exponent_spread: Share = Field(
        0.0, description="Device-to-device std of both exponents, as a share of each; drawn once per cell."
    )


class TableShape(Card):
    """Measured steps, linear between the given weights and constant beyond the first and the last.

    A cell whose bounds differ from the card's has the table stretched to its own bounds.
    """

    kind: Literal["table"]
    weights: tuple[Real, ...] = Field(min_length=2, description="Where steps were measured, rising weights.")
    up: tuple[NonNegative, ...] = Field(description="Step up at each of 'weights', as a multiple of 'step'.")
    down: tuple[NonNegative, ...] = Field(description="Step down at each of 'weights', likewise.")

    @model_validator(mode="after")
    def _one_step_a_weight(self) -> Self:
        if not len(self.weights) == len(self.up) == len(self.down):
            counts = f"{len(self.weights)}, {len(self.up)} and {len(self.down)}"
            raise ValueError(f"'weights', 'up' and 'down' need as many values each, got {counts}")
        if any(first >= second for first, second in pairwise(self.weights)):
            raise ValueError("'weights' must rise from each value to the next")
        return self


Shape = Annotated[ExponentialShape | PowerShape | TableShape, Field(discriminator="kind")]


class ExponentialDecay(Card):
    """Step of a one-sided pair's half times floor + (1 - floor) exp(-rate g / bound)."""

    rate: Positive = Field(description="Exponent between conductance 0 and the bound.")
    floor: Fraction = Field(0.0, description="What is left of the step at last, as a share of it.")
