"""Instructions at another address: what they look like there, and what cannot be moved."""

from __future__ import annotations

import pytest

from gdbleak.architectures.x86_64_decoder import X86Decoder
from gdbleak.architectures.x86_64_moving import (
    UnmovableError,
    move,
    reaches,
    read_whole,
)

AT, TO = 0x7F00_0000_1000, 0x7F00_0010_0000


def whole(code, at=AT, least_bytes=5):
    """Return the code of the whole instructions that a jump covers."""
    decoder = X86Decoder(lambda address, size: code[address - at :][:size])
    return b"".join(bytes(found.bytes) for found in read_whole(decoder, at, least_bytes))


def listed(code, at):
    """Return the text of each instruction; what they refer to is written as an address."""
    start, end, texts = at, at + len(code), []
    decoder = X86Decoder(lambda address, size: code[address - start :][:size])
    while at < end:
        found = decoder.disassemble(at)
        assert found is not None
        at += found.size
        operands = found.op_str
        if "rip" in operands:
            sign = "-" if found.disp < 0 else "+"
            operands = operands.replace(f"rip {sign} {abs(found.disp):#x}", hex(at + found.disp))
        texts.append(f"{found.mnemonic} {operands}".strip())
    return texts


COVERED = {
    "pushes": ("4154 55 53 4889fb 4883ec10", 7),
    "exactly five bytes": ("4155 4889f8 4154", 5),
    "a long branch": ("4885ff 0f84bc000000 55", 9),
    "a short branch": ("4885ff 7871 55", 5),
    "a jump alone": ("e96b190000 cc", 5),
    "what a program's variable says": ("803d0102140000 4154", 7),
    "a load": ("488b0509811400 55", 7),
    "a call that is the last": ("53 e88a390000 4889c7", 6),
    "a jump behind an instruction": ("31c9 e9000000ff cc", 7),
}


@pytest.mark.parametrize("name", COVERED)
def test_whole_instructions(name):
    text, size = COVERED[name]
    code = bytes.fromhex(text)
    assert whole(code) == code[:size]


@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("distance", [0x10_0000, -0x10_0000, 0x7000_0000])
def test_moved_instructions_do_the_same(name, distance):
    code = whole(bytes.fromhex(COVERED[name][0]))
    moved = move(code, AT, AT + distance)
    expected, found = listed(code, AT), listed(moved.code, AT + distance)
    if expected[-1].startswith("call"):
        back = AT + len(code)
        pushed, upper, jump = found[-3:]
        assert pushed == f"push {back & 0xFFFFFFFF:#x}"
        assert upper == f"mov dword ptr [rsp + 4], {back >> 32:#x}"
        found[-3:] = [jump.replace("jmp", "call")]
    assert found == expected


def test_places_of_the_instructions_behind_the_first():
    code = bytes.fromhex("4885ff 7871 55 803d0102140000")
    moved = move(code, AT, TO)
    # The branch is six bytes long in the copy.
    assert moved.places == ((AT + 3, TO + 3), (AT + 5, TO + 9), (AT + 6, TO + 10))
    assert len(moved.code) == 17


def test_what_does_not_depend_on_its_address_stays_as_it_is():
    code = bytes.fromhex("4154 55 53 4889fb")
    assert move(code, AT, TO).code == code


def test_a_displacement_before_an_operand():
    """`cmpb $7, x(%rip)`: the displacement does not end the instruction."""
    code = bytes.fromhex("803d0002000007")
    moved = move(code, AT, AT + 0x100).code
    assert moved == bytes.fromhex("803d0001000007")


def test_the_return_address_of_a_moved_call_has_all_its_bits():
    at = 0x7FFF_F7E0_1000  # the lower half begins with a one
    code = bytes.fromhex("53 e88a390000")
    assert listed(move(code, at, at + 0x1000).code, at + 0x1000)[1:3] == [
        "push -0x81feffa",
        "mov dword ptr [rsp + 4], 0x7fff",
    ]


REFUSED = {
    "a return": ("31c0 c3 90 90", "a return"),
    "a return that pops": ("31c0 c20800", "a return"),
    "a trap": ("4889f8 0f0b", "a trap"),
    "a breakpoint": ("cc 4889f8 55", "a trap"),
    "an interrupt": ("cd80 4889f8", "cannot be moved"),
    "a jump by a pointer": ("ff2500100000", "a jump by a pointer"),
    "a jump by a register": ("4889f8 ffe0", "a jump by a pointer"),
    "a call by a register": ("ffd0 4889f8", "`call rax` cannot be moved"),
    "a call by a pointer": ("ff1500100000", "cannot be moved"),
    "half of a call": ("e8", "not an instruction"),
    "a short jump": ("eb10 90 90 90", "a jump within its first 5 bytes"),
    "a loop": ("e2fe 90 90 90", "cannot be moved"),
    "a branch by rcx": ("e310 90 90 90", "cannot be moved"),
    "a branch that says what is likely": ("2e7410 90 90", "cannot be moved"),
    "the beginning of a transaction": ("c7f800000000", "cannot be moved"),
    "a system call": ("4889f8 0f05", "cannot be moved"),
    "what is relative to a half of rip": ("67488b0500100000", "cannot be moved"),
    "a branch to itself": ("4885ff 74fe 55", "branch to one of themselves"),
    "a branch to the beginning": ("4885ff 74fb 55", "branch to one of themselves"),
    "nothing": ("", "not an instruction"),
    "a part of one": ("4889f8 803d01", "not an instruction"),
    "bytes that are none": ("06 90 90 90 90", "not an instruction"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    text, reason = REFUSED[name]
    with pytest.raises(UnmovableError, match=reason):
        whole(bytes.fromhex(text))


def test_a_call_that_a_longer_jump_would_cover_with_what_follows():
    with pytest.raises(UnmovableError, match="a call within its first 6 bytes"):
        whole(bytes.fromhex("e800100000 55"), least_bytes=6)


@pytest.mark.parametrize(
    "code", ["488b0509811400", "0f84c0000000", "7471 90 90 90", "e96b190000", "e86b190000"]
)
@pytest.mark.parametrize("distance", [1 << 32, -(1 << 32), 0x7FFF_FFFF_0000])
def test_too_far(code, distance):
    with pytest.raises(UnmovableError, match="too far away"):
        move(bytes.fromhex(code), AT, AT + distance)


def test_how_far_a_jump_reaches():
    assert reaches(AT, AT + 5 + (1 << 31) - 1)
    assert not reaches(AT, AT + 5 + (1 << 31))
    assert reaches(AT, AT + 5 - (1 << 31))
    assert not reaches(AT, AT + 5 - (1 << 31) - 1)


def test_neither_can_bytes_be_moved_that_are_not_instructions():
    with pytest.raises(UnmovableError, match="not an instruction"):
        move(bytes.fromhex("4889f8 06"), AT, TO)
