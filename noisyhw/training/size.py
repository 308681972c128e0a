"""Refusing nets, batches and passes that cannot fit into the machine, before anything is made of them."""

from __future__ import annotations

import os
from itertools import pairwise

from ..cards.experiment import Resolved
from ..chip.build import convolutions
from ..errors import UsageError
from ..rules import rule_of
from ..tasks import Data, task_of

BYTES = 4
"""Of a number in single precision."""
GIB = 2**30


def check_size(experiment: Resolved, data: Data) -> None:
    """Refuse an experiment whose weights and activities alone are larger than the machine's memory.

    What is counted is less than what a run takes, so nothing that fits is refused. Without this check the operating
    system refuses a large tensor with a message that names no field, or ends the process later.

    Args:
        experiment: resolved.
        data: the task's.

    Raises:
        UsageError: it does not fit, or convolutions do not suit the task.
    """
    available = memory()
    needed = BYTES * sum(numbers(experiment, data))
    if available is not None and needed > available:
        weights, activities = (BYTES * part / GIB for part in numbers(experiment, data))
        raise UsageError(
            f"network: weights take {weights:.3g} GiB and the activities of a batch {activities:.3g} GiB at least, and "
            f"this machine has {available / GIB:.3g} GiB; lower network.hidden, network.conv, batch or "
            "perturbation.passes"
        )


def numbers(experiment: Resolved, data: Data) -> tuple[int, int]:
    """Count the weights (and decorrelation matrices), and the activities and layer inputs of one batch."""
    rule, decorrelated = rule_of(experiment.rule)
    cuts = convolutions(experiment.network, task_of(experiment.task).image)
    convolved = [(cut.size, conv.channels) for cut, conv in zip(cuts, experiment.network.conv, strict=True)]
    flat = cuts[-1].count * experiment.network.conv[-1].channels if cuts else data.inputs
    shapes = [*convolved, *pairwise([flat, *(experiment.network.hidden or ()), data.outputs])]
    weights = sum(inputs * outputs + decorrelated * inputs**2 for inputs, outputs in shapes)
    vectors = [cut.count for cut in cuts] + [1] * (len(shapes) - len(cuts))
    passes = 1 + len(rule.probes(len(shapes))) * experiment.perturbation.passes
    samples = min(experiment.batch or 1, len(data.train_x))
    units = sum(count * outputs for count, (_, outputs) in zip(vectors, shapes, strict=True))
    return weights, passes * samples * units


def memory() -> int | None:
    """Return the machine's memory in bytes; None where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
