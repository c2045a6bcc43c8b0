"""The proof that a target was left as it was found."""

from __future__ import annotations

import time

from gdbleak.allocator_search import iter_changed
from gdbleak.capture.scratch import Scratch
from gdbleak.plan import Probe
from gdbleak.proc import Memory, read_state, read_status
from gdbleak.report import Verification

SETTLE_S = 2.0
"""How long the kernel may take to show a detached process as running again."""


def prove(
    pid: int,
    state_before: str,
    probes: tuple[Probe, ...],
    scratch: Scratch,
    memory: Memory,
    own_stop: bool,
) -> Verification:
    """Look at a process after the detach.

    Args:
        pid: The process.
        state_before: Its state letter before the attach.
        probes: Where breakpoints were.
        scratch: Where GDB stepped over them.
        memory: Of the process, opened before the attach: it cannot turn into another process's.
        own_stop: Whether somebody has sent it a signal of job control meanwhile.

    """
    halted = "t" if own_stop else "tT"
    deadline = time.monotonic() + SETTLE_S
    while True:
        state, tracer = _look(pid)
        settled = state is None or (tracer == 0 and state not in halted)
        if settled or time.monotonic() > deadline:
            break
        time.sleep(0.005)
    if state is None or state in "ZX" or tracer is None:
        return Verification(None, state_before, None, None, None)
    intact = None
    if not _is_gone(probes, memory):
        intact = scratch.is_intact(memory) and not any(iter_changed(probes, memory))
    ok = tracer == 0 and state not in halted and intact is not False
    return Verification(tracer, state_before, state, intact, ok)


def _is_gone(probes: tuple[Probe, ...], memory: Memory) -> bool:
    """Whether the memory with the breakpoints exists no more: another program runs."""
    return not memory.read(probes[0].address, 1)


def _look(pid: int) -> tuple[str | None, int | None]:
    state = read_state(pid)
    try:
        return state, int(read_status(pid)["TracerPid"])
    except (FileNotFoundError, ProcessLookupError):
        return None, None
