"""A device: a checked card that can make tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from ..cards import load_device
from ..cards.device import DeviceCard, ExactUpdate, Periphery, ReadNoise
from ..tiles.analog import AnalogTile
from ..tiles.base import Tile


class Device:
    """A device technology, by the name of a shipped card, by a card file, or by a card.

    Args:
        card: name, path or card.
        sets: changes to the card, e.g. ``["read_noise.white.std=0.2"]``.

    Raises:
        CardError: the card is wrong.
        UsageError: there is no card of that name.
    """

    def __init__(self, card: str | Path | DeviceCard, sets: Sequence[str] = ()) -> None:
        self.card = card if isinstance(card, DeviceCard) else load_device(card, sets)

    def tile(self, weight: Float[Tensor, "outputs inputs"], seed: int = 0, name: str = "tile") -> Tile:
        """Make a tile of this device and write ``weight`` to it.

        Args:
            weight: first weights; cells keep what their bounds allow.
            seed: of all the tile's random streams.
            name: tells the streams of one run's tiles apart.
        """
        return AnalogTile(self.card, weight, seed, name)

    @property
    def ideal(self) -> bool:
        """Whether reads and writes are exact (weights may be bounded)."""
        card = self.card
        return (
            card.read_noise == ReadNoise()
            and card.periphery == Periphery()
            and isinstance(card.update, ExactUpdate)
        )

    @property
    def written_in_steps(self) -> bool:
        """Whether writes are by pulses or by programming events, rather than exact."""
        return not isinstance(self.card.update, ExactUpdate)
