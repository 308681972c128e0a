"""A chip: layers, wired to a network. It can be observed; what it holds cannot."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UsageError
from ..observation import Injection, Observation
from ..rules.base import Knows, Probe, Rule, needs_injection
from ..streams import normal_, stream
from .graph import Chain, Graph
from .layer import Layer
from .losses import Loss
from .twin import gradients, output_error


class Chip:
    """A network on tiles.

    Args:
        layers: in the order in which they are first read.
        loss: per-sample loss of outputs and targets.
        seed: the run's seed (for the learner's own perturbations).
        device: where tensors live.
        graph: how the layers are wired; None: one after another.
    """

    def __init__(
        self, layers: list[Layer], loss: Loss, seed: int, device: torch.device, graph: Graph | None = None
    ) -> None:
        self.layers = layers
        self.loss = loss
        self.graph = graph or Chain(layers)
        self.generator = stream(seed, "perturbation", device=device)

    def predict(self, x: Float[Tensor, "samples inputs"]) -> Float[Tensor, "samples outputs"]:
        """One pass, as noisy as the device is."""
        return self.graph.run(x[None], self._read)[0]

    def _read(self, place: int, values: Tensor) -> Tensor:
        layer = self.layers[self.graph.places[place]]
        return layer.read(layer.prepare(values))

    def observe(
        self,
        x: Float[Tensor, "samples inputs"],
        target: Tensor,
        rule: Rule,
        std: float = 0.0,
        passes: int = 1,
        *,
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
        if needs_injection(rule) and std <= 0:
            raise UsageError(f"std: {rule.name} learns from its own perturbation; give one above 0")
        places = len(self.graph.places)
        probes = rule.probes(places) * passes
        if antithetic and len(probes) != 1:
            raise UsageError(f"antithetic: takes one noisy pass, and {rule.name} was to make {len(probes)}")
        watch = _Passes(self, rule, passes, std, antithetic)
        self.graph.next_batch()
        outputs = self.graph.run(x[None], watch.read, 1 + len(probes), learning=True)
        self.graph.take_up()
        baseline = [a[0] for a in watch.pre_activations]
        knows_outputs = Knows.OUTPUT_ERROR in rule.knows
        return Observation(
            pre_activations=tuple(watch.pre_activations),
            losses=self.loss(outputs, target),
            inputs=tuple(watch.inputs),
            outputs=outputs,
            injected=watch.injection() if needs_injection(rule) else None,
            gradient=gradients(self, x, target) if Knows.GRADIENT in rule.knows else None,
            output_error=output_error(self.loss, outputs[0], target) if knows_outputs else None,
            slopes=tuple(map(self.graph.slope, range(places), baseline)) if knows_outputs else None,
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
        graph = self.graph.state()
        return {
            "layers": [layer.state() for layer in self.layers],
            "generator": self.generator.get_state(),
        } | ({} if graph is None else {"graph": graph})

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        for layer, saved in zip(self.layers, state["layers"], strict=True):
            layer.load(saved)
        self.generator.set_state(state["generator"].cpu())
        self.graph.load(state.get("graph"))


class _Passes:
    """Reads the layers of a batch's passes, perturbs them, and keeps what a rule may see."""

    def __init__(self, chip: Chip, rule: Rule, passes: int, std: float, antithetic: bool) -> None:
        places = len(chip.graph.places)
        self.chip, self.std, self.antithetic = chip, std, antithetic
        self.probes: tuple[Probe, ...] = rule.probes(places) * passes
        self.weight_probes: tuple[Probe, ...] = rule.weight_probes(places) * passes
        self.known = needs_injection(rule)
        self.pre_activations: list[Tensor] = []
        self.inputs: list[Tensor] = []
        self.noise: list[Tensor] = []
        self.weights: dict[int, Tensor] = {}

    def read(self, place: int, values: Tensor) -> Tensor:
        """Read a layer once a pass, with what is injected there."""
        layer = self.chip.layers[self.chip.graph.places[place]]
        reads = 1 + len(self.probes) if len(values) == 1 else None  # all passes have the same values
        prepared = layer.prepare(values, reads)
        self.inputs.append(
            prepared[0].clone() if len(prepared) > 1 else prepared[0]
        )  # the others are not kept
        a = layer.read(prepared, reads if layer.r_tile is None else None)
        if any(probe[place] for probe in self.weight_probes):
            self._perturb_weights_(a, prepared, place, layer)
        if self.std > 0 and self.probes:
            noise = self.chip._inject_(a, [probe[place] for probe in self.probes], self.std)
            if self.antithetic:
                a[0].sub_(noise[0])
                noise *= 2
            self.noise += [noise] if self.known else []
        self.pre_activations.append(a)
        return a

    def _perturb_weights_(self, a: Tensor, prepared: Tensor, place: int, layer: Layer) -> None:
        """Add what a perturbation of the weights adds to the read-outs; it is one for all samples of a pass."""
        passes = [p for p, probe in enumerate(self.weight_probes) if probe[place]]
        number = self.chip.graph.places[place]
        if number not in self.weights:
            noise = torch.empty((len(passes), layer.shape.outputs, layer.shape.inputs), device=a.device)
            self.weights[number] = normal_(noise, self.chip.generator).mul_(self.std)
        for noise, p in zip(self.weights[number], passes, strict=True):
            vectors = prepared[1 + p if len(prepared) > 1 else 0]
            a[1 + p].add_(layer.perturbed(vectors, noise).view_as(a[1 + p]))

    def injection(self) -> Injection:
        """What was injected, as the rule may know it.

        A layer that is read at several places has one perturbation of its weights, and changes are summed over places:
        it is told at the first, and is zero at the others.
        """
        std = 2 * self.std if self.antithetic else self.std
        places = self.chip.graph.places
        none = self.pre_activations[0].new_zeros(0, 0, 0)
        told = [self.weights.get(number, none) for number in places] if self.weights else []
        weights = tuple(
            torch.zeros_like(one) if number in places[:place] else one
            for place, (number, one) in enumerate(zip(places, told, strict=False))
        )
        weight_passes = _probed(self.weight_probes) if self.weights else ()
        return Injection(std, tuple(self.noise), _probed(self.probes), weights, weight_passes)


def _probed(probes: tuple[tuple[bool, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Per layer, the passes that perturb it."""
    return tuple(tuple(p for p, on in enumerate(column) if on) for column in zip(*probes, strict=True))
