"""What reports/beyond.py tried and noisyhw does not offer: small changes to a trainer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from noisyhw.chip.layer import Layer
from noisyhw.observation import Observation
from noisyhw.rules.activity import ActivityNodePerturbation
from noisyhw.rules.base import mean_of_passes, rises
from noisyhw.training.trainer import Trainer
from noisyhw.updates import UpdatePath

MEMORY = 0.99
"""Weight of the past in the running covariance of activity differences."""


def whitening_inputs(kappa: float) -> Callable[[Trainer], None]:
    """R <- R - 2 rate ((1 - kappa) offdiag(C) + kappa (diag(C) - 1)) R, C = mean x* x*^T: variances go to 1.

    At kappa = 1/2 what R sees of correlations is what it sees in plain decorrelation. Source: Dalm et al.,
    arXiv:2405.02385 (2024), but for the factor 2.
    """

    def change(trainer: Trainer) -> None:
        rate = trainer.experiment.decorrelation.rate

        def learn(layer: Layer, path: UpdatePath | None, x: Tensor) -> None:
            assert layer.r is not None
            assert rate
            wrong = (x.t() @ x).div_(len(x))
            variance = wrong.diagonal().clone()
            wrong.mul_(2 * (1 - kappa)).diagonal().copy_(2 * kappa * (variance - 1))
            layer.r.sub_(wrong @ layer.r, alpha=rate)

        trainer._decorrelate = learn  # type: ignore[method-assign]

    return change


class WhitenedDifferences(ActivityNodePerturbation):
    """d_l = dL C_l^-1 da_l with C_l the running covariance of layer l's activity differences: no bias, more noise.

    C_l is shrunk towards its mean variance times the identity.
    """

    def __init__(self, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        self.covariances: list[Tensor] | None = None

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Least squares."""
        differences = [pre[1:] - pre[:1] for pre in seen.pre_activations]
        now = [covariance(difference.flatten(0, 1)) for difference in differences]
        past = self.covariances or now
        self.covariances = [old.lerp(new, 1 - MEMORY) for old, new in zip(past, now, strict=True)]
        rise = rises(seen)[:, :, None]
        return tuple(
            mean_of_passes(
                torch.linalg.solve(shrunk(c, self.shrinkage), d.flatten(0, 1).t()).t().view_as(d) * rise
            )
            for d, c in zip(differences, self.covariances, strict=True)
        )


def covariance(rows: Tensor) -> Tensor:
    """Second moments; differences have no mean."""
    return (rows.t() @ rows).div_(len(rows))


def shrunk(c: Tensor, share: float) -> Tensor:
    """A share of it replaced by its mean variance times the identity."""
    return torch.lerp(c, torch.eye(len(c)) * c.diagonal().mean(), share)


def whitening_differences(shrinkage: float) -> Callable[[Trainer], None]:
    """Learn by :class:`WhitenedDifferences`."""

    def change(trainer: Trainer) -> None:
        trainer.rule = WhitenedDifferences(shrinkage)

    return change


def counting_pulses(trainer: Trainer) -> Callable[[], float]:
    """Count the pulses that the cells get from now on; call it for the number a cell."""
    total, cells = torch.zeros((), dtype=torch.float64), 0
    for layer in trainer.chip.layers:
        cells += layer.tile.inputs * layer.tile.outputs
        send = layer.tile.pulse

        def pulse(counts: Tensor, send: Callable[[Tensor], None] = send) -> None:
            total.add_(counts.abs().sum())
            send(counts)

        layer.tile.pulse = pulse  # type: ignore[method-assign]
    return lambda: float(total) / cells
