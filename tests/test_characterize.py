"""A device of one's own: the card to start from, figures, comparison, and what plug-ins bring."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli_support import Call, said_by
from pydantic import BaseModel
from support import make_card

import noisyhw
from noisyhw.cards.device import DeviceCard
from noisyhw.cards.messages import inner_blocks
from noisyhw.cards.plugged import device_cards
from noisyhw.characterize import PANELS, ageing_panel, card_template, compare, merit, panels, probe
from noisyhw.characterize.figures import plot_device
from noisyhw.rules import RULES
from noisyhw.tasks import TASKS

OWN = [name for name in noisyhw.shipped_devices() if noisyhw.load_device(name).backend == "noisyhw"]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `noisyhw devices` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    return lambda *words: said_by(capsys, "devices", *words)


# new.


def schema_fields(block: type[BaseModel], path: str = "") -> Iterator[tuple[str, str | None]]:
    """Every field of the schema, with what it means."""
    for name, field in block.model_fields.items():
        yield name, field.description
        for inner in inner_blocks([block], name):
            yield from schema_fields(inner, f"{path}.{name}")


@pytest.mark.parametrize("device", sorted(noisyhw.shipped_devices()))
def test_a_new_card_loads_and_says_what_the_card_says_that_it_starts_from(call: Call, device: str) -> None:
    said = call("new", "mine", "--from", device)
    assert (said.code, said.err) == (0, "")
    card, base = noisyhw.load_device(Path("mine.yaml")), noisyhw.load_device(device)
    assert card.name == "mine"
    assert card.model_copy(update={"name": base.name}) == base
    written = yaml.safe_load(Path("mine.yaml").read_text())
    assert written["update"] == json.loads(base.update.model_dump_json(exclude_none=True))


@pytest.mark.parametrize("device", ["rram", "ideal"])
def test_a_new_card_holds_every_field_of_the_schema_with_its_meaning(device: str) -> None:
    text = card_template("mine", device, noisyhw.load_device(device))
    words = " ".join(re.sub(r"(?m)^[ #]*", "", text).split())
    keys = re.findall(r"(?m)^[ #]*(\w+):", text)
    fields = list(schema_fields(DeviceCard))
    assert len(fields) > 60
    for name, description in fields:
        assert keys.count(name) >= sum(name == one for one, _ in fields), name
        assert " ".join((description or "").split()) in words, name


def test_a_new_card_tells_limits_choices_and_defaults() -> None:
    words = " ".join(card_template("mine", "rram", noisyhw.load_device("rram")).replace("#", " ").split())
    for part in (
        "(number < 0; default: empty)",
        "(whole number >= 2, <= 16; required)",
        "(number >= -1, <= 1; default: 0.0)",
        '(one of none, max; default: "none")',
        "(number > 0; required)",
        "(true or false; default: true)",
        "kind programmed: Cells are programmed to a target",
    ):
        assert part in words, part


def switched_on(text: str, block: str) -> str:
    """Delete the # of every line of one block, as the card's header says."""
    lines = text.splitlines()
    [first] = [n for n, line in enumerate(lines) if line.strip() == f"#{block}:"]
    indent = lines[first].index("#")
    for n in range(first, len(lines)):
        if n > first and not lines[n].startswith(" " * indent + "#  "):
            break
        lines[n] = lines[n][:indent] + lines[n][indent + 1 :]
    return "\n".join(lines)


def test_a_block_that_is_off_is_switched_on_by_deleting_its_marks(tmp_path: Path) -> None:
    text = switched_on(card_template("mine", "rram", noisyhw.load_device("rram")), "telegraph")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(noisyhw.CardError, match=r"read_noise\.telegraph\.amplitude: is missing"):
        noisyhw.load_device(path)
    path.write_text(
        text.replace("amplitude:", "amplitude: 0.1", 1).replace(
            "flip_probability:", "flip_probability: 0.2", 1
        )
    )
    telegraph = noisyhw.load_device(path).read_noise.telegraph
    assert telegraph is not None
    assert (telegraph.amplitude, telegraph.flip_probability) == (0.1, 0.2)


def test_new_refuses_to_write_over_a_card_without_force(call: Call) -> None:
    assert call("new", "mine").code == 0
    Path("mine.yaml").write_text("mine")
    said = call("new", "mine")
    assert (said.code, said.out) == (2, "")
    assert (
        said.err == "noisyhw: mine.yaml: is there already; --force writes over it, --out writes elsewhere\n"
    )
    assert Path("mine.yaml").read_text() == "mine"
    assert call("new", "mine", "--force").code == 0
    assert noisyhw.load_device(Path("mine.yaml")).name == "mine"


def test_new_starts_from_a_card_file_wherever_the_new_one_lies(call: Call) -> None:
    Path("cards").mkdir()
    Path("base.yaml").write_text("extends: rram\nupdate: {step: 0.004}\n")
    assert call("new", "mine", "--from", "base.yaml", "--out", "cards/mine.yaml").code == 0
    card = noisyhw.load_device(Path("cards/mine.yaml"))
    assert card.update.kind == "pulsed"
    assert card.update.step == 0.004
    assert call("new", "other", "--from", "./base.yaml").code == 0
    assert noisyhw.load_device(Path("other.yaml")).update == card.update


@pytest.mark.parametrize("name", ["../mine", "", "a b", ".mine"])
def test_new_refuses_a_name_that_is_none(call: Call, name: str) -> None:
    said = call("new", name)
    assert said.code == 2
    assert "NAME: must be letters, digits, and . + - _" in said.err


def test_new_refuses_an_unknown_base_and_a_folder_that_is_not_there(call: Call) -> None:
    assert "Did you mean 'rram'?" in call("new", "mine", "--from", "rrram").err
    said = call("new", "mine", "--out", "nowhere/mine.yaml")
    assert said.code == 1
    assert "nowhere/mine.yaml: cannot be written" in said.err


# plot.


AGEING = (
    "extends: rram\nretention: {tau_s: 1.0e+7, tau_spread: 0.2}\nage: 1d\ntemperature_k: 358.0\n"
    "temperature: {activation_energy_ev: 0.7}\nperiphery: {ir_drop: {wire_resistance_ohm: 1.0, g_max_us: 25.0}}\n"
)


@pytest.mark.slow
def test_plot_writes_one_figure_and_every_panel_twice(call: Call) -> None:
    Path("mine.yaml").write_text(AGEING)
    said = call("plot", "./mine.yaml", "--out", "figures")
    assert (said.code, said.err) == (0, "")
    names = {"device", *PANELS}
    there = {path.name for path in Path("figures").iterdir()}
    assert there == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert {Path(line).name for line in said.out.splitlines()} == there


def test_what_a_card_does_not_have_is_left_out_with_a_line(call: Call) -> None:
    said = call("plot", "ideal", "--out", "figures")
    lines = said.out.splitlines()
    assert "read-noise: left out, the card has no read noise" in lines
    assert "noise-spectrum: left out, the card's reads do not fluctuate" in lines
    assert "converters: left out, the card has no converters" in lines
    assert "bounds: left out, the card's weights have no bounds" in lines
    assert "steps: left out, the card's cells are not pulsed" in lines
    assert "ageing: left out, the card's cells do not age" in lines
    assert "ir-drop: left out, the card's wires have no resistance" in lines
    assert {path.stem for path in Path("figures").iterdir()} == {"device", "pulse-response"}
    assert "bounds: left out, all cells have the same bounds" in call("plot", "pcm", "--out", "pcm").out


@pytest.mark.slow
def test_the_same_seed_draws_the_same_figure_and_another_another(tmp_path: Path) -> None:
    card = noisyhw.load_device("smtj")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plot_device(card, tmp_path / name, seed)
    a, b, c = ((tmp_path / name / "device.svg").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_plot_refuses_a_folder_that_cannot_be(call: Call) -> None:
    Path("file").touch()
    said = call("plot", "ideal", "--out", "file")
    assert said.code == 1
    assert "file: cannot be made" in said.err


def test_the_drawn_density_and_spectrum_hold_what_the_reads_scatter_by() -> None:
    noise = {"white": {"std": 0.02}, "telegraph": {"amplitude": 0.05, "flip_probability": 0.1}}
    card = make_card(read_noise=noise)
    reads, product, x = probe.reads(card, 4000, 4, 0)
    density = panels._density(card, 0.0, x)
    assert density is not None
    grid = torch.linspace(-0.5, 0.5, 20001, dtype=torch.float64).numpy()
    variance = float((density(grid) * grid**2).sum() * (grid[1] - grid[0]))
    assert variance == pytest.approx(0.02**2 + 0.05**2, rel=1e-6)
    assert float(density(grid).sum() * (grid[1] - grid[0])) == pytest.approx(1, rel=1e-6)
    frequency = (torch.arange(20000, dtype=torch.float64) + 0.5).numpy() / 40000
    assert float(panels._spectrum(card, frequency, x).mean()) / 2 == pytest.approx(variance, rel=1e-3)
    # 16,000 reads whose telegraph state lives for 5: about 3,200 values for a variance
    assert float((reads - product).square().mean()) == pytest.approx(variance, rel=4.5 * math.sqrt(2 / 3200))


def test_sweeps_go_to_saturation_and_back() -> None:
    card = make_card(
        weights={"min": -0.8, "max": 1.0},
        update={"kind": "pulsed", "step": 0.01, "slope_up": 1, "slope_down": 1},
    )
    pulses, weights = probe.sweeps(card, 2, 2, 0)
    assert len(pulses) == len(weights) == 1 + 2 * 2 * probe.POINTS
    assert weights.max() > 0.95
    assert weights[probe.POINTS :].min() < -0.75
    assert pulses[-1] == 4 * probe.POINTS * round(2 * 1.8 / 0.01 / probe.POINTS)


def test_bounds_and_steps_of_cells_spread_as_the_card_says() -> None:
    card = noisyhw.load_device("ecram")
    low, high = probe.cell_bounds(card, 4000, 0)
    assert float(high.mean()) == pytest.approx(1.1724, rel=4.5 * 0.05 / math.sqrt(4000))
    assert float(high.std() / 1.1724) == pytest.approx(0.05, rel=4.5 / math.sqrt(8000))
    assert float(low.std() / 0.8276) == pytest.approx(0.05, rel=4.5 / math.sqrt(8000))
    up, _ = probe.cell_steps(card, 4000, 0)
    assert float(up.std() / 0.002) == pytest.approx(math.hypot(0.1, 0.01), rel=4.5 / math.sqrt(8000))


def test_programmed_cells_are_drawn_about_their_targets() -> None:
    card = make_card(
        weights={"min": -1, "max": 1},
        update={"kind": "programmed", "resolution": 0.01, "noise": {"constant": 0.02}},
    )
    targets, weights = probe.programmed(card, 5, 4000, 0)
    assert targets.tolist() == [-1, -0.5, 0, 0.5, 1]
    error = (weights - targets[:, None])[1:4]
    assert float(error.std()) == pytest.approx(0.02, rel=4.5 / math.sqrt(2 * error.numel()))


def test_aged_cells_follow_the_law_of_their_card_at_its_temperature() -> None:
    card = make_card(
        weights={"min": -1, "max": 1},
        drift={"nu": 0.06, "nu_spread": 0.01},
        temperature={"reference_k": 300.0, "conductance_tc": -0.001},
    )
    times = [20.0, 3600.0, 86400.0]
    for kelvin, factor in ((None, 1.0), (350.0, 0.95)):
        weights = probe.aged(card, 3, 4000, times, 0, kelvin)
        assert weights.shape == (3, 3, 4000)
        assert float(weights[:, 1].abs().max()) == 0
        for n, time_s in enumerate(times):
            decades = math.log1p(time_s / 20)
            error = 4.5 * 0.01 * decades * math.sqrt(math.pi / 2 / 4000)
            for level, sign in ((0, -1), (2, 1)):
                median = float(weights[n, level].median())
                assert math.log(sign * median / factor) == pytest.approx(-0.06 * decades, abs=error + 1e-5)


@pytest.mark.parametrize(
    ("block", "first", "last"),
    [
        ({"drift": {"nu": 0.1, "t0_s": 20.0}}, 2.0, 2e7),
        ({"drift": {"nu": 0.1, "t0_s": 20.0}, "age": "1y"}, 2.0, 3 * 31557600),
        ({"retention": {"tau_s": 300.0}}, 1.0, 3000.0),
        ({"retention": {"tau_s": 300.0}, "age": "1.5s"}, 0.5, 3000.0),
        (
            {
                "retention": {"tau_s": 300.0},
                "temperature": {"activation_energy_ev": 9.0},
                "temperature_k": 1.0,
            },
            1.0,
            1e12,
        ),
    ],
)
def test_the_ageing_panel_spans_from_before_any_change_to_its_end(
    block: dict[str, Any], first: float, last: float
) -> None:
    assert ageing_panel._span(make_card(**block)) == pytest.approx((first, last))


def test_the_wires_maps_lose_most_far_from_driver_and_sense_and_nearly_agree() -> None:
    card = make_card(
        weights={"min": -1, "max": 0.5},
        periphery={
            "ir_drop": {"wire_resistance_ohm": 5.0, "g_max_us": 25.0},
            "adc": {"bits": 4, "range": 2.0},
        },
        read_noise={"white": {"std": 0.5}},
    )
    weight, fast, exact = probe.wire_maps(card, 32)
    assert bool((weight == 0.5).all())
    for seen in (fast, exact):
        assert float(seen.min()) == float(seen[-1, 0])
        assert float(seen.max()) == float(seen[0, -1])
    assert float((weight - exact).norm() / exact.norm()) > 0.05
    assert 1e-5 < float((fast - exact).norm() / exact.norm()) < 2e-3


# compare.


def test_compare_tells_differing_fields_and_both_figures_of_merit(call: Call) -> None:
    Path("mine.yaml").write_text(
        "extends: rram\nupdate: {step: 0.004}\nperiphery: {adc: {bits: 6, range: 10.0}}\n"
    )
    found = json.loads(call("compare", "rram", "mine.yaml", "--json").out)
    assert found["devices"] == ["rram", "mine"]
    assert found["fields"] == {
        "periphery.adc.bits": [9, 6],
        "periphery.adc.range": [20.0, 10.0],
        "update.step": [0.002, 0.004],
    }
    merits = found["merit"]
    assert merits["steps over the range"] == [pytest.approx(1000), pytest.approx(500)]
    assert merits["asymmetry"] == [pytest.approx(0, abs=1e-5)] * 2
    assert merits["cycle noise per step"] == [3.75, 3.75]
    assert merits["read noise / full scale"] == [pytest.approx(0.005), pytest.approx(0.01)]
    assert merits["ADC step"] == [pytest.approx(40 / 510), pytest.approx(20 / 62)]
    text = call("compare", "rram", "mine.yaml").out.splitlines()
    assert text[0].split() == ["rram", "mine"]
    assert "update.step" in text[3]
    assert len(text) == 1 + 3 + 1 + len(merits)


def test_a_device_does_not_differ_from_itself(call: Call) -> None:
    assert compare(noisyhw.load_device("pcm"), noisyhw.load_device("pcm"))["fields"] == {}
    assert "no field differs" in call("compare", "pcm", "pcm").out
    assert "unknown device 'nothing'" in call("compare", "pcm", "nothing").err


@pytest.mark.parametrize("device", sorted(noisyhw.shipped_devices()))
def test_figures_of_merit_are_finite_or_absent(device: str) -> None:
    for name, value in merit(noisyhw.load_device(device)).items():
        assert value is None or math.isfinite(value), name


def test_a_merit_is_that_of_the_mean_device() -> None:
    found = merit(make_card(weights={"min": -1, "max": 1, "spread": 0.5}, update={
        "kind": "pulsed", "step": 0.01, "step_spread": 0.5, "asymmetry": 0.2, "cycle_noise": 2.0, "write_noise": 0.3,
    }))  # fmt: skip
    assert found["asymmetry"] == pytest.approx(0.2, abs=1e-5)
    assert found["step at weight 0"] == pytest.approx(0.01, rel=1e-5)
    assert found["read noise / full scale"] == 0.0
    assert merit(noisyhw.load_device("pcm"))["steps over the range"] == pytest.approx(2 / 0.018)


# Plug-ins.

RULE = """
import noisyhw
from noisyhw.rules.base import Knows, Rule

class Silent(Rule):
    name, title, knows = "silent", "learns nothing", Knows.ACTIVITIES
    def probes(self, layers):
        return ((True,) * layers,)
    def signals(self, seen):
        return tuple(a[0] * 0 for a in seen.activities)

class Half(Rule):
    name, title, knows = "half", "has no signals", Knows.ACTIVITIES

class Second(Silent):
    name = "anp"
"""
TASK = """
from noisyhw.tasks.digits import Digits

class Figures(Digits):
    name, title = "figures", "digits by another name"
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Make a package `strange_lab` importable, with the entry points given as group -> lines."""
    rules, tasks = dict(RULES), dict(TASKS)

    def make(**groups: list[str]) -> Path:
        site = tmp_path / "site"
        package = site / "strange_lab"
        info = site / "strange_lab-1.0.dist-info"
        for folder in (package, info):
            folder.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(
            "from pathlib import Path\nHERE = Path(__file__).parent\n"
            "def cards():\n    return {'strange-x': HERE / 'strange.yaml'}\n"
            "def number():\n    return 3\n"
            "def gone():\n    return {'gone': HERE / 'gone.yaml'}\n"
        )
        (package / "strange.yaml").write_text("extends: rram\ntitle: of a plug-in\nupdate: {step: 0.005}\n")
        (package / "rules.py").write_text(RULE)
        (package / "tasks.py").write_text(TASK)
        (package / "broken.py").write_text("raise ImportError('no such compiler')\n")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-lab\nVersion: 1.0\n")
        parts = [f"[noisyhw.{group}]\n" + "\n".join(lines) for group, lines in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(parts) + "\n")
        monkeypatch.syspath_prepend(str(site))
        device_cards.cache_clear()
        return site

    yield make
    device_cards.cache_clear()
    for registry, before in ((RULES, rules), (TASKS, tasks)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]
    for name in [name for name in sys.modules if name.startswith("strange_lab")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("value", "name"),
    [("strange_lab", "strange"), ("strange_lab:HERE", "strange"), ("strange_lab:cards", "strange-x")],
)
def test_a_device_of_another_package_is_found_by_its_name(
    distribution: Callable[..., Path], value: str, name: str
) -> None:
    distribution(devices=[f"lab = {value}"])
    card = noisyhw.load_device(name)
    assert card.title == "of a plug-in"
    assert card.update.kind == "pulsed"
    assert card.update.step == 0.005
    with pytest.raises(noisyhw.CardError, match=f"Choices: .*, {name}"):
        noisyhw.load_device("nothing")


def test_rules_and_tasks_of_another_package_are_there(distribution: Callable[..., Path]) -> None:
    distribution(rules=["silent = strange_lab.rules:Silent"], tasks=["figures = strange_lab.tasks:Figures"])
    RULES.ask_plugins()
    TASKS.ask_plugins()
    assert noisyhw.get_rule("silent")[0].title == "learns nothing"
    assert noisyhw.get_rule("dsilent")[1] is True
    assert noisyhw.get_task("figures").title == "digits by another name"


BROKEN = {
    "an import that fails": ("devices", "strange_lab.broken", "ImportError: no such compiler"),
    "no such module": ("devices", "strange_lab.nowhere", "ModuleNotFoundError"),
    "no cards": ("devices", "strange_lab:number", "a folder or a mapping name -> path is needed"),
    "a missing card": ("devices", "strange_lab:gone", "gone.yaml: no such file"),
    "no rule": ("rules", "strange_lab:cards", "is not a subclass of noisyhw.rules.Rule"),
    "half a rule": ("rules", "strange_lab.rules:Half", "TypeError"),
    "a name that is taken": ("rules", "strange_lab.rules:Second", "rule 'anp' is there already"),
    "no task": ("tasks", "strange_lab:cards", "is neither a noisyhw.tasks.Task nor a subclass of it"),
}


@pytest.mark.parametrize(("group", "value", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_told_in_one_line_and_stops_nothing(
    distribution: Callable[..., Path], caplog: pytest.LogCaptureFixture, group: str, value: str, reason: str
) -> None:
    groups = {
        "devices": ["fine = strange_lab:cards"],
        "rules": [],
        "tasks": ["fine = strange_lab.tasks:Figures"],
    }
    groups[group] = [*groups[group], f"bad = {value}"]
    distribution(**groups)
    with caplog.at_level(logging.WARNING, "noisyhw"):
        RULES.ask_plugins()
        TASKS.ask_plugins()
        assert noisyhw.load_device("strange-x").title == "of a plug-in"
    assert noisyhw.get_task("figures").name == "figures"
    [message] = caplog.messages
    assert message.startswith(f"noisyhw: plug-in 'bad' of strange-lab (noisyhw.{group} = {value}): ")
    assert reason in message
    assert len(message.splitlines()) == 1
    assert noisyhw.get_rule("anp")[0].title != "learns nothing"


def test_a_plugin_cannot_take_a_shipped_name(
    distribution: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    site = distribution(devices=["lab = strange_lab"], tasks=["again = noisyhw.tasks.digits:Digits"])
    (site / "strange_lab" / "rram.yaml").write_text("extends: pcm\n")
    TASKS.ask_plugins()
    assert noisyhw.load_device("rram").technology == "RRAM"
    assert [message.split("): ")[1] for message in caplog.messages] == [
        "task 'digits' is there already; this one is left out",
        "device 'rram' is there already; this one is left out",
    ]


def test_the_command_line_lists_what_plugins_bring_and_tells_a_broken_card(
    distribution: Callable[..., Path], call: Call
) -> None:
    site = distribution(devices=["lab = strange_lab"])
    (site / "strange_lab" / "wrong.yaml").write_text("extends: rram\nupdate: {stop: 1}\n")
    said = call("list")
    assert said.code == 0
    assert any(
        line.startswith("strange ") and line.endswith("of a plug-in") for line in said.out.splitlines()
    )
    [line] = said.err.splitlines()
    assert line.startswith("plug-in device 'wrong' is left out: ")
    assert "did you mean 'step'" in line


def test_a_fresh_process_asks_plugins_when_it_needs_one_and_goes_on_beside_a_broken_one(
    distribution: Callable[..., Path], tmp_path: Path
) -> None:
    site = distribution(
        devices=["lab = strange_lab", "bad = strange_lab.broken"], rules=["silent = strange_lab.rules:Silent"]
    )
    code = (
        "import sys, noisyhw.rules, noisyhw.training.run; print('strange_lab' in sys.modules)\n"
        "print(noisyhw.load_device('strange').title, '|', noisyhw.get_rule('silent')[0].title)"
    )
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout == "False\nof a plug-in | learns nothing\n", done.stderr
    assert done.stderr.splitlines() == [
        "noisyhw: plug-in 'bad' of strange-lab (noisyhw.devices = strange_lab.broken): ImportError: no such compiler"
    ]


@pytest.mark.slow
def test_every_panel_runs_on_every_shipped_device_of_ours() -> None:
    drawn = {(device, panel.name) for device in OWN for panel in PANELS.values() if _draws(device, panel)}
    later = {"ageing", "ir-drop"}  # no shipped card claims them
    assert {name for _, name in drawn} | later == set(PANELS)


def _draws(device: str, panel: Any) -> bool:
    done = panel.prepare(noisyhw.load_device(device), 0)
    assert callable(done) or len(done) > 10
    return callable(done)
