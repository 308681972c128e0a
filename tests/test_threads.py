"""A small net's bits do not depend on the number of cores; a large one uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from run_support import tiny

import noisyhw
from noisyhw.training.threads import computing_with, threads_for


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_small_nets_compute_on_one_thread_and_large_ones_on_all() -> None:
    torch.set_num_threads(2)
    small = noisyhw.build_chip(noisyhw.Device("ideal"), (64, 256, 10))
    large = noisyhw.build_chip(noisyhw.Device("ideal"), (3072, 1024, 10))
    assert threads_for(small, 400) == 1
    assert threads_for(large, 1000) == 2


def test_a_small_run_has_the_same_bits_whatever_the_number_of_threads(tmp_path: Path) -> None:
    metrics = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        run = tiny(tmp_path / str(threads))
        assert run.record["threads"] == 1
        assert torch.get_num_threads() == threads
        metrics.append(run.metrics.drop(columns="seconds"))
    assert metrics[0].equals(metrics[1])


def test_a_count_of_threads_holds_inside_and_is_put_back() -> None:
    torch.set_num_threads(2)
    with computing_with(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with computing_with(None):
        assert torch.get_num_threads() == 2
