"""What is put into a process: its plan, its place, and the image, put together."""

from __future__ import annotations

from collections.abc import Collection

from gdbleak.elf.cache import ImageCache
from gdbleak.errors import InlineRefusedError
from gdbleak.injection.implant import Implant
from gdbleak.injection.places import choose_place
from gdbleak.inline.hooks import plan_inline
from gdbleak.inline.model import InlinePlan
from gdbleak.inline.payload import build_in_any
from gdbleak.inline.ring import Ring
from gdbleak.plan.allocators import Allocator
from gdbleak.plan.selection import Selection
from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import has_shadow_stack

_UNITS = (21, 32), (19, 8), (17, 4)
"""The ring has two to the power of so many units, where the process may use so many times as much
memory: 128, 32 or 8 MiB. The largest holds what comes in half a second, at a million allocations a
second: so long the reader may be kept from a processor."""


def choose_unit_bits(limit: MemoryLimit | None) -> int:
    """Return the logarithm of how many units the ring gets.

    Args:
        limit: Of the memory of the process; None if it is not known.

    Raises:
        InlineRefusedError: the process may not use enough memory for any.

    """
    if limit is None:
        return _UNITS[0][0]
    for bits, times in _UNITS:
        least = times * Ring(0, bits).size
        if limit.left_bytes >= least:
            return bits
    raise InlineRefusedError(
        f"the process may take {limit.left_bytes >> 20} MB of memory more, by the limit of its"
        f" {limit.of}, and the smallest ring goes only where there are {least >> 20} MB"
    )


def plan_implant(
    source: LiveProcess,
    allocators: Collection[Allocator],
    modules: ModuleMap,
    images: ImageCache,
    unit_bits: int,
    selection: Selection = Selection(),  # noqa: B008 - frozen
) -> tuple[InlinePlan, Implant]:
    """Return how the calls of a process are recorded inside it, and what does it.

    Args:
        source: The process.
        allocators: Those of it, the one that its calls are bound to first.
        modules: All that is mapped there.
        images: Keeps the files.
        unit_bits: The ring gets two to the power of so many units.
        selection: Which sizes are recorded.

    Raises:
        AllocatorError, InlineRefusedError: the process cannot be recorded so.
        ForeignBreakpointError: code in memory differs from its file.
        ProcessUnusableError: there is no place for the ring.
        ElfError: a file is damaged.

    """
    place = choose_place(source.read_mappings(), Ring(0, unit_bits).size)
    is_shadowed = has_shadow_stack(source.pid)
    plan = plan_inline(allocators, source, modules, images, is_shadowed, selection)
    ring = Ring(place, unit_bits)
    cave, image = build_in_any(plan, ring)
    return plan, Implant(image, cave, ring)
