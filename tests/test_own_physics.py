"""A noise source and a write physics that are not shipped: registered, or of another package; in cards and runs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest
import torch
from pydantic import Field
from support import make_card

import noisyhw
from noisyhw import Cells, NoiseBlock, NoiseSource, plugins, register_cells, register_noise
from noisyhw.batched import why_not
from noisyhw.cards import load_experiment
from noisyhw.cards.base import Card
from noisyhw.cards.registered import CELLS, NOISES
from noisyhw.errors import CardError, UsageError
from noisyhw.training.resolve import resolve


class Hum(NoiseBlock):
    """One amplitude for a whole read."""

    scales = "amplitude"
    amplitude: float = Field(ge=0)


class Humming(NoiseSource):
    """All outputs of a read share one Gaussian offset."""

    name = "hum"
    options = Hum

    def add_(self, reads: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor) -> None:
        """Add the offset."""
        shape = (*reads.shape[:2], 1)
        reads.add_(torch.randn(shape, generator=self.generator), alpha=self.card.amplitude)


class LazyBlock(Card):
    """Share of a write that arrives."""

    kind: Literal["lazy"] = "lazy"
    share: float = Field(gt=0, le=1)


class LazyCells(Cells):
    """A write does a share of what it is asked to."""

    name = "lazy"
    options = LazyBlock
    step = None

    def __init__(self, card: noisyhw.DeviceCard, weight: torch.Tensor, seed: int, name: str) -> None:
        super().__init__(card, weight, seed, name)
        self.share = card.update.share
        self.weight = self.bounds.clip_(weight.clone())

    def write(self, change: torch.Tensor) -> None:
        """Add a share of the change."""
        self.bounds.clip_(self.weight.add_(change, alpha=self.share))

    def pulse(self, counts: torch.Tensor) -> None:
        """Not called: there are no steps."""
        raise NotImplementedError


@pytest.fixture
def known() -> Iterator[None]:
    """Both are known for one test."""
    register_noise(Humming)
    register_cells(LazyCells)
    yield
    NOISES.pop("hum", None)
    CELLS.pop("lazy", None)


def run_of(*sets: str) -> noisyhw.Experiment:
    return resolve(load_experiment(None, {"device": "ideal", "rule": "anp"}, sets))


@pytest.mark.usefixtures("known")
def test_a_registered_source_s_noise_is_in_the_read_outs_as_it_draws_it() -> None:
    card = make_card(read_noise={"hum": {"amplitude": 0.5}})
    tile = noisyhw.Device(card).tile(torch.zeros(3, 2))
    reads = tile.forward(torch.ones(1, 4000, 2))[0]
    assert torch.equal(reads[:, 0], reads[:, 2])
    assert reads[:, 0].std().item() == pytest.approx(0.5, abs=4 * 0.5 / (2 * 4000) ** 0.5)


@pytest.mark.usefixtures("known")
def test_a_registered_source_s_stream_lives_on_in_the_tile_s_state() -> None:
    card = make_card(read_noise={"hum": {"amplitude": 0.5}})
    one, other = (noisyhw.Device(card).tile(torch.zeros(3, 2)) for _ in range(2))
    x = torch.ones(1, 5, 2)
    one.forward(x)
    other.load(one.state())
    assert torch.equal(one.forward(x), other.forward(x))


@pytest.mark.usefixtures("known")
def test_registered_cells_decide_what_a_write_does() -> None:
    tile = noisyhw.Device(make_card(update={"kind": "lazy", "share": 0.25})).tile(torch.zeros(2, 2))
    tile.write(torch.ones(2, 2))
    assert torch.equal(tile.twin(), torch.full((2, 2), 0.25))


@pytest.mark.usefixtures("known")
def test_a_run_trains_on_both_and_a_stack_takes_neither(tmp_path: Path) -> None:
    humming = run_of("device.read_noise.hum={amplitude: 0.1}")
    lazy = run_of("device.update={kind: lazy, share: 0.5}")
    assert "read_noise.hum" in str(why_not([humming, humming]))
    assert "update.kind" in str(why_not([lazy, lazy]))
    both = noisyhw.train(
        rule="anp",
        device="ideal",
        sets=[
            "device.read_noise.hum={amplitude: 0.1}",
            "device.update={kind: lazy, share: 0.5}",
            "epochs=1",
            "network.hidden=[8]",
        ],
        out=tmp_path,
    )
    assert both.metrics["train_loss"].iloc[-1] < 2.5


@pytest.mark.usefixtures("known")
def test_a_registered_block_is_checked_and_told_as_any_other() -> None:
    with pytest.raises(CardError, match=r"read_noise.hum.amplitude"):
        run_of("device.read_noise.hum={amplitude: -1.0}")
    with pytest.raises(CardError, match=r"update.*share"):
        run_of("device.update={kind: lazy, share: 2.0}")


@pytest.mark.usefixtures("known")
def test_the_code_of_registered_classes_is_in_a_run_s_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        run_of("device.read_noise.hum={amplitude: 0.1}"),
        run_of("device.update={kind: lazy, share: 0.5}"),
    ]
    before = [one.identity("data", "4") for one in runs]
    monkeypatch.setattr(Humming, "revision", "2", raising=False)
    monkeypatch.setattr(LazyCells, "revision", "2", raising=False)
    assert all(one.identity("data", "4") != was for one, was in zip(runs, before, strict=True))


def test_an_unknown_block_is_refused_where_nothing_is_registered() -> None:
    with pytest.raises(CardError, match="hum"):
        run_of("device.read_noise.hum={amplitude: 0.1}")
    with pytest.raises(CardError, match="lazy"):
        run_of("device.update={kind: lazy, share: 0.5}")


def test_names_that_are_taken_are_refused() -> None:
    with pytest.raises(UsageError, match="'white' is there already"):
        register_noise(type("Other", (Humming,), {"name": "white"}))
    with pytest.raises(UsageError, match="'pulsed' are there already"):
        register_cells(type("Other", (LazyCells,), {"name": "pulsed"}))


@pytest.mark.parametrize(
    ("group", "one", "registry"),
    [("noisyhw.noise_sources", Humming, NOISES), ("noisyhw.cells", LazyCells, CELLS)],
)
def test_another_package_s_class_is_found_by_its_entry_point(
    group: str, one: type, registry: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("mine", f"{__name__}:{one.__name__}", group)
    monkeypatch.setattr(EntryPoint, "load", lambda self: one)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == entry.group else [])
    registry.ask_plugins()
    try:
        assert registry[one.name] is one
    finally:
        del registry[one.name]
