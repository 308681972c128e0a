"""The schema of an experiment: which task, device and rule, and how the network is trained."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .base import LARGEST, SMALLEST_SCALING, WIDEST, Card, Count, Fraction, NonNegative, Positive, Rate
from .device import DeviceCard

PathName = Literal["on_tile", "mixed_precision", "sgd", "adam", "tiki_taka", "tiki_taka_v2", "c_ttv2", "agad"]
TRANSFER_PATHS = ("tiki_taka", "tiki_taka_v2", "c_ttv2", "agad")
FORMED_BY_THE_DEVICE = ("on_tile", *TRANSFER_PATHS)
"""Paths on which the device itself forms the outer products."""
MOMENTUM_PATHS = ("sgd", "mixed_precision")
TRANSFER_USERS = {
    "forget_buffer": ("tiki_taka_v2", "c_ttv2", "agad"),
    "chop_probability": ("c_ttv2", "agad"),
    "chop_every": ("c_ttv2", "agad"),
    "reference": ("agad",),
    "reference_rate": ("agad",),
    "significance": ("agad",),
}
"""Which paths a transfer's field is for, where it is not for all."""
CHOP_PROBABILITY, CHOP_EVERY, TAIL_WEIGHT = 0.1, 10, 5.0
"""Defaults of c-TTv2 and AGAD, those of aihwkit; the last over a period is the running mean's rate."""


def _named(value: Any) -> Any:
    """``task: digits`` is short for ``task: {name: digits}``."""
    return {"name": value} if isinstance(value, str) else value


def _seen(share: float) -> float:
    """A layer that takes less of the range reads as zero beside noise, and the factor behind it overflows."""
    if 0 < share < SMALLEST_SCALING:
        raise ValueError(
            f"must be 0 (weights as they are) or {SMALLEST_SCALING:g} to 1, got {share:g}: read-outs are multiplied by "
            "what the layer leaves of the range"
        )
    return share


class TaskCard(Card):
    """Which task, and its options."""

    name: str = "digits"
    split: Literal["usual", "blocks"] = Field(
        "usual",
        description="sarcos: the usual test file, or held-out contiguous blocks of the training rows.",
    )
    scaling: Literal["standard", "raw"] = Field(
        "standard",
        description="sarcos: inputs to zero mean and unit std, torques centred and divided by one number; or raw.",
    )

    folds: Annotated[int, Field(strict=True, ge=2, le=100)] | None = Field(
        None,
        description="digits: parts that all images are divided into, one of which is the test. Empty: the usual split.",
    )
    fold: Annotated[int, Field(strict=True, ge=0)] | None = Field(
        None,
        description="digits: number of the part that is the test, from 0. Empty: the remainder of seed / folds, so "
        "that runs of as many seeds as folds test on every image once.",
    )
    held_out: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = Field(
        None,
        description="Share of the training samples that are not trained on and take the place of the test samples, "
        "which are then not looked at: for choosing settings. Empty: train on all and test on the test samples.",
    )

    _short = model_validator(mode="before")(staticmethod(_named))

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if self.fold is not None and self.fold >= (self.folds or 0):
            folds = "which are not given" if self.folds is None else f"got {self.fold}"
            raise ValueError(f"fold: must be below task.folds, {folds}")
        return self


class RuleCard(Card):
    """Which learning rule, and whether it may ask a digital twin."""

    name: str = "danp"
    oracle: bool = Field(
        False, description="bp, dbp: take gradients from a noise-free digital twin of the noisy chip."
    )

    _short = model_validator(mode="before")(staticmethod(_named))


class Convolution(Card):
    """A convolution with square patches, followed by a leaky ReLU."""

    channels: Count = Field(description="Output channels.")
    kernel: Count = Field(3, description="Height and width of a patch.")
    stride: Count = 1
    padding: Annotated[int, Field(strict=True, ge=0, le=1000)] = Field(
        0, description="Zeros around the image, on each side."
    )


class Network(Card):
    """Convolutions, if any, then fully connected layers; all but the last are followed by a leaky ReLU."""

    conv: tuple[Convolution, ...] = Field(
        (), description="Convolutions, from the input on; the task must have images."
    )
    hidden: tuple[Count, ...] | None = Field(None, description="Hidden layer widths; empty: the task's.")
    leaky_slope: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(
        0.2, description="Slope for negative inputs."
    )
    init: Literal["he_truncated", "he", "glorot"] = Field(
        "he_truncated",
        description="Initial weights: normal with std sqrt(2/n_in) (truncated at 2 std) or Glorot's.",
    )
    bias: bool = True
    weight_scaling: Annotated[Fraction, AfterValidator(_seen)] | None = Field(
        None,
        description="Share of the device's range that a layer's largest first weight takes; read-outs are scaled back "
        "digitally. 0: cells hold the weights as they are. Empty: the task's, on a device whose weights have bounds.",
    )


class Decorrelation(Card):
    """Decorrelation of every layer's input, for the rules whose names start with d."""

    on: Literal["digital", "tile"] = Field(
        "digital",
        description="Where R lives: in digital memory, or on a tile of the same device, read anew in every pass and "
        "updated by update.path (adam: sgd).",
    )

    rate: Annotated[float, Field(strict=True, ge=0, le=WIDEST)] | None = Field(
        None, description="Learning rate of R; empty: the task's."
    )
    sample_fraction: Annotated[float, Field(strict=True, gt=0, le=1)] = Field(
        1.0,
        description="Share of each batch that R learns from: its first samples (batches are in random order).",
    )
    every: Count = Field(1, description="Batches from one update of R to the next.")
    mean_rate: Fraction = Field(
        0.0,
        description="Rate of a running mean that is taken off every layer's decorrelated input; 0: none is.",
    )
    products: Literal["float32", "bfloat16"] = Field(
        "float32", description="Numbers that a digital R's update is multiplied in; its sum is float32."
    )

    @model_validator(mode="after")
    def _digital_products(self) -> Self:
        if self.on == "tile" and self.products != "float32":
            raise ValueError("products: R is on a tile, which multiplies in its own way; leave it at float32")
        return self


class Perturbation(Card):
    """What is injected into pre-activations besides the device's own noise."""

    std: NonNegative | Literal["auto"] = Field(
        "auto",
        description="auto: none for anp and danp on a noisy device; else as large as the device's own noise.",
    )
    auto_factor: Annotated[float, Field(strict=True, ge=1, le=LARGEST)] = Field(
        1.0,
        description="std auto: the perturbation that a rule learns from, the device's own noise included where it "
        "learns from that, is this many times what auto makes it.",
    )
    passes: Count = Field(1, description="Noisy passes per update; their updates are averaged.")
    reference: Literal["first", "mean"] = Field(
        "first",
        description="anp, danp: whether activities and losses are compared with the first pass's, or with the mean "
        "over all passes, which has less of a noisy baseline's own noise (two passes or more).",
    )
    antithetic: bool = Field(
        False,
        description="np, anp (also with d): the first pass gets the injected perturbation negated, not none; the "
        "device's own noise cannot be negated (one pass).",
    )


class Transfer(Card):
    """tiki_taka, tiki_taka_v2, c_ttv2, agad: how what the fast array has gathered reaches the slow one."""

    rate: Rate = Field(
        0.01, description="Share of a fast cell's read-out that a transfer adds to the slow cell."
    )
    every: Count = Field(1, description="Updates from one transfer to the next.")
    columns: Count | None = Field(
        None,
        description="Columns read at a transfer, in turn; empty: all (the papers read one after a few samples).",
    )
    zero_shift: Annotated[int, Field(strict=True, ge=2)] | None = Field(
        None,
        description="Pairs of pulses, up and down, that measure the fast cells' symmetry points before training; "
        "these are then subtracted from every read-out. Empty: not measured, zero.",
    )
    forget_buffer: bool = Field(
        False,
        description="tiki_taka_v2, c_ttv2, agad: whether what is left of a sum after its pulses is dropped, as in "
        "aihwkit by default, or kept.",
    )
    chop_probability: Fraction | None = Field(
        None,
        description="c_ttv2, agad: chance that a column's chopper flips after it was read; empty in c_ttv2: 0.1, "
        "unless it flips regularly.",
    )
    chop_every: Count | None = Field(
        None,
        description="c_ttv2, agad: read-outs of a column from one flip of its chopper to the next, in place of a "
        "chance; empty in agad: 10, unless it flips at random.",
    )
    reference: Literal["recent", "period"] | None = Field(
        None,
        description="agad: what becomes the reference at a flip. recent: a running mean of the read-outs, which weighs "
        "the last ones most; period: the plain mean of those since the last flip. Empty there: recent.",
    )
    reference_rate: Annotated[float, Field(strict=True, gt=0, le=1)] | None = Field(
        None,
        description="agad: weight of a read-out in the running mean; empty there: 5 over the mean number of read-outs "
        "from flip to flip, at most 1.",
    )
    significance: Positive | None = Field(
        None,
        description="agad: a read-out counts only where the cell's mean is this many standard errors from its "
        "reference; empty: always.",
    )

    @model_validator(mode="after")
    def _one_chopper(self) -> Self:
        if self.chop_probability is not None and self.chop_every is not None:
            raise ValueError("'chop_every' takes the place of 'chop_probability'; leave one of them out")
        if self.reference == "period" and self.reference_rate is not None:
            raise ValueError(
                "'reference_rate' is of the running mean; leave it out, or set 'reference: recent'"
            )
        return self

    def filled(self, path: str) -> Transfer:
        """Return it with the defaults of what only that path asks for."""
        given = self.model_dump(exclude_none=True)
        random = self.chop_probability is not None or (path == "c_ttv2" and self.chop_every is None)
        if path in TRANSFER_USERS["chop_every"]:
            given = ({"chop_probability": CHOP_PROBABILITY} if random else {"chop_every": CHOP_EVERY}) | given
        if path in TRANSFER_USERS["reference"] and self.reference != "period":
            often = given["chop_probability"] if random else 1 / given["chop_every"]
            given = {"reference": "recent", "reference_rate": min(TAIL_WEIGHT * often, 1.0)} | given
        return Transfer.model_validate(given)


class UpdateChoice(Card):
    """How an update reaches the device."""

    path: PathName | Literal["auto"] = Field(
        "auto", description="auto: mixed_precision where the card writes by pulses or programming, else adam."
    )
    learning_rate: Rate | None = Field(None, description="Empty: the task's, for this path.")
    beta1: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(0.9, description="adam")
    beta2: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(0.999, description="adam")
    epsilon: Positive = Field(1e-7, description="adam")
    momentum: Annotated[float, Field(strict=True, ge=0, lt=1)] = Field(
        0.0,
        description="sgd, mixed_precision: weight of the past in a running mean of the gradients; 0: none.",
    )
    transfer: Transfer | None = Field(None, description="The tiki_taka family; empty there: the defaults.")


class Evaluation(Card):
    """How the network that training ends with is tested."""

    repeats: Count = Field(
        1,
        description="Noisy passes over the test samples after the last epoch; the row tells their mean.",
    )


class Experiment(Card):
    """All that decides a training run's result."""

    task: TaskCard = TaskCard()
    device: DeviceCard = Field(description="A shipped device's name, a card's path, or a card's fields.")
    rule: RuleCard = RuleCard()
    network: Network = Network()
    loss: Literal["auto", "cross_entropy", "squared_error"] = Field("auto", description="auto: the task's.")
    decorrelation: Decorrelation = Decorrelation()
    perturbation: Perturbation = Perturbation()
    update: UpdateChoice = UpdateChoice()
    evaluation: Evaluation = Evaluation()
    batch: Count | None = Field(None, description="Samples per update; empty: the task's.")
    epochs: Count | None = Field(None, description="Passes through the training set; empty: the task's.")
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0

    @property
    def data(self) -> TaskCard:
        """The task as its data depends on it: with the fold that follows from the seed."""
        task = self.task
        if task.folds is None or task.fold is not None:
            return task
        return task.model_copy(update={"fold": self.seed % task.folds})

    def identity(self, data_version: str, code_version: str) -> str:
        """SHA-256 over everything that affects the result, keys sorted, fields at their defaults left out.

        Leaving defaults out keeps the identity when a later version adds a field that is off by default.

        Args:
            data_version: names the data set's content.
            code_version: names the arithmetic.
        """
        content = self.model_dump(mode="json", exclude={"device"}, exclude_defaults=True)
        content["device"] = self.device.physics()
        content["data"] = data_version
        content["code"] = code_version + self._revisions()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _revisions(self) -> str:
        """Versions of the arithmetic of what only some runs have: the others keep their identity when it changes."""
        device, path = self.device, self.update.path
        pulsed_by_trains = path in ("on_tile", *TRANSFER_PATHS) or self.decorrelation.on == "tile"
        revised = {
            " shapes 3": device.has_shape,
            " trains 2": pulsed_by_trains and device.is_pulsed,
            " pairs 2": device.has_pairs_one_by_one,
            " stuck 2": device.stuck is not None and device.read_noise.cell_telegraph is not None,
        }
        return "".join(version for version, applies in revised.items() if applies)
