"""What a run asks of the device, and of digital memory beside it, is what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import make_tile, normal, updating

import noisyhw
from noisyhw.cards import Experiment, load_experiment
from noisyhw.cards.experiment import Transfer, UpdateChoice
from noisyhw.devices.cells import ProgrammedCells
from noisyhw.training.effort import digital_memory, forward_passes, passes_per_sample, run_notes
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer
from noisyhw.updates import PATHS


@pytest.mark.parametrize(
    ("rule", "passes"), [("bp", 1), ("np", 1), ("np", 3), ("danp", 1), ("danp", 3), ("inp", 1), ("inp", 3)]
)
def test_the_passes_of_a_run_are_those_that_its_last_layer_reads(
    monkeypatch: pytest.MonkeyPatch, rule: str, passes: int
) -> None:
    sets = ("network.hidden=[8, 8]", "batch=400", f"perturbation.passes={passes}")
    one = resolve(load_experiment(None, {"device": "ideal", "rule.name": rule, "epochs": 1}, sets))
    trainer = Trainer(one, noisyhw.get_task("digits").load())
    layer = trainer.chip.layers[-1]
    read, seen = layer.read, 0

    def counted(values, *arguments):  # type: ignore[no-untyped-def]
        nonlocal seen
        outputs = read(values, *arguments)
        seen += outputs.shape[0] * outputs.shape[1]
        return outputs

    monkeypatch.setattr(layer, "read", counted)
    for index in range(trainer.batches):
        trainer.learn(*trainer._batch(0, index))
    samples = len(trainer.data.train_x)
    assert seen == forward_passes(one, samples) == passes_per_sample(one) * samples
    assert forward_passes(one, samples, epochs=5) == 5 * seen


def resolved(*sets: str, device: str = "pcm") -> Experiment:
    return resolve(load_experiment(None, {"device": device}, sets))


@pytest.mark.parametrize("path", ["on_tile", "tiki_taka"])
@pytest.mark.parametrize("device", ["pcm", "flash-sonos", "rram", "ideal"])
def test_paths_that_claim_no_digital_memory_keep_none_on_any_card(device: str, path: str) -> None:
    experiment = resolved(f"update.path={path}", device=device)
    assert digital_memory(experiment) == ()
    assert run_notes(experiment) == ()


@pytest.mark.parametrize(
    ("path", "numbers", "with_targets"),
    [
        ("on_tile", 0, 1),
        ("tiki_taka", 0, 2),
        ("tiki_taka_v2", 1, 3),
        ("c_ttv2", 1, 3),
        ("agad", 3, 5),
        ("sgd", 0, 1),
        ("mixed_precision", 1, 2),
        ("adam", 2, 3),
    ],
)
def test_kept_targets_are_told_as_a_number_a_cell_beside_what_the_path_keeps(
    path: str, numbers: int, with_targets: int
) -> None:
    own = resolved(f"update.path={path}", "device.update.reference=cell")
    kept = resolved(f"update.path={path}", "device.update.reference=target")
    assert len(digital_memory(own)) == len(digital_memory(resolved(f"update.path={path}", device="rram")))
    assert (len(digital_memory(own)), len(digital_memory(kept))) == (numbers, with_targets)
    assert run_notes(own) == ()
    [note] = run_notes(kept)
    told = f"{with_targets} number" + ("s" if with_targets > 1 else "")
    assert f"{path} on pcm keeps {told} a cell in digital memory" in note
    assert "the cells' targets" in note


def test_what_a_path_keeps_is_what_its_state_holds_beside_the_tiles() -> None:
    """Digital numbers a cell, counted in the path's own state after a few updates; the fast array is analog."""
    choices = [(path, UpdateChoice(), "update.momentum=0.0") for path in PATHS]
    tested = UpdateChoice(path="agad", transfer=Transfer(significance=2.0))
    choices += [("agad", tested, "update.transfer.significance=2.0")]
    for path, choice, setting in choices:
        tile = make_tile(updating("soft bounds"), torch.zeros(6, 8))
        update = PATHS[path](tile, 0.1, choice)
        for seed in range(3):
            update.apply(normal(4, 8, seed=seed), normal(4, 6, seed=seed + 9))
        state = {key: value for key, value in update.state().items() if key != "fast"}
        assert cells_worth(state, 48) == len(
            digital_memory(resolved(f"update.path={path}", setting, device="rram"))
        ), path


def cells_worth(state: Any, cells: int) -> int:
    """How many tensors of one number a cell there are."""
    if isinstance(state, torch.Tensor):
        return int(state.numel() == cells)
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list) else ()
    return sum(cells_worth(one, cells) for one in inner)


def test_a_change_from_the_cell_depends_on_nothing_that_is_remembered() -> None:
    card = resolved("update.path=on_tile").device
    one, other = (make_tile(card, normal(6, 8, std=0.2)) for _ in range(2))
    assert isinstance(other.cells, ProgrammedCells)
    for seed in range(3):
        other.cells.target.fill_(0.7)
        for tile in (one, other):
            tile.update(normal(4, 8, seed=seed), normal(4, 6, seed=seed + 9), 0.1)
        assert torch.equal(one.twin(), other.twin())


def test_a_runs_record_lists_what_it_keeps_digitally(tmp_path: Path) -> None:
    sets = ("update.path=sgd", "batch=900", "network.hidden=[4]")
    run = noisyhw.train(device="pcm", rule="anp", epochs=1, sets=sets, out=tmp_path / "run")
    assert run.record["digital_memory"] == ["the cells' targets"]
    assert any("sgd on pcm keeps 1 number a cell" in note for note in run.record["notes"])
