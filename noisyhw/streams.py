"""Random streams: every draw comes from a generator that is named, seeded and saved."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the generator of one named purpose, e.g. ``stream(0, "layer", 2, "read")``.

    Streams of different names are independent, so drawing more from one never shifts another.

    Args:
        seed: the run's seed.
        names: what the numbers are for.
        device: where the numbers are drawn.
    """
    label = "/".join(str(part) for part in (seed, *names))
    digest = hashlib.sha256(label.encode()).digest()
    generator = torch.Generator(device=device)
    generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return generator
