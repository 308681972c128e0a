"""Angles between a rule's update and BP's: linear theory, and Figures 2 and 8 on a small net from start to page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from cli_support import said_by
from support import normal

from noisyhw.reproduce import angle_studies
from noisyhw.reproduce.alignment import ALL, RULES, Angle, Bench, angle, measure
from noisyhw.reproduce.angle_page import _ranking, lacking, ordering
from noisyhw.reproduce.angle_studies import STUDIES, AngleStudy, run_angles, synthetic
from noisyhw.reproduce.precision import tf32

TINY = {
    "figure2": AngleStudy("figure2", (1, 3), (1e-6,), "digits", seeds=2, samples=40, hidden=(8, 8)),
    "figure8": AngleStudy(
        "figure8", (2,), (1e-10, 1e-6, 1e-4, 1e-1), "digits", seeds=2, samples=40, hidden=(8, 8)
    ),
}


def bench(seed: int = 0) -> Bench:
    x = normal(60, 20, seed=seed)
    target = torch.arange(60) % 5
    return Bench(x, target, (16, 16), 5, seed)


def last(rule: str, iterations: int, seeds: int = 8) -> list[Angle]:
    found = [list(measure(bench(seed), rule, 1e-6, (iterations,))) for seed in range(seeds)]
    return [angle for angles in found for angle in angles if angle.layer == ALL]


def test_an_angle_is_taken_over_all_matrices_as_one_vector() -> None:
    one, two = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert angle([one], [one]) == pytest.approx(0.0, abs=1e-5)
    assert angle([one], [two]) == pytest.approx(90.0)
    assert angle([one, two], [one, -two]) == pytest.approx(90.0)
    assert angle([one, two], [one, 0 * two]) == pytest.approx(45.0)
    assert angle([-one], [one]) == pytest.approx(180.0)
    assert angle([0 * one], [one]) == 90.0


@pytest.mark.parametrize("rule", ["inp", "np"])
def test_unbiased_rules_have_the_angle_of_the_linear_theory(rule: str) -> None:
    """tan^2 of the angle is the noise's share; over 64 nets its mean of 8 has a standard error of 3.6 %."""
    found = last(rule, 100)
    measured = sum(math.tan(math.radians(one.degrees)) ** 2 for one in found) / len(found)
    assert all(one.expected is not None for one in found)
    expected = sum(math.tan(math.radians(one.expected or 0.0)) ** 2 for one in found) / len(found)
    assert measured / expected == pytest.approx(1.0, abs=4.5 * 0.036)


def test_anp_is_biased_so_that_np_passes_it_with_enough_noise_averaged() -> None:
    few, many = ({rule: last(rule, n, 4) for rule in RULES} for n in (2, 400))
    mean = {rule: sum(one.degrees for one in found) / len(found) for rule, found in many.items()}
    assert mean["inp"] < mean["np"] < mean["anp"]
    start = {rule: sum(one.degrees for one in found) / len(found) for rule, found in few.items()}
    assert start["inp"] < start["anp"] < start["np"]


def test_np_and_anp_agree_in_the_first_layer() -> None:
    """It sees no noise of other layers; they differ by how |da|^2 varies between samples."""
    first = {
        rule: [one.degrees for one in measure(bench(), rule, 1e-6, (1, 10)) if one.layer == "hidden 1"]
        for rule in ("np", "anp")
    }
    assert first["np"] == pytest.approx(first["anp"], abs=5.0)


def test_the_same_bench_gives_the_same_angles_and_counts_its_passes() -> None:
    one, two = (list(measure(bench(), "inp", 1e-6, (1, 7))) for _ in range(2))
    assert one == two
    assert [(a.iterations, a.noisy_passes) for a in one if a.layer == ALL] == [(1, 3), (7, 21)]
    assert [a.layer for a in one[:4]] == ["hidden 1", "hidden 2", "output", ALL]


def test_the_ranking_is_read_from_means_over_seeds() -> None:
    rows = [("np", 1, 80.0), ("np", 1, 90.0), ("anp", 1, 84.0), ("anp", 1, 84.0), ("inp", 1, 70.0)]
    table = pd.DataFrame(rows, columns=["rule", "iterations", "degrees"]).assign(layer=ALL)
    assert ordering(table, ALL) == {1: "inp < anp < np"}


def angles_of(orders: dict[int, str], seeds: int = 3) -> pd.DataFrame:
    """A table in which the rules have these orders at these numbers of iterations, in every seed."""
    rows = [
        (rule, seed, at, 10.0 + place, ALL)
        for at, order in orders.items()
        for seed in range(seeds)
        for place, rule in enumerate(order.split(" < "))
    ]
    return pd.DataFrame(rows, columns=["rule", "seed", "iterations", "degrees", "layer"])


def test_an_order_that_ends_with_more_iterations_is_told_as_far_as_it_goes() -> None:
    papers = "inp < anp < np"
    ends = _ranking(angles_of({1: papers, 4: papers, 16: "inp < np < anp"}), ALL, papers, [])
    assert str(ends.verdict) == "differs: holds up to 4"
    assert ends.seen.endswith("(6 of 9 counts and seeds have the paper's order)")
    assert str(_ranking(angles_of({1: papers, 4: papers}), ALL, papers, []).verdict) == "reproduced"
    assert str(_ranking(angles_of({1: "np < anp < inp", 4: papers}), ALL, papers, []).verdict) == "differs"


def test_angles_on_other_inputs_than_the_papers_get_no_final_verdict() -> None:
    assert lacking(STUDIES["figure2"]) == lacking(STUDIES["figure8"]) == []
    other = replace(STUDIES["figure2"], inputs="cifar10")
    assert lacking(other) == ["on cifar10, where the paper's are synthetic"]
    assert (other.page, STUDIES["figure2"].page) == ("figure-2-cifar10", "figure-2")


def test_rules_meet_at_the_same_numbers_of_passes_in_figure_7() -> None:
    counts = STUDIES["figure2"].iterations
    layers = len(STUDIES["figure2"].hidden) + 1
    assert len(set(counts) & {layers * count for count in counts}) == len(counts) - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_figure_of_angles_is_measured_once_drawn_and_judged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("noisyhw.reproduce.command.STUDIES", TINY)
    options = ["--runs", tmp_path / "runs", "--out", tmp_path, "--seeds", 2]
    said = said_by(capsys, "reproduce", name, *options)
    page = TINY[name].page
    assert (said.code, said.out) == (0, f"{tmp_path / page}.md\n")
    text = (tmp_path / f"{page}.md").read_text()
    assert "| partial: 2 of 3 seeds, on digits, where the paper's are" in text
    assert "reproduced |" not in text
    assert f"noisyhw reproduce {name} --seeds 2" in text
    kept = pd.read_csv(tmp_path / f"{page}.csv")
    assert set(kept.rule) == set(RULES)
    assert kept.degrees.between(0, 180).all()
    for kind in ("png", "svg"):
        assert (tmp_path / f"{page}.{kind}").stat().st_size > 1000

    def never(*arguments: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(angle_studies, "measure", never)
    assert said_by(capsys, "reproduce", name, *options).code == 0
    capsys.readouterr()
    assert "6 measured parts kept" in said_by(capsys, "reproduce", "--list", *options).out


def test_parts_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    small = replace(TINY["figure2"], seeds=1, iterations=(1,))
    one = run_angles(small, tmp_path, None)
    two = run_angles(replace(small, hidden=(8, 9)), tmp_path, None)
    assert len(list(tmp_path.glob("*.csv"))) == 6
    assert one.degrees.tolist() != two.degrees.tolist()


def test_synthetic_data_is_as_large_as_cifar10() -> None:
    data = synthetic(replace(STUDIES["figure2"], samples=50))
    assert data.train_x.shape == (500, 3072)
    assert data.train_x.std().item() == pytest.approx(1.0, abs=0.01)
    assert 0 <= int(data.train_y.min()) <= int(data.train_y.max()) < 10


def test_tf32_keeps_ten_bits_of_a_number() -> None:
    step = 2.0**-10
    given = torch.tensor([1.0, 1 + step, 1 + 0.4 * step, 1 + 0.6 * step, -1 - 0.6 * step, 3e-30, 0.0])
    wanted = torch.tensor([1.0, 1 + step, 1.0, 1 + step, -1 - step, 3e-30, 0.0])
    assert torch.equal(tf32(given)[[0, 1, 2, 3, 4, 6]], wanted[[0, 1, 2, 3, 4, 6]])
    assert tf32(given)[5].item() == pytest.approx(3e-30, rel=step / 2)


def test_tf32_products_lose_small_perturbations_and_float32_ones_do_not() -> None:
    """The paper's Figure 8 grows below 1e-7, as TF32 rounds a change of 1e-5 in a number near 1 away."""
    found = {
        (precision, variance): list(measure(replace(bench(), precision=precision), "np", variance, (400,)))[
            -1
        ]
        for precision in ("float32", "tf32")
        for variance in (1e-6, 1e-10)
    }
    degrees = {key: one.degrees for key, one in found.items()}
    assert degrees["float32", 1e-10] == pytest.approx(degrees["float32", 1e-6], abs=1.0)
    assert degrees["tf32", 1e-6] == pytest.approx(degrees["float32", 1e-6], abs=3.0)
    assert degrees["tf32", 1e-10] > degrees["float32", 1e-10] + 10
