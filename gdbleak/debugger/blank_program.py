"""The file that GDB takes for the target's program: so the attach takes no longer for a large one.

It is an ELF program of nothing but a dynamic section that says "no list of libraries". There GDB
looks first for the dynamic linker's list (DT_DEBUG), and then does without it: it would read each
of its entries in the moment of the attach, and look for each library's file. The section lies where
no process has memory, because GDB prefers the memory to the file.

Layout: System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import struct
from pathlib import Path

_DT_DEBUG = 21


def write_blank_program(path: Path, machine: int) -> None:
    """Write the program.

    Args:
        path: Of the new file.
        machine: `e_machine` of the target, which GDB compares.

    """
    address, names = 1 << 62, b"\0.dynamic\0.shstrtab\0"
    dynamic = struct.pack("<4Q", _DT_DEBUG, 0, 0, 0)
    head, segment, section = 64, 56, 64
    at_dynamic = head + segment
    at_names = at_dynamic + len(dynamic)
    size = at_names + len(names)
    path.write_bytes(
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQI", 2, machine, 1, address, head, size, 0)
        + struct.pack("<HHHHHH", head, segment, 1, section, 3, 2)
        + struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, size, size, 4096)
        + dynamic
        + names
        + bytes(section)
        + struct.pack(
            "<IIQQQQIIQQ", 1, 6, 2, address + at_dynamic, at_dynamic, len(dynamic), 0, 0, 8, 16
        )
        + struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, at_names, len(names), 0, 0, 1, 0)
    )
