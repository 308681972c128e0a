"""What a run asks of the device, and of digital memory beside it."""

from __future__ import annotations

from ..cards.device import ProgrammedUpdate
from ..cards.experiment import Resolved
from ..device import Device
from ..rules import rule_of
from ..updates.choice import class_of, options_of


def digital_memory(experiment: Resolved) -> tuple[str, ...]:
    """Return what a run keeps in digital memory for its weights: one number a cell for each.

    Args:
        experiment: resolved.
    """
    device, kind = experiment.device, class_of(experiment.update)
    kept = kind.kept(options_of(experiment.update, kind))
    if isinstance(device.update, ProgrammedUpdate) and device.update.reference != "cell":
        kept += ("the cells' targets", *(f"{array}'s targets" for array in kind.arrays))
    return kept + tuple(f"{one}, by the rule" for one in rule_of(experiment.rule)[0].per_weight)


def run_notes(experiment: Resolved) -> tuple[str, ...]:
    """Return what a person who reads a run's results must be told of its device and of what it costs beside it.

    Args:
        experiment: resolved.
    """
    kept = digital_memory(experiment)
    notes = Device(experiment.device).notes
    if not any("targets" in one for one in kept):
        return notes
    numbers = f"{len(kept)} number{'s' if len(kept) > 1 else ''}"
    return (
        *notes,
        f"{class_of(experiment.update).name} on {experiment.device.name} keeps {numbers} a cell in digital memory: "
        f"{', '.join(kept)} (device.update.reference=cell keeps no targets)",
    )


def passes_per_sample(experiment: Resolved) -> int:
    """Return how often a training step reads the whole net with each sample: the baseline, and every noisy pass.

    Tests are not counted, nor the twin that a rule like bp asks.

    Args:
        experiment: resolved.
    """
    rule, _ = rule_of(experiment.rule)
    layers = len(experiment.network.hidden or ()) + 1
    return 1 + len(rule.probes(layers)) * experiment.perturbation.passes


def forward_passes(experiment: Resolved, samples: int, epochs: int | None = None) -> int:
    """Return how many passes of one sample through the net a run's training takes.

    Args:
        experiment: resolved.
        samples: of the training set.
        epochs: None: all of the run's.
    """
    epochs = experiment.epochs if epochs is None else epochs
    return passes_per_sample(experiment) * samples * epochs
