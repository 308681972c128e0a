"""Networks of one's own: a ``torch.nn.Module`` whose weights lie on tiles and whose rest is digital."""

from __future__ import annotations

from .trace import Traced, from_torch

__all__ = ["Traced", "from_torch"]
