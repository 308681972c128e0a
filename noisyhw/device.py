"""A device: a checked card that can make tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from .cards import load_device
from .cards.device import DeviceCard, ExactUpdate, Periphery, ReadNoise
from .errors import UsageError
from .tiles.analog import AnalogTile
from .tiles.base import Tile


class Device:
    """A device technology, by the name of a shipped card, by a card file, or by a card.

    Args:
        card: name, path or card.
        sets: changes to the card, e.g. ``["read_noise.white.std=0.2"]``.

    Raises:
        CardError: the card is wrong.
        UsageError: there is no card of that name, or ``sets`` came with a checked card.
    """

    def __init__(self, card: str | Path | DeviceCard, sets: Sequence[str] = ()) -> None:
        if isinstance(card, DeviceCard) and sets:
            raise UsageError("sets: a checked card is taken as it is; give its name or file to change it")
        self.card = card if isinstance(card, DeviceCard) else load_device(card, sets)

    def tile(self, weight: Float[Tensor, "outputs inputs"], seed: int = 0, name: str = "tile") -> Tile:
        """Make a tile of this device and write ``weight`` to it.

        Args:
            weight: first weights; cells keep what their bounds allow.
            seed: of all the tile's random streams.
            name: tells the streams of one run's tiles apart.
        """
        if self.card.backend == "aihwkit":
            from .tiles.aihwkit_tile import AihwkitTile

            return AihwkitTile(self.card, weight, seed, name)
        return AnalogTile(self.card, weight, seed, name)

    @property
    def bound(self) -> float | None:
        """The largest weight that cells hold in both directions; 1 for an aihwkit preset, None if there is none."""
        if self.card.preset is not None:
            return 1.0
        low, high = self.card.weights.min, self.card.weights.max
        return None if low is None or high is None else min(-low, high)

    @property
    def bit_reproducible(self) -> bool:
        """Whether the same seed gives the same bits; aihwkit's noise has no seed."""
        return self.card.backend == "noisyhw"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person who reads this device's results must be told."""
        if self.bit_reproducible:
            return ()
        from .tiles.aihwkit import NOTE

        return (NOTE,)

    def default_path(self) -> Literal["adam", "mixed_precision", "on_tile"]:
        """The update path that 'auto' stands for.

        Raises:
            UsageError: the backend is missing, does not work, or cannot do what the card asks for.
        """
        if self.card.preset is not None:
            from .tiles.aihwkit import check_device

            return "mixed_precision" if check_device(self.card) else "on_tile"
        return "mixed_precision" if self.written_in_steps else "adam"

    def check_path(self, path: str) -> None:
        """Refuse an update path that this device cannot carry out.

        Raises:
            UsageError: the backend is missing or does not work, or the device's cells cannot be written that way.
        """
        if self.card.backend == "aihwkit":
            from .tiles.aihwkit import check_path

            check_path(self.card, path)

    @property
    def ideal(self) -> bool:
        """Whether reads and writes are exact (weights may be bounded)."""
        card = self.card
        return (
            card.preset is None
            and card.read_noise == ReadNoise()
            and card.periphery == Periphery()
            and card.stuck is None
            and isinstance(card.update, ExactUpdate)
        )

    @property
    def written_in_steps(self) -> bool:
        """Whether writes are by pulses or by programming events, rather than exact."""
        return self.card.preset is not None or not isinstance(self.card.update, ExactUpdate)
