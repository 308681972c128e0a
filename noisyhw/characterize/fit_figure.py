"""Data against the fitted model, with residuals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .figures import finish, new_figure, save_figure
from .fitting import Fitted
from .likelihood import Vector
from .pulse_fit import PulseFit

SHOWN_DEVICES = 4
LAGS = 30


def draw_fit(fitted: Fitted, path: Path) -> None:
    """Draw a fit's data, model and residuals as PNG or SVG, by the path's ending.

    Raises:
        RunError: the file cannot be written.
    """
    figure, grid = new_figure(1, 3)
    panels = _pulse_panels(fitted) if fitted.pulses else _read_panels(fitted)
    for axes, (title, draw) in zip(grid, panels, strict=True):
        draw(axes)
        finish(axes, title)
    count = len(fitted.devices)
    figure.suptitle(
        f"{fitted.model} fitted to {fitted.file}, {count} device{'s' * (count > 1)}", fontsize="medium"
    )
    save_figure(figure, path)


def _pulse_panels(fitted: Fitted) -> list[tuple[str, Any]]:
    first = fitted.pulses[0]

    def steps(axes: Any) -> None:
        for rows, sign, color in ((first.data.up, "up", "C0"), (~first.data.up, "down", "C1")):
            axes.plot(
                first.data.before[rows],
                first.data.change[rows],
                ".",
                color=color,
                ms=2,
                alpha=0.5,
                label=sign,
            )
            _model_line(axes, first, rows, color)
        axes.set(xlabel="weight before the pulse", ylabel="change of weight")

    def residuals(axes: Any) -> None:
        for one, name in list(zip(fitted.pulses, fitted.devices, strict=True))[:SHOWN_DEVICES]:
            axes.plot(one.data.before, one.residuals(), ".", ms=2, alpha=0.5, label=f"device {name}")
        for level in (-1.96, 1.96):
            axes.axhline(level, color="0.3", linewidth=0.8, linestyle="--")
        axes.set(xlabel="weight before the pulse", ylabel="residual / std")

    def normal(axes: Any) -> None:
        _normal_plot(axes, np.concatenate([one.residuals() for one in fitted.pulses]))

    return [
        (f"Steps of device {fitted.devices[0]}", steps),
        ("Residuals", residuals),
        ("Residuals in order", normal),
    ]


def _model_line(axes: Any, one: PulseFit, rows: Any, color: str) -> None:
    """Mean step, and two std of what a measured change scatters by."""
    weight = np.linspace(one.data.before.min(), one.data.before.max(), 100)
    up = np.full(len(weight), bool(one.data.up[rows][0]))
    mean = one.physics.mean(weight, up)
    std = np.sqrt(one.physics.variance(mean, up, one.model.scales) + 2 * one.physics.write_noise**2)
    axes.plot(weight, mean, color=color)
    axes.fill_between(weight, mean - 2 * std, mean + 2 * std, color=color, alpha=0.15, linewidth=0)


def _read_panels(fitted: Fitted) -> list[tuple[str, Any]]:
    values = fitted.reads[0]
    centred = values - values.mean()
    means = {name: found.mean.value for name, found in fitted.parameters.items()}
    amplitude, std = means.get("amplitude", 0.0), means["std"]
    r = 1 - 2 * means.get("flip_probability", 0.0)

    def histogram(axes: Any) -> None:
        axes.hist(
            centred,
            bins=50,
            density=True,
            color="0.75",
            label=f"{len(values)} reads of device {fitted.devices[0]}",
        )
        grid = np.linspace(centred.min(), centred.max(), 300)
        axes.plot(grid, _density(grid, std, amplitude), color="C3", label="model")
        axes.set(xlabel="read less mean", ylabel="density")

    def correlations(axes: Any) -> None:
        lags = np.arange(1, min(LAGS, len(values) // 2))
        axes.plot(
            lags,
            [float(centred[k:] @ centred[:-k] / (centred @ centred)) for k in lags],
            "o",
            ms=3,
            label="data",
        )
        share = amplitude**2 / (amplitude**2 + std**2)
        axes.plot(lags, share * r**lags, color="C3", label="model")
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.set(xlabel="reads apart", ylabel="correlation")

    def residuals(axes: Any) -> None:
        if amplitude:
            _quantile_residuals(axes, centred, std, amplitude)
        else:
            _normal_plot(axes, centred / std)

    return [("Reads", histogram), ("Memory", correlations), ("Residuals in order", residuals)]


def _density(grid: Vector, std: float, amplitude: float) -> Vector:
    parts = [np.exp(-0.5 * ((grid - sign * amplitude) / std) ** 2) for sign in (-1, 1)]
    return np.asarray((parts[0] + parts[1]) / 2 / std / math.sqrt(2 * math.pi))


def _quantile_residuals(axes: Any, values: Vector, std: float, amplitude: float) -> None:
    """Reads turned into normal scores by the model's distribution."""
    from scipy.stats import norm

    chance = (norm.cdf((values - amplitude) / std) + norm.cdf((values + amplitude) / std)) / 2
    _normal_plot(axes, norm.ppf(chance.clip(1e-9, 1 - 1e-9)))


def _normal_plot(axes: Any, residuals: Vector) -> None:
    """Ordered residuals against those of a Gaussian: on the line where the model is right."""
    from scipy.stats import norm

    count = len(residuals)
    wanted = norm.ppf((np.arange(count) + 0.5) / count)
    axes.plot(wanted, np.sort(residuals), ".", ms=2, label=f"{count} residuals")
    axes.plot(wanted[[0, -1]], wanted[[0, -1]], color="C3", label="Gaussian")
    axes.set(xlabel="expected of a Gaussian", ylabel="residual / std")
