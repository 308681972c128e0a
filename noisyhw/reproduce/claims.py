"""Figure 5's sentences, judged by our runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Curves of a clean and a noisy cell, cut to the seeds and epochs that both have."""

    clean: pd.DataFrame
    noisy: pd.DataFrame
    epochs: int

    @classmethod
    def of(cls, pair: tuple[Outcome, Outcome], kind: str = "test") -> _Alike:
        """Of a pair that has a seed in common."""
        clean, noisy = (item.curves(kind) for item in pair)
        seeds = [seed for seed in clean if seed in noisy]
        epochs = min(item.epochs for item in pair)
        return cls(clean[seeds].loc[:epochs], noisy[seeds].loc[:epochs], epochs)

    def told(self, clean: float, noisy: float) -> str:
        """The two numbers, and of how much."""
        return f"clean {clean:.1f}, noisy {noisy:.1f} (n={self.clean.shape[1]}, {self.epochs} epochs)"

    def peaks(self) -> tuple[float, float]:
        """Mean over seeds of each one's peak."""
        return float(self.clean.max().mean()), float(self.noisy.max().mean())


def _danp_keeps(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = (
        f"danp: two noisy passes cost little (here: mean peak test accuracy within {NEAR:g} points of clean)"
    )
    pair = _pair(found, "danp")
    if pair is None:
        return _not_run(text)
    alike = _Alike.of(pair)
    clean, noisy = alike.peaks()
    return Claim(text, alike.told(clean, noisy), _judge(pair, clean - noisy <= NEAR))


def _dnp_slower(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = f"dnp: learns more slowly early on (here: mean test accuracy after {EARLY} epochs)"
    pair = _pair(found, "dnp")
    if pair is None or min(item.epochs for item in pair) < EARLY:
        return _not_run(text)
    alike = _Alike.of(pair)
    clean, noisy = (float(curves.mean(axis=1).loc[EARLY]) for curves in (alike.clean, alike.noisy))
    return Claim(text, alike.told(clean, noisy), _judge(pair, noisy < clean))


def _dnp_unstable(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = f"dnp, noisy: training accuracy falls late (here: ends over {DROP:g} point below its peak, mean of seeds)"
    pair = _pair(found, "dnp")
    if pair is None:
        return _not_run(text)
    noisy = pair[1]
    mean = noisy.curves("train").loc[: noisy.epochs].mean(axis=1)
    peak, end = float(mean.max()), float(mean.iloc[-1])
    holds = peak - end > DROP or noisy.diverged > 0
    return Claim(text, f"peak {peak:.1f}, end {end:.1f}", _judge([noisy], holds))


def _dnp_lower(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = "dnp: does not reach the test performance that it has without a noisy baseline (here: mean peak)"
    pair = _pair(found, "dnp")
    if pair is None:
        return _not_run(text)
    alike = _Alike.of(pair)
    clean, noisy = alike.peaks()
    return Claim(text, alike.told(clean, noisy), _judge(pair, noisy < clean))
