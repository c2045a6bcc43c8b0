"""x86-64 for the unwinder: its registers, and how its calls look.

Register numbers: System V ABI, AMD64 supplement, figure "DWARF Register Number Mapping"; who
saves them: the same, 3.2.1; encodings: Intel's manual, volume 2, 2.1 and CALL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gdbleak.architectures.model import FrameConvention

_NAMES = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp")
REGISTER_NUMBERS: Mapping[str, int] = {
    **{name: number for number, name in enumerate(_NAMES)},
    **{f"r{number}": number for number in range(8, 16)},
    "rip": 16,
}
RBP = REGISTER_NUMBERS["rbp"]
RSP = REGISTER_NUMBERS["rsp"]
RIP = REGISTER_NUMBERS["rip"]
CALLEE_SAVED = frozenset(
    REGISTER_NUMBERS[name] for name in ("rbx", "rbp", "r12", "r13", "r14", "r15")
)

_MAX_CALL_BYTES = 7
# call rel32, or lea disp32(%rip). The displacement is looked at and not consumed, because the next
# match may begin in it.
_REFERENCE = re.compile(rb"(?:\xe8|[\x48\x4c]\x8d[\x05\r\x15\x1d%\x2d\x35=])(?=(.{4}))", re.DOTALL)


def ends_in_call(code: bytes) -> bool:
    """Return whether the last bytes of `code` are a call instruction.

    >>> ends_in_call(bytes.fromhex("90 e8 00000000"))  # call rel32
    True
    >>> ends_in_call(bytes.fromhex("90 ff 15 00000000"))  # call *slot(%rip)
    True
    >>> ends_in_call(bytes.fromhex("90 ff 25 00000000"))  # jmp *slot(%rip)
    False

    """
    if code[-5:-4] == b"\xe8":
        return True
    return any(
        code[-size] == 0xFF and _size_of_indirect_call(code[1 - size :]) == size
        for size in range(2, min(_MAX_CALL_BYTES, len(code)) + 1)
    )


def iter_referred(code: bytes) -> Iterator[int]:
    """Yield the offsets in `code` that its instructions call or take the address of.

    Bytes that only look like such an instruction hardly ever refer to the code.
    """
    for match in _REFERENCE.finditer(code):
        target = match.end() + 4 + int.from_bytes(match.group(1), "little", signed=True)
        if 0 <= target < len(code):
            yield target


def _size_of_indirect_call(operand: bytes) -> int:
    """Return the size of `ff /2` with the operand that begins so; 0 for another instruction."""
    mod, operation, rm = operand[0] >> 6, operand[0] >> 3 & 7, operand[0] & 7
    if operation != 2:
        return 0
    size = 2
    if mod == 3:
        return size
    if rm == 4:  # a SIB byte follows
        size += 1
        rm = operand[1] & 7 if len(operand) > 1 else rm
    return size + {0: 4 if rm == 5 else 0, 1: 1, 2: 4}[mod]


X86_64_FRAMES = FrameConvention(
    numbers=REGISTER_NUMBERS,
    stack_pointer=RSP,
    frame_pointer=RBP,
    return_address=RIP,
    callee_saved=CALLEE_SAVED,
    has_link_register=False,
    signs_addresses=False,
    ends_in_call=ends_in_call,
)
