"""Who claims which memory of a process: arenas, threads, large blocks, other allocators."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import suppress

from gdbleak.census.space.claims import (
    Claim,
    claim_arenas,
    claim_heaps,
    claim_large,
    claim_rooms,
    claim_stacks,
)
from gdbleak.census.space.thread_stacks import find_thread_stacks
from gdbleak.report.heap import Arena, MappingKind
from gdbleak.target.examined import Examined, ThreadName
from gdbleak.target.proc import Mapping, read_status

_MOST_STACK_BYTES = 64 << 20
"""What is larger, and holds the stack pointer of a thread, is the heap of a runtime."""

_OF_PARENT = "stack of the first thread of the process that this one was forked from"


def find_claims(
    process: Examined,
    mappings: Sequence[Mapping],
    arenas: Sequence[Arena],
    large: Sequence[tuple[int, int]],
    allocators: Sequence[tuple[int, int, str]],
) -> list[Claim]:
    """Return what is known of ranges of memory; where they overlap, the first one is right.

    Args:
        process: The process.
        mappings: What is mapped there, in order of address.
        arenas: See `gdbleak.census.space.find.name_mappings`, like the others.
        large: From where to where.
        allocators: From where to where, and a name.

    """
    try:
        return [
            *claim_arenas(arenas, process.read),
            *_claim_stacks(process, mappings, [*claim_large(large)]),
            *(Claim(start, end, MappingKind.ALLOCATOR, name) for start, end, name in allocators),
            *claim_rooms(arenas),
            *claim_heaps(mappings, process),
        ]
    except PermissionError:  # it has hidden itself meanwhile
        return []


def _claim_stacks(
    process: Examined, mappings: Sequence[Mapping], large: Sequence[Claim]
) -> Iterator[Claim]:
    """Yield stacks and large blocks: a stack that the program itself has made may lie in one."""
    threads = process.read_threads()
    own = {_own_id(thread, process.is_core): thread for thread in threads}
    stacks = find_thread_stacks(process, mappings, [*own])

    def name_of(thread: int) -> str:
        return str(own[thread])

    yield from claim_stacks((each for each in stacks if not each.is_given), name_of)
    yield from large
    yield from claim_stacks((each for each in stacks if each.is_given), name_of)
    known = {own[each.thread].id for each in stacks if each.thread}
    first = next((mapping for mapping in mappings if mapping.path == "[stack]"), None)
    if first and threads:
        kind, name = MappingKind.STACK, f"stack of thread {threads[0]}"
        if threads[0].id in known:
            kind, name = MappingKind.OLD_STACK, _OF_PARENT
        yield Claim(first.start, first.end, kind, name)
        known.add(threads[0].id)
    unknown = {thread.id: thread for thread in threads if thread.id not in known}
    if unknown:
        yield from _claim_by_pointers(process, mappings, unknown)


def _own_id(thread: ThreadName, is_core: bool) -> int:
    """Return the id that a thread knows itself by, which in a container is another one."""
    if not is_core:
        with suppress(OSError):  # it has ended
            status = read_status(thread.id)  # the id of a thread is as good as a PID there
            return int(status.get("NSpid", str(thread.id)).split()[-1])
    return thread.id


def _claim_by_pointers(
    process: Examined, mappings: Sequence[Mapping], threads: Dict[int, ThreadName]
) -> Iterator[Claim]:
    """Yield the stacks of threads that glibc has not made, as far as these threads wait."""
    waiting = {
        thread: state for thread, state in process.find_waiting().items() if thread in threads
    }
    stacks = process.find_stacks(waiting)
    starts = [mapping.start for mapping in mappings]
    for thread, (start, end) in stacks.items():
        yield Claim(start, end, MappingKind.STACK, f"stack of thread {threads[thread]}")
    for thread, state in waiting.items():
        mapping = mappings[max(bisect_right(starts, state.stack_pointer) - 1, 0)]
        if thread not in stacks and _is_stack(mapping, state.stack_pointer):
            name = f"stack of thread {threads[thread]}"
            yield Claim(mapping.start, mapping.end, MappingKind.STACK, name)


def _is_stack(mapping: Mapping, pointer: int) -> bool:
    """Whether a mapping that a stack pointer leads to looks like a stack."""
    return (
        mapping.start <= pointer < mapping.end <= mapping.start + _MOST_STACK_BYTES
        and mapping.permissions.startswith("rw")
        and mapping.permissions[3:] == "p"
        and not mapping.path
    )
