"""Stand-in: moves instructions that mean the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import capstone
from capstone import x86


@dataclass(frozen=True)
class Moved:
    """Code at another address."""

    code: bytes
    places: tuple[tuple[int, int], ...]
    """Where each instruction was, and is."""


def move(code: bytes, origin: int, to: int) -> Moved:
    """Return the code as it has to be at `to`."""
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    found = [*disassembler.disasm(code, origin)]
    assert sum(each.size for each in found) == len(code)
    for each in found:
        assert not {*each.groups} & {capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL, capstone.CS_GRP_RET}
        assert all(
            operand.type != x86.X86_OP_MEM or operand.mem.base != x86.X86_REG_RIP
            for operand in each.operands
        )
    return Moved(code, tuple((each.address, each.address - origin + to) for each in found))
