"""Random streams: named, independent, and the same on any number of threads."""

from __future__ import annotations

import math

import pytest
import torch

from noisyhw.streams import LANE, normal_, stream


@pytest.mark.parametrize("count", [1000, 5 * LANE + 17])
def test_numbers_do_not_depend_on_the_number_of_threads(count: int) -> None:
    before = torch.get_num_threads()
    drawn = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        drawn.append(normal_(torch.empty(count), stream(0, "a")))
    torch.set_num_threads(before)
    assert torch.equal(*drawn)


def test_many_numbers_have_the_moments_of_few_and_their_lanes_do_not_correlate() -> None:
    drawn = normal_(torch.empty(8 * LANE), stream(1, "a"))
    assert abs(float(drawn.mean())) < 5 / math.sqrt(drawn.numel())
    assert abs(float(drawn.var()) - 1) < 5 * math.sqrt(2 / drawn.numel())
    correlation = torch.corrcoef(drawn.view(8, LANE)) - torch.eye(8)
    assert float(correlation.abs().max()) < 5.5 / math.sqrt(LANE)


def test_drawing_goes_on_where_it_stopped_and_other_names_draw_otherwise() -> None:
    one = stream(3, "a")
    first, second = (normal_(torch.empty(3 * LANE), one) for _ in range(2))
    again = stream(3, "a")
    assert torch.equal(first, normal_(torch.empty(3 * LANE), again))
    assert torch.equal(second, normal_(torch.empty(3 * LANE), again))
    assert not torch.equal(first, second)
    assert not torch.equal(first, normal_(torch.empty(3 * LANE), stream(3, "b")))
