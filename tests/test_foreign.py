"""Classes from files: run only where the person allowed it, and named by their content."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noisyhw import foreign
from noisyhw.errors import UsageError
from noisyhw.rules.base import Rule

RULE = """
    from noisyhw.rules import Knows, Rule
    class Mine(Rule):
        name, title, knows = "mine", "my rule", Knows.ACTIVITIES
        def probes(self, layers):
            return ((True,) * layers,)
        def signals(self, seen):
            return tuple(a[0] * 0 for a in seen.pre_activations)
"""


@pytest.fixture(autouse=True)
def nothing_is_trusted_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(foreign, "_allowed", set())
    monkeypatch.setattr(foreign, "_everything", False)
    monkeypatch.setattr(foreign, "_modules", {})
    monkeypatch.delenv(foreign.TRUST, raising=False)
    return iter([None])


def write(path: Path, text: str = RULE) -> Path:
    path.write_text(textwrap.dedent(text))
    return path


def refusal(text: str, folder: Path) -> str:
    where = foreign.reference(text, folder)
    assert where is not None
    with pytest.raises(UsageError) as raised:
        foreign.load(where, Rule, "rule")
    return str(raised.value)


def loaded(path: Path) -> type[Rule]:
    return foreign.load(foreign.Reference(path, "Mine"), Rule, "rule")


@pytest.mark.parametrize("text", ["danp", "rules/danp", "rule.yaml", "a:b"])
def test_what_is_no_python_file_is_a_name(text: str) -> None:
    assert foreign.reference(text) is None


@pytest.mark.parametrize("text", ["my.py:Mine", "./my.py:Mine", "sub/../my.py:Mine"])
def test_a_relative_file_is_looked_for_beside_the_card(text: str, tmp_path: Path) -> None:
    assert foreign.reference(text, tmp_path) == foreign.Reference(tmp_path / "my.py", "Mine")


def test_code_that_only_a_card_names_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    write(tmp_path / "my.py", f"open({str(ran)!r}, 'w')")
    told = refusal("my.py:Mine", tmp_path)
    assert str(tmp_path / "my.py") in told
    assert "--trust" in told
    assert not ran.exists()


def test_a_file_that_is_named_by_the_person_runs_and_no_other(tmp_path: Path) -> None:
    foreign.allow(write(tmp_path / "my.py"))
    assert loaded(tmp_path / "my.py").name == "mine"
    write(tmp_path / "other.py")
    assert "--trust" in refusal("other.py:Mine", tmp_path)


@pytest.mark.parametrize("how", ["call", "setting"])
def test_trust_lets_every_file_run(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "my.py")
    if how == "call":
        foreign.trust_everything()
    else:
        monkeypatch.setenv(foreign.TRUST, "1")
    assert loaded(tmp_path / "my.py").title == "my rule"


@pytest.mark.parametrize(
    ("text", "source", "parts"),
    [
        ("none.py:Mine", None, ["none.py", "cannot be read"]),
        ("my.py:Other", RULE, ["'Other'", "it has Mine"]),
        ("my.py:Rule", RULE, ["'Rule'", "it has Mine"]),
        ("my.py", "x = 1", ["my.py:NAME", "no subclass of noisyhw.Rule"]),
        ("my.py:Mine", "def broken(:", ["my.py:1", "SyntaxError"]),
        ("my.py:Mine", "import nothing_of_that_name", ["my.py:1", "ModuleNotFoundError"]),
        ("my.py:Mine", "x = 1\nx / 0", ["my.py:2", "ZeroDivisionError"]),
        ("my.py:Mine", "raise SystemExit('bye')", ["ends the program", "bye"]),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(
    text: str, source: str | None, parts: list[str], tmp_path: Path
) -> None:
    foreign.trust_everything()
    if source is not None:
        write(tmp_path / "my.py", source)
    told = refusal(text, tmp_path)
    assert all(part in told for part in parts), told


def test_an_edited_file_is_read_again_and_has_another_content(tmp_path: Path) -> None:
    foreign.allow(path := write(tmp_path / "my.py"))
    first = loaded(path)
    before = foreign.code_of(first)
    assert loaded(path) is first
    write(path, RULE.replace("* 0", "* 1"))
    assert foreign.code_of(loaded(path)) != before
    write(path)
    assert foreign.code_of(loaded(path)) == before


def test_a_neighbour_that_the_file_imports_is_part_of_its_content(tmp_path: Path) -> None:
    neighbour = write(tmp_path / "a_neighbour_of_mine.py", "factor = 1")
    foreign.allow(path := write(tmp_path / "my.py", "import a_neighbour_of_mine\n" + textwrap.dedent(RULE)))
    before = foreign.code_of(loaded(path))
    write(neighbour, "factor = 2")
    assert foreign.code_of(loaded(path)) != before


def test_a_neighbour_is_part_of_the_content_of_each_file_that_imports_it(tmp_path: Path) -> None:
    neighbour = write(tmp_path / "a_shared_neighbour.py", "factor = 1")
    foreign.trust_everything()
    text = "import a_shared_neighbour\n" + textwrap.dedent(RULE)
    paths = [write(tmp_path / name, text) for name in ("my.py", "yours.py")]
    before = [foreign.code_of(loaded(path)) for path in paths]
    write(neighbour, "factor = 2")
    assert all(foreign.code_of(loaded(path)) != old for path, old in zip(paths, before, strict=True))


def test_a_neighbour_that_was_edited_after_its_file_failed_is_read_again(tmp_path: Path) -> None:
    neighbour = write(tmp_path / "a_wrong_neighbour.py", "title = None")
    text = textwrap.dedent(RULE).replace('"my rule"', "a_wrong_neighbour.title.upper()")
    foreign.allow(path := write(tmp_path / "my.py", "import a_wrong_neighbour\n" + text))
    assert "AttributeError" in refusal("my.py:Mine", tmp_path)
    write(neighbour, "title = 'now right'")
    assert loaded(path).title == "NOW RIGHT"


def test_what_was_imported_before_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a_known_neighbour.py", "factor = 1")
    monkeypatch.syspath_prepend(tmp_path)
    known = importlib.import_module("a_known_neighbour")
    foreign.allow(path := write(tmp_path / "my.py", "import a_known_neighbour\n" + textwrap.dedent(RULE)))
    before = foreign.code_of(loaded(path))
    assert sys.modules["a_known_neighbour"] is known
    write(tmp_path / "a_known_neighbour.py", "factor = 2")
    assert foreign.code_of(loaded(path)) != before


def test_packages_of_an_environment_below_the_file_are_no_neighbours(tmp_path: Path) -> None:
    (packages := tmp_path / ".venv" / "site-packages").mkdir(parents=True)
    write(packages / "an_installed_package.py", "factor = 1")
    text = f"import sys; sys.path.append({str(packages)!r}); import an_installed_package; sys.path.pop()\n"
    foreign.allow(path := write(tmp_path / "my.py", text + textwrap.dedent(RULE)))
    loaded(path)
    assert "an_installed_package" in sys.modules
    del sys.modules["an_installed_package"]


def test_the_content_does_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    foreign.trust_everything()
    (tmp_path / "sub").mkdir()
    here, there = write(tmp_path / "my.py"), write(tmp_path / "sub" / "yours.py")
    assert foreign.code_of(loaded(here)) == foreign.code_of(loaded(there))


def test_a_class_of_no_file_is_named_by_its_methods() -> None:
    def made(factor: int) -> type:
        space: dict[str, Any] = {"__name__": "__console__"}
        exec(textwrap.dedent(RULE).replace("* 0", f"* {factor}"), space)
        kind: type = space["Mine"]
        return kind

    assert foreign.code_of(made(2)) == foreign.code_of(made(2)) != foreign.code_of(made(3))


def test_shipped_code_is_named_by_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    from noisyhw.rules import ActivityNodePerturbation

    assert foreign.code_of(ActivityNodePerturbation) == ""
    monkeypatch.setattr(ActivityNodePerturbation, "revision", "2", raising=False)
    assert foreign.code_of(ActivityNodePerturbation) == "2"
