"""Freed memory is kept for the next step."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from noisyhw.memory import keep_freed_memory
if not keep_freed_memory():
    print("cannot"); raise SystemExit
for _ in range(20):
    torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
def test_the_pages_of_a_freed_tensor_are_not_asked_for_again() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    if told.strip() == "cannot":
        pytest.skip("this system's memory allocator has no such setting")
    pages = (1 << 26) // 4096  # of one tensor; twenty were made, after the heap had grown for aligned pieces
    assert int(told) < pages
