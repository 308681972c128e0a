"""What is said of a claim: reproduced, differs, partial, or not run yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Word(Enum):
    """The verdicts; only a complete repetition can be called reproduced or different."""

    REPRODUCED = "reproduced"
    DIFFERS = "differs"
    PARTIAL = "partial"
    NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Verdict:
    """A word and its reason."""

    word: Word
    why: str = ""

    def __str__(self) -> str:
        return f"{self.word.value}: {self.why}" if self.why else self.word.value


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper, what was seen of it, and the verdict."""

    text: str
    seen: str
    verdict: Verdict


def judged(holds: bool, lacking: Sequence[str]) -> Verdict:
    """Reproduced or differs, unless something is lacking: then partial, and why."""
    if lacking:
        return Verdict(Word.PARTIAL, ", ".join(lacking))
    return Verdict(Word.REPRODUCED if holds else Word.DIFFERS)


def agrees(paper: float, ours: Sequence[float], tolerance: float) -> bool:
    """Whether the paper's number lies between our lowest and highest, each widened by the tolerance."""
    return min(ours) - tolerance <= paper <= max(ours) + tolerance
