"""The ways to record a target: what its recording is about, and what a window needs for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gdbleak.capture.backend import Backend
from gdbleak.capture.local import LocalBackend
from gdbleak.capture.looks import find_heap
from gdbleak.capture.notebook import Notebook
from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.session import Session
from gdbleak.heap.freed import Heap
from gdbleak.plan.allocators import Plan
from gdbleak.recording.chosen import Chosen
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.probes import Probe


@dataclass(frozen=True)
class Way:
    """A way to record one target."""

    kind: ProbeKind
    """Never `AUTO`."""
    allocators: tuple[str, ...]
    functions: tuple[AllocatorFunction, ...]
    probes: tuple[Probe, ...]
    notes: tuple[str, ...]
    """As in the head of a recording."""
    heap: Heap | None
    """Where it can be told from memory what was freed between bursts, if there may be some."""
    make_backend: Callable[[Path, Notebook], Backend]
    """Returns what a window needs, given a recording with its head and what adds to that."""
    own_memory: tuple[tuple[int, int], ...] = ()
    """From where to where memory of the target lies that is ours."""
    chosen: Chosen | None = None
    """That it is this way, and why."""


def by_breakpoints(session: Session, plan: Plan) -> Way:
    """Return the way by which GDB halts the target at each call.

    Args:
        session: The process, and what the trace of it has.
        plan: Where to set breakpoints.

    """
    return Way(
        ProbeKind.BREAKPOINT,
        tuple(allocator.name for allocator in plan.allocators),
        plan.functions,
        plan.probes,
        plan.notes,
        find_heap(session.source, plan),
        lambda recording, notebook: LocalBackend(session, plan, recording, notebook),
    )
