"""The parts that all pages share: tables, claims, and how a page was made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from ..errors import RunError
from ..training.environment import cpu_name
from ..training.files import write_text
from .verdict import Claim


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table, as lines."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def claims_table(claims: Iterable[Claim]) -> list[str]:
    """The claims with what was seen and the verdicts, as a Markdown table."""
    rows = [(claim.text, claim.seen, claim.verdict) for claim in claims]
    return table(("the paper says", "seen here", "verdict"), rows)


def made_by(command: str) -> list[str]:
    """The command and what it was computed with."""
    machine = f"torch {torch.__version__}, {cpu_name()}, {os.cpu_count()} cores"
    return [f"Page written with {machine}, by", "", "```", command, "```"]


def write_page(path: Path, lines: Iterable[str]) -> Path:
    """Write a page, and its folder if need be.

    Raises:
        RunError: it cannot be written.
    """
    make_folder(path.parent)
    write_text(path, "\n".join(lines).rstrip() + "\n")
    return path


def make_folder(folder: Path) -> None:
    """Make a folder.

    Raises:
        RunError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean, lowest and highest: ``41.0 (40.7 to 41.2)``; a single value stands alone."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
