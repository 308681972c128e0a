"""Recurrent nets, unrolled in time: each tile is read once a step, and gates are digital."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .sites import Crossbar, Run, Site, site, taken


def _step(kind: str, run: Run, numbers: tuple[int, int], x: Tensor, state: Any, shared: bool) -> Any:
    """One step of a cell, by PyTorch's equations; ``state``: h, or (h, c) of an LSTM."""
    h = state[0] if kind == "LSTM" else state
    from_x = run.read(numbers[0], x[:, None], shared)[:, 0]
    from_h = run.read(numbers[1], h[:, None])[:, 0]
    if kind == "GRU":
        (xr, xz, xn), (hr, hz, hn) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        update = torch.sigmoid(xz + hz)
        fresh = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
        return (1 - update) * fresh + update * h
    if kind == "LSTM":
        i, f, g, o = (from_x + from_h).chunk(4, 1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    return torch.relu(from_x + from_h) if kind == "RELU" else torch.tanh(from_x + from_h)


def _zeros(kind: str, x: Tensor, hidden: int) -> Any:
    h = x.new_zeros(len(x), hidden)
    return (h, torch.zeros_like(h)) if kind == "LSTM" else h


def _crossbars(module: nn.Module, suffix: str) -> list[Crossbar]:
    return [
        Crossbar(
            taken(getattr(module, f"weight_{way}{suffix}")),
            taken(getattr(module, f"bias_{way}{suffix}", None)),
        )
        for way in ("ih", "hh")
    ]


@site(nn.RNNCell, nn.GRUCell, nn.LSTMCell)
class Cell(Site):
    """One step; the state is the module's caller's."""

    gives_reads = False
    module: Any

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name)
        self.kind = type(module).__name__.removesuffix("Cell")
        if self.kind == "RNN":
            self.kind = module.nonlinearity.upper()
        self.arrays = tuple(_crossbars(module, ""))

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Take one step (see :class:`Site`)."""
        x = values[0]
        state = values[1] if len(values) > 1 else None
        state = _zeros(self.kind, x, self.module.hidden_size) if state is None else state
        return _step(self.kind, run, (0, 1), x, state, shared)


@site(nn.RNN, nn.GRU, nn.LSTM)
class Unrolled(Site):
    """All steps of all layers, from zeros or a given state; gives the last layer's outputs, and the last states."""

    gives_reads = False
    module: Any

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name)
        if not module.batch_first:
            self.refuse("batch_first is off", "samples come first here: batch_first=True")
        if module.bidirectional:
            self.refuse("bidirectional is on", "use two modules, and flip the time of one")
        if module.dropout:
            self.refuse("dropout between layers", "use one module a layer, with nn.Dropout between them")
        if getattr(module, "proj_size", 0):
            self.refuse("proj_size", "leave it out, and add an nn.Linear")
        self.kind = module.mode.removeprefix("RNN_")
        self.arrays = tuple(
            one for number in range(module.num_layers) for one in _crossbars(module, f"_l{number}")
        )

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Take all steps, layer by layer (see :class:`Site`)."""
        x = values[0]
        first, ends = values[1] if len(values) > 1 else None, []
        for layer in range(self.module.num_layers):
            state, outputs = self._first(first, layer, x), []
            for step in range(x.shape[1]):
                numbers = (2 * layer, 2 * layer + 1)
                state = _step(self.kind, run, numbers, x[:, step], state, shared and layer == 0)
                outputs.append(state[0] if self.kind == "LSTM" else state)
            x = torch.stack(outputs, 1)
            ends.append(state)
        if self.kind == "LSTM":
            return x, (torch.stack([h for h, _ in ends]), torch.stack([c for _, c in ends]))
        return x, torch.stack(ends)

    def _first(self, given: Any, layer: int, x: Tensor) -> Any:
        """A layer's first state, of what is given for all of them, [layers, batch, hidden]."""
        if given is None:
            return _zeros(self.kind, x, self.module.hidden_size)
        return (given[0][layer], given[1][layer]) if self.kind == "LSTM" else given[layer]
