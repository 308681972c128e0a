"""Mean and spread of a fast array's read-outs, as AGAD keeps them in digital memory."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


class ReadOuts:
    """Means of every cell's read-outs, and how well they are known.

    With a ``rate`` beta, P <- P + beta (a - P) at a read-out a, for ever; without, beta = 1 / k at the k-th read-out
    since the last flip, so that P is their plain mean. The variance goes along: V <- (1 - beta) (V + beta (a - P)^2).
    A mean of n read-outs has the squared standard error V / (n - 1), where n is k, or (2 - beta) / beta in the running
    mean.

    Source: West, Commun. ACM 22, 532 (1979).

    Attributes:
        mean: P, [inputs, outputs].
        variance: V.
        squared_error: that of the mean; infinite for a mean of one read-out.
    """

    def __init__(self, like: Float[Tensor, "inputs outputs"], rate: float | None) -> None:
        self.rate = rate
        self.mean, self.variance = torch.zeros_like(like), torch.zeros_like(like)
        self.squared_error = torch.full_like(like, torch.inf)

    def take(
        self,
        columns: Int[Tensor, " columns"],
        values: Float[Tensor, "columns outputs"],
        number: Int[Tensor, " columns"],
    ) -> None:
        """Take up one read-out of these columns, the ``number``-th since their last flip."""
        count = number.to(values.dtype)[:, None]
        weight = 1 / count if self.rate is None else torch.full_like(count, self.rate)
        size = count if self.rate is None else (2 - weight) / weight
        change = values - self.mean[columns]
        self.mean[columns] += weight * change
        self.variance[columns] = (1 - weight) * (self.variance[columns] + weight * change.square())
        known = self.variance[columns] / (size - 1).clamp(min=1e-12)
        self.squared_error[columns] = torch.where(size > 1, known, torch.inf)

    def errors(self) -> dict[str, Any]:
        """Return variances and squared errors."""
        return {"variance": self.variance, "squared_error": self.squared_error}

    def load_errors(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`errors` returned."""
        for name in ("variance", "squared_error"):
            getattr(self, name).copy_(state[name])
