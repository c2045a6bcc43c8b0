"""Room in a process for the recorder: executable bytes that nothing uses. Pure.

The kernel maps whole pages. Behind the end of an executable segment, the rest of its last page is
executable too, and holds what the file has there: zeros, or a copy of what follows in the file,
which is used at another address. Where no module has plenty of that, there may be the section
`__libc_freeres_fn` of a glibc before 2.38: its functions are called by tools that look for leaks,
when the program ends, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gdbleak.architectures.x86_64_moving import reaches
from gdbleak.elf.file import PAGE_SIZE, Segment
from gdbleak.elf.image import ElfImage
from gdbleak.inline.code import ModuleCode
from gdbleak.inline.model import Cave
from gdbleak.readable import Readable
from gdbleak.recording.modules import Module

LEAST_BYTES = 1536
"""What the recorder takes for an allocator with few functions."""
PLENTY_BYTES = 3072
"""What it takes for any allocator."""

_ALIGNMENT = 16
_UNCALLED_SECTION = "__libc_freeres_fn"


def find_caves(
    places: Collection[tuple[Module, ElfImage]], patches: Collection[int], memory: Readable
) -> tuple[Cave, ...]:
    """Return the caves in some modules: ends of segments, the largest first, then sections.

    Args:
        places: The modules, each with its file.
        patches: Run-time addresses from which each byte of a cave has to be in reach of a jump.
        memory: The memory of the process, in which a cave holds what the file says.

    Raises:
        ElfError: a file is damaged.

    """
    found: list[Cave] = []
    for find in (_find_ends_of_segments, _find_uncalled):
        if found and len(found[0].original) >= PLENTY_BYTES:
            break
        caves = (
            Cave(address + module.bias, original, module.path)
            for module, image in places
            for address, original in find(image)
            if len(original) >= LEAST_BYTES
        )
        usable = (cave for cave in caves if _is_usable(cave, patches, memory))
        found += sorted(usable, key=lambda cave: len(cave.original), reverse=True)
    return tuple(found)


def _is_usable(cave: Cave, patches: Collection[int], memory: Readable) -> bool:
    size = len(cave.original)
    near = all(is_near(patch, cave) for patch in patches)
    return near and memory.read(cave.address, size) == cave.original


def is_near(patch: int, cave: Cave) -> bool:
    """Return whether jumps lead from a patch to all of a cave, and back."""
    ends = (cave.address, cave.address + len(cave.original))
    return all(reaches(patch, end) and reaches(end, patch) for end in ends)


def _find_ends_of_segments(image: ElfImage) -> Iterator[tuple[int, bytes]]:
    for segment in image.segments:
        end = segment.address + segment.file_size
        is_alone = not any(_begins_in_last_page(other, segment) for other in image.segments)
        if segment.executable and is_alone and segment.memory_size <= segment.file_size:
            # Sections begin at multiples of this, and so does what a person reads.
            skipped = -end % _ALIGNMENT
            yield end + skipped, image.read_behind(segment)[skipped:]


def _begins_in_last_page(other: Segment, segment: Segment) -> bool:
    """Return whether a segment is mapped over the last page of another one."""
    first = other.address & -PAGE_SIZE
    last = segment.address + segment.file_size & -PAGE_SIZE
    after = other.address + max(other.memory_size, 1)
    return other != segment and first < last + PAGE_SIZE and after > last


def _find_uncalled(image: ElfImage) -> Iterator[tuple[int, bytes]]:
    """Yield what of the section nothing outside of it leads to."""
    section = image.find_section(_UNCALLED_SECTION)
    inside = range(section.address, section.address + len(section.content))
    if not inside or not image.read_code(inside.start, 1):
        return
    used = _find_used(ModuleCode(image), inside)
    start = inside.start
    for function in [*sorted(used, key=lambda span: span.start), range(inside.stop, inside.stop)]:
        start += -start % _ALIGNMENT
        if start < function.start:
            yield start, image.read_code(start, function.start - start)
        start = function.stop


def _find_used(code: ModuleCode, inside: range) -> set[range]:
    """Return the functions in a range that something outside calls, and what they call there."""
    used: set[range] = set()
    todo = [target for _, target in code.find_ways_in(inside)]
    while todo:
        target = todo.pop()
        function = code.walk.find_known_extent(target) or range(target, target + 1)
        if function not in used:
            used.add(function)
            todo += [found.start for found in code.find_called(function) if found.start in inside]
    return used
