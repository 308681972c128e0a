"""Timing by turns: every contender runs once a round, so that all see the same machine."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from noisyhw.training.environment import environment

Contenders = Mapping[str, Callable[[], object]]


def by_turns(contenders: Contenders, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of every contender in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warm_up + rounds):
        for name, work in contenders.items():
            started = time.perf_counter()
            work()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, yardstick: str) -> dict[str, float]:
    """Median, lowest and highest ratio of two contenders over the rounds, and the first one's median seconds."""
    ratios = [a / b for a, b in zip(seconds[name], seconds[yardstick], strict=True)]
    return {
        "seconds": statistics.median(seconds[name]),
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "rounds": len(ratios),
    }


def report(title: str, command: str, table: dict[str, dict[str, float]], folder: Path) -> None:
    """Print the table, and write it with versions and hardware to ``folder`` as JSON."""
    print(f"{title}\n  {'':44} {'seconds':>9} {'ratio':>7} {'low':>7} {'high':>7}")
    for name, row in table.items():
        print(f"  {name:44} {row['seconds']:9.4f} {row['ratio']:7.2f} {row['low']:7.2f} {row['high']:7.2f}")
    content = {"title": title, "command": command, "table": table, "environment": environment()}
    folder.mkdir(parents=True, exist_ok=True)
    name = title.split(":")[0].lower().replace(" ", "-")
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
