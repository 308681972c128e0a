"""A learning rule of one's own against DANP, on digits, three seeds: python examples/my_rule.py [--epochs 60].

ClippedAnp is activity-based node perturbation that does not let one unlucky sample decide: loss differences beyond a
few of their usual sizes are clipped. It has an option and a memory, and sees what DANP sees: two noisy passes.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import torch
from pydantic import Field

import noisyhw
from noisyhw.rules import Knows, Options


class Clipping(Options):
    at: float = Field(2.0, gt=0)  # the largest loss difference, in units of their running size


class ClippedAnp(noisyhw.Rule):
    name, title, knows = "clipped-anp", "node perturbation with clipped losses", Knows.ACTIVITIES
    options_model, decorrelated = Clipping, True

    def probes(self, layers):
        return ((True,) * layers,)  # one noisy pass, in which every layer is perturbed

    def init(self, layers, generator):
        return {"size": torch.zeros((), device=generator.device)}

    def learn(self, seen, state):
        rise = seen.losses[1] - seen.losses[0]  # [samples]
        size = torch.where(state["size"] > 0, 0.9 * state["size"] + 0.1 * rise.std(), rise.std())
        rise = rise.clamp(-self.options.at * size, self.options.at * size)
        changes = [a[1] - a[0] for a in seen.pre_activations]  # [samples, units] of every layer
        total = sum(change.shape[1] for change in changes)
        length = sum(change.square().sum(1) for change in changes)
        signals = tuple((total * rise / length)[:, None] * change for change in changes)
        return signals, {"size": size}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", default="runs/examples/my_rule")
    given = parser.parse_args()
    figure, axes = plt.subplots(figsize=(5, 3.2))
    for name, rule in {"danp": "danp", "clipped at 2": ClippedAnp(at=2.0)}.items():
        asked = {"device": "rram", "rule": rule, "epochs": given.epochs}
        runs = [noisyhw.train(**asked, seed=seed, out=f"{given.out}/{name}-{seed}") for seed in range(3)]
        curves = np.array([run.metrics["test_accuracy"] for run in runs])
        (line,) = axes.plot(epochs := runs[0].metrics["epoch"], curves.mean(0), label=f"{name}, n = 3")
        axes.fill_between(epochs, curves.min(0), curves.max(0), alpha=0.3, color=line.get_color())
        last = curves[:, -1]
        print(f"{name}: {last.mean():.3f}, from {last.min():.3f} to {last.max():.3f}")
    axes.set(xlabel="epoch", ylabel="test accuracy (mean, range)", title="digits on rram")
    axes.legend()
    figure.savefig(f"{given.out}/my_rule.png", dpi=150, bbox_inches="tight")
