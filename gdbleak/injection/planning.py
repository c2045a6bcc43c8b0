"""What is put into a process: its plan, its place, and the image, put together."""

from __future__ import annotations

from collections.abc import Collection

from gdbleak.elf.cache import ImageCache
from gdbleak.injection.implant import Implant
from gdbleak.injection.places import choose_place
from gdbleak.inline.hooks import plan_inline
from gdbleak.inline.model import InlinePlan
from gdbleak.inline.payload import build_in_any
from gdbleak.inline.ring import Ring
from gdbleak.plan.allocators import Allocator
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import has_shadow_stack

UNIT_BITS = 19
"""The ring has two to the power of so many units: 32 MiB, 25 ms of a million calls a second."""


def plan_implant(
    source: LiveProcess,
    allocators: Collection[Allocator],
    modules: ModuleMap,
    images: ImageCache,
    unit_bits: int,
) -> tuple[InlinePlan, Implant]:
    """Return how the calls of a process are recorded inside it, and what does it.

    Args:
        source: The process.
        allocators: Those of it, the one that its calls are bound to first.
        modules: All that is mapped there.
        images: Keeps the files.
        unit_bits: The ring gets two to the power of so many units.

    Raises:
        AllocatorError, InlineRefusedError: the process cannot be recorded so.
        ForeignBreakpointError: code in memory differs from its file.
        ProcessUnusableError: there is no place for the ring.
        ElfError: a file is damaged.

    """
    place = choose_place(source.read_mappings(), Ring(0, unit_bits).size)
    is_shadowed = has_shadow_stack(source.pid)
    plan = plan_inline(allocators, source, modules, images, is_shadowed)
    ring = Ring(place, unit_bits)
    cave, image = build_in_any(plan, ring)
    return plan, Implant(image, cave, ring)
