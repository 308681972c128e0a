"""The panel of ageing: weights against the time since they were written."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..cards.ageing import seconds
from ..cards.device import DeviceCard
from ..devices.temperature import speed_at
from . import probe
from .panel import Axes, Drawing

LEVELS, CELLS, TIMES = 5, 400, 61
LOW, HIGH = 0.16, 0.84
"""Quantiles of the band: one std each way of a normal distribution."""
SHORTEST_S, LONGEST_S = 1e-12, 1e12
MARKS = ("1s", "1min", "1h", "1d", "30d", "1y", "10y", "100y", "1000y")


def ageing(card: DeviceCard, seed: int) -> Drawing | str:
    """Median and spread over cells that were written to five levels, against log time since then.

    At the card's temperature; if that is not the reference, medians at the reference are there too.
    """
    if card.drift is None and card.retention is None:
        return "the card's cells do not age"
    times = np.geomspace(*_span(card), TIMES)
    weights = probe.aged(card, LEVELS, CELLS, times.tolist(), seed, card.temperature_k)
    low, middle, high = (torch.quantile(weights, share, dim=-1).numpy() for share in (LOW, 0.5, HIGH))
    reference = _reference_k(card)
    cool = None if reference is None else probe.aged(card, LEVELS, CELLS, times.tolist(), seed, None)

    def draw(axes: Axes) -> None:
        where = "" if reference is None else f" at {card.temperature_k:g} K"
        for n in range(LEVELS):
            names = (
                ("_", "_", "_") if n else (f"median cell{where}", f"{HIGH - LOW:.0%} of cells", "median at ")
            )
            axes.plot(times, middle[:, n], color=f"C{n}", label=names[0])
            axes.fill_between(
                times, low[:, n], high[:, n], color=f"C{n}", alpha=0.25, linewidth=0, label=names[1]
            )
            if cool is not None:
                label = f"{names[2]}{reference:g} K" if n == 0 else "_"
                axes.plot(
                    times, cool.median(-1).values[:, n], "--", color=f"C{n}", linewidth=0.9, label=label
                )
        unit = _mark_times(axes, card)
        axes.set(xlabel=f"time since the last write{unit}", ylabel=f"weight, {CELLS} cells a level")

    return draw


def _reference_k(card: DeviceCard) -> float | None:
    """The reference temperature, if the card is at another one."""
    if card.temperature is None or card.temperature_k in (None, card.temperature.reference_k):
        return None
    return card.temperature.reference_k


def _span(card: DeviceCard) -> tuple[float, float]:
    """First and last time to show, in s: before anything has changed, and when drift has slowed or all is forgotten."""
    if card.drift is not None:
        first, last = card.drift.t0_s / 10, card.drift.t0_s * 1e6
    else:
        assert card.retention is not None
        wide = math.exp(min(3 * card.retention.tau_spread, 20))
        speed = speed_at(card.temperature, card.temperature_k)
        first = card.retention.tau_s / 300 / wide / max(speed, 1)
        last = card.retention.tau_s * 10 * wide / min(speed, 1)
    first, last = max(first, SHORTEST_S), min(last, LONGEST_S)
    age = seconds(card.age)
    return (min(first, age / 3), max(last, age * 3)) if age else (first, last)


def _mark_times(axes: Axes, card: DeviceCard) -> str:
    """A log axis with everyday marks where these fit, and the card's age; returns the unit, if it needs one."""
    axes.set_xscale("log")
    if seconds(card.age):
        axes.axvline(seconds(card.age), color="0.3", linewidth=0.8, linestyle=":", label=f"age {card.age}")
    low, high = axes.get_xlim()
    marks = {mark: seconds(mark) for mark in MARKS if low <= seconds(mark) <= high}
    if len(marks) < 3:
        return " (s)"
    axes.set_xticks(list(marks.values()), list(marks), minor=False)
    axes.minorticks_off()
    return ""
