"""A traced network against the module that it came from: it computes the same and learns along the same gradient."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from ..errors import UsageError
from .dry import SAMPLES_FIRST, Seen, exact
from .known import sites_of
from .ready import named
from .rewrite import DRAWN, DROPOUTS, RANDOM, first_words

TOLERANCE = 1e-4
"""Largest difference, relative to the largest output, of two ways to compute the same in single precision."""
LOOSE = 1e-2
"""The same of gradients, and of outputs behind a batch's own statistics, where rounding is divided by small numbers."""
SAMPLES, TRIES = 4, 2


def evaluated(graph: fx.GraphModule, module: nn.Module, input: Sequence[int]) -> Seen:
    """Return what some samples show of a network that is not learning.

    Args:
        graph: of the network.
        module: that it came from.
        input: shape of one sample.

    Raises:
        UsageError: the module fails, draws numbers, mixes samples, gives no [samples, outputs], or is not what is made
            of it here.
    """
    plain = copy.deepcopy(module).eval()
    with _seeded(0), torch.no_grad():
        x = torch.randn(3, *input)
        outputs = _called(plain, x)
        _check_outputs(outputs)
        again, alone = _called(plain, x), [_called(plain, one[None]) for one in x]
    if not torch.equal(outputs, again):
        raise UsageError(
            "network: gives other outputs each time it is called in evaluation; use nn.Dropout for random parts, and "
            "training=self.training in functions"
        )
    if any(one.shape != outputs[:1].shape for one in alone) or not _alike(
        outputs, torch.cat(alone), TOLERANCE
    ):
        raise UsageError("network: a sample's outputs depend on the other samples of its batch")
    seen = _simulated(graph, x, learning=False)
    if not (isinstance(seen.outputs, Tensor) and _alike(outputs, seen.outputs, TOLERANCE)):
        raise UsageError(
            "network: what was traced in training does not give what the module gives in evaluation; its forward may "
            "ask for self.training (leave that to nn.Dropout and norms), or change values in place that it uses again"
        )
    for index, one in enumerate(x):
        _check_order(graph, seen, _simulated(graph, one[None], learning=False), index, len(x))
    return seen


def _check_order(graph: fx.GraphModule, together: Seen, alone: Seen, index: int, samples: int) -> None:
    """Refuse a network in which what a module gets is not sorted by samples: a batch is sorted by passes first."""
    for (name, whole), (_, own) in zip(together.inputs, alone.inputs, strict=True):
        part = whole.reshape(samples, -1)[index]
        if part.numel() != own.numel() or not _alike(part, own.flatten(), LOOSE):
            kind = graph.get_submodule(name)
            raise UsageError(
                f"network: {named(name, kind)} gets values that are not sorted by samples; {SAMPLES_FIRST}, e.g. "
                "x.reshape(len(x) * steps, size), and not time first"
            )


def check_training(graph: fx.GraphModule, module: nn.Module, input: Sequence[int]) -> None:
    """Compare outputs, gradients and running statistics of one training step with PyTorch's.

    Rounding can move a value over a kink of an activation; so what differs for one draw of samples is drawn again. It
    grows from layer to layer of a deep net; so what differs then is computed in double precision.

    Raises:
        UsageError: they differ.
    """
    found = None
    for seed in range(TRIES):
        with _seeded(1 + seed), torch.inference_mode(False):
            found = _difference(graph, module, torch.randn(SAMPLES, *input))
        if found is None:
            return
    with _seeded(0), torch.inference_mode(False), contextlib.suppress(UsageError):
        x = torch.randn(SAMPLES, *input, dtype=torch.float64)
        if _difference(copy.deepcopy(graph).double(), copy.deepcopy(module).double(), x) is None:
            return
    raise UsageError(f"network: {found}")


def _difference(graph: fx.GraphModule, module: nn.Module, x: Tensor) -> str | None:
    plain, twin = copy.deepcopy(module), copy.deepcopy(module)
    with torch.enable_grad(), _NothingDropped():
        outputs, again = _called(plain, x), _called(twin, x)
    if not (isinstance(outputs, Tensor) and _alike(outputs.detach(), again.detach(), 0.0)):
        return "gives other outputs each time it is called in training; use nn.Dropout for random parts"
    seen = _simulated(graph, x, learning=True)
    if not _alike(outputs.detach(), seen.outputs.detach(), LOOSE):
        return "what was traced does not give what the module gives in training; its forward may change values in place"
    toward = torch.randn_like(outputs)
    _backward(outputs, toward)
    if seen.outputs.requires_grad:
        torch.autograd.backward(seen.outputs, toward)
    return _other_gradient(graph, plain, seen) or _other_statistics(graph, plain, seen)


def _other_gradient(graph: fx.GraphModule, plain: nn.Module, seen: Seen) -> str | None:
    theirs = copy.deepcopy(graph)
    for name, value in theirs.named_parameters():
        gradient = plain.get_parameter(name).grad
        value.data = torch.zeros_like(value) if gradient is None else gradient
    pairs = []
    for name, site in sites_of(theirs).items():
        for number, array in enumerate(site.arrays):
            weight, bias = seen.arrays[name, number]
            pairs += [(name, _gradient(weight), array.weight)]
            pairs += [] if bias is None or array.bias is None else [(name, _gradient(bias), array.bias)]
    largest = max(float(one.abs().max()) for _, *both in pairs for one in both)
    for name, own, other in pairs:
        scale = max(float(own.abs().max()), float(other.abs().max()), 1e-3 * largest)
        if float((own - other).abs().max()) > LOOSE * scale:
            return (
                f"the gradient of {name} is not the one that PyTorch gives; something in forward changes it on its way "
                "back (torch.no_grad, detach, a hook, an operation in place), leave that out"
            )
    return None


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


def _other_statistics(graph: fx.GraphModule, plain: nn.Module, seen: Seen) -> str | None:
    theirs, ours = copy.deepcopy(graph), sites_of(graph)
    for name, value in theirs.named_buffers():
        if name.rpartition(".")[0] in ours:
            value.copy_(plain.get_buffer(name))
    for name, noted in seen.noted.items():
        for one in noted:
            ours[name].take_up({key: value.float() for key, value in one.items()})
    for name, site in sites_of(theirs).items():
        own = ours[name].state()
        for key, value in site.state().items():
            if not torch.allclose(value, own[key], rtol=LOOSE, atol=1e-4):
                return f"{name}'s running statistics move otherwise than PyTorch's; use it in the module's own forward"
    return None


def _simulated(graph: fx.GraphModule, x: Tensor, learning: bool) -> Seen:
    try:
        return exact(graph, sites_of(graph), x, learning=learning)
    except UsageError:
        raise
    except Exception as error:  # whatever a module's own operations may raise
        raise UsageError(
            f"network: what was traced fails for an input of shape {list(x.shape)}: {type(error).__name__}: "
            f"{first_words(error)}"
        ) from None


def _check_outputs(outputs: Any) -> None:
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == 3:
        if outputs.dtype != torch.float32:
            raise UsageError(f"network: gives {outputs.dtype}; its outputs must be torch.float32")
        if not bool(torch.isfinite(outputs).all()):
            raise UsageError("network: gives values that are not finite for normal random samples")
        return
    if isinstance(outputs, Tensor):
        shown = str(list(outputs.shape))
    elif isinstance(outputs, tuple | list):
        shown = f"{len(outputs)} values in a {type(outputs).__name__}"
    else:
        shown = f"a {type(outputs).__name__}"
    raise UsageError(
        f"network: gives {shown} for 3 samples; one tensor, [samples, outputs], is needed: give a module whose forward "
        "returns that"
    )


def _called(module: nn.Module, x: Tensor) -> Any:
    try:
        return module(x)
    except UsageError:
        raise
    except Exception as error:  # whatever a module's own code may raise
        raise UsageError(
            f"network: fails for an input of shape {list(x.shape)}: {type(error).__name__}: {first_words(error)}"
        ) from None


def _backward(outputs: Tensor, toward: Tensor) -> None:
    if not outputs.requires_grad:
        return
    try:
        torch.autograd.backward(outputs, toward)
    except Exception as error:  # as PyTorch itself would fail
        raise UsageError(
            f"network: PyTorch cannot train it: {type(error).__name__}: {first_words(error)}"
        ) from None


def _alike(one: Tensor, other: Tensor, tolerance: float) -> bool:
    scale = float(one.abs().max().clamp(min=1e-6))
    return one.shape == other.shape and float((one - other).abs().max()) <= tolerance * scale


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let what draws from the global generator be repeatable, and leave that generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class _NothingDropped(TorchFunctionMode):
    """Lets dropout drop nothing, and refuses all else that draws numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Stand before each function of PyTorch's."""
        name = str(getattr(func, "__name__", ""))
        if func in DROPOUTS:
            return args[0] if args else kwargs["input"]
        if name in RANDOM and name != "dropout":
            raise UsageError(f"network: its forward draws numbers in training ({name}); {DRAWN}")
        return func(*args, **(kwargs or {}))
