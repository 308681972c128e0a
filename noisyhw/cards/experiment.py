"""The schema of an experiment: which task, device and rule, and how the network is trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ..foreign import reference
from .base import LARGEST, SMALLEST_SCALING, WIDEST, Card, Count, Fraction, NonNegative, Rate
from .device import DeviceCard
from .task import OWN as OWN
from .task import TaskCard as TaskCard
from .task import named
from .updates import Transfer as Transfer
from .updates import UpdateChoice as UpdateChoice

PLACES = {"rule": ("file", "object"), "task": ("file",)}
"""Where code lies, which is not part of a run's identity: `code`, beside these, names its content."""


def _seen(share: float) -> float:
    """A layer that takes less of the range reads as zero beside noise, and the factor behind it overflows."""
    if 0 < share < SMALLEST_SCALING:
        raise ValueError(
            f"must be 0 (weights as they are) or {SMALLEST_SCALING:g} to 1, got {share:g}: read-outs are multiplied by "
            "what the layer leaves of the range"
        )
    return share


class RuleCard(Card):
    """Which learning rule, whether it may ask a digital twin, and its own options beside these."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str = Field("danp", description="Of a shipped rule or a plug-in's, or of a class in the file.")
    file: str | None = Field(None, description="A Python file with the rule's class.")
    object: str | None = Field(None, description="Filled in for a rule that was given as an object.")
    code: str = Field("", description="Filled in: names the content of a rule that is not shipped.")
    decorrelate: bool | None = Field(
        None,
        description="Whether every layer's input is decorrelated; empty: as the name (a leading d) or class says.",
    )
    oracle: bool = Field(
        False, description="bp, dbp: take gradients from a noise-free digital twin of the noisy chip."
    )

    _short = model_validator(mode="before")(staticmethod(named))

    @property
    def options(self) -> dict[str, Any]:
        """The rule's own options, as the card says them."""
        return dict(self.model_extra or {})


class Convolution(Card):
    """A convolution with square patches, followed by a leaky ReLU."""

    channels: Count = Field(description="Output channels.")
    kernel: Count = Field(3, description="Height and width of a patch.")
    stride: Count = 1
    padding: Annotated[int, Field(strict=True, ge=0, le=1000)] = Field(
        0, description="Zeros around the image, on each side."
    )


class Network(Card):
    """A torch.nn.Module; or convolutions, if any, then fully connected layers, all but the last with a leaky ReLU."""

    module: str | None = Field(
        None, description="A class in a file, ./my_net.py:MyNet, that makes a torch.nn.Module."
    )
    object: str | None = Field(None, description="Filled in for a module that was given as an object.")
    code: str = Field("", description="Filled in: names the content of the module's code.")
    arguments: dict[str, Any] = Field({}, description="What the module's class is called with.")
    input: tuple[Count, ...] | None = Field(
        None,
        description="Shape of one sample as the module takes it; empty: the task's image, or its number of inputs.",
    )

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

    @property
    def has_module(self) -> bool:
        """Whether a torch.nn.Module stands for the layers that are described otherwise."""
        return self.module is not None or self.object is not None


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
    def files(self) -> tuple[Path, ...]:
        """Files with code that this experiment names."""
        named = (
            reference(self.network.module or ""),
            self.update.file,
            reference(self.rule.file or ""),
            self.task.code_file,
        )
        return tuple(one.file for one in named if one is not None)

    def identity(self, data_version: str, code_version: str) -> str:
        """SHA-256 over everything that affects the result, keys sorted, fields at their defaults left out.

        Leaving defaults out keeps the identity when a later version adds a field that is off by default.

        Args:
            data_version: names the data set's content.
            code_version: names the arithmetic.
        """
        content = self.model_dump(mode="json", exclude={"device"}, exclude_defaults=True)
        if self.task.is_own:  # its content is the data's version, wherever they are from
            content["task"] = {key: content["task"][key] for key in ("held_out",) if key in content["task"]}
            content["task"]["name"] = OWN
        content["device"] = self.device.physics()
        content["data"] = data_version
        content["code"] = code_version + self._revisions()
        if self.update.file is not None:  # where a file lies does not matter: update.code names its content
            content["update"]["path"] = self.update.file.name
        module = reference(self.network.module or "")
        if module is not None:
            content["network"]["module"] = module.name
        for block, places in PLACES.items():  # likewise their code
            for place in places:
                content.get(block, {}).pop(place, None)
            if not content.get(block, True):
                del content[block]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _revisions(self) -> str:
        """Versions of the arithmetic of what only some runs have: the others keep their identity when it changes."""
        device = self.device
        forms_products = self.update.formed_by_device or self.decorrelation.on == "tile"
        revised = {
            " shapes 3": device.has_shape,
            " trains 2": forms_products and device.is_pulsed,
            " pairs 2": device.has_pairs_one_by_one,
            " stuck 2": device.stuck is not None and device.read_noise.cell_telegraph is not None,
        }
        own = device.registered_code
        return "".join(version for version, applies in revised.items() if applies) + own


class ResolvedUpdate(UpdateChoice):
    """An update path with its learning rate."""

    learning_rate: Rate


class Resolved(Experiment):
    """An experiment of which nothing is left open: what :func:`noisyhw.training.resolve.resolve` returns."""

    update: ResolvedUpdate
    loss: Literal["cross_entropy", "squared_error"]
    batch: Count
    epochs: Count
