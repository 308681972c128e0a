"""Cards: finding, reading, merging and checking them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisyhw.cards import (
    DeviceCard,
    Experiment,
    device_json_schema,
    experiment_json_schema,
    load_device,
    load_experiment,
    shipped,
    shipped_devices,
    shipped_experiments,
)
from noisyhw.cards.device import ExactUpdate, ProgrammedUpdate, PulsedUpdate
from noisyhw.cards.yaml_lines import Located, located, parse
from noisyhw.errors import CardError, NoisyhwError

Write = Callable[..., Path]

PULSED = """\
title: A test device
weights: {min: -1, max: 1}
periphery:
  dac: {bits: 7, range: 1}
  adc: {bits: 9, range: 20}
read_noise:
  white: {std: 0.1}
update:
  kind: pulsed
  step: 1e-3
  slope_up: 1
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a card under the working directory, which is the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture
def shelf(write: Write, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Put two shipped devices and one shipped experiment in place of the real ones."""
    devices = {"rram": write("shelf/rram.yaml", PULSED), "ideal": write("shelf/ideal.yaml", "title: Ideal\n")}
    configs = {"quick": write("shelf/quick.yaml", "device: ideal\nepochs: 3\n")}
    monkeypatch.setattr(shipped, "shipped_devices", lambda: devices)
    monkeypatch.setattr(shipped, "shipped_experiments", lambda: configs)
    return write


def refusal(call: Callable[..., object], *args: object, **options: object) -> str:
    """Return the message with which a call is refused."""
    with pytest.raises(CardError) as caught:
        call(*args, **options)
    text = str(caught.value)
    assert "pydantic" not in text
    assert "Traceback" not in text
    assert "Value error" not in text
    return text


# The shipped cards and where they lie.


@pytest.mark.parametrize("name", sorted(shipped_devices()))
def test_every_shipped_device_loads_under_its_file_name(name: str) -> None:
    assert load_device(name).name == name


@pytest.mark.parametrize("name", sorted(shipped_experiments()))
def test_every_shipped_experiment_loads(name: str) -> None:
    assert isinstance(load_experiment(name), Experiment)


def test_shipped_cards_are_taken_from_the_package_before_the_checkout(tmp_path: Path) -> None:
    package = tmp_path / "noisyhw"
    assert shipped._folder(package, "devices") == tmp_path / "devices"
    (package / "_shipped" / "devices").mkdir(parents=True)
    assert shipped._folder(package, "devices") == package / "_shipped" / "devices"


def test_the_names_of_shipped_cards_are_their_file_stems(write: Write) -> None:
    path = write("devices/ecram.yaml", "")
    write("devices/notes.txt", "")
    assert shipped._cards(path.parent) == {"ecram": path}


def test_an_unknown_device_is_refused_with_the_nearest_name_and_the_choices(shelf: Write) -> None:
    message = refusal(load_device, "rramm")
    assert (
        message
        == "unknown device 'rramm'. Did you mean 'rram'? Choices: rram, ideal; or a path to a .yaml file"
    )


def test_an_unknown_experiment_is_refused_with_the_choices(shelf: Write) -> None:
    assert "unknown experiment 'qick'. Did you mean 'quick'?" in refusal(load_experiment, "qick")


def test_a_shipped_experiment_loads_by_name(shelf: Write) -> None:
    assert load_experiment("quick").epochs == 3


def test_a_path_object_is_a_path_even_without_a_separator(shelf: Write) -> None:
    shelf("rram", "title: Mine")
    assert load_device(Path("rram")).title == "Mine"
    assert load_device("rram").title == "A test device"


# Names and inheritance.


def test_a_card_without_a_name_is_called_after_its_file(write: Write) -> None:
    assert load_device(write("mine.yaml", "title: x")).name == "mine"
    assert load_device(write("null.yaml", "name: null")).name == "null"
    assert load_device(write("other.yaml", "name: given")).name == "given"


def test_a_child_without_a_name_does_not_take_its_parents(shelf: Write) -> None:
    assert load_device(shelf("mine.yaml", "extends: rram")).name == "mine"


def test_a_child_wins_field_by_field_and_keeps_the_rest(shelf: Write) -> None:
    card = load_device(shelf("mine.yaml", "extends: rram\nperiphery: {adc: {bits: 4}}\nupdate: {step: 0.5}"))
    assert card.periphery.adc is not None
    assert (card.periphery.adc.bits, card.periphery.adc.range) == (4, 20)
    assert card.update == PulsedUpdate(kind="pulsed", step=0.5, slope_up=1)


def test_lists_replace(write: Write) -> None:
    write("base.yaml", "fitted: [a, b]")
    assert load_device(write("child.yaml", "extends: base.yaml\nfitted: [c]")).fitted == ("c",)


def test_extends_is_relative_to_the_file_that_says_it(write: Write) -> None:
    write("lab/base.yaml", "extends: sub/root.yaml\nread_noise: {mean: 2}")
    write("lab/sub/root.yaml", "title: Root\nread_noise: {mean: 1}")
    card = load_device(write("child.yaml", "extends: lab/base.yaml"))
    assert (card.title, card.read_noise.mean) == ("Root", 2)


def test_another_kind_replaces_the_parents_block(shelf: Write) -> None:
    assert load_device(shelf("a.yaml", "extends: rram\nupdate: {kind: exact}")).update == ExactUpdate()


def test_null_resets_a_field_to_its_default(shelf: Write) -> None:
    child = shelf("a.yaml", "extends: rram\nperiphery: {adc: null}\nread_noise:\nupdate: null\ntitle: ~")
    card = load_device(child)
    assert card.periphery.adc is None
    assert card.periphery.dac is not None
    assert card.read_noise.white is None
    assert card.update == ExactUpdate()
    assert card.title == ""


def test_a_grandchild_can_set_again_what_a_child_reset(shelf: Write) -> None:
    shelf("a.yaml", "extends: rram\nperiphery: {adc: null}")
    message = refusal(load_device, shelf("b.yaml", "extends: a.yaml\nperiphery: {adc: {bits: 3}}"))
    assert message.startswith("b.yaml:2: periphery.adc.range: is missing")


def test_a_circle_of_cards_is_refused_and_named(write: Write) -> None:
    write("a.yaml", "title: A\nextends: b.yaml")
    write("b.yaml", "extends: a.yaml")
    message = refusal(load_device, "a.yaml")
    assert message == "b.yaml:1: extends: goes in a circle: a.yaml -> b.yaml -> a.yaml"
    assert "self.yaml -> self.yaml" in refusal(load_device, write("self.yaml", "extends: self.yaml"))


def test_a_card_that_extends_an_unknown_card_names_the_line(shelf: Write) -> None:
    path = shelf("a.yaml", "title: A\nextends: rrram")
    assert refusal(load_device, path).startswith("a.yaml:2: unknown device 'rrram'. Did you mean 'rram'?")
    path = shelf("b.yaml", "extends: gone.yaml")
    assert refusal(load_device, path) == "b.yaml:1: gone.yaml: no such file"
    path = shelf("c.yaml", "extends: [rram]")
    assert refusal(load_device, path) == "c.yaml:1: a device is a name or a path, got a list"


def test_experiments_extend_one_another(shelf: Write) -> None:
    shelf("base.yaml", "device: rram\ntask: sarcos\nepochs: 9\nupdate: {beta1: 0.5}")
    card = load_experiment(shelf("child.yaml", "extends: base.yaml\nepochs: 2\nupdate: {beta2: 0.5}"))
    assert (card.device.name, card.task.name, card.epochs) == ("rram", "sarcos", 2)
    assert (card.update.beta1, card.update.beta2) == (0.5, 0.5)
    assert load_experiment(shelf("named.yaml", "extends: quick")).epochs == 3


def test_a_child_experiments_device_name_replaces_and_its_device_fields_merge(shelf: Write) -> None:
    shelf("base.yaml", "device: rram")
    replaced = load_experiment(shelf("a.yaml", "extends: base.yaml\ndevice: ideal"))
    assert replaced.device == load_device("ideal")
    merged = load_experiment(shelf("b.yaml", "extends: base.yaml\ndevice: {read_noise: {mean: 3}}"))
    assert merged.device.name == "rram"
    assert merged.device.read_noise.mean == 3


# An experiment's device, options and sets.


def test_a_device_is_a_name_a_path_or_fields(shelf: Write) -> None:
    shelf("lab/own.yaml", "title: Own")
    assert load_experiment(shelf("lab/a.yaml", "device: rram")).device.name == "rram"
    assert load_experiment(shelf("lab/b.yaml", "device: own.yaml")).device.title == "Own"
    assert load_experiment(shelf("lab/c.yaml", "device: {name: x, title: Inline}")).device.title == "Inline"
    extended = load_experiment(
        shelf("lab/d.yaml", "device: {extends: own.yaml, read_noise: {mean: 1}}")
    ).device
    assert (extended.name, extended.title, extended.read_noise.mean) == ("own", "Own", 1)


def test_a_device_path_in_options_and_sets_is_relative_to_the_working_directory(shelf: Write) -> None:
    shelf("mine.yaml", "title: Mine")
    card = shelf("lab/exp.yaml", "device: rram")
    assert load_experiment(card, {"device": "mine.yaml"}).device.title == "Mine"
    assert load_experiment(card, sets=["device=mine.yaml"]).device.title == "Mine"


def test_sets_win_over_options_and_options_over_the_file(shelf: Write) -> None:
    path = shelf("exp.yaml", "device: rram\nepochs: 1\nbatch: 1\nseed: 1")
    card = load_experiment(path, {"epochs": 2, "batch": 2, "seed": None}, ["epochs=3"])
    assert (card.epochs, card.batch, card.seed) == (3, 2, 1)


def test_an_experiment_needs_no_file(shelf: Write) -> None:
    options = {
        "device": "rram",
        "rule.name": "bp",
        "task.name": "sarcos",
        "network.hidden": (8, 4),
        "epochs": 5,
    }
    card = load_experiment(None, options)
    assert (card.device.name, card.rule.name, card.task.name) == ("rram", "bp", "sarcos")
    assert (card.network.hidden, card.epochs) == ((8, 4), 5)


def test_an_experiment_without_a_device_says_so() -> None:
    assert refusal(load_experiment).startswith("experiment: device: is missing and has no default")


@pytest.mark.parametrize("sets", [["rule.oracle=true"], ["rule.oracle=true", "rule=bp"]])
def test_the_short_form_of_a_rule_survives_a_set_of_its_option(shelf: Write, sets: list[str]) -> None:
    card = load_experiment(shelf("exp.yaml", "device: rram\nrule: bp\ntask: sarcos"), sets=sets)
    assert (card.rule.name, card.rule.oracle, card.task.name) == ("bp", True, "sarcos")


@pytest.mark.parametrize("options", [{}, {"device": "rram"}])
def test_sets_into_the_device_apply_on_top_of_a_changed_device(
    shelf: Write, options: dict[str, object]
) -> None:
    path = shelf("exp.yaml", "device: {extends: rram, read_noise: {telegraph: null, mean: 4}}")
    sets = ["device.read_noise.mean=2", *([] if options else ["device=rram"])]
    device = load_experiment(path, options, sets).device
    assert device == load_device("rram", ["read_noise.mean=2"])
    other = load_experiment(path, {"device": "ideal"}, ["device.read_noise.white.std=0.1"]).device
    assert other == load_device("ideal", ["read_noise.white.std=0.1"])


def test_a_set_creates_the_blocks_on_its_way(shelf: Write) -> None:
    card = load_device("ideal", ["read_noise.white.std=0.1"])
    assert card.read_noise.white is not None
    assert card.read_noise.white.std == 0.1


def test_sets_may_change_the_kind_in_any_order(shelf: Write) -> None:
    sets = ["update.resolution=0.1", "update.kind=programmed"]
    wanted = ProgrammedUpdate(kind="programmed", resolution=0.1)
    assert load_device("rram", sets).update == wanted
    assert load_device("rram", sets[::-1]).update == wanted


@pytest.mark.parametrize(
    ("written", "value"),
    [("[64, 32]", (64, 32)), ("null", None), ("[]", ()), ("[0x10]", (16,))],
)
def test_a_set_value_is_read_as_yaml(shelf: Write, written: str, value: object) -> None:
    assert load_experiment("quick", sets=[f"network.hidden={written}"]).network.hidden == value
    assert load_experiment("quick", sets=["update.learning_rate=1e-3"]).update.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", "--set epochs: write it as key.path=value, e.g. --set epochs=5"),
        ("=5", "--set =5: write it as key.path=value, e.g. --set epochs=5"),
        ("rule..name=5", "--set rule..name=5: write it as key.path=value, e.g. --set epochs=5"),
        ("epochs=", "--set epochs=: no value after '='; null stands for the default"),
        ("epoch=5", "--set epoch=5: epoch: unknown key; did you mean 'epochs'? Choices: task, device,"),
        ("epochs=many", "--set epochs=many: epochs: must be a whole number, got 'many'"),
        ("epochs=1.5", "--set epochs=1.5: epochs: must be a whole number, got 1.5"),
        ("epochs.x=1", "--set epochs.x=1: epochs: must be a whole number, got a mapping"),
        ("epochs=[1", "--set epochs=[1: not valid YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("network.hidden=64", "--set network.hidden=64: network.hidden: must be a list, got 64"),
        ("network.hidden=[8, 0]", "--set network.hidden=[8, 0]: network.hidden[1]: must be >= 1, got 0"),
        ("rule.oracle=maybe", "--set rule.oracle=maybe: rule.oracle: must be true or false, got 'maybe'"),
        ("device.weights.max=.inf", "device.weights.max: must be a finite number, got inf"),
        ("device=rramm", "--set device=rramm: unknown device 'rramm'. Did you mean 'rram'?"),
        ("device=null", "device: is missing and has no default"),
        ("perturbation.std=-1", "perturbation.std: must be >= 0 or 'auto', got -1"),
        ("perturbation.std=some", "perturbation.std: must be a number or 'auto', got 'some'"),
        (
            "update.path=pulse",
            "--set update.path=pulse: update.path: must be one of on_tile, mixed_precision, sgd, adam, "
            "tiki_taka, tiki_taka_v2, c_ttv2, agad, auto, got 'pulse'",
        ),
    ],
)
def test_a_wrong_set_is_refused_and_quoted(shelf: Write, setting: str, message: str) -> None:
    assert message in refusal(load_experiment, "quick", sets=[setting])


def test_a_wrong_option_is_named_as_an_option(shelf: Write) -> None:
    assert refusal(load_experiment, None, {"device": "rramm"}).startswith("option --device: unknown device")
    assert refusal(load_experiment, "quick", {"epochs": 0}) == "option --epochs: epochs: must be >= 1, got 0"
    assert refusal(load_experiment, "quick", {"update.beta1": 1}).startswith(
        "option update.beta1: update.beta1"
    )
    wrong_rule = refusal(load_experiment, "quick", {"rule.name": [1]})
    assert wrong_rule == "option --rule: rule.name: must be text, got a list"


# Reading YAML.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("~", None),
        ("yes", "yes"),
        ("off", "off"),
        ("2024-01-02", "2024-01-02"),
        ("1:30", "1:30"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("[a, {b: 1.5}]", ["a", {"b": 1.5}]),
    ],
)
def test_scalars_are_read_as_yaml_1_2(text: str, value: object) -> None:
    node = parse(text, "x")
    assert node is not None
    assert node.plain() == value
    assert type(node.plain()) is type(value)


def test_every_value_knows_the_line_of_its_key() -> None:
    root = parse("a:\n  b:\n    1\n  c: [1,\n   2]\n", "f.yaml")
    assert root is not None
    inner = root.entries["a"]
    assert (inner.origin, inner.entries["b"].origin, inner.entries["c"].origin) == (
        "f.yaml:1",
        "f.yaml:2",
        "f.yaml:4",
    )
    items = inner.entries["c"].value
    assert isinstance(items, list)
    assert [item.origin for item in items] == ["f.yaml:4", "f.yaml:5"]


def test_aliases_work(write: Write) -> None:
    card = load_device(write("a.yaml", "periphery:\n  dac: &same {bits: 5, range: 1}\n  adc: *same"))
    assert card.periphery.dac == card.periphery.adc != None  # noqa: E711


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "card.yaml: the file is empty"),
        ("# nothing\n", "card.yaml: the file is empty"),
        ("- a\n- b\n", "card.yaml:1: a card is a mapping (key: value), got a list"),
        ("rram", "card.yaml:1: a card is a mapping (key: value), got 'rram'"),
        (
            "title: [1\nname: x\n",
            "card.yaml:2:5: not valid YAML: while parsing a flow sequence, expected ',' or ']'",
        ),
        ("title: a: b\n", "card.yaml:1:9: not valid YAML: mapping values are not allowed here"),
        ("weights:\n\tmin: -1\n", "card.yaml:2:1: not valid YAML: while scanning for the next token"),
        ("weights:\n\tmin: -1\n", "indent with spaces"),
        ("a: 1\n---\nb: 1\n", "expected a single document"),
        ("title: *x\n", "card.yaml:1:8: not valid YAML: found undefined alias"),
        (
            "title: a\nname: b\ntitle: c\n",
            "card.yaml:3: key 'title' appears twice in one block; it is already on line 1",
        ),
        ("weights:\n  <<: {min: -1}\n", "card.yaml:2: merge keys (<<) are not supported; use 'extends'"),
        ("? [a, b]\n: 1\n", "card.yaml:1: a key must be a word, not a list or a mapping"),
        (
            "title: !!python/object:os.system x\n",
            "card.yaml:1: the tag 'tag:yaml.org,2002:python/object:os.system'",
        ),
        ("weights: !!set {a}\n", "card.yaml:1: the tag 'tag:yaml.org,2002:set' is not supported"),
        ("title: !!int 3x\n", "card.yaml:1: not valid YAML: '3x' is not of type int"),
        ("title: !!bool si\n", "card.yaml:1: not valid YAML: 'si' is not of type bool"),
        (f"title: {'9' * 400}\n", "is not of type int"),
        ('title: "\\ud800"\n', "card.yaml:1: text holds half a character"),
        ("title: \x07\n", "card.yaml: not valid YAML: character 7 is unprintable"),
        ("title: &a [*a]\n", "card.yaml:1: nested too deeply (more than 50 levels)"),
        (f"title: {'[' * 5000}\n", "card.yaml: nested too deeply"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(write: Write, text: str, message: str) -> None:
    refused = refusal(load_device, write("card.yaml", text))
    assert message in refused
    assert len(refused) < 300


def test_aliases_can_not_explode(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    message = refusal(load_device, write("card.yaml", "\n".join(lines)))
    assert re.fullmatch(r"card\.yaml:\d+: more than 10000 values, aliases expanded", message)


def test_a_file_that_is_not_utf_8_is_refused(write: Write) -> None:
    path = write("card.yaml", "")
    path.write_bytes("title: é".encode("latin-1"))
    assert refusal(load_device, path) == "card.yaml: is not UTF-8 text (byte 7)"


def test_a_byte_order_mark_is_no_harm(write: Write) -> None:
    path = write("card.yaml", "")
    path.write_bytes("title: é".encode("utf-8-sig"))
    assert load_device(path).title == "é"


def test_a_missing_file_a_directory_and_an_unusable_name_are_refused(write: Write) -> None:
    path = write("lab/card.yaml", "")
    assert refusal(load_device, "gone.yaml") == "gone.yaml: no such file"
    assert refusal(load_experiment, "lab/") == "lab: is a directory or device, not a card file"
    assert "lab/card.yaml/x.yaml: cannot be read: Not a directory" in refusal(load_device, path / "x.yaml")
    assert "cannot be read: File name too long" in refusal(load_device, "a" * 5000 + ".yaml")
    assert "cannot be read: embedded null byte" in refusal(load_device, "\0.yaml")


def test_an_unreadable_file_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    path = write("card.yaml", "title: x")
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refusal(load_device, path) == "card.yaml: cannot be read: Permission denied"


def test_a_file_outside_the_working_directory_is_named_in_full(write: Write, tmp_path: Path) -> None:
    path = write("card.yaml", "")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    assert refusal(load_device, "../card.yaml").startswith(f"{path}: the file is empty")


# Checking.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "title: x\nread_noise:\n  white:\n    std: -0.1\n",
            "card.yaml:4: read_noise.white.std: must be >= 0, got -0.1",
        ),
        (
            "periphery:\n  adc: {bits: 4, range: 1,\n    bitz: 3}\n",
            "card.yaml:3: periphery.adc.bitz: unknown key; did you mean 'bits'? Choices: bits, range",
        ),
        (
            "periphery:\n  dac:\n    bits: 4\n",
            "card.yaml:2: periphery.dac.range: is missing and has no default "
            "(Full scale: the largest magnitude that is not clipped)",
        ),
        ("weights: {zzz: 1}", "card.yaml:1: weights.zzz: unknown key. Choices: min, max, spread, spread_min"),
        (
            "weights: {zzz: null}",
            "card.yaml:1: weights.zzz: unknown key. Choices: min, max, spread, spread_min",
        ),
        ("weights: {kind: max, min: -1, max: -1}", "card.yaml:1: weights.max: must be > 0, got -1"),
        ("extend: rram", "card.yaml:1: extend: unknown key; did you mean 'extends'?"),
        ("title: 5", "card.yaml:1: title: must be text, got 5"),
        ("name: ''", "card.yaml:1: name: must be a short name of letters, digits, . + - and _, got ''"),
        ("weights: 5", "card.yaml:1: weights: must be a mapping (key: value), got 5"),
        ("weights:\n  min: -1\n", "card.yaml:1: weights: give both 'min' and 'max', or neither"),
        ("weights: {min: 1, max: 2}", "card.yaml:1: weights.min: must be < 0, got 1"),
        ("source:\n- paper: x\n  gives: 1\n", "card.yaml:3: source[0].gives: must be text, got 1"),
        ("source:\n- paper: x\n", "card.yaml:2: source[0].gives: is missing"),
        (
            "update:\n  kind: foo\n",
            "card.yaml:2: update.kind: must be one of exact, programmed, pulsed, one_sided, got 'foo'",
        ),
        (
            "update:\n  kind: [1]\n",
            "card.yaml:2: update.kind: must be one of exact, programmed, pulsed, one_sided, got a list",
        ),
        (
            "update:\n  step: 1\n",
            "card.yaml:1: update.kind: is missing; choices: exact, programmed, pulsed, one_sided",
        ),
        ("update: pulsed\n", "card.yaml:1: update: must be a mapping (key: value), got 'pulsed'"),
        (
            "update:\n  kind: pulsed\n  step: 0\n",
            "card.yaml:3: update.step: must be >= 1e-15 (32 bits cannot divide by less), got 0",
        ),
        ("update:\n  kind: pulsed\n  stp: 1\n", "card.yaml:3: update.stp: unknown key; did you mean 'step'?"),
        ("update: {kind: pulsed}\n", "card.yaml:1: update.step: is missing"),
        (
            "title: x\nupdate: {kind: pulsed, step: 1, slope_up: 1}",
            "card.yaml:1: update.slope_up and update.slope_down need the bounds weights.min and weights.max",
        ),
        ('"a\\nb": 1', "card.yaml:1: 'a\\nb': unknown key."),
    ],
)
def test_a_wrong_value_is_named_with_its_line_field_and_fix(write: Write, text: str, message: str) -> None:
    assert message in refusal(load_device, write("card.yaml", text)).splitlines()[-1 if "stp" in text else 0]


def test_a_value_keeps_its_file_through_extends(write: Write) -> None:
    write("lab/base.yaml", "title: x\nread_noise: {mean: wide}\nweights: {min: 1}")
    write("mine.yaml", "extends: lab/base.yaml\nweights: {max: -1}\nupdate: {kind: 3}")
    message = refusal(load_device, "mine.yaml", ["periphery.dac.bits=1"])
    assert message.splitlines() == [
        "lab/base.yaml:3: weights.min: must be < 0, got 1",
        "mine.yaml:2: weights.max: must be > 0, got -1",
        "--set periphery.dac.bits=1: periphery.dac.bits: must be >= 2, got 1",
        "--set periphery.dac.bits=1: periphery.dac.range: is missing and has no default "
        "(Full scale: the largest magnitude that is not clipped)",
        "lab/base.yaml:2: read_noise.mean: must be a number, got 'wide'",
        "and 1 more",
    ]


def test_a_wrong_value_in_an_experiments_device_names_the_devices_file(write: Write) -> None:
    write("dev.yaml", "title: x\nweights: {min: 0, max: 1}")
    message = refusal(load_experiment, write("exp.yaml", "seed: 1\ndevice: dev.yaml"))
    assert message == "dev.yaml:2: device.weights.min: must be < 0, got 0"
    (Path.cwd() / "dev.yaml").write_text("title: [")
    assert refusal(load_experiment, "exp.yaml").startswith("exp.yaml:2: dev.yaml:1:9: not valid YAML")


def test_long_values_are_cut_in_messages(write: Write) -> None:
    message = refusal(load_device, write("card.yaml", f"weights: {'x' * 10_000}"))
    assert len(message) < 200


# JSON Schema.


def test_the_json_schemas_describe_the_files_that_users_write() -> None:
    device, experiment = device_json_schema(), experiment_json_schema()
    for schema, model in ((device, DeviceCard), (experiment, Experiment)):
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["title"].startswith("noisyhw")
        assert set(schema["properties"]) == {"extends", *model.model_fields}
        assert schema["properties"]["extends"]["type"] == "string"
        assert schema["additionalProperties"] is False
        assert "required" not in schema
        json.dumps(schema)
    for key in ("device", "task", "rule"):
        assert {"type": "string"} in experiment["properties"][key]["anyOf"]
    assert "extends" in experiment["$defs"]["DeviceCard"]["properties"]


# Anything at all.

BLOCKS = [experiment_json_schema(), *experiment_json_schema()["$defs"].values()]
FIELDS = sorted({key for block in BLOCKS for key in block["properties"]})
WORDS = st.sampled_from([*FIELDS, "exact", "programmed", "pulsed"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(WORDS, VALUES, max_size=6)
ANY_TIME = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def outcome(call: Callable[..., object], *args: object) -> str:
    """Return the message of our own error, empty if there is none; other errors get out."""
    try:
        call(*args)
    except NoisyhwError as error:
        return str(error) or "an error without a message"
    return ""


@ANY_TIME
@given(content=MAPPINGS)
def test_random_mappings_raise_nothing_but_our_own_errors(write: Write, content: dict[str, object]) -> None:
    path = write("card.yaml", json.dumps(content))
    messages = [outcome(load_device, path), outcome(load_experiment, path)]
    messages.append(outcome(load_experiment, None, {"device": "ideal", **content}))
    assert all(len(message.splitlines()) <= 6 for message in messages)
    assert "an error without a message" not in messages


@ANY_TIME
@given(text=st.text(max_size=40) | st.text(alphabet="a:[]{}-,&*!|>'\"# \n\t?%@<", max_size=20))
def test_random_text_raises_nothing_but_our_own_errors(write: Write, text: str) -> None:
    path = write("card.yaml", "")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    plain = write("plain.yaml", "title: x")
    settings = [[text], [f"title={text}"], [f"{text}=1"]]
    messages = [outcome(load_device, path), *(outcome(load_device, plain, one) for one in settings)]
    messages.append(outcome(load_device, text))
    assert "an error without a message" not in messages


@ANY_TIME
@given(value=VALUES)
def test_wrapping_a_value_and_unwrapping_it_changes_nothing(value: object) -> None:
    wrapped = located(value, "here")
    assert repr(wrapped.plain()) == repr(value)
    assert isinstance(wrapped, Located)


JUMPS = "device.read_noise.cell_telegraph={amplitude: 0.1, flip_probability: 0.1}"


@pytest.mark.parametrize(
    ("device", "sets", "revised"),
    [
        ("ideal", ("update.path=on_tile",), ""),
        ("rram", (), ""),
        ("rram", ("update.path=sgd",), ""),
        ("rram", ("update.path=on_tile",), " trains 2"),
        ("ecram", ("update.path=agad",), " trains 2"),
        ("rram", ("decorrelation.on=tile",), " trains 2"),
        ("rram-exp", (), " shapes 3"),
        ("pcm-pulsed", ("update.path=tiki_taka",), " trains 2 pairs 2"),
        ("pcm", ("device.stuck.share_at_zero=0.1",), ""),
        ("pcm", ("device.stuck.share_at_zero=0.1", JUMPS), " stuck 2"),
    ],
)
def test_only_runs_whose_arithmetic_was_revised_have_a_new_identity(
    device: str, sets: tuple[str, ...], revised: str
) -> None:
    assert load_experiment(None, {"device": device}, sets)._revisions() == revised
