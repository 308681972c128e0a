"""Fits hold what they promise: known parameters come back within their own intervals, and bad files are told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noisyhw_cli.main import main
from support import make_card, make_tile

import noisyhw
from noisyhw.characterize import Fitted, fit
from noisyhw.characterize.fit_figure import draw_fit
from noisyhw.characterize.fitted_card import fitted_card, table
from noisyhw.characterize.fitting import CycleNoise, _choose, _estimates
from noisyhw.characterize.likelihood import Estimate, pool
from noisyhw.characterize.measured import read_responses
from noisyhw.characterize.noise_fit import fit_telegraph, fit_white

pytestmark = pytest.mark.slow

TRIALS = 100
ENOUGH = 90
BOUNDS = {"min": -0.8, "max": 1.0}
Values = np.ndarray[Any, Any]


def respond(
    update: dict[str, Any], cells: int, cycles: int, length: int, seed: int, **weights: Any
) -> tuple[Values, Values]:
    """Directions [pulses], and weights [1 + pulses, cells], of cells that are pulsed up and down."""
    card = make_card(weights={**BOUNDS, **weights}, update={"kind": "pulsed", **update})
    tile = make_tile(card, torch.zeros(1, cells), seed)
    directions = np.array(([1.0] * length + [-1.0] * length) * cycles)
    readings = [tile.twin()[0].double().numpy()]
    for direction in directions:
        tile.pulse(torch.full((1, cells), float(direction)))
        readings.append(tile.twin()[0].double().numpy())
    return directions, np.array(readings)


def write_responses(
    path: Path, directions: Values, readings: Values, column: str = "weight", *, digits: int = 9
) -> Path:
    """A file of all cells' responses, each cell a device."""
    lines = [f"device,pulse,direction,{column}"]
    for device, series in enumerate(readings.T):
        signs = [0, *directions.astype(int)]
        lines += [f"{device},{k},{signs[k]},{value:.{digits}g}" for k, value in enumerate(series)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_reads(path: Path, values: Values) -> Path:
    lines = ["device,read,value"]
    lines += [f"{d},{k},{value:.9g}" for d, series in enumerate(values.T) for k, value in enumerate(series)]
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_covered(trials: list[Mapping[str, Estimate]], truth: dict[str, float]) -> None:
    """Each parameter lies within its 95 % interval in 90 or more of 100 trials, and the intervals are not endless."""
    for name, value in truth.items():
        estimates = [trial[name] for trial in trials]
        assert sum(one.holds(value) for one in estimates) >= ENOUGH, name
        reach = float(np.median([one.high - one.low for one in estimates])) / 2
        scatter = float(np.std([one.value for one in estimates]))
        assert 1.4 < reach / scatter < 2.8, name  # 1.96, but for the scatter of a std of 100 values


LINEAR = {"step": 0.01, "asymmetry": -0.1, "slope_up": 0.3, "slope_down": 0.6}
SOFT = {"step": 0.02, "asymmetry": 0.1, "slope_up": 1.0, "slope_down": 1.0}
SCALING, STEADY = (
    {"cycle_noise": 0.3, "cycle_noise_scales": True},
    {"cycle_noise": 0.5, "cycle_noise_scales": False},
)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, float], CycleNoise]] = {
    "constant_step": ("constant_step", {"step": 0.01, "asymmetry": -0.1, "cycle_noise": 0.3}, {}, "auto"),
    "linear_step, noise of the present step": ("linear_step", LINEAR | SCALING, {}, "scales"),
    "linear_step, noise of the step at zero": ("linear_step", LINEAR | STEADY, {}, "constant"),
    "soft_bounds, noise of the present step": ("soft_bounds", SOFT | SCALING, BOUNDS, "auto"),
    "soft_bounds, noise of the step at zero": ("soft_bounds", SOFT | STEADY, BOUNDS, "constant"),
}


@pytest.mark.parametrize(("model", "update", "more", "cycle_noise"), CASES.values(), ids=CASES)
def test_a_pulse_model_comes_back_within_its_own_intervals(
    tmp_path: Path, model: str, update: dict[str, Any], more: dict[str, float], cycle_noise: CycleNoise
) -> None:
    directions, readings = respond(update, TRIALS, cycles=5, length=100, seed=0)
    data = read_responses(write_responses(tmp_path / "cells.csv", directions, readings))
    trials = []
    for device in data.devices:
        [one], _ = _choose((device,), model, cycle_noise)
        trials.append(
            _estimates(one, model, None if model == "soft_bounds" else (BOUNDS["min"], BOUNDS["max"]))
        )
    truth = {name: value for name, value in update.items() if name in trials[0]} | more
    assert len(truth) == len(trials[0])
    assert_covered(trials, truth)


def test_write_noise_is_found_and_does_not_bias_the_rest(tmp_path: Path) -> None:
    update = SOFT | {"step": 0.01, "cycle_noise": 0.3, "cycle_noise_scales": False, "write_noise": 0.005}
    directions, readings = respond(update, TRIALS, cycles=8, length=60, seed=1)
    data = read_responses(write_responses(tmp_path / "cells.csv", directions, readings))
    trials = []
    for device in data.devices:
        [one], notes = _choose((device,), "soft_bounds", "constant")
        assert "Write noise was fitted" in notes[1]
        trials.append(_estimates(one, "soft_bounds", None))
    truth = {name: value for name, value in update.items() if name in trials[0]} | BOUNDS
    assert truth.keys() == trials[0].keys()
    assert_covered(trials, truth)


def test_read_noise_comes_back_within_its_own_intervals() -> None:
    card = make_card(read_noise={"mean": 0.05, "white": {"std": 0.1}})
    reads = make_tile(card, torch.full((TRIALS, 1), 0.5), 1).forward(torch.ones(1, 1, 1), reads=200)[:, 0]
    trials = [fit_white(values, 0.5) for values in reads.double().numpy().T]
    assert_covered(trials, {"std": 0.1, "mean": 0.05})


@pytest.mark.parametrize("std", [9.08e-4, 0.004], ids=["states apart", "states that overlap"])
def test_telegraph_noise_comes_back_within_its_own_intervals(std: float) -> None:
    noise = {
        "mean": 0.0421,
        "white": {"std": std},
        "telegraph": {"amplitude": 0.00593, "flip_probability": 0.0809},
    }
    tile = make_tile(make_card(read_noise=noise), torch.full((TRIALS, 1), 0.5), 3)
    reads = tile.forward(torch.ones(1, 1, 1), reads=800)[:, 0]
    trials = [fit_telegraph(values, 0.5) for values in reads.double().numpy().T]
    assert_covered(trials, {"amplitude": 0.00593, "flip_probability": 0.0809, "std": std, "mean": 0.0421})


def test_device_to_device_spread_comes_back(tmp_path: Path) -> None:
    spread = {"step_spread": 0.2, "asymmetry_spread": 0.05}
    directions, readings = respond(SOFT | SCALING | spread, 80, 3, 80, seed=2, spread=0.1, spread_min=0.2)
    found = fit(write_responses(tmp_path / "cells.csv", directions, readings), "soft_bounds").parameters
    wanted = {"step": 0.2 * 0.02, "asymmetry": 0.05, "max": 0.1, "min": 0.2 * 0.8, "cycle_noise": 0.0}
    for name, value in wanted.items():
        std = found[name].std
        assert std is not None
        assert std.low <= value <= std.high, name
    for name, value in {"step": 0.02, "asymmetry": 0.1, "cycle_noise": 0.3, **BOUNDS}.items():
        assert found[name].mean.holds(value), name


def test_the_spread_of_devices_that_are_alike_is_zero_within_its_interval() -> None:
    draw = np.random.default_rng(0)
    low = 0
    for _ in range(TRIALS):
        values = draw.normal(1.0, 0.1, 10)
        std = pool([{"step": Estimate(value, 0.1, value - 0.2, value + 0.2)} for value in values])["step"].std
        assert std is not None
        low += std.low == 0.0
    assert low >= ENOUGH


def test_one_device_has_no_spread(tmp_path: Path) -> None:
    directions, readings = respond(SOFT | SCALING, 1, 3, 80, seed=0)
    found = fit(write_responses(tmp_path / "cells.csv", directions, readings), "soft_bounds")
    assert all(one.std is None for one in found.parameters.values())
    assert "spread" not in fitted_card(found, "one")


@pytest.mark.parametrize(("noise", "scales"), [(SCALING, True), (STEADY, False)])
def test_the_likelier_kind_of_cycle_noise_is_taken(
    tmp_path: Path, noise: dict[str, Any], scales: bool
) -> None:
    path = write_responses(tmp_path / "cells.csv", *respond(SOFT | noise, 2, 5, 100, seed=0))
    assert fit(path, "soft_bounds").scales is scales
    assert fit(path, "soft_bounds", cycle_noise="constant").scales is False
    assert fit(path, "soft_bounds", cycle_noise="scales").scales is True


# Files.


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Three cells in microsiemens: weight -1 is 5 uS and weight 1 is 15 uS."""
    directions, readings = respond(SOFT | SCALING | {"step_spread": 0.2}, 3, 4, 100, seed=5, spread=0.05)
    return write_responses(tmp_path / "cells.csv", directions, 10 + 5 * readings, "conductance_us")


def test_conductances_are_mapped_to_weights_and_the_card_says_how(measured: Path) -> None:
    given = fit(measured, "soft_bounds", g_min_us=5.0, g_max_us=15.0)
    assert given.parameters["step"].mean.holds(0.02)
    assert given.notes[0] == "Weights -1 to 1 are 5 to 15 uS."
    own = fit(measured, "soft_bounds")
    values = [float(line.rsplit(",", 1)[1]) for line in measured.read_text().splitlines()[1:]]
    assert own.notes[0] == f"Weights -1 to 1 are {min(values):g} to {max(values):g} uS, the data's own range."
    scale = 10 / (max(values) - min(values))
    ratio = own.parameters["step"].mean.value / given.parameters["step"].mean.value
    assert ratio == pytest.approx(scale, rel=0.25)  # weight 0, where a step is taken, lies elsewhere


def test_a_fitted_card_loads_holds_the_estimates_and_says_where_they_come_from(
    measured: Path, tmp_path: Path
) -> None:
    found = fit(measured, "soft_bounds", g_min_us=5.0, g_max_us=15.0)
    path = tmp_path / "mine.yaml"
    path.write_text(fitted_card(found, "mine"))
    card = noisyhw.load_device(path)
    assert card.update.kind == "pulsed"
    assert card.update.step == pytest.approx(found.parameters["step"].mean.value, rel=1e-5)
    assert card.weights.max == pytest.approx(found.parameters["max"].mean.value, rel=1e-5)
    spread = found.parameters["step"].std
    assert spread is not None
    assert card.update.step_spread == pytest.approx(spread.value / card.update.step, rel=1e-4)
    assert (card.update.slope_up, card.update.slope_down, card.update.cycle_noise_scales) == (1, 1, True)
    assert f"from cells.csv, SHA-256 {found.digest}: {found.rows} pulses, 3 devices" in card.fitted[0]
    assert card.assumed[0] == "Weights -1 to 1 are 5 to 15 uS."


def test_the_same_measurements_make_the_same_card_and_figure(measured: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        found = fit(measured, "linear_step")
        (tmp_path / f"{name}.yaml").write_text(fitted_card(found, "mine"))
        draw_fit(found, tmp_path / f"{name}.svg")
    for kind in ("yaml", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("model", ["linear_step", "constant_step"])
def test_hard_bounds_are_taken_and_said_to_be(tmp_path: Path, model: str) -> None:
    update = {"step": 0.02, "cycle_noise": 0.3} | (
        {"slope_up": 0.2, "slope_down": 0.2} if model == "linear_step" else {}
    )
    path = write_responses(tmp_path / "cells.csv", *respond(update, 1, 4, 120, seed=0))
    found = fit(path, model)
    assert found.bounds == (pytest.approx(-0.8), pytest.approx(1.0))
    assert "Hard bounds were taken at -0.8 and 1, not fitted." in found.notes[0]
    assert "pulses near the ends" in found.notes[-1]
    assert found.parameters["step"].mean.holds(0.02)
    (tmp_path / "card.yaml").write_text(fitted_card(found, "card"))
    card = noisyhw.load_device(tmp_path / "card.yaml")
    assert (card.weights.min, card.weights.max) == (pytest.approx(-0.8), pytest.approx(1.0))


def test_a_slope_that_no_card_can_have_is_told_and_cut(tmp_path: Path) -> None:
    path = write_responses(tmp_path / "cells.csv", *respond(SOFT | SCALING, 1, 2, 30, seed=0))
    lines = path.read_text().splitlines()
    far = [*lines, "0,1000,0,1.5"]  # widens the range that hard bounds are taken from
    path.write_text("\n".join(far))
    found = fit(path, "linear_step")
    assert found.parameters["slope_up"].mean.value > 1
    assert any(note.startswith("slope_up was fitted as 1.") for note in found.notes)
    (tmp_path / "card.yaml").write_text(fitted_card(found, "card"))
    update = noisyhw.load_device(tmp_path / "card.yaml").update
    assert update.kind == "pulsed"
    assert update.slope_up == 1.0


def test_noise_fits_make_cards_too(tmp_path: Path) -> None:
    noise = {"white": {"std": 0.01}, "telegraph": {"amplitude": 0.02, "flip_probability": 0.1}}
    reads = make_tile(make_card(read_noise=noise), torch.zeros(2, 1), 3).forward(
        torch.ones(1, 1, 1), reads=500
    )[:, 0]
    path = write_reads(tmp_path / "reads.csv", reads.double().numpy())
    found = fit(path, "telegraph")
    (tmp_path / "card.yaml").write_text(fitted_card(found, "card"))
    card = noisyhw.load_device(tmp_path / "card.yaml")
    assert card.read_noise.telegraph is not None
    assert card.read_noise.telegraph.amplitude == pytest.approx(0.02, rel=0.1)
    assert card.read_noise.mean == 0.0
    assert "No offset was fitted" in found.notes[1]
    draw_fit(found, tmp_path / "fit.png")
    white = fit(path, "read_noise", expected=0.0)
    assert "correlate by" in white.notes[-1]
    draw_fit(white, tmp_path / "white.png")
    assert {row["parameter"] for row in table(white)} == {
        "std", "mean", "std, std over devices", "mean, std over devices"
    }  # fmt: skip


def test_pulses_that_were_not_read_one_by_one_are_left_out(tmp_path: Path) -> None:
    directions, readings = respond(SOFT | SCALING, 1, 3, 80, seed=0)
    path = write_responses(tmp_path / "cells.csv", directions, readings)
    whole = fit(path, "soft_bounds")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:50] + lines[60:]))
    assert fit(path, "soft_bounds").rows == whole.rows - 11


# What is refused.


def edited(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return edit


def cell(line: int, place: int, text: str) -> Callable[[Path], None]:
    """Put another text into one value of a line (from 1)."""

    def change(lines: list[str]) -> list[str]:
        words = lines[line - 1].split(",")
        words[place] = text
        lines[line - 1] = ",".join(words)
        return lines

    return edited(change)


def keep(condition: Callable[[list[str]], bool]) -> Callable[[Path], None]:
    return edited(lambda lines: [lines[0], *(line for line in lines[1:] if condition(line.split(",")))])


BAD: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a missing column": (cell(1, 2, "sense"), ["cells.csv:1: no column 'direction'", "pulse, sense"]),
    "no measured column": (cell(1, 3, "g"), ["cells.csv:1: no column 'conductance_us' or 'weight'"]),
    "text": (cell(7, 3, "open"), ["cells.csv:7: column 'conductance_us': 'open'", "write a number"]),
    "a decimal comma": (cell(7, 3, '"3,5"'), ["cells.csv:7: ", "not a comma"]),
    "NaN": (cell(8, 3, "nan"), ["cells.csv:8: column 'conductance_us': 'nan'", "drop rows"]),
    "an empty value": (cell(9, 3, ""), ["cells.csv:9: column 'conductance_us': ''"]),
    "a wrong direction": (cell(5, 2, "2"), ["cells.csv:5: column 'direction': '2'", "-1 for one down"]),
    "a row too short": (edited(lambda lines: [*lines[:3], "0,3"]), ["cells.csv:4: 2 values for 4 columns"]),
    "only one direction": (
        keep(lambda words: words[2] != "-1"),
        ["column 'direction' of device '0'", "no pulse down (-1)", "both directions"],
    ),
    "too few rows": (edited(lambda lines: lines[:1] + lines[95:110]), ["device '0'", "at least 10"]),
    "no rows": (edited(lambda lines: lines[:1]), ["no rows below the first line"]),
    "an empty file": (
        lambda path: path.write_text("") and None,
        ["no column 'pulse', 'direction'", "nothing"],
    ),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\x00") and None, ["is not UTF-8 text"]),
    "no file": (lambda path: path.unlink(), ["cells.csv: cannot be read: No such file"]),
    "turned directions": (
        edited(lambda lines: [lines[0], *(_turned(line) for line in lines[1:])]),
        ["pulses up move the weight the other way", "check the sign of 'direction'"],
    ),
}


def _turned(line: str) -> str:
    device, pulse, direction, value = line.split(",")
    return f"{device},{pulse},{-int(direction)},{value}"


@pytest.mark.parametrize(("spoil", "parts"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_its_place_and_the_fix(
    measured: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], parts: list[str]
) -> None:
    monkeypatch.chdir(measured.parent)
    spoil(measured)
    with pytest.raises(noisyhw.DataError) as error:
        fit(measured, "soft_bounds", g_min_us=5.0, g_max_us=15.0)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 300
    for part in parts:
        assert part in message, message


def test_bad_reads_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    path.write_text("read,value\n" + "\n".join(f"{k},{k % 3}" for k in range(10)))
    with pytest.raises(noisyhw.DataError, match="10 reads; at least 20"):
        fit(path, "read_noise")
    path.write_text("read,value\n" + "\n".join(f"{k},0.5" for k in range(50)))
    with pytest.raises(noisyhw.DataError, match=r"all values are 0\.5"):
        fit(path, "read_noise")
    path.write_text("read,voltage\n1,2\n")
    with pytest.raises(noisyhw.DataError, match="no column 'value'"):
        fit(path, "read_noise")


def test_soft_bounds_are_refused_where_steps_do_not_shrink(tmp_path: Path) -> None:
    update = {"step": 0.005, "cycle_noise": 0.3}
    path = write_responses(tmp_path / "cells.csv", *respond(update, 1, 5, 60, seed=0))
    with pytest.raises(noisyhw.DataError, match=r"steps (up|down) do not shrink.*--model linear_step"):
        fit(path, "soft_bounds")


def test_bounds_on_one_side_of_zero_are_refused(tmp_path: Path) -> None:
    directions, readings = respond({"step": 0.02, "cycle_noise": 0.3}, 1, 4, 120, seed=0)
    path = write_responses(tmp_path / "cells.csv", directions, readings + 2)
    with pytest.raises(noisyhw.DataError, match="weight zero must lie between the bounds"):
        fitted_card(fit(path, "constant_step"), "card")


OPTIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown model": ("soft_bound", {}, "Did you mean 'soft_bounds'"),
    "a range for reads": (
        "read_noise",
        {"g_min_us": 1.0},
        "--g-min-us and --g-max-us are for pulse responses",
    ),
    "a product for pulses": ("soft_bounds", {"expected": 1.0}, "--expected is for read noise"),
    "an empty range": ("soft_bounds", {"g_min_us": 5.0, "g_max_us": 5.0}, "--g-min-us 5 must lie below"),
}


@pytest.mark.parametrize(("model", "options", "part"), OPTIONS.values(), ids=OPTIONS)
def test_an_option_that_does_not_fit_is_refused(
    measured: Path, model: str, options: dict[str, Any], part: str
) -> None:
    with pytest.raises(noisyhw.UsageError, match=part):
        fit(measured, model, **options)


def test_a_range_for_weights_is_refused(tmp_path: Path) -> None:
    path = write_responses(tmp_path / "cells.csv", *respond(SOFT | SCALING, 1, 2, 50, seed=0))
    with pytest.raises(noisyhw.UsageError, match="this file holds weights"):
        fit(path, "soft_bounds", g_min_us=5.0, g_max_us=15.0)


# The command.


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["devices", "fit", *map(str, words)])
    said = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, said.out, said.err


def test_the_command_writes_card_and_figure_and_tells_the_intervals(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(measured.parent)
    words = ("cells.csv", "--model", "soft_bounds", "--g-min-us", 5, "--g-max-us", 15, "--out", "my.yaml")
    code, out, err = command(capsys, *words, "--plot", "my.png")
    assert (code, err) == (0, "")
    assert "written: my.yaml\nwritten: my.png\n" in out
    assert "note: Weights -1 to 1 are 5 to 15 uS." in out
    assert noisyhw.load_device(Path("my.yaml")).name == "my"
    assert Path("my.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = command(capsys, *words)
    assert (code, err) == (
        2,
        "noisyhw: my.yaml: is there already; --force writes over it, --out writes elsewhere\n",
    )
    code, out, _ = command(capsys, *words, "--force", "--json")
    told = json.loads(out)
    [step] = [row for row in told["estimates"] if row["parameter"] == "step"]
    assert step["low"] < step["value"] < step["high"]
    assert told["devices"] == ["0", "1", "2"]


def test_the_command_refuses_a_figure_of_another_kind(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(capsys, measured, "--model", "soft_bounds", "--plot", "fit.jpeg")
    assert (code, out) == (2, "")
    assert "--plot fit.jpeg: must end in .png or .svg" in err


def test_the_command_knows_the_models_of_the_library() -> None:
    from noisyhw_cli.own_device import MODELS as OFFERED

    from noisyhw.characterize import MODELS

    assert OFFERED == MODELS


def test_a_fit_is_told_in_finite_numbers(measured: Path) -> None:
    found: Fitted = fit(measured, "constant_step")
    for row in table(found):
        assert all(math.isfinite(row[key]) for key in ("value", "low", "high"))
