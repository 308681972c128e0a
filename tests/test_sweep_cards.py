"""A sweep card says which runs there are; what is wrong in one is told with its line and the fix."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cli_support import said_by

import noisyhw
from noisyhw.cards.device import ReadNoise
from noisyhw.cards.shipped import shipped_sweeps
from noisyhw.errors import CardError, UsageError
from noisyhw.sweeps import Point, plan
from noisyhw.sweeps.scaling import AMPLITUDES
from noisyhw.tasks.digits import Digits
from noisyhw.training.run import ARITHMETIC

BASE: dict[str, Any] = {"experiment": {"device": "rram", "epochs": 2}}


def points(**card: Any) -> tuple[Point, ...]:
    return plan(BASE | card).points


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


# What a card asks for.


def test_every_combination_of_tasks_devices_rules_grid_and_seeds_is_a_run() -> None:
    found = points(
        devices=["rram", "pcm"], rules=["np", "danp"], grid={"batch": [100, 200, 400]}, seeds=[3, 7]
    )
    assert len(found) == len({one.identity for one in found}) == 2 * 2 * 3 * 2
    assert found[1].settings == {"task": "digits", "device": "rram", "rule": "np", "batch": 100, "seed": 7}
    assert (found[1].experiment.batch, found[1].experiment.seed) == (100, 7)


@pytest.mark.parametrize(
    "alone", [{"keep": "folders"}, {"list": [{"device.read_noise.common.std": 0.1}]}, {}]
)
def test_a_run_has_the_identity_that_the_same_run_alone_has_unless_a_stack_computes_it(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    sets = ["network.hidden=[8]", "device.update.step=0.004", "epochs=1", "seed=5", "batch=100"]
    sets += ["device.read_noise.common.std=0.1"] * ("list" in alone)
    run = noisyhw.train(device="rram", rule="np", sets=sets, out=tmp_path / "run")
    grid = {"device.update.step": [0.004], "network.hidden": [[8]], "epochs": [1], "batch": [100]}
    [point] = points(rules=["np"], grid=grid, seeds=[5], **alone)
    assert (point.identity == run.identity) == bool(alone)
    version = ARITHMETIC if alone else f"{ARITHMETIC} stacked 1"
    assert point.identity == point.experiment.identity(run.record["data_version"], version)


def test_rules_of_one_name_and_other_options_are_rows_of_their_own() -> None:
    rules = ["bp", {"name": "bp", "oracle": True}, {"name": "anp", "decorrelate": True}, "anp"]
    found = plan({"experiment": {"device": "ideal"}, "rules": rules}).points
    assert [one.settings["rule"] for one in found] == [
        "bp",
        "bp (oracle=True)",
        "danp (decorrelate=True)",
        "anp",
    ]


def test_runs_that_a_table_could_not_tell_apart_are_refused() -> None:
    devices = [{"extends": "rram", "weights": {"max": top}} for top in (0.5, 1.0)]
    with pytest.raises(UsageError, match=r"two runs .* would both be called .*device=rram.*label"):
        plan(BASE | {"devices": devices})
    labelled = [{"label": f"up to {one['weights']['max']}", "device": one} for one in devices]
    assert len(plan(BASE | {"list": labelled}).points) == 2


def test_a_list_gives_its_points_and_its_labels_and_null_takes_a_field_away() -> None:
    off = {"label": "off", "device.read_noise.white": None}
    found = points(list=[off, {"label": "on", "device.read_noise.white.std": 0.2, "batch": 50}])
    assert [one.settings["label"] for one in found] == ["off", "on"]
    first, second = (one.experiment for one in found)
    assert first.device.read_noise.white is None
    assert second.device.read_noise.white is not None
    assert (second.device.read_noise.white.std, second.batch) == (0.2, 50)


def test_a_whole_device_is_set_before_its_fields_whichever_axis_comes_first() -> None:
    found = points(list=[{"rule": "np", "device.update.step": 0.01}], grid={"device": ["ecram", "rram"]})
    steps = [one.experiment.device.model_dump()["update"]["step"] for one in found]
    assert [one.settings["device"] for one in found] == ["ecram", "rram"]
    assert steps == [0.01, 0.01]


def test_a_sample_is_drawn_again_the_same_and_a_longer_one_or_a_new_field_moves_no_value() -> None:
    def drawn(count: int, **more: Any) -> list[float]:
        fields = {"update.learning_rate": {"log_uniform": [1e-4, 1e-1]}, **more}
        found = points(sample={"count": count, "seed": 1, "fields": fields})
        return [one.settings["update.learning_rate"] for one in found]

    short, long = drawn(5), drawn(200, batch={"integers": [10, 20]})
    assert long[:5] == short == drawn(5)
    assert all(1e-4 <= rate <= 1e-1 for rate in long)
    assert 60 < sum(rate < 10**-2.5 for rate in long) < 140  # half of them: 100, std 7
    assert drawn(5) != [
        one.settings["update.learning_rate"]
        for one in points(
            sample={
                "count": 5,
                "seed": 2,
                "fields": {"update.learning_rate": {"log_uniform": [1e-4, 1e-1]}},
            }
        )
    ]


def test_every_kind_of_draw_keeps_to_its_range() -> None:
    fields = {
        "device.update.step": {"uniform": [0.001, 0.002]},
        "batch": {"integers": [10, 12]},
        "rule": {"choice": ["np", "danp"]},
    }
    found = points(sample={"count": 60, "fields": fields})
    assert {one.settings["batch"] for one in found} == {10, 11, 12}
    assert {one.settings["rule"] for one in found} == {"np", "danp"}
    assert all(0.001 <= one.settings["device.update.step"] <= 0.002 for one in found)


def test_points_that_differ_in_nothing_that_matters_are_one_run() -> None:
    planned = plan(BASE | {"rules": ["np"], "grid": {"decorrelation.rate": [1e-3, 1e-4]}})
    assert (len(planned.points), len(planned.runs)) == (2, 1)


def test_sets_hold_for_all_runs_and_are_a_column(tmp_path: Path) -> None:
    found = plan(BASE | {"rules": ["np", "danp"]}, ["batch=50"]).points
    assert [(one.experiment.batch, one.settings["batch"]) for one in found] == [(50, 50)] * 2


def test_a_device_card_is_found_beside_the_sweep_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text("extends: rram\nupdate: {step: 0.004}\n")
    card = written(tmp_path, "devices: [./own.yaml]\nexperiment: {epochs: 2}\n")
    monkeypatch.chdir("/")
    [point] = plan(card).points
    assert point.settings["device"] == "own"


SMALL = {"pulses-alone": 20, "feedback-cifar10": 6, "feedback-cifar10-white": 4}
"""Five rows of four seeds, and long runs of a single seed; every other sweep has 48 runs or more."""
SINGLE = {"feedback-cifar10", "feedback-cifar10-white"}
"""They say so."""
NEED_DATA = {"noise-level-cifar10", "noise-level-sarcos", *SINGLE}


@pytest.mark.parametrize("name", sorted(shipped_sweeps()))
def test_every_shipped_sweep_plans_its_runs_each_of_its_own(
    name: str, request: pytest.FixtureRequest
) -> None:
    data_dir = request.getfixturevalue("real_data") if name in NEED_DATA else None
    planned = plan(name, data_dir=data_dir)
    assert len(planned.points) >= SMALL.get(name, 48)
    assert len(planned.runs) == len(planned.points)
    cells = Counter(
        tuple((name, str(value)) for name, value in one.settings.items() if name != "seed")
        for one in planned.points
    )
    assert set(cells.values()) <= ({1} if name in SINGLE else {3, 4})  # seeds


def test_the_shipped_noise_sweep_has_the_rules_devices_levels_and_seeds_that_it_says() -> None:
    found = [one.settings for one in plan("noise-level").points]
    assert len(found) == 384
    assert {one["rule"] for one in found} == {"np", "anp", "dnp", "danp"}
    assert {one["device"] for one in found} == {"rram", "pcm", "ecram", "smtj"}
    assert len({one["device.read_noise.scale"] for one in found}) == 8


@pytest.mark.slow
def test_two_thousand_runs_are_planned_with_the_data_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, load = [], Digits.load
    monkeypatch.setattr(Digits, "load", lambda *given: reads.append(1) or load(*given))
    sample = {"count": 2_000, "fields": {"update.learning_rate": {"log_uniform": [1e-6, 1.0]}}}
    assert len(plan(BASE | {"sample": sample}).runs) == 2_000
    assert len(reads) == 1


# Factors.


def test_read_noise_scale_multiplies_every_amplitude_of_a_card_and_nothing_else() -> None:
    noise = {
        "white": {"std": 0.1},
        "per_cell": {"std": 0.2},
        "telegraph": {"amplitude": 0.3, "flip_probability": 0.5},
        "flicker": {"std": 0.4, "low_hz": 1.0, "high_hz": 10.0, "read_hz": 100.0},
        "cell_telegraph": {"amplitude": 0.5, "flip_probability": 0.5, "share_of_cells": 0.5},
        "common": {"std": 0.6},
        "weight_dependent": {"coefficient": 0.7},
        "cell_flicker": {"coefficient": 0.8, "low_hz": 1.0, "high_hz": 10.0, "read_hz": 100.0},
        "mean": 0.25,
    }
    card = {"devices": [{"extends": "ideal", "name": "loud", "read_noise": noise}]}
    one, two = (
        point.experiment.device.read_noise.model_dump()
        for point in points(grid={"device.read_noise.scale": [1, 2]}, **card)
    )
    assert set(noise) == set(ReadNoise.model_fields) - {"registered"} == {*AMPLITUDES, "mean"}
    for source, amplitude in AMPLITUDES.items():
        assert two[source][amplitude] == 2 * one[source][amplitude]
        assert two[source] | {amplitude: 0} == one[source] | {amplitude: 0}
    assert one["mean"] == two["mean"] == 0.25


def test_a_scale_follows_each_device_and_one_is_the_card_itself() -> None:
    found = points(devices=["rram", "ecram-oxide"], grid={"device.update.step.scale": [1, 3]})
    steps = [one.experiment.device.model_dump()["update"]["step"] for one in found]
    assert steps[1] == 3 * steps[0]
    assert steps[3] == 3 * steps[2]
    assert steps[0] != steps[2]
    assert found[0].identity == points(devices=["rram"])[0].identity


def test_a_scale_acts_on_what_other_axes_set() -> None:
    grid = {"device.read_noise.scale": [10], "device.read_noise.white.std": [0.03]}
    [point] = points(grid=grid)
    assert point.experiment.device.read_noise.white is not None
    assert point.experiment.device.read_noise.white.std == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("device.read_noise.scale", -1, "device.read_noise.scale: must be a finite number >= 0, got -1"),
        ("device.read_noise.scale", "x", "must be a finite number >= 0, got 'x'"),
        ("device.read_noise.scale", True, "must be a finite number >= 0, got true"),
        ("device.drift.nu.scale", 2, "device.drift.nu.scale: device 'rram' says nothing there"),
        ("update.learning_rate.scale", 2, "update.learning_rate.scale: the experiment says nothing there"),
        ("device.update.kind.scale", 2, "must multiply a number, and the card says 'pulsed'"),
        ("device.update.scale", 2, "device.update.scale: update is a block; name one number of it"),
    ],
)
def test_a_factor_that_cannot_be_taken_is_refused_with_the_reason(key: str, value: Any, said: str) -> None:
    with pytest.raises(CardError) as error:
        points(grid={key: [value]})
    assert said in str(error.value)


def test_a_device_without_read_noise_is_refused_on_the_noise_axis_with_its_name() -> None:
    with pytest.raises(CardError, match=r"device.read_noise.scale: device 'ideal' says nothing there that"):
        points(devices=["ideal"], grid={"device.read_noise.scale": [1]})


# What is wrong.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "devices: [rram]\nrulez: [np]\n",
            "mine.yaml:2: rulez: unknown key; did you mean 'rules'? Choices: title",
        ),
        ("devices: [rram]\nrules: np\n", "mine.yaml:2: rules: must be a list, got 'np'"),
        ("devices: []\n", "mine.yaml:1: devices: is empty; give at least one value, or leave it out"),
        ("devices: [rram, rrom]\n", "mine.yaml:1: unknown device 'rrom'. Did you mean 'rram'?"),
        ("devices: [rram]\nrules:\n  - np\n  - nq\n", "unknown rule 'nq'"),
        (
            "devices: [rram]\ngrid:\n  device.update.stp: [1]\n",
            "mine.yaml:3: device.update.stp: unknown key; did you",
        ),
        (
            "devices: [rram]\ngrid:\n  device.update.step:\n    - 0.1\n    - -1\n",
            "mine.yaml:5: device.update.step: must be >= 1e-15 (32 bits cannot divide by less), got -1",
        ),
        ("devices: [rram]\ngrid:\n  epochs: 5\n", "mine.yaml:3: grid.epochs: must be a list, got 5"),
        ("experiment: {devise: rram}\n", "mine.yaml:1: devise: unknown key; did you mean 'device'?"),
        ("experiment: 3\n", "mine.yaml:1: experiment: must be a name, a path or fields, got 3"),
        ("experiment: no-such\n", "unknown experiment 'no-such'"),
        ("experiment: {epochs: 1}\n", "device: is missing"),
        ("devices: [rram]\nseeds: 0\n", "mine.yaml:2: seeds: must be >= 1"),
        ("devices: [rram]\nseeds: []\n", "mine.yaml:2: seeds: "),
        (
            "devices: [rram]\ngrid:\n  device: [pcm]\n",
            "mine.yaml:3: device: is set by two axes of this sweep",
        ),
        ("devices: [rram]\nseeds: 2\ngrid:\n  seed: [1]\n", "mine.yaml:4: seed: is set by two axes"),
        ("devices: [rram]\ngrid:\n  update..path: [sgd]\n", "'update..path': a field is written as in --set"),
        ("devices: [rram]\ngrid:\n  label: [a, b]\n", "mine.yaml:3: label: names a point of 'list'; it sets"),
        (
            "devices: [rram]\nsample: {count: 2, fields: {}}\n",
            "mine.yaml:2: sample.fields: is empty; give at least",
        ),
        ("devices: [rram]\nlist: []\n", "list: is empty; give at least one point, or leave it out"),
        ("devices: [rram]\nlist: [{}]\n", "list: each point needs at least one field"),
        ("devices: [rram]\nkeep: all\n", "mine.yaml:2: keep: must be one of rows, folders, got 'all'"),
        (
            "devices: [rram]\nsample:\n  count: 2\n  fields:\n    batch: {uniform: [3, 1]}\n",
            "mine.yaml:5: sample.fields.batch: uniform needs [low, high] with low < high, got [3, 1]",
        ),
        (
            "devices: [rram]\nsample:\n  count: 2\n  fields:\n    batch: {uniform: [1, 3], integers: [1, 3]}\n",
            "give exactly one of uniform, log_uniform, integers, choice; got uniform, integers",
        ),
        (
            "devices: [rram]\nsample:\n  count: 2\n  fields:\n    batch: {log_uniform: [0, 3]}\n",
            "log_uniform needs a low end above 0, got 0",
        ),
        (
            "devices: [rram]\ngrid:\n"
            + "".join(f"  device.weights.f{axis}: [{', '.join(map(str, range(80)))}]\n" for axis in range(3)),
            "mine.yaml:1: 512000 combinations, at most 200000; use fewer values, or a sample",
        ),
    ],
)
def test_a_wrong_card_is_told_with_its_line_and_the_fix(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        plan(written(tmp_path, text))
    assert said in str(error.value)


def test_a_run_that_contradicts_itself_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"run with device=rram, rule=bp, batch=5: rule: bp needs the gradient"
    ):
        points(devices=["rram"], rules=["bp"], grid={"batch": [5]})


def test_an_unknown_sweep_is_refused_with_the_choices() -> None:
    with pytest.raises(
        CardError, match=r"unknown sweep 'noise-levl'. Did you mean 'noise-level'\? Choices: adc-bits"
    ):
        plan("noise-levl")


# On the command line.


def test_a_dry_run_lists_the_runs_their_number_and_the_time_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    card = written(tmp_path, "experiment: {epochs: 2, network: {hidden: [8]}}\ndevices: [rram]\nseeds: 50\n")
    said = said_by(capsys, "sweep", "./mine.yaml", "--dry-run", "--workers", "2")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].split() == ["task", "device", "rule", "seed", "status", "identity"]
    assert lines[1].split()[:5] == ["digits", "rram", "danp", "0", "to"]
    assert lines[41] == "... and 10 more (--all lists them)"
    assert lines[42] == "50 runs, 50 left"
    assert lines[43].startswith("about ")
    assert lines[43].endswith("(measured on one epoch of 6 runs)")
    assert [file.name for file in tmp_path.iterdir()] == [card.name]
    assert len(said_by(capsys, "sweep", "./mine.yaml", "--dry-run", "--all").out.splitlines()) == 53


# The docs.


def doc(language: str) -> list[str]:
    text = (Path(__file__).parents[1] / "docs/sweeps.md").read_text()
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.S | re.M)


def test_the_card_in_the_docs_plans_the_runs_that_it_says(tmp_path: Path) -> None:
    (tmp_path / "my-rram.yaml").write_text("extends: rram\n")
    [card] = doc("yaml")
    found = plan(written(tmp_path, card)).points
    assert len(found) == 2 * 2 * 3 * 2 * 2 * 20 * 3
    assert {one.settings["device"] for one in found} == {"rram", "my-rram"}


def test_the_engine_in_the_docs_computes_a_sweep(tmp_path: Path) -> None:
    space: dict[str, Any] = {}
    exec(textwrap.dedent(doc("python")[-1]), space)
    card = {"experiment": {"device": "ideal", "epochs": 1, "network": {"hidden": [4]}}}
    assert list(noisyhw.sweep(card, out=tmp_path, engine=space["Mine"]()).table["status"]) == ["done"]


def test_the_docs_name_every_shipped_sweep() -> None:
    text = (Path(__file__).parents[1] / "docs/sweeps.md").read_text()
    assert [name for name in shipped_sweeps() if f"`{name}`" not in text] == []
