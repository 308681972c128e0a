"""What a run folder promises: its files, its identity, and a clear end when training diverges."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import BaseModel
from run_support import DEVICES, PATHS, CtrlC, Line, table, tiny

import noisyhw
from noisyhw.cards import load_experiment
from noisyhw.cards.device import DeviceCard
from noisyhw.cards.experiment import Experiment
from noisyhw.tasks import TASKS, get_task
from noisyhw.training import run as running
from noisyhw.training.environment import cpu_name, environment
from noisyhw.training.folder import RunFolder
from noisyhw.training.progress import Diverged, Watch
from noisyhw.training.resolve import resolve
from noisyhw.training.run import ARITHMETIC
from noisyhw.training.trainer import Trainer

HEADER = "epoch,step,train_loss,train_accuracy,test_loss,test_accuracy,pulses_per_weight,seconds"


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these runs."""
    monkeypatch.setattr(running, "draw_curve", lambda *_: None)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> noisyhw.Run:
    """A finished run on rram."""
    return tiny(tmp_path_factory.mktemp("runs") / "done", device="rram")


# The folder.


def test_a_finished_folder_holds_all_its_files_and_no_leftovers(done: noisyhw.Run) -> None:
    names = {entry.name for entry in done.path.iterdir()} - {"lock"}
    assert names == {
        "config.yaml",
        "environment.json",
        "run.json",
        "metrics.csv",
        "checkpoint.pt",
        "curve.png",
    }


def test_the_config_is_resolved(done: noisyhw.Run) -> None:
    config = yaml.safe_load((done.path / "config.yaml").read_text())
    assert config["network"]["hidden"] == [8]
    assert config["batch"] == 200
    assert config["loss"] == "cross_entropy"
    assert config["update"]["path"] == "mixed_precision"
    assert config["update"]["learning_rate"] > 0
    assert config["decorrelation"]["rate"] > 0
    assert config["device"]["read_noise"]["white"]["std"] == 0.1


def test_the_environment_tells_versions_hardware_and_commit(done: noisyhw.Run) -> None:
    known = json.loads((done.path / "environment.json").read_text())
    assert known["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert known["cpu"] == cpu_name()
    assert known["threads"] == torch.get_num_threads()
    assert known.keys() >= {"platform", "cores", "gpu", "commit"}
    assert known == environment()


def test_the_record_says_how_the_run_stands(done: noisyhw.Run) -> None:
    record = json.loads((done.path / "run.json").read_text())
    assert record["status"] == done.status == "done"
    assert record["identity"] == done.identity
    assert record["reason"] is None
    assert record["data_version"]


def test_the_table_has_exactly_the_promised_columns_and_a_row_an_epoch(done: noisyhw.Run) -> None:
    lines = (done.path / "metrics.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert [line.split(",")[:2] for line in lines[1:]] == [["1", "8"], ["2", "16"]]
    assert list(done.metrics.columns) == HEADER.split(",")
    assert done.metrics["test_accuracy"].between(0, 1).all()


def test_the_curve_is_a_png(done: noisyhw.Run) -> None:
    from matplotlib.image import imread

    assert (done.path / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    picture = imread(done.path / "curve.png")
    assert picture.shape[:2] == (480, 720)
    assert picture.std() > 0


def test_a_regression_leaves_accuracy_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "line", Line())
    run = noisyhw.train(device="ideal", task="line", out=tmp_path / "run")
    row = (run.path / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert (row[3], row[5]) == ("", "")
    assert run.metrics["test_accuracy"].isna().all()
    assert (run.path / "curve.png").is_file()


def test_cross_entropy_is_refused_for_a_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "line", Line())
    with pytest.raises(noisyhw.UsageError, match=r"loss: 'cross_entropy' needs classes.*use squared_error"):
        noisyhw.train(device="ideal", task="line", sets=["loss=cross_entropy"], out=tmp_path / "run")


def test_without_any_argument_danp_trains_digits_on_rram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = noisyhw.train(sets=["network.hidden=[8]"], epochs=1)
    assert run.path.name.startswith(f"digits-rram-danp-seed0-{run.identity[:8]}")
    assert run.path.parent == Path("runs")


# Same seed, same bits.


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("device", DEVICES)
def test_config_and_seed_decide_the_metrics(tmp_path: Path, device: str) -> None:
    first, again, other = (
        tiny(tmp_path / name, device=device, seed=seed, epochs=1)
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert table(first.path) == table(again.path)
    assert table(first.path) != table(other.path)


def make_trainer(device: str) -> Trainer:
    experiment = resolve(load_experiment(options={"device": device}, sets=["network.hidden=[8]"]))
    return Trainer(experiment, get_task("digits").load(experiment.task, None))


def test_noise_stays_on_in_evaluation() -> None:
    trainer = make_trainer("rram")
    x, y = trainer.data.test_x, trainer.data.test_y
    assert trainer.evaluate(x, y).loss != trainer.evaluate(x, y).loss


def test_two_evaluations_of_an_ideal_device_are_alike() -> None:
    trainer = make_trainer("ideal")
    x, y = trainer.data.test_x, trainer.data.test_y
    assert trainer.evaluate(x, y).state() == trainer.evaluate(x, y).state()


# Identity.

FULL_DEVICES: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact"},
    "programmed": {
        "kind": "programmed",
        "resolution": 0.01,
        "noise": {"constant": 0.1, "linear": 0.1, "quadratic": 0.1},
    },
    "pulsed": {"kind": "pulsed", "step": 0.01, "slope_up": 0.5, "slope_down": 0.5},
}


def full_experiment(update: str) -> Experiment:
    """An experiment in which no block is left empty."""
    device = DeviceCard.model_validate(
        {
            "name": "full",
            "weights": {"min": -1, "max": 1, "spread": 0.1, "spread_min": 0.2},
            "periphery": {"dac": {"bits": 7, "range": 1.0}, "adc": {"bits": 9, "range": 10.0}},
            "read_noise": {
                "white": {"std": 0.1},
                "per_cell": {"std": 0.1},
                "telegraph": {"amplitude": 0.1, "flip_probability": 0.1},
            },
            "update": FULL_DEVICES[update],
        }
    )
    return resolve(Experiment(device=device))


def changed(model: BaseModel, path: str = "") -> Iterator[tuple[str, BaseModel]]:
    """Copies of a model in which one field, at any depth, has another (unchecked) value, with that field's path."""
    for name in type(model).model_fields:
        value, here = getattr(model, name), f"{path}{name}"
        if isinstance(value, BaseModel):
            for inner, copy in changed(value, f"{here}."):
                yield inner, model.model_copy(update={name: copy})
        elif here != "device.read_noise.registered":  # has a test of its own, with a registered source
            other = {"something": "else"} if isinstance(value, dict) else "something else"
            yield here, model.model_copy(update={name: other})


PLACES = {"rule.file", "rule.object"}
"""Where code lies; what it says is in `rule.code` and `network.code`."""
PROVENANCE = {"name", "title", "technology", "source", "derived", "fitted", "assumed", "not_modelled"}


@pytest.mark.parametrize("update", FULL_DEVICES)
def test_every_field_but_names_and_sources_is_in_the_identity(update: str) -> None:
    experiment = full_experiment(update)
    identity = experiment.identity("data", "code")
    unheeded, fields = set(), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the copies hold values of the wrong type
        for field, copy in changed(experiment):
            assert isinstance(copy, Experiment)
            fields += 1
            if copy.identity("data", "code") == identity:
                unheeded.add(field)
    assert unheeded == {f"device.{field}" for field in PROVENANCE} | PLACES
    assert fields > 35


def test_data_and_arithmetic_are_in_the_identity() -> None:
    experiment = full_experiment("exact")
    known = {experiment.identity(data, code) for data in ("a", "b") for code in ("1", "2")}
    assert len(known) == 4


SHIPPED = {
    (): "d50c99339bd54713592c004c06d4c31e6d40ad03b8eb2bcadc9e6bdd11e4abec",
    ("task.folds=3",): "5f2c302ab7c9307367bf8d937bdf5c5af6b98bb95fbd067aff565d34e0afe6e6",
    ("task.folds=3", "task.fold=1"): "ea318e71d18a9e93f4e437a2a16f7088bf1b368d9ceabbcc54189d3c96948407",
    ("task=sarcos",): "a7aaccc97e5681b2a313d78a03f9607eb8514c008dd08dd18990fb34d7645557",
    ("task=sarcos", "task.split=blocks"): "7518ddd1f011cccd5a5381c16e03a78cbf7bace4e46e38571d73dc3f7fee8066",
    ("task=sarcos", "task.scaling=raw"): "42fe5d08824e3ecdca9cb0e697ebad3e32f2b32f7b8def111940e5830a2867e6",
    ("task=cifar10",): "31d33093a17a921d638b6bc14951730b39eb9d318d74553276820a147ffcaf57",
}


@pytest.mark.parametrize("sets", SHIPPED)
def test_runs_of_shipped_tasks_keep_the_identity_that_they_had_before_options_were_the_tasks_own(
    sets: tuple[str, ...],
) -> None:
    experiment = load_experiment(None, {"device": "ideal", "rule.name": "danp"}, sets)
    assert resolve(experiment).identity("data", "code") == SHIPPED[sets]


def test_an_option_at_its_default_is_not_in_the_identity() -> None:
    said = load_experiment(
        None, {"device": "ideal", "task": "sarcos"}, ["task.split=usual", "task.scaling=null"]
    )
    plain = load_experiment(None, {"device": "ideal", "task": "sarcos"})
    assert identity_of(said) == identity_of(plain)


def test_the_config_of_an_older_run_with_every_task_s_options_is_still_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    older = "{name: digits, version: '', split: usual, scaling: standard, folds: null, fold: null, held_out: null}"
    file.write_text(f"device: ideal\ntask: {older}\n")
    assert load_experiment(file) == load_experiment(None, {"device": "ideal"})


def identity_of(experiment: Experiment) -> str:
    return resolve(experiment).identity("data", ARITHMETIC)


def backwards(node: Any) -> Any:
    """The same content, every mapping's keys in reverse."""
    if isinstance(node, dict):
        return {key: backwards(node[key]) for key in reversed(node)}
    return node


@pytest.mark.parametrize("device", DEVICES)
def test_the_order_of_keys_does_not_matter(tmp_path: Path, device: str) -> None:
    experiment = resolve(load_experiment(options={"device": device}))
    file = tmp_path / "backwards.yaml"
    file.write_text(yaml.safe_dump(backwards(experiment.model_dump(mode="json")), sort_keys=False))
    assert file.read_text().startswith("seed")
    assert identity_of(load_experiment(file)) == identity_of(experiment)


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rule", ["danp", "np"])
def test_a_runs_config_read_again_has_the_runs_identity(tmp_path: Path, device: str, rule: str) -> None:
    run = tiny(tmp_path / "run", device=device, rule=rule, epochs=1)
    again = load_experiment(run.path / "config.yaml")
    assert again.identity(run.record["data_version"], ARITHMETIC) == run.identity
    assert noisyhw.train(run.path / "config.yaml", out=run.path).identity == run.identity


def test_file_options_and_sets_lead_to_the_same_run(tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("{rule: anp, device: pcm, seed: 5}")
    told = load_experiment(options={"rule.name": "anp", "device": "pcm", "seed": 5})
    setting = load_experiment(sets=["rule=anp", "device=pcm", "seed=5"])
    assert identity_of(load_experiment(card)) == identity_of(told) == identity_of(setting)


def test_a_checked_experiment_takes_no_changes(tmp_path: Path) -> None:
    experiment = load_experiment(options={"device": "ideal"})
    with pytest.raises(noisyhw.UsageError, match=r"a checked Experiment takes no changes"):
        noisyhw.train(experiment, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Folders that are not for this run.


def test_a_second_start_trains_nothing(tmp_path: Path) -> None:
    first = tiny(tmp_path / "run")
    before = (first.path / "metrics.csv").read_bytes()
    watcher = CtrlC()
    assert tiny(tmp_path / "run", watcher=watcher) == first
    assert watcher.steps == 0
    assert (first.path / "metrics.csv").read_bytes() == before


@pytest.mark.usefixtures("no_picture")
def test_fresh_trains_again_to_the_same_end(tmp_path: Path) -> None:
    before = table(tiny(tmp_path / "run").path)
    watcher = CtrlC()
    again = tiny(tmp_path / "run", fresh=True, watcher=watcher)
    assert watcher.steps == 16
    assert table(again.path) == before


@pytest.mark.usefixtures("no_picture")
def test_a_folder_with_another_run_is_refused_with_both_identities(tmp_path: Path) -> None:
    first = tiny(tmp_path / "run", seed=1)
    other = tiny(tmp_path / "other", seed=2)
    with pytest.raises(noisyhw.RunError, match=r"another config") as error:
        tiny(tmp_path / "run", seed=2)
    assert first.identity[:8] in str(error.value)
    assert other.identity[:8] in str(error.value)
    assert "--fresh" in str(error.value)


@pytest.mark.usefixtures("no_picture")
def test_fresh_replaces_another_run(tmp_path: Path) -> None:
    tiny(tmp_path / "run", seed=1)
    tiny(tmp_path / "run", seed=2, fresh=True)
    assert table(tmp_path / "run") == table(tiny(tmp_path / "other", seed=2).path)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_with_something_else_is_refused_and_left_as_it_was(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(noisyhw.RunError, match=r"holds 'config.yaml' and is no run folder; choose another"):
        tiny(tmp_path, fresh=fresh)
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "mine"


@pytest.mark.parametrize("out", ["file", "file/inner"])
def test_an_out_that_cannot_be_a_folder_is_refused(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(noisyhw.RunError, match=r"cannot be.*choose another --out"):
        tiny(tmp_path / out)


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    run = tiny(tmp_path / "run")
    with RunFolder(run.path).locked():
        with pytest.raises(noisyhw.RunError, match=r"another process is training in this folder"):
            tiny(run.path)
        with pytest.raises(noisyhw.RunError, match=r"another process is training in this folder"):
            noisyhw.resume(run.path)
    assert tiny(run.path) == run


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"identity": "a"}'])
def test_a_damaged_record_is_told(tmp_path: Path, record: str) -> None:
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(noisyhw.RunError, match=r"run\.json: (cannot be read|not the record)"):
        noisyhw.Run.open(tmp_path)


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(noisyhw.RunError, match=r"no run was started here"):
        noisyhw.Run.open(tmp_path)


@pytest.mark.parametrize("content", ["", "nonsense\n1\n", HEADER + "\n1,2,three,4,5,6,7\n", HEADER + "\n1\n"])
def test_a_table_that_is_none_is_told_or_empty(tmp_path: Path, content: str) -> None:
    run = tiny(tmp_path / "run", epochs=1)
    (run.path / "metrics.csv").write_text(content)
    if content:
        with pytest.raises(noisyhw.RunError, match=r"metrics\.csv: not a table of noisyhw"):
            _ = run.metrics
    else:
        assert run.metrics.empty


# Divergence.


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_diverging_run_stops_and_says_where(tmp_path: Path, device: str, path: str) -> None:
    run = tiny(tmp_path / "run", f"update.path={path}", "update.learning_rate=1e30", device=device, epochs=3)
    assert run.status == "diverged"
    assert run.reason is not None
    assert "is not a number in epoch 1, step " in run.reason or "is infinite in epoch 1" in run.reason
    record = json.loads((run.path / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("diverged", run.reason)


def test_a_learning_rate_beyond_32_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        noisyhw.UsageError,
        match=r"update.learning_rate: must be <= 1e\+30 \(32 bits hold no more\), got 1e\+300$",
    ):
        tiny(tmp_path / "run", "update.learning_rate=1e300")


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_run_that_does_not_diverge_holds_finite_weights(tmp_path: Path, device: str, path: str) -> None:
    sets = ("network.bias=false", f"update.path={path}", "update.learning_rate=1e5")
    run = tiny(tmp_path / "run", *sets, device=device, rule="anp", epochs=1)
    if run.status == "done":
        tiles = torch.load(run.path / "checkpoint.pt", weights_only=True)["trainer"]["chip"]["layers"]
        assert all(layer["tile"]["cells"]["weight"].isfinite().all() for layer in tiles)
    else:
        assert run.status == "diverged"


@pytest.fixture
def diverged(tmp_path: Path) -> noisyhw.Run:
    return tiny(tmp_path / "run", "update.path=sgd", "update.learning_rate=1e30", epochs=3)


def test_a_diverged_run_is_not_resumed_and_says_why(diverged: noisyhw.Run) -> None:
    assert diverged.reason is not None
    with pytest.raises(noisyhw.RunError, match=r"this run diverged.*nothing to go on with") as error:
        noisyhw.resume(diverged.path)
    assert diverged.reason in str(error.value)


def test_a_diverged_run_started_again_is_reported_without_training(diverged: noisyhw.Run) -> None:
    watcher = CtrlC()
    sets = ("update.path=sgd", "update.learning_rate=1e30")
    assert tiny(diverged.path, *sets, epochs=3, watcher=watcher) == diverged
    assert watcher.steps == 0


def test_divergence_names_the_step_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(range(100))

    def fail_at_the_twelfth(self: Trainer, x: torch.Tensor, target: torch.Tensor) -> None:
        if next(steps) == 11:
            raise Diverged("training loss is infinite")
        self.tally.samples += 1

    monkeypatch.setattr(Trainer, "learn", fail_at_the_twelfth)
    assert tiny(tmp_path / "run").reason == "training loss is infinite in epoch 2, step 12"


def test_divergence_found_by_the_test_names_the_epochs_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Trainer, *_: object) -> None:
        raise Diverged("test loss is infinite")

    monkeypatch.setattr(Trainer, "evaluate", fail)
    assert tiny(tmp_path / "run").reason == "test loss is infinite in epoch 1, step 8"


def test_what_is_not_finite_is_called_by_its_name() -> None:
    watch = Watch(torch.device("cpu"))
    watch.check("loss", torch.tensor([1.0, -1e38]))
    with pytest.raises(Diverged, match=r"^loss is infinite$"):
        watch.check("loss", torch.tensor([1.0, torch.inf]))
    with pytest.raises(Diverged, match=r"^loss is not a number$"):
        watch.check("loss", torch.tensor([1.0, torch.nan]))


def test_on_an_accelerator_what_is_not_finite_is_told_when_asked() -> None:
    watch = Watch(torch.device("cpu"))
    watch.at_once = False
    for values in ([1.0, 1e38], [torch.inf, 1.0], [2.0, 3.0]):
        watch.check("loss", torch.tensor(values))
    with pytest.raises(Diverged, match=r"^loss is not a number$"):
        watch.ask()
    watch.check("loss", torch.tensor([1.0, 2.0]))
    watch.ask()
