"""A stack: runs that take every step together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError
from ..observation import Observation, about_the_mean
from ..training.progress import unsound
from ..training.trainer import Trainer
from .cells import STACKED as CELLS
from .chip import StackedChip, StackedLayer
from .layout import Layout, per_replica
from .paths import STACKED as PATHS
from .products import outer_products


class Stack:
    """Steps of many trainers at once.

    The trainers stay what they are: they are set up, tested and saved one by one, and their tensors are views of the
    stack's. A stack takes every member from where it is, so its members can come from other stacks or from files.

    Args:
        members: trainers of experiments that can be stacked, all at the same batch of the same epoch.

    Raises:
        UsageError: they are not.
    """

    def __init__(self, members: Sequence[Trainer]) -> None:
        first = members[0]
        if len({(one.epoch, one.batch_index) for one in members}) > 1:
            raise UsageError("stack: its members must all be at the same batch of the same epoch")
        self.members = list(members)
        self.step_count, self.batch_index = first.step_count, first.batch_index
        self.device = first.data.train_x.device
        self._build()
        self._start_epoch()
        self.dead = torch.zeros(len(members), dtype=torch.bool, device=self.device)
        self.sums = torch.zeros(1 + len(self.chip.layers), len(members), device=self.device)
        self.last_step = torch.full((len(members),), self.step_count, device=self.device)

    def _build(self) -> None:
        """Gather the members' tensors."""
        members, first = self.members, self.members[0]
        shapes = [(layer.tile.outputs, layer.tile.inputs) for layer in first.chip.layers]
        weights = Layout(len(members), shapes)
        cells = [[one.chip.layers[i].tile.cells for one in members] for i in range(len(shapes))]  # type: ignore[attr-defined]
        self.cells = CELLS[type(cells[0][0])](weights, cells)
        has_bias = first.chip.layers[0].bias is not None
        biases = Layout(len(members), [shape[:1] for shape in shapes] if has_bias else [])
        flat = self._take_biases(biases)
        own: list[Tensor | None] = [*biases.views(flat)] if has_bias else [None] * len(shapes)
        layers = [
            StackedLayer([one.chip.layers[i] for one in members], weight, bias)
            for i, (weight, bias) in enumerate(zip(weights.views(self.cells.weight), own, strict=True))
        ]
        self.chip = StackedChip(
            [one.chip for one in members], layers, [one.perturbation_std for one in members]
        )
        both = Layout(len(members), [*shapes, *biases.shapes])
        self.gradient = torch.zeros(both.total, device=self.device)
        self.gradients = both.views(self.gradient)
        self.path = PATHS[first.experiment.update.path](members, both, self.cells, flat)
        self.decorrelation_rate = per_replica(
            [one.experiment.decorrelation.rate or 0.0 for one in members], self.device
        )

    def _take_biases(self, layout: Layout) -> Tensor:
        if not layout.shapes:
            return torch.zeros(0, device=self.device)
        flat = layout.gather(lambda i, r: cast(Tensor, self.members[r].chip.layers[i].bias))
        for i, view in enumerate(layout.views(flat)):
            for member, own in zip(self.members, view, strict=True):
                cast(Tensor, member.chip.layers[i].bias).data = own  # its optimizer knows it by identity
        return flat

    def _start_epoch(self) -> None:
        """Shuffle, and take up the members' sums."""
        first = self.members[0]
        self.order = torch.stack([one.order(one.epoch) for one in self.members]).to(self.device)
        kind = {"dtype": torch.float64, "device": self.device}
        self.loss = torch.tensor([one.tally.loss for one in self.members], **kind)  # type: ignore[arg-type]
        self.hits = torch.tensor([one.tally.hits for one in self.members], device=self.device)
        self.samples, self.seconds = first.tally.samples, first.seconds
        self.classes = not first.data.train_y.is_floating_point()

    @property
    def epoch_done(self) -> bool:
        """Whether the last batch of the epoch is behind."""
        return self.batch_index == self.members[0].batches

    def step(self) -> None:
        """Train every member on its next batch."""
        started = time.perf_counter()
        size = self.members[0].batch_size
        rows = self.order[:, self.batch_index * size : (self.batch_index + 1) * size].reshape(-1)
        data = self.members[0].data
        self.learn(data.train_x.index_select(0, rows), data.train_y.index_select(0, rows))
        self.batch_index += 1
        self.step_count += 1
        self.seconds += (time.perf_counter() - started) / len(self.members)

    def learn(self, x: Float[Tensor, "all_samples inputs"], target: Tensor) -> None:
        """Observe one batch a replica, and update all of them (see :meth:`.Trainer.learn`)."""
        first = self.members[0]
        choice, stds = first.experiment.perturbation, self.chip.stds
        seen = self.chip.observe(x, target, first.rule, max(stds), choice.passes)
        self._tally(seen, target)
        seen = self._with_stds(seen, len(x) // len(stds))
        signals = first.rule.signals(about_the_mean(seen) if choice.reference == "mean" else seen)
        self._watch(seen, signals)
        self._accumulate(seen, signals)
        self.path.apply(self.gradient, self.dead)
        for layer, values in zip(self.chip.layers, seen.inputs, strict=True):
            if layer.r is not None and (
                isinstance(self.decorrelation_rate, Tensor) or self.decorrelation_rate
            ):
                layer.learn_decorrelation_(values, self.decorrelation_rate, self.dead)

    def _with_stds(self, seen: Observation, samples: int) -> Observation:
        """The observation with every sample's own strength of what was injected."""
        if seen.injected is None:
            return seen
        stds = torch.tensor(self.chip.stds, device=self.device).repeat_interleave(samples)
        return replace(seen, injected=replace(seen.injected, std=stds))

    def _by_replica(self, values: Tensor) -> Tensor:
        """Sums over each replica's samples."""
        return values.reshape(len(self.members), -1).sum(1)

    def _tally(self, seen: Observation, target: Tensor) -> None:
        self.samples += len(target) // len(self.members)
        self.losses = self._by_replica(seen.losses[0])
        self.loss += self.losses
        if self.classes:
            self.hits += self._by_replica(seen.outputs[0].argmax(-1) == target)

    def _watch(self, seen: Observation, signals: Sequence[Tensor]) -> None:
        """Note which replicas diverge at this step; nothing is read back from the accelerator."""
        sums = torch.stack([self.losses, *(self._by_replica(signal) for signal in signals)])
        self.sums = torch.where(self.dead, self.sums, sums)
        self.last_step = torch.where(self.dead, self.last_step, self.step_count + 1)
        self.dead = self.sums.isfinite().all(0).logical_not_()

    def _accumulate(self, seen: Observation, signals: Sequence[Tensor]) -> None:
        """Form all gradients, mean_b d_b x_b^T, and those of biases, mean_b d_b."""
        layers = self.chip.layers
        for i, (layer, values, signal) in enumerate(zip(layers, seen.inputs, signals, strict=True)):
            x, d, out = layer.split(values), layer.split(signal), self.gradients[i]
            torch.mul(outer_products(d, x), 1 / x.shape[1], out=out)
            if layer.bias is not None:
                torch.mean(d, 1, out=self.gradients[len(layers) + i])

    def verdicts(self) -> list[str | None]:
        """Why each member has diverged; None: it has not."""
        names = ["training loss"] + ["update"] * len(self.chip.layers)
        found: list[str | None] = []
        for totals, step in zip(self.sums.t().tolist(), self.last_step.tolist(), strict=True):
            reasons = (unsound(name, total) for name, total in zip(names, totals, strict=True))
            reason = next((one for one in reasons if one is not None), None)
            where = f" in epoch {self.members[0].epoch + 1}, step {step}"
            found.append(None if reason is None else reason + where)
        return found

    def hand_back(self) -> None:
        """Let every member hold all that its next step depends on."""
        self.path.hand_back(self.step_count)
        figures = zip(self.members, self.loss.tolist(), self.hits.tolist(), strict=True)
        for member, loss, hits in figures:
            member.tally.load({"samples": self.samples, "loss": loss, "hits": hits})
            member.step_count, member.batch_index = self.step_count, self.batch_index
            member.seconds = self.seconds

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: every member's own state, and which have diverged."""
        self.hand_back()
        watch = {"dead": self.dead, "sums": self.sums, "last_step": self.last_step}
        return {"members": [member.state() for member in self.members], **watch}

    @classmethod
    def resumed(cls, members: Sequence[Trainer], state: dict[str, Any]) -> Stack:
        """Make a stack of fresh trainers and a state that :meth:`state` returned."""
        for member, saved in zip(members, state["members"], strict=True):
            member.load(saved)
        stack = cls(members)
        for name in ("dead", "sums", "last_step"):
            setattr(stack, name, state[name].to(stack.device))
        return stack
