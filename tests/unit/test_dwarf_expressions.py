"""DWARF integers and expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.errors import ElfError
from gdbleak.unwinding.dwarf_expressions import Cursor, UnknownValueError, evaluate

REGISTERS = {6: 0x6000, 7: 0x7000, 16: 0x1234, 40: 0x4000}
MEMORY = {0x7000: 0x1122334455667788, 0x7008: 0xFF}
ALL_ONES = 2**64 - 1


def read_memory(address: int, size: int) -> int:
    """Read one of the words of MEMORY, or its lowest bytes."""
    if address not in MEMORY:
        raise UnknownValueError(hex(address))
    return MEMORY[address] & ((1 << (8 * size)) - 1)


@pytest.mark.parametrize(
    ("encoded", "unsigned", "signed"),
    [
        # The examples of DWARF 5, tables 7.7 and 7.8.
        ("02", 2, 2),
        ("7f", 127, -1),
        ("8001", 128, 128),
        ("8101", 129, 129),
        ("b964", 12857, 12857 - (1 << 14)),
        ("7e", 126, -2),
        ("ff00", 127, 127),
        ("807f", 16256, -128),
    ],
)
def test_leb128(encoded: str, unsigned: int, signed: int) -> None:
    assert Cursor(bytes.fromhex(encoded)).uleb128() == unsigned
    assert Cursor(bytes.fromhex(encoded)).sleb128() == signed


def test_cursor_reads_in_order_and_knows_its_address() -> None:
    cursor = Cursor(bytes.fromhex("fe ff 02 aabb 7a5200 01"), address=0x100)
    assert cursor.integer(2, signed=True) == -2
    assert cursor.block() == b"\xaa\xbb"
    assert cursor.string() == b"zR"
    assert cursor.address == 0x108
    assert not cursor.is_at_end
    cursor.jump(-3)
    assert cursor.integer(4) == 0x0100527A
    assert cursor.is_at_end


@pytest.mark.parametrize(
    "read",
    [
        lambda cursor: cursor.take(4),
        lambda cursor: cursor.take(-1),
        lambda cursor: cursor.integer(8),
        lambda cursor: cursor.uleb128(),
        lambda cursor: cursor.string(),
        lambda cursor: cursor.jump(-1),
        lambda cursor: cursor.jump(4),
    ],
)
def test_cursor_stays_inside(read) -> None:
    with pytest.raises(ElfError):
        read(Cursor(b"\xff\xff\xff"))


def test_leb128_that_does_not_end() -> None:
    with pytest.raises(ElfError, match="does not end"):
        Cursor(b"\x80" * 1000).uleb128()


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        # literals and constants
        ("30", 0),
        ("4f", 31),
        ("08 ff", 0xFF),
        ("09 ff", ALL_ONES),
        ("0a ffff", 0xFFFF),
        ("0b feff", ALL_ONES - 1),
        ("0c ffffffff", 0xFFFFFFFF),
        ("0d ffffffff", ALL_ONES),
        ("0e 8877665544332211", 0x1122334455667788),
        ("0f ffffffffffffffff", ALL_ONES),
        ("10 8001", 128),
        ("11 7f", ALL_ONES),
        # registers
        ("77 08", 0x7008),
        ("76 78", 0x6000 - 8),
        ("92 28 08", 0x4008),
        # memory
        ("77 00 06", 0x1122334455667788),
        ("77 00 94 02", 0x7788),
        # the stack
        ("31 32 12 22", 4),
        ("31 32 13", 1),
        ("31 32 14", 1),
        ("31 32 33 15 02", 1),
        ("31 32 15 00", 2),
        ("31 33 16 1c", 2),
        # arithmetic, modulo 2**64
        ("33 35 1a", 1),
        ("33 35 1c", ALL_ONES - 1),
        ("33 35 1e", 15),
        ("11 7f 32 1e", ALL_ONES - 1),
        ("33 35 21", 7),
        ("11 7f 32 22", 1),
        ("33 35 27", 6),
        ("31 1f", ALL_ONES),
        ("30 20", ALL_ONES),
        ("31 23 8001", 129),
        # shifts, also by too much
        ("33 34 24", 0x30),
        ("11 7f 08 3f 24", 1 << 63),
        ("31 11 7f 24", 0),
        ("08 30 34 25", 3),
        ("11 7f 08 40 25", 0),
        ("11 7e 31 26", ALL_ONES),
        ("11 7e 11 7f 26", ALL_ONES),
        # comparisons, which are signed
        ("33 33 29", 1),
        ("33 34 29", 0),
        ("33 34 2e", 1),
        ("33 11 7f 2a", 1),
        ("33 33 2a", 1),
        ("11 7f 33 2b", 0),
        ("11 7f 33 2c", 1),
        ("11 7f 33 2d", 1),
        ("33 33 2d", 0),
        # control
        ("31 2f 0100 35", 1),
        ("31 30 28 0100 36", 6),
        ("31 32 28 0100 36", 1),
        # what binutils writes for the procedure linkage table
        ("77 08 80 00 3f 1a 3b 2a 33 24 22", 0x7008),
        # what gcc writes behind a realigned stack (but for the register)
        ("77 7f 23 01 06", 0x1122334455667788),
    ],
)
def test_operators(encoded: str, expected: int) -> None:
    assert evaluate(bytes.fromhex(encoded), REGISTERS, read_memory) == expected


def test_finds_what_was_put_on_the_stack() -> None:
    assert evaluate(bytes.fromhex("23 08"), {}, read_memory, 0x100) == 0x108
    assert evaluate(b"", {}, read_memory, 0x100) == 0x100


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "22",
        "31 22",
        "31 32 15 02",
        "31 16",
        "73 00",  # rbx, which is not in REGISTERS
        "92 63 00",
        "30 06",
        "77 00 94 09",
        "03 0000000000000000",  # addr: a link-time address is none of the process's
        "9c",  # call_frame_cfa
        "ff",
        "2f fdff",  # a loop
        "31 12 28 fcff",  # a loop that grows
    ],
)
def test_values_that_cannot_be_had(encoded: str) -> None:
    with pytest.raises(UnknownValueError):
        evaluate(bytes.fromhex(encoded), REGISTERS, read_memory)


@pytest.mark.parametrize("encoded", ["77", "08", "2f 00", "2f 0100", "77 80"])
def test_damage(encoded: str) -> None:
    with pytest.raises(ElfError):
        evaluate(bytes.fromhex(encoded), REGISTERS, read_memory)


@given(st.binary(max_size=64))
def test_random_bytes_give_a_word_or_an_expected_error(expression: bytes) -> None:
    try:
        value = evaluate(expression, REGISTERS, lambda _address, _size: 0x7000)
    except (UnknownValueError, ElfError):
        return
    assert 0 <= value <= ALL_ONES
