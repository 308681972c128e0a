"""Sources of read noise that are not shipped: one class each, added to a read-out after the shipped ones."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.base import Card
from ..cards.device import ReadNoise
from ..cards.registered import NOISES, NoiseBlock
from ..errors import UsageError
from ..plugins import complete_subclass_of
from ..streams import stream


class NoiseSource(abc.ABC):
    """One source of read noise of one tile.

    A subclass is made known by :func:`register_noise` or by an entry point, and a card names it in ``read_noise``.

    Args:
        options: the card's block, checked.
        outputs: output nodes of the tile.
        generator: of this source's own draws, on the device where read-outs are.

    Attributes:
        name: of the block in ``read_noise``.
        options: the model of that block.
        memoryless: whether a read's noise does not hang on the reads before; then reads may be drawn part by part.
        revision: of its arithmetic, raised when its numbers change.
    """

    name: ClassVar[str]
    options: ClassVar[type[NoiseBlock]]
    memoryless: ClassVar[bool] = True
    revision: ClassVar[str] = ""

    def __init__(self, options: Any, outputs: int, generator: torch.Generator) -> None:
        self.card, self.outputs, self.generator = options, outputs, generator

    @abc.abstractmethod
    def add_(
        self,
        reads: Float[Tensor, "reads samples outputs"],
        inputs: Float[Tensor, "#reads samples inputs"],
        weight: Float[Tensor, "outputs inputs"],
    ) -> None:
        """Add one draw to the read-outs, in place.

        Args:
            reads: in the order in which they are read: all samples of the first read, then those of the second.
            inputs: what the array sees at each read (after the DAC).
            weight: what the reads multiply with.
        """

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.generator.set_state(state["generator"].cpu())


NOISES.check = complete_subclass_of(NoiseSource, "name", "options")


def register_noise(kind: type[NoiseSource]) -> type[NoiseSource]:
    """Make a source known by its name; may stand above the class as a decorator.

    Raises:
        UsageError: the name is missing or taken, or the block's model is none.
    """
    name, options = getattr(kind, "name", None), getattr(kind, "options", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(
            f"noise source {kind.__name__}: give it a name of letters, digits and _, got {name!r}"
        )
    if not (isinstance(options, type) and issubclass(options, NoiseBlock)):
        raise UsageError(f"noise source '{name}': options must be a subclass of noisyhw.NoiseBlock")
    if options.scales not in options.model_fields:
        raise UsageError(
            f"noise source '{name}': {options.__name__} has no field '{options.scales}'; say in 'scales' which one "
            "read_noise.scale multiplies"
        )
    if name in ReadNoise.model_fields:
        raise UsageError(f"noise source '{name}' is there already; choose another name")
    try:
        NOISES.add(kind)
    except ValueError as error:
        raise UsageError(f"{error}; choose another name") from None
    return kind


def sources(
    blocks: Mapping[str, Card], outputs: int, seed: int, name: str, device: torch.device
) -> dict[str, NoiseSource]:
    """Return a tile's registered sources, each with a random stream of its own.

    Args:
        blocks: of the card, by name.
        outputs: output nodes of the tile.
        seed: the run's seed.
        name: the tile's name.
        device: where read-outs are.
    """
    return {
        key: NOISES[key](block, outputs, stream(seed, name, f"noise {key}", device=device))
        for key, block in blocks.items()
    }
