"""The steps of a visit, as `gdbscripts/gdbleak_visit.py` reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gdbleak.injection.seccomp import Filters
from gdbleak.inline.model import Image, Jump
from gdbleak.inline.ring import Ring

Step = dict[str, Any]


def expect(address: int, data: bytes, unless: tuple[int, int] | None = None) -> Step:
    """The visit ends here unless these bytes stand there, except those in a range of offsets."""
    return {"do": "expect", "address": address, "hex": data.hex(), "except": unless}


def expect_unmapped(ring: Ring) -> Step:
    """It ends if any memory is where the ring would be."""
    return {"do": "unmapped", "start": ring.address, "end": ring.address + ring.size}


def expect_absent(
    pcs: Iterable[tuple[int, int]],
    words: Iterable[tuple[int, int]],
    restorers: Iterable[int],
) -> Step:
    """It ends if a thread stands in one of some ranges, or a word of a stack points into one.

    Args:
        pcs: The ranges where no thread may stand.
        words: The ranges to which no word of a stack may point.
        restorers: The return addresses of signal handlers.

    """
    return {"do": "absent", "pcs": [*pcs], "words": [*words], "restorers": [*restorers]}


def tell_registers() -> Step:
    """The outcome tells the registers of every thread."""
    return {"do": "registers"}


def tell_contents() -> Step:
    """The outcome tells what is in the general registers of every thread."""
    return {"do": "contents"}


def move(twins: Iterable[tuple[int, int]]) -> Step:
    """Threads at the first address of a pair go on at the second."""
    return {"do": "move", "to": [*twins]}


def write(address: int, data: bytes) -> Step:
    """These bytes are written there, in one piece."""
    return {"do": "write", "address": address, "hex": data.hex()}


def tell_filters(threads: Iterable[int]) -> Step:
    """The outcome tells the seccomp filters of these threads."""
    return {"do": "filters", "threads": [*threads]}


def hijack(routine: int, image: Image, able: Mapping[int, Filters]) -> Step:
    """A thread runs a routine of the image, and goes on where it was.

    Args:
        routine: Its address.
        image: It keeps where the thread goes on.
        able: Which threads may be taken, as long as they have these seccomp filters.

    """
    programs = [*{program: None for filters in able.values() for program in filters}]
    numbers = {program: number for number, program in enumerate(programs)}
    filters = {
        "programs": [program.hex() for program in programs],
        "threads": [[thread, [numbers[each] for each in own]] for thread, own in able.items()],
    }
    return {"do": "hijack", "routine": routine, "resume": image.resume, "filters": filters}


def code_ranges(image: Image) -> list[tuple[int, int]]:
    """Return from where to where code of ours lies that something may return to."""
    pads = [(j.address, j.address + len(j.original)) for j in image.jumps if j.is_pad]
    return [(image.address, image.address + len(image.code)), *pads]


def inside(jump: Jump) -> tuple[int, int]:
    """Return the range in which a thread would run into the midst of a jump."""
    return jump.address + 1, jump.address + len(jump.original)
