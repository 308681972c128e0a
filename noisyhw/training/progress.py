"""What a trainer keeps count of in an epoch, without waiting for an accelerator."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Diverged(Exception):
    """A loss or an update is no longer a finite number."""


class Tally:
    """Sums over the samples of an epoch so far, kept where the losses are."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.samples = 0
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)

    def add(
        self, losses: Float[Tensor, " samples"], outputs: Float[Tensor, "samples outputs"], target: Tensor
    ) -> None:
        """Count one batch."""
        self.samples += len(losses)
        self.total += losses.sum()
        if not target.is_floating_point():
            self.right += (outputs.argmax(-1) == target).sum()

    @property
    def loss(self) -> float:
        """Sum of the losses."""
        return float(self.total)

    @property
    def hits(self) -> int:
        """Number of samples whose class was right."""
        return int(self.right)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"samples": self.samples, "loss": self.loss, "hits": self.hits}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.samples = state["samples"]
        self.total.fill_(state["loss"])
        self.right.fill_(state["hits"])


class Watch:
    """Looks whether numbers are finite: at once on a processor, at the end of an epoch on an accelerator."""

    def __init__(self, device: torch.device) -> None:
        self.at_once = device.type == "cpu"
        self.seen: dict[str, Tensor] = {}

    def check(self, what: str, values: Tensor) -> None:
        """Look at some numbers.

        Raises:
            Diverged: one of them is infinite or not a number.
        """
        total = values.sum()
        if self.at_once:
            _check(what, total)
        else:  # zero, as long as all are finite
            self.seen[what] = self.seen.get(what, 0.0) + total * 0.0

    def ask(self) -> None:
        """Look at what :meth:`check` put off.

        Raises:
            Diverged: a number was infinite or not a number.
        """
        seen, self.seen = self.seen, {}
        for what, total in seen.items():
            _check(what, total)


def unsound(what: str, total: float) -> str | None:
    """Say what is wrong with a sum that is not finite."""
    if math.isfinite(total):
        return None
    return f"{what} is {'infinite' if math.isinf(total) else 'not a number'}"


def _check(what: str, total: Tensor) -> None:
    if (reason := unsound(what, total.item())) is not None:
        raise Diverged(reason)
