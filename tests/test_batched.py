"""Runs that train as one stack: each does what it does alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from run_support import SMALL, flat, same
from support import normal, through_a_file

import noisyhw
from noisyhw import batched
from noisyhw.batched import stack_key, train_stack, why_not
from noisyhw.batched.alike import BLOCKS, CHOICES, FREE, HANDLED
from noisyhw.batched.stack import Stack
from noisyhw.cards import load_experiment
from noisyhw.cards.device import ReadNoise
from noisyhw.cards.experiment import Decorrelation, Experiment, Perturbation
from noisyhw.cards.messages import _models
from noisyhw.cards.read_effects import Stuck
from noisyhw.observation import Injection, Observation
from noisyhw.rules import RULES
from noisyhw.tasks import Data
from noisyhw.training.progress import Diverged
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Row, Trainer

SLOW = pytest.mark.slow
KINDS = [
    ("ideal", "adam", "danp"),
    ("ideal", "adam", "np"),
    ("ideal", "sgd", "danp"),
    ("ideal", "mixed_precision", "dinp"),
    ("ideal", "adam", "dbp"),
    ("rram", "mixed_precision", "danp"),
    ("rram", "sgd", "dnp"),
    ("rram", "adam", "anp"),
    ("pcm", "mixed_precision", "danp"),
    ("pcm", "adam", "anp"),
    ("smtj", "adam", "dnp"),
]
"""Device, path and rule; noise with a memory, which no stack takes, is off (smtj) or without its memory (pcm)."""
WITHOUT_MEMORY = {
    "smtj": ("device.read_noise.telegraph=null",),
    "pcm": (
        "device.read_noise={cell_flicker: null, weight_dependent: {coefficient: 0.0368, exponent: 0.35}}",
    ),
}
BOUNDS = "device.weights={min: -0.8, max: 1.0}"
PULSED = (BOUNDS, "device.update={kind: pulsed, step: 0.01, cycle_noise: 0.3, write_noise: 0.01}")
PROGRAMMED = (BOUNDS, "device.update={kind: programmed, resolution: 0.01, noise: {constant: 0.02}}")
CONVERTERS = ("device.periphery={dac: {bits: 7, range: 4.0}, adc: {bits: 9, range: 20.0}}",)


def experiment(device: str, path: str, rule: str, *sets: str, seed: int = 0, epochs: int = 2) -> Experiment:
    options = {"device": device, "rule.name": rule, "seed": seed, "epochs": epochs}
    off = WITHOUT_MEMORY.get(device, ())
    return resolve(load_experiment(None, options, [*SMALL, f"update.path={path}", *off, *sets]))


@cache
def _digits(kind: torch.dtype) -> Data:
    torch.set_default_dtype(torch.float32)
    data = noisyhw.get_task("digits").load()
    torch.set_default_dtype(kind)
    for name in ("train_x", "test_x"):
        object.__setattr__(data, name, getattr(data, name).to(kind))
    return data


def digits() -> Data:
    return _digits(torch.get_default_dtype())


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision: what then differs by more than 1e-8 differs by more than rounding.

    In single precision rounding turns a pulse or a converter's level over once in a while, and from there two runs
    drift apart.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@cache
def alone(one: Experiment) -> tuple[tuple[Row, ...], str | None]:
    """The rows of a run by itself, and why it diverged."""
    trainer, rows = Trainer(one, digits()), []
    try:
        while not trainer.finished:
            row = trainer.step()
            rows += [] if row is None else [row]
    except Diverged as diverged:
        return tuple(rows), f"{diverged} in epoch {trainer.epoch + 1}, step {trainer.step_count}"
    return tuple(rows), None


def assert_as_alone(experiments: list[Experiment], rel: float = 1e-7, **options: Any) -> None:
    """Every run of the stack has the rows that it has by itself (in double precision)."""
    assert why_not(experiments) is None
    for run in train_stack(experiments, digits(), **options):
        rows, reason = alone(run.experiment)
        assert run.reason == reason
        assert len(run.rows) == len(rows)
        for own, other in zip(run.rows, rows, strict=True):
            assert (own.epoch, own.step) == (other.epoch, other.step)
            assert (own.train_loss, own.test_loss) == pytest.approx(
                (other.train_loss, other.test_loss), rel=rel
            )
            assert (own.train_accuracy, own.test_accuracy) == pytest.approx(
                (other.train_accuracy, other.test_accuracy), abs=1e-9
            )


# A replica does what it does alone.


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("size", [pytest.param(1, marks=SLOW), 3, pytest.param(8, marks=SLOW)])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_run_does_not_depend_on_what_it_is_stacked_with(kind: tuple[str, str, str], size: int) -> None:
    assert_as_alone([experiment(*kind, seed=seed) for seed in range(size)])


@pytest.mark.parametrize("kind", [*KINDS[:1], *KINDS[5:8]], ids="-".join)
def test_a_runs_bits_do_not_depend_on_how_many_there_are_in_its_stack(kind: tuple[str, str, str]) -> None:
    one = [experiment(*kind, seed=seed, epochs=1) for seed in range(7)]
    whole = losses(one)
    assert [losses(one[:n]) for n in (1, 2, 5)] == [whole[:n] for n in (1, 2, 5)]
    assert losses(one[::-1]) == whole[::-1]


def losses(experiments: list[Experiment]) -> list[list[tuple[float, float]]]:
    """Of every epoch, to the last bit."""
    return [
        [(row.train_loss, row.test_loss) for row in run.rows] for run in train_stack(experiments, digits())
    ]


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_in_single_precision_a_stack_starts_as_each_run_alone(kind: tuple[str, str, str]) -> None:
    one, two = ([Trainer(experiment(*kind, seed=seed), digits()) for seed in range(3)] for _ in range(2))
    stack = Stack(one)
    for _ in range(3):
        stack.step()
    for stacked, single in zip(one, two, strict=True):
        for _ in range(3):
            single.step()
        for ours, theirs in zip(stacked.chip.layers, single.chip.layers, strict=True):
            torch.testing.assert_close(ours.tile.twin(), theirs.tile.twin(), rtol=1e-3, atol=1e-5)


VALUES: dict[str, tuple[str, tuple[object, object, object], tuple[str, ...]]] = {
    "seed": ("danp", (0, 1, 2), ()),
    "epochs": ("danp", (1, 3, 2), ()),
    "network.init": ("danp", ("he", "glorot", "he_truncated"), ()),
    "perturbation.std": ("np", (0.001, 0.01, "auto"), ()),
    "perturbation.auto_factor": ("danp", (1.0, 2.0, 3.0), ("device.read_noise.white={std: 0.05}",)),
    "update.learning_rate": ("danp", (0.001, 0.01, 0.02), ()),
    "decorrelation.rate": ("danp", (0.001, 0.01, 0.02), ()),
    "device.name": ("danp", ("a", "b", "c"), ()),
    "device.title": ("danp", ("a", "b", "c"), ()),
    "device.technology": ("danp", ("a", "b", "c"), ()),
    "device.age": ("danp", ("0s", "1h", "1d"), ("device.drift={nu: 0.1, nu_spread: 0.05}",)),
    "device.drift": ("danp", ("{nu: 0.1}", "{nu: 0.2}", "{nu: 0.1, nu_spread: 0.1}"), ("device.age=1d",)),
    "device.retention": (
        "danp",
        ("{tau_s: 10.0}", "{tau_s: 20.0}", "{tau_s: 5.0, tau_spread: 0.1}"),
        ("device.age=10s",),
    ),
    "device.temperature": (
        "danp",
        ("{conductance_tc: 0.01}", "{conductance_tc: 0.001}", "{conductance_tc: 0.1}"),
        ("device.temperature_k=320.0",),
    ),
    "device.temperature_k": ("danp", (300.0, 350.0, 400.0), ("device.temperature={conductance_tc: 0.002}",)),
    "device.weights": (
        "danp",
        ("{min: -0.5, max: 0.4}", "{min: -1.0, max: 0.2, spread: 0.1}", BOUNDS[15:]),
        (),
    ),
    "device.stuck": (
        "danp",
        ("{share_at_zero: 0.1}", "{share_at_max: 0.05}", "{share_at_min: 0.2}"),
        (BOUNDS,),
    ),
    "device.periphery.dac.bits": ("danp", (3, 5, 7), CONVERTERS),
    "device.periphery.dac.range": ("danp", (0.5, 2.0, 4.0), CONVERTERS),
    "device.periphery.adc.bits": ("danp", (4, 6, 9), CONVERTERS),
    "device.periphery.adc.range": ("danp", (3.0, 10.0, 20.0), CONVERTERS),
    "device.periphery.adc_gain_spread": ("danp", (0.0, 0.1, 0.3), ()),
    "device.periphery.adc_offset_spread": ("danp", (0.0, 0.1, 0.3), ()),
    "device.read_noise.white.std": ("danp", (0.01, 0.05, 0.2), ("device.read_noise.white={std: 0.1}",)),
    "device.read_noise.per_cell.std": ("danp", (0.01, 0.05, 0.2), ("device.read_noise.per_cell={std: 0.1}",)),
    "device.read_noise.mean": ("danp", (0.0, 0.1, 0.3), ()),
    "device.read_noise.weight_dependent.coefficient": (
        "danp",
        (0.05, 0.1, 0.2),
        ("device.read_noise.weight_dependent={coefficient: 0.1}",),
    ),
    "device.update.step": ("dnp", (0.001, 0.01, 0.1), PULSED),
    "device.update.step_spread": ("dnp", (0.0, 0.1, 0.3), PULSED),
    "device.update.step_distribution": (
        "dnp",
        ("normal", "log_normal", "normal"),
        (*PULSED, "device.update.step_spread=0.3"),
    ),
    "device.update.asymmetry": ("dnp", (0.0, 0.1, -0.3), PULSED),
    "device.update.asymmetry_spread": ("dnp", (0.0, 0.1, 0.3), PULSED),
    "device.update.slope_up": ("dnp", (0.0, 0.5, 1.0), PULSED),
    "device.update.slope_down": ("dnp", (0.0, 0.5, 1.0), PULSED),
    "device.update.cycle_noise": ("dnp", (0.1, 0.5, 2.0), PULSED),
    "device.update.write_noise": ("dnp", (0.01, 0.05, 0.1), PULSED),
    "device.update.pulses_per_update": ("dnp", (5, 10, 31), PULSED),
    "device.update.resolution": ("dnp", (0.001, 0.01, 0.1), PROGRAMMED),
    "device.update.noise.constant": ("dnp", (0.0, 0.01, 0.1), PROGRAMMED),
    "device.update.noise.linear": ("dnp", (0.0, 0.01, 0.1), PROGRAMMED),
    "device.update.noise.quadratic": ("dnp", (0.0, 0.01, 0.1), PROGRAMMED),
    "device.update.noise.saturating": (
        "dnp",
        (0.01, 0.05, 0.1),
        (BOUNDS, PROGRAMMED[1].replace("constant: 0.02", "saturating: 0.1, saturates_at: 0.2")),
    ),
}
"""Rule, three values, and what the field needs; provenance but for these has no effect anywhere."""


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("field", VALUES)
def test_replicas_may_differ_in_every_field_that_is_said_to_be_free(field: str) -> None:
    rule, values, base = VALUES[field]
    path = "mixed_precision" if "kind" in "".join(base) else "adam"
    noisy = "read_noise" if rule == "danp" and "read_noise" not in "".join((field, *base)) else ""
    more = ("device.read_noise.white={std: 0.05}",) if noisy else ()
    experiments = [
        experiment("ideal", path, rule, *base, *more, f"{field}={value}", seed=4) for value in values
    ]
    assert_as_alone(experiments)
    results = {alone(one)[0][-1].test_loss for one in experiments}
    no_effect = ("device.name", "device.title", "device.technology", "device.update.pulses_per_update")
    assert len(results) == 1 if field in no_effect else len(results) > 1


@pytest.mark.parametrize("field", VALUES)
def test_a_runs_bits_do_not_depend_on_the_others_numbers(field: str) -> None:
    rule, values, base = VALUES[field]
    path = "mixed_precision" if "kind" in "".join(base) else "adam"
    sets = [(*base, f"{field}={value}", "epochs=1" if field != "epochs" else "batch=200") for value in values]
    made = [experiment("ideal", path, rule, *one, seed=4) for one in sets]
    assert losses(made) == [losses([one])[0] for one in made]


@pytest.mark.parametrize("widths", ["[7]", "[9, 5]", "[3, 33]"])
@pytest.mark.parametrize("kind", [*KINDS[:1], *KINDS[4:6]], ids="-".join)
def test_products_of_any_shape_do_not_tell_the_stacks_size(kind: tuple[str, str, str], widths: str) -> None:
    """In some shapes MKL sums in an order that hangs on where in memory a matrix lies."""
    made = [experiment(*kind, f"network.hidden={widths}", seed=seed, epochs=1) for seed in range(3)]
    assert losses(made) == [losses([one])[0] for one in made]


@pytest.mark.parametrize(
    "sets",
    [
        ("device.periphery={input_scaling: max, nonlinearity: {alpha: 2.0}}",),
        (BOUNDS, "device.read_noise.weight_dependent={coefficient: 0.1, exponent: 0.35}"),
        (BOUNDS, PROGRAMMED[1].replace("constant: 0.02", "saturating: 0.1, saturates_at: 0.2")),
    ],
    ids=" ".join,
)
def test_functions_that_round_otherwise_behind_the_last_vector_do_not_tell_the_stacks_size(
    sets: tuple[str, ...],
) -> None:
    made = [experiment("ideal", "sgd", "dnp", *sets, "network.hidden=[7]", seed=seed) for seed in range(3)]
    assert losses(made) == [losses([one])[0] for one in made]


def test_the_fields_that_may_differ_are_all_tested() -> None:
    provenance = {f"device.{name}" for name in ("source", "derived", "fitted", "assumed", "not_modelled")}
    assert set(FREE) - provenance == set(VALUES)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    "sets",
    [
        ("network.bias=false",),
        ("network.hidden=[]",),
        ("perturbation.passes=3",),
        ("perturbation.passes=3", "perturbation.reference=mean"),
        ("loss=squared_error",),
        ("batch=1797",),
        ("device.periphery.input_scaling=none", "device.periphery.nonlinearity={alpha: 2.0}"),
        ("decorrelation.rate=0.0",),
    ],
    ids=" ".join,
)
def test_every_shape_of_experiment_is_as_alone(sets: tuple[str, ...]) -> None:
    assert_as_alone([experiment("rram", "mixed_precision", "danp", *sets, seed=seed) for seed in range(3)])


@pytest.mark.usefixtures("double")
def test_runs_that_do_not_fit_into_one_stack_train_in_several() -> None:
    experiments = [experiment("rram", "mixed_precision", "danp", seed=seed) for seed in range(5)]
    assert_as_alone(experiments, stack_size=2)


@pytest.mark.parametrize("device", ["ideal", "pcm"])
def test_the_step_of_a_stack_reads_nothing_back(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    experiments = [experiment(device, "adam", "danp", seed=seed) for seed in range(2)]
    stack = Stack([Trainer(one, digits()) for one in experiments])
    for name in ("item", "tolist", "nonzero", "cpu", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"{name} waits"))
    stack.step()


# Divergence.


@pytest.mark.usefixtures("double")
def test_a_replica_that_diverges_stops_alone() -> None:
    rates = (0.01, 1e30, 0.02)
    experiments = [experiment("ideal", "sgd", "danp", f"update.learning_rate={rate}") for rate in rates]
    assert_as_alone(experiments)
    runs = train_stack(experiments, digits())
    assert [run.status for run in runs] == ["done", "diverged", "done"]
    assert runs[1].reason is not None
    assert "in epoch 1, step" in runs[1].reason
    assert runs[1].rows == []


@pytest.mark.usefixtures("double")
def test_one_that_diverges_later_keeps_its_rows() -> None:
    squared, rates = "loss=squared_error", (0.01, 2.0)
    experiments = [
        experiment("ideal", "sgd", "bp", squared, f"update.learning_rate={rate}", epochs=4) for rate in rates
    ]
    fine, bad = train_stack(experiments, digits())
    rows, reason = alone(experiments[1])
    assert reason is not None, "the test's own learning rate should diverge"
    assert len(rows) > 0
    assert bad.reason == reason
    assert (bad.status, len(bad.rows)) == ("diverged", len(rows))
    assert (fine.status, len(fine.rows)) == ("done", 4)


@pytest.mark.usefixtures("double")
def test_one_whose_test_loss_is_not_finite_has_diverged() -> None:
    experiments = [
        experiment("ideal", "sgd", "bp", "loss=squared_error", f"update.learning_rate={rate}")
        for rate in (0.01, 2.5)
    ]
    assert_as_alone(experiments)
    fine, bad = train_stack(experiments, digits())
    assert fine.status == "done"
    assert bad.reason == "test loss is infinite in epoch 1, step 8"


@pytest.mark.parametrize("path", ["adam", "sgd", "mixed_precision"])
def test_the_weights_of_a_diverged_replica_are_frozen(path: str) -> None:
    members = [Trainer(experiment("ideal", path, "danp", seed=seed), digits()) for seed in range(2)]
    stack = Stack(members)
    stack.step()
    members[1].chip.layers[0].tile.cells.weight.fill_(math.inf)  # type: ignore[attr-defined]
    frozen = [layer.tile.twin() for layer in members[1].chip.layers]
    moving = [layer.tile.twin() for layer in members[0].chip.layers]
    for _ in range(3):
        stack.step()
    for layer, before in zip(members[1].chip.layers, frozen, strict=True):
        assert torch.equal(layer.tile.twin(), before)
        assert layer.r is not None
        assert layer.r.isfinite().all()
    for layer, before in zip(members[0].chip.layers, moving, strict=True):
        assert not torch.equal(layer.tile.twin(), before)
    assert [verdict is None for verdict in stack.verdicts()] == [True, False]
    assert "step 2" in (stack.verdicts()[1] or "")


# Stop and resume.


class After:
    """Asks to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self) -> bool:
        self.steps -= 1
        return self.steps == 0


def results(runs: list[batched.StackedRun]) -> list[tuple[object, ...]]:
    """All but the seconds."""
    return [
        (run.status, run.reason, run.perturbation_std, [list(row.__dict__.values())[:-1] for row in run.rows])
        for run in runs
    ]


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@pytest.mark.parametrize("after", [13, *(pytest.param(after, marks=SLOW) for after in (3, 8, 20))])
def test_a_stopped_stack_goes_on_with_the_same_bits(
    tmp_path: Path, kind: tuple[str, str, str], after: int
) -> None:
    experiments = [experiment(*kind, seed=seed) for seed in range(4)]
    whole = train_stack(experiments, digits(), stack_size=2)
    file = tmp_path / "stack.pt"
    part = train_stack(experiments, digits(), stack_size=2, checkpoint=file, should_stop=After(after))
    assert {run.status for run in part} >= {"stopped"}
    again = train_stack(experiments, digits(), stack_size=2, checkpoint=file)
    assert results(again) == results(whole)
    assert results(train_stack(experiments, digits(), stack_size=2, checkpoint=file)) == results(whole)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_stack_that_was_saved_is_bit_for_bit_the_same_stack(kind: tuple[str, str, str]) -> None:
    def members() -> list[Trainer]:
        return [Trainer(experiment(*kind, seed=seed), digits()) for seed in range(3)]

    one = Stack(members())
    for _ in range(3):
        one.step()
    other = Stack.resumed(members(), through_a_file(one.state()))
    for _ in range(3):
        one.step()
        other.step()
    a, b = (flat(stack.state()) for stack in (one, other))
    assert a.keys() == b.keys()
    assert [key for key in a if not key.endswith(".seconds") and not same(a[key], b[key])] == []


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_run_can_leave_its_stack_and_go_on_alone(kind: tuple[str, str, str]) -> None:
    members = [Trainer(experiment(*kind, seed=seed), digits()) for seed in range(3)]
    stack, other = Stack(members), Trainer(members[1].experiment, digits())
    for _ in range(3):
        stack.step()
    other.load(through_a_file(stack.state()["members"][1]))
    for _ in range(3):
        stack.step()
        other.step()
    for ours, theirs in zip(members[1].chip.layers, other.chip.layers, strict=True):
        torch.testing.assert_close(ours.tile.twin(), theirs.tile.twin(), rtol=1e-3, atol=1e-5)


def test_a_diverged_run_stays_diverged_on_resume(tmp_path: Path) -> None:
    rates = (0.01, 1e30)
    experiments = [experiment("ideal", "sgd", "danp", f"update.learning_rate={rate}") for rate in rates]
    file = tmp_path / "stack.pt"
    train_stack(experiments, digits(), checkpoint=file, should_stop=After(5))
    again = train_stack(experiments, digits(), checkpoint=file)
    assert results(again) == results(train_stack(experiments, digits()))
    assert [run.status for run in again] == ["done", "diverged"]


def test_a_checkpoint_of_other_experiments_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "stack.pt"
    train_stack([experiment("ideal", "adam", "danp", epochs=1)], digits(), checkpoint=file)
    with pytest.raises(noisyhw.RunError, match="belongs to other experiments"):
        train_stack([experiment("ideal", "adam", "danp", seed=1, epochs=1)], digits(), checkpoint=file)


def test_a_checkpoint_whose_state_does_not_fit_is_refused(tmp_path: Path) -> None:
    file, one = tmp_path / "stack.pt", [experiment("ideal", "adam", "danp")]
    train_stack(one, digits(), checkpoint=file, should_stop=After(3))
    saved = torch.load(file, weights_only=True)
    saved["stack"]["members"][0].pop("chip")
    torch.save(saved, file)
    with pytest.raises(noisyhw.RunError, match="does not fit these runs"):
        train_stack(one, digits(), checkpoint=file)


# What does not go into a stack.

REFUSED = {
    "update.path": ("rram", ("update.path=tiki_taka",)),
    "network.conv": ("ideal", ("network.conv=[{channels: 2}]",)),
    "decorrelation.on": ("ideal", ("decorrelation.on=tile",)),
    "read_noise.telegraph": (
        "ideal",
        ("device.read_noise.telegraph={amplitude: 0.1, flip_probability: 0.1}",),
    ),
    "read_noise.flicker": (
        "ideal",
        ("device.read_noise.flicker={std: 0.1, low_hz: 1.0, high_hz: 100.0, read_hz: 1000.0}",),
    ),
    "read_noise.cell_telegraph": (
        "ideal",
        ("device.read_noise.cell_telegraph={amplitude: 0.1, flip_probability: 0.1}",),
    ),
    "read_noise.common": ("ideal", ("device.read_noise.common={std: 0.1}",)),
    "periphery.ir_drop": (
        "ideal",
        (BOUNDS, "device.periphery.ir_drop={wire_resistance_ohm: 1.0, g_max_us: 10.0}"),
    ),
    "one_sided": ("ideal", (BOUNDS, "device.update={kind: one_sided, step: 0.01}", "update.path=sgd")),
    "update.shape": ("rram-exp", ("update.path=sgd",)),
    "update.verify": (
        "ideal",
        (
            "device.update={kind: programmed, resolution: 0.01, noise: {constant: 0.1}, verify: {tolerance: 0.1}}",
            "update.path=sgd",
        ),
    ),
    "perturbation.antithetic": ("ideal", ("perturbation.antithetic=true",)),
    "update.momentum": ("rram", ("update.momentum=0.9",)),
    "decorrelation.mean_rate": ("rram", ("decorrelation.mean_rate=0.1",)),
    "batch times": ("ideal", ("network.hidden=[4096]", "batch=1000")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_stacked_is_refused_with_the_reason(what: str) -> None:
    device, sets = REFUSED[what]
    one = resolve(load_experiment(None, {"device": device}, [*SMALL, *sets]))
    assert what in (why_not([one]) or "")
    assert stack_key(one) is None
    with pytest.raises(noisyhw.UsageError, match="one by one"):
        train_stack([one], digits())


class MoreReadNoise(ReadNoise):
    humming: float = 0.0


class MoreDecorrelation(Decorrelation):
    warm_up: int = 0


class MorePerturbation(Perturbation):
    shape: str = "normal"


class MoreStuck(Stuck):
    share_that_jumps: float = 0.0


class MoreExperiment(Experiment):
    ensemble: int = 1


UNKNOWN = {
    "device.read_noise.humming": 0.1,
    "device.stuck.share_that_jumps": 0.1,
    "decorrelation.warm_up": 3,
    "perturbation.shape": "uniform",
    "ensemble": 2,
}


@pytest.mark.parametrize("field", UNKNOWN)
def test_a_field_that_the_stack_does_not_know_trains_alone_unless_it_is_at_its_default(field: str) -> None:
    one = experiment("ideal", "adam", "danp", "device.stuck.share_at_zero=0.1")
    for value in (None, UNKNOWN[field]):
        *blocks, name = field.split(".")
        own = {} if value is None else {name: value}
        new = _with_unknown(one, blocks, own)
        reason = why_not([new])
        assert reason == (None if value is None else f"{field} is not stacked")
        assert (stack_key(new) is None) == (value is not None)


def _with_unknown(one: Experiment, blocks: list[str], own: dict[str, Any]) -> Experiment:
    """The experiment with a subclassed card in the place of one of its blocks."""
    kinds = {"read_noise": MoreReadNoise, "stuck": MoreStuck, "decorrelation": MoreDecorrelation}
    kinds["perturbation"] = MorePerturbation
    if not blocks:
        return MoreExperiment.model_construct(
            **{name: getattr(one, name) for name in Experiment.model_fields}, **own
        )
    inner = one.device if len(blocks) == 2 else one
    block = kinds[blocks[-1]].model_validate(getattr(inner, blocks[-1]).model_dump() | own)
    if len(blocks) == 2:
        block = one.device.model_copy(update={blocks[1]: block})
    return one.model_copy(update={blocks[0]: block})


def test_every_field_that_a_card_has_is_handled_or_refused_and_every_name_above_is_a_field() -> None:
    """What the stack names exists, so that a renamed field is not passed over."""
    known = set(_names(Experiment))
    assert {*HANDLED, *CHOICES, *BLOCKS} <= known
    assert not HANDLED & set(CHOICES)


def _names(model: Any, prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in _models(field.annotation):
            yield from _names(inner, f"{prefix}{name}.")


def test_tiles_of_another_backend_are_refused() -> None:
    one = experiment("ideal", "adam", "danp")
    other = one.model_copy(update={"device": one.device.model_copy(update={"backend": "aihwkit"})})
    assert "aihwkit" in (why_not([other]) or "")


def test_an_unresolved_experiment_is_refused() -> None:
    assert "not resolved" in (why_not([load_experiment(None, {"device": "ideal"}, SMALL)]) or "")


def test_a_rule_that_does_not_say_that_it_is_samplewise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = experiment("ideal", "adam", "danp")
    monkeypatch.setattr(RULES["anp"], "samplewise", False)
    assert "samplewise" in (why_not([one]) or "")


def test_nothing_at_all_is_refused() -> None:
    assert why_not([]) == "there is no experiment"


@pytest.mark.parametrize(
    "change",
    [
        ("network.hidden=[9]",),
        ("batch=100",),
        ("rule.name=dnp",),
        ("update.path=sgd",),
        ("network.leaky_slope=0.1",),
        ("device.read_noise.white=null",),
        ("device.read_noise.white.std=0.0",),
        ("device.update.cycle_noise=0.0",),
        ("decorrelation.rate=0.0",),
    ],
    ids=" ".join,
)
def test_experiments_of_different_shape_are_told_apart(change: tuple[str, ...]) -> None:
    one = experiment("rram", "mixed_precision", "danp")
    other = resolve(load_experiment(None, {"device": "rram"}, [*SMALL, *change]))
    field = change[0].split("=")[0]
    assert field.split(".")[-1] in (why_not([one, other]) or "") or field == "device.read_noise.white=null"
    assert stack_key(one) != stack_key(other)


def test_runs_of_two_tasks_are_told_apart() -> None:
    one, other = (
        resolve(
            load_experiment(None, {"device": "ideal", "task.name": name}, ["network.hidden=[8]", "batch=100"])
        )
        for name in ("digits", "cifar10")
    )
    assert why_not([one, other]) == "task.name: 'digits' and 'cifar10' do not go into one stack"


def test_experiments_that_go_together_have_one_key() -> None:
    one, other = (experiment("rram", "mixed_precision", "danp", seed=seed) for seed in range(2))
    assert stack_key(one) == stack_key(other) is not None


def test_a_stack_of_no_replica_is_refused() -> None:
    with pytest.raises(noisyhw.UsageError, match="stack_size"):
        train_stack([experiment("ideal", "adam", "danp")], digits(), stack_size=0)


def test_members_that_are_not_in_step_are_refused() -> None:
    members = [Trainer(experiment("ideal", "adam", "danp", seed=seed), digits()) for seed in range(2)]
    members[0].step()
    with pytest.raises(noisyhw.UsageError, match="same batch"):
        Stack(members)


def test_rules_without_a_memory_are_samplewise() -> None:
    assert {name for name, rule in RULES.items() if rule.samplewise} == {"bp", "np", "anp", "inp"}


@pytest.mark.parametrize("name", ["bp", "np", "anp", "inp"])
def test_a_samplewise_rule_gives_each_sample_what_it_gives_it_alone(name: str) -> None:
    rule = RULES[name]()
    passes = 1 + len(rule.probes(2))
    pre = tuple(normal(passes, 6, width, seed=width) for width in (5, 3))
    probed = tuple(
        tuple(p for p, on in enumerate(column) if on) for column in zip(*rule.probes(2), strict=True)
    ) or ((), ())
    noise = tuple(normal(len(p), 6, a.shape[2], seed=9) for p, a in zip(probed, pre, strict=True))
    losses, gradient = normal(passes, 6), tuple(a[0] for a in pre)

    def signals(rows: slice) -> tuple[torch.Tensor, ...]:
        own = Injection(0.1, tuple(n[:, rows] for n in noise), probed)
        parts = tuple(a[:, rows] for a in pre), losses[:, rows], tuple(a[0, rows] for a in pre)
        seen = Observation(
            *parts, outputs=pre[-1][:, rows], injected=own, gradient=tuple(g[rows] for g in gradient)
        )
        return rule.signals(seen)

    whole, parts = signals(slice(0, 6)), [signals(slice(row, row + 1)) for row in range(6)]
    for layer, together in enumerate(whole):
        torch.testing.assert_close(together, torch.cat([part[layer] for part in parts]))
