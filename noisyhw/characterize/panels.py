"""What an engineer looks at: one function a panel. One of another package is an entry point, or ``PANELS.add(it)``."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..cards.device import DeviceCard, ReadNoise
from ..devices.converters import level_spacing
from ..devices.read_noise import gaussian_std
from ..plugins import instance_of
from ..registry import Registry
from . import probe
from .ageing_panel import ageing
from .ir_drop_panel import ir_drop
from .likelihood import Vector
from .panel import Axes, Drawing, Panel

CELLS, SHOWN_CELLS, CYCLES = 256, 4, 5
READS, SPECTRUM_READS, SEGMENT, OUTPUTS = 20_000, 16_384, 1024, 16
TARGETS = 41


def read_noise_histogram(card: DeviceCard, seed: int) -> Drawing | str:
    """Reads of one node at a fixed input, with the density that the card's Gaussian and telegraph noise give."""
    if card.read_noise == ReadNoise() and card.preset is None:
        return "the card has no read noise"
    reads, product, x = probe.reads(card, READS, 1, seed)
    values = reads[:, 0].double().numpy()
    width = level_spacing(card.periphery.adc) if card.periphery.adc else None

    def draw(axes: Axes) -> None:
        axes.hist(values, bins=_bins(values, width), density=True, color="0.75", label=f"{READS} reads")
        theory = _density(card, float(product[0]), x)
        if theory is not None:
            grid = np.linspace(values.min(), values.max(), 400)
            axes.plot(grid, theory(grid), color="C3", label="theory, before the ADC")
        axes.axvline(float(product[0]), color="0.3", linewidth=0.8, label="product")
        axes.set(xlabel="read-out", ylabel="density")

    return draw


def _bins(values: Vector, width: float | None) -> Vector:
    """Bins about the ADC's levels, at most 80 of them."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.array([low - 0.5, low + 0.5])
    if width is None:
        return np.linspace(low, high, 61)
    width *= max(math.ceil((high - low) / width / 80), 1)
    first = math.floor(low / width + 0.5) - 0.5
    return np.asarray((first + np.arange(math.ceil((high - low) / width) + 2)) * width, dtype=np.float64)


def _density(card: DeviceCard, product: float, x: Tensor) -> Callable[[Vector], Vector] | None:
    """Density of a read-out: a Gaussian, or two of them."""
    std = gaussian_std(card.read_noise, x)
    if std is None:
        return None
    size = float(std.flatten()[0])
    middle = product + card.read_noise.mean
    offset = card.read_noise.telegraph.amplitude if card.read_noise.telegraph else 0.0

    def density(grid: Vector) -> Vector:
        parts = [np.exp(-0.5 * ((grid - middle - sign * offset) / size) ** 2) for sign in (-1, 1)]
        return np.asarray((parts[0] + parts[1]) / 2 / size / math.sqrt(2 * math.pi))

    return density


def noise_spectrum(card: DeviceCard, seed: int) -> Drawing | str:
    """Power spectrum over successive reads, with that of white and telegraph noise."""
    from scipy.signal import welch

    if card.read_noise.model_copy(update={"mean": 0.0}) == ReadNoise() and card.preset is None:
        return "the card's reads do not fluctuate"
    reads, _, x = probe.reads(card, SPECTRUM_READS, OUTPUTS, seed)
    frequency, power = welch(reads.double().numpy(), nperseg=SEGMENT, axis=0)

    def draw(axes: Axes) -> None:
        inner = slice(1, -1)
        axes.loglog(
            frequency[inner],
            power[inner].mean(1),
            color="0.4",
            label=f"{OUTPUTS} nodes, {SPECTRUM_READS} reads",
        )
        theory = _spectrum(card, frequency[inner], x)
        axes.loglog(frequency[inner], theory, color="C3", label="theory: white, telegraph, ADC rounding")
        axes.set(xlabel="frequency (cycles per read)", ylabel="power per unit frequency")

    return draw


def _spectrum(card: DeviceCard, frequency: Vector, x: Tensor) -> Vector:
    """One-sided spectrum: 2 s^2, and of the telegraph 2 A^2 (1 - r^2) / (1 - 2 r cos w + r^2) with r = 1 - 2 p."""
    std = gaussian_std(card.read_noise, x)
    white = 0.0 if std is None else float(std.flatten()[0]) ** 2
    white += level_spacing(card.periphery.adc) ** 2 / 12 if card.periphery.adc else 0.0
    power = np.full_like(frequency, 2 * white)
    if telegraph := card.read_noise.telegraph:
        r = 1 - 2 * telegraph.flip_probability
        shape = (1 - r**2) / (1 - 2 * r * np.cos(2 * np.pi * frequency) + r**2)
        power += 2 * telegraph.amplitude**2 * shape
    return np.asarray(power)


def pulse_response(card: DeviceCard, seed: int) -> Drawing | str:
    """Cycles of pulses up and down to saturation; or, for cells that are programmed, the weight over its target."""
    if card.update.kind not in ("pulsed", "one_sided") and card.preset is None:
        return _programming(card, seed)
    pulses, weights = probe.sweeps(card, CELLS, CYCLES, seed)
    middle, spread = weights.mean(1), weights.std(1)

    def draw(axes: Axes) -> None:
        axes.plot(pulses, weights[:, :SHOWN_CELLS], linewidth=0.6, alpha=0.7)
        axes.fill_between(
            pulses, middle - spread, middle + spread, color="0.6", alpha=0.4, label="1 std over cells"
        )
        axes.plot(pulses, middle, color="k", label=f"mean of {CELLS} cells")
        axes.set(xlabel=f"pulses, {CYCLES} cycles up and down", ylabel="weight")

    return draw


def _programming(card: DeviceCard, seed: int) -> Drawing:
    targets, weights = probe.programmed(card, TARGETS, CELLS, seed)
    error = weights - targets[:, None]

    def draw(axes: Axes) -> None:
        middle, spread = error.mean(1), error.std(1)
        axes.fill_between(
            targets, middle - spread, middle + spread, color="0.6", alpha=0.4, label="1 std over cells"
        )
        axes.plot(targets, middle, color="k", label=f"mean of {CELLS} cells")
        axes.plot(targets, error[:, :SHOWN_CELLS], linewidth=0.6, alpha=0.7)
        axes.set(xlabel="target weight", ylabel="programmed weight less target")

    return draw


def converters(card: DeviceCard, _seed: int) -> Drawing | str:
    """Output against input of DAC and ADC, in units of their ranges; the inset shows the steps about zero."""
    periphery = card.periphery
    there = {name: one for name, one in (("DAC", periphery.dac), ("ADC", periphery.adc)) if one is not None}
    if not there:
        return "the card has no converters"

    def draw(axes: Axes) -> None:
        coarse = 6 / (2 ** min(one.bits for one in there.values()) - 2)
        inset = axes.inset_axes([0.56, 0.08, 0.4, 0.4])
        for place, (name, one) in enumerate(there.items()):
            label = f"{name}: {one.bits} bits, +-{one.range:g}, step {level_spacing(one):.3g}"
            for where, reach in ((axes, 1.5), (inset, min(coarse, 1.5))):
                values = torch.linspace(-reach, reach, 2001)
                where.plot(
                    values,
                    probe.transfer(one, values * one.range) / one.range,
                    color=f"C{place}",
                    label=label,
                )
                label = "_"
        axes.set(xlabel="input / range", ylabel="output / range")
        inset.tick_params(labelsize="x-small")

    return draw


def bounds_spread(card: DeviceCard, seed: int) -> Drawing | str:
    """Lowest and highest weight of every cell."""
    if card.weights.max is None:
        return "the card's weights have no bounds"
    return _spread(probe.cell_bounds(card, 4 * CELLS, seed), ("lowest", "highest"), "weight", "bounds")


def steps_spread(card: DeviceCard, seed: int) -> Drawing | str:
    """Step up and down of every cell at weight zero."""
    if card.update.kind not in ("pulsed", "one_sided") or card.preset is not None:
        return "the card's cells are not pulsed"
    return _spread(probe.cell_steps(card, 4 * CELLS, seed), ("up", "down"), "mean step at weight 0", "steps")


def _spread(values: tuple[Tensor, Tensor], labels: tuple[str, str], xlabel: str, what: str) -> Drawing | str:
    if all(float(one.max() - one.min()) <= 1e-6 * float(one.abs().max()) for one in values):
        return f"all cells have the same {what}"

    def draw(axes: Axes) -> None:
        for one, label in zip(values, labels, strict=True):
            told = f"{label}: {float(one.mean()):.4g} +- {float(one.std()):.2g}"
            axes.hist(one.numpy(), bins=40, alpha=0.6, label=told)
        axes.locator_params(axis="x", nbins=6)
        axes.set(xlabel=xlabel, ylabel=f"cells of {len(values[0])}")

    return draw


_SHIPPED = (
    Panel("read-noise", "Reads at a fixed input", read_noise_histogram),
    Panel("noise-spectrum", "Spectrum of successive reads", noise_spectrum),
    Panel("pulse-response", "Writing", pulse_response),
    Panel("converters", "Converters", converters),
    Panel("bounds", "Bounds of the cells", bounds_spread),
    Panel("steps", "Steps of the cells", steps_spread),
    Panel("ageing", "Ageing", ageing),
    Panel("ir-drop", "What cells lose to the wires", ir_drop),
)
PANELS: Registry[Panel] = Registry(
    "device panel", {panel.name: panel for panel in _SHIPPED}, instance_of(Panel)
)
"""In the order of the figure; those of plug-ins come last."""
