"""The recorder in a process of the tests: how it gets there, and what is found afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gdbleak.debugger.program import find_gdb
from gdbleak.elf.cache import ImageCache
from gdbleak.injection.implant import Implant
from gdbleak.injection.injection import Injection
from gdbleak.injection.places import choose_place
from gdbleak.injection.remains import At, find_ring, read_remains
from gdbleak.injection.ring_control import Settings
from gdbleak.injection.steps import Step
from gdbleak.injection.visits import GdbVisitor, Outcome
from gdbleak.inline.hooks import plan_inline
from gdbleak.inline.payload import build_in_any
from gdbleak.inline.ring import Ring
from gdbleak.plan.allocators import find_allocators
from gdbleak.safety.journal import Journal
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import Memory, read_mappings

UNIT_BITS = 12
MAX_PAUSE_S = 5.0
SETTINGS = Settings(stack_bytes=192)


def implant_for(pid: int) -> Implant:
    """Return what to put into a process."""
    ring = Ring(0, UNIT_BITS)
    ring = Ring(choose_place(read_mappings(pid), ring.size), UNIT_BITS)
    with ImageCache() as images, LiveProcess(pid, images) as process:
        modules = process.read_modules()
        allocators = find_allocators(modules, process.read_search_order(), images=images)
        plan = plan_inline(allocators, process, modules, images)
        cave, image = build_in_any(plan, ring)
    return Implant(image, cave, ring)


@contextmanager
def visitor_in(folder: Path) -> Iterator[GdbVisitor]:
    """Return a GDB that is ready to visit processes."""
    folder.mkdir(exist_ok=True)
    with GdbVisitor(find_gdb(), folder, MAX_PAUSE_S) as visitor:
        visitor.launch()
        yield visitor


@contextmanager
def injection_into(
    pid: int, visitor: GdbVisitor | Cut, journal: Journal | None = None
) -> Iterator[Injection]:
    """Return an injection of what suits a process."""
    implant = implant_for(pid)
    image, cave, ring = implant.image, implant.cave, implant.ring
    with Injection(pid, image, cave, ring, visitor, journal) as injection:
        yield injection


def enter(injection: Injection) -> None:
    """Put the recorder into the process, and switch it on."""
    injection.map_ring()
    injection.arm(SETTINGS)
    injection.divert()
    injection.switch(on=True)


def assert_nothing_left(pid: int, implant: Implant) -> None:
    """Assert that neither code of ours nor the ring is in a process."""
    with Memory(pid) as memory:
        remains = read_remains(pid, implant, memory)
        assert (remains.is_nothing, remains.strange) == (True, ()), remains
        assert find_ring(read_mappings(pid), implant.ring, memory) is At.NOTHING


class Cut:
    """A visitor that is killed before a step, counted over all visits."""

    def __init__(
        self, visitor: GdbVisitor, steps: int, then: Callable[[], None] = lambda: None
    ) -> None:
        """Take a visitor, and how many steps it may do."""
        self._visitor = visitor
        self._left = steps
        self._then = then
        self.was_cut = False

    def visit(self, pid: int, steps: Sequence[Step]) -> Outcome:
        """Do those steps that are left, then kill GDB while it holds the process."""
        if self.was_cut or len(steps) < self._left:
            self._left -= len(steps)
            return self._visitor.visit(pid, steps)
        self.was_cut = True
        return self._visitor.visit(pid, [*steps[: self._left], {"do": "die"}])
