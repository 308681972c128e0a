"""Break points by synthetic sweeps whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from noisyhw.reporting.axes import axis
from noisyhw.reporting.breaks import Line, break_lines, with_values
from noisyhw.reporting.layout import Layout
from noisyhw.reporting.source import EXPERIMENT
from noisyhw.reporting.statistics import best_of_others, spread_error

X = "device.read_noise.scale"
LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
CHANCE = 0.1


def line(values: np.ndarray, metric: str, nothing: float, status: np.ndarray | None = None) -> Line:
    """The break point of one rule's runs: a row a seed, a column a level."""
    seeds, levels = np.indices(values.shape)
    runs = pd.DataFrame(
        {
            "task": "made up",
            "device": "rram",
            "rule": "np",
            X: np.array(LEVELS)[levels.ravel()],
            "seed": seeds.ravel(),
            "status": "done" if status is None else status.ravel(),
            metric: values.ravel(),
            EXPERIMENT: None,
        }
    )
    layout = Layout(metric, "rule", ("device",), (X,))
    assert axis(X, runs[X].tolist()).log
    [found] = break_lines(with_values(runs, metric, nothing), layout, X, nothing, {})
    return found


@pytest.mark.parametrize("lost", [-1705.0, math.inf, math.nan, "diverged"])
@pytest.mark.parametrize("metric", ["test_loss", "test_accuracy"])
def test_a_run_that_blew_up_and_finished_counts_as_one_that_diverged(metric: str, lost: float | str) -> None:
    """One of three seeds at 4 times the noise is worse than nothing by any amount: the mean has 2/3 of the lead."""
    best, nothing = (0.9, CHANCE) if metric == "test_accuracy" else (1.0, 20.0)
    share = np.repeat([[1.0, 1, 1, 1, 1, 1, 0.25, 0]], 3, axis=0)
    values = nothing + (best - nothing) * share
    status = np.full(values.shape, "done", dtype=object)
    if lost == "diverged":
        status[0, 5] = lost
    elif metric == "test_loss":
        values[0, 5] = nothing + (best - nothing) * float(lost)  # type: ignore[arg-type]
    else:
        values[0, 5] = 0.0 if lost == -1705.0 else math.nan
    found = line(values, metric, nothing, status)
    assert found.point is not None
    # a mean of 2/3 at 4 and 1/4 at 8 is half at 4 * 2 ** ((2/3 - 1/2) / (2/3 - 1/4))
    assert found.point.value == pytest.approx(4 * 2 ** (2 / 5))
    assert found.point.between == (4.0, 8.0)


def noisy(rng: np.random.Generator, truth: np.ndarray, std: float, repeats: int) -> np.ndarray:
    return truth + std * rng.standard_normal((repeats, 3, len(truth)))


def test_the_own_best_of_equal_levels_is_not_above_their_truth() -> None:
    """The largest of eight means of three would be 1.42 std / sqrt(3) too high: 0.016 here."""
    std, repeats = 0.02, 2000
    sweeps = noisy(np.random.default_rng(0), np.full(8, 0.9), std, repeats)
    found = np.array([np.mean(best_of_others(one.tolist(), True)[0]) for one in sweeps])
    error = std / math.sqrt(3 * repeats)
    assert abs(found.mean() - 0.9) < 4 * error
    largest = sweeps.mean(1).max(1).mean()
    assert largest - 0.9 == pytest.approx(1.42 * std / math.sqrt(3), rel=0.05)


def test_the_own_best_of_a_loss_is_not_below_its_truth() -> None:
    std, repeats = 0.02, 2000
    sweeps = noisy(np.random.default_rng(1), np.full(8, 0.5), std, repeats)
    found = np.array([np.mean(best_of_others(one.tolist(), False)[0]) for one in sweeps])
    assert abs(found.mean() - 0.5) < 4 * std / math.sqrt(3 * repeats)


def test_the_own_best_is_the_best_level_where_one_stands_out() -> None:
    table = [[0.8, 0.9, 0.7], [0.81, 0.91, 0.71], [0.79, 0.89, math.nan]]
    assert best_of_others(table, True) == ((0.9, 0.91, 0.89), (1, 1, 1))
    assert best_of_others(table, False)[1] == (2, 2)  # the third seed has none there


def test_with_a_single_seed_nothing_is_chosen() -> None:
    assert best_of_others([[math.nan, 0.8, 0.9]], True) == ((0.8,), (1,))


def test_a_seed_without_a_value_takes_nothing_from_the_others() -> None:
    missing = [math.nan] * 3
    assert best_of_others([[0.9, 0.8, 0.1], missing], True) == best_of_others([[0.9, 0.8, 0.1]], True)


def test_the_half_way_mark_of_a_sweep_has_no_luck_in_it() -> None:
    """Half of the lead, over 60 sweeps: the mean is the truth's within 4 standard errors, 0.0045."""
    truth, std, repeats = np.array([0.9] * 7 + [0.2]), 0.03, 60
    sweeps = noisy(np.random.default_rng(2), truth, std, repeats)
    leads = [line(one, "test_accuracy", CHANCE).lead for one in sweeps]
    halves = np.array([lead.half for lead in leads if lead is not None])
    assert abs(halves.mean() - 0.5) < 4 * (std / math.sqrt(3) / 2) / math.sqrt(repeats)


def test_the_standard_error_of_a_mean_is_that_of_its_spread() -> None:
    assert spread_error([1.0, 2.0, 3.0]) == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(spread_error([1.0]))
