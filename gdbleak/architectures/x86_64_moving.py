"""Moving instructions of x86-64: which of them a jump covers, and how they read elsewhere.

What a jump over the entry of a function covers has to run at another address. Most instructions
do that as they are. Operands relative to `rip` need another displacement, and branches are written
in their long form, so the copy may be longer. A call may only be the last: its copy pushes the
return address that it had, so that nothing ever returns to the copy.

Encodings: Intel's manual, volume 2, 2.2.1.6 (RIP-relative addressing), Jcc, JMP, CALL, PUSH, MOV.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import capstone
from capstone import x86

from gdbleak.architectures.decoder import Flow
from gdbleak.architectures.x86_64_decoder import X86Decoder, make_instruction
from gdbleak.architectures.x86_64_encoder import push_word

JUMP_BYTES = 5
"""Size of `jmp rel32`."""
ENDBR64 = bytes.fromhex("f30f1efa")
"""It stays where it is: with control flow enforcement, a call by pointer has to meet it."""

_REACH = 1 << 31
_ENDS = {
    Flow.RETURN: "a return",
    Flow.RETURN_AND_POP: "a return",
    Flow.INDIRECT_JUMP: "a jump by a pointer",
    Flow.DEAD_END: "a trap",
}
_SYSTEM_CALLS = (x86.X86_INS_SYSCALL, x86.X86_INS_SYSENTER)
"""The kernel may set a thread back to them."""


class UnmovableError(ValueError):
    """Instructions cannot be moved; the message is why, as the end of a sentence."""


class Moved(NamedTuple):
    """Instructions, written for another address."""

    code: bytes
    places: tuple[tuple[int, int], ...]
    """Of each instruction behind the first: where it was, and where it is."""


def reaches(origin: int, target: int) -> bool:
    """Return whether `jmp rel32` at one address can lead to another."""
    return -_REACH <= target - (origin + JUMP_BYTES) < _REACH


def read_whole(decoder: X86Decoder, address: int, least_bytes: int = JUMP_BYTES) -> tuple[Any, ...]:
    """Return the whole instructions from an address on that a jump there covers.

    They are capstone's, of at least so many bytes together, and each can be moved.

    Raises:
        UnmovableError: one cannot, or they end too early.

    """
    found: list[Any] = []
    at = address
    while at < address + least_bytes:
        instruction = decoder.disassemble(at)
        if instruction is None:
            raise UnmovableError(f"the bytes at {at:#x} are not an instruction")
        at += instruction.size
        found.append(instruction)
        flow = _check(instruction)
        if flow in (Flow.JUMP, Flow.CALL) and at < address + least_bytes:
            what = "jump" if flow is Flow.JUMP else "call"
            raise UnmovableError(f"there is a {what} within its first {least_bytes} bytes")
    for instruction in found:
        target = make_instruction(instruction).target
        if target is not None and address <= target < at:
            raise UnmovableError("its first instructions branch to one of themselves")
    return tuple(found)


def move(code: bytes, origin: int, to: int) -> Moved:
    """Return instructions written for another address, where they do the same.

    Args:
        code: Whole instructions, as `read_whole` found them.
        origin: The address they were at.
        to: The address they will be at.

    Raises:
        UnmovableError: what one refers to is too far from there.

    """
    decoder = X86Decoder(lambda at, size: code[at - origin :][:size])
    moved, places, at = b"", [], origin
    while at < origin + len(code):
        instruction = decoder.disassemble(at)
        if instruction is None:
            raise UnmovableError(f"the bytes at {at:#x} are not an instruction")
        if moved:
            places.append((at, to + len(moved)))
        moved += _write(instruction, to + len(moved))
        at += instruction.size
    return Moved(moved, tuple(places))


def _check(instruction: Any) -> Flow:
    """Return the flow of an instruction that can be moved.

    Raises:
        UnmovableError: it cannot.

    """
    known = make_instruction(instruction)
    flow = known.flow
    if flow in _ENDS:
        raise UnmovableError(f"there is {_ENDS[flow]} within its first bytes")
    is_direct = known.target is not None and _find_opcode(instruction) is not None
    if flow is not Flow.NEXT and not is_direct:
        raise UnmovableError(f"`{_text(instruction)}` cannot be moved")
    if instruction.id in _SYSTEM_CALLS or instruction.group(capstone.CS_GRP_INT):
        raise UnmovableError(f"`{_text(instruction)}` cannot be moved")
    if _uses(instruction, x86.X86_REG_EIP):
        raise UnmovableError(f"`{_text(instruction)}` cannot be moved")
    return flow


def _find_opcode(instruction: Any) -> bytes | None:
    """Return the opcode of the long form of a direct branch; None for another instruction."""
    code = bytes(instruction.bytes)
    if code[0] in (0xE8, 0xE9):
        return code[:1]
    if code[0] == 0xEB:
        return b"\xe9"
    if code[0] & 0xF0 == 0x70:
        return bytes((0x0F, 0x80 | code[0] & 0x0F))
    return code[:2] if code[0] == 0x0F and code[1] & 0xF0 == 0x80 else None


def _write(instruction: Any, to: int) -> bytes:
    flow = _check(instruction)
    if flow is Flow.NEXT:
        return _write_operand(instruction, to)
    opcode = _find_opcode(instruction)
    assert opcode is not None
    pushed = b""
    if flow is Flow.CALL:
        opcode = b"\xe9"
        pushed = push_word(instruction.address + instruction.size)
    target = instruction.operands[0].imm
    size = len(pushed) + len(opcode) + 4
    return pushed + opcode + _displacement(instruction, target - (to + size))


def _write_operand(instruction: Any, to: int) -> bytes:
    """Return any other instruction, with what is relative to `rip` corrected."""
    code = bytes(instruction.bytes)
    if not _uses(instruction, x86.X86_REG_RIP):
        return code
    at, end = instruction.disp_offset, instruction.disp_offset + 4
    displacement = instruction.disp + instruction.address - to
    moved = code[:at] + _displacement(instruction, displacement) + code[end:]
    again = X86Decoder(lambda address, size: moved[address - to :][:size]).disassemble(to)
    read = again and (again.id, again.disp, again.size)
    if instruction.disp_size != 4 or read != (instruction.id, displacement, len(code)):
        raise UnmovableError(f"`{_text(instruction)}` cannot be moved")
    return moved


def _uses(instruction: Any, register: int) -> bool:
    """Return whether an operand in memory is relative to a register."""
    memory = (op.mem for op in instruction.operands if op.type == x86.X86_OP_MEM)
    return any(operand.base == register for operand in memory)


def _displacement(instruction: Any, value: int) -> bytes:
    if not -_REACH <= value < _REACH:
        raise UnmovableError(f"what `{_text(instruction)}` refers to is too far away")
    return value.to_bytes(4, "little", signed=True)


def _text(instruction: Any) -> str:
    return f"{instruction.mnemonic} {instruction.op_str}".strip()
