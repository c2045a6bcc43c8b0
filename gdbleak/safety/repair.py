"""Repair of a target: bytes that GDB has left in it, and stops.

What the guard does when GDB has died; `gdbleak rescue` does it later, where the guard did not live
to do it. On the standard library alone, because the guard is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gdbleak.safety.journal import Journal
from gdbleak.target.life import read_thread_state, start_of_living

SETTLE_S = 2.0


def iter_changes(memory: int, plan: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
    """Yield address and original bytes of each place where bytes of GDB still stand."""
    code = bytes.fromhex(plan["breakpoint"])
    for probe in plan["probes"]:
        if _read(memory, len(code), probe["address"]) == code:
            yield probe["address"], bytes.fromhex(probe["original"])
    address, original = plan["scratch"]["address"], bytes.fromhex(plan["scratch"]["original"])
    if _read(memory, len(original), address) not in (original, b""):
        yield address, original


def _read(memory: int, size: int, address: int) -> bytes:
    try:
        return os.pread(memory, size, address)
    except OSError:  # what was mapped there is not any more
        return b""


def restore(memory: int, plan: dict[str, Any]) -> int:
    """Write the original bytes over those of GDB; return in how many places."""
    restored = 0
    for address, original in iter_changes(memory, plan):
        with suppress(OSError):  # the process has just ended
            restored += os.pwrite(memory, original, address) > 0
    return restored


def disarm(memory: int, plan: dict[str, Any]) -> int:
    """Write the original bytes over the breakpoints while GDB lives; return over how many."""
    code, restored = bytes.fromhex(plan["breakpoint"]), 0
    for probe in plan["probes"]:
        if _read(memory, len(code), probe["address"]) == code:
            with suppress(OSError):  # the process has just ended
                restored += os.pwrite(memory, bytes.fromhex(probe["original"]), probe["address"])
    return restored


def holds_recorder(memory: int, plan: dict[str, Any]) -> bool:
    """Whether anything stands in a process of a recorder that was put into it.

    It does no harm there. To take it out takes a GDB, by which no thread runs meanwhile.
    """
    inline = plan.get("inline")
    if not inline:
        return False
    code, cave = bytes.fromhex(inline["code"]), inline["cave"]
    start = inline["address"] - cave["address"]
    places = {jump["address"]: bytes.fromhex(jump["original"]) for jump in inline["jumps"]}
    places[inline["address"]] = bytes.fromhex(cave["original"])[start : start + len(code)]
    return any(
        _read(memory, len(original), address) not in (original, b"")
        for address, original in places.items()
    )


def wake(plan: dict[str, Any], was_held: bool = False) -> bool:
    """Continue a target that was left stopped, or is about to stop, and was not before.

    Args:
        plan: What the journal says of it.
        was_held: Whether its tracer has just died that held it by a SIGSTOP, which takes effect
            then; for a moment nothing tells of it.

    Returns:
        Whether it was.

    """
    pid = plan["pid"]
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and plan["state"] != "T":
        if start_of_living(pid) != plan["started"]:
            return False
        state = read_thread_state(pid)
        if state == "T" or (state != "t" and (was_held or has_pending_stop(pid))):
            os.kill(pid, signal.SIGCONT)
            return True
        if state != "t":
            return False
        time.sleep(0.01)
    return False


def has_pending_stop(pid: int) -> bool:
    """Whether a SIGSTOP is on its way to a process or one of its threads.

    Source: proc(5), SigPnd and ShdPnd in /proc/PID/status.
    """
    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(OSError):  # the thread has just ended
            for line in path.read_bytes().splitlines():
                name, _, mask = line.partition(b":")
                if name in (b"SigPnd", b"ShdPnd") and int(mask, 16) >> signal.SIGSTOP - 1 & 1:
                    return True
    return False


def repair(
    memory: int, journal: Journal, who: str, debugger: int | None = None, restored: int = 0
) -> None:
    """Restore what GDB left behind, and write it down.

    Args:
        memory: A descriptor of the target's memory, for reading and writing.
        journal: The journal of the trace.
        who: Repairs.
        debugger: The GDB of the trace. What stands in the code is another's if that traces it.
        restored: The number of places where that was done before.

    """
    if not may_write(journal.plan["pid"], debugger):
        # A recorder is ours, whoever traces the process by now.
        closed = "inline" not in journal.plan
        journal.append(who=who, restored=0, traced_by_another=True, closed=closed)
        return
    restored += restore(memory, journal.plan)
    # A GDB that visits a process to put a recorder in holds it by nothing else.
    was_held = bool(debugger) and "inline" in journal.plan
    continued = wake(journal.plan, was_held)
    lives = start_of_living(journal.plan["pid"]) == journal.plan["started"]
    closed = is_as_it_was(memory, journal.plan)
    journal.append(
        who=who, restored=restored, continued=continued, target_lives=lives, closed=closed
    )


def is_as_it_was(memory: int, plan: dict[str, Any]) -> bool:
    """Whether nothing of a trace is left in the memory of its target."""
    return not any(iter_changes(memory, plan)) and not holds_recorder(memory, plan)


def may_write(pid: int, debugger: int | None) -> bool:
    """Whether nobody traces a process but a GDB of ours, which may be about to end."""
    return read_tracer(pid) in (0, debugger)


def read_tracer(pid: int) -> int:
    """Return the PID of the tracer of a process; 0 if it has none, or has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"TracerPid:"):
                return int(line.split()[1])
    return 0
