"""Programs to put the recorder into, what became of them, and the table of all that.

A row goes from a test to the end of the run as a property of its report, which pytest-xdist carries
too.
"""

from __future__ import annotations

import os
import random
import re
import resource
import statistics
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gdbleak.errors import GdbleakError, NoSuchProcessError
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.injection.ring_control import Settings
from gdbleak.injection.thread_facts import find_thread_facts
from gdbleak.injection.visits import Visitor
from gdbleak.inline.ring import READ, UNREAD
from gdbleak.target.proc import read_mappings
from support.crew import TORTURE
from support.inline import assert_nothing_left, injection_into
from support.processes import Target, assert_as_found, states_of, wait_until

PROPERTY = "torture"
STACK_BYTES = (192, 512, 4096)
"""One of these is kept of each stack."""
WINDOW_S = 0.02
SETTLE_S = 5.0
"""How long the kernel may take to let every thread run again."""
MANY = 100
REMAINING = "read", "futex", "timed", "epoll", "pause"
"""Kinds that wait until they are woken."""


@dataclass(frozen=True)
class Crowd:
    """A program of some threads, which checks itself."""

    kinds: tuple[str, ...]
    source: str = "waiting.c"
    flags: tuple[str, ...] = ()

    @property
    def rounds(self) -> int:
        """How often it is put to the test: less often where that takes long."""
        if TORTURE == 1:
            return 2
        return (5 if len(self.kinds) >= MANY else 20) * TORTURE


def _leaving(*kinds: str) -> Crowd:
    return Crowd(kinds, "leaving.cpp")


CROWDS = {
    "1 thread, hot": Crowd(("hot",)),
    "1 thread, waits": Crowd(("read",)),
    "16 threads, hot": Crowd(("hot",) * 16),
    "16 threads, wait": Crowd((*REMAINING, *REMAINING, *REMAINING, "read")),
    "200 threads, wait": Crowd(("read", "futex") * 100),
    "200 threads, 16 hot": Crowd((*("futex",) * 184, *("hot",) * 16)),
    "500 threads, 16 hot": Crowd((*("futex",) * 484, *("hot",) * 16)),
    "signal handlers": Crowd(("signals",) * 4),
    "threads come and go": Crowd(("churn",) * 4),
    "threads are cancelled": _leaving(*("cancel",) * 4),
    "handlers left by siglongjmp": _leaving(*("jump",) * 4),
    "C++ exceptions": _leaving(*("throw",) * 4),
    "coroutines on the heap": _leaving(*("coroutine",) * 4),
    "fork": _leaving("fork", "fork", "busy"),
    "vfork": _leaving("vfork", "busy"),
    "posix_spawn": _leaving("spawn", "spawn", "busy"),
    "all of these": _leaving("cancel", "jump", "throw", "coroutine", "fork", "vfork", "spawn"),
    "stripped": Crowd(("hot", "signals", "read"), flags=("-s",)),
    "static": Crowd(("hot", "signals", "read"), flags=("-static",)),
}


@dataclass
class Tally:
    """What was done to processes of one kind, and what became of them."""

    what: str
    how: str
    times: int = 0
    died: int = 0
    harmed: list[str] = field(default_factory=list)
    """What was wrong, a sentence each."""
    left: list[str] = field(default_factory=list)
    """What was found in a process at last that should not be there."""
    repaired: Counter[str] = field(default_factory=Counter)
    """How often it took another try, or a rescue, to take out the rest; by the reason."""
    refused: Counter[str] = field(default_factory=Counter)
    """How often nothing was done, by the reason."""
    pauses_ms: list[float] = field(default_factory=list)

    @contextmanager
    def noting(self, wrong: list[str]) -> Iterator[None]:
        """Note what is found to be wrong in here, rather than end the test: the next comes too."""
        try:
            yield
        except AssertionError as error:
            wrong.append(f"number {self.times}: {str(error)[:500]}")

    def assert_all_well(self) -> None:
        """Assert that no process was harmed."""
        assert (self.died, self.harmed, self.left) == (0, [], []), self

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "repaired": {**self.repaired}, "refused": {**self.refused}}

    def to_row(self) -> dict[str, str]:
        """Return it as a row of the table."""
        refused, pauses_ms = sum(self.refused.values()), self.pauses_ms
        return {
            "program": self.what,
            "done": self.how,
            "times": str(self.times),
            "died": str(self.died),
            "harmed": str(len(self.harmed)),
            "left": str(len(self.left)),
            "repaired": str(sum(self.repaired.values())),
            "refused": f"{refused} ({refused / max(self.times, 1):.0%})" if refused else "0",
            "median ms": f"{statistics.median(pauses_ms):.1f}" if pauses_ms else "",
            "most ms": f"{max(pauses_ms):.1f}" if pauses_ms else "",
        }


def show(reports: Iterable[Any], write: Callable[[str], None]) -> None:
    """Write the table of all tallies of a run, and what was refused or found wrong."""
    tallies, total = _tallies_of(reports), Tally("all", "")
    if not tallies:
        return
    for each in tallies:
        total.times += each.times
        total.died += each.died
        total.harmed += each.harmed
        total.left += each.left
        total.repaired += each.repaired
        total.refused += each.refused
        total.pauses_ms += each.pauses_ms
    rows = [each.to_row() for each in (*tallies, total)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in ({name: name for name in widths}, *rows):
        write("  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())
    write("load at the end: " + " ".join(f"{load:.1f}" for load in os.getloadavg()))
    for each in tallies:
        name = f"{each.what}, {each.how}"
        for word, reasons in (("refused", each.refused), ("repaired", each.repaired)):
            for reason, count in reasons.most_common():
                write(f"{word} {count} times ({name}): {reason}")
        for sentence in (*each.harmed, *each.left):
            write(f"WRONG ({name}): {sentence}")


def _tallies_of(reports: Iterable[Any]) -> list[Tally]:
    """Return those that tests have recorded, each of which has several reports."""
    found = {
        (report.nodeid, values["what"], values["how"]): values
        for report in reports
        for name, values in getattr(report, "user_properties", ())
        if name == PROPERTY
    }
    counts = ("repaired", "refused")
    return [
        Tally(**{**values, **{name: Counter(values[name]) for name in counts}})
        for values in found.values()
    ]


def shorten(reason: object) -> str:
    """Return a reason without what differs each time: numbers."""
    return re.sub(r"\b(0x[0-9a-f]+|\d+)\b", "N", str(reason).partition("\n")[0])


def start_crowd(crowd: Crowd, build: Callable[..., Path], folder: Path) -> Target:
    """Start a program that says "ready"; if it dies, its core lies in a folder.

    It comes after others on the processors, so that busy threads do not hold up what is measured.
    """
    program = build(crowd.source, *crowd.flags)
    target = Target(["nice", "-n", "9", program, *crowd.kinds], cwd=folder)
    _, most = resource.prlimit(target.pid, resource.RLIMIT_CORE)
    resource.prlimit(target.pid, resource.RLIMIT_CORE, (most, most))
    return target


def put_in(injection: Injection, dice: random.Random) -> None:
    """Put the recorder in, as a trace does, and read what it records for a moment."""
    injection.map_ring()
    pid, memory = injection.pid, injection.memory
    facts = find_thread_facts(pid, injection.threads, read_mappings(pid), memory)
    injection.arm(
        Settings(
            dice.choice(STACK_BYTES), main_stack=facts.main_stack, stack_block=facts.stack_block
        )
    )
    injection.divert()
    injection.switch(on=True)
    until_s = time.monotonic() + dice.random() * WINDOW_S
    while time.monotonic() < until_s:
        ring = injection.implant.ring.address
        memory.write(ring + READ, struct.pack("<Q", injection.ring.read_tickets()))
        memory.write(ring + UNREAD, bytes(8))
        time.sleep(0.002)


def put_in_and_out(
    target: Target, visitor: Visitor, implant: Implant, tally: Tally, dice: random.Random
) -> None:
    """Put the recorder in and take it out; note what became of that, but not of the process."""
    tally.times += 1
    try:
        injecting = injection_into(target.pid, visitor, implant)
        with injecting as injection:
            try:
                put_in(injection, dice)
            except NoSuchProcessError:
                tally.refused["the process has ended meanwhile"] += 1
            except GdbleakError as error:
                tally.refused[shorten(error)] += 1
            removal = injection.remove()
            tally.pauses_ms += (*injection.pauses_ms, *removal.pauses_ms)
            if not removal.ok:
                tally.repaired[shorten(removal.left[0])] += 1
                removal = injection.remove()
            tally.left += removal.left
    except NoSuchProcessError:  # before anything was done
        tally.refused["the process has ended before"] += 1


def look_at(target: Target, implant: Implant, tally: Tally) -> bool:
    """Note whether a process lives, runs, and is as it was found; return whether it lives."""
    code = target.process.poll()
    if code is not None:
        tally.died += 1
        tally.harmed.append(f"number {tally.times}: it has ended with {code}")
        return False
    with tally.noting(tally.harmed):
        wait_until(lambda: not {*states_of(target.pid)} & {"t", "T"}, "every thread ran", SETTLE_S)
    with tally.noting(tally.left):
        assert_nothing_left(target.pid, implant)
        assert_as_found(target.pid)
    return True


def wake(target: Target, crowd: Crowd, tally: Tally) -> None:
    """End a program; note what it says that was wrong."""
    with tally.noting(tally.harmed):
        target.tell("wake")
        results = [target.lines.next().split() for _ in crowd.kinds]
        assert [kind for kind, _ in results] == [*crowd.kinds]
        assert "wrong" not in {result for _, result in results}, results
        target.process.stdin.close()
        assert target.wait() == 0
