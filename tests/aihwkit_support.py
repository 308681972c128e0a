"""What the tests of the second backend share: skipping where it is missing, cards for both backends, moments."""

from __future__ import annotations

import math
from typing import Any

import pytest
from torch import Tensor

from noisyhw.cards import load_device, shipped_devices
from noisyhw.cards.device import DeviceCard
from noisyhw.errors import UsageError
from noisyhw.tiles.aihwkit import prove


def why_not() -> str | None:
    """Why aihwkit cannot be used here; None: it can."""
    try:
        prove()
    except UsageError as error:
        return str(error)
    return None


needs_aihwkit = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

LIST_BIAS = 5 / math.sqrt(32768)
"""aihwkit draws a tile's CPU noise from a fixed list of 32,768 Gaussians, made anew for each tile. Its mean is thus off
by up to this many sigma, at five standard errors (one tile in three is off by more than 0.0055), and so is its std. The
list is seeded by the clock: these tests cannot fix it."""
SHIPPED = sorted(name for name in shipped_devices() if load_device(name).backend == "aihwkit")


def on(backend: str, **blocks: Any) -> DeviceCard:
    """A card for one of the backends."""
    return DeviceCard.model_validate({"name": "test", "backend": backend, **blocks})


def preset(name: str) -> DeviceCard:
    """A card that is an aihwkit preset."""
    return on("aihwkit", preset=name)


def assert_same_mean(one: Tensor, two: Tensor, slack: Tensor | float = 0.0, sigmas: float = 5.0) -> None:
    """The means over the first dimension agree within ``sigmas`` standard errors and the slack, for every cell."""
    one, two = one.double(), two.double()
    error = (one.var(0) / len(one) + two.var(0) / len(two)).sqrt()
    assert bool(((one.mean(0) - two.mean(0)).abs() <= sigmas * error + slack + 1e-6).all())


def assert_same_variance(one: Tensor, two: Tensor, share: float = 0.0, sigmas: float = 5.0) -> None:
    """The variances over the first dimension agree within ``sigmas`` standard errors and a share, for every cell."""
    found, error = zip(*(_variance(values.double()) for values in (one, two)), strict=True)
    limit = sigmas * (error[0].square() + error[1].square()).sqrt() + share * found[1] + 1e-9
    assert bool(((found[0] - found[1]).abs() <= limit).all())


def _variance(values: Tensor) -> tuple[Tensor, Tensor]:
    centred = values - values.mean(0)
    variance = centred.square().mean(0)
    return variance, (centred.pow(4).mean(0) - variance.square()).clamp(min=0).sqrt() / math.sqrt(len(values))
