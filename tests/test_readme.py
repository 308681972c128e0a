"""What the README and the docs say is true: their code runs, their cards load, their commands and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from noisyhw_cli.main import cli

import noisyhw

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "reports/README.md",
]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.S | re.M)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks(README, "bash")).splitlines()
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("noisyhw ")]
    return [command[1:] for command in words]


def test_the_python_example_runs_and_its_rule_returns_one_signal_per_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(README, "python")
    space: dict[str, object] = {}
    exec(example, space)
    signals = space["signals"]
    assert isinstance(signals, tuple)
    assert [tuple(signal.shape) for signal in signals] == [(50, 32), (50, 10)]
    assert isinstance(run := space["run"], noisyhw.Run)
    assert run.status == "done"
    assert len(run.metrics) == 5


def test_the_example_cards_load_and_change_what_they_say(tmp_path: Path) -> None:
    extend = (ROOT / "docs/extend.md").read_text()
    for text in (*blocks(README, "yaml"), *blocks(extend, "yaml")):
        path = tmp_path / "my-rram.yaml"
        path.write_text(re.sub(r"^   ", "", text, flags=re.M) if text.startswith("   ") else text)
        card = noisyhw.load_device(path)
        assert card.update.kind == "pulsed"
        assert card.update.step == 0.004
        assert card.periphery.adc is not None
        assert card.periphery.adc.bits == 6


def test_the_error_that_the_readme_shows_is_the_one_that_the_card_gives(tmp_path: Path) -> None:
    (text,) = blocks(README, "yaml")
    path = tmp_path / "my-rram.yaml"
    path.write_text(text.replace("bits:", "bitz:"))
    with pytest.raises(noisyhw.CardError) as error:
        noisyhw.load_device(path)
    (shown,) = re.findall(r"^my-rram.yaml:.*$", README, re.M)
    assert shown in str(error.value)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_readme_is_understood(words: list[str]) -> None:
    group = cli
    while words[0] in getattr(group, "commands", {}):
        group = group.commands[words[0]]  # type: ignore[assignment, attr-defined]
        words = words[1:] or ["--json"]
        if not hasattr(group, "commands"):
            break
    group.make_context(str(group.name), [word for word in words if word != "--json"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_of_the_docs_is_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []
