"""What a report says: means and ranges, break points, what is drawn where, and that nothing is dropped unsaid."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from cli_support import said_by
from report_support import SCALE, Settings, falling, grid, make_sweep
from sweep_support import SMALL

import noisyhw
from noisyhw.errors import RunError
from noisyhw.reporting import report
from noisyhw.reporting.axes import axis, label, places_of, setting, short
from noisyhw.reporting.breaks import nothing_learned
from noisyhw.reporting.layout import lay_out
from noisyhw.reporting.learning import band
from noisyhw.reporting.page import fenced, markdown_text
from noisyhw.reporting.source import flattened, read_sources
from noisyhw.reporting.statistics import Lead, break_point, by_factors, crossing, summarize, unbeaten
from noisyhw.reporting.study import Study, studies
from noisyhw.sweeps.asked import asked, read_asked
from noisyhw.sweeps.store import Store
from noisyhw.tasks import TASKS
from noisyhw.tasks.base import Data

NAN, NEVER = math.nan, math.inf


def floats(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values]


# Statistics.


def test_a_point_is_the_mean_lowest_and_highest_of_its_runs_that_ended_well() -> None:
    runs = pd.DataFrame(
        {
            "rule": ["np"] * 4 + ["bp"],
            "status": ["done", "done", "diverged", "failed", "to do"],
            "test_accuracy": [0.2, 0.6, 0.9, NAN, NAN],
        }
    )
    found = summarize(runs, ["rule"], "test_accuracy").set_index("rule")
    assert found.loc["np", ["mean", "low", "high"]].tolist() == [0.4, 0.2, 0.6]
    assert found.loc["np", ["n", "diverged", "failed", "to do"]].tolist() == [2, 1, 1, 0]
    assert found.loc["bp", ["n", "to do"]].tolist() == [0, 1]
    assert math.isnan(found.loc["bp", "mean"])


@pytest.mark.parametrize(
    ("values", "leads", "expected"),
    [
        ((0, 1, 2), (1, 0.75, 0.25), 1.5),
        ((0, 1, 2), (1, 1, 0.5), NEVER),  # half is not below half
        ((0, 1, 2), (0.4, 1, 1), NEVER),
        ((0, 1, 2), (1, NAN, 0), 1.0),  # what is missing is passed over
        ((0, 1, 2, 3), (1, 0, 1, 0), 2.5),  # the last fall counts
        ((0, 1, 2, 3), (1, 0, 1, 1), NEVER),
        ((0, 1), (0.4, 0.3), 0),
        ((8, 6, 4), (1, 0.9, 0.1), 5.0),  # harsh at the low end
        ((0, 1), (NAN, NAN), NAN),
    ],
)
def test_a_curve_crosses_half_where_a_ruler_says(
    values: tuple[float, ...], leads: tuple[float, ...], expected: float
) -> None:
    assert crossing(floats(values), floats(leads)) == pytest.approx(expected, nan_ok=True)


def test_between_factors_the_logarithm_is_linear_and_from_zero_the_value_is() -> None:
    assert crossing((1.0, 4.0), (0.75, 0.25), by_factors) == pytest.approx(2)
    assert crossing((0.0, 4.0), (0.75, 0.25), by_factors) == pytest.approx(2)
    assert crossing((1.0, 16.0), (1.0, 0.0), by_factors) == pytest.approx(4)


def test_a_break_point_is_the_means_with_the_seeds_own_first_and_last() -> None:
    found = break_point((0.0, 1.0, 2.0), [[1.0, 0.8, 0.0], [1.0, 0.4, 0.0], [1.0, 0.6, 0.0]])
    assert found.value == pytest.approx(1 + 0.1 / 0.6)  # of (1, 0.6, 0)
    assert found.low == pytest.approx(0.5 / 0.6)
    assert found.high == pytest.approx(1 + 0.3 / 0.8)
    assert found.seeds == 3


def test_a_break_point_tells_what_it_was_measured_between_and_an_earlier_dip() -> None:
    found = break_point((0.0, 1.0, 2.0, 4.0), [[1.0, 0.4, 0.7, 0.2]] * 2)
    assert (found.between, found.dip) == ((2.0, 4.0), 1.0)
    steady = break_point((0.0, 1.0, 2.0, 4.0), [[1.0, 0.8, 0.7, 0.6]] * 2)
    assert (steady.value, steady.between, steady.dip) == (NEVER, None, None)
    back = break_point((0.0, 1.0, 2.0), [[1.0, 0.4, 0.7]])
    assert (back.value, back.between, back.dip) == (NEVER, None, 1.0)


def test_a_seed_that_dips_early_does_not_put_the_break_point_outside_its_own_range() -> None:
    """Accuracies over half the lead of np on rram, digits, noise 0.5 to 8 times the card's."""
    seeds = [[1.0, 0.45, 0.7, 0.52, 0.1], [1.0, 0.6, 0.8, 0.48, 0.1], [1.0, 0.6, 0.7, 0.53, 0.1]]
    found = break_point((0.5, 1.0, 2.0, 4.0, 8.0), seeds, by_factors)
    assert found.low <= found.value <= found.high


def test_a_seed_that_never_breaks_is_the_last_one_whichever_end_is_harsh() -> None:
    up = break_point((0.0, 1.0), [[1.0, 0.0], [1.0, 0.6]])
    down = break_point((8.0, 4.0), [[1.0, 0.0], [1.0, 0.6]])
    assert (up.low, up.high) == (0.5, NEVER)
    assert (down.low, down.high) == (6, NEVER)


def test_a_break_point_of_bits_is_first_at_the_larger_number() -> None:
    found = break_point((8.0, 4.0), [[1.0, 0.0], [0.75, 0.25], [1.0, 0.25]])
    assert (found.low, found.high) == (6, pytest.approx(8 - 4 * 0.5 / 0.75))


@pytest.mark.parametrize(
    ("ideal", "nothing", "higher", "why"),
    [
        ((0.9, 0.8), 0.1, True, None),
        ((0.1, 0.1), 0.1, True, "nothing is learned"),
        ((0.05, 0.05), 0.1, True, "nothing is learned"),
        ((0.2, 0.8), 0.1, True, "seeds differ by more than half the lead"),
        ((0.2, 0.3), 1.0, False, None),
        ((1.2,), 1.0, False, "nothing is learned"),
    ],
)
def test_a_lead_is_halved_only_where_every_seed_has_one(
    ideal: tuple[float, ...], nothing: float, higher: bool, why: str | None
) -> None:
    assert Lead(ideal, nothing).why_none(higher) == why


def test_half_of_a_lead_lies_between_the_best_and_nothing() -> None:
    assert Lead((0.9, 0.8), 0.1).half == pytest.approx(0.475)
    assert Lead((0.2,), 1.0).half == pytest.approx(0.6)


def test_points_that_no_cheaper_or_better_one_beats_are_the_pareto_front() -> None:
    assert unbeaten([1.0, 2.0, 2.0, 4.0, 1.0], [0.5, 0.7, 0.6, 0.7, 0.5]) == [True, True, False, False, True]


def test_a_band_covers_the_epochs_that_all_seeds_have() -> None:
    found = band([([1, 2, 3], [1.0, 2.0, 3.0]), ([1, 2], [3.0, 6.0])])
    assert found.index.tolist() == [1, 2]
    assert found.loc[2].tolist() == [4.0, 2.0, 6.0]


@pytest.mark.parametrize(("metric", "expected"), [("test_accuracy", 0.1), ("test_loss", None)])
def test_nothing_learned_is_chance_for_classes(metric: str, expected: float | None) -> None:
    assert nothing_learned({}, metric) == expected


class Ramp(type(TASKS["sarcos"])):  # type: ignore[misc]
    """Targets (0, 0), (2, 4) in training, (3, 2) in test; 10 squared units."""

    name = "ramp"
    kind = "regression"
    here: str | None = "built in"

    def load(self, card: Any = None, data_dir: Path | None = None) -> Data:
        x = torch.zeros(2, 1)
        return Data(
            x,
            torch.tensor([[0.0, 0.0], [2.0, 4.0]]),
            x[:1],
            torch.tensor([[3.0, 2.0]]),
            version="1",
            loss_scale=10.0,
        )

    def found(self, data_dir: Path | None) -> str | None:
        return self.here


def test_nothing_learned_is_the_loss_of_the_training_mean_for_a_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TASKS, "ramp", Ramp())
    assert nothing_learned({"name": "ramp"}, "test_loss") == pytest.approx(10 * (2**2 + 0**2) / 2)
    monkeypatch.setattr(Ramp, "here", None)
    assert nothing_learned({"name": "ramp"}, "test_loss") is None
    assert nothing_learned({"name": "gone"}, "test_loss") is None


# Axes.


@pytest.mark.parametrize(
    ("values", "kind", "log"),
    [
        ((0, 0.25, 0.5, 1, 2, 4), "number", True),
        ((0.0, 0.01, 0.03, 0.1, 0.3), "number", True),
        ((3, 4, 5, 6, 7, 8, 9, 10, 12), "number", False),
        ((1, 2, 3), "number", False),
        ((0, 1), "number", False),
        ((-1, 1, 10, 100), "number", False),
        (("0s", "1min", "1h", "1d", "1y"), "age", True),
        (("white", "1/f"), "category", False),
        ((True, False), "category", False),
    ],
)
def test_an_axis_is_logarithmic_where_the_grid_is_geometric(values: Any, kind: str, log: bool) -> None:
    found = axis("x", list(values))
    assert (found.kind, found.log) == (kind, log)
    assert len(set(found.places)) == len(found.values) == len(values)


def test_zero_stands_one_step_left_of_the_smallest_factor() -> None:
    found = axis("x", [4, 0, 1, 2, None])
    assert found.values == (0, 1, 2, 4)
    assert np.diff(found.places) == pytest.approx([math.log10(2)] * 3)
    assert places_of([0.5], found.numbers)[0] == pytest.approx(-math.log10(2) / 2)


def test_fields_have_names_and_units_that_people_read() -> None:
    assert label(SCALE) == "read noise (times the card's)"
    assert label("device.drift.t0_s") == "drift t0 (s)"
    assert setting(SCALE, 4.0) == "read noise ×4"
    assert setting("device", "rram") == "rram"
    assert short(None) == short(NAN) == "–"
    assert short(0.123456) == "0.1235"


def laid_out(rows: list[Settings]) -> Any:
    runs = pd.DataFrame(rows).assign(test_accuracy=0.5)
    return lay_out(runs, [name for name in runs if name not in ("seed", "test_accuracy")])


def test_rules_are_lines_devices_are_panels_and_numbers_are_axes() -> None:
    found = laid_out(grid())
    assert (found.metric, found.hue, found.panels, found.xs) == (
        "test_accuracy",
        "rule",
        ("device",),
        (SCALE,),
    )


def test_with_one_rule_words_are_lines() -> None:
    rows = [one | {"update.path": path} for one in grid(rules=["danp"]) for path in ("sgd", "adam")]
    assert laid_out(rows).hue == "update.path"


def test_a_labelled_list_is_one_axis() -> None:
    rows = [
        {"task": "digits", "device": "rram", "rule": rule, "label": name, "device.stuck.share": share}
        for rule in ("np", "bp")
        for name, share in (("none", None), ("few", 0.1), ("many", 0.3))
    ]
    assert laid_out(rows).keys == ["device", "rule", "label"]


def test_numbers_drawn_at_random_are_points_and_no_lines() -> None:
    rows = [one | {"decorrelation.rate": 1e-3 * (i + 1)} for i, one in enumerate(grid(noise=[1], seeds=10))]
    assert laid_out(rows).sampled == ("decorrelation.rate",)


# Sources and studies.


def studied(*folders: Path) -> list[Study]:
    return studies(read_sources(folders))


def cells(study: Study) -> list[list[str]]:
    return [[cell.text for cell in row] for table in study.breaks for row in table.rows]


def test_the_break_point_of_a_sweep_is_where_the_accuracy_halves_its_lead(tmp_path: Path) -> None:
    [study] = studied(make_sweep(tmp_path / "s", grid(seeds=1, devices=["rram"]), falling))
    # 0.9 at 2 and 0.3 at 4; half the lead over 0.1 is 0.5: two thirds of a factor of two
    row = cells(study)[0]
    assert row == [
        "np",
        "gentlest, at 0",
        "0.9",
        "–",
        "0.9",
        "0.9",
        "1",
        "0.5",
        "3.17",
        "2 and 4",
        "3.17",
        "3.17",
        "1",
    ]
    assert pytest.approx(3.17, abs=0.01) == 2 * 2 ** (2 / 3)


def test_a_sweep_that_does_not_break_says_how_far_it_went(tmp_path: Path) -> None:
    [study] = studied(make_sweep(tmp_path / "s", grid(), lambda one: 0.9))
    assert all("not reached (to 8)" in row for row in cells(study))


def test_a_run_that_diverged_counts_as_chance_for_the_break_point(tmp_path: Path) -> None:
    def result(one: Settings) -> float | str:
        return "diverged: not finite" if one[SCALE] == 8 and one["seed"] == 0 else 0.9

    [study] = studied(make_sweep(tmp_path / "s", grid(), result))
    point, between, low, high = cells(study)[0][-5:-1]
    assert (point, between, high) == ("not reached (to 8)", "–", "not reached (to 8)")
    assert float(low) == pytest.approx(4 * 2**0.5, abs=0.01)  # lead 1 at 4, 0 at 8


def test_a_failed_run_is_left_out_of_the_break_point(tmp_path: Path) -> None:
    def result(one: Settings) -> float | str:
        return "failed: out of memory" if one[SCALE] == 8 and one["seed"] == 0 else 0.9

    [study] = studied(make_sweep(tmp_path / "s", grid(), result))
    never = "not reached (to 8)"
    assert cells(study)[0][-5:-1] == [never, "–", never, never]


def test_a_line_that_dips_and_comes_back_says_so(tmp_path: Path) -> None:
    def result(one: Settings) -> float | str:
        return 0.2 if one[SCALE] == 2 else 0.9

    [study] = studied(make_sweep(tmp_path / "s", grid(), result))
    assert cells(study)[0][-5] == "not reached (to 8); below half at 2, and back"


def test_a_break_point_beside_a_run_that_diverged_has_a_star(tmp_path: Path) -> None:
    def result(one: Settings) -> float | str:
        return "diverged: not finite" if one[SCALE] == 8 else 0.9

    [study] = studied(make_sweep(tmp_path / "s", grid(), result))
    assert cells(study)[0][-4] == "4 and 8*"


def test_a_share_of_the_range_that_weights_fill_does_not_hide_the_ideal_device(tmp_path: Path) -> None:
    def scaled(one: Settings) -> dict[str, Any]:
        return ideal_experiment(one) | {"network": {"weight_scaling": 0.6}}

    noisy = make_sweep(
        tmp_path / "s", grid(devices=["rram"], rules=["danp"]), lambda one: 0.6, experiment=scaled
    )
    ideal = [{"task": "digits", "device": "ideal", "rule": "danp", "seed": seed} for seed in range(2)]
    make_sweep(tmp_path / "i", ideal, lambda one: 0.9, experiment=ideal_experiment)
    study, _ = studied(noisy, tmp_path / "i")
    assert cells(study)[0][1] == "ideal device"


def ideal_experiment(_: Settings) -> dict[str, Any]:
    from noisyhw.cards import load_experiment
    from noisyhw.sweeps.record import told

    device = told(load_experiment(None, {"device": "ideal", "rule.name": "danp"}))["device"]
    return {"device": device, "rule": {"name": "danp"}, "epochs": 3, "update": {"path": "adam"}}


def test_the_lead_is_the_ideal_devices_where_that_was_run(tmp_path: Path) -> None:
    noisy = make_sweep(tmp_path / "s", grid(devices=["rram"], rules=["danp"]), lambda one: 0.6)
    ideal = [{"task": "digits", "device": "ideal", "rule": "danp", "seed": seed} for seed in range(2)]
    make_sweep(tmp_path / "i", ideal, lambda one: 0.9 + 0.1 * one["seed"], experiment=ideal_experiment)
    study, _ = studied(noisy, tmp_path / "i")
    assert cells(study)[0][:7] == ["danp", "ideal device", "0.95", "0.05", "0.9", "1", "2"]
    make_sweep(tmp_path / "low", grid(devices=["rram"], rules=["danp"]), lambda one: 0.4)
    low, _ = studied(tmp_path / "low", tmp_path / "i")
    assert cells(low)[0][8] == "never comes half the way"


def test_a_device_called_ideal_with_noise_is_no_reference(tmp_path: Path) -> None:
    noisy = make_sweep(tmp_path / "s", grid(devices=["rram"], rules=["danp"]), falling)
    ideal = [{"task": "digits", "device": "ideal", "rule": "danp", "seed": 0}]

    def changed(one: Settings) -> dict[str, Any]:
        told = ideal_experiment(one)
        return told | {"device": told["device"] | {"read_noise": {"white": {"std": 1.0}}}}

    make_sweep(tmp_path / "i", ideal, lambda one: 0.9, experiment=changed)
    study, _ = studied(noisy, tmp_path / "i")
    assert cells(study)[0][1].startswith("own best by other seeds")


def test_a_regression_breaks_half_way_to_predicting_the_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "ramp", Ramp())
    make_sweep(
        tmp_path / "s",
        grid(task="ramp", devices=["rram"], rules=["np"], noise=[0, 1, 2]),
        lambda one: (4.0, 4.0, 16.0)[one[SCALE]],
        metric="test_loss",
        experiment=lambda one: {"task": {"name": "ramp"}, "device": {"name": "rram"}},
    )
    [study] = studied(tmp_path / "s")
    assert study.table["mean"].tolist() == [4, 4, 16]
    assert cells(study)[0][7:9] == ["12", "1.67"]  # nothing learned is 20: half-way at 12
    monkeypatch.setattr(Ramp, "here", None)
    [study] = studied(tmp_path / "s")
    assert "needs the data: give --data-dir" in cells(study)[0]


def test_run_folders_are_one_table_with_what_differs(tmp_path: Path) -> None:
    for batch in (200, 400):
        noisyhw.train(
            epochs=1,
            sets=["network.hidden=[4]", f"batch={batch}"],
            device="ideal",
            rule="bp",
            out=tmp_path / f"r{batch}",
        )
    [source] = read_sources([tmp_path / "r200", tmp_path / "r400"])
    assert source.settings == ["task", "device", "rule", "batch"]
    assert source.table["batch"].tolist() == [200, 400]
    assert source.commands == ("noisyhw train r200/config.yaml", "noisyhw train r400/config.yaml")
    page = report([tmp_path / "r200", tmp_path / "r400"], tmp_path / "page").html.read_text()
    assert "2 done" in page


def test_nested_settings_are_told_by_dotted_path() -> None:
    assert flattened({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None}) == {"a.b": 1, "a.c.d": [1, 2], "e": None}


def test_passes_have_a_figure_of_cost_and_no_break_point(tmp_path: Path) -> None:
    rows = [
        {"task": "digits", "device": "rram", "rule": rule, "perturbation.passes": passes, "seed": 0}
        for rule in ("np", "danp")
        for passes in (1, 2, 4, 8)
    ]
    [study] = studied(make_sweep(tmp_path / "s", rows, lambda one: 0.1 * one["perturbation.passes"]))
    assert [picture.name for picture in study.pictures if "passes" in picture.name] == ["1-s-passes"]
    assert study.breaks == ()


# The page.


def lossy(one: Settings) -> float | str | None:
    if one["seed"] == 1 and one[SCALE] == 8:
        return "diverged: loss is <not> a number | really"
    if one["seed"] == 2 and one[SCALE] == 8 and one["rule"] == "np":
        return "failed: out of memory"
    return None if one[SCALE] == 4 and one["seed"] == 0 else falling(one)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    asked = {
        "title": "Noise & <rules>",
        "command": "noisyhw sweep my.yaml",
        "card": "title: Noise & <rules>\n",
    }
    return make_sweep(tmp_path / "my", grid(), lossy, asked=asked)


def test_lost_runs_are_told_with_their_reasons_and_n(sweep: Path, tmp_path: Path) -> None:
    made = report([sweep], tmp_path / "page")
    html, markdown = made.html.read_text(), made.markdown.read_text()
    assert "50 done, 4 diverged, 2 failed, 4 to do" in html
    assert html.count("loss is &lt;not&gt; a number | really") == 4
    assert html.count("out of memory") == 2
    assert markdown.count("loss is &lt;not> a number \\| really") == 4
    assert "n = 1 to 3 runs a point" in html
    assert len(pd.read_csv(tmp_path / "page" / "runs.csv")) == 60
    points = pd.read_csv(tmp_path / "page" / "points.csv")
    assert points["n"].sum() == 50
    assert points["diverged"].sum() == 4


def test_text_from_cards_is_escaped(sweep: Path, tmp_path: Path) -> None:
    html = report([sweep], tmp_path / "page", title="<script>alert(1)</script>").html.read_text()
    assert "<rules>" not in html
    assert "<script>alert" not in html


def test_the_page_tells_command_card_versions_hardware_and_settings(sweep: Path, tmp_path: Path) -> None:
    made = report([sweep], tmp_path / "page")
    for text in (made.html.read_text(), made.markdown.read_text()):
        for part in ("noisyhw sweep my.yaml", "title: Noise", "noisyhw 0.1.0", "A processor", "epochs: 3"):
            assert part in text
        assert "noisyhw report my --out page" in text
        assert str(tmp_path) not in text


def test_the_page_asks_for_nothing_outside_itself(sweep: Path, tmp_path: Path) -> None:
    html = report([sweep], tmp_path / "page").html.read_text()
    allowed = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    for name in allowed:
        html = html.replace(name, "")
    assert "://" not in html
    assert "default-src 'none'" in html


def test_every_figure_is_kept_as_png_and_svg_and_named_in_markdown(sweep: Path, tmp_path: Path) -> None:
    made = report([sweep], tmp_path / "page")
    assert len(made.figures) == 2 * 3
    assert {file.suffix for file in made.figures} == {".png", ".svg"}
    markdown = made.markdown.read_text()
    assert all(f"figures/{file.name}" in markdown and file.stat().st_size > 1000 for file in made.figures)


@pytest.mark.slow
def test_a_report_made_twice_is_the_same_to_the_byte(sweep: Path, tmp_path: Path) -> None:
    one, two = (report([sweep], tmp_path / name / "page") for name in ("a", "b"))
    assert one.html.read_bytes() == two.html.read_bytes()
    assert one.markdown.read_bytes() == two.markdown.read_bytes()
    assert [file.read_bytes() for file in one.figures] == [file.read_bytes() for file in two.figures]


def test_ids_of_a_page_are_unique(sweep: Path, tmp_path: Path) -> None:
    import re

    ids = re.findall(r'\bid="([^"]+)"', report([sweep], tmp_path / "page").html.read_text())
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_panels_and_rows_beyond_the_cap_are_said(tmp_path: Path) -> None:
    devices = [f"d{i}" for i in range(15)]
    make_sweep(tmp_path / "s", grid(devices=devices, rules=[f"r{i}" for i in range(10)], seeds=2), falling)
    html = report([tmp_path / "s"], tmp_path / "page").html.read_text()
    assert "12 of 15 panels are drawn" in html
    assert "8 of 10 lines are drawn" in html
    assert "4 of 15 panels of device" in html


def test_a_study_without_a_good_run_says_so(tmp_path: Path) -> None:
    make_sweep(tmp_path / "s", grid(), lambda one: "failed: no memory")
    page = report([tmp_path / "s"], tmp_path / "page").html.read_text()
    assert "No run of this study has ended well yet" in page
    assert "60 failed" in page


@pytest.mark.parametrize("setting", ["device", "label"])
def test_words_alone_have_a_figure_with_bars(tmp_path: Path, setting: str) -> None:
    rows = [
        {"task": "digits", "device": "rram", "rule": rule, "seed": seed} | {setting: value}
        for rule in ("np", "danp")
        for value in ("one", "two")
        for seed in (0, 1)
    ]
    [study] = studied(make_sweep(tmp_path / "s", rows, lambda one: 0.5 + 0.1 * one["seed"]))
    assert study.pictures[0].title == f"Test accuracy against {label(setting)}"
    assert study.breaks == ()


def test_a_random_sample_is_drawn_as_points(tmp_path: Path) -> None:
    rows = [
        {"task": "digits", "device": "rram", "rule": rule, "decorrelation.rate": 10 ** (-i / 5), "seed": 0}
        for rule in ("np", "danp")
        for i in range(20)
    ]
    [study] = studied(make_sweep(tmp_path / "s", rows, lambda one: 0.5))
    assert any(picture.name.endswith("sample-1") for picture in study.pictures)


# Mistakes.


def test_a_folder_that_is_not_there_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone: no such folder; give the folder of a sweep"):
        report([tmp_path / "gone"], tmp_path / "page")


def test_a_folder_above_a_sweep_is_refused_with_the_sweeps_name(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"neither a sweep's folder .* did you mean .*my\?"):
        report([sweep.parent], tmp_path / "page")


def test_a_sweep_with_nothing_finished_is_refused_with_its_command(tmp_path: Path) -> None:
    asked = {"title": "", "command": "noisyhw sweep mine", "card": ""}
    make_sweep(tmp_path / "s", grid(), lambda one: None, asked=asked)
    with pytest.raises(RunError, match="no run is finished yet; compute some first: noisyhw sweep mine"):
        report([tmp_path / "s"], tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_sweeps_own_folder_is_no_place_for_a_report(sweep: Path) -> None:
    with pytest.raises(RunError, match="holds runs; choose another --out"):
        report([sweep], sweep)


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="give the folder of a sweep or of a run"):
        report([], tmp_path / "page")


def test_a_place_that_cannot_be_written_is_refused(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be made .* choose another --out"):
        report([sweep], tmp_path / "file" / "page")


def test_markdown_shows_text_as_it_is() -> None:
    assert markdown_text("a|b *c* <d>\n& `e`") == "a\\|b \\*c\\* &lt;d> &amp; \\`e\\`"
    assert fenced("a\n```\nb") == "````\na\n```\nb\n````"


# Many runs.

# The peak is read from /proc where there is one: Linux hands ru_maxrss on through exec, so it would be pytest's own.
MEASURED = """
import pathlib, re, resource, sys
from noisyhw.reporting import report
made = report([sys.argv[1]], sys.argv[2])
used = resource.getrusage(resource.RUSAGE_SELF)
status = pathlib.Path("/proc/self/status")
peak = re.search("VmHWM:\\s*(\\d+) kB", status.read_text())[1] if status.exists() else used.ru_maxrss
print(used.ru_utime + used.ru_stime, peak)
"""


@pytest.mark.slow
def test_ten_thousand_runs_are_reported_in_seconds_and_a_gibibyte(tmp_path: Path) -> None:
    rows = grid(devices=[f"d{i}" for i in range(5)], rules=list("abcdefgh"), noise=range(50), seeds=5)
    assert len(rows) == 10_000
    make_sweep(tmp_path / "s", rows, falling, epochs=100)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "s"), str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    seconds, kibibytes = map(float, done.stdout.split())
    kibibytes /= 1024 if sys.platform == "darwin" else 1
    assert seconds < 30  # about 8 on an idle core; a busy one does less in a second of its time
    assert kibibytes < 1024**2
    assert "The first 1000 of 2000 rows; all are in points.csv." in (tmp_path / "page/index.html").read_text()


# The command.


def test_the_command_says_where_the_page_is(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_by(capsys, "report", sweep, "--out", tmp_path / "page", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert Path(told["html"]).is_file()
    assert Path(told["markdown"]).is_file()
    assert len(told["figures"]) == 6
    plain = said_by(capsys, "report", sweep, "--out", tmp_path / "page")
    assert plain.out.splitlines()[0] == f"page: {tmp_path / 'page' / 'index.html'}"


@pytest.mark.slow
def test_the_commands_page_lies_under_runs_by_default(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said_by(capsys, "report", sweep).code == 0
    assert (tmp_path / "runs" / "report-my" / "index.html").is_file()


def test_the_command_refuses_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by(capsys, "report", tmp_path / "gone")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said_by(capsys, "report").code == 2


# What a sweep keeps for it.


def test_a_sweep_keeps_its_card_and_command_once(tmp_path: Path) -> None:
    card = {"title": "Mine", "experiment": SMALL | {"device": "ideal", "rule": "bp"}, "seeds": 1}
    for sets in ([], [], ["epochs=1"]):
        noisyhw.sweep(card, sets=sets, out=tmp_path / "s", engine="serial")
    found = read_asked(Store.open(tmp_path / "s"))
    assert [one["command"] for one in found] == [
        "noisyhw sweep sweep.yaml",
        "noisyhw sweep sweep.yaml --set epochs=1",
    ]
    assert yaml.safe_load(found[0]["card"]) == card
    assert asked("noise-level", [])["command"] == "noisyhw sweep noise-level"
    (tmp_path / "mine.yaml").write_text(found[0]["card"])
    assert asked(tmp_path / "mine.yaml", [])["command"] == "noisyhw sweep mine.yaml"
