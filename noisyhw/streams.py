"""Random streams: every draw comes from a generator that is named, seeded and saved."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

LANE = 1 << 18
"""Numbers that one thread draws at once."""


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


def normal_(values: Tensor, generator: torch.Generator) -> Tensor:
    """Fill with standard normal numbers, in place (see :func:`in_lanes`)."""
    return in_lanes(values, generator, lambda lane, own: lane.normal_(generator=own))


def uniform_(values: Tensor, generator: torch.Generator) -> Tensor:
    """Fill with uniform numbers between 0 and 1, both left out, in place (see :func:`in_lanes`).

    They are from the middles of their grid's steps, so that a chance much smaller than a step is not taken for one.
    """
    step = 2.0**-53 if values.dtype == torch.float64 else 2.0**-24

    def fill(lane: Tensor, own: torch.Generator) -> Tensor:
        return lane.uniform_(generator=own).add_(step / 2).clamp_(max=1 - step)

    return in_lanes(values, generator, fill)


def in_lanes(
    values: Tensor, generator: torch.Generator, fill: Callable[[Tensor, torch.Generator], Tensor]
) -> Tensor:
    """Fill with random numbers, in place: small tensors at once, and large ones on a CPU by several threads.

    PyTorch draws on one thread. Here every lane of a large tensor has a generator of its own, whose seed depends on one
    number from ``generator`` and the lane's number: the result is the same for any number of threads.
    """
    if values.device.type != "cpu" or values.numel() < 2 * LANE or not values.is_contiguous():
        return fill(values, generator)
    seed = int(torch.randint(1 << 62, (), generator=generator))
    lanes = torch.split(values.view(-1), LANE)

    def draw(number: int) -> None:
        fill(lanes[number], torch.Generator().manual_seed(seed + number))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(draw, range(len(lanes))))
    return values
