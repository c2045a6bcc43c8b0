"""The way to record a target by what it records itself.

Whoever does not need it should not import it: it loads numpy and capstone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gdbleak.capture.inline_backend import InlineBackend
from gdbleak.capture.inline_filters import check_filters
from gdbleak.capture.limits import Limits
from gdbleak.capture.ways import Way
from gdbleak.debugger.program import GdbProgram
from gdbleak.elf.cache import ImageCache
from gdbleak.injection.planning import UNIT_BITS, plan_implant
from gdbleak.inline.probes import make_probes
from gdbleak.plan.allocators import Allocator
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.rate import Rate
from gdbleak.target.live import LiveProcess
from gdbleak.target.process import Target


def inline(
    gdb: GdbProgram,
    source: LiveProcess,
    target: Target,
    limits: Limits,
    folder: Path,
    allocators: Sequence[Allocator],
    modules: ModuleMap,
    images: ImageCache,
    rate: Rate,
) -> Way:
    """Return the way by which the target records its calls itself.

    Args:
        gdb: The debugger to use.
        source: The process, as it is read.
        target: What it was before.
        limits: What ends the window.
        folder: A private folder for files of the debugger and the guard.
        allocators: Those of the process.
        modules: All that is mapped there.
        images: Keeps the files.
        rate: How often the process allocates.

    Raises:
        TargetError: it cannot be recorded so.
        DebuggerError: it is under filters that GDB was to read, and GDB failed.
        ElfError: a file is damaged.

    """
    plan, implant = plan_implant(source, allocators, modules, images, UNIT_BITS)
    probes = make_probes(plan.hooks, implant.image.sites)
    written = [allocator.module for allocator in allocators]
    max_pause_s = limits.max_pause_ms / 1e3
    look = check_filters(gdb, source, target, written, implant, folder, max_pause_s)
    functions = {hook.function.name: hook.function for hook in plan.hooks}
    return Way(
        tuple(allocator.name for allocator in allocators),
        tuple(functions.values()),
        probes,
        plan.notes,
        None,
        lambda recording, notebook: InlineBackend(
            gdb,
            source,
            target,
            implant,
            written,
            probes,
            functions.values(),
            rate,
            folder,
            recording,
            limits,
            notebook,
            look,
        ),
    )
