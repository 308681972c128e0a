"""Which write physics a card names: the shipped ones, and those that a class elsewhere brings."""

from __future__ import annotations

from torch import Tensor

from ..cards.base import Card
from ..cards.device import DeviceCard
from ..cards.registered import CELLS
from ..errors import UsageError
from ..plugins import complete_subclass_of
from .cells import Cells, ExactCells, ProgrammedCells
from .decaying_pairs import DecayingPairs
from .one_sided import OneSidedCells
from .pulsed import PulsedCells
from .shaped_cells import ShapedCells

SHIPPED: tuple[type[Cells], ...] = (
    ExactCells,
    ProgrammedCells,
    PulsedCells,
    ShapedCells,
    OneSidedCells,
    DecayingPairs,
)
CELLS.check = complete_subclass_of(Cells, "name", "options")


def register_cells(kind: type[Cells]) -> type[Cells]:
    """Make a write physics known by its name, which is ``update.kind`` in cards; a decorator as well.

    Raises:
        UsageError: the name is missing or taken, or the block's model is none.
    """
    name, options = getattr(kind, "name", None), kind.options
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"cells {kind.__name__}: give them a name of letters, digits and _, got {name!r}")
    if not (isinstance(options, type) and issubclass(options, Card) and "kind" in options.model_fields):
        raise UsageError(
            f"cells '{name}': options must be a subclass of noisyhw.Card with kind: Literal[{name!r}]"
        )
    if name in {shipped.name for shipped in SHIPPED}:
        raise UsageError(f"cells '{name}' are there already; choose another name")
    try:
        CELLS.add(kind)
    except ValueError as error:
        raise UsageError(f"{error}; choose another name") from None
    return kind


def make_cells(card: DeviceCard, weight: Tensor, seed: int, name: str) -> Cells:
    """Return the cells whose write physics the card names.

    Args:
        card: the device.
        weight: what the cells are first written to, [outputs, inputs].
        seed: the run's.
        name: of the tile.
    """
    kind = card.update.kind
    for shipped in SHIPPED:
        if shipped.name == kind and shipped.accepts(card):
            return shipped(card, weight, seed, name)
    own: type[Cells] = CELLS[kind]
    return own(card, weight, seed, name)
