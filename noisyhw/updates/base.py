"""What an update path is: the way from a layer's input and error signal to its tile."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.updates import MomentumOptions, Options
from ..products import product
from ..tiles.base import Tile

if TYPE_CHECKING:
    from ..device import Device


class UpdatePath(abc.ABC):
    """The update of one tile; each tile has its own, with its own memory.

    A path of one's own is a subclass, registered by :func:`noisyhw.updates.register`, by an entry point, or named by
    its file in a card: ``update: {path: ./my_update.py:Mine}``.

    Args:
        tile: is updated.
        learning_rate: of this tile.
        options: checked and filled, with at least the fields of the class's own model.

    Attributes:
        name: in cards.
        title: one line for people.
        options: the model of the class's options in a card.
        family: which of a task's learning rates it takes: those of a plain gradient step, of digital steps, of Adam's
            steps, whose size does not depend on the gradient's, or of an array that gathers before it transfers.
        formed_by_device: whether the device itself forms the outer products; programmed cells then keep no targets
            unless the card says so.
        arrays: what the path calls the further arrays of cells that it makes.
        instead: what it has in place of another path's option, as a fix, by that option's name.
        revision: of its arithmetic, raised when its numbers change; part of a run's identity.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    options: ClassVar[type[Options]] = Options
    family: ClassVar[Literal["plain", "sgd", "adam", "transfer"]] = "plain"
    formed_by_device: ClassVar[bool] = False
    arrays: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[Mapping[str, str]] = {}
    revision: ClassVar[str] = ""

    def __init__(self, tile: Tile, learning_rate: float, options: Any = None) -> None:
        self.tile = tile
        self.learning_rate = learning_rate

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All crossbars that this path writes."""
        return (self.tile,)

    @abc.abstractmethod
    def apply(self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"]) -> None:
        """Move the tile's weights along -mean_b d_b x_b^T, in this path's way."""

    def apply_change(self, gradient: Float[Tensor, "outputs inputs"]) -> None:
        """Move the tile's weights along the negative of a gradient that is ready-made.

        To a device that forms outer products it is given as those of one-hot inputs, a column each.
        """
        inputs = gradient.shape[1]
        one_hot = torch.eye(inputs, dtype=gradient.dtype, device=gradient.device)
        self.apply(one_hot, gradient.t() * inputs)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep; nothing, if the path has no memory."""
        return {}

    def load(self, state: dict[str, Any]) -> None:  # noqa: B027  (a path without memory has nothing to load)
        """Take up a state that :meth:`state` returned."""

    @classmethod  # noqa: B027  (most refuse nothing)
    def check(cls, options: Any, device: Device) -> None:
        """Refuse options that contradict each other, or a device that this path cannot do with.

        Raises:
            UsageError: names field, value and fix.
        """

    @classmethod
    def filled(cls, options: Any) -> Any:
        """Return the options with what follows from others filled in."""
        return options

    @classmethod
    def kept(cls, options: Any) -> tuple[str, ...]:
        """What the path keeps in digital memory with these options, one number a cell each."""
        return ()

    @classmethod
    def for_decorrelation(cls, tile: Tile, rate: float, options: Any) -> UpdatePath:
        """Return the path of a decorrelation matrix on a tile of its own, beside weights with these options."""
        return cls(tile, rate, options)

    @classmethod
    def bias_optimizer(cls, biases: list[Tensor], rate: float, options: Any) -> torch.optim.Optimizer:
        """Return what moves digital biases beside weights on this path: plain gradient steps."""
        return torch.optim.SGD(biases, lr=rate)


class DigitalPath(UpdatePath):
    """A path on which the gradient is a digital matrix; a subclass says what becomes of it."""

    def apply(self, x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"]) -> None:
        """Form the gradient, and take it."""
        self._take(mean_outer(x, d))

    def apply_change(self, gradient: Float[Tensor, "outputs inputs"]) -> None:
        """Take the gradient as it is."""
        self._take(gradient.clone())

    @abc.abstractmethod
    def _take(self, gradient: Float[Tensor, "outputs inputs"]) -> None:
        """Move the tile's weights against a gradient, which may be overwritten."""


def mean_outer(
    x: Float[Tensor, "samples inputs"], d: Float[Tensor, "samples outputs"]
) -> Float[Tensor, "outputs inputs"]:
    """mean_b d_b x_b^T."""
    return product(d.t(), x).div_(x.shape[0])


class RunningGradient:
    """v <- momentum v + (1 - momentum) mean_b d_b x_b^T, from zero: every gradient counts once in all.

    Source: the heavy ball (Polyak, 1964), with the new gradient's weight such that a learning rate keeps its meaning.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.value: Tensor | None = None

    def after(self, gradient: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """Take up a batch's gradient; without momentum return it itself. The caller may overwrite what it gets."""
        if not self.momentum:
            return gradient
        if self.value is None:
            self.value = torch.zeros_like(gradient)
        return self.value.lerp_(gradient, 1 - self.momentum).clone()

    @staticmethod
    def kept(options: MomentumOptions) -> tuple[str, ...]:
        """What it keeps in digital memory."""
        return ("the gradients' running mean",) if options.momentum else ()

    def state(self) -> dict[str, Any]:
        """Return the running mean, if there is one."""
        return {} if self.value is None else {"running_gradient": self.value}

    def load(self, state: dict[str, Any]) -> None:
        """Take up the running mean."""
        saved = state.get("running_gradient")
        self.value = None if saved is None else saved.clone()


def columns(tile: Tile, where: torch.device) -> Float[Tensor, "outputs inputs"]:
    """A tile's weights as its own periphery gives them out, one column a read, with the device's noise."""
    one_hot = torch.eye(tile.inputs, device=where)
    return tile.forward(one_hot[None])[0].t()
