"""Reading a ``torch.nn.Module`` with torch.fx: which modules become crossbars, and whether it can be simulated."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import UsageError
from ..fingerprint import fingerprint
from . import norms, recurrent
from .dry import exact_outputs
from .sites import SITES, Crossbar, Read, Scale, Site

_KNOWN = (norms, recurrent)  # their sites are known once they are imported
OUT_OF_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
"""Read-outs are kept for the rule, so nothing overwrites them."""
TOLERANCE = 1e-4
"""Largest difference, relative to the largest output, of two ways to compute the same in single precision."""


class Traced:
    """A module that was traced and checked.

    Attributes:
        graph: the traced module.
        sites: by the module's name, in the order in which they are first read.
        input: shape of one sample.
        outputs: values that it gives for one sample.
        reads: of all arrays, in order.
        shared: nodes whose values are the same in all passes, as no array was read before them.
        content: names the module: its graph, its sizes and its weights.
    """

    def __init__(self, module: nn.Module, input: Sequence[int]) -> None:
        self.input = tuple(input)
        self.graph = _traced(copy.deepcopy(module).cpu().float())
        self.sites = sites_of(self.graph)
        self.shared = _shared(self.graph, self.sites)
        outputs = _checked(self, module)
        self.outputs = outputs.shape[1]
        self.content = _content(self.graph, module)

    @property
    def arrays(self) -> dict[tuple[str, int], Crossbar | Scale]:
        """All arrays by site and number, in the order in which they are first read."""
        return {(read.site, read.number): self.sites[read.site].arrays[read.number] for read in self.reads}

    reads: tuple[Read, ...]

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
    """Return what names a module: its graph, its sizes and its weights.

    Raises:
        UsageError: it cannot be traced.
    """
    return _content(_traced(copy.deepcopy(module).cpu().float()), module)


def _content(graph: fx.GraphModule, module: nn.Module) -> str:
    return fingerprint([graph.code.encode(), repr(module).encode(), *_numbers(module)])


def _traced(module: nn.Module) -> fx.GraphModule:
    if module.__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential):
        module = nn.Sequential(module)  # a module of PyTorch's own is not looked into
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # whatever a module's own code may raise
        raise UsageError(
            f"network: {type(module).__name__} cannot be traced ({type(error).__name__}: {error}); its forward must "
            "not decide by values, nor loop over a size that is only known with the data (use a number)"
        ) from None
    for node in list(graph.nodes):
        _refuse_own_numbers(node, module)
        _keep_read_outs(node)
    for one in module.modules():
        if getattr(one, "inplace", False):
            one.inplace = False  # type: ignore[assignment]  # a flag of activations
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        named = ", ".join(node.name for node in inputs)
        raise UsageError(f"network: forward takes {named}; one input is needed")
    graph.lint()
    return fx.GraphModule(module, graph)


def _refuse_own_numbers(node: fx.Node, module: nn.Module) -> None:
    if node.op == "get_attr":
        raise UsageError(
            f"network: {type(module).__name__}.{node.target} is used outside a module ({_place(node)}); numbers that "
            "are not in an nn.Linear, convolution, recurrent module or norm have no place on a device"
        )


def _keep_read_outs(node: fx.Node) -> None:
    """Replace operations in place by those that are not."""
    if node.op == "call_function":
        node.target = OUT_OF_PLACE.get(node.target, node.target)
    target = str(node.target)
    if node.op == "call_method" and target == "view":  # where values lie in memory is another matter here
        node.target = "reshape"
    if node.op == "call_method" and target.endswith("_") and not target.endswith("__"):
        node.target = target.removesuffix("_")
    if node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}


def _place(node: fx.Node) -> str:
    """Where a node's value is used, for messages."""
    return ", ".join(f"{user.op} {user.target}" for user in node.users) or "nowhere"


def sites_of(graph: fx.GraphModule) -> dict[str, Site]:
    """What stands for each called module that holds weights or drops units."""
    found: dict[str, Site] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module" or node.target in found:
            continue
        module = graph.get_submodule(str(node.target))
        kind = next((SITES[one] for one in type(module).__mro__ if one in SITES), None)
        if kind is not None:
            found[str(node.target)] = kind(module, str(node.target))
        elif any(True for _ in (*module.parameters(), *module.buffers())):
            raise UsageError(
                f"network: {node.target} ({type(module).__name__}) holds numbers and is not known here; known are "
                + ", ".join(sorted(one.__name__ for one in SITES))
            )
    if not any(isinstance(one, Crossbar) for own in found.values() for one in own.arrays):
        raise UsageError("network: there is no weight to lay on a tile; add an nn.Linear or a convolution")
    return found


def _shared(graph: fx.GraphModule, sites: dict[str, Site]) -> frozenset[str]:
    """Names of the nodes that depend on no read."""
    shared: set[str] = set()
    for node in graph.graph.nodes:
        reads = node.op == "call_module" and node.target in sites and sites[str(node.target)].arrays
        if not reads and all(one.name in shared for one in node.all_input_nodes):
            shared.add(node.name)
    return frozenset(shared)


@contextmanager
def _seeded() -> Iterator[None]:
    """Let what draws from the global generator be repeatable, and leave that generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _checked(traced: Traced, module: nn.Module) -> Tensor:
    """Return the module's outputs for some samples, after it was seen that they can be simulated.

    Raises:
        UsageError: the module fails, draws numbers, mixes samples, gives no [samples, outputs], or is not what is made
            of it here.
    """
    plain = copy.deepcopy(module).cpu().float().eval()
    with _seeded(), torch.no_grad():
        x = torch.randn(3, *traced.input)
        outputs = _called(plain, x)
        again, alone = _called(plain, x), torch.cat([_called(plain, one[None]) for one in x])
    if not (isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == 3):
        shown = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UsageError(f"network: gives {shown} for 3 samples; [samples, outputs] is needed")
    if not torch.equal(outputs, again):
        raise UsageError(
            "network: gives other outputs each time it is called; use nn.Dropout for random parts"
        )
    if not _alike(outputs, alone):
        raise UsageError("network: a sample's outputs depend on the other samples of its batch")
    traced.reads, made = exact_outputs(traced.graph, traced.sites, x)
    _check_counts(traced)
    if not _alike(outputs, made):
        raise UsageError(
            "network: what was traced does not give what the module gives; its forward may decide by training mode"
        )
    return outputs


def _check_counts(traced: Traced) -> None:
    counts: dict[tuple[str, int], int] = {}
    for read in traced.reads:
        known = counts.setdefault((read.site, read.number), read.count)
        if known != read.count:
            raise UsageError(
                f"network: {read.site} is called for {known} and for {read.count} vectors a sample; use two modules"
            )


def _called(module: nn.Module, x: Tensor) -> Any:
    try:
        return module(x)
    except Exception as error:  # whatever a module's own code may raise
        raise UsageError(
            f"network: fails for an input of shape {list(x.shape)}: {type(error).__name__}: {error}"
        ) from None


def _alike(one: Tensor, other: Tensor) -> bool:
    scale = float(one.abs().max().clamp(min=1e-6))
    return one.shape == other.shape and float((one - other).abs().max()) <= TOLERANCE * scale


def _numbers(module: nn.Module) -> list[bytes]:
    """Names, shapes and values of all that a module holds."""
    parts = []
    for name, value in module.state_dict().items():
        parts += [
            f"{name} {value.dtype} {tuple(value.shape)}".encode(),
            value.cpu().contiguous().numpy().tobytes(),
        ]
    return parts
