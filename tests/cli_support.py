"""Calling the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from noisyhw_cli.main import main


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


def said_by(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    """Run `noisyhw` with the arguments and return what it said."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    code = end.value.code
    assert isinstance(code, int)
    return Said(code, said.out, said.err)
