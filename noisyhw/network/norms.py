"""Normalisation, in digital; its factors and offsets are learnt as a layer's biases are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .sites import Run, Scale, Site, site, taken


@site(nn.LayerNorm, nn.GroupNorm)
class Normed(Site):
    """Normalisation within a sample."""

    module: Any

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name)
        if module.weight is not None:
            bias = taken(module.bias)
            self.arrays = (Scale(taken(module.weight).flatten(), None if bias is None else bias.flatten()),)

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Normalise, then scale (see :class:`Site`)."""
        x = values[0]
        if isinstance(self.module, nn.GroupNorm):
            return _by_channel(
                self, run, nn.functional.group_norm(x, self.module.num_groups, eps=self.module.eps), shared
            )
        y = nn.functional.layer_norm(x, self.module.normalized_shape, eps=self.module.eps)
        if not self.arrays:
            return y
        return run.read(0, y.reshape(len(y), -1, self.arrays[0].weight.numel()), shared).reshape(y.shape)


@site(nn.BatchNorm1d, nn.BatchNorm2d)
class BatchNormed(Site):
    """Normalisation by the statistics of a batch, each pass by its own; running ones are the baseline pass's.

    A module that is in evaluation while the network is in training keeps to its running statistics.
    """

    module: Any

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(module, name)
        if not module.track_running_stats:
            self.refuse("track_running_stats is off", "a prediction would depend on the other samples")
        self.mean, self.var = taken(module.running_mean), taken(module.running_var)
        self.seen = taken(module.num_batches_tracked)
        if module.affine:
            self.arrays = (Scale(taken(module.weight), taken(module.bias)),)

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Normalise, then scale (see :class:`Site`)."""
        x = values[0]
        flat = x.reshape(len(x), x.shape[1], -1)
        passes = flat.reshape(run.passes, -1, *flat.shape[1:])
        if run.learning and self.module.training:
            var, mean = torch.var_mean(passes, dim=(1, 3), correction=0, keepdim=True)
            number = passes.shape[1] * passes.shape[3]
            unbiased = var[0].flatten() * (number / max(1, number - 1))
            run.note({"mean": mean[0].flatten().detach(), "var": unbiased.detach()})
        else:
            mean, var = (one.to(x.device)[None, None, :, None] for one in (self.mean, self.var))
        y = (passes - mean) * (var + self.module.eps).rsqrt()
        return _by_channel(self, run, y.reshape(x.shape), shared)

    def take_up(self, noted: Mapping[str, Tensor]) -> None:
        """Move the running statistics (see :class:`Site`)."""
        self.seen = self.seen + 1
        share = self.module.momentum
        share = 1 / float(self.seen) if share is None else share
        self.mean = self.mean.to(noted["mean"].device).lerp(noted["mean"], share)
        self.var = self.var.to(noted["var"].device).lerp(noted["var"], share)

    def state(self) -> dict[str, Tensor]:
        """Return the running statistics (see :class:`Site`)."""
        return {"mean": self.mean, "var": self.var, "seen": self.seen}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up a state (see :class:`Site`)."""
        self.mean, self.var, self.seen = state["mean"], state["var"], state["seen"]


def _by_channel(own: Site, run: Run, y: Tensor, shared: bool) -> Tensor:
    """Scale the channels of images, which are the second dimension."""
    if not own.arrays:
        return y
    rows = y.reshape(len(y), y.shape[1], -1).transpose(1, 2)
    return run.read(0, rows, shared).transpose(1, 2).reshape(y.shape)


@site(nn.Dropout, nn.Dropout1d, nn.Dropout2d)
class Dropped(Site):
    """Dropout: one mask for all passes of a batch, so that they differ by noise alone."""

    module: Any

    def call(self, run: Run, *values: Any, shared: bool) -> Any:
        """Drop units, or whole channels (see :class:`Site`)."""
        x = values[0]
        if not run.learning or not self.module.training or self.module.p == 0:
            return x
        if isinstance(self.module, nn.Dropout1d) and x.ndim == 2:
            self.refuse("gets [samples, units], of which PyTorch drops whole samples", "use nn.Dropout")
        shape = [len(x) // run.passes, *x.shape[1:]]
        if not isinstance(self.module, nn.Dropout):
            shape[2:] = [1] * len(shape[2:])
        mask = run.drawn(shape, 1 - self.module.p)
        return x * mask.repeat(run.passes, *[1] * (mask.ndim - 1))
