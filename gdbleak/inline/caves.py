"""Room in a process for the recorder: executable bytes that nothing uses. Pure.

The kernel maps whole pages. Behind the end of an executable segment, the rest of its last page is
executable too, and holds what the file has there: zeros, or a copy of what follows in the file,
which is used at another address. A static program of glibc has `__libc_freeres_fn`: what is in
that section is called by tools that look for leaks, when the program ends, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from gdbleak.architectures.x86_64_branches import iter_long_branches
from gdbleak.architectures.x86_64_moving import reaches
from gdbleak.elf.file import PAGE_SIZE, Segment
from gdbleak.elf.image import ElfImage
from gdbleak.inline.model import Cave
from gdbleak.readable import Readable
from gdbleak.recording.modules import Module

LEAST_BYTES = 1536
"""Room for the recorder, whatever it records."""

_ALIGNMENT = 16
_UNCALLED_SECTION = "__libc_freeres_fn"


def find_caves(
    places: Iterable[tuple[Module, ElfImage]], patches: Collection[int], memory: Readable
) -> tuple[Cave, ...]:
    """Return the caves in some modules, the largest first.

    Args:
        places: The modules, each with its file.
        patches: Run-time addresses from which each byte of a cave has to be in reach of a jump.
        memory: The memory of the process, in which a cave holds what the file says.

    Raises:
        ElfError: a file is damaged.

    """
    found = [
        Cave(address, original, module.path)
        for module, image in places
        for address, original in _iter_room(module, image)
        if len(original) >= LEAST_BYTES
        and all(_is_near(patch, address, len(original)) for patch in patches)
        and memory.read(address, len(original)) == original
    ]
    return tuple(sorted(found, key=lambda cave: len(cave.original), reverse=True))


def _is_near(patch: int, address: int, size: int) -> bool:
    """Return whether jumps lead from a patch to all of a cave, and back."""
    ends = (address, address + size)
    return all(reaches(patch, end) and reaches(end, patch) for end in ends)


def _iter_room(module: Module, image: ElfImage) -> Iterator[tuple[int, bytes]]:
    """Yield the run-time address of each place, and what stands there."""
    for find in (_find_ends_of_segments, _find_uncalled):
        for address, original in find(image):
            start = address + module.bias
            if module.start <= start and start + len(original) <= module.end:
                yield start, original


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
    section = image.find_section(_UNCALLED_SECTION)
    inside = range(section.address, section.address + len(section.content))
    if not inside or not image.read_code(inside.start, 1):
        return
    for segment in image.segments:
        if segment.executable:
            code = image.read(segment.address, segment.file_size)
            image.spend(len(code) >> 6)
            for branch in iter_long_branches(code, segment.address):
                if branch.target in inside and branch.address not in inside:
                    return
    yield inside.start, section.content
