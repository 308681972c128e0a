"""A card's numbers end where 32 bits do, each limit says why, and up to it everything stays finite."""

from __future__ import annotations

import math

import pytest
import torch
from support import make_card, make_tile, normal

from noisyhw.cards import load_device, load_experiment
from noisyhw.cards.base import LARGEST, LARGEST_STEP, SMALLEST
from noisyhw.cards.updates import AdamOptions
from noisyhw.devices.pulsed import MOST_PULSES
from noisyhw.devices.weight_dependent import LARGEST_VARIANCE
from noisyhw.errors import CardError, UsageError
from noisyhw.tasks import get_task
from noisyhw.training import size
from noisyhw.training.resolve import resolve
from noisyhw.training.size import check_size, numbers
from noisyhw.updates.adam import Adam

UNIT = {"min": -1.0, "max": 1.0}
LOG_NORMAL = ("update.step_distribution=log_normal", "update.step_spread=4")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["update.step=1e30"],
            "update.step: must be <= 1000 (more has no meaning, and overflows in 32 bits)",
        ),
        (["update.step=1e-16"], "update.step: must be >= 1e-15 (32 bits cannot divide by less), got 1e-16"),
        (
            ["weights.max=1e30"],
            "weights.max: must be <= 1e+09 (squares of more overflow in 32 bits), got 1e+30",
        ),
        (
            ["weights.min=-1e30"],
            "weights.min: must be >= -1e+09 (squares of larger numbers overflow in 32 bits)",
        ),
        (
            ["weights.max=1e-20"],
            "weights: 'min' and 'max' must be at least 1e-15 in size (32 bits cannot divide by",
        ),
        (["weights.max=1e7"], "weights: 'min' and 'max' may differ by a factor of 1e+06 in size"),
        (["read_noise.mean=1e10"], "read_noise.mean: must be <= 1e+09 (squares of more overflow in 32 bits)"),
        (
            ["update.cycle_noise=1e4"],
            "update.cycle_noise: must be <= 1000 (more has no meaning, and overflows in",
        ),
        (
            LOG_NORMAL,
            "step_spread: of log_normal steps it is the std of a logarithm, at most 3 (a factor of 20;",
        ),
        (["retention={tau_s: 1e31}"], "retention.tau_s: must be <= 1e+30 (32 bits hold no more), got 1e+31"),
        (["retention={tau_s: 1, tau_spread: 11}"], "retention.tau_spread: must be <= 10, got 11"),
    ],
)
def test_a_number_beyond_32_bits_is_refused_with_its_range_and_reason(sets: list[str], message: str) -> None:
    with pytest.raises(CardError) as error:
        load_device("rram", sets)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "network.weight_scaling=1e-9",
            "must be 0 (weights as they are) or 1e-06 to 1, got 1e-09: read-outs are",
        ),
        ("network.conv=[{channels: 1, padding: 100000}]", "padding: must be <= 1000, got 100000"),
        ("update.epsilon=1e-300", "update.epsilon: must be >= 1e-15 (32 bits cannot divide by less)"),
    ],
)
def test_a_setting_beyond_32_bits_is_refused_with_its_range(field: str, message: str) -> None:
    with pytest.raises(CardError) as error:
        load_experiment(options={"device": "rram"}, sets=[field])
    assert message in str(error.value)


@pytest.mark.parametrize("kind", ["constant", "soft", "soft up", "log-normal"])
def test_any_number_of_pulses_ends_at_the_bound(kind: str) -> None:
    shape = {
        "constant": {},
        "soft": {"slope_up": 1.0, "slope_down": 1.0},
        "soft up": {"slope_up": 1.0},
        "log-normal": {"step_distribution": "log_normal", "step_spread": 1.0},
    }[kind]
    for step in (0.2, LARGEST_STEP):
        tile = make_tile(
            make_card(weights=UNIT, update={"kind": "pulsed", "step": step, **shape}), torch.zeros(5, 4)
        )
        for counts, end in ((-6e8, -1.0), (6e8, 1.0), (-3e38, -1.0)):
            tile.pulse(torch.full((5, 4), counts))
            assert torch.allclose(tile.twin(), torch.full((5, 4), end), atol=1e-6)


def test_noise_of_pulses_that_nothing_pulls_back_is_finite() -> None:
    """Soft upwards only: 6e8 noisy pulses down, none of which pulls, end at the lower bound or within noise of it."""
    update = {"kind": "pulsed", "step": 0.2, "slope_up": 1.0, "cycle_noise": 0.3}
    tile = make_tile(make_card(weights=UNIT, update=update), torch.zeros(50, 40))
    tile.pulse(torch.full((50, 40), -6e8))
    assert torch.equal(tile.twin(), torch.full((50, 40), -1.0))


def test_a_change_of_any_size_is_written() -> None:
    tile = make_tile(make_card(weights=UNIT, update={"kind": "pulsed", "step": SMALLEST}), torch.zeros(5, 4))
    tile.write(torch.full((5, 4), 1e38))  # 1e53 pulses, of which the cell gets MOST_PULSES
    assert torch.allclose(tile.twin(), torch.full((5, 4), min(1.0, SMALLEST * MOST_PULSES)))


@pytest.mark.parametrize("weights", [{"min": -LARGEST, "max": LARGEST}, {"min": -LARGEST, "max": 1e3}])
def test_reads_of_the_largest_weights_are_finite(weights: dict[str, float]) -> None:
    noise = {"weight_dependent": {"coefficient": 1e3, "exponent": 10.0}, "per_cell": {"std": LARGEST}}
    card = make_card(weights=weights, read_noise=noise)
    tile = make_tile(card, torch.full((5, 4), -LARGEST))
    assert bool(tile.forward(normal(1, 3, 4) * 1e4).isfinite().all())
    assert tile.noise.weight_dependent is not None
    assert float(tile.noise.weight_dependent.cells(tile.twin()).max()) <= LARGEST_VARIANCE * (1 + 1e-6)


@pytest.mark.parametrize(("kelvin", "kept"), [(1.0, 1.0), (2000.0, 0.0)])
@pytest.mark.parametrize("tau_s", [1e-30, 1e30])
def test_cells_forget_at_once_or_never_but_stay_numbers(kelvin: float, kept: float, tau_s: float) -> None:
    """10 eV are a factor of 1e304 in time, beyond what 32 bits hold, and so are time constants of a spread of 10."""
    card = make_card(
        retention={"tau_s": tau_s, "tau_spread": 10.0, "rest": 0.0},
        temperature={"activation_energy_ev": 10.0, "reference_k": 300.0},
    )
    tile = make_tile(card, torch.ones(50, 40))
    tile.set_temperature(kelvin)
    tile.set_age(1.0)
    assert torch.equal(tile.twin(), torch.full((50, 40), kept))


def test_adam_leaves_a_weight_without_a_gradient_where_it_is_at_the_least_epsilon() -> None:
    tile = make_tile(make_card(), torch.ones(3, 2))
    path = Adam(tile, 0.1, AdamOptions(epsilon=SMALLEST))
    path.apply(torch.zeros(4, 2), torch.ones(4, 3))
    assert torch.equal(tile.twin(), torch.ones(3, 2))


def experiment(*sets: str):
    return resolve(load_experiment(options={"device": "rram"}, sets=sets))


def test_a_net_that_cannot_fit_is_refused_before_anything_is_made() -> None:
    data = get_task("digits").load()
    with pytest.raises(
        UsageError, match=r"network: weights take .* GiB .*; lower network.hidden, network.conv, batch"
    ):
        check_size(experiment("network.hidden=[100000000, 100000000]"), data)
    with pytest.raises(UsageError, match=r"the activities of a batch .* GiB at least"):
        check_size(experiment("perturbation.passes=1000000000"), data)


def test_what_a_net_takes_is_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """64-5-10 with R of 64 and 5, two passes of danp's one probe over 7 samples."""
    data = get_task("digits").load()
    small = experiment("network.hidden=[5]", "batch=7", "perturbation.passes=2")
    assert numbers(small, data) == (64 * 5 + 64**2 + 5 * 10 + 5**2, 3 * 7 * (5 + 10))
    convolved = experiment(
        "network.hidden=[]", "network.conv=[{channels: 2, kernel: 3}]", "batch=7", "rule=anp"
    )
    assert numbers(convolved, data) == (9 * 2 + 72 * 10, 2 * 7 * (36 * 2 + 10))
    monkeypatch.setattr(size, "memory", lambda: None)
    check_size(experiment("network.hidden=[100000000]"), data)  # a machine that does not tell refuses nothing


def test_a_machine_tells_its_memory() -> None:
    found = size.memory()
    assert found is None or math.log2(found) > 26
