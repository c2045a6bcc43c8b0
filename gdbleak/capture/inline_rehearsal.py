"""The rehearsal of the inline probe: a recorder in a process of ours, and out again.

It is the injection itself, over the same machine interface, with the same code: visit, map the
ring, divert, record, remove. After each step it is checked that it has done what it should. A GDB
that fails one is not let near the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gdbleak.capture.rehearsal import check_released, describe
from gdbleak.capture.standing_in import StandIn
from gdbleak.debugger.program import GdbProgram
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import DebuggerFailedError, GdbleakError
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.injection.planning import plan_implant
from gdbleak.injection.remains import At, find_ring, read_remains
from gdbleak.injection.ring_control import Settings
from gdbleak.injection.visits import GdbVisitor
from gdbleak.plan.allocators import find_allocators
from gdbleak.plan.selection import Selection
from gdbleak.plan.sizes import Sizes
from gdbleak.safety.journal import Journal
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import list_threads, read_mappings

Plan = Callable[[int], Implant]
"""Returns what to put into a process of ours, given its PID."""

UNIT_BITS = 12
SETTINGS = Settings(stack_bytes=192)
CALLS = 100
_ALL_SIZES = Sizes(0, 1 << 20)


@contextmanager
def proved_visitor(
    gdb: GdbProgram,
    folder: Path,
    max_pause_s: float,
    journal: Journal | None = None,
    plan: Plan | None = None,
    chooses: bool = False,
) -> Iterator[GdbVisitor]:
    """Start a GDB that has shown on a stand-in that it can put a recorder in and take it out.

    Args:
        gdb: The program.
        folder: A private folder.
        max_pause_s: How long a process may stand still in a visit.
        journal: That of the target, for the guard.
        plan: What to put into the stand-in.
        chooses: Whether the recorder is to be one that chooses blocks by their sizes.

    Raises:
        UnprovedError: it failed, and by what.
        DebuggerFailedError: the stand-in did not start.

    """
    with GdbVisitor(gdb, folder, max_pause_s, journal) as visitor:
        _prove(gdb, visitor, plan or partial(plan_for_stand_in, chooses=chooses))
        yield visitor


def plan_for_stand_in(pid: int, chooses: bool = False) -> Implant:
    """Return what to put into a process of ours; if it chooses blocks, it is to choose them all.

    Raises:
        GdbleakError: its allocator cannot be recorded so.

    """
    with ImageCache() as images, LiveProcess(pid, images) as source:
        modules = source.read_modules()
        allocators = find_allocators(modules, source.read_search_order(), images=images)
        selection = Selection(sizes=_ALL_SIZES if chooses else None)
        return plan_implant(source, allocators, modules, images, UNIT_BITS, selection)[1]


def _prove(gdb: GdbProgram, visitor: GdbVisitor, plan: Plan) -> None:
    stand_in = StandIn()
    try:
        stand_in.meet()
        rehearsal = _Rehearsal(visitor, stand_in)
        try:
            rehearsal.run(plan)
        except GdbleakError as error:
            visitor.drop()  # before the stand-in ends: GDB may still hold it
            raise describe(gdb, rehearsal.step, str(error)) from error
    finally:
        stand_in.end()


class _Rehearsal:
    """An injection into a stand-in."""

    def __init__(self, visitor: GdbVisitor, stand_in: StandIn) -> None:
        self.step = "its start"
        """What is being tried."""
        self._visitor = visitor
        self._stand_in = stand_in

    def run(self, plan: Plan) -> None:
        """Do everything, and check everything.

        Raises:
            GdbleakError: a check has failed.

        """
        self._visitor.launch()
        pid, implant = self._stand_in.pid, plan(self._stand_in.pid)
        image, cave, ring = implant.image, implant.cave, implant.ring
        with Injection(pid, image, cave, ring, self._visitor) as injection:
            self.step = "the injection"
            injection.map_ring()
            if {thread.id for thread in injection.threads} != {*list_threads(pid)}:
                raise DebuggerFailedError("it did not hold every thread")
            injection.arm(SETTINGS)
            injection.divert()
            self._allocate()
            if injection.ring.read_tickets():
                raise DebuggerFailedError("calls were recorded that should not have been")
            self.step = "the recording"
            injection.switch(on=True)
            self._allocate()
            if injection.ring.read_tickets() < 2 * CALLS:
                raise DebuggerFailedError("not every call was recorded")
            self.step = "the removal"
            removal = injection.remove()
            if removal.left:
                raise DebuggerFailedError(removal.left[0])
            self._check_release(injection)

    def _allocate(self) -> None:
        """Have blocks allocated and freed.

        Raises:
            DebuggerFailedError: that went wrong.

        """
        answer = self._stand_in.ask(f"allocate {CALLS}")
        if answer is None or answer["right"] != CALLS:
            fate = "got wrong blocks" if answer else self._stand_in.describe_end() or "hangs"
            raise DebuggerFailedError(f"the process {fate}")

    def _check_release(self, injection: Injection) -> None:
        pid, implant = self._stand_in.pid, injection.implant
        remains = read_remains(pid, implant, injection.memory)
        ring = find_ring(read_mappings(pid), implant.ring, injection.memory)
        if not remains.is_nothing or remains.strange or ring is not At.NOTHING:
            raise DebuggerFailedError("something stayed in the process")
        check_released(pid)
        self._allocate()
