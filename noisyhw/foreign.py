"""Classes that do not ship with noisyhw: loaded from a file where that is allowed, and named by their content.

A file with code runs only where the person allowed it: the file itself (:func:`allow`), or all files
(:func:`trust_everything`, ``$NOISYHW_TRUST=1``). :func:`code_of` names the code of a class, so that what was computed
with a file can be told from what is computed after an edit.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from .code import content_of_class, file_of
from .errors import UsageError
from .fingerprint import fingerprint

T = TypeVar("T")

TRUST = "NOISYHW_TRUST"
"""This environment variable, where it is 1, is a person's own setting to run the code that cards name."""
_PREFIX = "noisyhw_file_"
_allowed: set[Path] = set()
_everything = False
_modules: dict[Path, _Loaded] = {}
_given: dict[str, Any] = {}


@dataclass(frozen=True)
class Reference:
    """A class in a file.

    Attributes:
        file: the file, absolute.
        name: of the class; None: the file's only one of its kind.
    """

    file: Path
    name: str | None


@dataclass(frozen=True)
class _Loaded:
    """A file that was run, with what names its content and that of the files beside it that it imported."""

    module: ModuleType
    source: bytes
    beside: tuple[Path, ...]
    content: str


def reference(text: str, folder: Path = Path()) -> Reference | None:
    """Return what ``./my_rule.py:MyRule`` (or ``./my_rule.py``) points to; None: the text is a name.

    Args:
        text: what a person wrote.
        folder: what a relative path is relative to.
    """
    file, colon, name = text.rpartition(":")
    if not colon or "/" in name or os.sep in name:
        file, name = text, ""
    if not file.endswith(".py"):
        return None
    return Reference(Path(os.path.abspath(folder / Path(file).expanduser())), name or None)


def allow(file: str | Path) -> None:
    """Let this file's code run in this process: the person has named it."""
    _allowed.add(Path(os.path.realpath(file)))


def trust_everything() -> None:
    """Let the code of all files run that cards name, in this process."""
    global _everything
    _everything = True


def trusted(file: str | Path) -> bool:
    """Return whether this file's code may run."""
    return _everything or os.environ.get(TRUST) == "1" or Path(os.path.realpath(file)) in _allowed


def load(where: Reference, base: type[T], kind: str) -> type[T]:
    """Return a class from a file; the file is run once, and again after it was edited.

    Args:
        where: the file and the class.
        base: what the class must be a subclass of.
        kind: what messages call it, e.g. ``rule``.

    Raises:
        UsageError: the file may not run, is not there, fails, or has no such class.
    """
    if not trusted(where.file):
        raise UsageError(
            f"{kind}: a card names code in {where.file}, and code of cards is not run unasked; read it, then name the "
            f"file on the command line (--{kind} {where.file}), or add --trust (or set {TRUST}=1)"
        )
    module = _loaded(where.file, kind).module
    names = _names(module, base)
    name = names[0] if where.name is None and len(names) == 1 else where.name
    found = None if name is None else getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base) and not inspect.isabstract(found)):
        raise UsageError(_no_such_class(where, names, base, kind))
    return found


def give(thing: Any, content: str) -> str:
    """Keep an object that a person gave in place of a card's words, in this process; return what a card calls it."""
    _given[content] = thing
    return content


def given(content: str, kind: str) -> Any:
    """Return an object that was given.

    Raises:
        UsageError: it was not, in this process.
    """
    if content not in _given:
        raise UsageError(
            f"{kind}: this run's {kind} was given as an object; give the same one again, e.g. "
            f"noisyhw.resume(path, {kind}=...)"
        )
    return _given[content]


def given_from(where: Reference) -> Any:
    """Return the class that was given in this process and that lies there; None: there is none."""
    return _given.get(str(where))


def code_of(kind: type) -> str:
    """Return what names the code of a class: a shipped one's revision, and of any other also its content.

    Raises:
        UsageError: it has no content to be named by (see :func:`.content_of_class`).
    """
    revision = str(getattr(kind, "revision", ""))
    module = kind.__module__
    if module == "noisyhw" or module.startswith("noisyhw."):
        return revision
    file = file_of(kind)
    loaded = _modules.get(file) if file is not None else None
    own = loaded is not None and loaded.module.__name__ == module
    content = content_of_class(kind, loaded.beside if loaded is not None and own else ())
    return f"{revision} {content}".strip()


def reference_to(kind: type) -> Reference | None:
    """Return where a class can be loaded from again; None: it is of the running script, of a package, or of no file."""
    file = file_of(kind)
    if kind.__module__ == "__main__" or file is None or "." in kind.__module__:
        return None
    found = getattr(sys.modules[kind.__module__], kind.__name__, None)
    return Reference(file, kind.__name__) if found is kind else None


def _loaded(file: Path, kind: str) -> _Loaded:
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{kind}: {file}: cannot be read ({error.strerror or error})") from None
    known = _modules.get(file)
    if known is not None and known.source == source and _content(source, known.beside) == known.content:
        return known
    _modules[file] = loaded = _run(file, source, kind)
    return loaded


def _run(file: Path, source: bytes, kind: str) -> _Loaded:
    name = _PREFIX + fingerprint([os.fsencode(file)])
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(file))
    assert spec is not None  # a spec without a loader is always made
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[name] = module
    try:
        with _importing_from(file.parent) as beside:
            exec(compile(source, str(file), "exec"), module.__dict__)
    except SystemExit as error:
        raise UsageError(f"{kind}: {file}: ends the program while it is read ({error})") from None
    except Exception as error:  # anything can go wrong in another person's file
        raise UsageError(f"{kind}: {file}{_line_of(error, file)}: {type(error).__name__}: {error}") from None
    files = tuple(sorted(beside))
    return _Loaded(module, source, files, _content(source, files))


@contextmanager
def _importing_from(folder: Path) -> Iterator[set[Path]]:
    """Let a file import its neighbours, each anew, and gather which they were.

    A neighbour that something else has imported before is put back afterwards: the file's own copy is as the neighbour
    is now, and which neighbours a file has does not depend on what was imported before it.
    """
    before = _neighbours(folder)
    for name in before:
        del sys.modules[name]
    found: set[Path] = set()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield found
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        own = _neighbours(folder)
        found.update(Path(str(module.__file__)) for module in own.values())
        for name in own:
            del sys.modules[name]
        sys.modules.update(before)


def _neighbours(folder: Path) -> dict[str, ModuleType]:
    """Modules that are imported from a folder: not this package, the running script, or an environment's packages."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] not in ("noisyhw", "noisyhw_cli", "__main__")
        and not name.startswith(_PREFIX)
        and _lies_in(getattr(module, "__file__", None), folder)
    }


def _lies_in(file: str | None, folder: Path) -> bool:
    return (
        file is not None
        and folder in (parents := Path(file).parents)
        and not any(one.name in ("site-packages", "dist-packages") for one in parents)
    )


def _content(source: bytes, beside: tuple[Path, ...]) -> str:
    return fingerprint([source, *(file.read_bytes() if file.is_file() else b"" for file in beside)])


def _line_of(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ is not None else []
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return f":{lines[-1]}" if lines else ""


def _names(module: ModuleType, base: type) -> list[str]:
    """The module's own classes of a kind: not those that it imported."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]


def _no_such_class(where: Reference, names: list[str], base: type, kind: str) -> str:
    has = f"it has {', '.join(names)}" if names else f"it has no subclass of {_shown(base)}"
    if where.name is None:
        return f"{kind}: {where.file}: name the class, {where.file.name}:NAME; {has}"
    return f"{kind}: {where.file}: '{where.name}' is no complete subclass of {_shown(base)}; {has}"


def _shown(base: type) -> str:
    """A class by the name that people import it by."""
    package = base.__module__.split(".")[0]
    return f"torch.nn.{base.__name__}" if package == "torch" else f"{package}.{base.__name__}"
