"""Training many experiments as stacks of replicas."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ..cards.experiment import Resolved
from ..errors import RunError, UsageError
from ..memory import keep_freed_memory
from ..tasks import Data
from ..training.files import load_checkpoint, save_checkpoint
from ..training.progress import Diverged
from ..training.run import ARITHMETIC, CHECKPOINT_SECONDS
from ..training.threads import computing_with, threads_for
from ..training.trainer import Row, Trainer
from .alike import why_not
from .stack import Stack

STACK = 32
"""Replicas of a stack on a CPU: more gain little, as their numbers leave the processor's cache (docs/design.md)."""
FORMAT = 1


@dataclass
class StackedRun:
    """One replica's run.

    Attributes:
        experiment: what was trained.
        status: running, stopped, done or diverged.
        reason: why it diverged.
        perturbation_std: of what was injected.
        rows: finished epochs; seconds are the stack's, divided by its number of replicas.
    """

    experiment: Resolved
    status: Literal["running", "stopped", "done", "diverged"] = "running"
    reason: str | None = None
    perturbation_std: float | None = None
    rows: list[Row] = field(default_factory=list)


def never() -> bool:
    """Do not stop."""
    return False


def train_stack(
    experiments: Sequence[Resolved],
    data: Data,
    *,
    stack_size: int = STACK,
    accelerator: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    should_stop: Callable[[], bool] = never,
    on_row: Callable[[int, Row], object] | None = None,
) -> list[StackedRun]:
    """Train experiments of one shape, ``stack_size`` of them at once, and return their runs in order.

    What comes of an experiment does not depend on the others, but for rounding. One that diverges stops alone.

    Args:
        experiments: resolved, such that :func:`.why_not` has nothing to say.
        data: of their task, on the accelerator.
        stack_size: replicas that take a step together.
        accelerator: where the chips live.
        checkpoint: a file that is kept up to date; if it is there, training goes on from it, with the same bits.
        should_stop: is asked after every step; then the checkpoint is written, and unfinished runs are ``stopped``.
        on_row: is told the number of an experiment and its finished epoch.

    Raises:
        UsageError: the experiments do not go into one stack, or ``stack_size`` is below 1.
        RunError: the checkpoint is damaged, or belongs to other experiments.
    """
    if (reason := why_not(experiments)) is not None:
        raise UsageError(f"train_stack: {reason}; train such experiments one by one")
    if stack_size < 1:
        raise UsageError(f"stack_size: give at least 1, got {stack_size}")
    keep_freed_memory()
    batch = _Batch(experiments, data, stack_size, accelerator, checkpoint, should_stop, on_row)
    for first in range(0, len(experiments), stack_size):
        if not batch.train(range(first, min(first + stack_size, len(experiments)))):
            break
    return batch.runs


class _Batch:
    """All runs of one call, and where they are."""

    def __init__(
        self,
        experiments: Sequence[Resolved],
        data: Data,
        stack_size: int,
        accelerator: torch.device | str,
        checkpoint: Path | None,
        should_stop: Callable[[], bool],
        on_row: Callable[[int, Row], object] | None,
    ) -> None:
        self.runs = [StackedRun(experiment) for experiment in experiments]
        self.data, self.accelerator = data, accelerator
        self.path, self.should_stop, self.on_row = checkpoint, should_stop, on_row
        self.identity = {
            "format": FORMAT,
            "stack_size": stack_size,
            "experiments": [one.identity(data.version, ARITHMETIC) for one in experiments],
        }
        self.saved: dict[str, Any] | None = None
        if checkpoint is not None and checkpoint.is_file():
            self.saved = self._read(checkpoint)
        self.saved_at = time.monotonic()

    def train(self, numbers: Sequence[int]) -> bool:
        """Train one stack to the end; False: asked to stop."""
        alive = [number for number in numbers if self.runs[number].status == "running"]
        if not alive:
            return True
        with computing_with(1):
            stack = self._stack(alive)
        batch = self.runs[alive[0]].experiment.batch or 1
        with computing_with(threads_for(stack.members[0].chip, batch)):
            while alive:
                stack.step()
                if stack.epoch_done:
                    alive, stack = self._finish_epoch(alive, stack)
                if not self._go_on(alive, stack):
                    return False
        return True

    def _stack(self, alive: Sequence[int]) -> Stack:
        members = [Trainer(self.runs[number].experiment, self.data, self.accelerator) for number in alive]
        saved, self.saved = self.saved, None
        stack = Stack(members)
        if saved is not None and saved["alive"] == list(alive):
            stack = self._taken_up(members, saved["stack"])
        for number, member in zip(alive, members, strict=True):
            self.runs[number].perturbation_std = member.perturbation_std
        return stack

    def _taken_up(self, members: Sequence[Trainer], state: dict[str, Any]) -> Stack:
        try:
            return Stack.resumed(members, state)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{self.path}: does not fit these runs ({type(error).__name__}); remove it to start again"
            ) from None

    def _finish_epoch(self, alive: Sequence[int], stack: Stack) -> tuple[list[int], Stack]:
        """Test every member; go on with those that are neither finished nor diverged."""
        stack.hand_back()
        ends = zip(alive, stack.members, stack.verdicts(), strict=True)
        left = [(n, member) for n, member, verdict in ends if self._goes_on(n, member, verdict)]
        if not left:
            return [], stack
        return [number for number, _ in left], Stack([member for _, member in left])

    def _goes_on(self, number: int, member: Trainer, verdict: str | None) -> bool:
        run = self.runs[number]
        if verdict is None:
            try:
                row = member.finish_epoch(time.perf_counter())
            except Diverged as diverged:
                verdict = f"{diverged} in epoch {member.epoch + 1}, step {member.step_count}"
        if verdict is not None:
            run.status, run.reason = "diverged", verdict
            return False
        run.rows.append(row)
        if self.on_row is not None:
            self.on_row(number, row)
        if member.finished:
            run.status = "done"
        return not member.finished

    def _go_on(self, alive: Sequence[int], stack: Stack) -> bool:
        stop = self.should_stop()
        if stop or not alive or time.monotonic() - self.saved_at > CHECKPOINT_SECONDS:
            self._save(alive, stack)
        if stop:
            for run in self.runs:
                run.status = "stopped" if run.status == "running" else run.status
        return not stop

    def _save(self, alive: Sequence[int], stack: Stack) -> None:
        self.saved_at = time.monotonic()
        if self.path is None:
            return
        runs = [
            {"status": one.status, "reason": one.reason, "rows": [asdict(row) for row in one.rows]}
            for one in self.runs
        ]
        stds = [one.perturbation_std for one in self.runs]
        state = stack.state() if alive else None
        save_checkpoint(
            self.path, self.identity | {"runs": runs, "stds": stds, "alive": list(alive), "stack": state}
        )

    def _read(self, path: Path) -> dict[str, Any]:
        saved = load_checkpoint(path)
        if any(saved.get(key) != value for key, value in self.identity.items()):
            raise RunError(
                f"{path}: belongs to other experiments, data or stack size; remove it to start again"
            )
        for run, std, known in zip(self.runs, saved["stds"], saved["runs"], strict=True):
            run.status, run.reason, run.perturbation_std = known["status"], known["reason"], std
            uncounted = {"pulses_per_weight": None}  # in a checkpoint of an earlier version
            run.rows = [Row(**uncounted | row) for row in known["rows"]]
        return saved
