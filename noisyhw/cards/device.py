"""The schema of a device card: one analog crossbar technology, its physics and where the numbers come from.

Units. Weights are in the network's own units (the card's ``weights`` say how far a cell can go); a read-out is
``W x`` in the same units. With ``input_scaling: max`` the array sees ``x / max|x|`` per sample, and everything
analog (converters, read noise) is in units of that scaled product.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)

from .ageing import Age, Drift, Retention, seconds
from .base import LARGEST, REASONS, SMALLEST, Card, Count, Fraction, NonNegative, Positive, Real, Share, Step
from .derived import Derivation
from .read_effects import (
    CellFlickerNoise,
    CellNonlinearity,
    CellTelegraphNoise,
    CommonNoise,
    FlickerNoise,
    IrDrop,
    Stuck,
    WeightDependentNoise,
    refuse_contradictions,
)
from .registered import NOISES, NoiseBlock, checked_noises, checked_update, codes
from .shapes import ExponentialDecay, Shape, TableShape
from .temperature import Kelvin, Temperature
from .temperature import refuse_contradictions as refuse_temperature
from .verify import Verify


class Source(Card):
    """One publication (or data set, or other simulator) and what was taken from it."""

    paper: str = Field(description="Authors, title, journal or conference, year.")
    link: str | None = Field(None, description="DOI or address.")
    figure: str | None = Field(None, description="Figure, table or section that holds the numbers.")
    gives: str = Field(description="Which fields of this card it gives, and whether fitted or stated there.")


MOST_UNEQUAL = 1e6
"""Largest ratio of the two bounds' sizes: what is relative to one of them stays finite at the other."""
LARGEST_LOG_SPREAD = 3.0
"""Largest std of the logarithm of cells' steps: a factor of 20."""


class Weights(Card):
    """How far a cell's weight can go."""

    min: Real | None = Field(None, lt=0, description="Lowest weight; empty: unbounded.")
    max: Real | None = Field(None, gt=0, description="Highest weight; empty: unbounded.")
    spread: Share = Field(
        0.0,
        description="Device-to-device std of both bounds, as a share of each; drawn once per cell.",
    )
    spread_min: Share | None = Field(
        None, description="The lower bound's own device-to-device std, if it differs from 'spread'."
    )

    @model_validator(mode="after")
    def _both_bounds(self) -> Self:
        if (self.min is None) != (self.max is None):
            raise ValueError("give both 'min' and 'max', or neither")
        if self.min is None and (self.spread or self.spread_min):
            raise ValueError("'spread' needs the bounds 'min' and 'max'")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.min is None or self.max is None:
            return self
        small, large = sorted((-self.min, self.max))
        if small < SMALLEST:
            raise ValueError(
                f"'min' and 'max' must be at least {SMALLEST:g} in size ({REASONS[SMALLEST]}), got {small:g}"
            )
        if large > MOST_UNEQUAL * small:
            raise ValueError(
                f"'min' and 'max' may differ by a factor of {MOST_UNEQUAL:g} in size (32 bits have 7 digits), got "
                f"{self.min:g} and {self.max:g}; bring the smaller one nearer to the larger"
            )
        return self


class Converter(Card):
    """A uniform mid-tread quantiser with 2^bits - 1 levels from -range to +range; beyond the range it clips."""

    bits: Annotated[int, Field(strict=True, ge=2, le=16)] = Field(description="Resolution, sign included.")
    range: Annotated[float, Field(strict=True, ge=1e-6, le=LARGEST)] = Field(
        description="Full scale: the largest magnitude that is not clipped."
    )


class Periphery(Card):
    """The digital-to-analog and analog-to-digital side of the array."""

    input_scaling: Literal["none", "max"] = Field(
        "none",
        description="max: each sample is divided by its largest |input| and the read-out multiplied back.",
    )
    dac: Converter | None = Field(None, description="Input converter; empty: continuous inputs.")
    adc: Converter | None = Field(None, description="Output converter; empty: continuous outputs.")
    adc_gain_spread: Share = Field(
        0.0, description="Std of the columns' ADC gains about 1; drawn once per column."
    )
    adc_offset_spread: NonNegative = Field(
        0.0, description="Std of the columns' ADC offsets, in read-out units; drawn once per column."
    )
    nonlinearity: CellNonlinearity | None = Field(
        None, description="Cells with a sinh I-V curve; needs a dac or input_scaling 'max'. Never drawn."
    )
    ir_drop: IrDrop | None = Field(None, description="Voltage drop along the wires. Never drawn.")


class WhiteNoise(NoiseBlock):
    """Gaussian noise on every read-out, drawn afresh at each read."""

    std: NonNegative = Field(description="Standard deviation, in units of 'relative_to'.")
    relative_to: Literal["absolute", "input_max", "input_norm"] = Field(
        "absolute", description="absolute: read-out units; else times max|x| or |x|_2 of the sample."
    )


class PerCellNoise(NoiseBlock):
    """Gaussian noise of every cell's weight, drawn afresh at each read: exactly read-out noise of std * |x|_2."""

    std: NonNegative = Field(
        description="Standard deviation of one cell's weight at one read, in weight units."
    )


class TelegraphNoise(NoiseBlock):
    """A two-state offset of every output node; its state lives on from read to read."""

    scales = "amplitude"

    amplitude: NonNegative = Field(description="The offset is +amplitude or -amplitude, in read-out units.")
    flip_probability: Fraction = Field(description="Chance that a node's state flips before a read.")


class ReadNoise(Card):
    """What a read-out carries besides the product; each source says when it is drawn."""

    white: WhiteNoise | None = None
    per_cell: PerCellNoise | None = None
    telegraph: TelegraphNoise | None = None
    flicker: FlickerNoise | None = None
    cell_telegraph: CellTelegraphNoise | None = None
    common: CommonNoise | None = None
    weight_dependent: WeightDependentNoise | None = None
    cell_flicker: CellFlickerNoise | None = None
    mean: Real = Field(
        0.0, description="A constant offset of every read-out, in read-out units; never drawn."
    )
    registered: dict[str, SerializeAsAny[Card]] = Field(
        {}, description="Sources that are not shipped, by name; they may stand beside the others as well."
    )

    @model_validator(mode="before")
    @classmethod
    def _registered(cls, given: Any) -> Any:
        """Gather the blocks of registered sources, checked by their classes' models."""
        if not isinstance(given, dict):
            return given
        beside = {key: value for key, value in given.items() if key in NOISES and value is not None}
        inside = given.get("registered") or {}
        if not (beside or inside) or not isinstance(inside, dict):
            return given
        rest = {key: value for key, value in given.items() if key not in NOISES}
        return rest | {"registered": checked_noises(inside | beside)}

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        own: dict[str, Any] = content.pop("registered", {})
        return content | own


class ProgrammingNoise(Card):
    """Std of a written weight: constant + linear r + quadratic r^2 + saturating (1 - exp(-r / saturates_at)).

    r = |target| / max.
    """

    constant: Real = 0.0
    linear: Real = 0.0
    quadratic: Real = 0.0
    saturating: NonNegative = Field(0.0, description="What the std rises by far above 'saturates_at'.")
    saturates_at: Positive | None = Field(
        None, description="Share of max over which the std saturates; needs 'saturating'."
    )

    @model_validator(mode="after")
    def _saturates(self) -> Self:
        if (self.saturating > 0) != (self.saturates_at is not None):
            raise ValueError("give both 'saturating' (above 0) and 'saturates_at', or neither")
        return self


class ExactUpdate(Card):
    """Weights are written exactly (digital memory, or an ideal cell)."""

    kind: Literal["exact"] = "exact"


class ProgrammedUpdate(Card):
    """Cells are programmed to a target; the error is drawn once per programming event and stays until the next."""

    kind: Literal["programmed"]
    noise: ProgrammingNoise = ProgrammingNoise()
    resolution: Step = Field(
        description="Smallest change worth programming; mixed_precision sends multiples of it."
    )
    reference: Literal["auto", "target", "cell"] = Field(
        "auto",
        description="target: the controller keeps what it asked for, one digital number a cell, so errors do not add "
        "up; cell: a change starts from the cell's present weight, so they do. auto: in a run, cell where the device "
        "forms the outer products (on_tile, the tiki_taka family), else target; a tile by itself: target.",
    )
    verify: Verify | None = Field(
        None, description="Read after programming, and program again while it is off; empty: open loop."
    )

    @model_validator(mode="after")
    def _errors_to_verify(self) -> Self:
        if self.verify is not None and self.noise == ProgrammingNoise():
            raise ValueError(
                "'verify' needs 'noise': without it programming is exact, and there is nothing to verify"
            )
        return self


class PulsedUpdate(Card):
    """Cells move by pulses: a pulse up adds step_up (1 - slope_up w / max), a pulse down likewise towards min.

    Slope 1 is a soft bound, slope 0 a constant step with a hard bound, between them a linear step.
    """

    kind: Literal["pulsed"]
    step: Step = Field(description="Mean weight change of one pulse at weight zero.")
    step_spread: Share = Field(
        0.0, description="Device-to-device std of the step, as a share of it; drawn once per cell."
    )
    step_distribution: Literal["normal", "log_normal"] = Field(
        "normal",
        description="Of the step over cells; log_normal: 'step' is its median, 'step_spread' the std of its log.",
    )
    asymmetry: Annotated[float, Field(strict=True, ge=-1, le=1)] = Field(
        0.0, description="Steps up are step (1 + asymmetry), steps down step (1 - asymmetry)."
    )
    asymmetry_spread: Share = Field(
        0.0, description="Device-to-device std of the asymmetry; drawn once per cell."
    )
    slope_up: Fraction = Field(0.0, description="How far the step up shrinks from weight 0 to max.")
    slope_down: Fraction = Field(0.0, description="How far the step down shrinks from weight 0 to min.")
    cycle_noise: Share = Field(
        0.0, description="Cycle-to-cycle std of one pulse's step, as a share of it; drawn at each pulse."
    )
    cycle_noise_scales: bool = Field(
        True,
        description="true: the noise is a share of the step at the present weight; false: of the step at 0.",
    )
    write_noise: NonNegative = Field(
        0.0,
        description="Std of the read weight about the cell's inner state; redrawn whenever the cell is pulsed.",
    )
    pulses_per_update: Count = Field(
        31, description="Longest stochastic pulse train for one sample's outer product (on_tile)."
    )
    shape: Shape | None = Field(
        None,
        description="How a step's size depends on the weight, in place of the slopes: 'step' is then its unit; "
        "empty: linear. Never drawn, but for exponent_spread.",
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.shape is not None and (self.slope_up or self.slope_down):
            raise ValueError("'shape' takes the place of 'slope_up' and 'slope_down'; leave these at 0")
        return self

    @model_validator(mode="after")
    def _moderate_logarithm(self) -> Self:
        if self.step_distribution == "log_normal" and self.step_spread > LARGEST_LOG_SPREAD:
            raise ValueError(
                f"step_spread: of log_normal steps it is the std of a logarithm, at most {LARGEST_LOG_SPREAD:g} (a "
                f"factor of {math.exp(LARGEST_LOG_SPREAD):.0f}; steps beyond it overflow in 32 bits), got "
                f"{self.step_spread:g}"
            )
        return self


class OneSidedUpdate(Card):
    """A cell is a pair of conductances, weight = g_plus - g_minus, that pulses only raise; full pairs are refreshed."""

    kind: Literal["one_sided"]
    step: Step = Field(description="Mean rise of a conductance by one pulse at conductance zero.")
    step_spread: Share = Field(
        0.0, description="Device-to-device std of the step, as a share of it; drawn once per conductance."
    )
    saturation: Fraction = Field(1.0, description="How far the step shrinks from conductance 0 to the bound.")
    decay: ExponentialDecay | None = Field(
        None, description="A step that shrinks exponentially, in place of 'saturation'; empty: linearly."
    )
    cycle_noise: Share = Field(
        0.0, description="Cycle-to-cycle std of one pulse's step, as a share of it; drawn at each pulse."
    )
    cycle_noise_constant: NonNegative = Field(
        0.0, description="What every pulse's std has besides, in weight units."
    )
    cycle_noise_slope: Share = Field(
        0.0, description="What every pulse's std has besides, as a share of the conductance."
    )
    refresh: Literal["write", "pulse"] = Field(
        "write",
        description="When full pairs are refreshed: after a whole write (a mini-batch), as in aihwkit, or after each "
        "pulse, with a write's pulses up and down in random order.",
    )
    refresh_above: Fraction = Field(
        0.75, description="A pair is refreshed when its fuller half is above this share of its bound ..."
    )
    refresh_other: Fraction = Field(0.25, description="... and its other half above this share.")
    programming_noise: NonNegative = Field(
        0.0, description="Std of a refreshed conductance, in weight units; drawn at each refresh."
    )
    pulses_per_update: Count = Field(
        31, description="Longest stochastic pulse train for one sample's outer product (on_tile)."
    )

    @property
    def one_by_one(self) -> bool:
        """Whether pulses of such pairs have no closed form for many at once."""
        noisy = self.cycle_noise_constant or self.cycle_noise_slope
        return bool(self.decay or noisy or self.refresh == "pulse")

    @model_validator(mode="after")
    def _refreshable(self) -> Self:
        if self.refresh_other > self.refresh_above:
            raise ValueError("'refresh_other' is the emptier half's threshold: at most 'refresh_above'")
        if self.decay is not None and self.saturation != 1:
            raise ValueError("'decay' takes the place of 'saturation'; leave this out")
        return self


Update = Annotated[
    SerializeAsAny[
        Annotated[ExactUpdate | ProgrammedUpdate | PulsedUpdate | OneSidedUpdate, Field(discriminator="kind")]
    ],
    WrapValidator(checked_update),
]


PROVENANCE = {"name", "title", "technology", "source", "derived", "fitted", "assumed", "not_modelled"}


class DeviceCard(Card):
    """One device: what it is, where its numbers come from, and its physics."""

    name: str = Field(
        pattern=r"^\w[\w.+-]{0,59}$",
        description="Short name: letters, digits, and . + - _; run folders carry it.",
    )
    title: str = Field("", description="One line for people.")
    technology: str = Field("", description="RRAM, PCM, ECRAM, MRAM, ...")
    source: tuple[Source, ...] = Field((), description="Publications that the numbers come from.")
    derived: tuple[Derivation, ...] = Field(
        (), description="How the card's numbers follow from those that the sources state."
    )
    fitted: tuple[str, ...] = Field((), description="What was fitted to measurements, and by whom.")
    assumed: tuple[str, ...] = Field((), description="What no source gives, and why this value was taken.")
    not_modelled: tuple[str, ...] = Field(
        (), description="Known effects of the technology that are left out."
    )
    weight_perturbation: bool = Field(
        False,
        description="Whether a known perturbation can be laid on the weights for one read, which rules that perturb "
        "weights need; it is applied exactly. Exact devices grant it unasked.",
    )
    backend: Literal["noisyhw", "aihwkit"] = Field(
        "noisyhw",
        description="Whose tiles: our own, or those of aihwkit (installed apart, see docs/aihwkit.md).",
    )
    preset: str | None = Field(
        None,
        min_length=1,
        description="An aihwkit preset, e.g. ReRamSB, which then brings the whole physics; empty: this card's fields.",
    )
    weights: Weights = Weights()
    periphery: Periphery = Periphery()
    read_noise: ReadNoise = ReadNoise()
    stuck: Stuck | None = Field(None, description="Stuck and dead cells; drawn once per device. Empty: none.")
    update: Update = ExactUpdate()
    drift: Drift | None = Field(None, description="Power-law decay of written weights; empty: none.")
    retention: Retention | None = Field(
        None, description="Exponential decay of written weights; empty: none."
    )
    age: Age = Field(
        "0s",
        description="Time from the last write to a test (s, min, h, d or y, e.g. '1d'); training is at age 0.",
    )
    temperature: Temperature | None = Field(None, description="What the temperature changes; empty: nothing.")
    temperature_k: Kelvin | None = Field(
        None,
        description="Temperature at which cells age and are tested, in K; training is at temperature.reference_k. "
        "Empty: that too.",
    )

    @property
    def is_pulsed(self) -> bool:
        """Whether our own cells are changed by pulses."""
        return self.backend == "noisyhw" and isinstance(self.update, (PulsedUpdate, OneSidedUpdate))

    @property
    def has_shape(self) -> bool:
        """Whether our own cells are pulsed in steps that are not linear in the weight (see :mod:`.shapes`)."""
        update = self.update
        return self.backend == "noisyhw" and isinstance(update, PulsedUpdate) and update.shape is not None

    @property
    def has_pairs_one_by_one(self) -> bool:
        """Whether our own cells are pairs that are pulsed one pulse after another."""
        update = self.update
        return self.backend == "noisyhw" and isinstance(update, OneSidedUpdate) and update.one_by_one

    @property
    def registered_code(self) -> str:
        """What names the code of noise sources and cells that are not shipped, for a run's identity."""
        return codes(self.read_noise.registered, self.update.kind)

    @model_validator(mode="after")
    def _one_physics(self) -> Self:
        if self.preset is None:
            return self
        if self.backend != "aihwkit":
            raise ValueError("'preset' names a preset of aihwkit; it needs 'backend: aihwkit'")
        own = sorted(self.physics().keys() - {"backend", "preset"})
        if own:
            raise ValueError(
                f"preset '{self.preset}' brings its own physics; leave out {', '.join(own)}, or leave out 'preset'"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        white = self.read_noise.white
        if self.periphery.input_scaling == "max" and white and white.relative_to == "input_max":
            raise ValueError(
                "read_noise.white.relative_to: with periphery.input_scaling 'max' the scaled input's maximum is 1 "
                "already; use 'absolute'"
            )
        if self.weights.max is None:
            self._unbounded()
        self._shape_within_bounds()
        self._ageing()
        refuse_temperature(self)
        refuse_contradictions(self)
        return self

    def _ageing(self) -> None:
        if self.drift is not None and self.retention is not None:
            raise ValueError("give 'drift' or 'retention', not both")
        if seconds(self.age) > 0 and self.drift is None and self.retention is None:
            raise ValueError(f"age: '{self.age}' changes nothing without 'drift' or 'retention'")

    def _shape_within_bounds(self) -> None:
        shape = self.update.shape if isinstance(self.update, PulsedUpdate) else None
        if shape is None:
            return
        if self.weights.min is None or self.weights.max is None:
            raise ValueError("update.shape needs the bounds weights.min and weights.max")
        if isinstance(shape, TableShape) and not (
            self.weights.min <= shape.weights[0] and shape.weights[-1] <= self.weights.max
        ):
            raise ValueError(
                f"update.shape.weights must lie within weights.min {self.weights.min:g} and "
                f"weights.max {self.weights.max:g}"
            )

    def _unbounded(self) -> None:
        update = self.update
        if isinstance(update, OneSidedUpdate):
            raise ValueError("update: one_sided needs the bounds weights.min and weights.max")
        if isinstance(update, PulsedUpdate) and (update.slope_up or update.slope_down):
            raise ValueError(
                "update.slope_up and update.slope_down need the bounds weights.min and weights.max"
            )
        if isinstance(update, ProgrammedUpdate) and (update.noise.linear or update.noise.quadratic):
            raise ValueError(
                "update.noise.linear and update.noise.quadratic need weights.min and weights.max"
            )
        if isinstance(update, ProgrammedUpdate) and update.noise.saturates_at is not None:
            raise ValueError("update.noise.saturates_at needs weights.min and weights.max")

    def physics(self) -> dict[str, object]:
        """Return the fields that affect a result, for a run's identity: all but names, provenance and defaults."""
        return self.model_dump(exclude=PROVENANCE, exclude_defaults=True, mode="json")
