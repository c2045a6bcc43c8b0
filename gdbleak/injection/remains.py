"""What of an implant stands in a process, read from outside."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gdbleak.injection.implant import Implant, is_one_of
from gdbleak.inline.model import Jump
from gdbleak.inline.ring import DONE, MAPPED, PAGE_BYTES, WIPED, WORD_BYTES, Ring
from gdbleak.readable import Readable
from gdbleak.safety.journals import has_journal
from gdbleak.target.proc import Mapping, Memory, read_mappings, read_stat
from gdbleak.target.shared_memory import share_memory

_BREAKPOINT = b"\xcc"


class At(enum.Enum):
    """What is where the ring goes."""

    NOTHING = enum.auto()
    RING = enum.auto()
    OTHERS = enum.auto()
    """Memory that is not the ring's."""


@dataclass(frozen=True)
class Remains:
    """What of an implant stands in a process."""

    jumps: tuple[tuple[Jump, bytes], ...]
    """Those of entries that are not as in the file, and what stands there."""
    cave: bytes | None
    """What stands in the cave, if that is the image or a part of it."""
    ring: At
    strange: tuple[int, ...]
    """Addresses at which there is code neither of ours nor of the file."""
    pads: tuple[tuple[Jump, bytes], ...] = ()
    """The jump of the pad, in the same way."""

    @property
    def is_nothing(self) -> bool:
        """Whether the process is as it was."""
        is_there = self.jumps or self.pads or self.cave is not None or self.ring is At.RING
        return not is_there


def read_remains(pid: int, implant: Implant, memory: Readable) -> Remains:
    """Return what of an implant stands in a process; nothing once it is gone.

    Args:
        pid: The process.
        implant: What was put into it, or was about to be.
        memory: The memory of the process.

    """
    found: list[tuple[Jump, bytes]] = []
    strange = []
    for jump in implant.image.jumps:
        data = memory.read(jump.address, len(jump.original))
        if len(data) < len(jump.original) or data == jump.original:
            continue  # what was mapped there is not any more, or it is as it was
        if is_one_of(data, jump.original, jump.code, _BREAKPOINT * len(data)):
            found.append((jump, data))
        else:
            strange.append(jump.address)
    cave: bytes | None = memory.read(implant.image.address, len(implant.original))
    if cave == implant.original or len(cave or b"") < len(implant.original):
        cave = None
    elif not implant.is_image(cave or b""):
        strange.append(implant.image.address)
        cave = None
    # Without the code that maps it nobody has mapped it.
    has_code = cave is not None or bool(found)
    ring = find_ring(read_mappings(pid), implant.ring, memory) if has_code else At.NOTHING
    jumps = tuple(each for each in found if not each[0].is_pad)
    pads = tuple(each for each in found if each[0].is_pad)
    return Remains(jumps, cave, ring, tuple(strange), pads)


def find_ring(mappings: list[Mapping], ring: Ring, memory: Readable) -> At:
    """Return what is where the ring goes. In a child of fork it is there, but empty."""
    end = ring.address + ring.size
    there = [each for each in mappings if each.start < end and each.end > ring.address]
    if not there:
        return At.NOTHING
    if any(each.path or each.permissions != "rw-p" for each in there):
        return At.OTHERS
    head = memory.read(ring.address, PAGE_BYTES)
    if int.from_bytes(head[MAPPED : MAPPED + WORD_BYTES], "little") in (DONE, DONE + WIPED):
        return At.RING
    is_alone = there[0].start == ring.address and there[-1].end <= end
    return At.RING if is_alone and not any(head) else At.OTHERS


def iter_copies(program: tuple[int, int], implant: Implant, but: int) -> Iterator[int]:
    """Yield the PIDs of processes that hold a copy of an implant: children of fork that live on.

    Args:
        program: Device and inode of the program that they run.
        implant: What was put into their parent.
        but: The process that it was put into.

    """
    for name in (path.name for path in Path("/proc").iterdir()):
        if not name.isdecimal() or int(name) in (but, os.getpid()):
            continue
        try:
            found = Path(f"/proc/{name}/exe").stat()
            if (found.st_dev, found.st_ino) != program:
                continue
            with Memory(int(name)) as memory:
                has_copy = not read_remains(int(name), implant, memory).is_nothing
            # Workers of one parent look the same inside: another trace may record in one of them.
            if has_copy and not has_journal(int(name)) and not _is_lent(int(name)):
                yield int(name)
        except OSError:  # it has ended, or we may not look at it, as we might not at its parent
            continue


def _is_lent(pid: int) -> bool:
    """Whether the memory of a process is its parent's, as a child of vfork has it for a moment.

    It is repaired in the parent: while a debugger held the child, the parent's threads would run.
    """
    fields = read_stat(f"/proc/{pid}/stat")
    return bool(fields) and share_memory(pid, int(fields[1])) is True
