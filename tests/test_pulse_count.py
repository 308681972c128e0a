"""Pulses and programming events are counted where they are sent, and a run tells how many a weight has taken."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from literal_trains import covariance, moments
from run_support import CtrlC, table, tiny
from support import UPDATES, make_tile, normal, through_a_file, updating

import noisyhw
from noisyhw.batched import train_stack
from noisyhw.cards import load_experiment
from noisyhw.cards.experiment import Experiment
from noisyhw.cards.updates import TransferOptions
from noisyhw.device import Device
from noisyhw.tasks import get_task
from noisyhw.tiles.analog import AnalogTile
from noisyhw.training.folder import COLUMNS, RunFolder
from noisyhw.training.resolve import resolve
from noisyhw.training.run import Interrupted
from noisyhw.training.trainer import Row, Trainer
from noisyhw.updates.tiki_taka import TikiTaka

PULSED = [kind for kind, card in UPDATES.items() if card["kind"] in ("pulsed", "one_sided")]
PROGRAMMED = [kind for kind, card in UPDATES.items() if card["kind"] == "programmed"]
WEIGHT = normal(12, 9, seed=1, std=0.2)


def sent(tile: AnalogTile) -> torch.Tensor:
    found = tile.pulses()
    assert found is not None
    return found.clone()


@pytest.mark.parametrize("kind", PULSED)
def test_whole_pulses_are_counted_in_both_directions(kind: str) -> None:
    tile = make_tile(updating(kind), WEIGHT)
    counts = normal(12, 9, seed=2, std=3).round_()
    before = sent(tile)
    tile.pulse(counts)
    tile.pulse(-counts)
    new = sent(tile) - before
    refreshed = new - 2 * counts.abs()  # pairs may be programmed anew
    assert (refreshed >= 0).all()
    assert not refreshed.any() or kind == "one-sided pairs"


@pytest.mark.parametrize("kind", PROGRAMMED)
def test_programming_events_are_counted_and_cells_without_a_change_take_none(kind: str) -> None:
    tile = make_tile(updating(kind), WEIGHT)
    before = sent(tile)
    change = torch.zeros(12, 9)
    change[:6] = 0.05
    tile.write(change)
    new = sent(tile) - before
    assert (new[:6] >= 1).all()
    assert not new[6:].any()


@pytest.mark.parametrize("kind", PULSED)
@pytest.mark.parametrize("samples", [4, 64])
def test_pulse_trains_are_counted_to_their_expected_number(kind: str, samples: int) -> None:
    """The sum over cells is within 5 standard deviations, which the cells' shared lines make larger."""
    tile = make_tile(updating(kind), WEIGHT)
    x, d = normal(samples, 9, seed=3), normal(samples, 12, seed=4)
    before = sent(tile).sum()
    tile.update(x, d, 0.05 * samples)
    up, _, down, _ = moments(x, d, 0.05 / 0.01, 31)
    mean = float((up + down).sum())
    std = float(covariance(x.abs(), d.abs(), 0.05 / 0.01, 31).sum().sqrt())
    refreshes = int(getattr(tile.cells, "refreshes", torch.zeros(())).sum())
    assert mean > 100
    assert abs(float(sent(tile).sum() - before) - refreshes - mean) < 5 * std


@pytest.mark.parametrize("kind", [*PULSED, *PROGRAMMED])
def test_a_cell_counts_on_beyond_the_whole_numbers_of_single_precision(kind: str) -> None:
    tile = make_tile(updating(kind), WEIGHT)
    state = tile.state()
    name = "sent" if "sent" in state["cells"] else "events"
    state["cells"][name] = torch.full((12, 9), 2**24)
    tile.load(state)
    before = sent(tile)
    for _ in range(3):
        tile.pulse(torch.ones(12, 9))
    assert (sent(tile) - before >= 3).all()


@pytest.mark.parametrize("samples", [4, 64])
def test_pulse_trains_are_counted_beyond_the_whole_numbers_of_single_precision(samples: int) -> None:
    tiles = [make_tile(updating("constant step"), WEIGHT) for _ in range(2)]
    state = tiles[0].state()
    state["cells"]["sent"] = torch.full((12, 9), 2.0**26)
    tiles[0].load(state)
    x, d = normal(samples, 9, seed=3), normal(samples, 12, seed=4)
    for tile in tiles:
        tile.update(x, d, 0.05 * samples)
    torch.testing.assert_close(sent(tiles[0]) - 2**26, sent(tiles[1]), rtol=0, atol=1e-6)


def test_a_count_that_was_kept_in_single_precision_is_taken_up() -> None:
    tile = make_tile(updating("constant step"), WEIGHT)
    state = tile.state()
    state["cells"]["sent"] = torch.full((12, 9), 7.0, dtype=torch.float32)
    tile.load(through_a_file(state))
    tile.pulse(torch.ones(12, 9))
    assert (sent(tile) == 8).all()


def test_exact_cells_take_no_pulses() -> None:
    assert make_tile(updating("exact"), WEIGHT).pulses() is None


@pytest.mark.parametrize("kind", [*PULSED, *PROGRAMMED])
def test_a_count_goes_through_a_checkpoint(kind: str) -> None:
    first, second = (make_tile(updating(kind), WEIGHT) for _ in range(2))
    first.write(normal(12, 9, seed=5, std=0.1))
    second.load(through_a_file(first.state()))
    assert torch.equal(sent(first), sent(second))


def test_both_arrays_of_tiki_taka_are_counted() -> None:
    tile = Device("rram").tile(WEIGHT, 0, "tile")
    path = TikiTaka(tile, 0.1, TransferOptions())
    assert path.tiles == (tile, path.fast)
    path.apply(normal(64, 9, seed=6), normal(64, 12, seed=7))
    assert all(float(part.sum()) > 0 for part in (path.tile.pulses(), path.fast.pulses()) if part is not None)


def experiment(device: str, path: str = "auto", seed: int = 0) -> Experiment:
    sets = {
        "device": device,
        "update.path": path,
        "epochs": 2,
        "seed": seed,
        "batch": 200,
        "network.hidden": [8],
    }
    return resolve(load_experiment(None, sets))


def test_a_run_tells_pulses_a_weight_and_a_resumed_one_the_same(tmp_path: Path) -> None:
    whole = tiny(tmp_path / "whole", device="rram")
    told = whole.metrics["pulses_per_weight"]
    assert 0 < told.iloc[0] < told.iloc[1]
    with pytest.raises(Interrupted):
        tiny(tmp_path / "cut", device="rram", watcher=CtrlC(11))
    assert table(noisyhw.resume(tmp_path / "cut").path) == table(whole.path)
    assert tiny(tmp_path / "exact").metrics["pulses_per_weight"].isna().all()


def test_pulses_a_weight_are_those_of_all_tiles_over_the_networks_weights() -> None:
    trainer = Trainer(experiment("rram", "tiki_taka"), get_task("digits").load())
    row = None
    while row is None:
        row = trainer.step()
    arrays = [tile for path in trainer.paths for tile in path.tiles]
    weights = sum(layer.tile.outputs * layer.tile.inputs for layer in trainer.chip.layers)
    counts = [tile.pulses() for tile in arrays]
    total = sum(float(count.double().sum()) for count in counts if count is not None)
    assert len(arrays) == 2 * len(trainer.chip.layers)
    assert row.pulses_per_weight == pytest.approx(total / weights, rel=1e-9)


@pytest.mark.parametrize(
    ("device", "path"), [("rram", "mixed_precision"), ("flash-sonos", "mixed_precision"), ("rram", "adam")]
)
def test_a_stack_counts_what_its_runs_count_alone(device: str, path: str) -> None:
    data = get_task("digits").load()
    many = [experiment(device, path, seed) for seed in (0, 1)]
    stacked = [counts(run.rows) for run in train_stack(many, data)]
    assert stacked == [counts(train_stack([one], data)[0].rows) for one in many]
    for one, found in zip(many, stacked, strict=True):
        trainer, rows = Trainer(one, data), list[Row]()
        while not trainer.finished:
            row = trainer.step()
            rows += [] if row is None else [row]
        assert found == pytest.approx(
            counts(rows), rel=0.1
        )  # rounding moves a pulse from one batch to the next


def counts(rows: Sequence[Row]) -> list[float | None]:
    return [row.pulses_per_weight for row in rows]


def test_a_stack_of_an_earlier_version_goes_on_without_a_count(tmp_path: Path) -> None:
    data, file, asked = get_task("digits").load(), tmp_path / "stack.pt", []

    def twelve_steps() -> bool:
        asked.append(True)
        return len(asked) > 12

    one = [experiment("rram")]
    train_stack(one, data, checkpoint=file, should_stop=twelve_steps)
    saved = torch.load(file, weights_only=True)
    for row in saved["runs"][0]["rows"]:
        del row["pulses_per_weight"]
    torch.save(saved, file)
    assert train_stack(one, data, checkpoint=file)[0].rows[0].pulses_per_weight is None


def test_a_run_of_an_earlier_version_goes_on_without_a_count(tmp_path: Path) -> None:
    """Its table has no such column, and its checkpoint no such count."""
    with pytest.raises(Interrupted):
        tiny(tmp_path / "run", device="rram", watcher=CtrlC(11))
    folder = RunFolder(tmp_path / "run")
    place = COLUMNS.index("pulses_per_weight")
    with folder.metrics.open() as file:
        lines = [line[:place] + line[place + 1 :] for line in csv.reader(file)]
    folder.metrics.write_text("".join(",".join(line) + "\n" for line in lines))
    saved = torch.load(folder.checkpoint, weights_only=True)
    for layer in saved["trainer"]["chip"]["layers"]:
        del layer["tile"]["cells"]["sent"]
    torch.save(saved, folder.checkpoint)
    run = noisyhw.resume(tmp_path / "run")
    assert list(run.metrics.columns) == COLUMNS
    assert run.metrics["pulses_per_weight"].isna().all()
    whole = tiny(tmp_path / "whole", device="rram")
    assert run.metrics["test_loss"].tolist() == whole.metrics["test_loss"].tolist()
