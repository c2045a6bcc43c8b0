"""Encodes the few instructions of x86-64 that a trampoline consists of.

Source: Intel's Software Developer's Manual, volume 2.
"""

from __future__ import annotations

import struct

from gdbleak.architectures.model import WORD_BYTES

_NUMBERS = {
    name: number
    for number, name in enumerate(
        ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
    )
}
_REX_B = b"\x41"
_PUSH, _PUSH_NUMBER, _PUSH_WORD = 0x50, b"\x6a", b"\xff\x35"
_PUSH_LOW_HALF = b"\x68"
_SET_HIGH_HALF = bytes.fromhex("c7442404")  # movl $N, 4(%rsp)
_SET_TOP = bytes.fromhex("48c70424")  # movq $N, (%rsp)
_COMPARE = bytes.fromhex("807c24")  # cmpb $N, M(%rsp)
_CALL, _JUMP, _NEAR_JUMP_IF_CARRY = b"\xe8", b"\xe9", b"\x72"
_JUMP_IF_EQUAL = b"\x0f\x84"
_RETURN = b"\xc3"
_DROP = bytes.fromhex("4883c4")  # add $N, %rsp
_CLEAR = bytes.fromhex("48836424f800")  # andq $0, -8(%rsp)
_CLEAR_AND_KEEP_FLAGS = bytes.fromhex("48c74424f800000000")  # movq $0, -8(%rsp)
_TAKE = bytes.fromhex("4883ec")  # sub $N, %rsp
_DISTANCE, _NEAR_DISTANCE = struct.Struct("<i"), struct.Struct("<b")


def push_word(value: int) -> bytes:
    """Return code that pushes any 64 bits, and changes neither registers nor flags."""
    low, high = (value & 0xFFFFFFFF).to_bytes(4, "little"), (value >> 32).to_bytes(4, "little")
    # The low half is extended by its sign.
    return _PUSH_LOW_HALF + low + _SET_HIGH_HALF + high


class Encoder:
    """Code that grows from an address on.

    What it calls or jumps to may be up to 2 GB away; farther, it raises OverflowError.
    """

    def __init__(self, address: int) -> None:
        self._address = address
        self._code = bytearray()

    @property
    def here(self) -> int:
        """Address of the instruction that comes next."""
        return self._address + len(self._code)

    @property
    def code(self) -> bytes:
        """All of it so far."""
        return bytes(self._code)

    def add(self, code: bytes) -> None:
        """Append what is encoded already."""
        self._code += code

    def push(self, register: str) -> None:
        """Push a register."""
        number = _NUMBERS[register]
        self.add(_REX_B * (number >= 8) + bytes([_PUSH + number % 8]))

    def push_number(self, number: int) -> None:
        """Push a number below 128; larger ones raise OverflowError."""
        if number >> 7:
            raise OverflowError(f"{number} does not fit into a byte")
        self.add(_PUSH_NUMBER + _NEAR_DISTANCE.pack(number))

    def push_from(self, address: int) -> None:
        """Push the word at an address."""
        self._go(_PUSH_WORD, address, _DISTANCE)

    def set_top(self, number: int) -> None:
        """Overwrite the word that was pushed last with a number below 2**31."""
        self.add(_SET_TOP + _DISTANCE.pack(number))

    def jump_if_word(self, place: int, number: int, target: int) -> None:
        """Jump if the word so many words above the last is a number; all are below 128."""
        self.add(_COMPARE + bytes([place * WORD_BYTES]) + _NEAR_DISTANCE.pack(number))
        self._go(_JUMP_IF_EQUAL, target, _DISTANCE)

    def take(self, words: int) -> None:
        """Leave room for up to fifteen words on the stack."""
        self.add((_TAKE + bytes([words * WORD_BYTES])) * bool(words))

    def drop(self, words: int) -> None:
        """Take up to fifteen words from the stack."""
        self.add((_DROP + bytes([words * WORD_BYTES])) * bool(words))

    def clear(self, keep_flags: bool = False) -> None:
        """Clear the word below the stack, in which a return address was."""
        self.add(_CLEAR_AND_KEEP_FLAGS if keep_flags else _CLEAR)

    def call(self, target: int, keep_flags: bool = False) -> int:
        """Call code, clear where the return address was, and return that address.

        With `keep_flags`, the flags are those that the code has left.
        """
        self._go(_CALL, target, _DISTANCE)
        returned = self.here
        self.clear(keep_flags)
        return returned

    def call_away(self, target: int) -> int:
        """Call code that returns elsewhere, and return the address behind the call."""
        self._go(_CALL, target, _DISTANCE)
        return self.here

    def jump(self, target: int) -> None:
        """Jump; that takes five bytes, however near it is."""
        self._go(_JUMP, target, _DISTANCE)

    def jump_if_carry(self, target: int) -> None:
        """Jump if the carry flag is set, up to 128 bytes back."""
        self._go(_NEAR_JUMP_IF_CARRY, target, _NEAR_DISTANCE)

    def ret(self) -> None:
        """Return."""
        self.add(_RETURN)

    def _go(self, operation: bytes, target: int, field: struct.Struct) -> None:
        distance = target - (self.here + len(operation) + field.size)
        try:
            self.add(operation + field.pack(distance))
        except struct.error as error:
            raise OverflowError(f"{target:#x} is too far away from {self.here:#x}") from error
