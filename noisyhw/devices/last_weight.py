"""Keeping what was made of a tile's weights until these are written."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


class LastWeight:
    """What was made of one weight tensor; it is made anew when another tensor comes or this one has been changed."""

    def __init__(self) -> None:
        self.weight: Tensor | None = None
        self.version = -1
        self.result: Tensor | None = None

    def made(self, weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``make(weight)``, perhaps from memory."""
        if self.result is None or self.weight is not weight or self.version != weight._version:
            self.result = make(weight)
            self.weight, self.version = weight, weight._version
        return self.result
