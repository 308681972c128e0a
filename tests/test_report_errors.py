"""Standard errors count the seeds and the test images, and what may be chance is not told as a difference."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from report_support import SCALE, Settings, grid, make_sweep

from noisyhw.cards.experiment import TaskCard
from noisyhw.reporting.errors import UNKNOWN, Error, Images, bernoulli, error_of, images_of
from noisyhw.reporting.source import read_sources
from noisyhw.reporting.study import studies
from noisyhw.tasks import TASKS, get_task, load_data

DIGITS = Images(360)


def test_seeds_that_agree_on_360_shared_images_are_still_unsure_by_these() -> None:
    assert error_of([0.95] * 3, bernoulli(0.95), DIGITS).standard == pytest.approx(0.0115, abs=1e-4)
    assert error_of([0.95], bernoulli(0.95), DIGITS).standard == pytest.approx(0.0115, abs=1e-4)
    assert math.isnan(error_of([0.95], 0.0, UNKNOWN).standard)


def drawn(rng: np.random.Generator, shared: bool, seeds: int = 3, images: int = 360) -> np.ndarray:
    """Accuracies of seeds on images of mixed difficulty: every seed misses an image with that image's own chance."""
    chances = rng.beta(0.6, 5.4, (1 if shared else seeds, images))  # 0.1 on average
    return (rng.random((seeds, images)) > chances).mean(1)


@pytest.mark.parametrize("shared", [True, False])
def test_the_standard_error_is_not_below_the_truth_and_less_than_twice_it(shared: bool) -> None:
    """Over 2,000 studies: rms of the stated errors against the spread of the means, known to 1 / sqrt(4000)."""
    rng, images = np.random.default_rng(0), Images(360, shared)
    means, stated = [], []
    for _ in range(2000):
        values = drawn(rng, shared)
        means.append(values.mean())
        stated.append(error_of(values.tolist(), bernoulli(float(values.mean())), images).standard)
    truth, rms = np.std(means), math.sqrt(np.mean(np.square(stated)))
    assert rms > truth * (1 - 4 / math.sqrt(4000))
    assert rms < 2 * truth


@pytest.mark.parametrize("shared", [True, False])
def test_of_two_equal_rules_at_most_one_in_twenty_pairs_is_told_apart(shared: bool) -> None:
    """2,000 pairs of rules that miss the same images with the same chances; 4 standard errors of the share allowed."""
    rng, told, number = np.random.default_rng(1), 0, 2000
    for _ in range(number):
        chances = rng.beta(0.6, 5.4, (1 if shared else 3, 360))
        one, other = ((rng.random((3, 360)) > chances).mean(1) for _ in range(2))
        variance = bernoulli(float(one.mean())) + bernoulli(float(other.mean()))
        error = error_of((one - other).tolist(), variance, Images(360, shared))
        told += abs(float((one - other).mean())) > error.margin
    assert told / number < 0.05 + 4 * math.sqrt(0.05 * 0.95 / number)


def test_a_difference_of_many_standard_errors_is_told_apart() -> None:
    error = error_of([0.1, 0.11, 0.09], bernoulli(0.9) + bernoulli(0.8), DIGITS)
    assert error.margin < 0.1


def test_few_seeds_need_more_than_twice_their_spread() -> None:
    assert Error(0.01, 0.0, 3).margin == pytest.approx(0.0430, abs=1e-4)  # Student's t, 2 degrees: 4.30
    assert Error(0.01, 0.0, 1000).margin == pytest.approx(0.02)
    assert Error(math.nan, 0.01, 1).margin == pytest.approx(0.02)
    assert Error(math.nan, 0.0, 1).margin == math.inf


def test_what_a_run_is_tested_on_is_known_from_its_task() -> None:
    assert images_of([{}], "test_accuracy") == Images(360)
    assert images_of([{"task": {"folds": 3}}], "test_accuracy") == Images(599, shared=False)
    assert images_of([{"task": {"folds": 3, "fold": 1}}], "test_accuracy") == Images(599)
    assert images_of([{"task": {"name": "cifar10"}}], "test_accuracy") == Images(10_000)
    assert images_of([{"task": {"name": "sarcos"}}], "test_loss") == UNKNOWN
    assert images_of([{"task": {"name": "gone"}}], "test_accuracy") == UNKNOWN
    assert images_of([], "test_accuracy") == UNKNOWN


@pytest.mark.parametrize("options", [{}, {"folds": 3}, {"folds": 7}, {"held_out": 0.2}])
def test_a_task_has_at_least_the_test_samples_that_it_says(options: dict[str, float]) -> None:
    card = TaskCard.model_validate({"name": "digits"} | options)
    number = get_task("digits").test_samples(card)
    found = len(load_data(card).test_x)
    assert number is None if "held_out" in options else number in (found, found - 1)
    assert TASKS["sarcos"].test_samples(TaskCard(name="sarcos")) is None


def near(one: Settings) -> float:
    """Two rules a hundredth apart, and a third far below."""
    return {"np": 0.5, "anp": 0.94, "danp": 0.95}[one["rule"]] + 0.001 * one["seed"]


def test_a_page_tells_near_rules_not_apart_and_far_ones_apart(tmp_path: Path) -> None:
    rows = grid(devices=["rram"], rules=["np", "anp", "danp"], noise=[1])
    [study] = studies(read_sources([make_sweep(tmp_path / "s", rows, near)]))
    assert study.gaps is not None
    told = {tuple(cell.text for cell in row[-7:-5]): row[-1].text for row in study.gaps.rows}
    assert told == {("np", "anp"): "yes", ("np", "danp"): "yes", ("anp", "danp"): "not told apart"}
    assert study.points is not None
    assert study.points.columns[-5:] == ("mean", "s.e.", "low", "high", "n")
    assert float(study.points.rows[2][-4].text) == pytest.approx(0.0115, abs=2e-4)
    assert "360" in study.points.caption


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    """Seeds differ by 0.3, the rules by 0.1 in every one of them: on a loss nothing but that pairing counts."""

    def paired(one: Settings) -> float:
        return (
            1 + 0.3 * one["seed"] + 0.1 * (one["rule"] == "np") + 0.001 * one["seed"] * (one["rule"] == "np")
        )

    rows = grid(devices=["rram"], rules=["np", "danp"], noise=[1, 2])
    made = make_sweep(tmp_path / "s", rows, paired, metric="test_loss")
    [study] = studies(read_sources([made]))
    assert study.gaps is not None
    assert [row[-1].text for row in study.gaps.rows] == ["yes"] * 2
    assert SCALE in study.runs
