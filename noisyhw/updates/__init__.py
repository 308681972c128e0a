"""Update paths: how an update reaches a tile. Any path works on any device."""

from __future__ import annotations

from collections.abc import Callable

from ..cards.experiment import Transfer, UpdateChoice
from ..tiles.base import Tile
from .adam import Adam
from .base import UpdatePath
from .chopped import Agad, ChoppedTikiTakaV2
from .mixed_precision import MixedPrecision
from .on_tile import OnTile
from .sgd import Sgd
from .tiki_taka import TikiTaka, TikiTakaV2

PATHS: dict[str, Callable[[Tile, float, UpdateChoice], UpdatePath]] = {
    "on_tile": lambda tile, rate, _: OnTile(tile, rate),
    "mixed_precision": lambda tile, rate, choice: MixedPrecision(tile, rate, choice.momentum),
    "sgd": lambda tile, rate, choice: Sgd(tile, rate, choice.momentum),
    "adam": lambda tile, rate, choice: Adam(tile, rate, (choice.beta1, choice.beta2), choice.epsilon),
    "tiki_taka": lambda tile, rate, choice: TikiTaka(tile, rate, choice.transfer or Transfer()),
    "tiki_taka_v2": lambda tile, rate, choice: TikiTakaV2(tile, rate, choice.transfer or Transfer()),
    "c_ttv2": lambda tile, rate, choice: ChoppedTikiTakaV2(
        tile, rate, (choice.transfer or Transfer()).filled("c_ttv2")
    ),
    "agad": lambda tile, rate, choice: Agad(tile, rate, (choice.transfer or Transfer()).filled("agad")),
}

__all__ = ["PATHS", "UpdatePath"]
