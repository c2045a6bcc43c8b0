"""The decoder of aarch64."""

from __future__ import annotations

import capstone
from capstone import arm64

from gdbleak.architectures.decoder import Decoder, Flow, Instruction, ReadCode

_INSTRUCTION_BYTES = 4
_RETURNS = ("ret", "retaa", "retab")
_CALLS = ("bl", "blr", "blraa", "blrab", "blraaz", "blrabz")
_INDIRECT_JUMPS = ("br", "braa", "brab", "braaz", "brabz")
_TRAPS = ("brk", "hlt", "udf")
_BRANCHES = ("cbz", "cbnz", "tbz", "tbnz")
_SCRATCH = arm64.ARM64_REG_X16
_STUB = 5
"""How many instructions a stub has at most: `bti`, `adrp`, `ldr`, `add`, `br`."""


class AArch64Decoder(Decoder):
    """Decodes aarch64."""

    def __init__(self, read: ReadCode) -> None:
        super().__init__(read)
        self._disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        self._disassembler.detail = True

    def find_stub_slot(self, address: int) -> int | None:
        """Return the slot of a stub.

        `adrp x16, page; ldr x17, [x16, #offset]; add x16, x16, #offset; br x17`, perhaps behind
        `bti c`.
        """
        code = self._read(address, _STUB * _INSTRUCTION_BYTES)
        page: int | None = None
        slot: int | None = None
        for found in self._disassembler.disasm(code, address, _STUB):
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

    def _decode(self, address: int) -> Instruction | None:
        code = self._read(address, _INSTRUCTION_BYTES)
        found = next(self._disassembler.disasm(code, address, 1), None)
        if found is None:
            return None
        flow = _find_flow(found.mnemonic)
        last = found.operands[-1] if flow in _LEADS_ELSEWHERE and found.operands else None
        target = int(last.imm) if last is not None and last.type == arm64.ARM64_OP_IMM else None
        return Instruction(address, found.size, flow, target)


_LEADS_ELSEWHERE = (Flow.CALL, Flow.JUMP, Flow.BRANCH)


def _find_flow(name: str) -> Flow:
    """Return the flow of an instruction by its mnemonic."""
    if name in _RETURNS:
        return Flow.RETURN
    if name in _TRAPS:
        return Flow.DEAD_END
    if name in _CALLS:
        return Flow.CALL
    if name in _INDIRECT_JUMPS:
        return Flow.INDIRECT_JUMP
    if name == "b":
        return Flow.JUMP
    if name in _BRANCHES or name.startswith("b."):
        return Flow.BRANCH
    return Flow.NEXT
