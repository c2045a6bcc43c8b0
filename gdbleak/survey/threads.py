"""The threads of a process as a search for references meets them: stacks and variables. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from contextlib import suppress

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import ElfError
from gdbleak.memory.pieces import PAGE_BYTES
from gdbleak.memory.territory import Area, Kind
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.target.proc import Mapping
from gdbleak.target.threads import Thread

RED_ZONE_BYTES = 128
"""Below the stack pointer, and in use all the same. Source: System V ABI, AMD64, 3.2.2."""
_SURPLUS_BYTES = 64
_BLOCK_BYTES = 0x900
"""Size of `struct pthread`, or more."""


def areas_of_threads(
    mappings: Sequence[Mapping],
    threads: Sequence[Thread],
    blocks: Dict[int, int],
    stacks: Dict[int, tuple[int, int]],
    bytes_of_variables: int,
) -> list[Area]:
    """Return the stacks of threads, what lies dead below them, and what threads have of their own.

    Args:
        mappings: Of the process.
        threads: Its threads.
        blocks: Where their own blocks are: see `find_blocks_of_threads`.
        stacks: From where to where those stacks lie that are known.
        bytes_of_variables: How much the variables of a thread may take.

    """
    areas = [
        Area((block - bytes_of_variables) & -64, block + _BLOCK_BYTES, Kind.THREAD, thread=thread)
        for thread, block in blocks.items()
    ]
    starts = [mapping.start for mapping in mappings]
    for thread in threads:
        within = thread.stack_pointer or blocks.get(thread.id, 0)
        mapping = mappings[max(bisect_right(starts, within) - 1, 0)]
        begin, end = stacks.get(thread.id) or _guess_stack(
            mapping, within, blocks.get(thread.id, 0)
        )
        top = end
        if thread.stack_pointer:
            top = max(thread.stack_pointer - RED_ZONE_BYTES, begin)
        elif begin:
            top = begin
        areas.append(Area(top, end, Kind.STACK, thread=thread.id))
        if thread.id in stacks:
            areas.append(Area(begin, top, Kind.DEAD))
    return [area for area in areas if area.start < area.end]


def _guess_stack(mapping: Mapping, within: int, block: int) -> tuple[int, int]:
    """Return from where to where a stack may lie of which nothing tells that; 0, 0 if nowhere.

    Args:
        mapping: In which it may be.
        within: An address on it.
        block: Of the thread's own block; 0 if unknown.

    """
    if not mapping.start <= within < mapping.end:
        return 0, 0
    if mapping.inode or mapping.path not in ("", "[stack]"):
        return 0, 0
    end = mapping.end
    if mapping.start <= block < mapping.end:
        # Another mapping may touch the stack, and is one with it for the kernel.
        end = min(end, -(-(block + _BLOCK_BYTES) // PAGE_BYTES) * PAGE_BYTES)
    return mapping.start, end


def thread_bytes(modules: ModuleMap, images: ImageCache) -> int:
    """Return how many bytes before its own block the variables of a thread may take."""
    total = _SURPLUS_BYTES
    effort = Effort()
    for module in modules:
        if module.file is not None:
            with suppress(ElfError):
                size, alignment = images.open(module.file, effort.share()).thread_segment
                total += size + alignment
    return total


def first_variable(block: int, program: Module, images: ImageCache) -> int | None:
    """Return where the variables of a thread begin that the program declares; None if none.

    Source: "ELF Handling For Thread-Local Storage", variant II: those of the program lie directly
    before the thread's own block.
    """
    if program.file is None:
        return None
    try:
        size, alignment = images.open(program.file, Effort()).thread_segment
    except ElfError:
        return None
    return block - -(-size // alignment) * alignment if size else None
