"""The decoder of x86-64, and what must work without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gdbleak.architectures import X86_64
from gdbleak.architectures.decoder import Flow, Instruction

AT = 0x1000

INSTRUCTIONS = {
    "90": (1, Flow.NEXT),  # nop
    "c3": (1, Flow.RETURN),  # ret
    "f3c3": (2, Flow.RETURN),  # repz ret
    "c20800": (3, Flow.RETURN_AND_POP),  # ret $8
    "cb": (1, Flow.RETURN_AND_POP),  # lret
    "f4": (1, Flow.DEAD_END),  # hlt
    "0f0b": (2, Flow.DEAD_END),  # ud2
    "cc": (1, Flow.DEAD_END),  # int3
    "0000": (2, Flow.DEAD_END),  # between sections
    "e803000000": (5, Flow.CALL, 0x1008),  # call .+8
    "ffd0": (2, Flow.CALL),  # call *%rax
    "ff1502000000": (6, Flow.CALL, None, 0x1008),  # call *2(%rip)
    "eb06": (2, Flow.JUMP, 0x1008),  # jmp .+8
    "e903000000": (5, Flow.JUMP, 0x1008),
    "7406": (2, Flow.BRANCH, 0x1008),  # je .+8
    "e306": (2, Flow.BRANCH, 0x1008),  # jrcxz .+8
    "e206": (2, Flow.BRANCH, 0x1008),  # loop .+8
    "ffe0": (2, Flow.INDIRECT_JUMP),  # jmp *%rax
    "ff24c500100000": (7, Flow.INDIRECT_JUMP),  # jmp *table(,%rax,8)
    "ff2502000000": (6, Flow.INDIRECT_JUMP, None, 0x1008),  # jmp *2(%rip)
    "f2ff2501000000": (7, Flow.INDIRECT_JUMP, None, 0x1008),  # bnd jmp *1(%rip)
}


def decoder(code, reads=None):
    """Return a decoder of `code`, as if it stood at `AT`; `reads` gets where it was read."""

    def read(address, size):
        if reads is not None:
            reads.append(address)
        return code[address - AT :][:size]

    return X86_64.make_decoder(read)


@pytest.mark.parametrize(("code", "expected"), INSTRUCTIONS.items())
def test_instructions(code, expected):
    assert decoder(bytes.fromhex(code)).decode(AT) == Instruction(AT, *expected)


@pytest.mark.parametrize("code", ["", "06", "e8000000"])
def test_no_instruction(code):
    assert decoder(bytes.fromhex(code)).decode(AT) is None


def test_each_is_decoded_once():
    reads = []
    code = decoder(b"\x90\x06", reads)
    assert [code.decode(AT + n) for n in (0, 0, 1, 1)] == [(AT, 1, Flow.NEXT, None, None)] * 2 + [
        None
    ] * 2
    assert reads == [AT, AT + 1]


@pytest.mark.parametrize(
    ("code", "slot"),
    [
        ("ff2502000000", 0x1008),
        ("f30f1efaff2502000000", 0x100C),  # endbr64 before it
        ("f30f1efaf2ff2501000000", 0x100C),
        ("90ff2502000000", None),
        ("ff1502000000", None),  # a call
        ("ffe0", None),
        ("c3", None),
        ("f30f1efa", None),
        ("", None),
    ],
)
def test_stubs(code, slot):
    assert decoder(bytes.fromhex(code)).find_stub_slot(AT) == slot


@pytest.mark.parametrize(
    ("imported", "unloaded"),
    [
        ("gdbleak.renderers, gdbleak.recording.reader, gdbleak.report.reader", "unwinding"),
        ("gdbleak.safety.guard, gdbleak.safety.rescue", "unwinding"),
        ("gdbleak.api, gdbleak.follow.main", "architectures.x86_64_decoder"),
    ],
)
def test_what_decodes_no_code_does_not_load_capstone(imported, unloaded):
    """It takes a tenth of a second, and some processes of ours do nothing else that long."""
    code = f"import sys, {imported}\n"
    code += f"print([m for m in sys.modules if m.startswith(('capstone', 'gdbleak.{unloaded}'))])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")
