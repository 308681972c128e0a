"""aihwkit as a second backend keeps the promises that all tiles make, and refuses what it cannot do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit_support import LIST_BIAS, SHIPPED, needs_aihwkit, on, preset, why_not
from run_support import CtrlC
from support import assert_std, normal, through_a_file

from noisyhw import train
from noisyhw.cards import load_device, shipped_devices
from noisyhw.cards.device import DeviceCard
from noisyhw.device import Device
from noisyhw.errors import CardError, RunError, UsageError
from noisyhw.tiles import aihwkit
from noisyhw.tiles.base import Tile
from noisyhw.training.run import Interrupted, Run, resume

BOUNDED = {"min": -0.8, "max": 1.0, "spread": 0.1}
PULSED = {"kind": "pulsed", "step": 0.01, "step_spread": 0.2, "slope_up": 1.0, "slope_down": 0.5}
EXPONENTIAL = {"kind": "exponential", "A_up": -1.2, "A_down": -0.1, "gamma_up": 5, "gamma_down": 5, "a": -0.5}
OWN: dict[str, dict[str, Any]] = {
    "exact": {"weights": BOUNDED},
    "constant step": {"update": {"kind": "pulsed", "step": 0.01, "cycle_noise": 0.3}},
    "linear step": {"weights": BOUNDED, "update": PULSED | {"cycle_noise": 0.5, "write_noise": 0.05}},
    "exponential step": {
        "weights": BOUNDED,
        "update": {"kind": "pulsed", "step": 0.01, "shape": EXPONENTIAL},
    },
}
"""Cards of our own fields on aihwkit's tiles."""
SINGLE = ("ReRamSB", "ReRamES", "EcRam", "Capacitor", "GokmenVlasov", "EcRam2", "PCM")
SCHEMES = ("TikiTakaEcRam", "TTv2EcRam", "ChoppedTTv2EcRam", "AGADEcRam", "MixedPrecisionEcRam")
DEVICES = [*OWN, *SINGLE, *SCHEMES, *SHIPPED]
ROWS, COLUMNS = 12, 9
WEIGHT = normal(ROWS, COLUMNS, seed=1, std=0.2)


def card(name: str) -> DeviceCard:
    if name in SHIPPED:
        return load_device(name)
    return on("aihwkit", **OWN[name]) if name in OWN else preset(name)


def make(name: str, seed: int = 0, tile: str = "tile") -> Tile:
    return Device(card(name)).tile(WEIGHT, seed, tile)


def test_every_shipped_card_is_in_one_conformance_suite_and_those_on_aihwkit_wait_for_it() -> None:
    from test_conformance import SHIPPED as OURS

    assert sorted([*OURS, *SHIPPED]) == sorted(shipped_devices())
    assert "rram-aihwkit" in SHIPPED
    assert needs_aihwkit.args == (why_not() is not None,)


@needs_aihwkit
@pytest.mark.parametrize("name", DEVICES)
def test_a_read_has_one_output_per_pass_sample_and_row_in_single_precision(name: str) -> None:
    tile, x = make(name), normal(3, 5, COLUMNS)
    kept, before = x.clone(), tile.twin()
    assert tile.forward(x).shape == (3, 5, ROWS)
    assert tile.forward(x[:1], 4).shape == (4, 5, ROWS)
    assert tile.forward(x).dtype == torch.float32
    assert tile.twin().shape == (tile.outputs, tile.inputs) == (ROWS, COLUMNS)
    assert torch.equal(x, kept)
    assert torch.equal(tile.twin(), before)


@needs_aihwkit
def test_repeated_reads_and_the_tiles_of_one_process_have_noise_of_their_own() -> None:
    noisy = on("aihwkit", read_noise={"white": {"std": 0.1}})
    tiles = [Device(noisy).tile(torch.zeros(ROWS, COLUMNS), 0, name) for name in ("a", "b")]
    reads = torch.stack([tile.forward(torch.ones(1, 200, COLUMNS), 2) for tile in tiles]).flatten(0, 1)
    assert_std(reads, 0.1, kurtosis=3 + 4 * LIST_BIAS)
    correlations = torch.corrcoef(reads.flatten(1)) - torch.eye(4)
    assert float(correlations.abs().max()) < 5 / (200 * ROWS) ** 0.5


@needs_aihwkit
@pytest.mark.parametrize("name", DEVICES)
def test_an_update_goes_down_the_mean_outer_product(name: str) -> None:
    tile, before = make(name), make(name).twin()
    x, d = normal(8, COLUMNS, seed=3).abs(), normal(8, ROWS, seed=4).abs()
    for _ in range(1000 if name in SCHEMES else 20):  # a scheme's fast array has to fill first
        tile.update(x, d, 0.05)
    assert tile.twin().mean() < before.mean() - 0.01


@needs_aihwkit
def test_no_samples_give_no_read_outs_and_no_update() -> None:
    tile = make("rram-aihwkit")
    before = tile.twin()
    tile.update(torch.zeros(0, COLUMNS), torch.zeros(0, ROWS), 0.1)
    assert torch.equal(tile.twin(), before)
    assert tile.forward(torch.zeros(1, 0, COLUMNS), 2).shape == (2, 0, ROWS)


@needs_aihwkit
def test_an_exact_card_moves_by_exactly_minus_rate_times_the_mean_outer_product() -> None:
    tile = Device(on("aihwkit")).tile(WEIGHT)
    x, d = normal(8, COLUMNS, seed=3), normal(8, ROWS, seed=4)
    tile.update(x, d, 0.3)
    torch.testing.assert_close(tile.twin(), WEIGHT - 0.3 * d.T @ x / 8, rtol=1e-5, atol=1e-6)
    tile.write(x[:1].expand(ROWS, -1))
    torch.testing.assert_close(tile.twin(), WEIGHT - 0.3 * d.T @ x / 8 + x[:1], rtol=1e-5, atol=1e-6)


@needs_aihwkit
def test_pulses_are_sent_to_each_cell_as_often_as_asked() -> None:
    tile = Device(on("aihwkit", update={"kind": "pulsed", "step": 0.01, "pulses_per_update": 13})).tile(
        0 * WEIGHT
    )
    counts = normal(ROWS, COLUMNS, seed=5, std=30).round_()
    counts[2] = 0
    tile.pulse(counts)
    torch.testing.assert_close(tile.twin(), 0.01 * counts, rtol=1e-4, atol=1e-5)


@needs_aihwkit
@pytest.mark.parametrize("name", ["linear step", *SINGLE])
def test_a_written_change_arrives_in_the_mean(name: str) -> None:
    """One pulse for some cells, at weight zero, where the step is what the card or the preset says."""
    tile = Device(card(name)).tile(torch.zeros(60, 80))
    assert tile.step is not None
    before, wanted = tile.twin(), 0.6 * tile.step
    tile.write(torch.full((60, 80), wanted))
    moved = (tile.twin() - before).double()
    assert abs(float(moved.mean()) - wanted) < 5 * float(moved.std()) / 4800**0.5 + 0.15 * wanted


@needs_aihwkit
@pytest.mark.parametrize("name", ["exact", "linear step", "exponential step"])
@pytest.mark.parametrize("wild", ["write", "pulse", "update"])
def test_no_write_takes_a_cell_beyond_its_bounds(name: str, wild: str) -> None:
    silent = card(name).model_copy(
        update={"update": card(name).update.model_copy(update={"write_noise": 0.0})}
    )
    silent = card(name) if name == "exact" else silent
    tile, ours = Device(silent).tile(9 * WEIGHT), Device(silent.model_copy(update={"backend": "noisyhw"}))
    bounds = ours.tile(9 * WEIGHT).cells.bounds  # type: ignore[attr-defined]
    if wild == "update":
        tile.update(normal(4, COLUMNS, seed=9), normal(4, ROWS, seed=10), 100.0)
    elif wild == "write" or tile.step is None:
        tile.write(normal(ROWS, COLUMNS, seed=7, std=3))
    else:
        tile.pulse(normal(ROWS, COLUMNS, seed=8, std=300).round_())
    assert bool(((tile.twin() >= bounds.low) & (tile.twin() <= bounds.high)).all())


@needs_aihwkit
@pytest.mark.parametrize("name", [name for name in DEVICES if not name.startswith("MixedPrecision")])
def test_a_restored_tile_holds_what_the_saved_one_held(name: str) -> None:
    tile = make(name)
    for _ in range(5):
        tile.update(normal(4, COLUMNS, seed=2), normal(4, ROWS, seed=3), 0.05)
    saved = through_a_file(tile.state())
    restored = make(name, seed=1)
    restored.load(saved)
    assert torch.equal(restored.twin(), tile.twin())
    hidden = restored.state()["hidden"]
    assert all(torch.equal(hidden[key], value) for key, value in tile.state()["hidden"].items())
    restored.update(normal(4, COLUMNS, seed=2), normal(4, ROWS, seed=3), 0.05)
    moved = restored.state()
    assert any(
        not torch.equal(moved["hidden"][key], value) for key, value in hidden.items()
    ) or not torch.equal(moved["weight"], saved["weight"])


@needs_aihwkit
@pytest.mark.parametrize("name", ["MixedPrecisionReRamSB", "ReRamSB2", "TikiTakaReRamES"])
def test_a_preset_that_cannot_be_restored_refuses_to_resume_with_the_reason(name: str) -> None:
    tile = make(name)
    with pytest.raises(RunError, match=r"does not take back .* of preset .*--fresh"):
        make(name).load(through_a_file(tile.state()))


@needs_aihwkit
def test_a_state_that_does_not_come_back_whole_is_refused() -> None:
    state = make("EcRam").state()
    state["extra"]["rpu.learning_rate"] = [float("nan")]
    with pytest.raises(RunError, match=r"does not take back rpu.learning_rate"):
        make("EcRam").load(state)


@needs_aihwkit
@pytest.mark.parametrize("name", ["linear step", "ReRamSB", "AGADEcRam"])
def test_what_is_drawn_once_per_device_hangs_on_seed_and_name(name: str) -> None:
    bounds = [
        make(name, seed, tile).state()["hidden"] for seed, tile in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))
    ]
    key = next(key for key in bounds[0] if key.startswith("max_bound"))
    assert torch.equal(bounds[0][key], bounds[1][key])
    assert not torch.equal(bounds[0][key], bounds[2][key])
    assert not torch.equal(bounds[0][key], bounds[3][key])


@needs_aihwkit
@pytest.mark.parametrize("name", SCHEMES)
def test_a_preset_with_a_scheme_of_its_own_works_on_tile_only_and_says_so(name: str) -> None:
    device = Device(preset(name))
    assert device.default_path() == "on_tile"
    device.check_path("on_tile")
    with pytest.raises(UsageError, match=f"'{name}' .* Paths that work: on_tile"):
        device.check_path("sgd")
    with pytest.raises(UsageError, match="Paths that work: on_tile"):
        make(name).pulse(torch.ones(ROWS, COLUMNS))
    with pytest.raises(UsageError, match="Paths that work: on_tile"):
        make(name).write(torch.ones(ROWS, COLUMNS))


@needs_aihwkit
def test_an_unknown_preset_is_refused_with_the_choices_that_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"unknown preset 'ReRamBS'. Did you mean .*Choices: .*EcRamMO.*TTv2ReRamSB"
    ):
        Device(preset("ReRamBS")).default_path()
    for name in aihwkit.presets():
        assert Device(preset(name)).default_path() in ("on_tile", "mixed_precision")


@needs_aihwkit
def test_a_run_on_aihwkit_says_that_it_cannot_be_repeated_bit_for_bit_and_can_be_resumed(
    tmp_path: Path,
) -> None:
    sets = ["network.hidden=[8]", "batch=600"]
    with pytest.raises(Interrupted):
        train(device="rram-aihwkit", epochs=1, sets=sets, out=tmp_path / "run", watcher=CtrlC(1))
    assert resume(tmp_path / "run").status == "done"
    assert "without a seed" in Run.open(tmp_path / "run").record["notes"][-1]
    assert not Device("rram-aihwkit").bit_reproducible
    assert Device("rram").bit_reproducible
    assert Device("rram").notes == ()


@needs_aihwkit
def test_a_tile_is_made_on_the_cpu_only() -> None:
    with pytest.raises(UsageError, match="on the CPU here, not on 'meta'"):
        Device(on("aihwkit")).tile(torch.zeros(2, 2, device="meta"))


@needs_aihwkit
def test_a_sibling_is_another_device_with_weights_zero() -> None:
    tile = make("linear step")
    other = tile.sibling("fast")
    assert not torch.equal(other.state()["hidden"]["max_bound"], tile.state()["hidden"]["max_bound"])
    assert float(other.twin().abs().max()) < 6 * 0.05


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "telegraph": (
        {"read_noise": {"telegraph": {"amplitude": 0.1, "flip_probability": 0.1}}},
        "read_noise.telegraph.amplitude: aihwkit's read-outs have no noise with a memory",
    ),
    "mean": ({"read_noise": {"mean": 0.1}}, "read_noise.mean: aihwkit's read-outs have no constant offset"),
    "programmed": ({"update": {"kind": "programmed", "resolution": 0.1}}, "update.resolution: "),
    "input_max": (
        {"read_noise": {"white": {"std": 0.1, "relative_to": "input_max"}}},
        "read_noise.white.relative_to: ",
    ),
    "dac range": (
        {"periphery": {"input_scaling": "max", "dac": {"bits": 7, "range": 2.0}}},
        "periphery.dac.range: ",
    ),
    "power": (
        {
            "weights": BOUNDED,
            "update": PULSED
            | {
                "slope_up": 0,
                "slope_down": 0,
                "shape": {"kind": "power", "exponent_up": 1, "exponent_down": 1},
            },
        },
        "update.shape",
    ),
}


@pytest.mark.parametrize(("blocks", "message"), REFUSED.values(), ids=REFUSED)
def test_a_field_without_a_counterpart_is_refused_by_name_with_the_reason(
    blocks: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aihwkit, "prove", lambda: None)
    with pytest.raises(UsageError, match=message):
        aihwkit.make_config(on("aihwkit", **blocks))


def test_a_preset_beside_physics_of_its_own_is_refused() -> None:
    with pytest.raises(CardError, match=r"brings its own physics; leave out .*weights"):
        load_device("rram-aihwkit", ["weights.min=-1", "weights.max=1"])
    with pytest.raises(CardError, match="needs 'backend: aihwkit'"):
        load_device("rram-aihwkit", ["backend=noisyhw"])


def test_backend_and_preset_are_part_of_a_cards_identity_only_if_they_are_not_our_own() -> None:
    assert "backend" not in load_device("rram").physics()
    assert load_device("rram-aihwkit").physics() == {"backend": "aihwkit", "preset": "ReRamSB"}


def test_a_missing_aihwkit_is_refused_with_the_way_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    aihwkit.prove.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"aihwkit is not installed; build it .*scripts/aihwkit.sh"):
        Device("rram-aihwkit").default_path()


@pytest.mark.parametrize("fault", ["raises", "lies"])
def test_an_aihwkit_that_imports_but_does_not_work_is_refused(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: Any) -> Any:
        if fault == "raises":
            raise RuntimeError("x_input must be a CPU tensor")
        return torch.zeros(1, 1), torch.zeros(1, 3)

    aihwkit.prove.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "there")
    monkeypatch.setattr(aihwkit, "_own_config", lambda card: None)
    monkeypatch.setattr(aihwkit, "_tried", broken)
    with pytest.raises(UsageError, match=r"installed but does not work \(.*\); .*scripts/aihwkit.sh"):
        aihwkit.prove()
    aihwkit.prove.cache_clear()
