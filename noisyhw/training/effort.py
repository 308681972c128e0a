"""What a run asks of the device."""

from __future__ import annotations

from ..cards.experiment import Experiment
from ..rules import get_rule


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
