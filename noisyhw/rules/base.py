"""What a learning rule is: a pure function from an observation to one error signal per layer."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from ..errors import UsageError
from ..observation import Injection, Observation

Probe = tuple[bool, ...]
"""Which layers are perturbed in one noisy pass."""


class Knows(Enum):
    """What a rule must know; a device may not grant it."""

    ACTIVITIES = "activities"
    """Pre-activations and losses of noisy passes: every device grants that."""
    OUTPUT_ERROR = "output error"
    """Also the loss's derivative at the outputs of the baseline pass, which whoever computes the loss has, and the
    slopes of the digital activations. It holds no weight."""
    INJECTED = "injected perturbation"
    """Also the perturbation that it injected itself; the device's own noise stays unknown."""
    INJECTED_WEIGHTS = "injected weight perturbation"
    """Also a perturbation of the weights that it injected itself, for one pass, where the device has that port."""
    GRADIENT = "gradient"
    """The true gradient: on an ideal device, or from an oracle that is asked for by name."""


@dataclass(frozen=True)
class LayerShape:
    """What a rule may know of a layer before it sees any pass.

    Attributes:
        outputs, inputs: of its tile.
        count: reads of its tile for one sample: 1 in a dense layer, the number of patches in a convolution.
    """

    outputs: int
    inputs: int
    count: int = 1

    @property
    def units(self) -> int:
        """Pre-activations of one sample."""
        return self.outputs * self.count


@dataclass(frozen=True)
class Change:
    """A layer's weight change, for a rule that forms it itself; weights move along its negative, as along a gradient.

    Attributes:
        weight: [outputs, inputs].
        bias: [outputs], or None to leave the bias as it is.
    """

    weight: Float[Tensor, "outputs inputs"]
    bias: Float[Tensor, " outputs"] | None = None


Learned = tuple[Tensor | Change, ...]
"""Per layer what :meth:`Rule.learn` hands back: an error signal d, [samples, units], or a weight change."""
State = Any
"""A rule's memory: tensors and plain values in dicts, lists and tuples, as a checkpoint can hold them."""


class Options(BaseModel):
    """Options of a rule's own, checked like a card; a rule without any has this."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rule(abc.ABC):
    """A learning rule.

    A layer's weights move along -mean_b d_b x_b^T, where d is the error signal that the rule hands back and x the
    layer's input in the baseline pass; or along the negative of a :class:`Change`.

    Without a memory, a rule says :meth:`signals`. With one, it says :meth:`init` and :meth:`learn`.

    Args:
        options: checked by the class's ``options_model``.

    Attributes:
        options: the options of this rule.

    Raises:
        UsageError: there is no such option, or it has no such value.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    knows: ClassVar[frozenset[Knows]]
    options_model: ClassVar[type[BaseModel]] = Options
    revision: ClassVar[str] = ""
    """Raised when a shipped rule's code changes what it computes; a rule from elsewhere is named by its content."""
    decorrelated: ClassVar[bool] = False
    """Whether the rule wants its layers' inputs decorrelated where nobody says otherwise."""
    samplewise: ClassVar[bool] = False
    """Whether a sample's signal depends on that sample alone; then samples of many runs can be handed over at once."""
    chain_only: ClassVar[bool] = False
    """Whether the rule needs one dense layer after another, with nothing around them."""
    per_weight: ClassVar[tuple[str, ...]] = ()
    """What the rule keeps in digital memory, one number a weight each, e.g. ``("a trace",)``."""
    per_unit: ClassVar[tuple[str, ...]] = ()
    """What it keeps, one number a unit each."""

    def __init__(self, **options: Any) -> None:
        try:
            self.options = self.options_model.model_validate(options)
        except ValidationError as error:
            raise UsageError(f"rule.{one_finding(error)}") from None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        knows = cls.__dict__.get("knows")
        if isinstance(knows, Knows):  # one alone is taken for a set of one
            cls.knows = frozenset({knows})
        elif isinstance(knows, list | tuple | set):
            cls.knows = frozenset(knows)

    def written_options(self) -> dict[str, Any]:
        """Return the options as a card says them; those at their defaults are left out."""
        return self.options.model_dump(mode="json", exclude_defaults=True)

    @property
    def told(self) -> str:
        """What it knows, in words."""
        return ", ".join(one.value for one in Knows if one in self.knows)

    @property
    def has_memory(self) -> bool:
        """Whether what it hands back depends on the batches before."""
        return type(self).learn is not Rule.learn or type(self).init is not Rule.init

    def init(self, layers: Sequence[LayerShape], generator: torch.Generator) -> State:
        """Return the memory that the rule starts with.

        Args:
            layers: of the network, in the order in which they are read.
            generator: a random stream of the rule's own; tensors are made on its device.
        """
        return None

    @abc.abstractmethod
    def probes(self, layers: int) -> tuple[Probe, ...]:
        """Which layers each noisy pass perturbs; one entry a pass."""

    def weight_probes(self, layers: int) -> tuple[Probe, ...]:
        """Which layers' weights each noisy pass perturbs, one entry a pass; needs the device's port for it."""
        return ((False,) * layers,) * len(self.probes(layers))

    def signals(self, seen: Observation) -> tuple[Tensor, ...]:
        """Return d per layer, [samples, units], averaged over the noisy passes."""
        raise NotImplementedError(f"{type(self).__name__} says neither signals nor learn")

    def learn(self, seen: Observation, state: State) -> tuple[Learned, State]:
        """Return per layer an error signal or a weight change, and the memory after this batch."""
        return self.signals(seen), state


def one_finding(error: ValidationError) -> str:
    """Tell the first thing that is wrong with options: field, what is wrong, value."""
    found = error.errors()[0]
    field = ".".join(str(key) for key in found["loc"])
    if found["type"] == "extra_forbidden":
        return f"{field}: there is no such option; leave it out"
    reason = found["msg"].removeprefix("Value error, ")
    return f"{field}: {reason[:1].lower()}{reason[1:]}, got {found['input']!r}"


def lives_on_noise(rule: Rule) -> bool:
    """Whether a rule learns from whatever noise there is, its device's own included."""
    return Knows.GRADIENT not in rule.knows and not needs_injection(rule)


def needs_injection(rule: Rule) -> bool:
    """Whether a rule must know what was injected, into activities or weights."""
    return bool(rule.knows & {Knows.INJECTED, Knows.INJECTED_WEIGHTS})


def rises(seen: Observation) -> Float[Tensor, "noisy samples"]:
    """Loss of each noisy pass less the baseline's: the paper's dL."""
    return seen.losses[1:] - seen.losses[:1]


def mean_of_passes(signals: Float[Tensor, "noisy samples outputs"]) -> Float[Tensor, "samples outputs"]:
    """Mean over the noisy passes; that of one is not copied."""
    return signals.mean(0) if len(signals) > 1 else signals[0]


def own_injection(seen: Observation) -> Injection:
    """What the learner injected; a rule that needs it must have declared so."""
    if seen.injected is None:
        raise ValueError("this observation holds no injected perturbation")
    return seen.injected
