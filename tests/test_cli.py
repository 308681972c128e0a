"""What the command line promises: results on stdout, one short message on stderr, exit codes 0, 1, 2 and 130."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from aihwkit_support import SHIPPED as AIHWKIT_DEVICES
from aihwkit_support import why_not
from cli_support import Call, Said, said_by
from noisyhw_cli.main import cli, main
from run_support import SMALL, CtrlC, tiny

import noisyhw
from noisyhw.errors import UsageError
from noisyhw.rules import RULES
from noisyhw.training import run as running

SHIPPED = tuple(
    sorted(path.stem for path in (Path(__file__).resolve().parents[1] / "devices").glob("*.yaml"))
)
OURS = tuple(name for name in SHIPPED if name not in AIHWKIT_DEVICES)
SETS = [part for setting in SMALL for part in ("--set", setting)]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "draw_curve", lambda *_: None)

    return lambda *arguments: said_by(capsys, *arguments)


def assert_refused(said: Said, code: int, *parts: str) -> None:
    """One short message on stderr, nothing on stdout."""
    assert (said.code, said.out) == (code, ""), said
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 or (lines[0].startswith("Usage:") and len(lines) <= 5), said.err
    assert len(lines[-1]) < 500
    assert "Traceback" not in said.err
    for part in parts:
        assert part in said.err, said.err


# Help.


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """All commands and groups, as the words that call them."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(call: Call, words: tuple[str, ...], flag: str) -> None:
    said = call(*words, flag)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(" ".join(("Usage: noisyhw", *words)))
    assert max(map(len, said.out.splitlines())) <= 100


def test_every_option_has_help() -> None:
    for words in commands(cli):
        command: click.Command = cli
        for word in words:
            assert isinstance(command, click.Group)
            command = command.commands[word]
        assert command.help
        assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_version_is_told(call: Call) -> None:
    assert call("--version").out == f"noisyhw, version {noisyhw.__version__}\n"


# train.


def test_train_prints_the_result_and_nothing_else(call: Call) -> None:
    said = call("train", "--epochs", 2, *SETS)
    assert said.code == 0
    accuracy, folder = said.out.splitlines()
    assert accuracy.startswith("test accuracy 0.")
    assert accuracy.endswith(" after epoch 2")
    path = Path(folder.removeprefix("run folder: "))
    assert path.parent == Path("runs")
    assert path.name.startswith("digits-rram-danp-seed0-")
    assert "danp on rram, task digits, mixed_precision at learning rate 0.03, seed 0" in said.err
    assert "\x1b" not in said.out + said.err


def test_quiet_says_nothing_on_stderr(call: Call) -> None:
    assert call("train", "--epochs", 1, "--quiet", *SETS).err == ""


def test_json_holds_the_last_row_digit_by_digit(call: Call) -> None:
    said = call("train", "--epochs", 2, "--json", "--out", "run", *SETS)
    assert said.err == ""
    result = json.loads(said.out)
    lines = (Path("run") / "metrics.csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    assert {key: repr(result[key]) for key in row} == row
    assert (result["run"], result["status"], result["reason"]) == ("run", "done", None)
    assert result["identity"] == noisyhw.Run.open("run").identity


def test_the_command_line_and_python_start_the_same_run(call: Call, tmp_path: Path) -> None:
    call("train", "--device", "pcm", "--rule", "anp", "--seed", 4, "--epochs", 1, "--out", "run", *SETS)
    told = noisyhw.Run.open("run")
    watcher = CtrlC()
    again = tiny(tmp_path / "run", device="pcm", rule="anp", seed=4, epochs=1, watcher=watcher)
    assert again.identity == told.identity
    assert watcher.steps == 0


def test_the_same_command_twice_trains_once(call: Call) -> None:
    arguments = ("train", "--epochs", 1, *SETS)
    first = call(*arguments)
    path = Path(first.out.splitlines()[-1].removeprefix("run folder: "))
    before = (path / "metrics.csv").read_bytes()
    second = call(*arguments)
    assert second.out == "This run is done already (--fresh starts it again).\n" + first.out
    assert (second.code, second.err) == (0, "")
    assert (path / "metrics.csv").read_bytes() == before
    assert json.loads(call(*arguments, "--json").out)["epoch"] == 1


def test_fresh_starts_again(call: Call) -> None:
    arguments = ("train", "--epochs", 1, "--out", "run", *SETS)
    first = call(*arguments)
    (Path("run") / "metrics.csv").write_text("")
    again = call(*arguments, "--fresh")
    assert (again.code, again.out) == (0, first.out)


def test_another_run_in_the_folder_is_refused(call: Call) -> None:
    call("train", "--epochs", 1, "--out", "run", *SETS)
    said = call("train", "--epochs", 1, "--seed", 1, "--out", "run", *SETS)
    assert_refused(said, 1, "holds a run of another config", "--out", "--fresh")


def test_a_stopped_run_is_resumed(call: Call, tmp_path: Path) -> None:
    with pytest.raises(noisyhw.NoisyhwError, match="stopped and saved"):
        tiny(tmp_path / "run", watcher=CtrlC(11))
    said = call("train", "--resume", "run")
    assert said.code == 0
    assert said.out.endswith("run folder: run\n")
    assert call("train", "--resume", "run").out.startswith("This run is done already")


def test_a_stop_is_exit_code_130(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisyhw_cli.progress import Progress

    watcher = CtrlC(3)
    monkeypatch.setattr(Progress, "stepped", lambda _, trainer, row: watcher.stepped(trainer, row))
    said = call("train", "--epochs", 1, "--quiet", "--out", "run", *SETS)
    assert_refused(said, 130, "noisyhw: stopped and saved; go on with: noisyhw train --resume run")


@pytest.mark.parametrize(
    "option",
    [
        ["card.yaml"],
        ["--device", "pcm"],
        ["--rule", "anp"],
        ["--task", "digits"],
        ["--epochs", "3"],
        ["--seed", "0"],
        ["--out", "elsewhere"],
        ["--set", "batch=100"],
        ["--fresh"],
    ],
    ids=lambda option: option[0],
)
def test_resume_with_another_option_is_refused(call: Call, tmp_path: Path, option: list[str]) -> None:
    tiny(tmp_path / "run", epochs=1)
    assert_refused(call("train", "--resume", "run", *option), 2, "--resume: a run goes on as it was started")


def test_resuming_where_nothing_was_started_is_refused(call: Call) -> None:
    assert_refused(call("train", "--resume", "nowhere"), 1, "nowhere: no run was started here")


def test_a_diverged_run_is_exit_code_1_each_time(call: Call) -> None:
    absurd = ("--set", "update.path=sgd", "--set", "update.learning_rate=1e30")
    arguments = ("train", "--device", "ideal", "--epochs", 1, "--out", "run", *absurd, *SETS)
    for said in (call(*arguments), call(*arguments)):
        assert said.code == 1
        assert "diverged: training loss is not a number in epoch 1, step 2\n" in said.err
        assert said.out == "run folder: run\n"
        assert "Traceback" not in said.err
    as_json = call(*arguments, "--json")
    assert (as_json.code, json.loads(as_json.out)["status"]) == (1, "diverged")
    assert_refused(call("train", "--resume", "run"), 1, "this run diverged (training loss is not a number")


def test_an_experiment_card_is_trained_by_its_path(call: Call) -> None:
    Path("card.yaml").write_text("{device: pcm, rule: anp, epochs: 1, batch: 200, network: {hidden: [8]}}")
    said = call("train", "card.yaml", "--json", "--seed", 3)
    assert said.code == 0
    config = yaml.safe_load((Path(json.loads(said.out)["run"]) / "config.yaml").read_text())
    assert (config["device"]["name"], config["rule"]["name"], config["seed"]) == ("pcm", "anp", 3)


# What is refused before anything starts.

REFUSED = {
    "unknown device": (["--device", "rrram"], ["unknown device 'rrram'", "Did you mean 'rram'?"]),
    "unknown rule": (["--rule", "dnap"], ["unknown rule 'dnap'", "danp"]),
    "unknown task": (["--task", "digit"], ["unknown task 'digit'", "Did you mean 'digits'?"]),
    "unknown card": (["nothing"], ["unknown experiment 'nothing'"]),
    "missing card": (["nothing.yaml"], ["nothing.yaml"]),
    "unknown key": (["--set", "update.pth=adam"], ["update.pth", "path"]),
    "unknown value": (["--set", "update.path=adm"], ["update.path", "adm", "adam"]),
    "wrong type": (["--set", "batch=many"], ["batch", "many"]),
    "out of range": (["--set", "batch=0"], ["batch", "0"]),
    "out of the device's range": (["--set", "device.periphery.dac.bits=1"], ["bits", "1", "2"]),
    "no value": (["--set", "batch"], ["write it as key.path=value"]),
    "broken YAML": (["broken.yaml"], ["broken.yaml:2:1: not valid YAML"]),
    "epochs 0": (["--epochs", "0"], ["--epochs"]),
    "epochs as a word": (["--epochs", "two"], ["--epochs", "two"]),
    "negative seed": (["--seed", "-1"], ["--seed"]),
    "unknown option": (["--devise", "rram"], ["--devise", "--device"]),
    "too many arguments": (["a.yaml", "b.yaml"], ["b.yaml"]),
    "bp on rram": (["--rule", "bp", "--device", "rram"], ["rram", "--set rule.oracle=true"]),
    "an oracle for danp": (["--set", "rule.oracle=true"], ["rule.oracle", "danp"]),
    "bp with passes": (
        ["--rule", "bp", "--device", "ideal", "--set", "perturbation.passes=2"],
        ["perturbation.passes", "leave it at 1"],
    ),
    "anp without noise": (
        ["--rule", "anp", "--device", "ideal", "--set", "perturbation.std=0"],
        ["perturbation.std", "give a std above 0, or auto"],
    ),
    "np without perturbation": (["--rule", "np", "--set", "perturbation.std=0"], ["perturbation.std"]),
    "blocks of digits": (["--set", "task.split=blocks"], ["task.split", "digits"]),
    "scaling of digits": (["--set", "task.scaling=raw"], ["task.scaling", "digits"]),
}


@pytest.mark.parametrize(("arguments", "parts"), REFUSED.values(), ids=REFUSED)
def test_wrong_usage_is_one_message_with_exit_code_2(
    call: Call, arguments: list[str], parts: list[str]
) -> None:
    Path("broken.yaml").write_text("device: [rram\n")
    assert_refused(call("train", *arguments), 2, *parts)


def test_an_oracle_asked_for_by_name_trains_bp_on_rram(call: Call) -> None:
    said = call("train", "--rule", "bp", "--set", "rule.oracle=true", "--epochs", 1, *SETS)
    assert said.code == 0
    assert "test accuracy" in said.out


def test_missing_data_is_exit_code_1(call: Call, tmp_path: Path) -> None:
    said = call("train", "--task", "cifar10", "--data-dir", tmp_path)
    assert_refused(said, 1, f"{tmp_path}: no CIFAR-10 here", "cifar-10-python.tar.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_written_is_exit_code_1(call: Call) -> None:
    Path("file").touch()
    assert_refused(call("train", "--out", "file"), 1, "file: cannot be", "choose another --out")


def test_an_unknown_command_is_exit_code_2(call: Call) -> None:
    assert_refused(call("trian"), 2, "trian")


# Errors of our own.


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError("by nought")


def test_an_unexpected_error_is_one_message_that_asks_for_debug(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "resolve", fail)
    said = call("train")
    assert said.code == 1
    assert said.err.splitlines()[0] == "noisyhw: unexpected ZeroDivisionError: by nought"
    assert "--debug" in said.err
    assert "Traceback" not in said.err


@pytest.mark.usefixtures("call")
def test_debug_lets_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(noisyhw.UsageError):
        main(["--debug", "train", "--rule", "nothing"])
    monkeypatch.setattr(running, "resolve", fail)
    with pytest.raises(ZeroDivisionError):
        main(["train", "--debug"])


def test_ctrl_c_before_training_is_exit_code_130(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "resolve", pressed)
    assert_refused(call("train"), 130, "noisyhw: stopped")


# devices, tasks, rules, doctor.


def test_devices_are_listed(call: Call) -> None:
    said = call("devices", "list")
    assert sorted(line.split()[0] for line in said.out.splitlines()) == sorted(SHIPPED)
    rows = json.loads(call("devices", "list", "--json").out)
    assert sorted(row["name"] for row in rows) == sorted(SHIPPED)
    assert {row["update"] for row in rows} == {"exact", "programmed", "pulsed", "one_sided"}


@pytest.mark.parametrize("device", SHIPPED)
def test_a_shown_device_is_a_card_that_means_the_same(call: Call, device: str) -> None:
    said = call("devices", "show", device)
    assert (said.code, said.err) == (0, "")
    Path("shown.yaml").write_text(said.out)
    assert noisyhw.load_device(Path("shown.yaml")) == noisyhw.load_device(device)
    shown = json.loads(call("devices", "show", device, "--json").out)
    assert shown == noisyhw.load_device(device).model_dump(mode="json")


def test_an_unknown_device_is_not_shown(call: Call) -> None:
    assert_refused(call("devices", "show", "rrram"), 2, "Did you mean 'rram'?")


def test_check_tells_sound_cards_from_wrong_ones(call: Call) -> None:
    Path("sound.yaml").write_text("extends: rram\nread_noise: {white: {std: 0.2}}\n")
    Path("wrong.yaml").write_text("extends: rram\nread_noise: {white: {std: -1}}\n")
    sound = call("devices", "check", "sound.yaml")
    assert (sound.code, sound.out, sound.err) == (0, "sound.yaml: sound (sound, pulsed update)\n", "")
    both = call("devices", "check", "wrong.yaml", "sound.yaml")
    assert both.code == 2
    assert both.out == sound.out
    assert len(both.err.splitlines()) == 1
    assert "wrong.yaml:2" in both.err
    assert "read_noise.white.std" in both.err


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("rram", "'rram' is a shipped card; look at it with: noisyhw devices show rram"),
        ("rrram", "Give the path of a card's .yaml file; noisyhw devices new makes one"),
    ],
)
def test_check_of_a_file_that_is_not_there_says_what_to_give(call: Call, file: str, hint: str) -> None:
    assert_refused(call("devices", "check", file), 2, f"{file}: no such file. {hint}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("train", "rram"),
            "'rram' is the card of a device, and an experiment is asked for; give it with --device",
        ),
        (("train", "mine.yaml"), "mine.yaml: is the card of a device, and an experiment is asked for"),
        (("sweep", "mine.yaml"), "mine.yaml: is the card of a device, and a sweep is asked for"),
        (
            ("train", "noise-level"),
            "is the card of a sweep, and an experiment is asked for; give it to noisyhw sweep",
        ),
        (
            ("train", "--device", "depth"),
            "option --device: 'depth' is the card of a sweep, and a device is asked for",
        ),
    ],
)
def test_a_card_of_another_kind_is_told_with_where_it_belongs(
    call: Call, words: tuple[str, ...], told: str
) -> None:
    Path("mine.yaml").write_text("extends: rram\nread_noise: {white: {std: 0.2}}\n")
    assert_refused(call(*words), 2, told)


def test_the_schema_is_json_and_knows_every_block(call: Call) -> None:
    schema = json.loads(call("devices", "schema").out)
    assert schema["properties"].keys() >= {"extends", "weights", "periphery", "read_noise", "update"}


def test_tasks_are_listed_with_their_data(call: Call, tmp_path: Path) -> None:
    rows = {
        row["name"]: row["data"] for row in json.loads(call("tasks", "--json", "--data-dir", tmp_path).out)
    }
    assert rows == {"digits": "built in", "cifar10": None, "sarcos": None, "tiny-imagenet": None}
    lines = call("tasks", "--data-dir", tmp_path).out
    assert "64 -> 10, classification; data: built in" in lines
    assert "21 -> 7, regression; data: not here yet" in lines


def test_rules_are_listed_with_what_they_know_and_cost(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("rules", "--json").out)}
    assert set(rows) == {*RULES, *(f"d{name}" for name in RULES)}
    assert rows["danp"]["knows"] == "activities"
    assert rows["danp"]["decorrelated"] is True
    assert rows["dfa"]["decorrelated"] is False
    assert rows["bp"]["knows"] == "gradient"
    assert [rows[name]["passes"] for name in ("bp", "anp", "inp")] == ["1", "2", "1 + one a layer"]
    assert rows["mirror"]["memory"] == "an estimate of the weight (a weight)"
    said = call("rules").out
    assert said == call("rules", "list").out
    assert len(said.splitlines()) == 3 + len(RULES)


@pytest.mark.parametrize("name", [*RULES, "dalf"])
def test_a_rule_is_shown_with_its_formula_cost_and_options(name: str, call: Call) -> None:
    said = call("rules", "show", name).out
    kind = RULES.get(name) or RULES[name[1:]]
    assert "passes of a batch:" in said
    assert str(kind.__doc__).splitlines()[0] in said
    assert all(f"rule.{option} (default " in said for option in kind.options_model.model_fields)


def test_doctor_trains_on_every_device_and_says_so(call: Call, tmp_path: Path) -> None:
    said = call("doctor", "--data-dir", tmp_path)
    assert (said.code, said.err) == (0, "")
    works = [*OURS, *(AIHWKIT_DEVICES if why_not() is None else ())]
    assert "ok   a training step: danp on " + ", ".join(sorted(works)) in said.out
    checks = {check["what"]: check for check in json.loads(call("doctor", "--json").out)}
    assert checks["aihwkit"]["ok"] is (True if why_not() is None else None)
    assert checks["versions"]["ok"] is True
    assert checks["data of digits"]["finding"] == "built in"


def test_doctor_tells_an_aihwkit_that_does_not_work_from_one_that_is_missing(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise UsageError("backend: aihwkit is installed but does not work (RuntimeError: no)")

    monkeypatch.setattr("noisyhw.tiles.aihwkit.prove", broken)
    monkeypatch.setattr("noisyhw_cli.doctor.find_spec", lambda name: "there")
    said = call("doctor")
    assert said.code == 1
    assert "FAIL aihwkit: backend: aihwkit is installed but does not work" in said.out
    monkeypatch.setattr("noisyhw_cli.doctor.find_spec", lambda name: None)
    said = call("doctor")
    assert said.code == 0
    assert "-    aihwkit: not installed, not needed" in said.out
    assert "danp on " + ", ".join(OURS) in said.out


def test_doctor_says_what_does_not_work(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisyhw.training.trainer import Trainer

    monkeypatch.setattr(Trainer, "step", fail)
    said = call("doctor")
    assert said.code == 1
    assert f"FAIL a training step: fails on device '{SHIPPED[0]}': ZeroDivisionError: by nought" in said.out
