"""Update paths: how an update reaches a tile. Any path works on any device."""

from __future__ import annotations

from ..cards import updates as _cards
from ..cards.updates import Options
from ..errors import UsageError
from ..plugins import complete_subclass_of
from ..registry import Registry
from .adam import Adam
from .base import DigitalPath, UpdatePath
from .chopped import Agad, ChoppedTikiTakaV2
from .mixed_precision import MixedPrecision
from .on_tile import OnTile
from .sgd import Sgd
from .tiki_taka import TikiTaka, TikiTakaV2

PATHS: Registry[type[UpdatePath]] = _cards.KINDS
"""All update paths by name: the shipped ones, those of plug-ins, and what was registered."""
PATHS.check = complete_subclass_of(UpdatePath, "name")  # type: ignore[type-abstract]


def register(kind: type[UpdatePath]) -> type[UpdatePath]:
    """Make an update path known by its name; may stand above the class as a decorator.

    Raises:
        UsageError: the name is missing or taken.
    """
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name.isidentifier() or name == _cards.AUTO:
        raise UsageError(
            f"update path {kind.__name__}: give it a name of letters, digits and _, got {name!r}"
        )
    try:
        return PATHS.add(kind)
    except ValueError as error:
        raise UsageError(f"{error}; choose another name") from None


for _kind in (OnTile, MixedPrecision, Sgd, Adam, TikiTaka, TikiTakaV2, ChoppedTikiTakaV2, Agad):
    register(_kind)

__all__ = ["PATHS", "DigitalPath", "Options", "UpdatePath", "register"]
