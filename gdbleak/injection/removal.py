"""How an implant is taken out of a process, whatever part of it is there.

Each visit does what can be done by then: the old bytes over the jumps; once no thread is in the
image or will return there, a thread that unmaps the ring; once that is gone, the old bytes over the
image. What is left is read from outside before each, so it goes on from wherever another trace was
killed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from gdbleak.errors import DebuggerFailedError, NoSuchProcessError, WriteError
from gdbleak.host.waiting import wait_until
from gdbleak.injection.filters import (
    Able,
    calls_to_unmap,
    choose_able,
    find_unfiltered,
    list_candidates,
)
from gdbleak.injection.implant import Implant
from gdbleak.injection.remains import At, Remains, find_ring, iter_copies, read_remains
from gdbleak.injection.restorers import find_restorers
from gdbleak.injection.ring_control import RingControl
from gdbleak.injection.steps import (
    Step,
    code_ranges,
    expect,
    expect_absent,
    expect_unmapped,
    hijack,
    tell_contents,
    tell_filters,
    write,
)
from gdbleak.injection.visits import Outcome, ToldFilters, Visitor
from gdbleak.target.life import find_living_thread, find_obstacle, start_of_living
from gdbleak.target.proc import Memory, read_mappings, read_state
from gdbleak.text.units import format_bytes

PATIENCE_S = 30.0
"""For how long it is tried: a thread that gets no processor stays where it is."""
_QUIET_S = 0.02
"""How long a call that is being recorded may take to end, once the recorder is off."""
_RING_S = 1.0
"""How long a thread may take to unmap the ring."""
_PAUSES_S = (0.01, 0.01, 0.02, 0.05, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.5)
"""How long to wait after visits that came too early; the last again and again."""
_DEATHS = 3
"""How many visits may fail by a GDB that ends, or is not told what to do, before it is given up."""


@dataclass(frozen=True)
class Removal:
    """What became of taking an implant out."""

    attaches: int
    """How often GDB has attached."""
    pauses_ms: tuple[float, ...]
    """How long the processes stood still in each."""
    left: tuple[str, ...]
    """What could not be taken out, a sentence each."""
    kept: tuple[str, ...] = ()
    """What nobody can take out by now, and does nothing: memory. A sentence each."""
    restored: tuple[int, ...] = ()
    """The children of fork that it was taken out of, too, by PID."""
    registers: dict[int, list[int]] = field(default_factory=dict)
    """What stood in the registers of the threads of the process in the first visit, by thread."""

    @property
    def children(self) -> int:
        """How many these are."""
        return len(self.restored)

    @property
    def ok(self) -> bool:
        """Whether nothing is left that somebody could take out."""
        return not self.left


@dataclass
class Remover:
    """Takes an implant out of one process after the other."""

    implant: Implant
    visitor: Visitor
    patience_s: float = PATIENCE_S
    able: Able = field(default_factory=dict)
    """Threads of the first process that may unmap the ring, if all of them have filters."""
    pauses_ms: list[float] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    registers: dict[int, list[int]] = field(default_factory=dict)

    def remove(self, pid: int, started: int | None, program: tuple[int, int]) -> Removal:
        """Take it out of a process and of its children, if they live.

        Args:
            pid: The process that it was put into.
            started: When that was started, in clock ticks since boot.
            program: Device and inode of its program: that of its children too.

        """
        if started is not None and start_of_living(pid) == started:
            self._remove(pid, self.able)
        children: set[int] = set()
        # A child may have a child before it is visited, but not after.
        while found := {*iter_copies(program, self.implant, pid)} - children:
            children |= found
            for child in found:
                self._remove(child, {})
        return Removal(
            len(self.pauses_ms),
            tuple(self.pauses_ms),
            tuple(self.left),
            tuple(self.kept),
            tuple(children),
            self.registers,
        )

    def _remove(self, pid: int, able: Able) -> None:
        try:
            with Memory(find_living_thread(pid) or pid, writable=True) as memory:
                obstacle = find_obstacle(pid)
                if obstacle:
                    left = self._leave(pid, memory, obstacle)
                else:
                    left = _Process(self, pid, memory, able).remove()
        except (FileNotFoundError, ProcessLookupError):
            return
        except OSError as error:
            left = f"the memory of process {pid} cannot be written to: {error.strerror}"
        if left:
            self.left.append(left)

    def _leave(self, pid: int, memory: Memory, obstacle: str) -> str | None:
        """Switch the recorder off in a process to which GDB cannot attach."""
        image = self.implant.image
        if not self.implant.is_image(memory.read(image.address, len(image.code))):
            return None
        with suppress(NoSuchProcessError):
            RingControl(pid, self.implant.ring, memory).switch(on=False)
        return f"process {pid} still holds the recorder, which is off, and its ring: {obstacle}"


class _Process:
    """One process, and what of the implant is left in it."""

    def __init__(self, remover: Remover, pid: int, memory: Memory, able: Able) -> None:
        self._remover = remover
        self._implant = remover.implant
        self._pid = pid
        self._memory = memory
        self._started = start_of_living(pid)
        self._restorers = find_restorers(read_mappings(pid), memory)
        self._told = ToldFilters(able, None) if able else None
        """The filters of threads, if all have some, until one turns out to have others."""
        self._refusal = ""
        """Why the ring stays when the code goes."""

    def remove(self) -> str | None:
        """Take everything out that is there; return what is left in a sentence, if anything is."""
        self._switch_off()
        deadline_s = time.monotonic() + self._remover.patience_s
        deaths, pauses = 0, _iter_pauses()
        while not (remains := self._read()).is_nothing:
            if remains.strange and not remains.jumps:
                break
            try:
                # A GDB that took too long was ended. What it was to do must be done all the same.
                patience = 2**deaths
                outcome = self._remover.visitor.visit(self._pid, self._steps(remains), patience)
            except (DebuggerFailedError, WriteError) as error:
                deaths += 1
                why = str(error)
                if deaths == _DEATHS:
                    return self._explain(why)
            else:
                self._remover.pauses_ms.append(outcome.pause_ns / 1e6)
                self._remover.registers = self._remover.registers or outcome.contents or {}
                why = _say(outcome)
                if outcome.filters or outcome.failed == "hijack":
                    self._told = outcome.filters
                if outcome.hijacked and not outcome.failed:
                    self._await_unmapping()
                # Not after the death of a GDB: its stop is on the way, and is taken back.
                self._await_continuation(deadline_s)
            if time.monotonic() > deadline_s:
                return self._explain(why)
            time.sleep(next(pauses))
        self._tell_kept()
        return self._explain("they are left alone")

    def _tell_kept(self) -> None:
        ring = self._implant.ring
        if self._refusal and find_ring(read_mappings(self._pid), ring, self._memory) is At.RING:
            self._remover.kept.append(
                f"process {self._pid} keeps {format_bytes(ring.size)} of memory, which the recorder"
                f" has used: every thread is under {self._refusal}"
            )

    def _read(self) -> Remains:
        if start_of_living(self._pid) != self._started:
            return Remains((), None, At.NOTHING, ())
        return read_remains(self._pid, self._implant, self._memory)

    def _switch_off(self) -> None:
        """Switch the recorder off, and wait until nobody writes into the ring."""
        if self._read().ring is not At.RING:
            return
        control = RingControl(self._pid, self._implant.ring, self._memory)
        with suppress(NoSuchProcessError):
            control.switch(on=False)
        deadline_s, tickets = time.monotonic() + _QUIET_S, -1
        while time.monotonic() < deadline_s and tickets != (tickets := control.read_tickets()):
            time.sleep(_QUIET_S / 4)

    def _steps(self, remains: Remains) -> list[Step]:
        """Return what to do in the next visit. It ends early if something has changed meanwhile."""
        implant, image = self._implant, self._implant.image
        there = (*remains.jumps, *remains.pads)
        steps = [] if self._remover.registers else [tell_contents()]
        steps += [expect(jump.address, data) for jump, data in there]
        if remains.cave is not None:
            steps.append(expect(implant.image.address, remains.cave, implant.kept_words))
        steps += [write(jump.address, jump.original) for jump, _ in remains.jumps]
        from_pads = [write(jump.address, jump.original) for jump, _ in remains.pads]
        if remains.cave is None and not remains.strange:
            return [*steps, *from_pads]
        if remains.strange:
            # Another debugger may have kept a jump, and may write it back: it must lead somewhere.
            return steps
        able, self._refusal = self._find_able() if remains.ring is At.RING else ({}, "")
        if remains.ring is At.RING and not able and not self._refusal:
            return [*steps, tell_filters(list_candidates(self._pid))]
        code = code_ranges(image)
        steps.append(expect_absent(code, code, self._restorers))
        if able:
            return [*steps, hijack(image.unmap_ring, image, able)]
        if remains.ring is At.NOTHING:
            steps.append(expect_unmapped(implant.ring))
        return [*steps, *from_pads, write(implant.image.address, implant.original)]

    def _find_able(self) -> tuple[Able, str]:
        """Return the threads that may unmap the ring, or why none may; neither if that is unknown.

        The filters of threads are known after a visit that has read them.
        """
        if unfiltered := find_unfiltered(self._pid):
            return unfiltered, ""
        if self._told is None or self._told == ({}, None):  # the threads had ended by then
            return {}, ""
        able, why = choose_able(self._told, calls_to_unmap(self._implant))
        return able, "" if able else why

    def _await_continuation(self, deadline_s: float) -> None:
        """Wait until nobody stops it any more: nothing that it is sent to do would be done."""
        left_s = deadline_s - time.monotonic()
        wait_until(lambda: read_state(self._pid) != "T", left_s, _PAUSES_S[0])

    def _await_unmapping(self) -> None:
        wait_until(lambda: self._read().ring is not At.RING, _RING_S)

    def _explain(self, why: str) -> str | None:
        remains = self._read()
        if remains.is_nothing and not remains.strange:
            return None
        parts = []
        if remains.jumps:
            parts.append(f"{len(remains.jumps)} jumps")
        if remains.cave is not None:
            parts.append("the recorder, which is off")
        elif remains.pads:
            parts.append("a jump behind a call that never returns")
        if remains.ring is At.RING:
            parts.append("its ring")
        parts += [f"code of somebody else at {address:#x}" for address in remains.strange]
        if read_state(self._pid) == "T":
            why = f"it is stopped; continue it first: `kill -CONT {self._pid}`"
        return f"process {self._pid} still holds {', '.join(parts)}: {why}"


def _iter_pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _say(outcome: Outcome) -> str:
    """Return in words why a visit came to its end."""
    if outcome.failed is None:
        return "time is up"
    where = f" (thread {outcome.where})" if outcome.where else ""
    if outcome.failed == "absent":
        return f"a thread is still in the recorder, or will return there{where}"
    return f"{outcome.why}{where}"
