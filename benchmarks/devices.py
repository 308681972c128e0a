"""What a device costs beyond a plain product, and what aihwkit's C++ tiles take for the same, where it is installed.

    python benchmarks/devices.py [--rounds N] [--no-aihwkit] [--slow] [--out FOLDER]

All ratios are measured in one run, by turns, against PyTorch's own product of the same matrices: noisy read and update
of a 1024x3072 tile with a batch of 1000, and a convolution of 3x3 from 32 to 64 channels on 64 images of 32x32. A read
has converters and noise. aihwkit's time for an update follows the number of pulses, up to minutes: above learning rate
1e-5 it is timed once, and only where asked for (--slow).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timing import by_turns, ratio, report
from torch import Tensor

from noisyhw import Device
from noisyhw.chip.patches import Patches
from noisyhw.memory import keep_freed_memory

BATCH, INPUTS, OUTPUTS = 1000, 3072, 1024
PRESETS = {"rram": "ReRamSB", "rram-exp": "ReRamES", "ecram": "EcRam", "capacitor": "Capacitor"}
RATES = (1e-5, 1e-3, 1e-1)
Work = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-aihwkit", action="store_true")
    parser.add_argument("--slow", action="store_true", help="aihwkit's updates of many pulses too")
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    arguments = parser.parse_args()
    keep_freed_memory()
    theirs = None if arguments.no_aihwkit else aihwkit()
    command = f"python benchmarks/devices.py --rounds {arguments.rounds}"
    for title, tables in (
        ("Noisy read: 1024x3072, batch 1000", forward(theirs)),
        ("Convolution: 3x3, 32 to 64 channels, 64 images of 32x32", convolution(theirs)),
        ("Pulsed update: 1024x3072, batch 1000", update(theirs)),
    ):
        contenders, slow = tables
        table = measured(contenders, slow if arguments.slow else {}, arguments.rounds)
        report(title, command, table, arguments.out)


def measured(contenders: dict[str, Work], slow: dict[str, Work], rounds: int) -> dict[str, dict[str, float]]:
    """Every contender by turns, the slow ones once, beside the first."""
    seconds = by_turns(contenders, rounds)
    yardstick = next(iter(contenders))
    table = {name: ratio(seconds, name, yardstick) for name in seconds}
    for name, work in slow.items():
        started = time.perf_counter()
        work()
        once = {name: [time.perf_counter() - started], yardstick: [table[yardstick]["seconds"]]}
        table[name] = ratio(once, name, yardstick)
    return table


def forward(theirs: Any) -> tuple[dict[str, Work], dict[str, Work]]:
    """Reads of one batch."""
    weight, x, _ = matrices()
    contenders: dict[str, Work] = {"plain product": lambda: x @ weight.t()}
    for name in ("ideal", "rram", "ecram", "smtj", "pcm"):
        tile = Device(name).tile(weight)
        contenders[name] = lambda tile=tile: tile.forward(x[None])  # type: ignore[misc]
    if theirs:
        for preset in PRESETS.values():
            tile = theirs.linear(preset, weight)
            contenders[f"aihwkit {preset}"] = lambda tile=tile: tile.forward(x)  # type: ignore[misc]
    return contenders, {}


def update(theirs: Any) -> tuple[dict[str, Work], dict[str, Work]]:
    """Updates by pulses."""
    weight, x, d = matrices()
    contenders: dict[str, Work] = {"plain outer product": lambda: d.t() @ x}
    slow: dict[str, Work] = {}
    for name, preset in PRESETS.items():
        for rate in RATES:
            tile = Device(name).tile(weight)
            contenders[f"{name}, learning rate {rate:g}"] = (  # type: ignore[misc]
                lambda tile=tile, rate=rate: tile.update(x, d, rate * BATCH)
            )
            if theirs:
                other = theirs.linear(preset, weight)
                other.set_learning_rate(rate)
                place = contenders if rate <= RATES[0] else slow
                place[f"aihwkit {preset}, learning rate {rate:g}"] = (  # type: ignore[misc]
                    lambda other=other: other.update(x, d)
                )
    return contenders, slow


def convolution(theirs: Any) -> tuple[dict[str, Work], dict[str, Work]]:
    """One read of all patches, cutting included."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 32, 32, 32, generator=generator)
    kernel = torch.randn(64, 32, 3, 3, generator=generator) * 0.05
    patches = Patches(32, 32, 32, kernel=3, stride=1, padding=1)
    flat = images.permute(0, 2, 3, 1).reshape(1, 64, -1).contiguous()
    weight = kernel.permute(0, 2, 3, 1).reshape(64, -1).contiguous()
    contenders: dict[str, Work] = {"plain convolution": lambda: F.conv2d(images, kernel, padding=1)}
    for name in ("ideal", "rram", "ecram"):
        tile = Device(name).tile(weight)
        contenders[name] = lambda tile=tile: tile.forward(patches.cut(flat))  # type: ignore[misc]
    if theirs:
        layer = theirs.convolution("ReRamSB")
        contenders["aihwkit ReRamSB"] = lambda: layer(images)
    return contenders, {}


def matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Weights [outputs, inputs], inputs and errors of a batch."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(OUTPUTS, INPUTS, generator=generator) * 0.02
    x = torch.rand(BATCH, INPUTS, generator=generator)
    return weight, x, torch.randn(BATCH, OUTPUTS, generator=generator)


class Aihwkit:
    """aihwkit's tiles with its presets and its default converters and noise."""

    def __init__(self) -> None:
        from aihwkit.simulator import configs
        from aihwkit.simulator.presets import devices

        self.configs, self.devices = configs, devices

    def _config(self, preset: str) -> Any:
        return self.configs.SingleRPUConfig(device=getattr(self.devices, f"{preset}PresetDevice")())

    def linear(self, preset: str, weight: Tensor) -> Any:
        """A tile that holds ``weight``."""
        config = self._config(preset)
        tile = config.tile_class(*weight.shape, config)
        tile.set_weights(weight)
        return tile

    def convolution(self, preset: str) -> Any:
        """A convolution layer, used without autograd."""
        from aihwkit.nn import AnalogConv2d

        layer = AnalogConv2d(32, 64, 3, padding=1, bias=False, rpu_config=self._config(preset))
        return torch.no_grad()(layer.forward)


def aihwkit() -> Aihwkit | None:
    """Return aihwkit, or None with a word about it."""
    try:
        return Aihwkit()
    except ImportError:
        print("aihwkit is not installed; its rows are left out (bash scripts/aihwkit.sh builds it)")
        return None


if __name__ == "__main__":
    main()
