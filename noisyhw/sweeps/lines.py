"""Files of JSON lines that many processes append to: a line is whole or cut off again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import RunError

BLOCK = 1 << 16


class Lines:
    """One file; reads on from where it was before. Appending needs the store's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.number = 0

    def news(self) -> list[Any]:
        """Return what whole lines were added since the last call; a line that a kill cut off does not count.

        Raises:
            RunError: a line is no JSON object, or the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"{self.path}: cannot be read ({error.strerror})") from None
        whole = data[: data.rfind(b"\n") + 1]
        found = [self._parsed(line) for line in whole.splitlines()]
        self.offset += len(whole)
        return found

    def _parsed(self, line: bytes) -> Any:
        self.number += 1
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise RunError(
                f"{self.path}:{self.number}: not a line of a noisyhw sweep; delete this line, and what it told "
                "is made again"
            )
        return entry

    def append(self, entries: Iterable[dict[str, Any]]) -> None:
        """Add lines, all in one write that has reached the disk on return.

        Raises:
            RunError: the disk is full, or the file cannot be written; no half line is left.
        """
        data = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        if not data:
            return
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        try:
            _mend(descriptor)
            try:
                written = os.write(descriptor, data)
                if written < len(data):
                    raise OSError(None, "no space left")
                os.fsync(descriptor)
            except OSError:
                _mend(descriptor)  # never a whole line: another process may have read it
                raise
        except OSError as error:
            raise _unwritable(self.path, error) from None
        finally:
            os.close(descriptor)


def _mend(descriptor: int) -> None:
    """Cut off a half-written last line."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(end - BLOCK, 0)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path}: cannot be written ({error.strerror}); free some space and start the sweep again: it goes on "
        "where it stopped"
    )
