"""The test run's own checks refuse what does not fit."""

from __future__ import annotations

import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from shape_checks import checked
from support import make_card, make_tile
from torch import Tensor

from noisyhw.streams import normal_


def test_a_wrong_plain_type_is_refused() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        normal_(torch.zeros(3), 5)  # type: ignore[arg-type]


def test_shapes_that_contradict_each_other_are_refused() -> None:
    tile = make_tile(make_card(), torch.zeros(3, 2))
    x, signal = torch.zeros(4, 2), torch.zeros(4, 3)
    tile.update(x, signal, 0.1)
    with pytest.raises(BeartypeCallHintViolation):
        tile.update(x[:3], signal, 0.1)


def flipped(x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    return x.T


def test_a_result_of_another_shape_than_the_arguments_say_is_refused() -> None:
    flip = checked(flipped, typechecker=beartype)
    flip(torch.zeros(3, 3))
    with pytest.raises(BeartypeCallHintViolation):
        flip(torch.zeros(2, 3))
