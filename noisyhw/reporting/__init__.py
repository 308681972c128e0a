"""Pages that a researcher can publish from, made of sweep folders and run folders."""

from .page import report
from .panel import Findings, Panel, Picture
from .panels import PANELS

__all__ = ["PANELS", "Findings", "Panel", "Picture", "report"]
