"""What a seccomp filter says of a system call. Pure.

A filter is a program of classic BPF over `struct seccomp_data`. Sources: seccomp(2);
include/uapi/linux/{seccomp,filter}.h; kernel/seccomp.c, `seccomp_check_filter`, for which
instructions there are. A filter that asks for what is not known here proves nothing, and neither
does a program that no kernel would have accepted.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

AUDIT_ARCH_X86_64 = 0xC000003E
RET_ALLOW, RET_LOG = 0x7FFF0000, 0x7FFC0000
"""Both let the call pass; the second has the kernel write it into a log."""
INSTRUCTION = struct.Struct("<HBBI")
"""Code, how many to skip if a condition holds, how many if it does not, and a number."""
MAX_INSTRUCTIONS = 4096

_ACTION = 0xFFFF0000
_WORD = 0xFFFFFFFF
_BITS = 32
_SLOTS = 16
_ARGUMENTS = 6
_DATA_BYTES = 64

# The lowest three bits of a code, and with which others.
_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_LD_IMM, _LD_ABS, _LD_MEM, _LD_LEN = 0x00, 0x20, 0x60, 0x80
_ALU_NEG = 0x84
_JMP_ALWAYS = 0x05
_RET_K, _RET_A = 0x06, 0x16
_TAX, _TXA = 0x07, 0x87
_X = 0x08
"""Of a calculation or a condition: its second number is X, not that of the instruction."""

_CALCULATIONS: dict[int, Callable[[int, int], int]] = {
    0x00: operator.add,
    0x10: operator.sub,
    0x20: operator.mul,
    0x30: operator.floordiv,
    0x40: operator.or_,
    0x50: operator.and_,
    0x60: operator.lshift,
    0x70: operator.rshift,
    0xA0: operator.xor,
}
_DIVIDES, _SHIFTS = 0x30, (0x60, 0x70)
_CONDITIONS: dict[int, Callable[[int, int], object]] = {
    0x10: operator.eq,
    0x20: operator.gt,
    0x30: operator.ge,
    0x40: operator.and_,
}


class Call(NamedTuple):
    """A system call of a 64-bit program, as a filter sees it."""

    number: int
    arguments: tuple[int | None, ...]
    """Up to six, each modulo 2**64. None, and those left out, are not known beforehand."""
    instruction_pointer: int
    """The address behind the instruction that makes it."""


Filters = tuple[bytes, ...]
"""The filters of a thread, the oldest first; none of one that is not filtered."""


class _UnprovedError(Exception):
    """It cannot be told what the filter says."""


@lru_cache(1024)  # many threads have the same
def passes(program: bytes, call: Call) -> bool:
    """Return whether a filter certainly lets a system call pass.

    Args:
        program: The filter, as the kernel has got it: eight bytes for each instruction.
        call: The system call.

    """
    try:
        return evaluate(program, call) & _ACTION in (RET_ALLOW, RET_LOG)
    except _UnprovedError:
        return False


def evaluate(program: bytes, call: Call) -> int:
    """Return what a filter returns, 32 bits.

    Raises:
        _UnprovedError: it cannot be told.

    """
    if len(program) % INSTRUCTION.size or len(program) > MAX_INSTRUCTIONS * INSTRUCTION.size:
        raise _UnprovedError
    machine = _Machine(_words_of(call))
    code = [*INSTRUCTION.iter_unpack(program)]
    place = 0
    while place < len(code):  # jumps lead forward only
        operation, then, otherwise, number = code[place]
        kind = operation & 7
        if kind == _RET:
            return machine.result(operation, number)
        place += 1
        if kind != _JMP:
            machine.do(operation, number)
        elif operation == _JMP_ALWAYS:
            place += number
        else:
            place += then if machine.holds(operation, number) else otherwise
    raise _UnprovedError


def _words_of(call: Call) -> list[int | None]:
    """Return `struct seccomp_data` in words of 32 bits; None stands for what is not known."""
    words: list[int | None] = [call.number & _WORD, AUDIT_ARCH_X86_64]
    missing = (None,) * (_ARGUMENTS - len(call.arguments))
    for value in (call.instruction_pointer, *call.arguments, *missing):
        words += (None, None) if value is None else (value & _WORD, value >> _BITS & _WORD)
    return words


class _Machine:
    """The registers and the memory of a program."""

    def __init__(self, words: list[int | None]) -> None:
        self._words = words
        self._a = self._x = 0
        self._slots: list[int | None] = [None] * _SLOTS

    def result(self, operation: int, number: int) -> int:
        if operation not in (_RET_K, _RET_A):
            raise _UnprovedError
        return number if operation == _RET_K else self._a

    def holds(self, operation: int, number: int) -> bool:
        """Whether the condition of a jump holds."""
        compare = _CONDITIONS.get(operation & ~(7 | _X))
        if compare is None:
            raise _UnprovedError
        return bool(compare(self._a, self._x if operation & _X else number))

    def do(self, operation: int, number: int) -> None:
        """Do any other instruction."""
        kind = operation & 7
        if operation == _TAX:
            self._x = self._a
        elif operation == _TXA:
            self._a = self._x
        elif operation == _ALU_NEG:
            self._a = -self._a & _WORD
        elif kind == _ALU:
            self._a = self._calculate(operation, self._x if operation & _X else number)
        elif operation in (_ST, _STX):
            self._check_slot(number)
            self._slots[number] = self._a if operation == _ST else self._x
        elif kind == _LD:
            self._a = self._load(operation, number)
        elif kind == _LDX and operation != _LDX | _LD_ABS:
            self._x = self._load(operation & ~_LDX, number)
        else:
            raise _UnprovedError

    def _calculate(self, operation: int, other: int) -> int:
        kind = operation & ~(7 | _X)
        calculate = _CALCULATIONS.get(kind)
        if calculate is None or (kind == _DIVIDES and not other):
            raise _UnprovedError
        if kind in _SHIFTS and other >= _BITS:
            raise _UnprovedError
        return calculate(self._a, other) & _WORD

    def _load(self, operation: int, number: int) -> int:
        value: int | None = None
        if operation == _LD_IMM:
            value = number
        elif operation == _LD_LEN:
            value = _DATA_BYTES
        elif operation == _LD_MEM:
            self._check_slot(number)
            value = self._slots[number]
        elif operation == _LD_ABS and number < _DATA_BYTES and number % 4 == 0:
            value = self._words[number // 4]
        if value is None:
            raise _UnprovedError
        return value

    @staticmethod
    def _check_slot(number: int) -> None:
        if number >= _SLOTS:
            raise _UnprovedError
