"""The way to record a target by what it records itself.

Whoever does not need it should not import it: it loads numpy and capstone.
"""

from __future__ import annotations

from collections.abc import Sequence

from gdbleak.capture.inline_backend import InlineBackend
from gdbleak.capture.inline_filters import check_filters
from gdbleak.capture.probe import ProbeKind
from gdbleak.capture.session import Session
from gdbleak.capture.ways import Way
from gdbleak.elf.cache import ImageCache
from gdbleak.injection.planning import choose_unit_bits, plan_implant
from gdbleak.inline.probes import make_probes
from gdbleak.plan.allocators import Allocator
from gdbleak.plan.selection import Selection
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.rate import Rate
from gdbleak.target.memory_limit import find_limit


def inline(
    session: Session,
    allocators: Sequence[Allocator],
    modules: ModuleMap,
    images: ImageCache,
    rate: Rate,
    selection: Selection,
) -> Way:
    """Return the way by which the target records its calls itself.

    Args:
        session: The process, and what the trace of it has.
        allocators: Those of the process.
        modules: All that is mapped there.
        images: Keeps the files.
        rate: How often the process allocates.
        selection: Which sizes are recorded.

    Raises:
        TargetError: it cannot be recorded so.
        DebuggerError: it is under filters that GDB was to read, and GDB failed.
        ElfError: a file is damaged.

    """
    unit_bits = choose_unit_bits(find_limit(session.target.pid))
    plan, implant = plan_implant(session.source, allocators, modules, images, unit_bits, selection)
    probes = make_probes(plan.hooks, implant.image.sites, plan.sizes)
    written = [allocator.module for allocator in allocators]
    look = check_filters(session, written, implant)
    functions = {hook.function.name: hook.function for hook in plan.hooks}
    return Way(
        ProbeKind.INLINE,
        tuple(allocator.name for allocator in allocators),
        tuple(functions.values()),
        probes,
        plan.notes,
        None,
        lambda recording, notebook: InlineBackend(
            session,
            implant,
            written,
            probes,
            functions.values(),
            rate,
            recording,
            notebook,
            look,
            chooses=selection.sizes is not None,
        ),
        ((implant.ring.address, implant.ring.address + implant.ring.size),),
    )
