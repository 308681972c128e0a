"""Asking all panels for their pictures of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..plugins import LOGGER
from .panel import Findings, Panel, Picture
from .panels import PANELS
from .style import styled, svg_text


def pictures(study: str, found: Findings) -> tuple[Picture, ...]:
    """Return what the panels draw, in their order; one of another package that fails is told and left out.

    Args:
        study: its name, which starts each picture's.
        found: what there is to draw.
    """
    drawn: dict[str, Picture] = {}
    for panel in PANELS.values():
        for picture in _asked(panel, found):
            name = f"{study}-{plain(picture.name)}"
            if name in drawn:
                LOGGER.warning("noisyhw: panel '%s': picture '%s' is there already", panel.name, picture.name)
            else:
                drawn[name] = replace(picture, name=name)
    return tuple(drawn.values())


def plain(name: str) -> str:
    """Return a name that can be that of a file."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _asked(panel: Panel, found: Findings) -> Sequence[Picture]:
    if type(panel).__module__.startswith("noisyhw."):
        return _drawn(panel, found)
    try:
        given = _drawn(panel, found)
        for picture in given:
            svg_text(picture.figure)  # what cannot be saved shows here
    except Exception as error:  # anything can go wrong in another package
        LOGGER.warning(
            "noisyhw: panel '%s' is left out: %s: %s",
            panel.name,
            type(error).__name__,
            error or "without a word",
        )
        return ()
    return given


@styled
def _drawn(panel: Panel, found: Findings) -> Sequence[Picture]:
    return list(panel.draw(found)) if panel.applies(found) else []
