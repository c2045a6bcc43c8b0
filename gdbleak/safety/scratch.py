"""The place beside its breakpoints to which GDB writes: copies of instructions, to step over them.

Source: GDB, linux_displaced_step_location in linux-tdep.c: two breakpoint lengths behind the entry
point of the program, as the auxiliary vector tells it; amd64-linux-tdep.c: two buffers of the
length of the longest instruction, which i386-tdep.h sets to 16. Before GDB 11 it was one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdbleak.readable import Readable

SIZE = 2 + 2 * 16
_AT_ENTRY = 9


@dataclass(frozen=True)
class Scratch:
    """Where GDB copies instructions to in a process, and what stood there before."""

    address: int
    original: bytes
    program: tuple[int, int]
    """Device and inode of the file whose code that is."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "address": self.address,
            "original": self.original.hex(),
            "program": list(self.program),
        }

    def is_intact(self, memory: Readable) -> bool:
        """Whether what stood there stands there."""
        return memory.read(self.address, len(self.original)) == self.original


def read_scratch(pid: int, memory: Readable) -> Scratch:
    """Return what stands where GDB would copy instructions to.

    Raises:
        OSError: the process has ended, or may not be read.

    """
    program = Path(f"/proc/{pid}/exe").stat()
    vector = dict(struct.iter_unpack("@NN", Path(f"/proc/{pid}/auxv").read_bytes()))
    entry = vector.get(_AT_ENTRY, 0)
    return Scratch(entry, memory.read(entry, SIZE), (program.st_dev, program.st_ino))
