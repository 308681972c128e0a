"""Where a run computes; what needs a CUDA device is skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import make_card, make_tile, normal

import noisyhw
from noisyhw import UsageError
from noisyhw.training.accelerator import choose_accelerator

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
TINY = ["network.hidden=[8]", "batch=200"]


def test_an_unknown_accelerator_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"unknown accelerator 'gpu'.*cpu, cuda, auto"):
        choose_accelerator("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_and_auto_takes_the_processor(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"accelerator: no CUDA device was found.*cpu or auto"):
        noisyhw.train(accelerator="cuda", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = noisyhw.train(accelerator="auto", epochs=1, sets=TINY, out=tmp_path / "run")
    assert run.record["accelerator"] == "cpu"


def test_pulses_sent_to_all_cells_at_once_do_what_pulses_to_the_pulsed_ones_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An accelerator is not asked which cells are pulsed; without noise the weights are the same."""
    card = make_card(
        weights={"min": -1.0, "max": 1.0},
        update={"kind": "pulsed", "step": 0.01, "slope_up": 1.0, "slope_down": 1.0},
    )
    weight, counts = normal(20, 30, std=0.3), normal(20, 30, seed=1, std=2).round_()
    one, other = make_tile(card, weight), make_tile(card, weight)
    one.pulse(counts)
    up, down = counts.clamp(min=0).flatten(), counts.neg().clamp_(min=0).flatten()
    monkeypatch.setattr("noisyhw.devices.pulsed.DENSE", 0.0)
    other.cells._receive(slice(0, up.numel()), up, down)
    torch.testing.assert_close(one.twin(), other.twin())
    assert torch.equal(one.twin()[counts == 0], other.twin()[counts == 0])


@CUDA
@pytest.mark.parametrize("device", ["ideal", "rram", "pcm", "ecram", "smtj", "pcm-pulsed", "rram-exp"])
@pytest.mark.parametrize("path", ["auto", "on_tile", "tiki_taka"])
def test_every_kind_of_cell_trains_on_a_cuda_device(tmp_path: Path, device: str, path: str) -> None:
    sets = [*TINY, f"update.path={path}"]
    run = noisyhw.train(device=device, epochs=2, sets=sets, accelerator="cuda", out=tmp_path / "run")
    assert run.status == "done"
    assert run.record["accelerator"] == "cuda"


@CUDA
def test_a_run_on_a_cuda_device_learns_as_well_as_on_the_processor(tmp_path: Path) -> None:
    accuracy = [
        noisyhw.train(accelerator=where, epochs=100, out=tmp_path / where).metrics["test_accuracy"].iloc[-1]
        for where in ("cpu", "cuda")
    ]
    assert abs(accuracy[0] - accuracy[1]) < 5 * (2 * 0.1 * 0.9 / 360) ** 0.5


@CUDA
def test_an_epoch_on_a_cuda_device_waits_for_nothing() -> None:
    from noisyhw import load_experiment
    from noisyhw.tasks import get_task
    from noisyhw.training.resolve import resolve
    from noisyhw.training.trainer import Trainer

    trainer = Trainer(resolve(load_experiment(None, {"device": "rram"})), get_task("digits").load(), "cuda")
    trainer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
