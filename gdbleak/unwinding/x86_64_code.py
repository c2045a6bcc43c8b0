"""x86-64 instructions as what they do to the stack pointer and to saved registers.

Decoded by capstone. Registers are DWARF numbers; what a register held before is a `Sum` of a
register and a number, what memory held a `Word`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any, NamedTuple, Optional, Union

import capstone
import capstone.x86 as x86

from gdbleak.architectures.x86_64_frames import CALLEE_SAVED, RBP, REGISTER_NUMBERS, RIP, RSP
from gdbleak.unwinding.dwarf_expressions import WORD_BYTES

_MAX_INSTRUCTION_BYTES = 15


class Sum(NamedTuple):
    """What a register holds, plus a number."""

    register: int
    offset: int = 0


class Word(NamedTuple):
    """The word in memory at what a register holds, plus a number."""

    register: int
    offset: int


# None is a value that is not followed.
Value = Optional[Union[Sum, Word]]


class Set(NamedTuple):
    """A register gets a value."""

    register: int
    value: Value


class Store(NamedTuple):
    """Memory gets a value."""

    address: Sum
    size: int
    value: Value


Operation = Union[Set, Store]


class Flow(Enum):
    """What is executed next."""

    NEXT = auto()  # the next instruction
    CALL = auto()  # the same, should the call return
    BRANCH = auto()  # that or the target
    JUMP = auto()  # the target
    RETURN = auto()  # the caller; the return address is on top of the stack
    STOP = auto()  # nothing, or what cannot be known


class Instruction(NamedTuple):
    """One instruction, its operations in order."""

    size: int
    flow: Flow
    target: int | None
    """Where it jumps to, or which function it calls."""
    slot: int | None
    """Where the address stands that it jumps to or calls."""
    operations: tuple[Operation, ...]
    uses_frame_pointer: bool
    """It reaches below the frame pointer, as if for a local variable."""


def _families() -> Iterator[tuple[int, int]]:
    """Pair each register and part of one with the number of the whole."""
    for name, number in REGISTER_NUMBERS.items():
        base = name[1:]
        if number >= RIP:
            continue
        if base.isdigit():
            parts = [name, f"{name}d", f"{name}w", f"{name}b"]
        elif base.endswith("x"):
            parts = [name, f"e{base}", base, f"{base[0]}l", f"{base[0]}h"]
        else:
            parts = [name, f"e{base}", base, f"{base}l"]
        for part in parts:
            yield getattr(x86, f"X86_REG_{part.upper()}"), number


_NUMBERS = dict(_families())
_WHOLE = {
    getattr(x86, f"X86_REG_{name.upper()}"): number
    for name, number in REGISTER_NUMBERS.items()
    if number < RIP
}
_ZEROS = bytes(2)  # between sections; as an instruction, none that a compiler makes
_DEAD_ENDS = (x86.X86_INS_HLT, x86.X86_INS_UD2, x86.X86_INS_INT3)
_CLOBBERED = tuple(Set(number, None) for number in range(RIP) if number not in CALLEE_SAVED | {RSP})
_TOP = Sum(RSP)
_PUSHED = Set(RSP, Sum(RSP, -WORD_BYTES))
_POPPED = Set(RSP, Sum(RSP, WORD_BYTES))


class Decoder:
    """Decodes the code that `read` returns, given address and size; each instruction once."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._known: dict[int, Instruction | None] = {}
        self._disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._disassembler.detail = True

    def decode(self, address: int) -> Instruction | None:
        """Return the instruction at an address, None where there is none."""
        if address not in self._known:
            code = self._read(address, _MAX_INSTRUCTION_BYTES)
            decoded = next(self._disassembler.disasm(code, address, 1), None)
            self._known[address] = decoded and _translate(decoded)
        return self._known[address]


def _translate(code: Any) -> Instruction:
    flow = _find_flow(code)
    operations: tuple[Operation, ...]
    if flow is Flow.CALL:
        operations = _CLOBBERED
    elif flow is Flow.NEXT:
        operations = tuple(_find_operations(code))
    else:
        operations = ()
    below_frame = any(
        operand.type == x86.X86_OP_MEM
        and operand.mem.base == x86.X86_REG_RBP
        and operand.mem.disp < 0
        for operand in code.operands
    )
    target, slot = _find_target(code) if flow in _LEADS_ELSEWHERE else (None, None)
    return Instruction(code.size, flow, target, slot, operations, below_frame)


_LEADS_ELSEWHERE = (Flow.CALL, Flow.BRANCH, Flow.JUMP)


def _find_flow(code: Any) -> Flow:
    if code.id in _DEAD_ENDS or code.bytes[:2] == _ZEROS:
        return Flow.STOP
    if code.group(capstone.CS_GRP_RET):
        return Flow.STOP if code.operands or code.id != x86.X86_INS_RET else Flow.RETURN
    if code.group(capstone.CS_GRP_CALL):
        return Flow.CALL
    if code.group(capstone.CS_GRP_JUMP):
        return Flow.JUMP if code.id == x86.X86_INS_JMP else Flow.BRANCH
    return Flow.NEXT


def _find_target(code: Any) -> tuple[int | None, int | None]:
    operand = code.operands[0]
    if operand.type == x86.X86_OP_IMM:
        return int(operand.imm), None
    if operand.type == x86.X86_OP_MEM and operand.mem.base == x86.X86_REG_RIP:
        return None, code.address + code.size + operand.mem.disp
    return None, None


def _find_operations(code: Any) -> Iterator[Operation]:
    operands = [_find_value(operand) for operand in code.operands]
    if code.id == x86.X86_INS_PUSH and code.operands[0].size == WORD_BYTES:
        yield _PUSHED
        # The word pushed was read before, but nothing that is followed is on top of the stack.
        yield Store(_TOP, WORD_BYTES, operands[0] if isinstance(operands[0], Sum) else None)
    elif code.id == x86.X86_INS_POP and isinstance(operands[0], Sum):
        yield Set(operands[0].register, Word(RSP, 0))
        yield _POPPED
    elif code.id == x86.X86_INS_LEAVE:
        yield Set(RSP, Sum(RBP))
        yield Set(RBP, Word(RSP, 0))
        yield _POPPED
    elif code.id == x86.X86_INS_MOV and isinstance(operands[0], Sum):
        yield Set(operands[0].register, operands[1])
    elif code.id == x86.X86_INS_MOV and isinstance(operands[0], Word):
        yield Store(Sum(*operands[0]), WORD_BYTES, operands[1])
    elif code.id == x86.X86_INS_LEA and isinstance(operands[0], Sum):
        yield Set(operands[0].register, operands[1] and Sum(*operands[1]))
    elif (
        code.id in (x86.X86_INS_ADD, x86.X86_INS_SUB)
        and isinstance(operands[0], Sum)
        and code.operands[1].type == x86.X86_OP_IMM
    ):
        change = code.operands[1].imm * (1 if code.id == x86.X86_INS_ADD else -1)
        yield Set(operands[0].register, Sum(operands[0].register, change))
    else:
        yield from _find_unfollowed(code)


def _find_value(operand: Any) -> Value:
    """Return an operand of eight bytes, should it be a register or a plain place in memory."""
    if operand.type == x86.X86_OP_REG and operand.reg in _WHOLE:
        return Sum(_WHOLE[operand.reg])
    if operand.type == x86.X86_OP_MEM and operand.size == WORD_BYTES:
        return _find_word(operand)
    return None


def _find_word(operand: Any) -> Word | None:
    memory = operand.mem
    if memory.base in _WHOLE and memory.index == memory.segment == x86.X86_REG_INVALID:
        return Word(_WHOLE[memory.base], memory.disp)
    return None


def _find_unfollowed(code: Any) -> Iterator[Operation]:
    """Yield what an instruction of any other kind changes, to values that are not followed."""
    for operand in code.operands:
        if operand.type == x86.X86_OP_MEM and operand.access & capstone.CS_AC_WRITE:
            word = _find_word(operand)
            if word is not None:
                yield Store(Sum(*word), operand.size, None)
    for register in code.regs_access()[1]:
        if register in _NUMBERS:
            yield Set(_NUMBERS[register], None)
