"""The decoder of x86-64: everything that asks about an instruction goes through it.

The plan of the breakpoints and the walks of the unwinder ask where an instruction leads to;
`x86_64_effects` asks what it does to the stack, by `disassemble`. Whether an instruction can be
moved, and what it looks like elsewhere, is one more question of this kind.
"""

from __future__ import annotations

from typing import Any

import capstone
from capstone import x86

from gdbleak.architectures.decoder import Decoder, Flow, Instruction, ReadCode

MAX_INSTRUCTION_BYTES = 15

_TRAPS = (x86.X86_INS_HLT, x86.X86_INS_UD2, x86.X86_INS_INT3)
LOOPS = (x86.X86_INS_LOOP, x86.X86_INS_LOOPE, x86.X86_INS_LOOPNE)
"""They count down and branch, and capstone does not call them jumps."""
_ENDBR64 = bytes.fromhex("f30f1efa")
_ZEROS = bytes(2)
"""What linkers put between sections. As an instruction, no compiler makes it."""


class X86Decoder(Decoder):
    """Decodes x86-64."""

    def __init__(self, read: ReadCode) -> None:
        super().__init__(read)
        self._disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._disassembler.detail = True

    def disassemble(self, address: int) -> Any | None:
        """Return all that capstone knows of the instruction at an address, if there is one.

        That is much: who keeps something of many instructions takes what it needs.
        """
        code = self._read(address, MAX_INSTRUCTION_BYTES)
        return next(self._disassembler.disasm(code, address, 1), None)

    def find_stub_slot(self, address: int) -> int | None:
        """Return the slot of a stub, with or without `endbr64`."""
        found = self.decode(address)
        if found and found.flow is Flow.NEXT and self._read(address, 4) == _ENDBR64:
            found = self.decode(address + found.size)
        return found.slot if found and found.flow is Flow.INDIRECT_JUMP else None

    def _decode(self, address: int) -> Instruction | None:
        found = self.disassemble(address)
        return found and make_instruction(found)


def make_instruction(found: Any) -> Instruction:
    """Return what capstone has found, as far as the flow of control goes."""
    flow = _find_flow(found)
    if flow not in _LEADS_ELSEWHERE:
        return Instruction(found.address, found.size, flow)
    operand = found.operands[0]
    target = int(operand.imm) if operand.type == x86.X86_OP_IMM else None
    if flow is Flow.JUMP and target is None:
        flow = Flow.INDIRECT_JUMP
    return Instruction(found.address, found.size, flow, target, _find_slot(found, operand))


_LEADS_ELSEWHERE = (Flow.CALL, Flow.JUMP, Flow.BRANCH)


def _find_flow(found: Any) -> Flow:
    """Return the flow, with `JUMP` for a jump of either kind."""
    if found.id in _TRAPS or (found.id == x86.X86_INS_ADD and found.bytes[:2] == _ZEROS):
        return Flow.DEAD_END
    if found.group(capstone.CS_GRP_RET):
        is_plain = found.id == x86.X86_INS_RET and not found.operands
        return Flow.RETURN if is_plain else Flow.RETURN_AND_POP
    if found.group(capstone.CS_GRP_CALL):
        return Flow.CALL
    if found.id in (x86.X86_INS_JMP, x86.X86_INS_LJMP):
        return Flow.JUMP
    return Flow.BRANCH if found.group(capstone.CS_GRP_JUMP) or found.id in LOOPS else Flow.NEXT


def _find_slot(found: Any, operand: Any) -> int | None:
    """Return the address in `jmp *address(%rip)`."""
    if operand.type != x86.X86_OP_MEM or operand.mem.base != x86.X86_REG_RIP:
        return None
    return int(found.address + found.size + operand.mem.disp)
