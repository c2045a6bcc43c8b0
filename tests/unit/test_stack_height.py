"""Rows that follow from code: what real instructions do, one function end at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from gdbleak.architectures.x86_64_frames import (
    RBP,
    REGISTER_NUMBERS,
    RIP,
    RSP,
    ends_in_call,
    iter_referred,
)
from gdbleak.elf.image import ElfImage
from gdbleak.unwinding import stack_height
from gdbleak.unwinding.code_map import CodeMap
from gdbleak.unwinding.dwarf_expressions import UnknownValueError
from gdbleak.unwinding.frame_recovery import StackMemory, recover_caller
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind
from gdbleak.unwinding.stack_height import FRAME_POINTER_ROW, StackHeights
from gdbleak.unwinding.x86_64_signals import SIGNAL_RETURN_ROW, is_signal_return

LOST = Rule(RuleKind.UNDEFINED)


@pytest.fixture(scope="module")
def image(build_target: Callable[..., Path]) -> ElfImage:
    # The linker refuses a relative call of what another library may define.
    return ElfImage(str(build_target("unwind_heights.S", "-shared", "-nostdlib", "-g0")))


@pytest.fixture(scope="module")
def labels(image: ElfImage) -> dict[str, int]:
    with Path(image.path).open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        return {symbol.name: symbol["st_value"] for symbol in symbols}


def row(register: int, offset: int, **rules: int | Rule) -> Row:
    """Return a row; a number is where, from the CFA, a register was saved."""
    wanted = {
        REGISTER_NUMBERS[name]: rule if isinstance(rule, Rule) else Rule(RuleKind.OFFSET, rule)
        for name, rule in rules.items()
    }
    return Row(RegisterOffset(register, offset), {RIP: Rule(RuleKind.OFFSET, -8), **wanted}, False)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("add_and_pop", [row(RSP, 48, rbx=-24, rbp=-16)]),
        ("lea_and_move", [row(RSP, 48, rbx=-40)]),
        ("leaves", [row(RBP, 16, rbx=-24, rbp=-16), FRAME_POINTER_ROW]),
        (
            "from_frame_pointer",
            [row(RBP, 16, rbx=-32, r12=-24, rbp=-16), FRAME_POINTER_ROW],
        ),
        ("two_ways", [row(RSP, 24, rbx=-16)]),
        ("loop", [row(RSP, 16, rbx=-16)]),
        ("pushed_arguments", [row(RSP, 32, rbx=-16)]),
        ("saves_again", [row(RSP, 16)]),
        ("tail_call", [row(RSP, 16)]),
        ("tail_call_through_slot", [row(RSP, 16, rbx=-16)]),
        ("behind_abort", [row(RSP, 16, rbx=-16)]),
        ("never_back", []),
        ("switches", []),
        ("switches_with_frame", [FRAME_POINTER_ROW]),
        ("disagree", []),
        ("saved_in_two_places", [row(RSP, 32, rbx=LOST)]),
        ("lost", [row(RSP, 8, rbx=LOST, rbp=LOST)]),
        ("unknown_height", []),
        ("writes_its_return_address", []),
        ("overwrites_what_it_saved", [row(RSP, 16, rbx=LOST)]),
        ("returns_and_takes_arguments", []),
        ("endless", []),
    ],
)
def test_ends_of_functions(
    image: ElfImage, labels: dict[str, int], label: str, expected: list[Row]
) -> None:
    rows = StackHeights(CodeMap(image)).find_rows(labels[label], behind_call=True)
    assert list(rows) == expected


def test_behind_the_last_call_of_a_function_begins_another(
    image: ElfImage, labels: dict[str, int]
) -> None:
    """Unless a signal interrupted there: then it is that function which goes on."""
    heights = StackHeights(CodeMap(image))
    address = labels["next_function"]
    assert heights.find_rows(address, behind_call=True) == ()
    assert heights.find_rows(address, behind_call=False) == (row(RSP, 8),)


def test_too_long_a_way_is_not_followed(
    image: ElfImage, labels: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_height, "_MAX_INSTRUCTIONS", 3)
    heights = StackHeights(CodeMap(image))
    assert heights.find_rows(labels["add_and_pop"], behind_call=True) == ()


def test_code_that_is_not_there(image: ElfImage) -> None:
    assert StackHeights(CodeMap(image)).find_rows(1 << 40, behind_call=True) == ()


@pytest.mark.parametrize(
    ("code", "is_call"),
    [
        ("e8 00000000", True),
        ("e9 00000000", False),
        ("ff d0", True),  # call *%rax
        ("41 ff d4", True),  # call *%r12
        ("ff e0", False),  # jmp *%rax
        ("ff 10", True),  # call *(%rax)
        ("ff 14 24", True),  # call *(%rsp)
        ("ff 14 c5 00000000", True),  # call *table(,%rax,8)
        ("ff 50 18", True),  # call *24(%rax)
        ("ff 54 24 08", True),  # call *8(%rsp)
        ("ff 15 00000000", True),  # call *slot(%rip)
        ("ff 25 00000000", False),  # jmp *slot(%rip)
        ("ff 90 00010000", True),  # call *256(%rax)
        ("ff 94 24 00010000", True),  # call *256(%rsp)
        ("ff 50", False),  # cut off
        ("c3", False),
        ("", False),
    ],
)
def test_call_instructions(code: str, is_call: bool) -> None:
    assert ends_in_call(bytes.fromhex(code)) == is_call
    assert ends_in_call(b"\x90" * 7 + bytes.fromhex(code)) == is_call


def test_references_within_code() -> None:
    # call +2; lea 0(%rip), %rdi; call far out
    code = bytes.fromhex("e802000000 488d3d00000000 e8ffffff7f")
    assert list(iter_referred(code)) == [7, 12]


def test_registers_of_an_interrupted_thread() -> None:
    context = struct.pack("<22Q", *range(5), *range(100, 117))
    memory = StackMemory(context, 0x7000)
    found = recover_caller(SIGNAL_RETURN_ROW, {RSP: 0x7000, RIP: 1}, memory, RSP)
    names = [f"r{number}" for number in range(8, 16)]
    names += ["rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip"]
    assert found == {REGISTER_NUMBERS[name]: 100 + i for i, name in enumerate(names)}


def test_registers_of_an_interrupted_thread_that_were_not_recorded() -> None:
    with pytest.raises(UnknownValueError):
        recover_caller(
            SIGNAL_RETURN_ROW, {RSP: 0x7000, RIP: 1}, StackMemory(bytes(160), 0x7000), RSP
        )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("48c7c00f000000 0f05 90", True),
        ("b80f000000 0f05", True),
        ("b810000000 0f05", False),
        ("b80f000000 0f", False),
    ],
)
def test_what_signal_handlers_return_to(code: str, expected: bool) -> None:
    assert is_signal_return(bytes.fromhex(code)) == expected
