"""Which of a traced network's modules hold weights or drop units, and what stands for them."""

from __future__ import annotations

from torch import fx, nn

from ..errors import UsageError
from . import norms, recurrent
from .sites import SITES, Crossbar, Site

_KNOWN = (norms, recurrent)  # their sites are known once they are imported


def is_known(module: nn.Module) -> bool:
    """Whether something stands for a module: it is of a known kind, and its forward is that kind's own."""
    kind = next((one for one in type(module).__mro__ if one in SITES), None)
    return kind is not None and type(module).forward is kind.forward


def sites_of(graph: fx.GraphModule) -> dict[str, Site]:
    """What stands for each called module that holds weights or drops units."""
    found: dict[str, Site] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module" or node.target in found:
            continue
        module = graph.get_submodule(str(node.target))
        kind = next((SITES[one] for one in type(module).__mro__ if one in SITES), None)
        if kind is not None:
            found[str(node.target)] = kind(module, str(node.target))
        elif any(True for _ in (*module.parameters(), *module.buffers())):
            raise UsageError(
                f"network: {node.target} ({type(module).__name__}) holds numbers and is not known here; known are "
                + ", ".join(sorted(one.__name__ for one in SITES))
            )
    if not any(isinstance(one, Crossbar) for own in found.values() for one in own.arrays):
        raise UsageError("network: there is no weight to lay on a tile; add an nn.Linear or a convolution")
    return found
