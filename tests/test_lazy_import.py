"""What an import costs: `import noisyhw` and the command line's help load nothing that is heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import noisyhw

HEAVY = ("torch", "pandas", "matplotlib", "sklearn", "scipy", "numpy", "pydantic")
LOADED = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"


def loaded_by(code: str) -> tuple[str, list[str]]:
    """What a fresh process prints, and which heavy packages it has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, timeout=600, check=True
    )
    return done.stdout, done.stderr.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    said, heavy = loaded_by("import noisyhw; print(noisyhw.__version__, noisyhw.UsageError.__name__)")
    assert said.split() == [noisyhw.__version__, "UsageError"]
    assert heavy == []


@pytest.mark.slow
def test_a_name_or_a_module_is_loaded_when_it_is_asked_for() -> None:
    said, heavy = loaded_by("import noisyhw; print(noisyhw.observation.Observation is noisyhw.Observation)")
    assert said == "True\n"
    assert "torch" in heavy
    assert not {"pandas", "matplotlib", "sklearn"} & set(heavy)


HELPS = ["--help", "--version", "train --help", "sweep --help", "tune --help", "report --help"]
HELPS += [
    "devices --help",
    "devices fit --help",
    "reproduce --help",
    "rules --help",
    "doctor --help",
    "train -h",
]


def test_no_help_of_the_command_line_loads_anything_heavy() -> None:
    """All in one process: what one of them loads stays loaded."""
    calls = "\n".join(f"call({words.split()})" for words in HELPS)
    code = (
        "from noisyhw_cli.main import main\n"
        "def call(words):\n"
        "    try:\n"
        "        main(words)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, words\n"
    )
    said, heavy = loaded_by(code + calls)
    assert said.count("Usage:") == len(HELPS) - 1
    assert heavy == []


def test_a_wrong_option_is_answered_without_loading_anything_heavy() -> None:
    code = "from noisyhw_cli.main import main\ntry: main(['train', '--epoch', 'x'])\nexcept SystemExit: pass"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, timeout=600, check=True
    )
    assert done.stderr.splitlines()[-1] == ""


def test_every_name_that_the_package_shows_is_there_and_listed() -> None:
    assert sorted(noisyhw.__all__) == sorted(set(noisyhw.__all__))
    for name in noisyhw.__all__:
        assert getattr(noisyhw, name).__class__ is not type(noisyhw), name
        assert name in dir(noisyhw)
    assert {"__version__", "__all__", "__doc__"} <= set(dir(noisyhw))


def test_a_star_import_brings_every_name() -> None:
    names: dict[str, object] = {}
    exec("from noisyhw import *", names)
    assert set(noisyhw.__all__) <= set(names)


def test_the_table_of_names_and_what_type_checkers_see_agree() -> None:
    import ast

    tree = ast.parse(Path(noisyhw.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        statement.module: tuple(alias.name for alias in statement.names)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
    }
    assert seen == noisyhw._WHERE
    assert sorted(name for names in seen.values() for name in names) == sorted(noisyhw.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    for name in ("trian", "_hidden", "Device2"):
        with pytest.raises(AttributeError, match=f"module 'noisyhw' has no attribute '{name}'"):
            getattr(noisyhw, name)
    assert not hasattr(noisyhw, "__wrapped__")
    with pytest.raises(ImportError):
        exec("from noisyhw import nothing_of_that_name")
