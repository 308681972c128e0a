"""How figures look: colours that colour-blind readers tell apart, on light and on dark; markers; fonts; inlined SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT = ("#0067a8", "#c4500a", "#00805c", "#a84382", "#3f3fa8", "#8a6a00", "#4d7d9c", "#7a4a2a")
"""Blue, vermilion, green, purple, indigo, ochre, steel, brown; after Okabe and Ito, darker for thin lines."""
DARK = ("#56b4e9", "#f08a4b", "#2fc79a", "#e38fc4", "#9d9df5", "#e0c24a", "#9cc4dc", "#c99a78")
MARKERS = "osD^vPX*"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
INK = "#1b1d21"
FAINT = "#8b9098"
COLOURS = len(LIGHT)
"""More lines than this are not drawn in one panel."""

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "figure.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "noisyhw",
}
"""Settings of matplotlib."""

_VARIABLES = {
    **{colour: f"var(--line{index})" for index, colour in enumerate(LIGHT)},
    INK: "var(--ink)",
    FAINT: "var(--faint)",
}


Given = ParamSpec("Given")
Made = TypeVar("Made")


def styled(draw: Callable[Given, Made]) -> Callable[Given, Made]:
    """Let a function draw with the settings above."""

    @wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        import matplotlib

        settings: Any = RC
        with matplotlib.rc_context(settings):
            return draw(*args, **kwargs)

    return drawn


@styled
def svg_text(figure: Figure) -> str:
    """Return a figure as SVG, the same text each time."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def inlined(svg: str, name: str, title: str) -> str:
    """Return an SVG as a part of a page: its colours follow the page's, its names are its own, it fits the width.

    Args:
        svg: as :func:`svg_text` makes it.
        name: of the figure, put before all ids.
        title: what it shows, for those who do not see it.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.S)
    for colour, variable in _VARIABLES.items():
        body = body.replace(f": {colour}", f": {variable}")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--figure-font)", body)
    width = re.search(r'<svg[^>]*? width="([\d.]+)pt"', body)
    body = re.sub(r'(<svg[^>]*?) width="[\d.]+pt"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", body, count=1)
    size = (
        f"min-width:{float(width[1]) * 0.95:.0f}px;max-width:{float(width[1]) * 1.75:.0f}px" if width else ""
    )
    return body.replace("<svg ", f'<svg role="img" aria-label="{_attribute(title)}" style="{size}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
