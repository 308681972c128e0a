"""Keeping freed memory for the next step, instead of giving it back to the operating system after each."""

from __future__ import annotations

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Names of glibc's mallopt (malloc.h)."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process reuse the memory of freed tensors; return whether that could be arranged.

    A training step allocates the same large tensors over and over. glibc returns each to the operating system when it
    is freed, and at the next step every page of it is handed out and cleared anew, which takes longer than to compute
    what it holds. After this call the process keeps its largest size until it ends. Where there is no glibc, nothing
    is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
