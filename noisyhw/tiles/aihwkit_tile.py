"""The tile of the second backend: one of aihwkit's C++ crossbars behind our own interface."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.device import DeviceCard, PulsedUpdate
from ..devices.choice import make_cells
from ..errors import RunError, UsageError
from ..streams import stream
from .aihwkit import (
    ALMOST,
    follows_pulses,
    granularity,
    make_config,
    measured_step,
    only_on_tile,
    prove,
    seed_devices,
)
from .aihwkit_card import cell_parameters
from .base import Tile

UNRESTORED = ("persistent_weights_", "hidden_weights_chi")
"""Hidden parameters that aihwkit tells but does not take back: the inner weights of several cells with write noise, and
the digital memory of mixed precision."""


class AihwkitTile(Tile):
    """One crossbar of aihwkit.

    Args:
        card: names a preset, or has fields that all have a counterpart (see :mod:`.aihwkit_card`).
        weight: first weights, [outputs, inputs], on the CPU.
        seed: of what is drawn once per device and of rounding; aihwkit's noise has no seed.
        name: the tile's name.

    Raises:
        UsageError: aihwkit is missing or does not work, or cannot do what the card asks for.
    """

    def __init__(
        self,
        card: DeviceCard,
        weight: Float[Tensor, "outputs inputs"],
        seed: int = 0,
        name: str = "tile",
    ) -> None:
        prove()
        if weight.device.type != "cpu":
            raise UsageError(f"backend: aihwkit's tiles are on the CPU here, not on '{weight.device}'")
        self.card, self.seed, self.name = card, seed, name
        self.outputs, self.inputs = weight.shape
        self.generator = stream(seed, name, "write")
        self.follows_pulses = follows_pulses(card)
        config = make_config(card)
        seed_devices(config.device, stream(seed, name, "device"))
        self.tile = config.tile_class(self.outputs, self.inputs, config)
        if card.preset is None:
            self._hand_over_cells(weight)
        self.longest = int(config.update.desired_bl)
        self.granularity = granularity(self.tile)
        self.step = self._step()
        self._set(weight)

    def _hand_over_cells(self, weight: Tensor) -> None:
        own = cell_parameters(make_cells(self.card, torch.zeros_like(weight), self.seed, self.name))
        hidden = self.tile.get_hidden_parameters()
        for key in own.keys() & hidden.keys():
            hidden[key] = own[key].clone()
        self.tile.set_hidden_parameters(hidden)

    def _step(self) -> float | None:
        if self.card.preset is not None:
            return measured_step(self.card.preset) if self.follows_pulses else None
        return self.card.update.step if isinstance(self.card.update, PulsedUpdate) else None

    @torch.no_grad()
    def _set(self, weight: Tensor) -> None:
        self.tile.set_weights(weight.to(torch.float32).contiguous())

    @torch.no_grad()
    def forward(
        self, x: Float[Tensor, "passes samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads samples outputs"]:
        """Read the tile (see :class:`Tile`); repeated reads are read one after another."""
        if reads is not None and reads > 1:
            x = x.expand(reads, -1, -1)
        y = self.tile(x.reshape(-1, self.inputs))
        read: Tensor = y.detach().view(x.shape[0], -1, self.outputs)
        return read

    def update(
        self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"], rate: float
    ) -> None:
        """Send the outer products (see :class:`Tile`); aihwkit adds them up, so its rate is ``rate`` / samples."""
        if x.shape[0] == 0:
            return
        unit = 1.0 if self.card.preset or self.step is None else self.granularity / self.step
        self._update(x, d, rate / x.shape[0] * unit)
        self.tile.post_update_step()

    @torch.no_grad()
    def _update(self, x: Tensor, d: Tensor, rate: float) -> None:
        self.tile.tile.set_learning_rate(rate)
        self.tile.update(x.contiguous(), d.contiguous())

    def write(self, change: Float[Tensor, "outputs inputs"]) -> None:
        """Ask for a change: exactly where the card is exact, else by whole pulses, rounded at random.

        Raises:
            UsageError: the preset's cells cannot be pulsed one by one.
        """
        if not self.follows_pulses:
            raise UsageError(only_on_tile(self.card, "write"))
        if self.step is None:
            self._set(self.twin() + change)
            return
        wanted = change / self.step
        self.pulse(wanted.add_(torch.rand(wanted.shape, generator=self.generator)).floor_())

    def pulse(self, counts: Float[Tensor, "outputs inputs"]) -> None:
        """Send whole pulses (see :class:`Tile`), by updates whose trains fire for sure.

        A sample with a one-hot row and entries of -1, 0 and 1 at a rate of k steps sends k pulses to every cell that it
        names. Counts go as their binary digits, below the longest train, so a few updates send any of them exactly.

        Raises:
            UsageError: the preset's cells cannot be pulsed one by one.
        """
        if not self.follows_pulses:
            raise UsageError(only_on_tile(self.card, "pulse"))
        left, sign = counts.abs(), counts.sign()
        for size in _sizes(self.longest, float(left.max())):
            due = left >= size
            self._send(sign * due, size)
            left = left - size * due
        self.tile.post_update_step()

    def _send(self, signs: Tensor, size: int) -> None:
        rows = signs.any(1).nonzero().squeeze(1)
        if rows.numel():
            one_hot = torch.zeros(rows.numel(), self.outputs)
            one_hot[torch.arange(rows.numel()), rows] = -1.0
            self._update(signs[rows], one_hot, size * self.granularity * ALMOST)

    def twin(self) -> Float[Tensor, "outputs inputs"]:
        """Return a copy of the weights that reads multiply with (see :class:`Tile`)."""
        weight: Tensor = self.tile.tile.get_weights()
        return weight.detach().clone()

    def sibling(self, purpose: str) -> Tile:
        """Make another tile of this device, with weights zero (see :class:`Tile`)."""
        zeros = torch.zeros(self.outputs, self.inputs)
        return AihwkitTile(self.card, zeros, self.seed, f"{self.name}/{purpose}")

    def state(self) -> dict[str, Any]:
        """Return weights, hidden parameters and counters; aihwkit's noise has no state that could be kept."""
        return {
            "weight": self.twin(),
            "hidden": {k: v.clone() for k, v in self.tile.get_hidden_parameters().items()},
            "extra": dict(self.tile.tile.dump_extra()),
            "generator": self.generator.get_state(),
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Take up a state (see :class:`Tile`), and make sure that it is the tile's.

        Raises:
            RunError: aihwkit does not take back what this preset holds.
        """
        hidden = state["hidden"]
        lost = [name for name in hidden if name.startswith(UNRESTORED)]
        if lost:
            raise RunError(_unrestored(self.card, lost))
        self._set(state["weight"])
        self.tile.tile.load_extra(state["extra"], False)
        self.tile.set_hidden_parameters(hidden)
        if "persistent_weights" in hidden:  # aihwkit would take the visible weights for the inner ones
            self._set(hidden["persistent_weights"])
        self.tile._get_tile_weights_ref().copy_(state["weight"])
        self.generator.set_state(state["generator"])
        found = self.state()
        differs = [name for name in hidden if not torch.equal(hidden[name], found["hidden"][name])]
        differs += [name for name, value in state["extra"].items() if found["extra"].get(name) != value]
        if differs or not torch.equal(state["weight"], found["weight"]):
            raise RunError(_unrestored(self.card, differs or ["weights"]))


def _unrestored(card: DeviceCard, names: list[str]) -> str:
    return (
        f"device '{card.name}': aihwkit does not take back {', '.join(names[:3])} of preset '{card.preset}', so this "
        "run cannot be resumed; start it again with --fresh"
    )


def _sizes(longest: int, most: float) -> list[int]:
    """Train lengths, longest first, that add up to any count up to ``most`` if each is sent while it fits."""
    digits = [1 << k for k in range(longest.bit_length()) if 1 << k <= longest]
    repeats = int(most // longest)
    return [longest] * repeats + sorted(digits, reverse=True)
