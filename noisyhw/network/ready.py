"""Whether a module can be taken as it is, before it is traced; and the copy that is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from ..errors import UsageError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def ready(module: nn.Module) -> nn.Module:
    """Return a copy to be trained, in single precision and on the CPU.

    Parts that are in evaluation while the whole is in training stay there; a whole in evaluation is put in training.

    Raises:
        UsageError: names a part that would not be trained as PyTorch trains it.
    """
    _check_script(module)
    _check_whole(module)
    for name, one in module.named_modules():
        _check_lazy(name, one)
        _check_changed(name, one)
        _check_parameters(name, one)
    _check_tied(module)
    _check_modes(module)
    try:
        made = copy.deepcopy(module)
    except Exception as error:  # whatever a module may hold
        raise UsageError(
            f"network: {type(module).__name__} cannot be copied ({type(error).__name__}: {error}); keep in it what "
            "copy.deepcopy can copy"
        ) from None
    made = made.cpu().float()
    return made if made.training else made.train()


def named(name: str, module: nn.Module) -> str:
    """A module's place and kind, for messages."""
    return f"{name} ({type(module).__name__})" if name else type(module).__name__


def _check_script(module: nn.Module) -> None:
    for name, one in module.named_modules():
        if isinstance(one, torch.jit.ScriptModule):
            raise UsageError(
                f"network: {named(name, one)} is compiled by TorchScript; give the nn.Module that it was"
            )
        if hasattr(one, "_orig_mod"):
            raise UsageError(
                f"network: {named(name, one)} is compiled; give the module that went into torch.compile"
            )


def _check_whole(module: nn.Module) -> None:
    if isinstance(module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
        raise UsageError(
            f"network: {type(module).__name__} has no forward; give an nn.Sequential or a module of your own"
        )


def _check_lazy(name: str, module: nn.Module) -> None:
    own = (*module._parameters.values(), *module._buffers.values())
    if any(one is not None and is_lazy(one) for one in own):
        raise UsageError(
            f"network: {named(name, module)} has no size yet; call the network once with a batch before you give it"
        )


def _check_changed(name: str, module: nn.Module) -> None:
    """Refuse what acts on a module from without: it is not seen in the graph."""
    if parametrize.is_parametrized(module):
        which = ", ".join(module.parametrizations)  # type: ignore[arg-type]  # it has them
        raise UsageError(
            f"network: {named(name, module)}: {which} is parametrized; take that off with "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    if any(getattr(module, hooks, None) for hooks in _HOOKS):
        raise UsageError(
            f"network: {named(name, module)} has hooks, which are not traced; take them off with their handle's "
            "remove() (weight norm and pruning: torch.nn.utils.remove_weight_norm, prune.remove)"
        )


def _check_parameters(name: str, module: nn.Module) -> None:
    for own, value in (*module._parameters.items(), *module._buffers.items()):
        if value is None:
            continue
        where = f"{name}.{own}".lstrip(".")
        if value.is_meta:
            raise UsageError(
                f"network: {where} is on the meta device and has no values; load the module's weights"
            )
        if value.is_complex() or value.is_quantized:
            raise UsageError(
                f"network: {where} holds {value.dtype}; a device has real weights, e.g. torch.float32"
            )
    for own, value in module._parameters.items():
        where = f"{name}.{own}".lstrip(".")
        if value is not None and not value.requires_grad:
            raise UsageError(
                f"network: {where} is frozen (requires_grad=False), and all weights are trained here; call "
                "requires_grad_(True), or compute what it gives beforehand, as the network's input"
            )
        if value is not None and value._backward_hooks:
            raise UsageError(f"network: {where} has hooks, which are not traced; take them off")


def _check_tied(module: nn.Module) -> None:
    """Refuse two modules with one weight: a device has a tile for each."""
    seen: list[tuple[str, int, int, int]] = []
    for name, one in module.named_modules():
        for own, value in one._parameters.items():
            if value is None or not value.numel():
                continue
            where = f"{name}.{own}".lstrip(".")
            store, first, last = _extent(value)
            for other, its_store, its_first, its_last in seen:
                if store == its_store and first <= its_last and its_first <= last:
                    raise UsageError(
                        f"network: {where} and {other} are one weight, and each module has tiles of its own; call one "
                        "module twice, or give them weights of their own"
                    )
            seen.append((where, store, first, last))


def _extent(value: Tensor) -> tuple[int, int, int]:
    """Where a tensor's values lie: its memory, and the first and last place there."""
    first = int(value.storage_offset())
    span = sum(
        (int(size) - 1) * int(stride) for size, stride in zip(value.shape, value.stride(), strict=True)
    )
    return value.untyped_storage().data_ptr(), first, first + span


def _check_modes(module: nn.Module) -> None:
    """Refuse a whole in evaluation of which a part is in training: nobody can tell what is meant."""
    if module.training:
        return
    for name, one in module.named_modules():
        if one.training:
            raise UsageError(
                f"network: {named(name, one)} is in training mode, and {type(module).__name__} is not; call train() on "
                "the whole, then eval() on what is to stay in evaluation"
            )
