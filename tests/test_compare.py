"""`noisyhw compare`: every rule that a device grants, tuned by one budget, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from cli_support import said_by

from noisyhw.cards import load_experiment
from noisyhw.rules import RULES
from noisyhw.rules.random_feedback import DirectFeedbackAlignment, FeedbackAlignment
from noisyhw.sweeps import load
from noisyhw.sweeps.compare import Comparison, _granted, _rising, compare
from noisyhw.training.resolve import resolve

SHORT = ["batch=300", "network.hidden=[8]"]


def short(out: Path, rules: Sequence[str] | None = ("danp", "dalf"), **given: object) -> Comparison:
    return compare(
        "rram",
        rules=rules,
        scales=(1.0, 10.0),
        epochs=2,
        seeds=2,
        sets=SHORT,
        out=out,
        engine="serial",
        **given,
    )


def test_every_rule_gets_the_same_candidates_and_its_best_one(tmp_path: Path) -> None:
    found = short(tmp_path, paths=("mixed_precision", "on_tile"))
    tried = load(tmp_path / "search").groupby(["rule", "update.path"])["update.learning_rate"].agg(list)
    assert set(map(tuple, tried)) == {(0.03, 0.3)}
    assert len(tried) == 4
    assert set(found.table.rate) <= {0.03, 0.3}
    assert list(found.table["mean"]) == sorted(found.table["mean"], reverse=True)
    measured = load(tmp_path)
    for row in found.table.itertuples():
        own = measured[(measured["rule"] == row.rule) & (measured["update.path"] == row.path)]
        assert (row.n, row.lost) == (2, 0)
        assert row.mean == pytest.approx(own.test_accuracy.mean())
        assert (row.low, row.high) == (own.test_accuracy.min(), own.test_accuracy.max())
        assert row.passes == 2
        assert row.pulses_per_weight == pytest.approx(own.pulses_per_weight.mean())


def test_a_comparison_that_is_done_is_not_done_again_and_may_be_asked_for_fewer_rules(tmp_path: Path) -> None:
    first = short(tmp_path)
    finished = load(tmp_path).finished
    again = short(tmp_path, rules=("danp",))
    assert set(again.table.rule) == {"danp"}
    assert again.table["mean"].tolist() == first.table[first.table.rule == "danp"]["mean"].tolist()
    assert set(load(tmp_path).finished) <= set(finished)


def named(granted: Sequence[object]) -> set[str]:
    return {one["name"] if isinstance(one, dict) else str(one) for one in granted}


def test_a_device_grants_all_rules_whose_ports_it_has(tmp_path: Path) -> None:
    port = tmp_path / "port.yaml"
    port.write_text("extends: rram\nname: port\nweight_perturbation: true\n")
    rram, left_out = _granted("rram", "digits", ())
    assert set(left_out) == {"wp"}
    assert len(rram) == len(RULES) - 1
    assert {"name": "dbp", "oracle": True} in rram
    for device in ("ideal", str(port)):
        granted, left_out = _granted(device, "digits", ())
        assert len(granted) == len(RULES)
        assert not left_out
    images, left_out = _granted("ideal", "digits", ("network.conv=[{channels: 4}]",))
    assert set(left_out) == {"fa", "mirror"} == {name for name, rule in RULES.items() if rule.chain_only}
    assert named(images) == {f"d{name}" for name in RULES} - {"dfa", "dmirror"}


def test_decorrelated_feedback_alignment_is_not_direct_feedback_alignment() -> None:
    asked = {"device": "ideal", "rule": {"name": "fa", "decorrelate": True}}
    card = resolve(load_experiment(None, asked)).rule
    assert (card.name, card.decorrelate) == ("fa", True)
    assert RULES["fa"] is FeedbackAlignment
    assert RULES["dfa"] is DirectFeedbackAlignment


@pytest.mark.parametrize(
    ("metric", "ends", "rising"),
    [
        ("test_accuracy", [(0.5, 0.6), (0.5, 0.61), (0.5, 0.62)], True),
        ("test_accuracy", [(0.5, 0.6), (0.5, 0.45), (0.5, 0.5)], False),
        ("test_accuracy", [(0.5, 0.5), (0.5, 0.5), (0.5, 0.5)], False),
        ("test_loss", [(0.5, 0.4), (0.5, 0.41), (0.5, 0.42)], True),
        ("test_loss", [(0.5, 0.6), (0.5, 0.61), (0.5, 0.62)], False),
    ],
)
def test_a_curve_is_still_improving_where_its_last_tenth_is_better_by_two_standard_errors(
    metric: str, ends: list[tuple[float, float]], rising: bool
) -> None:
    rows = [
        {"identity": str(seed), "epoch": epoch, metric: last if epoch > 18 else before}
        for seed, (before, last) in enumerate(ends)
        for epoch in range(1, 21)
    ]
    assert _rising(pd.DataFrame(rows), metric) is rising
    assert _rising(pd.DataFrame(rows[:1]), metric) is False


def test_the_command_prints_the_table_and_writes_figure_table_and_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sets = [part for one in SHORT for part in ("--set", one)]
    asked = [
        "--device",
        "rram",
        "--rule",
        "danp",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--engine",
        "serial",
        *sets,
    ]
    said = said_by(capsys, "compare", *asked, "--quiet", "--out", tmp_path / "out")
    assert said.code == 0
    assert "numbers a weight" in said.out
    assert "danp" in said.out
    for name in ("compare.png", "compare.svg", "compare.csv", "report/index.html"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    rows = json.loads(said_by(capsys, "compare", *asked, "--json", "--out", tmp_path / "out").out)["rows"]
    assert [row["rule"] for row in rows] == ["danp"]
    wrong = said_by(capsys, "compare", *asked, "--rule", "nix", "--out", tmp_path / "out")
    assert wrong.code == 2
    assert "unknown rule 'nix'" in wrong.err
