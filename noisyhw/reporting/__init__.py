"""Pages that a researcher can publish from, made of sweep folders and run folders."""

from .page import report

__all__ = ["report"]
