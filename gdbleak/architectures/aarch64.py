"""aarch64. Written and tested on ELF files; no process of it was traced yet: see docs/limits.md.

Sources, each "for the Arm 64-bit Architecture": Procedure Call Standard, 6.1 (registers) and 6.8
(parameters); ELF, 5.7.12 (dynamic relocations); DWARF, 4.1 (register numbers).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

import capstone
from capstone import arm64

from gdbleak.architectures.model import Architecture, Flow, FrameConvention, Instruction, ReadCode

INSTRUCTION_BYTES = 4
_R_GLOB_DAT, _R_JUMP_SLOT, _R_IRELATIVE = 1025, 1026, 1032
_RETURNS = ("ret", "retaa", "retab")
_CALLS = ("bl", "blr", "blraa", "blrab", "blraaz", "blrabz")
_INDIRECT_JUMPS = ("br", "braa", "brab", "braaz", "brabz")
_TRAPS = ("brk", "hlt", "udf")
_BRANCHES = ("cbz", "cbnz", "tbz", "tbnz")
_BL = 0b100101
"""The upper bits of the one call to a place that stands in it."""
_SCRATCH = arm64.ARM64_REG_X16
_STUB = 5
"""Instructions of an entry of a linkage table at the most: `bti`, `adrp`, `ldr`, `add`, `br`."""


@lru_cache(maxsize=1)
def _disassembler() -> capstone.Cs:
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    disassembler.detail = True
    return disassembler


def decode(read: ReadCode, address: int) -> Instruction | None:
    """Decode the instruction at an address; return None for what is no instruction."""
    found = next(_disassembler().disasm(read(address, INSTRUCTION_BYTES), address, 1), None)
    if found is None:
        return None
    name, size = found.mnemonic, found.size
    last = found.operands[-1] if found.operands else None
    target = int(last.imm) if last is not None and last.type == arm64.ARM64_OP_IMM else None
    if name in _RETURNS:
        return Instruction(address, size, Flow.RETURN)
    if name in _TRAPS:
        return Instruction(address, size, Flow.DEAD_END)
    if name in _CALLS:
        return Instruction(address, size, Flow.CALL, target)
    if name in _INDIRECT_JUMPS:
        return Instruction(address, size, Flow.INDIRECT_JUMP)
    if name == "b":
        return Instruction(address, size, Flow.JUMP, target)
    if name in _BRANCHES or name.startswith("b."):
        return Instruction(address, size, Flow.BRANCH, target)
    return Instruction(address, size, Flow.NEXT)


def iter_calls(code: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Yield address and target of each `bl` in some code, given its address."""
    for index, (word,) in enumerate(struct.iter_unpack("<I", code[: len(code) & -4])):
        if word >> 26 == _BL:
            at = address + INSTRUCTION_BYTES * index
            yield at, at + (((word & 0x3FF_FFFF) ^ 0x200_0000) - 0x200_0000) * INSTRUCTION_BYTES


def find_stub_slot(read: ReadCode, address: int) -> int | None:
    """Return the slot of an entry of a procedure linkage table.

    `adrp x16, page; ldr x17, [x16, #offset]; add x16, x16, #offset; br x17`, perhaps behind
    `bti c`.
    """
    code = read(address, _STUB * INSTRUCTION_BYTES)
    page: int | None = None
    slot: int | None = None
    for found in _disassembler().disasm(code, address, _STUB):
        if found.id == arm64.ARM64_INS_ADRP and found.operands[0].reg == _SCRATCH:
            page = int(found.operands[1].imm)
        elif found.id == arm64.ARM64_INS_LDR and page is not None:
            memory = found.operands[1].mem
            if memory.base == _SCRATCH and memory.index == 0:
                slot = page + int(memory.disp)
        elif found.mnemonic in _INDIRECT_JUMPS:
            return slot
        elif found.mnemonic not in ("add", "bti", "nop"):
            return None
    return None


AARCH64 = Architecture(
    elf_machine_number=183,
    argument_registers=tuple(f"x{number}" for number in range(8)),
    result_register="x0",
    stack_pointer="sp",
    unwind_registers=("x29", "x30"),
    breakpoint=b"\x00\x00\x20\xd4",  # brk #0
    slot_relocations=frozenset({_R_GLOB_DAT, _R_JUMP_SLOT}),
    resolver_relocation=_R_IRELATIVE,
    decode=decode,
    iter_calls=iter_calls,
    find_stub_slot=find_stub_slot,
)


def ends_in_call(code: bytes) -> bool:
    """Return whether the last instruction of `code` is a call.

    >>> ends_in_call(bytes.fromhex("00000094"))  # bl
    True
    >>> ends_in_call(bytes.fromhex("c0035fd6"))  # ret
    False

    """
    last = code[-INSTRUCTION_BYTES:]
    found = decode(lambda _, size: last[:size], 0)
    return found is not None and found.flow is Flow.CALL


AARCH64_FRAMES = FrameConvention(
    numbers={**{f"x{number}": number for number in range(31)}, "sp": 31},
    stack_pointer=31,
    frame_pointer=29,
    return_address=30,
    callee_saved=frozenset(range(19, 30)),
    has_link_register=True,
    signs_addresses=True,  # by `paciasp`
    ends_in_call=ends_in_call,
)
