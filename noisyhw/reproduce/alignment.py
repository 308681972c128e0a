"""The angle between a rule's update, averaged over noise, and backpropagation's, in a network that does not learn.

Source: paper, Figures 2, 7 and 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..cards.experiment import Network
from ..chip.build import build_chip
from ..chip.chip import Chip
from ..device import Device
from ..observation import Layerwise, Observation
from ..rules import get_rule
from ..streams import stream
from .precision import read_with_tf32

Precision = Literal["float32", "tf32"]
RULES: Final = ("inp", "anp", "np")
ALL: Final = "all"
"""The name of all weights together, beside those of the layers."""
STACK: Final = 5
"""Noise iterations that are computed at once."""


@dataclass(frozen=True)
class Bench:
    """A network with random weights and one batch.

    Attributes:
        x, target: the batch.
        hidden: hidden layer widths.
        classes: outputs.
        seed: of weights and noise.
        precision: of matrix products: float32, or operands rounded to TF32.
    """

    x: Float[Tensor, "samples inputs"]
    target: Tensor
    hidden: tuple[int, ...]
    classes: int
    seed: int
    precision: Precision = "float32"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers' names, and ALL."""
        return (*(f"hidden {place + 1}" for place in range(len(self.hidden))), "output", ALL)

    def chip(self) -> Chip:
        """The same network at every call."""
        sizes = (self.x.shape[1], *self.hidden, self.classes)
        device = Device("ideal")
        chip = build_chip(device, sizes, Network(), loss="cross_entropy", seed=self.seed)
        if self.precision == "tf32":
            read_with_tf32(chip, device, self.seed)
        return chip


@dataclass(frozen=True)
class Angle:
    """One measurement, in degrees; ``expected`` is the linear theory's, None for a rule that has none."""

    rule: str
    seed: int
    variance: float
    _: KW_ONLY
    iterations: int
    noisy_passes: int
    layer: str
    degrees: float
    expected: float | None


def drawn_batch(
    x: Float[Tensor, "train inputs"], target: Tensor, samples: int, seed: int
) -> tuple[Float[Tensor, "samples inputs"], Tensor]:
    """Some of the training samples."""
    rows = torch.randperm(len(x), generator=stream(seed, "alignment", "batch"))[:samples]
    return x[rows], target[rows]


def measure(bench: Bench, rule_name: str, variance: float, iterations: Sequence[int]) -> Iterator[Angle]:
    """The angles of one rule's update, averaged over ever more noise iterations.

    All variances of a seed draw the same noise but for its scale, and np draws the same as anp.

    Args:
        bench: network and batch.
        rule_name: np, anp or inp.
        variance: of the injected perturbation, sigma^2.
        iterations: rising numbers of noise iterations at which to measure.
    """
    chip = bench.chip()
    exact = chip.observe(bench.x, bench.target, get_rule("bp")[0])
    assert exact.gradient is not None
    wanted = updates(exact.gradient, exact.inputs)
    rule = get_rule(rule_name)[0]
    chip.generator = stream(bench.seed, "alignment", "noise")
    total = [torch.zeros_like(g) for g in exact.gradient]
    done, passes = 0, len(rule.probes(len(chip.layers)))
    for count in iterations:
        while done < count:
            repeats = min(STACK, count - done)
            seen = chip.observe(bench.x, bench.target, rule, math.sqrt(variance), repeats)
            for sum_, signal in zip(total, rule.signals(seen), strict=True):
                sum_.add_(signal, alpha=repeats)
            done += repeats
        found = updates(tuple(total), exact.inputs)
        expected = expected_angles(exact, rule_name, count)
        for place, name in enumerate(bench.layers):
            degrees = angle(*((found, wanted) if name == ALL else ([found[place]], [wanted[place]])))
            theory = None if expected is None else expected[place]
            yield Angle(
                rule_name,
                bench.seed,
                variance,
                iterations=count,
                noisy_passes=count * passes,
                layer=name,
                degrees=degrees,
                expected=theory,
            )


def updates(signals: Layerwise, inputs: Layerwise) -> list[Tensor]:
    """mean_b d_b x_b^T of every layer."""
    return [(d.t() @ x).div_(len(x)) for d, x in zip(signals, inputs, strict=True)]


def angle(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The angle between two lists of matrices taken as one vector each, in degrees."""
    dot = sum(float((a.double() * b.double()).sum()) for a, b in zip(found, wanted, strict=True))
    lengths = math.sqrt(_squares(found) * _squares(wanted))
    return math.degrees(math.acos(max(-1.0, min(1.0, dot / lengths)))) if lengths > 0 else 90.0


def _squares(matrices: Sequence[Tensor]) -> float:
    return sum(float(matrix.double().square().sum()) for matrix in matrices)


def expected_angles(exact: Observation, rule_name: str, iterations: int) -> list[float] | None:
    """What a linear loss gives for an unbiased rule: cos^2 = |G|^2 / (|G|^2 + V / M), by layer and for all.

    G is BP's update and M the number of iterations. V, the summed variance of one iteration's update, is the mean over
    the batch, divided by the batch size, of |x|^2 times, with g the gradient and g_l its part in a layer of N_l units:
    inp (N_l - 1) |g_l|^2; np N_l |g|^2 + |g_l|^2. ANP is biased by the correlations of activity differences: None.
    """
    gradient = exact.gradient
    if rule_name not in ("inp", "np") or gradient is None:
        return None
    squares = [g.double().square().sum(1) for g in gradient]
    whole = torch.stack(squares).sum(0)
    signal, noise = [], []
    for g, own, x in zip(gradient, squares, exact.inputs, strict=True):
        units = g.shape[1]
        spread = (units - 1) * own if rule_name == "inp" else units * whole + own
        noise.append(float((spread * x.double().square().sum(1)).sum()) / len(x) ** 2)
        signal.append(_squares(updates((g,), (x,))))
    pairs = [*zip(signal, noise, strict=True), (sum(signal), sum(noise))]
    return [math.degrees(math.acos(math.sqrt(g2 / (g2 + v / iterations)))) for g2, v in pairs]
