"""The ways to record a target: what its recording is about, and what a window needs for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdbleak.capture.backend import Backend
from gdbleak.capture.limits import Limits
from gdbleak.capture.local import LocalBackend
from gdbleak.capture.looks import find_heap
from gdbleak.capture.notebook import Notebook
from gdbleak.debugger.program import GdbProgram
from gdbleak.elf.cache import ImageCache
from gdbleak.heap.freed import Heap
from gdbleak.injection.planning import plan_implant
from gdbleak.inline.probes import make_probes
from gdbleak.plan.allocators import Allocator, Plan
from gdbleak.recording.functions import AllocatorFunction
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.probes import Probe
from gdbleak.recording.rate import Rate
from gdbleak.target.live import LiveProcess
from gdbleak.target.process import Target

UNIT_BITS = 19
"""The ring has two to the power of so many units: 32 MiB, 25 ms of a million calls a second."""


@dataclass(frozen=True)
class Way:
    """A way to record one target."""

    allocators: tuple[str, ...]
    functions: tuple[AllocatorFunction, ...]
    probes: tuple[Probe, ...]
    notes: tuple[str, ...]
    """As in the head of a recording."""
    heap: Heap | None
    """Where it can be told from memory what was freed between bursts, if there may be some."""
    make_backend: Callable[[Path, Notebook], Backend]
    """Returns what a window needs, given a recording with its head and what adds to that."""


def by_breakpoints(
    gdb: GdbProgram,
    source: LiveProcess,
    target: Target,
    plan: Plan,
    limits: Limits,
    folder: Path,
    notes: tuple[str, ...] = (),
) -> Way:
    """Return the way by which GDB halts the target at each call.

    Args:
        gdb: The debugger to use.
        source: The process, as it is read.
        target: What it was before.
        plan: Where to set breakpoints.
        limits: What ends the window.
        folder: A private folder for files of the debugger and the guard.
        notes: Sentences about why it is this way.

    """
    return Way(
        tuple(allocator.name for allocator in plan.allocators),
        plan.functions,
        plan.probes,
        (*plan.notes, *notes),
        find_heap(source, plan),
        lambda recording, notebook: LocalBackend(
            gdb, source, target, plan, folder, recording, limits, notebook
        ),
    )


def inline(
    gdb: GdbProgram,
    source: LiveProcess,
    target: Target,
    allocators: Sequence[Allocator],
    modules: ModuleMap,
    images: ImageCache,
    rate: Rate,
    limits: Limits,
    folder: Path,
    notes: tuple[str, ...] = (),
) -> Way:
    """Return the way by which the target records its calls itself.

    Args:
        gdb: The debugger to use.
        source: The process, as it is read.
        target: What it was before.
        allocators: Those of the process.
        modules: All that is mapped there.
        images: Keeps the files.
        rate: How often the process allocates.
        limits: What ends the window.
        folder: A private folder for files of the debugger and the guard.
        notes: Sentences about why it is this way.

    Raises:
        TargetError: it cannot be recorded so.
        ElfError: a file is damaged.

    """
    from gdbleak.capture.inline_backend import InlineBackend  # loads numpy

    plan, implant = plan_implant(source, allocators, modules, images, UNIT_BITS)
    probes = make_probes(plan.hooks, implant.image.sites)
    functions = {hook.function.name: hook.function for hook in plan.hooks}
    return Way(
        tuple(allocator.name for allocator in allocators),
        tuple(functions.values()),
        probes,
        (*plan.notes, *notes),
        None,
        lambda recording, notebook: InlineBackend(
            gdb,
            source,
            target,
            implant,
            [allocator.module for allocator in allocators],
            probes,
            functions.values(),
            rate,
            folder,
            recording,
            limits,
            notebook,
        ),
    )
