"""A file that can be downloaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remote:
    """One file on the web; ``checksum`` is ``algorithm:hex``, None where nobody published one."""

    url: str
    name: str
    checksum: str | None
