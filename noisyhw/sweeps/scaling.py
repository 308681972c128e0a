"""Axes that multiply what a card says: ``device.read_noise.scale`` and ``PATH.scale`` for any one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..cards.device import ReadNoise
from ..cards.messages import at, inner_blocks
from ..cards.registered import NOISES, NoiseBlock
from ..cards.yaml_lines import Located, shown
from ..errors import CardError

SCALE = "scale"
READ_NOISE = ["device", "read_noise"]
AMPLITUDES = {
    name: block.scales
    for name in ReadNoise.model_fields
    for block in inner_blocks((ReadNoise,), name)
    if issubclass(block, NoiseBlock)
}
"""Read noise's shipped sources and how large each is; ``mean`` is an offset, not noise, and stays."""

Change = Callable[[Located], Located]


def is_scale(keys: Sequence[str]) -> bool:
    """Whether these keys name no field, but a factor for what lies above."""
    return len(keys) > 1 and keys[-1] == SCALE


def scaled(tree: Located, keys: Sequence[str], factor: Located) -> Located:
    """Return an experiment's tree with the numbers at a path multiplied.

    Args:
        tree: merged, not yet checked.
        keys: a path that ends in ``scale``.
        factor: a number >= 0.

    Raises:
        CardError: the factor is none, or the card says nothing there that could be multiplied.
    """
    value = factor.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise CardError(
            at(factor.origin, f"{'.'.join(keys)}: must be a finite number >= 0, got {shown(factor)}")
        )
    path = list(keys[:-1])

    def times(node: Located) -> Located:
        return _times(node, float(value), factor.origin)

    if path == READ_NOISE:
        return _changed(tree, path, lambda noise: _amplitudes(noise, times, factor, tree), factor, tree)
    return _changed(tree, path, times, factor, tree)


def _changed(
    node: Located, path: Sequence[str], change: Change, factor: Located, tree: Located, depth: int = 0
) -> Located:
    if depth == len(path):
        if isinstance(node.value, dict) and list(path) != READ_NOISE:
            raise CardError(
                at(factor.origin, f"{'.'.join(path)}.scale: {path[-1]} is a block; name one number of it")
            )
        return change(node)
    inner = node.entries.get(path[depth])
    if inner is None or inner.value is None:
        raise _nothing(path, factor, tree)
    return replace(
        node, value=node.entries | {path[depth]: _changed(inner, path, change, factor, tree, depth + 1)}
    )


def _amplitudes(noise: Located, times: Change, factor: Located, tree: Located) -> Located:
    entries = dict(noise.entries)
    known = AMPLITUDES | {name: kind.options.scales for name, kind in NOISES.items()}
    present = [key for key in known if key in entries and entries[key].entries.get(known[key])]
    if not present:
        raise _nothing(READ_NOISE, factor, tree)
    for key in present:
        source, amplitude = entries[key], known[key]
        entries[key] = replace(source, value=source.entries | {amplitude: times(source.entries[amplitude])})
    return replace(noise, value=entries)


def _times(node: Located, factor: float, origin: str) -> Located:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise CardError(at(origin, f"scale: must multiply a number, and the card says {shown(node)}"))
    return Located(node.value * factor, origin)


def _nothing(path: Sequence[str], factor: Located, tree: Located) -> CardError:
    device = tree.entries.get("device", Located({}, "")).entries.get("name")
    name = f"device '{device.value}'" if device is not None and path[0] == "device" else "the experiment"
    return CardError(
        at(
            factor.origin,
            f"{'.'.join(path)}.scale: {name} says nothing there that could be multiplied; leave it out of this "
            "sweep, or set the field itself",
        )
    )
