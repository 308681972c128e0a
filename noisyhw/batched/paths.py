"""Update paths for all layers and replicas at once, over one flat gradient of weights and biases."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..training.trainer import Trainer
from ..updates.adam import Adam
from ..updates.mixed_precision import MixedPrecision
from .cells import StackedCells
from .layout import Layout
from .vectors import padded


class StackedPath(abc.ABC):
    """The way from gradients to cells; biases are digital and take the change as it is.

    Args:
        members: the replicas.
        layout: of weights, layer by layer, and then of biases, layer by layer.
        cells: receive the weights' change.
        biases: flat; none if there are no biases.
    """

    def __init__(
        self,
        members: Sequence[Trainer],
        layout: Layout,
        cells: StackedCells,
        biases: Float[Tensor, " biases"],
    ) -> None:
        self.members, self.layout, self.cells, self.biases = members, layout, cells, biases
        self.weights = cells.layout.total
        rates = [member.experiment.update.learning_rate for member in members]
        self.rate = layout.spread(rates, cells.device)

    def apply(self, gradient: Float[Tensor, " numbers"], dead: Bool[Tensor, " replicas"]) -> None:
        """Move all replicas that are not ``dead`` against their gradients."""
        change = self._change(gradient)
        for view in self.layout.views(change):
            view.masked_fill_(dead.view(-1, *(1,) * (view.ndim - 1)), 0.0)
        self.biases.add_(change[self.weights :])
        self._send(change[: self.weights])

    @abc.abstractmethod
    def _change(self, gradient: Tensor) -> Tensor:
        """What is asked of weights and biases; ``gradient`` may be overwritten."""

    def _send(self, change: Tensor) -> None:
        self.cells.write(change)

    def hand_back(self, steps: int) -> None:  # noqa: B027  (not every path remembers)
        """Let the members' own paths hold what this one remembers, so that their states are whole.

        Args:
            steps: updates so far.
        """


class StackedSgd(StackedPath):
    """See :class:`.Sgd`."""

    def _change(self, gradient: Tensor) -> Tensor:
        return gradient.mul_(self.rate).neg_()


class StackedMixedPrecision(StackedSgd):
    """See :class:`.MixedPrecision`."""

    def __init__(
        self, members: Sequence[Trainer], layout: Layout, cells: StackedCells, biases: Tensor
    ) -> None:
        super().__init__(members, layout, cells, biases)
        self.chi = cells.layout.gather(lambda i, r: cast(MixedPrecision, members[r].paths[i]).chi)
        for i, view in enumerate(cells.layout.views(self.chi)):
            for member, own in zip(members, view, strict=True):
                cast(MixedPrecision, member.paths[i]).chi = own

    def _send(self, change: Tensor) -> None:
        step = self.cells.step
        if step is None:
            self.cells.write(change)
            return
        counts = torch.trunc(self.chi.add_(change).div(step))
        self.chi.sub_(counts * step)
        self.cells.pulse(counts)


class StackedAdam(StackedPath):
    """See :class:`.Adam`: torch's Adam moves one flat parameter from zero.

    Parameter, gradient and moments are padded to whole vectors (see :mod:`.vectors`), and its learning rate is 1, for
    all replicas alike: what comes of a replica does not depend on the others.
    """

    def __init__(
        self, members: Sequence[Trainer], layout: Layout, cells: StackedCells, biases: Tensor
    ) -> None:
        super().__init__(members, layout, cells, biases)
        self.change = padded(torch.zeros(layout.total, device=cells.device))
        self.gradient = torch.zeros_like(self.change)
        choice = members[0].experiment.update
        betas = choice.beta1, choice.beta2
        self.optimizer = torch.optim.Adam([self.change], lr=1.0, betas=betas, eps=choice.epsilon, fused=True)
        if "exp_avg" in self._own(0, 0):
            moments = {
                name: padded(layout.gather(lambda i, r, name=name: self._own(i, r)[name]))  # type: ignore[misc]
                for name in ("exp_avg", "exp_avg_sq")
            }
            step = self._own(0, 0)["step"].clone().to(cells.device)
            self.optimizer.state[self.change] = {"step": step, **moments}

    def _own(self, part: int, replica: int) -> dict[str, Any]:
        """What a member's own optimizer remembers of a layer's weights, or behind them of its bias."""
        member, layers = self.members[replica], len(self.cells.layout.shapes)
        if part < layers:
            path = cast(Adam, member.paths[part])
            return cast(dict[str, Any], path.optimizer.state[path.change])
        assert member.biases is not None
        bias = cast(Tensor, member.chip.layers[part - layers].bias)
        return cast(dict[str, Any], member.biases.state[bias])

    def _change(self, gradient: Tensor) -> Tensor:
        total = self.layout.total
        self.gradient[:total].copy_(gradient)
        self.change.zero_()
        self.change.grad = self.gradient
        self.optimizer.step()
        return self.change[:total].mul_(self.rate)

    def hand_back(self, steps: int) -> None:
        """Hand back the moments and the step count."""
        if steps == 0:
            return
        state = self.optimizer.state[self.change]
        for name in ("exp_avg", "exp_avg_sq"):
            for part, view in enumerate(self.layout.views(state[name][: self.layout.total])):
                for replica, own in enumerate(view):
                    self._own(part, replica)[name] = own
                    self._own(part, replica)["step"] = torch.tensor(float(steps))


STACKED: dict[str, type[StackedPath]] = {
    "adam": StackedAdam,
    "sgd": StackedSgd,
    "mixed_precision": StackedMixedPrecision,
}
"""By the name of the path."""
