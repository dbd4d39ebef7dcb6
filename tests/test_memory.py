"""The memory of frames is given back, even if other objects were allocated between them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HOLD_AND_LET_GO = """
import numpy as np
from pathlib import Path
from indexer.commands.indexing import let_go_of_frames

def held_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6

if {asked}:
    let_go_of_frames()
np.ones(8 << 20, np.uint8)  # freed at once: glibc learns to keep such sizes
before, stays, frames = held_mb(), [], []
for _ in range(50):
    frames.append(np.ones(4 << 20, np.uint8))
    stays.append(bytearray(5000))
del frames
print(held_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's memory")
def test_memory_of_frames_is_given_back() -> None:
    def left_mb(*, asked: bool) -> float:
        code = HOLD_AND_LET_GO.format(asked=asked)
        return float(subprocess.check_output([sys.executable, "-c", code], text=True))

    assert left_mb(asked=True) < 20
    assert left_mb(asked=False) > 100  # otherwise the test would show nothing
