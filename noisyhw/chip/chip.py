"""A chip: layers in a row. It can be observed; what it holds cannot."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError
from ..observation import Injection, Observation
from ..rules.base import Knows, Rule
from ..streams import normal_, stream
from .layer import Layer
from .losses import Loss
from .twin import gradients


class Chip:
    """A fully connected network on tiles.

    Args:
        layers: from input to output.
        loss: per-sample loss of outputs and targets.
        seed: the run's seed (for the learner's own perturbations).
    """

    def __init__(self, layers: list[Layer], loss: Loss, seed: int, device: torch.device) -> None:
        self.layers = layers
        self.loss = loss
        self.generator = stream(seed, "perturbation", device=device)

    def predict(self, x: Float[Tensor, "samples inputs"]) -> Float[Tensor, "samples outputs"]:
        """One pass, as noisy as the device is."""
        values = x[None]
        for layer in self.layers:
            values = layer.activate(layer.read(layer.prepare(values)))
        return values[0]

    def observe(
        self,
        x: Float[Tensor, "samples inputs"],
        target: Tensor,
        rule: Rule,
        std: float = 0.0,
        passes: int = 1,
        antithetic: bool = False,
    ) -> Observation:
        """Show the chip a batch, once as the baseline and then as often as the rule wants.

        Every pass carries the device's own noise. On top of it, noisy passes get a Gaussian perturbation of their
        pre-activations where the rule's probes say so; only a rule that declares it learns what that was.

        Args:
            x: the batch.
            target: classes [samples] or values [samples, outputs].
            rule: says which layers are perturbed in which pass, and what it must know.
            std: of the injected perturbation; 0 for none.
            passes: how often the rule's probes are repeated.
            antithetic: whether the first pass gets the perturbation e of the one noisy pass negated, and not none; the
                rule then knows of the difference, 2 e, and even powers of e are in no loss difference.

        Raises:
            UsageError: ``rule`` is none, or must know a perturbation and none is injected; or passes are to be
                antithetic, and there is not one noisy pass.
        """
        if not isinstance(rule, Rule):
            raise UsageError(f"rule: give a rule, e.g. get_rule('danp')[0], got {rule!r}")
        if rule.knows is Knows.INJECTED and std <= 0:
            raise UsageError(f"std: {rule.name} learns from its own perturbation; give one above 0")
        probes = rule.probes(len(self.layers)) * passes
        if antithetic and len(probes) != 1:
            raise UsageError(f"antithetic: takes one noisy pass, and {rule.name} was to make {len(probes)}")
        known_std = 2 * std if antithetic else std
        known = rule.knows is Knows.INJECTED and std > 0
        injected: list[Tensor] = []
        pre_activations, inputs = [], []
        values = x[None]
        for index, layer in enumerate(self.layers):
            reads = 1 + len(probes) if index == 0 else None
            prepared = layer.prepare(values, reads)
            inputs.append(
                prepared[0].clone() if len(prepared) > 1 else prepared[0]
            )  # the others are not kept
            a = layer.read(prepared, reads if layer.r_tile is None else None)
            if std > 0 and probes:
                noise = self._inject_(a, [probe[index] for probe in probes], std)
                if antithetic:
                    a[0].sub_(noise[0])
                    noise *= 2
                injected += [noise] if known else []
            pre_activations.append(a)
            values = layer.activate(a)
        return Observation(
            pre_activations=tuple(pre_activations),
            losses=self.loss(values, target),
            inputs=tuple(inputs),
            injected=Injection(known_std, tuple(injected), _probed(probes)) if known else None,
            gradient=gradients(self.layers, self.loss, x, target) if rule.knows is Knows.GRADIENT else None,
        )

    def _inject_(self, a: Tensor, probed: list[bool], std: float) -> Tensor:
        passes = [p for p, perturbed in enumerate(probed) if perturbed]
        noise = torch.empty((len(passes), *a.shape[1:]), device=a.device)
        normal_(noise, self.generator).mul_(std)
        for place, p in enumerate(passes):
            a[1 + p].add_(noise[place])
        return noise

    def set_age(self, age: float | int | str) -> None:
        """Let every tile be that long after its last write, in seconds or as a text such as "1d"; 0: freshly written.

        Raises:
            UsageError: it is no age, or the device does not age.
        """
        for layer in self.layers:
            for tile in layer.tiles:
                tile.set_age(age)

    def set_temperature(self, kelvin: float | None) -> None:
        """Bring every tile to a temperature, in K; None: to the card's reference.

        Raises:
            UsageError: it is no temperature, or nothing of the device depends on it.
        """
        for layer in self.layers:
            for tile in layer.tiles:
                tile.set_temperature(kelvin)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"layers": [layer.state() for layer in self.layers], "generator": self.generator.get_state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        for layer, saved in zip(self.layers, state["layers"], strict=True):
            layer.load(saved)
        self.generator.set_state(state["generator"].cpu())


def _probed(probes: tuple[tuple[bool, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Per layer, the passes that perturb it."""
    return tuple(tuple(p for p, on in enumerate(column) if on) for column in zip(*probes, strict=True))
