"""Mutants of shipped cards: each is refused with a message, or works and gives finite numbers only.

    python tests/fuzz.py cards --number 10000 --seed 0
    python tests/fuzz.py experiments --number 1000 --seed 0

A mutant is a shipped card with a few mutations (see :mod:`mutations`). Of a device card that is accepted a tile is
made, read, updated, written, pulsed, aged, warmed, saved and loaded, with all that it may be asked (the numbers are in
:func:`exercise`). An experiment that is accepted is trained for two epochs of three small batches on digits, the second
one from the state after the first.

A failure is anything but a NoisyhwError with a short message, a number that is not finite, or a mutant that takes
longer than SLOW_S. It is printed with the mutations that it needs, and ``--only INDEX`` runs it again with its
traceback. A run that diverges is a legal end. The last line is the count; the exit status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from mutations import Mutation, Tree, limits_of, mutated, mutations
from torch import Tensor

from noisyhw.cards import load_device, load_experiment, shipped_devices, shipped_experiments
from noisyhw.cards.device import DeviceCard
from noisyhw.cards.experiment import Experiment
from noisyhw.cards.loading import checked_device, checked_experiment, overlaid
from noisyhw.cards.yaml_lines import Located, located
from noisyhw.device import Device
from noisyhw.errors import NoisyhwError
from noisyhw.tasks import Data, get_task
from noisyhw.tiles.base import Tile
from noisyhw.training.progress import Diverged
from noisyhw.training.resolve import resolve
from noisyhw.training.size import check_size
from noisyhw.training.trainer import Trainer

OUTPUTS, INPUTS = 7, 5
SLOW_S = 30.0
"""A mutant that takes longer hangs, as far as its user can tell."""
LONGEST_LINE, MOST_LINES = 2000, 6
"""Of a message; all choices of a long list are one line."""


class NotFinite(Exception):
    """A number that came out is infinite or not a number."""


@dataclass(frozen=True)
class Failure:
    """A mutant that broke the promise.

    Attributes:
        index: its number; with the seed it makes the mutant again.
        base: the shipped card that it comes from.
        changes: the mutations that it takes.
        reason: what went wrong.
    """

    index: int
    base: str
    changes: tuple[Mutation, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.index}: {self.base}: {'; '.join(map(str, self.changes))}: {self.reason}"


@dataclass(frozen=True)
class Kind:
    """What is mutated: the shipped cards by name, and what an accepted or refused mutant is put to."""

    cards: Callable[[], dict[str, Tree]]
    run: Callable[[Located], str]


def main() -> int:
    """Run mutants, print failures and their count; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="INDEX", help="run this one mutant, with its traceback")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.only is not None:
        base, changes = mutant(arguments.kind, arguments.seed, arguments.only)
        print(f"{base}: {'; '.join(map(str, changes))}")
        print(put(arguments.kind, base, changes))
        return 0
    ends: Counter[str] = Counter()
    failures = list(fuzz(arguments.kind, arguments.number, arguments.seed, ends, print))
    told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    print(
        f"{arguments.number} mutated {arguments.kind} (seed {arguments.seed}): {told}; {len(failures)} failures"
    )
    return 1 if failures else 0


def fuzz(
    kind: str, number: int, seed: int, ends: Counter[str], tell: Callable[[Failure], object] = lambda _: None
) -> Iterator[Failure]:
    """Yield the failures of so many mutants; ``ends`` counts how each mutant ended."""
    digits()  # is not counted as a mutant's time
    for index in range(number):
        base, changes = mutant(kind, seed, index)
        end, reason = outcome(kind, base, changes)
        ends[end] += 1
        if reason is not None:
            failure = Failure(index, base, minimal(kind, base, changes, reason), reason)
            tell(failure)
            yield failure


def mutant(kind: str, seed: int, index: int) -> tuple[str, tuple[Mutation, ...]]:
    """Return the shipped card and the mutations of one mutant; they depend on kind, seed and index alone."""
    rng = random.Random(f"{kind}/{seed}/{index}")
    cards = KINDS[kind].cards()
    base = rng.choice(sorted(cards))
    return base, tuple(mutations(cards[base], list(cards.values()), limits(), rng))


@cache
def limits() -> dict[str, list[float]]:
    """Where the schema of experiments, and of their devices, ends its fields."""
    return limits_of(Experiment.model_json_schema())


def put(kind: str, base: str, changes: Sequence[Mutation]) -> str:
    """Carry out one mutant; return how it ended."""
    whole = mutated(KINDS[kind].cards()[base], [change for change in changes if not change.typed])
    try:
        tree = overlaid(
            located(whole, f"{base}.yaml"), [change.setting for change in changes if change.typed]
        )
        return KINDS[kind].run(tree)
    except NoisyhwError as error:
        _check_message(str(error))
        return "refused"


def outcome(kind: str, base: str, changes: Sequence[Mutation]) -> tuple[str, str | None]:
    """How a mutant ended, and why that is a failure, if it is one."""
    started = time.process_time()
    try:
        end = put(kind, base, changes)
    except NotFinite as error:
        return "not finite", f"not finite: {error}"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__} in {place.name}: {str(error).splitlines()[:1]}"
    seconds = time.process_time() - started
    return (end, None) if seconds < SLOW_S else ("slow", f"slow: {seconds:.0f} s")


def minimal(kind: str, base: str, changes: Sequence[Mutation], reason: str) -> tuple[Mutation, ...]:
    """Leave out the mutations without which the mutant fails too."""
    kept = list(changes)
    for change in changes:
        fewer = [one for one in kept if one is not change]
        if fewer and not reason.startswith("slow") and outcome(kind, base, fewer)[1] is not None:
            kept = fewer
    return tuple(kept)


def _check_message(text: str) -> None:
    lines = text.splitlines()
    if not lines or len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST_LINE:
        raise AssertionError(f"no short message: {text[:LONGEST_LINE]!r}")


@cache
def device_cards() -> dict[str, Tree]:
    """The shipped device cards, every field written out."""
    return {
        name: load_device(name).model_dump(
            mode="json", exclude={"source", "fitted", "assumed", "not_modelled"}
        )
        for name in shipped_devices()
    }


@cache
def experiment_cards() -> dict[str, Tree]:
    """The shipped experiments on digits and on small nets, every field written out; and digits on every device."""
    cards = {name: load_experiment(name).model_dump(mode="json") for name in shipped_experiments()}
    devices = device_cards()
    for name, device in devices.items():
        cards[f"digits-{name}"] = load_experiment(options={"device": name}).model_dump(mode="json") | {
            "device": device
        }
    return {name: _small(card, devices) for name, card in cards.items()}


def _small(card: Tree, devices: dict[str, Tree]) -> Tree:
    """The experiment with digits as its task, and widths that suit it."""
    network = card["network"] | {"hidden": [6, 5], "conv": card["network"]["conv"][:2]}
    device = devices.get(card["device"]["name"], card["device"])
    small = {
        "task": {"name": "digits"},
        "loss": "auto",
        "network": network,
        "batch": 8,
        "epochs": 2,
        "device": device,
    }
    return card | small


def run_card(tree: Located) -> str:
    """Check a device card; a tile of our own backend is then asked for all it can do."""
    card = checked_device(tree)
    if card.backend != "noisyhw":
        return "of another backend"
    exercise(card)
    return "worked"


def exercise(card: DeviceCard) -> None:
    """Ask a tile of this device for everything.

    Raises:
        NotFinite: a number is not.
    """
    draws = torch.Generator().manual_seed(0)
    tile = Device(card).tile(torch.randn(OUTPUTS, INPUTS, generator=draws) * 0.3)
    _look("made", tile)
    _read(tile, draws)
    _change(tile, draws)
    _read(tile, draws)
    _wait(card, tile, draws)
    other = Device(card).tile(torch.zeros(OUTPUTS, INPUTS))
    other.load(tile.state())
    _look("loaded", other)
    tile.sibling("fast")


def _read(tile: Tile, draws: torch.Generator) -> None:
    x = torch.randn(2, 3, INPUTS, generator=draws)
    x[0, 0] = 0
    for size in (1.0, 1e-12, 1e-30, 1e4):
        _finite(f"read of inputs of {size:g}", tile.forward(x * size))
    _finite("read", tile.forward(x[:1], reads=3))


def _change(tile: Tile, draws: torch.Generator) -> None:
    for samples, rates in ((1, (1e-8, 1e-2, 1e8)), (40, (1e-8, 1e-2, 1e8))):
        for rate in rates:
            x, d = (torch.randn(samples, size, generator=draws) for size in (INPUTS, OUTPUTS))
            tile.update(x, d, rate)
            _look(f"update at rate {rate:g} from {samples} samples", tile)
    changes = torch.randn(OUTPUTS, INPUTS, generator=draws)
    for size in (1e-3, 1e-30, 1e6):
        tile.write(changes * size)
        _look(f"write of {size:g}", tile)
    if tile.step is not None:
        for what, counts in (("30", changes * 30), ("1e9", changes * 1e9), ("1e9 up", changes.abs() * 1e9)):
            tile.pulse(counts.round())
            _look(f"{what} pulses", tile)


def _wait(card: DeviceCard, tile: Tile, draws: torch.Generator) -> None:
    x = torch.randn(1, 3, INPUTS, generator=draws)
    for kelvin in (None, 1.0, 300.0, 2000.0) if card.temperature else (None,):
        tile.set_temperature(kelvin)
        for age in (0, 1.0, "1y") if card.drift or card.retention else (0,):
            tile.set_age(age)
            _finite(f"read at age {age} and {kelvin} K", tile.forward(x))
            _finite(f"weights at age {age} and {kelvin} K", tile.twin())
    tile.set_temperature(card.temperature_k)
    tile.set_age(card.age)
    _finite("read at the card's age and temperature", tile.forward(x))


def _look(when: str, tile: Tile) -> None:
    """All that the tile holds is finite."""
    for place, value in _tensors(tile.state()):
        _finite(f"{place} after {when}", value)
    _finite(f"weights after {when}", tile.twin())


def _tensors(node: Any, place: str = "state") -> Iterator[tuple[str, Tensor]]:
    items = (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    )
    for key, value in items:
        yield from _tensors(value, f"{place}.{key}")
    if isinstance(node, Tensor):
        yield place, node


def _finite(what: str, values: Tensor) -> None:
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise NotFinite(what)


def run_experiment(tree: Located) -> str:
    """Check and fill in an experiment; one on digits is trained for a moment."""
    experiment = resolve(checked_experiment(tree))
    if experiment.device.backend != "noisyhw":
        return "of another backend"
    if experiment.task.name != "digits":
        return "of another task"
    check_size(experiment, digits())
    try:
        train(tiny(experiment))
    except Diverged:
        return "diverged"
    return "worked"


MOST = {"hidden": 8, "channels": 3, "passes": 4, "repeats": 2, "zero_shift": 20, "batch": 8, "epochs": 2}
"""Largest numbers that an accepted experiment is carried out with; they decide about time alone."""


def tiny(experiment: Experiment) -> Experiment:
    """Return the experiment with a net, passes and batches no larger than it takes to see it work."""
    content = _at_most(experiment.model_dump())
    content["network"]["hidden"] = content["network"]["hidden"][:3]
    return Experiment.model_validate(content | {"epochs": 2})


def _at_most(node: Any, name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _at_most(value, key) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return tuple(_at_most(value, name) for value in node)
    return min(node, MOST[name]) if name in MOST and isinstance(node, int) else node


def train(experiment: Experiment) -> None:
    """Train two epochs, the second by a trainer that took up the first one's state.

    Raises:
        Diverged: as runs may.
        NotFinite: a number of an epoch's row is not.
    """
    trainer = Trainer(experiment, digits())
    _epoch(trainer)
    other = Trainer(experiment, digits())
    other.load(trainer.state())
    _epoch(other)


def _epoch(trainer: Trainer) -> None:
    row = None
    while row is None:
        row = trainer.step()
    for name, value in row.__dict__.items():
        if value is not None:
            _finite(name, torch.tensor(float(value)))


@cache
def digits() -> Data:
    """A few of the digits' samples, with all classes."""
    data = get_task("digits").load()
    train, test = slice(0, 24), slice(0, 12)
    small = {"train_x": data.train_x[train], "train_y": data.train_y[train].clone()}
    small["train_y"][0] = 9
    return replace(data, **small, test_x=data.test_x[test], test_y=data.test_y[test])


KINDS = {"cards": Kind(device_cards, run_card), "experiments": Kind(experiment_cards, run_experiment)}

if __name__ == "__main__":
    sys.exit(main())
