"""Where a run computes: on the processor, or on a CUDA device."""

from __future__ import annotations

import torch

from ..errors import UsageError, choose

CHOICES = ["cpu", "cuda", "auto"]


def choose_accelerator(wanted: str) -> torch.device:
    """Return the device that computes; ``auto`` takes a CUDA device if there is one.

    Raises:
        UsageError: there is no such choice, or no CUDA device.
    """
    if wanted not in CHOICES:
        raise UsageError(choose("accelerator", wanted, CHOICES))
    if wanted == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this PyTorch is a CPU build"
        raise UsageError(f"accelerator: no CUDA device was found{built}; leave it out, or use cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
