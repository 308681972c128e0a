"""How large an injected perturbation should be, when the experiment leaves it to us."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ..chip.chip import Chip
from ..errors import UsageError
from ..observation import Observation
from ..rules import RULES, Knows, Rule
from ..rules.base import Probe, lives_on_noise

QUIET = 3e-4
"""Below this std two passes differ by little more than float32's rounding (paper, Figure 8: sigma^2 < 1e-7)."""
PAPER_STD = 1e-3
"""The paper's injected perturbation: sigma^2 = 1e-6 (Appendix F)."""
DOUBLINGS = 12
"""From 1e-3 to 4, where no activity stays what it was."""
TWICE, SLACK = 2.0, 2**0.25
"""Below a converter's step, twice the perturbation makes the difference only 2^0.5 times as large."""


def choose_std(
    wanted: float | str, rule: Rule, chip: Chip, x: Tensor, target: Tensor, auto_factor: float = 1.0
) -> float:
    """Std of the perturbation to inject.

    A number is taken as it is. ``auto``: a rule that sees activities only lives on the device's own noise, and gets the
    paper's std where two reads of a batch hardly differ; a rule that must know its perturbation injects as much as the
    device's own noise, and where that is below the paper's std, so much that converters pass it on in proportion.

    ``auto_factor`` k multiplies the perturbation that a rule learns from, whichever it is. A rule that lives on the
    device's own noise of std s then gets sqrt(k^2 - 1) s injected beside it, so that both together have std k s.

    Args:
        wanted: a std, or "auto".
        rule: the rule in use.
        chip: is read twice for "auto", and on a quiet device twice more for each size that is tried.
        x: a batch.
        target: its targets.
        auto_factor: k, at least 1; means something beside "auto" only.

    Raises:
        UsageError: nothing is injected and the device has no noise either.
    """
    if not rule.probes(len(chip.graph.places)):
        return 0.0
    if not isinstance(wanted, str) and wanted > 0:
        return wanted
    noise = own_noise(chip, x, target)
    if not isinstance(wanted, str):
        _refuse_silence(rule, noise)
        return wanted
    if lives_on_noise(rule):
        return noise * (auto_factor**2 - 1) ** 0.5 if noise >= QUIET else auto_factor * PAPER_STD
    return auto_factor * (noise if noise >= PAPER_STD else passed_on(chip, x, target))


def check_negatable(rule: Rule, std: float) -> None:
    """Refuse antithetic passes where nothing is injected: nobody can negate a device's own noise.

    Raises:
        UsageError: ``std`` is zero.
    """
    if std == 0:
        raise UsageError(
            f"perturbation.antithetic: {rule.name} lives on this device's own noise, which cannot be negated; leave it "
            "out, or inject a perturbation (perturbation.std)"
        )


def _refuse_silence(rule: Rule, noise: float) -> None:
    if noise == 0:
        raise UsageError(
            f"perturbation.std: {rule.name} learns from noise, and two reads of this device are alike; "
            "give a std above 0, or auto"
        )


def own_noise(chip: Chip, x: Tensor, target: Tensor) -> float:
    """Std of the device's own noise, as two reads of a batch show it: rms difference of pre-activations / sqrt 2."""
    seen = chip.observe(x, target, RULES["anp"]())
    differences = torch.cat([(a[1] - a[0]).flatten() for a in seen.pre_activations])
    return float(differences.square().mean().sqrt()) / 2**0.5


def passed_on(chip: Chip, x: Tensor, target: Tensor) -> float:
    """The paper's std, or the first of twice, four times as much, ... that reaches the outputs in proportion.

    Converters round what they pass on: where no noise blurs their steps, a smaller perturbation of the first layer is
    lost in most samples and far too large in the others.

    Args:
        chip: a quiet one; is read.
        x: a batch.
        target: its targets.
    """
    if len(chip.layers) == 1:
        return PAPER_STD
    before = chip.generator.get_state()
    sizes = [PAPER_STD * 2**doubling for doubling in range(DOUBLINGS + 1)]
    effects = (_difference(chip.observe(x, target, _FirstLayer(), std)) for std in sizes)
    pairs = zip(sizes, itertools.pairwise(effects), strict=False)
    found = next((std for std, (small, large) in pairs if _in_proportion(small, large)), PAPER_STD)
    chip.generator.set_state(before)
    return found


def _in_proportion(small: float, large: float) -> bool:
    """Whether twice the perturbation made a difference twice as large."""
    return small > 0 and TWICE / SLACK <= large / small <= TWICE * SLACK


def _difference(seen: Observation) -> float:
    """Root mean square difference of the outputs of two passes."""
    return float((seen.outputs[1] - seen.outputs[0]).square().mean().sqrt())


class _FirstLayer(Rule):
    """Perturbs the first layer and learns nothing."""

    name, title, knows = "first_layer", "a perturbed first layer", frozenset({Knows.ACTIVITIES})

    def probes(self, layers: int) -> tuple[Probe, ...]:
        return ((True, *[False] * (layers - 1)),)

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        return ()
