"""Why `siglongjmp` out of `malloc` ends a process, whether or not anybody records it.

A process that left its allocator so was seen to die with a recorder in it, and without. Here nobody
looks on: a jump out of the midst of `malloc` leaves a lock held or a list half changed, so that the
process hangs or aborts when it allocates the next time. What the recorder adds to a call can be
left at any instruction: see test_inline_recorder.py.
"""

from __future__ import annotations

import platform
import subprocess

import pytest

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="it steps by a flag of x86-64"
)


@pytest.fixture
def leave(build_target):
    """Return a function that leaves malloc at each instruction, and says how processes ended."""

    def leave(size: int, threads: int) -> dict[str, int]:
        program = build_target("left_malloc.c", "-fno-builtin")
        command = [program, str(size), str(threads)]
        shown = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=100
        ).stdout
        return dict(zip(("lived", "killed", "hung", "twice"), map(int, shown.split())))

    return leave


def test_a_lock_is_left_held(leave):
    ends = leave(3000, threads=2)
    assert ends["hung"] > 0
    assert ends["lived"] > 0  # it was left before the lock was taken, or behind


def test_the_heap_is_left_half_changed(leave):
    ends = leave(3000, threads=1)
    assert ends["killed"] + ends["twice"] > 0
