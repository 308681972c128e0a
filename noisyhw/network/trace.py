"""Reading a ``torch.nn.Module`` with torch.fx: which modules become crossbars, and whether it can be simulated."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import UsageError
from ..fingerprint import fingerprint
from .compare import check_training, evaluated
from .known import is_known, sites_of
from .ready import ready
from .rewrite import trace
from .sites import Crossbar, Scale, Site


class Traced:
    """A module that was traced and checked.

    Attributes:
        graph: the traced module.
        sites: by the module's name, in the order in which they are first read.
        input: shape of one sample.
        outputs: values that it gives for one sample.
        reads: of all arrays, in order.
        nodes: for each read, the name of the operation in the graph that makes it.
        shared: nodes whose values are the same in all passes, as no array was read before them.
        content: names the module: its graph, its sizes and its weights.
    """

    def __init__(self, module: nn.Module, input: Sequence[int]) -> None:
        self.input = tuple(input)
        whole = _whole(ready(module))
        self.graph = trace(copy.deepcopy(whole))
        self.sites = sites_of(self.graph)
        self.shared = _shared(self.graph, self.sites)
        seen = evaluated(self.graph, whole, self.input)
        self.reads, self.nodes = tuple(seen.reads), tuple(seen.nodes)
        _check_counts(self)
        check_training(self.graph, whole, self.input)
        self.outputs = int(seen.outputs.shape[1])
        self.content = _content(self.graph, str(self.input))

    @property
    def arrays(self) -> dict[tuple[str, int], Crossbar | Scale]:
        """All arrays by site and number, in the order in which they are first read."""
        return {(read.site, read.number): self.sites[read.site].arrays[read.number] for read in self.reads}

    def __str__(self) -> str:
        lines = []
        for (name, number), one in self.arrays.items():
            count = next(read.count for read in self.reads if (read.site, read.number) == (name, number))
            times = sum((read.site, read.number) == (name, number) for read in self.reads)
            kind = "crossbar" if isinstance(one, Crossbar) else "digital scale"
            shape = " x ".join(map(str, one.weight.shape))
            lines.append(f"{name}: {kind} {shape}, {count * times} reads a sample")
        return "\n".join(lines)


def from_torch(module: Any, example_input: Any) -> Traced:
    """Return a network whose weights can be laid on a device's tiles; they are taken over as they are.

    Linear, Conv1d and Conv2d, recurrent cells and unrolled recurrent modules become tiles. Batch, layer and group norm,
    dropout, activations, pooling, and all arithmetic between modules stay digital.

    Args:
        module: a torch.nn.Module; it is not changed.
        example_input: a batch as the module takes it, [samples, ...]; its values do not matter.

    Raises:
        UsageError: names the module, what cannot be taken, and a fix.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"network: give a torch.nn.Module, got {type(module).__name__}")
    if not isinstance(example_input, Tensor) or example_input.ndim < 2 or len(example_input) < 1:
        raise UsageError("network: give an example input with samples first, e.g. torch.zeros(2, 3, 32, 32)")
    return Traced(module, example_input.shape[1:])


def content_of(module: nn.Module) -> str:
    """Return what names a module: its graph, its settings and its weights.

    Raises:
        UsageError: it cannot be traced.
    """
    return _content(trace(_whole(ready(module))))


def _content(graph: fx.GraphModule, *more: str) -> str:
    """Name all that decides what a graph computes; where a setting of a module lies in no graph, it is the module's."""
    parts = [graph.code, *more]
    for name, one in graph.named_modules():
        if name:
            parts.append(f"{name} {type(one).__module__}.{type(one).__qualname__} {_settings(one)}")
    return fingerprint([*(part.encode() for part in parts), *_numbers(graph)])


def _settings(module: nn.Module) -> list[tuple[str, str]]:
    """Public settings of a module, in words; none with an address in memory."""
    return sorted(
        (name, repr(value))
        for name, value in vars(module).items()
        if not name.startswith("_") and _plain(value)
    )


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list | frozenset | set):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(map(_plain, (*value, *value.values())))
    return value is None or isinstance(
        value, bool | int | float | complex | str | bytes | torch.dtype | torch.device
    )


def _whole(module: nn.Module) -> nn.Module:
    """A module of PyTorch's own is not looked into, and stands in a sequence of one."""
    own = type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential)
    own = own or is_known(module)
    return nn.Sequential(module).train(module.training) if own else module


def _shared(graph: fx.GraphModule, sites: dict[str, Site]) -> frozenset[str]:
    """Names of the nodes that depend on no read."""
    shared: set[str] = set()
    for node in graph.graph.nodes:
        reads = node.op == "call_module" and node.target in sites and sites[str(node.target)].arrays
        if not reads and all(one.name in shared for one in node.all_input_nodes):
            shared.add(node.name)
    return frozenset(shared)


def _check_counts(traced: Traced) -> None:
    counts: dict[tuple[str, int], int] = {}
    for read in traced.reads:
        known = counts.setdefault((read.site, read.number), read.count)
        if known != read.count:
            raise UsageError(
                f"network: {read.site} is called for {known} and for {read.count} vectors a sample; use two modules"
            )


def _numbers(module: nn.Module) -> list[bytes]:
    """Names, shapes and values of all that a module holds."""
    parts = []
    for name, value in module.state_dict().items():
        parts += [f"{name} {value.dtype} {tuple(value.shape)}".encode(), bytes_of(value)]
    return parts


def bytes_of(value: Tensor) -> bytes:
    """Return a tensor's values, whatever their type."""
    flat = value.detach().cpu().resolve_conj().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
