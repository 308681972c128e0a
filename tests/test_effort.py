"""What a run asks of the device is what it takes from it."""

from __future__ import annotations

import pytest

import noisyhw
from noisyhw.cards import load_experiment
from noisyhw.training.effort import forward_passes, passes_per_sample
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer


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
