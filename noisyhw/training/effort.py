"""What a run asks of the device, and of digital memory beside it."""

from __future__ import annotations

from ..cards.device import ProgrammedUpdate
from ..cards.experiment import TRANSFER_PATHS, Experiment
from ..devices.device import Device
from ..rules import get_rule

KEPT: dict[str, tuple[str, ...]] = {
    "on_tile": (),
    "tiki_taka": (),
    "sgd": (),
    "tiki_taka_v2": ("read-outs of the fast array",),
    "c_ttv2": ("read-outs of the fast array",),
    "agad": ("read-outs of the fast array", "their running mean", "the reference"),
    "mixed_precision": ("the gradients' sum",),
    "adam": ("the gradients' running mean", "that of their squares"),
}
"""What each update path keeps in digital memory, one number a cell each."""


def digital_memory(experiment: Experiment) -> tuple[str, ...]:
    """Return what a run keeps in digital memory for its weights: one number a cell for each.

    Args:
        experiment: resolved.
    """
    path, device = experiment.update.path, experiment.device
    kept = KEPT[path]
    if experiment.update.momentum:
        kept += ("the gradients' running mean",)
    if experiment.update.transfer is not None and experiment.update.transfer.significance:
        kept += ("the read-outs' variance", "their mean's error", "the reference's error")
    if isinstance(device.update, ProgrammedUpdate) and device.update.reference != "cell":
        kept += ("the cells' targets",)
        kept += ("the fast array's targets",) if path in TRANSFER_PATHS else ()
    return kept


def run_notes(experiment: Experiment) -> tuple[str, ...]:
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
        f"{experiment.update.path} on {experiment.device.name} keeps {numbers} a cell in digital memory: "
        f"{', '.join(kept)} (device.update.reference=cell keeps no targets)",
    )


def passes_per_sample(experiment: Experiment) -> int:
    """Return how often a training step reads the whole net with each sample: the baseline, and every noisy pass.

    Tests are not counted, nor the twin that a rule like bp asks.

    Args:
        experiment: resolved.
    """
    rule, _ = get_rule(experiment.rule.name)
    layers = len(experiment.network.hidden or ()) + 1
    return 1 + len(rule.probes(layers)) * experiment.perturbation.passes


def forward_passes(experiment: Experiment, samples: int, epochs: int | None = None) -> int:
    """Return how many passes of one sample through the net a run's training takes.

    Args:
        experiment: resolved.
        samples: of the training set.
        epochs: None: all of the run's.
    """
    epochs = experiment.epochs if epochs is None else epochs
    assert epochs is not None
    return passes_per_sample(experiment) * samples * epochs
