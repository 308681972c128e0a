"""Figure 5's sentences, judged by our runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from .outcome import Outcome
from .verdict import Claim, Verdict, Word, judged

NEAR: Final = 2.0
"""Percentage points that count as 'minimal loss in performance'."""
EARLY: Final = 5
"""Epochs that are 'early training'."""
DROP: Final = 1.0
"""Percentage points below its peak at which a training accuracy has decreased."""


def figure5_claims(outcomes: Sequence[Outcome]) -> list[Claim]:
    """Four statements of Section 3.4."""
    by_name = {(item.cell.net_name, item.cell.row_name): item for item in outcomes}
    return [_danp_keeps(by_name), _dnp_slower(by_name), _dnp_unstable(by_name), _dnp_lower(by_name)]


def _judge(needed: Sequence[Outcome], holds: bool) -> Verdict:
    lacking = dict.fromkeys(text for item in needed for text in item.lacking)
    return judged(holds, list(lacking))


def _pair(found: Mapping[tuple[str, str], Outcome], rule: str) -> tuple[Outcome, Outcome] | None:
    pair = found.get(("clean", rule)), found.get(("noisy", rule))
    clean, noisy = pair
    return None if clean is None or noisy is None or not {*clean.tables} & {*noisy.tables} else (clean, noisy)


def _not_run(text: str) -> Claim:
    return Claim(text, "-", Verdict(Word.NOT_RUN))


@dataclass(frozen=True)
class _Alike:
    """Curves of a clean and a noisy cell, cut to the seeds and epochs that both have; seeds that diverged are left out.

    Attributes:
        clean: by epoch, a column for each seed.
        noisy: the same.
        lost: how many seeds diverged in either; empty: none.
    """

    clean: pd.DataFrame
    noisy: pd.DataFrame
    lost: str

    @classmethod
    def of(cls, pair: tuple[Outcome, Outcome]) -> _Alike:
        """Of a pair that has a seed in common."""
        clean, noisy = (item.curves("test") for item in pair)
        gone = pair[0].lost | pair[1].lost
        seeds = [seed for seed in clean if seed in noisy and seed not in gone]
        epochs = min(item.epochs for item in pair)
        told = [f"{len(i.lost)} {i.cell.net_name} diverged" for i in pair if i.lost]
        return cls(clean[seeds].loc[:epochs], noisy[seeds].loc[:epochs], ", ".join(told))

    def told(self, clean: float, noisy: float) -> str:
        """The two numbers, and of how much."""
        of = f"n={self.clean.shape[1]}, {len(self.clean)} epochs" + (f", {self.lost}" if self.lost else "")
        return f"clean {clean:.1f}, noisy {noisy:.1f} ({of})"


Numbers = Callable[[pd.DataFrame], float]


def _compared(
    found: Mapping[tuple[str, str], Outcome],
    rule: str,
    text: str,
    number: Numbers,
    holds: Callable[[float, float], bool],
    least: int = 1,
) -> Claim:
    """Judge a number of the clean cell's curves and the noisy one's.

    Args:
        found: the cells, by net and row.
        rule: their row.
        text: what is claimed.
        number: what to take of a table of curves.
        holds: whether it is true of clean and noisy; a cell of which all seeds diverged counts as 0.
        least: how many epochs it takes.
    """
    pair = _pair(found, rule)
    if pair is None or min(item.epochs for item in pair) < least:
        return _not_run(text)
    alike = _Alike.of(pair)
    if alike.clean.empty:
        true = holds(*(0.0 if item.lost else 1.0 for item in pair))
        return Claim(text, alike.lost, _judge(pair, true))
    clean, noisy = number(alike.clean), number(alike.noisy)
    return Claim(text, alike.told(clean, noisy), _judge(pair, holds(clean, noisy)))


def _mean_peak(curves: pd.DataFrame) -> float:
    return float(curves.max().mean())


def _danp_keeps(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = (
        f"danp: two noisy passes cost little (here: mean peak test accuracy within {NEAR:g} points of clean)"
    )
    return _compared(found, "danp", text, _mean_peak, lambda clean, noisy: 0 < clean <= noisy + NEAR)


def _dnp_slower(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = f"dnp: learns more slowly early on (here: mean test accuracy after {EARLY} epochs)"
    early: Numbers = lambda curves: float(curves.mean(axis=1).loc[EARLY])  # noqa: E731
    return _compared(found, "dnp", text, early, lambda clean, noisy: noisy < clean, EARLY)


def _dnp_unstable(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = f"dnp, noisy: training accuracy falls late (here: ends over {DROP:g} point below its peak, mean of seeds)"
    pair = _pair(found, "dnp")
    if pair is None:
        return _not_run(text)
    noisy = pair[1]
    mean = noisy.curves("train").loc[: noisy.epochs].mean(axis=1)
    peak, end = float(mean.max()), float(mean.iloc[-1])
    holds = peak - end > DROP or bool(noisy.lost)
    return Claim(text, f"peak {peak:.1f}, end {end:.1f}", _judge([noisy], holds))


def _dnp_lower(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = "dnp: does not reach the test performance that it has without a noisy baseline (here: mean peak)"
    return _compared(found, "dnp", text, _mean_peak, lambda clean, noisy: noisy < clean)
