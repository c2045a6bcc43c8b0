"""The functions of glibc that call its allocator for glibc itself, not for the program. Pure.

Source: `tcache_thread_shutdown` and `tcache_init` in malloc/malloc.c, glibc 2.26 to 2.43. Until
2.42 a thread that ends gives each block of its cache to `free` a second time, and then the cache.
Since 2.42 the cache is allocated by what `malloc` itself ends in.

These functions have no symbols in the library. They are known by what they call. Everything else in
glibc calls `free` through the linkage table, so that a program can put its own there; and nothing
else calls the code that `malloc` and `calloc` jump to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gdbleak.architectures import Architecture
from gdbleak.elf.headers import MAX_SECTION_BYTES
from gdbleak.elf.image import ElfImage
from gdbleak.recording.functions import CACHE_START, THREAD_END, AllocatorFunction
from gdbleak.unwinding.code_walk import CodeWalk

LIBRARY = "libc.so.6"
THREAD_END_SYMBOLS = (
    *("tcache_thread_shutdown", "__malloc_arena_thread_freeres"),
    *("arena_thread_freeres", "tcache_thread_freeres"),
)
"""Names of the end of a thread in a static program; some versions since 2.26 inline it."""


def find_own_functions(
    image: ElfImage,
    architecture: Architecture,
    walk: CodeWalk,
    entries: Collection[int],
    jumped_to: Collection[int],
    others: Collection[int],
) -> dict[int, AllocatorFunction]:
    """Return the functions of a glibc that call its allocator for glibc itself.

    Args:
        image: The C library, or a program that it was linked into.
        architecture: The architecture of the file.
        walk: The walk through its code.
        entries: Link-time addresses of the functions that are recorded.
        jumped_to: Where the jumps of those functions lead that take nothing but a size.
        others: Where the jumps of the other functions lead that allocate.

    """
    targets = {
        target
        for target in jumped_to
        if target not in entries and walk.find_extent(target).start == target
    }
    free = image.find_function("free")
    calling_free, calling_targets = set(), set()
    for address, target in _iter_calls(image, architecture):
        if free and target == free.address:
            calling_free.add(walk.find_extent(address).start)
        elif target in targets:
            calling_targets.add(walk.find_extent(address).start)
    calling_free.difference_update(entries, targets, others)
    if image.soname != LIBRARY:  # in a program, any function may call it
        named = image.find_functions(THREAD_END_SYMBOLS).values()
        calling_free.intersection_update(symbol.address for symbol in named)
    found = dict.fromkeys(calling_targets.difference(entries, targets, others), CACHE_START)
    if len(calling_free) == 1:
        found[calling_free.pop()] = THREAD_END
    return found


def _iter_calls(image: ElfImage, architecture: Architecture) -> Iterator[tuple[int, int]]:
    for segment in image.segments:
        if segment.executable and segment.file_size <= MAX_SECTION_BYTES:
            code = image.read(segment.address, segment.file_size)
            image.spend(len(code) >> 8)
            for call in architecture.iter_calls(code, segment.address):
                image.spend()
                yield call
