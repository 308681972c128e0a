"""What all cards share: strict fields, frozen values, no NaN."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Card(BaseModel):
    """A checked, frozen piece of a YAML card; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


LARGEST = 1e30
"""Beyond this, arithmetic in 32 bits is infinite."""

Positive = Annotated[float, Field(strict=True, gt=0, le=LARGEST)]
Step = Annotated[float, Field(strict=True, ge=1e-30, le=LARGEST)]
"""What changes are divided by."""
NonNegative = Annotated[float, Field(strict=True, ge=0, le=LARGEST)]
Real = Annotated[float, Field(strict=True, ge=-LARGEST, le=LARGEST)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=1, le=10**9)]
