"""From a card's word on a network to a traced module."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .. import foreign
from ..cards.experiment import Network
from ..errors import UsageError
from ..fingerprint import fingerprint
from ..tasks import Data
from .trace import Traced, bytes_of, content_of

OWN = ("module", "object", "code", "arguments", "input", "weight_scaling")
"""Fields that mean something to a module; the others describe a network without one."""
_draws_all: set[str] = set()
"""Classes with arguments, whose modules were seen to draw all their numbers with their seed."""


def card_of(network: nn.Module | Traced) -> dict[str, Any]:
    """Return the fields of a card that stands for a network that is given as an object; it is kept in this process."""
    content = network.content if isinstance(network, Traced) else content_of(network)
    return {"object": foreign.give(copy.deepcopy(network), content)}


def resolved(card: Network) -> dict[str, Any]:
    """Return what is filled in of a card with a module: nothing, where it has none.

    Raises:
        UsageError: its file may not run or has no such module, or another field would change nothing.
    """
    if not card.has_module:
        for name in ("arguments", "input"):
            if getattr(card, name):
                raise UsageError(
                    f"network.{name}: is of a module; name one in network.module, or leave it out"
                )
        return {}
    for name, field in Network.model_fields.items():
        if name not in OWN and getattr(card, name) != field.get_default():
            raise UsageError(f"network.{name}: a module brings its own; leave it out")
    if card.module is None:
        return {}
    kind = _class(card)
    where = foreign.reference(card.module)
    assert where is not None
    return {"module": f"{where.file}:{kind.__name__}", "code": _code(kind, card.arguments)}


def traced_from(card: Network, data: Data, image: tuple[int, ...] | None, seed: int) -> Traced:
    """Make and trace a card's module, for a task's data.

    Args:
        card: with a module.
        data: of the task.
        image: shape of a sample of images; a module that does not take it gets flat samples. None: no images.
        seed: the module's class draws its first weights with it.

    Raises:
        UsageError: the module cannot be made, cannot be simulated, or does not fit the data.
    """
    made = foreign.given(card.object, "network") if card.object is not None else _made(card, seed)
    traced = made if isinstance(made, Traced) else _fitting(made, card.input, image, data.inputs)
    if math.prod(traced.input) != data.inputs:
        raise UsageError(_wrong_size(traced.input, data.inputs))
    if traced.outputs != data.outputs:
        raise UsageError(f"network: gives {traced.outputs} outputs, and the task has {data.outputs}")
    return traced


def _fitting(
    module: nn.Module, asked: tuple[int, ...] | None, image: tuple[int, ...] | None, inputs: int
) -> Traced:
    """Trace a module for samples of the shape that is asked for, or for images, or for flat samples."""
    shape = asked or image or (inputs,)
    if math.prod(shape) != inputs:
        raise UsageError(_wrong_size(shape, inputs))
    try:
        return Traced(module, shape)
    except UsageError:
        if asked is not None or image is None:
            raise
        with contextlib.suppress(UsageError):
            return Traced(module, (inputs,))
        raise


def _wrong_size(shape: tuple[int, ...], inputs: int) -> str:
    return f"network.input: {list(shape)} has {math.prod(shape)} values, and a sample of the task {inputs}"


def _class(card: Network) -> type[nn.Module]:
    where = foreign.reference(card.module or "")
    if where is None:
        raise UsageError(f"network.module: name a class in a file, ./my_net.py:MyNet, got {card.module!r}")
    kind = foreign.load(where, nn.Module, "network")
    if card.code and card.code != _code(kind, card.arguments):
        same = card.code.split()[:1] == foreign.code_of(kind).split()
        what = "what it loads, and does not draw with its seed," if same else f"the code of {kind.__name__}"
        raise UsageError(
            f"network: {what} has changed since this run began; put it back, or start again with --fresh"
        )
    return kind


def _code(kind: type[nn.Module], arguments: dict[str, Any]) -> str:
    """Return what names a class's code, and the numbers that its modules load."""
    code = foreign.code_of(kind)
    key = f"{code} {_shown(arguments)}"
    if key in _draws_all:
        return code
    loaded = _loaded(kind, arguments)
    if not loaded:
        _draws_all.add(key)
        return code
    return f"{code} {fingerprint(loaded)}"


def _loaded(kind: type[nn.Module], arguments: dict[str, Any]) -> list[bytes]:
    """What is in a module whatever its seed, but for zeros, ones and the like: numbers from files, or computed ones."""
    one, other = (_drawn(kind, arguments, seed).state_dict() for seed in (0, 1))
    return [
        part
        for name, value in one.items()
        if isinstance(value, Tensor) and not is_lazy(value) and value.numel() and not value.is_meta
        if bool((value != value.flatten()[0]).any()) and torch.equal(value, other[name])
        for part in (name.encode(), bytes_of(value))
    ]


def _made(card: Network, seed: int) -> nn.Module:
    return _drawn(_class(card), card.arguments, seed)


def _drawn(kind: type[nn.Module], arguments: dict[str, Any], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return kind(**arguments)
        except Exception as error:  # whatever a module's own code may raise
            raise UsageError(
                f"network: {kind.__name__}({_shown(arguments)}) fails: {type(error).__name__}: {error}"
            ) from None


def _shown(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
