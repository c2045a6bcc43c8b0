"""The recorder in a process of the tests: how it gets there, and what is found afterwards."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gdbleak.debugger.interface import DebuggerDiedError
from gdbleak.debugger.program import GdbProgram, find_gdb
from gdbleak.elf.cache import ImageCache
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import TRIES, Injection
from gdbleak.injection.planning import plan_implant
from gdbleak.injection.remains import At, find_ring, read_remains
from gdbleak.injection.ring_control import Settings
from gdbleak.injection.steps import Step
from gdbleak.injection.visits import GdbVisitor, Outcome, Visitor
from gdbleak.plan.allocators import find_allocators
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import open_inline_journal
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import Memory, read_mappings
from gdbleak.target.process import inspect

UNIT_BITS = 12
MAX_PAUSE_S = 5.0
SETTINGS = Settings(stack_bytes=192)


def implant_for(pid: int) -> Implant:
    """Return what to put into a process."""
    with ImageCache() as images, LiveProcess(pid, images) as process:
        modules = process.read_modules()
        allocators = find_allocators(modules, process.read_search_order(), images=images)
        return plan_implant(process, allocators, modules, images, UNIT_BITS)[1]


def journal_for(pid: int, implant: Implant) -> Journal:
    """Write the journal of a trace that puts something into a process."""
    with ImageCache() as images, LiveProcess(pid, images) as process:
        modules = [each for each in process.read_modules() if each.path == implant.cave.path]
        scratch = read_scratch(pid, process)
    return open_inline_journal(inspect(pid), modules, implant.to_json(), scratch)


@contextmanager
def visitor_in(
    folder: Path, gdb: GdbProgram | None = None, journal: Journal | None = None
) -> Iterator[GdbVisitor]:
    """Return a GDB that is ready to visit processes; with a journal, one that is guarded."""
    folder.mkdir(exist_ok=True)
    with GdbVisitor(gdb or find_gdb(), folder, MAX_PAUSE_S, journal) as visitor:
        # As in a rehearsal. In its first attach GDB tries the kernel's ptrace on a child of its
        # own, which would be left if it were killed then.
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stand_in:
            visitor.visit(stand_in.pid, [])
            stand_in.kill()
        yield visitor


@contextmanager
def injection_into(
    pid: int,
    visitor: Visitor,
    implant: Implant | None = None,
    journal: Journal | None = None,
) -> Iterator[Injection]:
    """Return an injection of something into a process, or of what suits it."""
    implant = implant or implant_for(pid)
    image, cave, ring = implant.image, implant.cave, implant.ring
    with Injection(pid, image, cave, ring, visitor, journal) as injection:
        yield injection


def enter(injection: Injection, on: bool = True) -> None:
    """Put the recorder into the process, and switch it on."""
    injection.map_ring()
    injection.arm(SETTINGS)
    injection.divert()
    injection.switch(on)


def assert_nothing_left(pid: int, implant: Implant) -> None:
    """Assert that neither code of ours nor the ring is in a process."""
    with Memory(pid) as memory:
        remains = read_remains(pid, implant, memory)
        assert (remains.is_nothing, remains.strange) == (True, ()), remains
        assert find_ring(read_mappings(pid), implant.ring, memory) is At.NOTHING


class KilledError(BaseException):
    """What a visitor raises that has been cut: nothing of gdbleak may go on after that."""


class Cut:
    """A visitor whose GDB is killed while it holds the process, before one of all its steps."""

    def __init__(self, visitor: GdbVisitor, place: int) -> None:
        """Take a visitor whose GDB is mortal, and the number of the step."""
        self._visitor = visitor
        self._left = place
        self.was_cut = False

    def visit(self, pid: int, steps: Sequence[Step], patience: int = 1) -> Outcome:
        """Do the steps up to that one."""
        if not self.was_cut and len(steps) > self._left:
            self.was_cut = True
            left = [*steps[: self._left], {"do": "die"}]
            # A thread may stand in the way of a step before that; what was done is not done again.
            for _ in range(TRIES):
                try:
                    outcome = self._visitor.visit(pid, left)
                except DebuggerDiedError as error:
                    raise KilledError from error
                left = left[outcome.done :]
                time.sleep(0.01)
            raise AssertionError(f"GDB has survived that: {outcome.failed}, {outcome.why}")
        self._left -= len(steps)
        return self._visitor.visit(pid, steps, patience)


def mortal_gdb(folder: Path) -> GdbProgram:
    """Return a GDB that knows how to die in the midst of a visit."""
    gdb, script, death = find_gdb(), folder / "mortal-gdb", folder / "death.py"
    death.write_text(
        "import os, signal\nVisit.do_die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script.write_text(f'#!/bin/sh\nexec {gdb.path} "$@" -x {death}\n')
    script.chmod(0o700)
    return replace(gdb, path=str(script))
