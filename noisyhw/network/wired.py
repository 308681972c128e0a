"""A traced network as a graph between layers: arrays are read, all else is computed in digital."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..chip.graph import Graph
from ..chip.graph import Read as ReadLayer
from .known import sites_of
from .rewrite import called
from .trace import Traced

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *(nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Threshold, nn.Tanhshrink, nn.Hardshrink, nn.Softshrink),
    *(nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Softsign),
)
"""Modules that act on each value by itself."""
_FUNCTIONS = (
    "relu leaky_relu relu6 elu selu celu gelu silu mish softplus threshold tanh hardtanh sigmoid "
    "hardsigmoid hardswish logsigmoid softsign tanhshrink hardshrink softshrink"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Functions and methods that do, by name."""
Activation = Callable[[Tensor], Tensor]


class Wired(Graph):
    """The wiring of a traced module.

    Args:
        traced: the network.
        draws: for dropout.
        where: tensors live there.
    """

    def __init__(self, traced: Traced, draws: torch.Generator, where: torch.device) -> None:
        self.traced, self.draws, self.where = traced, draws, where
        self.sites = sites_of(traced.graph)  # each chip has running statistics of its own
        numbers = {key: number for number, key in enumerate(traced.arrays)}
        self.places = tuple(numbers[read.site, read.number] for read in traced.reads)
        self.activations = _activations(traced)
        self.masks: list[Tensor] = []
        self.noted: dict[str, list[Mapping[str, Tensor]]] = {}

    def run(self, x: Tensor, read: ReadLayer, passes: int = 1, *, learning: bool = False) -> Tensor:
        """Interpret the traced graph (see :class:`.Graph`)."""
        samples = x.shape[1]
        images = x[0].reshape(samples, *self.traced.input)
        way = _Way(self, read, passes, samples, learning)
        with (
            contextlib.nullcontext() if self.where.type == "cpu" else self.where
        ):  # what forward makes lies there too
            outputs: Tensor = way.run(images.repeat(passes, *[1] * len(self.traced.input)))
        return outputs.reshape(passes, samples, -1)

    def slope(self, place: int, a: Tensor) -> Tensor:
        """Derivative of the activation behind a place (see :class:`.Graph`)."""
        activation = self.activations[place]
        if activation is None:
            return torch.ones_like(a)
        with torch.enable_grad():
            values = a.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(activation(values).sum(), values)
        return found

    def next_batch(self) -> None:
        """Forget the masks of the batch before."""
        self.masks, self.noted = [], {}

    def take_up(self) -> None:
        """Let norms move their running statistics."""
        for name, calls in self.noted.items():
            for values in calls:
                self.sites[name].take_up(values)
        self.noted = {}

    def state(self) -> dict[str, Any]:
        """Return running statistics, and the generator of dropout."""
        sites = {name: site.state() for name, site in self.sites.items()}
        return {"sites": sites, "draws": self.draws.get_state()}

    def load(self, state: dict[str, Any] | None) -> None:
        """Take up a state that :meth:`state` returned."""
        assert state is not None
        for name, saved in state["sites"].items():
            self.sites[name].load(saved)
        self.draws.set_state(state["draws"].cpu())


class _Way(fx.Interpreter):
    """One way of all passes of a batch through the graph (see :class:`.sites.Run`)."""

    def __init__(self, wired: Wired, read: ReadLayer, passes: int, samples: int, learning: bool) -> None:
        super().__init__(wired.traced.graph)
        self.extra_traceback = False  # messages are short
        self.wired, self.layer_read = wired, read
        self.passes, self.samples, self.learning = passes, samples, learning
        self.place = self.masked = 0
        self.site = ""
        self.shared = False

    def run_node(self, n: fx.Node) -> Any:
        """Note whether what the node gets is the same in all passes."""
        self.shared = all(one.name in self.wired.traced.shared for one in n.all_input_nodes[:1])
        return super().run_node(n)

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return numbers that are not trained, where the others are."""
        return super().get_attr(target, args, kwargs).to(self.wired.where)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let the site that stands for a module compute it."""
        site = self.wired.sites.get(str(target))
        if site is None:
            return super().call_module(target, args, kwargs)
        self.site = str(target)
        return site.call(self, *args, *kwargs.values(), shared=self.shared)

    def read(self, number: int, rows: Tensor, shared: bool = False) -> Tensor:
        """Read an array; a sample may be several entries of the first dimension (see :class:`.sites.Run`)."""
        passes = 1 if shared else self.passes
        values = rows[: len(rows) // self.passes * passes].reshape(passes, self.samples, -1)
        a = self.layer_read(self.place, values)
        self.place += 1
        return a.reshape(len(rows), rows.shape[1], -1)

    def drawn(self, shape: Sequence[int], keep: float) -> Tensor:
        """Return a dropout mask (see :class:`.sites.Run`)."""
        wired = self.wired
        if self.masked == len(wired.masks):
            mask = torch.rand(list(shape), generator=wired.draws, device=wired.where) < keep
            wired.masks.append(mask.float().mul_(1 / keep if keep else 0.0))
        self.masked += 1
        return wired.masks[self.masked - 1]

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Keep a batch's statistics (see :class:`.sites.Run`)."""
        self.wired.noted.setdefault(self.site, []).append(values)


def _activations(traced: Traced) -> list[Activation | None]:
    """For each place, the activation that alone gets what was read there."""
    behind: dict[str, Activation | None] = {}
    for node in traced.graph.graph.nodes:
        site = traced.sites.get(str(node.target)) if node.op == "call_module" else None
        if site is not None and site.gives_reads and len(node.users) == 1:
            behind[node.name] = _activation(next(iter(node.users)), traced.graph)
    return [behind.get(name) for name in traced.nodes]


def _activation(node: fx.Node, graph: fx.GraphModule) -> Activation | None:
    """What a node does to each value by itself; None: it does not, or more than one value comes in."""
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        return module if isinstance(module, ACTIVATIONS) else None
    if node.op not in ("call_function", "call_method") or called(node) not in FUNCTIONS:
        return None
    if len(node.all_input_nodes) != 1:
        return None
    return lambda a: _computed(node, a)


def _computed(node: fx.Node, a: Tensor) -> Tensor:
    """What a node gives for a value in place of its only one."""
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda _: a)
    found: Tensor = (
        getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "call_method"
        else node.target(*args, **kwargs)  # type: ignore[operator]  # a function
    )
    return found
