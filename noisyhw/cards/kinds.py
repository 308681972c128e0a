"""A card that stands where another kind of card is asked for is told as such, with the place where it belongs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel

from .device import DeviceCard
from .experiment import Experiment
from .sweep import SweepCard

Family: TypeAlias = Literal["device", "experiment", "sweep"]

MODELS: Final[dict[Family, type[BaseModel]]] = {
    "device": DeviceCard,
    "experiment": Experiment,
    "sweep": SweepCard,
}
PLACES: Final[dict[Family, str]] = {
    "device": "give it with --device, or as 'device' of an experiment",
    "experiment": "give it to noisyhw train, or as 'experiment' of a sweep",
    "sweep": "give it to noisyhw sweep",
}


def belongs_elsewhere(wanted: Family, found: Family) -> str:
    """Return what to say of a card of another kind than the one that is asked for."""
    article = {"device": "a device", "experiment": "an experiment", "sweep": "a sweep"}
    return f"is the card of {article[found]}, and {article[wanted]} is asked for; {PLACES[found]}"


def other_kind(wanted: Family, keys: Iterable[str]) -> Family | None:
    """Return the kind whose fields hold all keys of a card, if those of the kind that is asked for do not."""
    keys = set(keys) - {"extends"}
    fits = [family for family, model in MODELS.items() if keys <= set(model.model_fields)]
    return None if wanted in fits or not fits else fits[0]
