"""An update path is one class: it brings its options, rate, refusals and memory, and nothing else is edited for it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from support import UPDATES, make_card, make_tile, normal, updating

import noisyhw
from noisyhw import foreign, plugins
from noisyhw.cards import load_experiment
from noisyhw.cards.experiment import UpdateChoice
from noisyhw.errors import CardError, UsageError
from noisyhw.tiles.analog import AnalogTile
from noisyhw.training.effort import digital_memory
from noisyhw.training.resolve import resolve
from noisyhw.training.run import ARITHMETIC
from noisyhw.updates import PATHS, Options, UpdatePath, register
from noisyhw.updates.base import DigitalPath, mean_outer
from noisyhw.updates.choice import class_of, options_of

MINE = '''
from pydantic import Field
from noisyhw.errors import UsageError
from noisyhw.updates import DigitalPath, Options


class Gain(Options):
    gain: float = Field(1.0, gt=0)


class Mine(DigitalPath):
    """Gradient steps with a gain."""

    name = "mine"
    title = "with a gain"
    options = Gain
    family = "sgd"

    def __init__(self, tile, learning_rate, options):
        super().__init__(tile, learning_rate)
        self.gain = options.gain

    def _take(self, gradient):
        self.tile.write(gradient.mul_(-self.learning_rate * self.gain))

    @classmethod
    def kept(cls, options):
        return ("nothing much",)

    @classmethod
    def check(cls, options, device):
        if options.gain > 100:
            raise UsageError(f"update.gain: at most 100, got {options.gain:g}")
'''
SMALL = ("network.hidden=[4]", "batch=900", "epochs=1")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(foreign, "_allowed", set())
    path = tmp_path / "my_update.py"
    path.write_text(MINE)
    return path


@pytest.fixture
def no_new_paths() -> Iterator[None]:
    known = dict(PATHS)
    yield
    PATHS.clear()
    PATHS.update(known)


def chosen(file: Path, *sets: str) -> Any:
    return load_experiment(None, {"device": "ideal", "rule.name": "anp"}, (f"update.path={file}:Mine", *sets))


# A ready-made gradient.


@pytest.mark.parametrize("path", PATHS)
def test_on_the_ideal_device_a_ready_made_gradient_moves_weights_as_its_factors_do(path: str) -> None:
    ends = []
    for change in (False, True):
        tile = make_tile(make_card(), normal(6, 8, seed=1, std=0.1))
        update = PATHS[path](tile, 0.1, UpdateChoice())
        for seed in range(12):  # agad's first flip is after ten
            x, d = normal(5, 8, seed=seed), normal(5, 6, seed=seed + 50)
            if change:
                update.apply_change(mean_outer(x, d))
            else:
                update.apply(x, d)
        ends.append(tile.twin())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("path", ["on_tile", "mixed_precision", "tiki_taka"])
def test_a_ready_made_gradient_is_not_altered_and_moves_cells_of_every_kind(kind: str, path: str) -> None:
    tile = make_tile(updating(kind), normal(6, 8, seed=1, std=0.1))
    before, gradient = tile.twin(), normal(6, 8, seed=2)
    kept, update = gradient.clone(), PATHS[path](tile, 1.0, UpdateChoice())
    for _ in range(5):
        update.apply_change(gradient)
    assert torch.equal(gradient, kept)
    moved = tile.twin() - before
    assert float((moved * gradient).sum()) < 0


# What belongs to the class.


def test_every_shipped_path_says_what_is_its_own() -> None:
    for name, kind in PATHS.items():
        assert kind.name == name
        assert kind.title
        assert issubclass(kind.options, Options)
        assert "family" in {key for one in kind.__mro__ for key in vars(one)}
    assert {name for name, kind in PATHS.items() if kind.formed_by_device} == {
        "on_tile", "tiki_taka", "tiki_taka_v2", "c_ttv2", "agad",
    }  # fmt: skip


def test_no_other_file_lists_the_paths_by_name() -> None:
    """A list of several names would have to be edited for a new path; stacks name what they handle."""
    package = Path(noisyhw.__file__).parent
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package).parts
        if inside[0] in ("updates", "batched", "reproduce") or inside[-1] == "updates.py":
            continue
        text = file.read_text("utf-8")
        named = [name for name in ("on_tile", "tiki_taka_v2", "c_ttv2", "agad", "sgd") if f'"{name}"' in text]
        assert len(named) <= 1 or inside[0] == "tasks", (file, named)


def test_options_of_other_paths_are_refused_or_dropped_as_before() -> None:
    def update(*sets: str) -> UpdateChoice:
        return resolve(load_experiment(None, {"device": "rram"}, sets)).update

    assert update("update.path=sgd", "update.beta1=0.5") == update("update.path=sgd")
    with pytest.raises(UsageError, match=r"^update\.momentum: path 'adam' has no such thing; set beta1$"):
        update("update.path=adam", "update.momentum=0.5")
    with pytest.raises(
        UsageError, match=r"^update\.transfer: path 'sgd' transfers nothing; leave it out, or use"
    ):
        update("update.path=sgd", "update.transfer.every=2")
    with pytest.raises(UsageError, match=r"c_ttv2' has no such thing; leave it out, or use agad$"):
        update("update.path=c_ttv2", "update.transfer.significance=2.0")


def test_an_unknown_path_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        CardError, match=r"update\.path: must be one of on_tile, mixed_precision, .*agad, auto, got"
    ):
        load_experiment(None, {"device": "rram"}, ("update.path=sdg",))
    with pytest.raises(CardError, match=r"update\.gain: unknown key.*Choices: path, learning_rate, beta1"):
        load_experiment(None, {"device": "rram"}, ("update.gain=2",))


# From a file.


def test_a_path_from_a_file_trains_resumes_and_is_named_by_its_code(file: Path, tmp_path: Path) -> None:
    sets = (*SMALL, f"update.path={file}:Mine", "update.gain=2.0")
    run = noisyhw.train(device="ideal", rule="anp", sets=sets, out=tmp_path / "run")
    assert run.status == "done"
    assert run.record["digital_memory"] == ["nothing much"]
    told = load_experiment(run.path / "config.yaml")
    assert told.update.options == {"gain": 2.0}
    assert len(told.update.code) == 16
    assert noisyhw.train(run.path / "config.yaml", out=run.path).identity == run.identity


def test_a_gain_does_what_it_says_and_the_rate_is_that_of_the_class_s_family(file: Path) -> None:
    choice = resolve(chosen(file, "update.gain=3.0")).update
    assert choice.learning_rate == noisyhw.get_task("digits").recipe.learning_rate["sgd"]
    kind = class_of(choice)
    tile = make_tile(make_card(), torch.zeros(4, 5))
    x, d = normal(6, 5, seed=1), normal(6, 4, seed=2)
    kind(tile, 0.1, options_of(choice, kind)).apply(x, d)
    torch.testing.assert_close(tile.twin(), -0.3 * mean_outer(x, d))


def test_where_a_file_lies_does_not_change_an_identity_and_its_content_does(
    file: Path, tmp_path: Path
) -> None:
    def identity(path: Path) -> str:
        return resolve(chosen(path)).identity("data", ARITHMETIC)

    first = identity(file)
    other = tmp_path / "elsewhere" / "my_update.py"
    other.parent.mkdir()
    other.write_text(MINE)
    assert identity(other) == first
    other.write_text(MINE + "\nCHANGED = True\n")
    assert identity(other) != first


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("update.gain=-1",), r"^update\.gain: .*greater than 0, got -1$"),
        (("update.gian=2",), r"^update\.gian: Mine has no such option; choices: gain$"),
        (("update.gain=1000",), r"^update\.gain: at most 100, got 1000$"),
        (("update.momentum=0.5",), r"^update\.momentum: path 'mine' has no such thing"),
    ],
)
def test_options_of_a_class_from_a_file_are_checked_when_it_is_loaded(
    file: Path, sets: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(chosen(file, *sets))


def test_a_card_that_names_a_file_runs_nothing_by_itself_and_finds_it_beside_itself(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nrule: anp\nupdate: {path: ./my_update.py:Mine, gain: 2.0}\n")
    experiment = load_experiment(card)
    assert experiment.update.file == foreign.Reference(file, "Mine")
    with pytest.raises(UsageError, match="a card names code in"):
        resolve(experiment)
    monkeypatch.setenv(foreign.TRUST, "1")
    assert resolve(experiment).update.options == {"gain": 2.0}


def test_another_path_by_name_takes_the_place_of_a_file(file: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nrule: anp\nupdate: {path: ./my_update.py:Mine}\n")
    assert resolve(load_experiment(card, sets=("update.path=sgd",))).update.path == "sgd"


def test_a_sweep_over_a_file_s_option_runs_in_workers(file: Path, tmp_path: Path) -> None:
    experiment = {"rule": "anp", "device": "ideal", "network": {"hidden": [4]}, "batch": 900, "epochs": 1}
    card = {"experiment": experiment, "grid": {"update.gain": [0.5, 2.0]}}
    made = noisyhw.sweep(card, out=tmp_path / "sweep", sets=[f"update.path={file}:Mine"], workers=2)
    table = made.table
    assert list(table["status"]) == ["done", "done"]
    assert table["train_loss"].nunique() == 2


def test_a_changed_file_does_not_go_on_with_a_run(file: Path, tmp_path: Path) -> None:
    resolved = resolve(chosen(file))
    file.write_text(MINE + "\nCHANGED = True\n")
    with pytest.raises(UsageError, match="the code of Mine has changed since this run began"):
        class_of(resolved.update)


# From another package.


class Halved(DigitalPath):
    """Half the step."""

    name = "halved"
    title = "half the step"

    def _take(self, gradient: torch.Tensor) -> None:
        self.tile.write(gradient.mul_(-self.learning_rate / 2))


@pytest.mark.usefixtures("no_new_paths")
def test_a_plug_in_s_path_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mine", f"{__name__}:Halved", "noisyhw.updates")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Halved)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == "noisyhw.updates" else [])
    PATHS.ask_plugins()
    experiment = resolve(load_experiment(None, {"device": "rram"}, ("update.path=halved",)))
    assert experiment.update.learning_rate == noisyhw.get_task("digits").recipe.learning_rate["on_tile"]
    assert experiment.update.code  # not shipped, so its content is part of the identity
    assert digital_memory(experiment) == ()


@pytest.mark.usefixtures("no_new_paths")
def test_a_name_that_is_taken_or_none_is_refused() -> None:
    with pytest.raises(UsageError, match="update path 'sgd' is there already"):
        register(type("Other", (Halved,), {"name": "sgd"}))
    with pytest.raises(UsageError, match="give it a name of letters"):
        register(type("Other", (Halved,), {"name": "two words"}))


def test_paths_need_a_tile_and_nothing_of_the_analog_one() -> None:
    tile = make_tile(make_card(), torch.zeros(3, 3))
    assert isinstance(tile, AnalogTile)
    assert isinstance(Halved(tile, 0.1), UpdatePath)
