"""The training loop: one step, one epoch, one evaluation. It knows nothing of files."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..cards.experiment import Resolved
from ..chip.build import build_chip
from ..chip.chip import Chip
from ..chip.decorrelation import decorrelation_factors, learn_decorrelation_
from ..chip.layer import Layer
from ..device import Device
from ..network.build import build_traced
from ..network.card import traced_from
from ..observation import about_the_mean
from ..rules import Change, LayerShape, rule_of
from ..rules.sound import check_held, check_memory
from ..streams import stream
from ..tasks import Data, task_of
from ..updates import UpdatePath
from ..updates.base import columns
from ..updates.choice import class_of, make_path, options_of
from .effort import run_notes
from .learned import check_learned, check_network, check_ports, joined, moved, unpacked
from .perturbation import check_negatable, choose_std
from .progress import Tally, Watch
from .size import check_size

EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Row:
    """One finished epoch; losses in the task's own units, accuracies None for a regression.

    ``pulses_per_weight``: pulses and programming events so far, of all crossbars that learn, over the number of
    weights; None if the device takes neither, or does not tell.
    """

    epoch: int
    step: int
    _: KW_ONLY
    train_loss: float
    train_accuracy: float | None
    test_loss: float
    test_accuracy: float | None
    pulses_per_weight: float | None
    seconds: float


class Trainer:
    """Trains one chip on one data set.

    ``epoch`` and ``batch_index`` say where it is: epochs finished, and batches finished of the present one.

    Args:
        experiment: resolved (see :func:`noisyhw.training.resolve.resolve`).
        data: the task's data.
        accelerator: where tensors live and are computed with; the data is moved there.
    """

    def __init__(self, experiment: Resolved, data: Data, accelerator: torch.device | str = "cpu") -> None:
        self.experiment = experiment
        self.device = torch.device(accelerator)
        self.data = data = data.to(self.device)
        self._order, self._order_epoch = torch.empty(0, dtype=torch.int64), -1
        self.rule, self.decorrelated = rule_of(experiment.rule)
        if self.device.type == "cpu" and not experiment.network.has_module:
            check_size(experiment, data)
        self.chip = _build(experiment, data, self.decorrelated, accelerator)
        check_ports(self.rule, Device(experiment.device), len(self.chip.graph.places))
        check_network(self.rule, self.chip)
        self.rule_draws = stream(experiment.seed, "rule", device=self.device)
        self.memory = self.rule.init(_shapes(self.chip), self.rule_draws)
        choice = experiment.update
        rate = choice.learning_rate
        self.paths = [layer.path(lambda tile: make_path(tile, rate, choice)) for layer in self.chip.layers]
        self.decorrelations = [_decorrelation_path(layer, experiment) for layer in self.chip.layers]
        self.biases = _bias_optimizer(self.chip, experiment)
        perturbation = experiment.perturbation
        self.perturbation_std = choose_std(
            perturbation.std, self.rule, self.chip, *self._batch(0, 0), perturbation.auto_factor
        )
        if perturbation.antithetic:
            check_negatable(self.rule, self.perturbation_std)
        self.epoch = self.batch_index = self.step_count = 0
        self.tally = Tally(self.device)
        self.watch = Watch(self.device)
        self.seconds = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person who reads the results must be told."""
        return run_notes(self.experiment)

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.data.train_x) / self.batch_size)

    @property
    def batch_size(self) -> int:
        """Samples in a batch."""
        return min(self.experiment.batch, len(self.data.train_x))

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.experiment.epochs

    def _batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        if self._order_epoch != epoch:
            self._order, self._order_epoch = self.order(epoch).to(self.device), epoch
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.data.train_x[rows], self.data.train_y[rows]

    def order(self, epoch: int) -> Int64[Tensor, " samples"]:
        """Numbers of the training samples, in the order in which that epoch shows them."""
        return torch.randperm(len(self.data.train_x), generator=stream(self.experiment.seed, "order", epoch))

    def step(self) -> Row | None:
        """Train on the next batch; return the epoch's row if that finished it.

        Raises:
            Diverged: the loss or an update is not finite.
        """
        started = time.perf_counter()
        x, target = self._batch(self.epoch, self.batch_index)
        self.step_count += 1
        self.learn(x, target)
        self.batch_index += 1
        row = None
        if self.batch_index == self.batches:
            row = self.finish_epoch(started)
        else:
            self.seconds += time.perf_counter() - started
        return row

    def learn(self, x: Float[Tensor, "samples inputs"], target: Tensor) -> None:
        """Observe one batch and update the chip from it."""
        choice = self.experiment.perturbation
        seen = self.chip.observe(
            x, target, self.rule, self.perturbation_std, choice.passes, antithetic=choice.antithetic
        )
        self.tally.add(seen.losses[0], seen.outputs[0], target)
        about = about_the_mean(seen) if choice.reference == "mean" else seen
        learned, self.memory = unpacked(self.rule, self.rule.learn(about, self.memory))
        check_learned(self.rule, learned, self.chip, seen.losses[0])
        check_held(self.rule, self.rule_draws)
        check_memory(self.rule, self.memory)
        self.watch.check("training loss", seen.losses[0])
        inputs = seen.inputs
        del seen, about  # the activities need not be kept through the updates
        for number, (layer, decorrelation) in enumerate(
            zip(self.chip.layers, self.decorrelations, strict=True)
        ):
            own = [place for place, layer_read in enumerate(self.chip.graph.places) if layer_read == number]
            values = joined([inputs[place] for place in own])
            self._update(number, values, [learned[place] for place in own])
            self._decorrelate(layer, decorrelation, values)
        if self.biases is not None:
            self.biases.step()

    def _update(
        self, number: int, x: Float[Tensor, "vectors inputs"], learned: Sequence[Tensor | Change]
    ) -> None:
        """Carry out what the rule has learnt of one layer, at each place where it was read."""
        layer = self.chip.layers[number]
        for one in learned:
            self.watch.check("update", one.weight if isinstance(one, Change) else one)
            if isinstance(one, Change) and one.bias is not None:
                self.watch.check("update of biases", one.bias)
        changes = [one for one in learned if isinstance(one, Change)]
        if changes:
            layer.change(self.paths[number], changes)
            return
        signals = joined([one for one in learned if isinstance(one, Tensor)])
        layer.update(self.paths[number], *layer.factors(x, signals, len(learned)))

    def _decorrelate(self, layer: Layer, path: UpdatePath | None, x: Float[Tensor, "vectors inputs"]) -> None:
        choice = self.experiment.decorrelation
        if layer.mean is not None:
            layer.mean.add_(x.mean(0), alpha=choice.mean_rate)
        if self.step_count % choice.every:
            return
        x = x[: math.ceil(len(x) * choice.sample_fraction)]
        if layer.r is not None and choice.rate:
            learn_decorrelation_(layer.r, x, choice.rate, choice.products == "bfloat16")
        if path is not None:
            path.apply(*decorrelation_factors(x, columns(path.tile, x.device)))

    def finish_epoch(self, started: float) -> Row:
        """Test, count the epoch, and return its row; ``started``: since when seconds are not counted yet.

        Raises:
            Diverged: the test loss is not finite.
        """
        self.watch.ask()
        self.chip.set_age(self.experiment.device.age)
        self.chip.set_temperature(self.experiment.device.temperature_k)
        last = self.epoch + 1 == self.experiment.epochs
        test = self.evaluate(
            self.data.test_x, self.data.test_y, self.experiment.evaluation.repeats if last else 1
        )
        self.chip.set_age(0)
        self.chip.set_temperature(None)
        train, classes = self.tally, not self.data.train_y.is_floating_point()
        row = Row(
            epoch=self.epoch + 1,
            step=self.step_count,
            train_loss=train.loss / train.samples * self.data.loss_scale,
            train_accuracy=train.hits / train.samples if classes else None,
            test_loss=test.loss / test.samples * self.data.loss_scale,
            test_accuracy=test.hits / test.samples if classes else None,
            pulses_per_weight=self._pulses_per_weight(),
            seconds=self.seconds + time.perf_counter() - started,
        )
        self.epoch, self.batch_index = self.epoch + 1, 0
        self.tally, self.seconds = Tally(self.device), 0.0
        return row

    def _pulses_per_weight(self) -> float | None:
        paths = (*self._own_paths(), *(path for path in self.decorrelations if path is not None))
        counts = [tile.pulses() for path in paths for tile in path.tiles]
        weights = sum(tile.outputs * tile.inputs for path in self._own_paths() for tile in path.tiles[:1])
        total = sum(float(count.sum(dtype=torch.float64)) for count in counts if count is not None)
        known = None not in counts and not math.isnan(total)
        return total / weights if known else None

    def evaluate(self, x: Float[Tensor, "samples inputs"], target: Tensor, repeats: int = 1) -> Tally:
        """Loss and hits of one pass after another, each as noisy as the device is."""
        tally = Tally(self.device)
        for _ in range(repeats):
            self._add_pass(tally, x, target)
        self.watch.ask()
        return tally

    def _add_pass(self, tally: Tally, x: Float[Tensor, "samples inputs"], target: Tensor) -> None:
        for part, wanted in zip(
            torch.split(x, EVALUATION_BATCH), torch.split(target, EVALUATION_BATCH), strict=True
        ):
            outputs = self.chip.predict(part)
            losses = self.chip.loss(outputs[None], wanted)[0]
            self.watch.check("test loss", losses)
            tally.add(losses, outputs, wanted)

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return (
            {
                "epoch": self.epoch,
                "batch_index": self.batch_index,
                "step_count": self.step_count,
                "tally": self.tally.state(),
                "seconds": self.seconds,
                "perturbation_std": self.perturbation_std,
                "chip": self.chip.state(),
                "paths": [path.state() for path in self._own_paths()],
                "biases": self.biases.state_dict() if self.biases else None,
            }
            | self._decorrelation_state()
            | self._rule_state()
        )

    def _rule_state(self) -> dict[str, Any]:
        if not self.rule.has_memory:
            return {}
        return {"rule": self.memory, "rule_draws": self.rule_draws.get_state()}

    def _own_paths(self) -> list[UpdatePath]:
        """The update paths of the layers that have a crossbar."""
        return [path for path in self.paths if path is not None]

    def _decorrelation_state(self) -> dict[str, Any]:
        if all(path is None for path in self.decorrelations):
            return {}
        return {"decorrelations": [path and path.state() for path in self.decorrelations]}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.epoch, self.batch_index = state["epoch"], state["batch_index"]
        self.step_count, self.seconds = state["step_count"], state["seconds"]
        self.tally.load(state["tally"])
        self.perturbation_std = state["perturbation_std"]
        self.chip.load(state["chip"])
        for path, saved in zip(self._own_paths(), state["paths"], strict=True):
            path.load(saved)
        if self.rule.has_memory:
            self.memory = moved(state["rule"], self.device)
            self.rule_draws.set_state(state["rule_draws"].cpu())
        for decorrelation, saved in zip(self.decorrelations, state.get("decorrelations", ()), strict=False):
            if decorrelation is not None:
                decorrelation.load(saved)
        if self.biases is not None:
            self.biases.load_state_dict(state["biases"])


def _build(experiment: Resolved, data: Data, decorrelated: bool, accelerator: torch.device | str) -> Chip:
    device, network = Device(experiment.device), experiment.network
    image = task_of(experiment.task).image
    if network.has_module:
        return build_traced(
            device,
            traced_from(network, data, data.image or image, experiment.seed),
            loss=experiment.loss,
            decorrelated=decorrelated,
            seed=experiment.seed,
            accelerator=accelerator,
            weight_scaling=network.weight_scaling,
            decorrelation_on=experiment.decorrelation.on,
            centred=experiment.decorrelation.mean_rate > 0,
        )
    return build_chip(
        device,
        (data.inputs, *(network.hidden or ()), data.outputs),
        network,
        loss=experiment.loss,
        decorrelated=decorrelated,
        seed=experiment.seed,
        accelerator=accelerator,
        image=image,
        decorrelation_on=experiment.decorrelation.on,
        centred=experiment.decorrelation.mean_rate > 0,
    )


def _shapes(chip: Chip) -> tuple[LayerShape, ...]:
    """What a rule may know of the layer at each place."""
    return tuple(chip.layers[number].shape for number in chip.graph.places)


def _decorrelation_path(layer: Layer, experiment: Resolved) -> UpdatePath | None:
    """R's own update path, where R is on a tile and learns."""
    rate, choice = experiment.decorrelation.rate, experiment.update
    if layer.r_tile is None or not rate:
        return None
    kind = class_of(choice)
    return kind.for_decorrelation(layer.r_tile, rate, options_of(choice, kind))


def _bias_optimizer(chip: Chip, experiment: Resolved) -> torch.optim.Optimizer | None:
    """Biases are digital; the class of the weights' path says what moves them."""
    biases = [number for layer in chip.layers for number in layer.digital]
    choice = experiment.update
    if not biases:
        return None
    kind = class_of(choice)
    return kind.bias_optimizer(biases, choice.learning_rate, options_of(choice, kind))
