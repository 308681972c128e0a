"""Algorithm 1 of the paper (arXiv 2310.00965, Appendix E), word for word, as a yardstick.

Every layer is read twice, x* = R x is formed in both passes of every layer, and the update of R multiplies the
inputs' covariance, less its diagonal, by R. Nothing is shared between the passes. The paper's loop over samples is a
batch here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from noisyhw.streams import normal_, stream


class Literal:
    """DANP with Adam on a fully connected net; the same weights and perturbations as our trainer's with this seed.

    Args:
        weights: first weights, a layer each.
        rate: learning rate of weights and biases.
        alpha: learning rate of R.
        std: of the perturbation.
        seed: of the perturbation.
    """

    def __init__(self, weights: list[Tensor], rate: float, alpha: float, std: float, seed: int) -> None:
        self.weights = [w.clone() for w in weights]
        self.biases = [torch.zeros(len(w)) for w in weights]
        self.decorrelation = [torch.eye(w.shape[1]) for w in weights]
        self.alpha, self.std = alpha, std
        self.generator = stream(seed, "perturbation")
        parameters = [*self.weights, *self.biases]
        self.optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-7, fused=True)

    def forward(self, x: Tensor, noisy: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Decorrelated inputs and pre-activations of every layer."""
        inputs, activations = [], []
        for number, (w, b, r) in enumerate(zip(self.weights, self.biases, self.decorrelation, strict=True)):
            decorrelated = x @ r.t()
            a = decorrelated @ w.t() + b
            if noisy:
                a = a + normal_(torch.empty(1, *a.shape), self.generator)[0] * self.std
            inputs.append(decorrelated)
            activations.append(a)
            x = F.leaky_relu(a, 0.2) if number < len(self.weights) - 1 else a
        return inputs, activations

    def step(self, x: Tensor, target: Tensor) -> None:
        """One update from one batch."""
        inputs, clean = self.forward(x, noisy=False)
        _, perturbed = self.forward(x, noisy=True)
        losses = [F.cross_entropy(a[-1], target, reduction="none") for a in (clean, perturbed)]
        differences = [b - a for a, b in zip(clean, perturbed, strict=True)]
        units = sum(d.shape[1] for d in differences)
        square = torch.stack([d.square().sum(1) for d in differences]).sum(0)
        size = units * (losses[1] - losses[0]) / square
        samples = len(x)
        for w, b, d, decorrelated in zip(self.weights, self.biases, differences, inputs, strict=True):
            signal = size[:, None] * d
            w.grad, b.grad = signal.t() @ decorrelated / samples, signal.mean(0)
        for number, decorrelated in enumerate(inputs):
            r = self.decorrelation[number]
            covariance = decorrelated.t() @ decorrelated / samples
            self.decorrelation[number] = r - self.alpha * (covariance - torch.diag(covariance.diagonal())) @ r
        self.optimizer.step()
