"""Modules that hold weights, and what becomes of them: crossbars that are read, and digital arithmetic around them.

A new one is a subclass of :class:`Site` with the modules that it stands for; ``@site(nn.Module, ...)`` makes it known.
Values are [batch, ...], where a batch is all samples of the first pass, then those of the second.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UsageError

SITES: dict[type[nn.Module], type[Site]] = {}
"""From a kind of module to what stands for it."""
Kind = TypeVar("Kind", bound="type[Site]")


@dataclass(frozen=True)
class Crossbar:
    """Weights that a tile takes over, and the digital bias of its read-outs."""

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"] | None = None


@dataclass(frozen=True)
class Scale:
    """A digital factor and offset of every channel."""

    weight: Float[Tensor, " channels"]
    bias: Float[Tensor, " channels"] | None = None


@dataclass(frozen=True)
class Read:
    """One read of an array in a pass.

    Attributes:
        site: the module's name.
        number: of the site's array.
        count: how often it is read for one sample.
    """

    site: str
    number: int
    count: int


@runtime_checkable
class Run(Protocol):
    """One way of all passes of a batch through a network."""

    passes: int
    learning: bool

    def read(
        self, number: int, rows: Float[Tensor, "batch count inputs"], shared: bool = False
    ) -> Float[Tensor, "batch count outputs"]:
        """Read a site's array with every row of every sample; ``shared``: all passes have the same rows."""

    def drawn(self, shape: Sequence[int], keep: float) -> Tensor:
        """Return a dropout mask, the same one for all passes: 0 or 1 / keep."""

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Keep what the site is to take up from the baseline pass of this batch."""


class Site(abc.ABC):
    """What stands for one module; a module that is called at several places has one site.

    Args:
        module: is not changed.
        name: in the network, for messages.

    Attributes:
        arrays: what the module's weights become, in the order of their numbers.
        gives_reads: whether what the module gives is what was read, in another order at most.
    """

    gives_reads: ClassVar[bool] = True
    arrays: Sequence[Crossbar | Scale]

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module: Any = module
        self.name = name
        self.arrays = ()

    @abc.abstractmethod
    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Return what the module gives; ``shared``: the first value is the same in all passes."""

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must keep beside the arrays."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027  (most keep nothing)
        """Take up a state that :meth:`state` returned."""

    def take_up(self, noted: Mapping[str, Tensor]) -> None:  # noqa: B027  (most take nothing up)
        """Take up what a batch's baseline pass has noted."""

    def refuse(self, what: str, fix: str) -> None:
        """Refuse the module as it is.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"network: {self.name} ({type(self.module).__name__}): {what}; {fix}")


def site(*modules: type[nn.Module]) -> Callable[[Kind], Kind]:
    """Let a class stand for these kinds of modules."""

    def add(kind: Kind) -> Kind:
        for module in modules:
            SITES[module] = kind
        return kind

    return add


def taken(parameter: Any) -> Any:
    """A copy of a parameter, in single precision; None stays None."""
    return None if parameter is None else parameter.detach().clone().float()


@site(nn.Linear)
class Dense(Site):
    """y = W x + b, for the last dimension of whatever comes."""

    module: Any

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name)
        self.arrays = (Crossbar(taken(module.weight), taken(module.bias)),)

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Read once for each vector (see :class:`Site`)."""
        x = values[0]
        rows = x.reshape(len(x), -1, x.shape[-1])
        return run.read(0, rows, shared).reshape(*x.shape[:-1], -1)


@site(nn.Conv2d, nn.Conv1d)
class Convolved(Site):
    """A convolution: its tile is read once for every patch; each group of channels has a tile of its own."""

    module: Any
    flat: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv1d,)

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name)
        if module.padding_mode != "zeros":
            self.refuse(f"padding_mode is {module.padding_mode!r}", "pad with zeros")
        weight, bias = taken(module.weight), taken(module.bias)
        biases = [None] * module.groups if bias is None else bias.chunk(module.groups)
        self.arrays = tuple(
            Crossbar(part.flatten(1), own)
            for part, own in zip(weight.chunk(module.groups), biases, strict=True)
        )

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Cut patches, read, and line up images again (see :class:`Site`)."""
        x, one = values[0], isinstance(self.module, self.flat)
        x = x[:, :, None] if one else x
        kernel, stride, dilation = (
            _pair(value, one) for value in (self.module.kernel_size, self.module.stride, self.module.dilation)
        )
        x = nn.functional.pad(x, self._padding(kernel, dilation, one))
        sizes = [
            (size - d * (k - 1) - 1) // s + 1
            for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
        ]
        groups = [
            run.read(number, _patches(part, kernel, stride, dilation), shared).transpose(1, 2)
            for number, part in enumerate(x.chunk(self.module.groups, 1))
        ]
        y = groups[0] if len(groups) == 1 else torch.cat(groups, 1)
        y = y.reshape(len(y), -1, *sizes)
        return y[:, :, 0] if one else y

    def _padding(self, kernel: Sequence[int], dilation: Sequence[int], one: bool) -> list[int]:
        """Left, right, top, bottom."""
        given = self.module.padding
        if given == "same":
            whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
            return [whole[1] // 2, whole[1] - whole[1] // 2, whole[0] // 2, whole[0] - whole[0] // 2]
        if isinstance(given, str):  # "valid"
            return [0, 0, 0, 0]
        rows, columns = (0, given[0]) if one else (given[0], given[-1])
        return [columns, columns, rows, rows]


def _pair(value: Sequence[int], one: bool) -> tuple[int, int]:
    return (1, value[0]) if one else (value[0], value[1])


def _patches(
    images: Float[Tensor, "batch channels height width"],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Float[Tensor, "batch patches size"]:
    return nn.functional.unfold(
        images, tuple(kernel), dilation=tuple(dilation), stride=tuple(stride)
    ).transpose(1, 2)
