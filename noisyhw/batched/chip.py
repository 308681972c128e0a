"""A chip of many replicas: layers that read [replicas * samples] at once, each sample from its own replica's tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..chip.chip import Chip
from ..chip.graph import Chain
from ..chip.layer import Layer
from .layout import Number
from .products import aligned, differentiable_products, outer_products, product, products
from .tile import StackedTile


class StackedLayer(Layer):
    """One layer of all replicas. To the outside, the replicas' samples are one row of samples after another.

    Args:
        layers: every replica's own layer; biases and decorrelation matrices become views of the stack's.
        weight: of all replicas.
        bias: of all replicas, or None.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        weight: Float[Tensor, "replicas outputs inputs"],
        bias: Float[Tensor, "replicas outputs"] | None,
    ) -> None:
        self.replicas, self.inputs = weight.shape[0], weight.shape[2]
        self.slope, self.patches, self.r_tile = layers[0].slope, None, None
        self.count = 1
        self.stacked = StackedTile([layer.tile for layer in layers], weight)
        self.bias = None if bias is None else bias[:, None]
        self.r = None
        if layers[0].r is not None:
            self.r = torch.stack([cast(Tensor, layer.r) for layer in layers])
            for layer, own in zip(layers, self.r, strict=True):
                layer.r = own

    @property
    def units(self) -> int:
        """Pre-activations of one sample."""
        return self.stacked.outputs

    def split(self, x: Float[Tensor, "*passes all_samples units"]) -> Tensor:
        """[*passes, replicas, samples, units]."""
        return x.view(*x.shape[:-2], self.replicas, -1, x.shape[-1])

    def prepare(
        self, x: Float[Tensor, "passes all_samples units"], reads: int | None = None
    ) -> Float[Tensor, "passes all_samples units"]:
        """Decorrelate, where this layer does."""
        return x if self.r is None else products(self.split(x), self.r).view(x.shape)

    def read(
        self, x: Float[Tensor, "passes all_samples inputs"], reads: int | None = None
    ) -> Float[Tensor, "reads all_samples units"]:
        """Pre-activations for a prepared input."""
        y = self.stacked.forward(self.split(x), reads)
        if self.bias is not None:
            y.add_(self.bias)
        return y.view(y.shape[0], x.shape[1], self.units)

    def exact(
        self, x: Float[Tensor, "passes all_samples inputs"]
    ) -> Float[Tensor, "passes all_samples units"]:
        """Noise-free pre-activations with the present weights, for a digital twin."""
        prepared = self.split(x)
        if self.r is not None:
            prepared = differentiable_products(prepared, self.r)
        y = differentiable_products(prepared, self.stacked.seen())
        return (y if self.bias is None else y + self.bias).view(x.shape[0], x.shape[1], self.units)

    def learn_decorrelation_(
        self, x: Float[Tensor, "all_samples inputs"], rate: Number, dead: Bool[Tensor, " replicas"]
    ) -> None:
        """R <- R - rate (C - diag C) R for all replicas that are not ``dead``, in place.

        See :func:`noisyhw.chip.decorrelation.learn_decorrelation_`; here always as (X^T X / B) R.
        """
        assert self.r is not None
        own = self.split(x)
        covariance = outer_products(own, own).mul_(rate).mul_(-1 / own.shape[1])
        covariance.diagonal(dim1=-2, dim2=-1).zero_()
        covariance.masked_fill_(dead[:, None, None], 0.0)
        self.r.add_(product(aligned(covariance), aligned(self.r)))


class StackedChip(Chip):
    """A chip of many replicas; it is observed like any other.

    Args:
        chips: the replicas' own.
        layers: of all replicas.
        stds: of every replica's injected perturbation.
    """

    layers: list[StackedLayer]  # type: ignore[assignment]

    def __init__(self, chips: Sequence[Chip], layers: list[StackedLayer], stds: Sequence[float]) -> None:
        self.layers, self.loss = layers, chips[0].loss
        self.graph = Chain(layers)
        self.generators = [chip.generator for chip in chips]
        self.stds = stds

    def _inject_(self, a: Tensor, probed: list[bool], std: float) -> Tensor:
        passes = [p for p, perturbed in enumerate(probed) if perturbed]
        replicas, split = len(self.stds), a.view(a.shape[0], len(self.stds), -1, a.shape[-1])
        noise = torch.empty((replicas, len(passes), *split.shape[2:]), device=a.device)
        for own, wanted, generator in zip(noise, self.stds, self.generators, strict=True):
            if wanted > 0:
                own.normal_(0.0, wanted, generator=generator)
            else:
                own.zero_()
        for place, p in enumerate(passes):
            split[1 + p].add_(noise[:, place])
        return noise.transpose(0, 1).reshape(len(passes), *a.shape[1:])
