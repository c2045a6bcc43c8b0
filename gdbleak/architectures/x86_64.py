"""x86-64.

Source: System V ABI, AMD64 supplement, 3.2.3 (parameter passing) and 4.4 (relocation).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import capstone
from capstone import x86

from gdbleak.architectures.model import Architecture, Flow, Instruction, ReadCode

MAX_INSTRUCTION_BYTES = 15
_R_GLOB_DAT, _R_JUMP_SLOT, _R_IRELATIVE = 6, 7, 37
_CALL = re.compile(rb"\xe8(?=(.{4}))", re.DOTALL)
_TRAPS = (x86.X86_INS_HLT, x86.X86_INS_UD2, x86.X86_INS_INT3)


@lru_cache(maxsize=1)
def _disassembler() -> capstone.Cs:
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    return disassembler


def decode(read: ReadCode, address: int) -> Instruction | None:
    """Decode the instruction at an address; return None for what is no instruction."""
    code = read(address, MAX_INSTRUCTION_BYTES)
    found = next(_disassembler().disasm(code, address, 1), None)
    if found is None:
        return None
    size, target = found.size, _find_target(found)
    if found.group(capstone.CS_GRP_RET):
        return Instruction(address, size, Flow.RETURN)
    if found.id in _TRAPS:
        return Instruction(address, size, Flow.DEAD_END)
    if found.group(capstone.CS_GRP_CALL):
        return Instruction(address, size, Flow.CALL, target)
    if not found.group(capstone.CS_GRP_JUMP):
        return Instruction(address, size, Flow.NEXT)
    if target is None:
        return Instruction(address, size, Flow.INDIRECT_JUMP, slot=_find_slot(found))
    is_conditional = found.id != x86.X86_INS_JMP
    return Instruction(address, size, Flow.BRANCH if is_conditional else Flow.JUMP, target)


def iter_calls(code: bytes, address: int) -> Iterator[tuple[int, int]]:
    """Yield address and target of each `call` in some code, given its address."""
    for match in _CALL.finditer(code):
        end = address + match.end(1)
        yield address + match.start(), end + int.from_bytes(match[1], "little", signed=True)


def find_stub_slot(read: ReadCode, address: int) -> int | None:
    """Return the slot of an entry of a procedure linkage table, with or without `endbr64`."""
    instruction = decode(read, address)
    if instruction is not None and read(address, 4) == b"\xf3\x0f\x1e\xfa":
        instruction = decode(read, address + instruction.size)
    return instruction.slot if instruction else None


def _find_target(found: Any) -> int | None:
    if found.operands and found.operands[0].type == x86.X86_OP_IMM:
        return int(found.operands[0].imm)
    return None


def _find_slot(found: Any) -> int | None:
    """Return the address in `jmp *address(%rip)`."""
    operand = found.operands[0]
    if operand.type != x86.X86_OP_MEM or operand.mem.base != x86.X86_REG_RIP:
        return None
    return int(found.address + found.size + operand.mem.disp)


X86_64 = Architecture(
    elf_machine_number=62,
    argument_registers=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    result_register="rax",
    stack_pointer="rsp",
    unwind_registers=("rbp",),
    breakpoint=b"\xcc",
    slot_relocations=frozenset({_R_GLOB_DAT, _R_JUMP_SLOT}),
    resolver_relocation=_R_IRELATIVE,
    decode=decode,
    iter_calls=iter_calls,
    find_stub_slot=find_stub_slot,
)
