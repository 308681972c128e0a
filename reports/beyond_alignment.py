"""The angle to BP's update when activity differences are whitened, and what a linear loss says of it."""

from __future__ import annotations

from typing import Final

import torch
from beyond_left_out import WhitenedDifferences

from noisyhw.observation import Layerwise, Observation
from noisyhw.reproduce.alignment import Bench, angle, drawn_batch, updates
from noisyhw.rules import Rule, get_rule
from noisyhw.streams import stream
from noisyhw.tasks import get_task

ITERATIONS: Final = (1, 10, 100, 1000)
RULES: Final = ("np", "anp", "anp, whitened differences")
HIDDEN: Final = (64, 64, 64)
STD: Final = 1e-3


def measured(seeds: int) -> dict[str, list[list[float]]]:
    """By rule and seed, the angle of all weights' update in degrees, averaged over ever more noise iterations."""
    data = get_task("digits").load()
    found: dict[str, list[list[float]]] = {rule: [] for rule in RULES}
    for seed in range(seeds):
        x, target = drawn_batch(data.train_x, data.train_y, 400, seed)
        bench = Bench(x, target, HIDDEN, 10, seed)
        for rule in RULES:
            found[rule].append(_angles(bench, rule))
    return found


def _angles(bench: Bench, name: str) -> list[float]:
    chip = bench.chip()
    exact = chip.observe(bench.x, bench.target, get_rule("bp")[0])
    assert exact.gradient is not None
    wanted = updates(exact.gradient, exact.inputs)
    rule: Rule = WhitenedDifferences(0.0) if "whitened" in name else get_rule(name)[0]
    if isinstance(rule, WhitenedDifferences):
        rule.covariances = _covariances(bench, rule)
    chip.generator = stream(bench.seed, "alignment", "noise")
    total: Layerwise = tuple(torch.zeros_like(g) for g in exact.gradient)
    angles = []
    for done in range(1, ITERATIONS[-1] + 1):
        signals = rule.signals(chip.observe(bench.x, bench.target, rule, STD))
        for sum_, signal in zip(total, signals, strict=True):
            sum_.add_(signal)
        if done in ITERATIONS:
            angles.append(angle(updates(total, exact.inputs), wanted))
    return angles


def _covariances(bench: Bench, rule: WhitenedDifferences) -> list[torch.Tensor]:
    """Covariances as 100 earlier batches show them."""
    chip = bench.chip()
    seen: list[Observation] = [chip.observe(bench.x, bench.target, rule, STD) for _ in range(100)]
    for one in seen:
        rule.signals(one)
    assert rule.covariances is not None
    return rule.covariances
