"""The panel of voltage drop along wires: a map of what each cell loses, fast form beside the exact solve."""

from __future__ import annotations

from torch import Tensor

from ..cards.device import DeviceCard
from . import probe
from .panel import Axes, Drawing

SIZE = 64
"""Inputs and outputs of the array."""


def ir_drop(card: DeviceCard, _seed: int) -> Drawing | str:
    """Share of its weight that every cell of an array loses if all are at the largest weight, by both forms."""
    wires = card.periphery.ir_drop
    if wires is None:
        return "the card's wires have no resistance"
    weight, fast, exact = probe.wire_maps(card, SIZE)
    maps = {"as reads see it": 1 - fast / weight, "exact network": 1 - exact / weight}
    largest = 100 * max(float(share.max()) for share in maps.values())
    apart = float((fast - exact).norm() / exact.norm())
    about = (
        f"{SIZE} x {SIZE} cells at max, {wires.g_max_us:g} uS each, {wires.wire_resistance_ohm:g} ohm a segment;\n"
        f"the two differ by {100 * apart:.2g} % of the exact weights"
    )

    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        for place, (name, share) in enumerate(maps.items()):
            inset = axes.inset_axes((0.06 + 0.45 * place, 0.24, 0.37, 0.68))
            picture = _map(inset, 100 * share, largest)
            inset.set_title(name, fontsize="small")
            inset.set_ylabel("" if place else "input (driven from the left)", fontsize="x-small")
        bar = axes.figure.colorbar(picture, cax=axes.inset_axes((0.91, 0.24, 0.03, 0.68)))
        bar.set_label("% of its weight lost", fontsize="x-small")
        bar.ax.tick_params(labelsize="x-small")
        axes.text(0.5, 0.0, about, fontsize="x-small", ha="center", transform=axes.transAxes)

    return draw


def _map(axes: Axes, share: Tensor, largest: float) -> Axes:
    """Inputs from the top, outputs from the left, as the array is drawn in papers."""
    look = {"cmap": "viridis", "interpolation": "nearest", "aspect": "auto"}
    picture = axes.imshow(share.t().numpy(), vmin=0, vmax=largest, **look)
    axes.set_xlabel("output (sensed below)", fontsize="x-small")
    axes.tick_params(labelsize="x-small")
    axes.locator_params(nbins=5)
    return picture
