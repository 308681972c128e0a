"""Figure 5's sentences, judged by our runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

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
    return None if any(item is None or not item.tables for item in pair) else pair  # type: ignore[return-value]


def _not_run(text: str) -> Claim:
    return Claim(text, "-", Verdict(Word.NOT_RUN))


def _mean_peak(item: Outcome) -> float:
    values = item.values("test")
    return sum(values) / len(values)


def _danp_keeps(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = (
        f"danp: two noisy passes cost little (here: mean peak test accuracy within {NEAR:g} points of clean)"
    )
    pair = _pair(found, "danp")
    if pair is None:
        return _not_run(text)
    clean, noisy = map(_mean_peak, pair)
    return Claim(text, f"clean {clean:.1f}, noisy {noisy:.1f}", _judge(pair, clean - noisy <= NEAR))


def _dnp_slower(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = f"dnp: learns more slowly early on (here: mean test accuracy after {EARLY} epochs)"
    pair = _pair(found, "dnp")
    if pair is None or min(len(item.curves("test")) for item in pair) < EARLY:
        return _not_run(text)
    clean, noisy = (float(item.curves("test").mean(axis=1).loc[EARLY]) for item in pair)
    return Claim(text, f"clean {clean:.1f}, noisy {noisy:.1f}", _judge(pair, noisy < clean))


def _dnp_unstable(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = f"dnp, noisy: training accuracy falls late (here: ends over {DROP:g} point below its peak, mean of seeds)"
    pair = _pair(found, "dnp")
    if pair is None:
        return _not_run(text)
    noisy = pair[1]
    mean = noisy.curves("train").mean(axis=1)
    peak, end = float(mean.max()), float(mean.iloc[-1])
    holds = peak - end > DROP or noisy.diverged > 0
    return Claim(text, f"peak {peak:.1f}, end {end:.1f}", _judge([noisy], holds))


def _dnp_lower(found: Mapping[tuple[str, str], Outcome]) -> Claim:
    text = "dnp: does not reach the test performance that it has without a noisy baseline (here: mean peak)"
    pair = _pair(found, "dnp")
    if pair is None:
        return _not_run(text)
    clean, noisy = map(_mean_peak, pair)
    return Claim(text, f"clean {clean:.1f}, noisy {noisy:.1f}", _judge(pair, noisy < clean))
