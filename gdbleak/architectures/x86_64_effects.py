"""What x86-64 instructions do to registers and to what stands on the stack.

Registers are DWARF numbers. What a register held before is a `Sum` of a register and a number;
what memory held is a `Loaded` word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional, Union

import capstone
from capstone import x86

from gdbleak.architectures.decoder import Flow, Instruction, ReadCode
from gdbleak.architectures.model import WORD_BYTES
from gdbleak.architectures.x86_64_decoder import LOOPS, X86Decoder, make_instruction
from gdbleak.architectures.x86_64_frames import CALLEE_SAVED, RBP, REGISTER_NUMBERS, RIP, RSP


class Sum(NamedTuple):
    """What a register holds, plus a number."""

    register: int
    offset: int = 0


class Loaded(NamedTuple):
    """The word in memory at what a register holds, plus a number."""

    register: int
    offset: int


Value = Optional[Union[Sum, Loaded]]
"""None is a value that is not followed."""


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


class Effects(NamedTuple):
    """An instruction with what it does, in order."""

    instruction: Instruction
    operations: tuple[Operation, ...]
    uses_frame_pointer: bool
    """Whether it reaches below the frame pointer, as if for a local variable."""


def _families() -> Iterator[tuple[int, int]]:
    """Yield capstone's number of each register and part of one, with DWARF's of the whole."""
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
_CLOBBERED = tuple(Set(number, None) for number in range(RIP) if number not in CALLEE_SAVED | {RSP})
_TOP = Sum(RSP)
_PUSHED = Set(RSP, Sum(RSP, -WORD_BYTES))
_POPPED = Set(RSP, Sum(RSP, WORD_BYTES))


class EffectsDecoder(X86Decoder):
    """Tells also what instructions do, of each once."""

    def __init__(self, read: ReadCode) -> None:
        super().__init__(read)
        self._effects: dict[int, Effects | None] = {}

    def find_effects(self, address: int) -> Effects | None:
        """Return the instruction at an address and what it does; None where there is none."""
        if address not in self._effects:
            found = self.disassemble(address)
            self._effects[address] = found and _find_effects(found)
        return self._effects[address]

    def _decode(self, address: int) -> Instruction | None:
        effects = self.find_effects(address)
        return effects and effects.instruction


def _find_effects(found: Any) -> Effects:
    instruction = make_instruction(found)
    operations: tuple[Operation, ...] = ()
    if instruction.flow is Flow.CALL:
        operations = _CLOBBERED
    elif instruction.flow is Flow.NEXT or found.id in LOOPS:
        operations = tuple(_find_operations(found))
    below_frame = any(
        operand.type == x86.X86_OP_MEM
        and operand.mem.base == x86.X86_REG_RBP
        and operand.mem.disp < 0
        for operand in found.operands
    )
    return Effects(instruction, operations, below_frame)


def _find_operations(code: Any) -> Iterator[Operation]:
    operands = [_find_value(operand) for operand in code.operands]
    if code.id == x86.X86_INS_PUSH and code.operands[0].size == WORD_BYTES:
        yield _PUSHED
        # A word from memory was read before the stack pointer moved; such a value is not followed.
        yield Store(_TOP, WORD_BYTES, operands[0] if isinstance(operands[0], Sum) else None)
    elif code.id == x86.X86_INS_POP and isinstance(operands[0], Sum):
        yield Set(operands[0].register, Loaded(RSP, 0))
        yield _POPPED
    elif code.id == x86.X86_INS_LEAVE:
        yield Set(RSP, Sum(RBP))
        yield Set(RBP, Loaded(RSP, 0))
        yield _POPPED
    elif code.id == x86.X86_INS_MOV and isinstance(operands[0], Sum):
        yield Set(operands[0].register, operands[1])
    elif code.id == x86.X86_INS_MOV and isinstance(operands[0], Loaded):
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
    """Return an operand of eight bytes that is a register or a plain place in memory, or None."""
    if operand.type == x86.X86_OP_REG and operand.reg in _WHOLE:
        return Sum(_WHOLE[operand.reg])
    if operand.type == x86.X86_OP_MEM and operand.size == WORD_BYTES:
        return _find_word(operand)
    return None


def _find_word(operand: Any) -> Loaded | None:
    memory = operand.mem
    if memory.base in _WHOLE and memory.index == memory.segment == x86.X86_REG_INVALID:
        return Loaded(_WHOLE[memory.base], memory.disp)
    return None


def _find_unfollowed(code: Any) -> Iterator[Operation]:
    """Yield what any other instruction changes; the new values are not followed."""
    for operand in code.operands:
        if operand.type == x86.X86_OP_MEM and operand.access & capstone.CS_AC_WRITE:
            word = _find_word(operand)
            if word is not None:
                yield Store(Sum(*word), operand.size, None)
    for register in code.regs_access()[1]:
        if register in _NUMBERS:
            yield Set(_NUMBERS[register], None)
