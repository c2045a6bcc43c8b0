"""DWARF's integers and the expressions that call frame information is written in.

Format: DWARF 5, sections 2.5 (expressions) and 7.6 (LEB128), for x86-64: little-endian, and
eight bytes an address.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from gdbleak.architectures import WORD_BYTES
from gdbleak.errors import ElfError

WORD_MASK = 2**64 - 1

# Real files stay below a dozen of both. A damaged one must not take for ever.
_MAX_STEPS = 1000
_MAX_LEB128_BYTES = 10


class UnknownValueError(Exception):
    """A register or memory was not recorded, or an expression is not understood.

    The unwinder catches it, and ends the stack there.
    """


class Cursor:
    """Reads one item of DWARF after the other; ElfError when the bytes end too soon."""

    def __init__(self, data: bytes, address: int = 0) -> None:
        self._data = data
        self._address = address
        self.position = 0

    @property
    def address(self) -> int:
        """Address of the next item."""
        return self._address + self.position

    @property
    def is_at_end(self) -> bool:
        """True when nothing is left to read."""
        return self.position == len(self._data)

    @property
    def left(self) -> int:
        """How many bytes are left to read."""
        return len(self._data) - self.position

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; a negative `size` counts as damage."""
        end = self.position + size
        if not self.position <= end <= len(self._data):
            raise ElfError("damaged DWARF data: it ends too soon")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def integer(self, size: int, signed: bool = False) -> int:
        """Return an integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def uleb128(self) -> int:
        """Return an unsigned integer of variable length."""
        return self._leb128()[0]

    def sleb128(self) -> int:
        """Return a signed integer of variable length."""
        value, bits = self._leb128()
        return value - (1 << bits) if value >> (bits - 1) else value

    def _leb128(self) -> tuple[int, int]:
        value = 0
        for bits in range(0, 7 * _MAX_LEB128_BYTES, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << bits
            if byte < 0x80:
                return value, bits + 7
        raise ElfError("damaged DWARF data: an integer does not end")

    def block(self) -> bytes:
        """Return a block of bytes, whose length stands before it."""
        return self.take(self.uleb128())

    def string(self) -> bytes:
        """Return the bytes up to the next NUL, which is skipped."""
        end = self._data.find(0, self.position)
        taken = self.take(end - self.position)
        self.position += 1
        return taken

    def jump(self, distance: int) -> None:
        """Move by `distance` bytes, back or forth."""
        target = self.position + distance
        if not 0 <= target <= len(self._data):
            raise ElfError("damaged DWARF data: a jump out of an expression")
        self.position = target


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


# Shifts by more than 64 bits are cut: Python would make the number as long as that.
_BINARY: Mapping[int, Callable[[int, int], int]] = {
    0x1A: operator.and_,
    0x1C: operator.sub,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: lambda left, right: left << min(right, 64),
    0x25: lambda left, right: left >> min(right, 64),
    0x26: lambda left, right: _signed(left) >> min(right, 64),
    0x27: operator.xor,
    0x29: operator.eq,
    0x2A: lambda left, right: _signed(left) >= _signed(right),
    0x2B: lambda left, right: _signed(left) > _signed(right),
    0x2C: lambda left, right: _signed(left) <= _signed(right),
    0x2D: lambda left, right: _signed(left) < _signed(right),
    0x2E: operator.ne,
}


def evaluate(
    expression: bytes,
    registers: Mapping[int, int],
    read_memory: Callable[[int, int], int],
    *initial: int,
) -> int:
    """Evaluate an expression; return what it leaves on top of its stack.

    Args:
        expression: The bytes.
        registers: Known values, by DWARF register number.
        read_memory: Returns an unsigned integer, given address and size; raises UnknownValueError.
        initial: What is on its stack at the beginning.

    Raises:
        UnknownValueError: it needs a register or memory that is not known, has an operator
            that does not occur in call frame information, or does not come to an end.
        ElfError: its bytes are damaged.

    """
    stack = list(initial)
    cursor = Cursor(expression)
    try:
        for _ in range(_MAX_STEPS):
            if cursor.is_at_end:
                return stack[-1]
            _execute(cursor, stack, registers, read_memory)
    except IndexError:
        raise UnknownValueError("the expression takes more than its stack holds") from None
    raise UnknownValueError("the expression does not come to an end")


def _execute(
    cursor: Cursor,
    stack: list[int],
    registers: Mapping[int, int],
    read_memory: Callable[[int, int], int],
) -> None:
    code = cursor.integer(1)
    if code in _BINARY:
        right, left = stack.pop(), stack.pop()
        stack.append(_BINARY[code](left, right) & WORD_MASK)
    elif code == 0x06:  # deref
        stack.append(read_memory(stack.pop(), WORD_BYTES))
    elif 0x08 <= code <= 0x0F:  # const1u, const1s, const2u … const8s
        size = 1 << ((code - 0x08) >> 1)
        stack.append(cursor.integer(size, signed=bool(code & 1)) & WORD_MASK)
    elif code == 0x10:  # constu
        stack.append(cursor.uleb128() & WORD_MASK)
    elif code == 0x11:  # consts
        stack.append(cursor.sleb128() & WORD_MASK)
    elif code == 0x12:  # dup
        stack.append(stack[-1])
    elif code == 0x13:  # drop
        stack.pop()
    elif code == 0x14:  # over
        stack.append(stack[-2])
    elif code == 0x15:  # pick
        stack.append(stack[-1 - cursor.integer(1)])
    elif code == 0x16:  # swap
        stack[-1], stack[-2] = stack[-2], stack[-1]
    elif code == 0x1F:  # neg
        stack.append(-stack.pop() & WORD_MASK)
    elif code == 0x20:  # not
        stack.append(~stack.pop() & WORD_MASK)
    elif code == 0x23:  # plus_uconst
        stack.append((stack.pop() + cursor.uleb128()) & WORD_MASK)
    elif code == 0x28:  # bra
        distance = cursor.integer(2, signed=True)
        if stack.pop():
            cursor.jump(distance)
    elif code == 0x2F:  # skip
        cursor.jump(cursor.integer(2, signed=True))
    elif 0x30 <= code <= 0x4F:  # lit0 … lit31
        stack.append(code - 0x30)
    elif 0x70 <= code <= 0x8F or code == 0x92:  # breg0 … breg31, bregx
        register = cursor.uleb128() if code == 0x92 else code - 0x70
        if register not in registers:
            raise UnknownValueError(f"register {register} is not known")
        stack.append((registers[register] + cursor.sleb128()) & WORD_MASK)
    elif code == 0x94:  # deref_size
        size = cursor.integer(1)
        if size > WORD_BYTES:
            raise UnknownValueError(f"{size} bytes are more than the stack holds")
        stack.append(read_memory(stack.pop(), size))
    else:
        raise UnknownValueError(f"unknown operator {code:#x}")
