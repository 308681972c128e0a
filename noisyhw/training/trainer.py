"""The training loop: one step, one epoch, one evaluation. It knows nothing of files."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..cards.experiment import Experiment
from ..chip.build import build_chip
from ..chip.chip import Chip
from ..chip.decorrelation import decorrelation_factors, learn_decorrelation_
from ..chip.layer import Layer
from ..chip.losses import LOSSES
from ..devices.device import Device
from ..observation import about_the_mean
from ..rules import get_rule
from ..streams import stream
from ..tasks import Data, get_task
from ..updates import PATHS, UpdatePath
from ..updates.base import columns
from .effort import run_notes
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

    def __init__(self, experiment: Experiment, data: Data, accelerator: torch.device | str = "cpu") -> None:
        self.experiment = experiment
        self.device = torch.device(accelerator)
        self.data = data = data.to(self.device)
        self._order, self._order_epoch = torch.empty(0, dtype=torch.int64), -1
        self.rule, self.decorrelated = get_rule(experiment.rule.name)
        if self.device.type == "cpu":
            check_size(experiment, data)
        self.chip = _build(experiment, data, self.decorrelated, accelerator)
        choice = experiment.update
        assert choice.learning_rate is not None
        make = PATHS[choice.path]
        self.paths = [make(layer.tile, choice.learning_rate, choice) for layer in self.chip.layers]
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
        assert self.experiment.batch is not None
        return min(self.experiment.batch, len(self.data.train_x))

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        assert self.experiment.epochs is not None
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
            x, target, self.rule, self.perturbation_std, choice.passes, choice.antithetic
        )
        self.tally.add(seen.losses[0], seen.pre_activations[-1][0], target)
        signals = self.rule.signals(about_the_mean(seen) if choice.reference == "mean" else seen)
        self.watch.check("training loss", seen.losses[0])
        inputs = seen.inputs
        del seen  # the activities need not be kept through the updates
        for layer, path, decorrelation, values, signal in zip(
            self.chip.layers, self.paths, self.decorrelations, inputs, signals, strict=True
        ):
            self.watch.check("update", signal)
            vectors, errors = layer.factors(values, signal)
            path.apply(vectors, errors)
            if layer.bias is not None:
                layer.bias.grad = errors.mean(0)
            self._decorrelate(layer, decorrelation, values)
        if self.biases is not None:
            self.biases.step()

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
        paths = (*self.paths, *(path for path in self.decorrelations if path is not None))
        counts = [tile.pulses() for path in paths for tile in path.tiles]
        weights = sum(layer.tile.outputs * layer.tile.inputs for layer in self.chip.layers)
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
        return {
            "epoch": self.epoch,
            "batch_index": self.batch_index,
            "step_count": self.step_count,
            "tally": self.tally.state(),
            "seconds": self.seconds,
            "perturbation_std": self.perturbation_std,
            "chip": self.chip.state(),
            "paths": [path.state() for path in self.paths],
            "biases": self.biases.state_dict() if self.biases else None,
        } | self._decorrelation_state()

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
        for path, saved in zip(self.paths, state["paths"], strict=True):
            path.load(saved)
        for decorrelation, saved in zip(self.decorrelations, state.get("decorrelations", ()), strict=False):
            if decorrelation is not None:
                decorrelation.load(saved)
        if self.biases is not None:
            self.biases.load_state_dict(state["biases"])


def _build(experiment: Experiment, data: Data, decorrelated: bool, accelerator: torch.device | str) -> Chip:
    sizes = (data.inputs, *(experiment.network.hidden or ()), data.outputs)
    assert experiment.loss in LOSSES
    return build_chip(
        Device(experiment.device),
        sizes,
        experiment.network,
        experiment.loss,
        decorrelated,
        experiment.seed,
        accelerator,
        get_task(experiment.task.name).image,
        experiment.decorrelation.on,
        experiment.decorrelation.mean_rate > 0,
    )


def _decorrelation_path(layer: Layer, experiment: Experiment) -> UpdatePath | None:
    """R's own update path, where R is on a tile and learns; Adam's steps would not vanish with the correlations.

    It has no momentum.
    """
    rate, choice = experiment.decorrelation.rate, experiment.update
    if layer.r_tile is None or not rate:
        return None
    plain = choice.model_copy(update={"momentum": 0.0})
    return PATHS["sgd" if choice.path == "adam" else choice.path](layer.r_tile, rate, plain)


def _bias_optimizer(chip: Chip, experiment: Experiment) -> torch.optim.Optimizer | None:
    """Biases are digital: Adam beside weights that Adam drives, plain gradient steps beside all others."""
    biases = [layer.bias for layer in chip.layers if layer.bias is not None]
    choice = experiment.update
    assert choice.learning_rate is not None
    if not biases:
        return None
    if choice.path == "adam":
        betas = (choice.beta1, choice.beta2)
        return torch.optim.Adam(biases, lr=choice.learning_rate, betas=betas, eps=choice.epsilon)
    return torch.optim.SGD(biases, lr=choice.learning_rate)
