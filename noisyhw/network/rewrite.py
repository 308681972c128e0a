"""Tracing, and what becomes of each traced operation: kept, put another way, or refused with its place."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from ..errors import UsageError
from .known import is_known
from .ready import named

IN_PLACE: dict[Any, Any] = {
    getattr(operator, f"i{name}"): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
}
"""Operators in place; read-outs are kept for the rule, so nothing overwrites them."""
DROPOUTS: dict[Any, type[nn.Module]] = {
    nn.functional.dropout: nn.Dropout,
    nn.functional.dropout1d: nn.Dropout1d,
    nn.functional.dropout2d: nn.Dropout2d,
}
"""Functions that drop units, and the modules that do the same."""
_RANDOM = (
    "rand randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial "
    "poisson binomial rrelu gumbel_softmax dropout dropout3d alpha_dropout feature_dropout "
    "feature_alpha_dropout native_dropout fractional_max_pool2d fractional_max_pool2d_with_indices "
    "fractional_max_pool3d fractional_max_pool3d_with_indices random_ normal_ uniform_ bernoulli_ "
    "exponential_ cauchy_ geometric_ log_normal_"
)
RANDOM = frozenset(_RANDOM.split())
"""Names of functions and methods that draw numbers."""
RANDOM_MODULES = (
    *(nn.RReLU, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Dropout3d),
    *(nn.FractionalMaxPool2d, nn.FractionalMaxPool3d),
)
"""Modules that draw numbers, and that nothing stands for."""
CUT = ("detach", "detach_", "data", "requires_grad_", "grad")
"""Methods and attributes that gradients do not pass."""
KNOWN_PACKAGES = ("torch", "_operator", "builtins", "math")
DRAWN = "one mask for all passes of a batch is kept for nn.Dropout, Dropout1d and Dropout2d alone; use these"


def trace(module: nn.Module) -> fx.GraphModule:
    """Return a module's graph, in which nothing is overwritten and no function draws numbers.

    Raises:
        UsageError: it cannot be traced, or an operation cannot be simulated.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            graph = _Tracer().trace(module)
    except UsageError:
        raise
    except Exception as error:  # whatever a module's own code may raise
        raise UsageError(
            f"network: {type(module).__name__} cannot be traced ({type(error).__name__}: {first_words(error)}); "
            f"{_fix(error)}"
        ) from None
    made = fx.GraphModule(module, graph)
    nodes = list(made.graph.nodes)
    for node in nodes:
        _check(node, made, module)
        _put_plainly(node, made)
    for node in [one for one in nodes if _in_place(one, made)]:
        _keep_values(node, made, module)
    for node in nodes:
        _drop_by_module(node, made)
    _check_inputs(made)
    made.graph.lint()
    made.recompile()
    return made


def _put_plainly(node: fx.Node, graph: fx.GraphModule) -> None:
    """Name a module's arguments by place, as sites take them; where values lie in memory is another matter here."""
    if node.op == "call_method" and node.target == "view":
        node.target = "reshape"
    if node.op == "call_module" and node.kwargs:
        forward = inspect.signature(graph.get_submodule(str(node.target)).forward)
        given = forward.bind(*node.args, **node.kwargs)
        node.args, node.kwargs = given.args, given.kwargs


def _check_inputs(graph: fx.GraphModule) -> None:
    inputs = [str(node.target) for node in graph.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1 or inputs[0].startswith("*"):
        given = ", ".join(inputs) or "nothing"
        raise UsageError(f"network: forward takes {given}; one input is needed, forward(self, x)")


def first_words(error: Exception) -> str:
    """The first sentence of what another library tells."""
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0] if lines else ""


def _fix(error: Exception) -> str:
    told = str(error)
    if "item assignment" in told:
        return "x[...] = y overwrites values; write it with torch.where or torch.cat"
    if "cannot be iterated" in told:
        return "loop over numbers, x[:, t] for t in range(8), or name the parts, a, b = x.chunk(2)"
    return "its forward must not decide by values, nor loop over a size that is only known with the data (use a number)"


class _Tracer(fx.Tracer):
    """Refuses what is computed without a gradient, which leaves no trace in a graph."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is not looked into: PyTorch's own, and what only adds to such a one."""
        return is_known(m) or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        if not torch.is_grad_enabled():
            raise UsageError(
                f"network: {place(node, self.root)} is computed without a gradient (torch.no_grad, or in a "
                "torch.autograd.Function); weights would be trained along another gradient than PyTorch's; leave it out"
            )
        return node


def place(node: fx.Node, root: nn.Module) -> str:
    """What a node does, and in whose forward, for messages."""
    return f"{called(node)} in {_owner(node, root)}"


def _owner(node: fx.Node, root: nn.Module) -> str:
    """The module whose forward does what a node does."""
    while node.target is getattr and isinstance(
        node.args[0], fx.Node
    ):  # is noted where its value is first used
        node = node.args[0]
    within = [entry for key, entry in (node.meta.get("nn_module_stack") or {}).items() if key != node.target]
    name, kind = within[-1] if within else ("", type(root))
    return f"{name} ({kind.__name__})" if name else kind.__name__


def called(node: fx.Node) -> str:
    """The name of what a node calls."""
    if node.target is getattr:
        return str(node.args[1])
    return str(getattr(node.target, "__name__", node.target))


def _check(node: fx.Node, graph: fx.GraphModule, root: nn.Module) -> None:
    """Refuse what cannot be simulated."""
    name = called(node)
    if node.op == "get_attr":
        _refuse_trained(node, graph, root)
    if node.op == "call_module":
        one = graph.get_submodule(str(node.target))
        if isinstance(one, RANDOM_MODULES):
            raise UsageError(f"network: {named(str(node.target), one)} draws numbers; {DRAWN}")
    if node.op not in ("call_function", "call_method"):
        return
    where = place(node, root)
    if node.op == "call_function" and _package(node.target) not in KNOWN_PACKAGES:
        raise UsageError(
            f"network: {where} is not looked into (torch.fx.wrap); let it be traced, as plain code is"
        )
    if (name in RANDOM and node.target not in DROPOUTS) or node.kwargs.get("dropout_p"):
        raise UsageError(f"network: {where} draws numbers; {DRAWN}")
    if name in CUT:
        raise UsageError(
            f"network: {where} stops gradients; weights would be trained along another gradient than the loss's own; "
            "leave it out"
        )
    if node.kwargs.get("out") is not None:
        raise UsageError(f"network: {where} writes into out=; take what it returns")
    if name in ("setitem", "__setitem__"):
        raise UsageError(f"network: {where} overwrites values; write it with torch.where or torch.cat")


def _package(target: Any) -> str:
    return (getattr(target, "__module__", None) or "torch").split(".")[0]  # methods of tensors have none


def _refuse_trained(node: fx.Node, graph: fx.GraphModule, root: nn.Module) -> None:
    """Refuse numbers that are trained and in no known module; others, as masks and means are, stay as they are."""
    value = operator.attrgetter(str(node.target))(graph)
    if isinstance(value, Tensor) and not value.requires_grad:
        return
    users = ", ".join(f"{user.op} {called(user)}" for user in node.users) or "nowhere"
    raise UsageError(
        f"network: {type(root).__name__}.{node.target} is used outside a module ({users}); numbers that are trained "
        "and not in an nn.Linear, convolution, recurrent module or norm have no place on a device; "
        "what is not trained can be a buffer"
    )


def _keep_values(node: fx.Node, graph: fx.GraphModule, root: nn.Module) -> None:
    """Replace an operation in place by one that is not."""
    changed = next(iter(node.all_input_nodes), None)
    after = False
    for other in graph.graph.nodes:
        if after and changed in other.all_input_nodes:
            raise UsageError(
                f"network: {place(node, root)} changes values in place that {called(other)} uses afterwards; write "
                "y = f(x) and use y"
            )
        after = after or other is node
    if not node.users:
        raise UsageError(f"network: {place(node, root)} changes values in place; write y = f(x) and use y")
    if node.op == "call_module":
        graph.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]  # a flag of activations
    elif node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    else:
        node.target = _out_of_place(node, root)


def _in_place(node: fx.Node, graph: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    if node.op not in ("call_function", "call_method") or node.target is getattr:
        return False
    name = called(node)
    return (
        bool(node.kwargs.get("inplace"))
        or (node.op == "call_function" and node.target in IN_PLACE)
        or (name.endswith("_") and not name.endswith("__"))
    )


def _out_of_place(node: fx.Node, root: nn.Module) -> Any:
    """What computes the same as an operation in place, or a refusal."""
    found: Any = None
    name = called(node).removesuffix("_")
    if node.op == "call_method":
        found = name if callable(getattr(Tensor, name, None)) else None
    elif node.target in IN_PLACE:
        found = IN_PLACE[node.target]
    else:
        owners = (torch, torch._C._nn, nn.functional)
        own = [one for one in owners if getattr(one, called(node), None) is node.target]
        found = next((getattr(one, name) for one in (*own, *owners) if hasattr(one, name)), None)
    if found is None:
        raise UsageError(
            f"network: {place(node, root)} overwrites values; make new ones, e.g. with torch.zeros_like or torch.where"
        )
    return found


def _drop_by_module(node: fx.Node, graph: fx.GraphModule) -> None:
    """Replace a function that drops units by a module that does."""
    if node.op != "call_function" or node.target not in DROPOUTS:
        return
    given = inspect.signature(cast("Callable[..., Any]", node.target)).bind(*node.args, **node.kwargs)
    given.apply_defaults()
    x, share = given.arguments["input"], given.arguments["p"]
    if not given.arguments["training"]:
        node.replace_all_uses_with(x)
        graph.graph.erase_node(node)
        return
    name = f"functional_{node.name}"
    graph.add_submodule(name, DROPOUTS[node.target](share))
    node.op, node.target, node.args, node.kwargs = "call_module", name, (x,), {}
