"""How large an injected perturbation should be, when the experiment leaves it to us."""

from __future__ import annotations

import torch
from torch import Tensor

from ..chip.chip import Chip
from ..errors import UsageError
from ..rules import RULES, Knows, Rule

QUIET = 3e-4
"""Below this std two passes differ by little more than float32's rounding (paper, Figure 8: sigma^2 < 1e-7)."""
PAPER_STD = 1e-3
"""The paper's injected perturbation: sigma^2 = 1e-6 (Appendix F)."""


def choose_std(wanted: float | str, rule: Rule, chip: Chip, x: Tensor, target: Tensor) -> float:
    """Std of the perturbation to inject.

    A number is taken as it is. ``auto``: a rule that sees activities only lives on the device's own noise, and gets the
    paper's std where two reads of a batch hardly differ; a rule that must know its perturbation injects as much as the
    device's own noise, and at least the paper's std.

    Args:
        wanted: a std, or "auto".
        rule: the rule in use.
        chip: is read twice for "auto".
        x: a batch.
        target: its targets.

    Raises:
        UsageError: nothing is injected and the device has no noise either.
    """
    if rule.knows is Knows.GRADIENT:
        return 0.0
    if not isinstance(wanted, str) and wanted > 0:
        return wanted
    noise = own_noise(chip, x, target)
    if not isinstance(wanted, str):
        _refuse_silence(rule, noise)
        return wanted
    if rule.knows is Knows.ACTIVITIES:
        return 0.0 if noise >= QUIET else PAPER_STD
    return max(noise, PAPER_STD)


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
