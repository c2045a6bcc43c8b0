"""Call frame information: instructions and encodings one by one, then whole files."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.architectures.x86_64_frames import RBP, REGISTER_NUMBERS, RIP, RSP
from gdbleak.effort import Effort
from gdbleak.elf.file import Section
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.unwinding.cfi import UnwindTable
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind

RBX = REGISTER_NUMBERS["rbx"]
CODE = 0x1000
CODE_SIZE = 0x100
HEADER = 0x4000
FRAMES = 0x5000

# def_cfa rsp, 8; offset rip, 1
INITIAL = bytes.fromhex("0c0708 9001")
RETURN_ADDRESS = {RIP: Rule(RuleKind.OFFSET, -8)}
ENTRY = RegisterOffset(RSP, 8)


class Image:
    """The part of an ELF file that is looked at here."""

    path = "image"
    debug_image = None

    def __init__(
        self, header: bytes | None, frames: bytes, sections: Mapping[str, Section] | None = None
    ) -> None:
        self._sections = sections or {}
        self.eh_frame_hdr = None if header is None else (HEADER, len(header))
        self._parts = {HEADER: header or b"", FRAMES: frames}

    def read(self, address: int, size: int) -> bytes:
        """Read like ElfImage: up to the end of the part."""
        for start, content in self._parts.items():
            if 0 <= address - start < len(content):
                return content[address - start :][:size]
        return b""

    def spend(self, steps: int = 1, held_bytes: int = 0) -> None:
        """Spend nothing: what a test asks for is little."""

    def find_section(self, name: str) -> Section:
        """Find like ElfImage: an empty one for one that is not there."""
        return self._sections.get(name, Section())


def unwind_table(header: bytes | None, frames: bytes) -> UnwindTable:
    return UnwindTable(Image(header, frames))  # type: ignore[arg-type]


def entry(content: bytes) -> bytes:
    """Put the length before a CIE or FDE, and pad it with nops."""
    content += bytes(-len(content) % 4)
    return struct.pack("<I", len(content)) + content


def common(
    augmentation: bytes = b"zR",
    data: bytes = b"\x1b",
    instructions: bytes = INITIAL,
    version: int = 1,
    return_address: int = RIP,
) -> bytes:
    content = struct.pack("<IB", 0, version) + augmentation + b"\0"
    content += b"\x01\x78"  # code and data alignment 1 and -8
    content += bytes([return_address])
    if augmentation.startswith(b"z"):
        content += bytes([len(data)]) + data
    return entry(content + instructions)


def function(
    position: int,
    instructions: bytes = b"",
    start: bytes | None = None,
    size: bytes = struct.pack("<i", CODE_SIZE),
    augmentation: bytes = b"\0",
) -> bytes:
    """Return the FDE at `position` behind FRAMES, whose CIE is the first thing there."""
    if start is None:
        start = struct.pack("<i", CODE - (FRAMES + position + 8))
    return entry(struct.pack("<I", position + 4) + start + size + augmentation + instructions)


def search_table(*pairs: tuple[int, int]) -> bytes:
    """Return .eh_frame_hdr as every linker writes it."""
    return struct.pack("<4BiI", 1, 0x1B, 0x03, 0x3B, FRAMES - HEADER - 4, len(pairs)) + b"".join(
        struct.pack("<ii", code - HEADER, frame - HEADER) for code, frame in pairs
    )


# Without a table; the FDEs are to be looked for.
NO_TABLE = struct.pack("<4Bi", 1, 0x1B, 0xFF, 0xFF, FRAMES - HEADER - 4)


def one_function(instructions: bytes, cie: bytes | None = None) -> UnwindTable:
    cie = cie or common()
    frames = cie + function(len(cie), instructions)
    return unwind_table(search_table((CODE, FRAMES + len(cie))), frames)


def row(
    cfa: RegisterOffset | bytes = ENTRY, rules: dict[int, Rule] | None = None, signal: bool = False
) -> Row:
    return Row(cfa, {**RETURN_ADDRESS, **(rules or {})}, signal)


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ("", row()),
        ("00 00", row()),
        # the canonical frame address
        ("0e 10", row(RegisterOffset(RSP, 16))),
        ("0d 06", row(RegisterOffset(RBP, 8))),
        ("0c 06 10", row(RegisterOffset(RBP, 16))),
        ("12 06 7e", row(RegisterOffset(RBP, 16))),
        ("13 7e", row(RegisterOffset(RSP, 16))),
        ("0f 03 767806", row(bytes.fromhex("767806"))),
        ("0f 01 30 0c 07 10", row(RegisterOffset(RSP, 16))),
        # rules
        ("86 02", row(rules={RBP: Rule(RuleKind.OFFSET, -16)})),
        ("05 06 02", row(rules={RBP: Rule(RuleKind.OFFSET, -16)})),
        ("11 06 7e", row(rules={RBP: Rule(RuleKind.OFFSET, 16)})),
        ("2f 06 02", row(rules={RBP: Rule(RuleKind.OFFSET, 16)})),
        ("14 06 02", row(rules={RBP: Rule(RuleKind.VAL_OFFSET, -16)})),
        ("15 06 7e", row(rules={RBP: Rule(RuleKind.VAL_OFFSET, 16)})),
        ("07 06", row(rules={RBP: Rule(RuleKind.UNDEFINED)})),
        ("08 06", row(rules={RBP: Rule(RuleKind.SAME)})),
        ("09 10 05", row(rules={RIP: Rule(RuleKind.REGISTER, 5)})),
        ("10 06 02 7600", row(rules={RBP: Rule(RuleKind.EXPRESSION, 0, b"\x76\0")})),
        ("16 06 02 7600", row(rules={RBP: Rule(RuleKind.VAL_EXPRESSION, 0, b"\x76\0")})),
        ("86 02 c6", row()),
        ("86 02 06 06", row()),
        ("07 10 d0", row()),
        ("05 20 02 07 7f", row()),  # registers that nothing hangs on
        ("2e 8001", row()),
        # states
        ("0a 0e 10 86 02 0b", row()),
        ("0a 86 02 0a 83 03 0b", row(rules={RBP: Rule(RuleKind.OFFSET, -16)})),
        # locations: the row is asked for at byte 0x20
        ("0e 10 60 0e 18", row(RegisterOffset(RSP, 24))),
        ("0e 10 61 0e 18", row(RegisterOffset(RSP, 16))),
        ("02 20 0e 18", row(RegisterOffset(RSP, 24))),
        ("02 21 0e 18", row()),
        ("03 2000 0e 18", row(RegisterOffset(RSP, 24))),
        ("03 2100 0e 18", row()),
        ("04 20000000 0e 18", row(RegisterOffset(RSP, 24))),
        ("04 21000000 0e 18", row()),
        ("50 0e 10 50 0e 18 50 0e 20", row(RegisterOffset(RSP, 24))),
    ],
)
def test_instructions(instructions: str, expected: Row) -> None:
    assert one_function(bytes.fromhex(instructions)).find_row(CODE + 0x20) == expected


@pytest.mark.parametrize(("location", "offset"), [(CODE + 0x20, 24), (CODE + 0x21, 8)])
def test_set_loc(location: int, offset: int) -> None:
    cie = common()
    operand = FRAMES + len(cie) + 4 + 4 + 8 + 1 + 1
    instructions = b"\x01" + struct.pack("<i", location - operand) + b"\x0e\x18"
    found = one_function(instructions, cie).find_row(CODE + 0x20)
    assert found == row(RegisterOffset(RSP, offset))


@pytest.mark.parametrize(
    "instructions",
    [
        "0b",  # nothing was remembered
        "0f 01 30 0d 06",  # half of an expression
        "0f 01 30 0e 06",
        "0e",  # cut off
        "0f 7f 30",
        "3f",
    ],
)
def test_damaged_instructions(instructions: str) -> None:
    padded = bytes.fromhex(instructions)
    padded = bytes(-(len(padded) + 17) % 4) + padded  # no nops behind
    with pytest.raises(ElfError):
        one_function(padded).find_row(CODE)


def test_undefined_return_address_ends_the_stack() -> None:
    found = one_function(bytes.fromhex("50 07 10"))
    assert [found.find_row(CODE).ends_stack, found.find_row(CODE + 16).ends_stack] == [False, True]


@pytest.mark.parametrize(
    ("augmentation", "data", "is_signal_frame"),
    [
        (b"zR", b"\x1b", False),
        (b"zRS", b"\x1b", True),
        (b"zRB", b"\x1b", False),
        (b"zPLR", b"\x9b\1\2\3\4\x1b\x1b", False),
        (b"zPLR", b"\x03\1\2\3\4\x03\x1b", False),
        (b"zPR", b"\x00\1\2\3\4\5\6\7\x08\x1b", False),
        (b"zPR", b"\x01\x81\x01\x1b", False),
        (b"zPR", b"\x50" + b"\0" * (-(FRAMES + 18) % 8) + b"\1\2\3\4\5\6\7\x08\x1b", False),
        (b"zR", b"\x1b\1\2\3", False),
    ],
)
def test_augmentations(augmentation: bytes, data: bytes, is_signal_frame: bool) -> None:
    table = one_function(b"\x0e\x10", common(augmentation, data))
    assert table.find_row(CODE) == row(RegisterOffset(RSP, 16), signal=is_signal_frame)


@pytest.mark.parametrize(
    "cie",
    [
        common(b"zQR", b"\x1b"),
        common(b"eh", b""),
        common(version=2),
        common(return_address=8),
        common(data=b"\x3b"),
        common(data=b"\x0e"),
        common(data=b""),
        entry(struct.pack("<I", 12) + b"is not a CIE"),
    ],
)
def test_unknown_kinds_of_common_entry(cie: bytes) -> None:
    with pytest.raises(ElfError):
        one_function(b"", cie).find_row(CODE)


PC_RELATIVE = CODE - (FRAMES + len(common()) + 8)


@pytest.mark.parametrize("header", [search_table((CODE, FRAMES + len(common()))), NO_TABLE])
@pytest.mark.parametrize(
    ("encoding", "start", "size"),
    [
        (0x00, struct.pack("<Q", CODE), struct.pack("<Q", CODE_SIZE)),
        (0x01, b"\x80\x20", b"\x80\x02"),
        (0x02, struct.pack("<H", CODE), struct.pack("<H", CODE_SIZE)),
        (0x03, struct.pack("<I", CODE), struct.pack("<I", CODE_SIZE)),
        (0x04, struct.pack("<Q", CODE), struct.pack("<Q", CODE_SIZE)),
        (0x09, b"\x80\x20", b"\x80\x02"),
        (0x0A, struct.pack("<h", CODE), struct.pack("<h", CODE_SIZE)),
        (0x0B, struct.pack("<i", CODE), struct.pack("<i", CODE_SIZE)),
        (0x0C, struct.pack("<q", CODE), struct.pack("<q", CODE_SIZE)),
        (0x10, struct.pack("<Q", PC_RELATIVE % 2**64), struct.pack("<Q", CODE_SIZE)),
        (0x1A, struct.pack("<h", PC_RELATIVE), struct.pack("<h", CODE_SIZE)),
        (0x1B, struct.pack("<i", PC_RELATIVE), struct.pack("<i", CODE_SIZE)),
        (0x1C, struct.pack("<q", PC_RELATIVE), struct.pack("<q", CODE_SIZE)),
    ],
)
def test_encodings_of_addresses(header: bytes, encoding: int, start: bytes, size: bytes) -> None:
    cie = common(data=bytes([encoding]))
    frames = cie + function(len(cie), b"\x0e\x10", start, size)
    table = unwind_table(header, frames)
    expected = row(RegisterOffset(RSP, 16))
    assert [table.find_row(CODE + offset) for offset in (-1, 0, CODE_SIZE - 1, CODE_SIZE)] == [
        None,
        expected,
        expected,
        None,
    ]


def test_without_augmentation_addresses_are_absolute() -> None:
    cie = common(b"")
    start, size = struct.pack("<Q", CODE), struct.pack("<Q", CODE_SIZE)
    frames = cie + function(len(cie), b"\x0e\x10", start, size, augmentation=b"")
    assert unwind_table(NO_TABLE, frames).find_row(CODE) == row(RegisterOffset(RSP, 16))


def several_functions() -> tuple[bytes, dict[int, int]]:
    """Return frames of functions in no order, and entries by start."""
    frames = common()
    entries = {}
    for number, start in enumerate((CODE + 0x400, CODE, CODE + 0x200)):
        entries[start] = FRAMES + len(frames)
        encoded = struct.pack("<i", start - (FRAMES + len(frames) + 8))
        frames += function(len(frames), bytes([0x0E, 16 + 8 * number]), encoded)
    return frames, entries


@pytest.mark.parametrize("has_table", [True, False])
def test_finds_the_function_among_several(has_table: bool) -> None:
    frames, entries = several_functions()
    table = unwind_table(search_table(*sorted(entries.items())) if has_table else NO_TABLE, frames)
    found = {
        start - CODE: found and found.cfa.offset
        for start in range(CODE - 0x100, CODE + 0x600, 0x100)
        for found in [table.find_row(start)]
    }
    assert found == {
        -0x100: None,
        0x000: 24,
        0x100: None,
        0x200: 32,
        0x300: None,
        0x400: 16,
        0x500: None,
    }


def test_extent_of_a_function() -> None:
    table = one_function(b"")
    extent = range(CODE, CODE + CODE_SIZE)
    found = [table.find_extent(address) for address in (CODE - 1, CODE, extent[-1], extent.stop)]
    assert found == [None, extent, extent, None]


def test_a_scan_keeps_what_stands_before_the_damage() -> None:
    frames, entries = several_functions()
    last = entries[CODE + 0x200] - FRAMES
    damaged = frames[:last] + b"\xff\xff\xff\x7f" + frames[last + 4 :]
    table = unwind_table(NO_TABLE, damaged)
    assert table.find_row(CODE) is not None
    assert table.find_row(CODE + 0x200) is None


def test_a_scan_ends_at_the_terminator() -> None:
    frames, entries = several_functions()
    last = entries[CODE + 0x200] - FRAMES
    table = unwind_table(NO_TABLE, frames[:last] + bytes(4) + frames[last:])
    assert table.find_row(CODE) is not None
    assert table.find_row(CODE + 0x200) is None


def test_without_header_nothing_is_found() -> None:
    assert unwind_table(None, b"").find_row(CODE) is None


@pytest.mark.parametrize(
    "header",
    [
        b"",
        search_table((CODE, FRAMES + len(common())))[:-1],  # not all that the count announces
        search_table((CODE, FRAMES)),  # a CIE
        search_table((CODE, FRAMES - 4)),  # nothing
        search_table((CODE, FRAMES + 2)),  # the middle
    ],
)
def test_damaged_header(header: bytes) -> None:
    frames = common() + function(len(common()))
    with pytest.raises(ElfError):
        unwind_table(header, frames).find_row(CODE)


FUZZED = st.binary(max_size=200)


@given(FUZZED)
def test_random_instructions(instructions: bytes) -> None:
    assert_row_or_elf_error(one_function(instructions))


@given(FUZZED)
def test_random_initial_instructions(instructions: bytes) -> None:
    assert_row_or_elf_error(one_function(b"", common(instructions=instructions)))


@given(FUZZED, st.booleans())
def test_random_frames(frames: bytes, has_table: bool) -> None:
    header = search_table((CODE, FRAMES)) if has_table else NO_TABLE
    assert_row_or_elf_error(unwind_table(header, frames))


@given(FUZZED)
def test_random_header(header: bytes) -> None:
    assert_row_or_elf_error(unwind_table(header, common() + function(len(common()))))


@given(st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_byte(position: int, value: int) -> None:
    frames = bytearray(several_functions()[0] + bytes(4))
    frames[position % len(frames)] = value
    header = search_table(*sorted(several_functions()[1].items()))
    assert_row_or_elf_error(unwind_table(header, bytes(frames)))
    assert_row_or_elf_error(unwind_table(NO_TABLE, bytes(frames)))


def assert_row_or_elf_error(table: UnwindTable) -> None:
    for address in (CODE, CODE + CODE_SIZE - 1, CODE + 0x250):
        try:
            found = table.find_row(address)
        except ElfError:
            continue
        assert found is None or isinstance(found, Row)


def library(name: str) -> Callable[[Callable[..., Path]], Path]:
    """Return a file of the host, or skip."""

    def find(_build_target: Callable[..., Path]) -> Path:
        for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64"):
            if (path := Path(folder) / name).exists():
                return path
        pytest.skip(f"no {name} on this host")

    return find


MOST_FUNCTIONS = 1000
"""About so many of a file are compared, from all parts of it: pyelftools takes its time."""


@pytest.mark.parametrize(
    "find_file",
    [
        pytest.param(library("libc.so.6"), id="libc"),
        pytest.param(library("libstdc++.so.6"), id="libstdc++"),
        pytest.param(lambda build: build("unwind_shapes.cpp"), id="program"),
    ],
)
def test_every_row_is_as_pyelftools_has_it(
    find_file: Callable[..., Path], build_target: Callable[..., Path]
) -> None:
    path = find_file(build_target)
    assert_as_pyelftools(UnwindTable(ElfImage(str(path), Effort(steps=1 << 30))), path)


def test_every_row_is_found_without_a_table(build_target: Callable[..., Path]) -> None:
    path = build_target("unwind_shapes.cpp")
    assert_as_pyelftools(UnwindTable(ImageWithoutTable(str(path))), path)


class ImageWithoutTable(ElfImage):
    """A file whose .eh_frame_hdr only says where .eh_frame is."""

    def read(self, address: int, size: int) -> bytes:
        """Read, the encodings of count and table left out."""
        content = super().read(address, size)
        if self.eh_frame_hdr == (address, size):
            return content[:2] + b"\xff\xff" + content[4:8]
        return content


def assert_as_pyelftools(table: UnwindTable, path: Path) -> None:
    with path.open("rb") as file:
        entries = ELFFile(file).get_dwarf_info().EH_CFI_entries()
    functions = [fde for fde in entries if isinstance(fde, FDE) and fde["address_range"]]
    assert functions
    for fde in functions[:: len(functions) // MOST_FUNCTIONS + 1]:
        end = fde["initial_location"] + fde["address_range"]
        lines = expected_lines(fde)
        for (start, expected), (following, _) in zip(lines, [*lines[1:], (end, None)]):
            for address in {start, following - 1} if following > start else ():
                assert table.find_row(address) == expected, hex(address)


def expected_lines(fde: FDE) -> list[tuple[int, Row]]:
    """Return what pyelftools decodes, as rows of ours."""
    # It does not know DW_CFA_GNU_args_size, which says nothing about frames.
    for part in (fde.cie, fde):
        part.instructions = [i for i in part.instructions if i.opcode != 0x2E]
    is_signal_frame = b"S" in fde.cie["augmentation"]
    lines = []
    for line in fde.get_decoded().table or fde.cie.get_decoded().table:
        rules = {n: expected_rule(rule) for n, rule in line.items() if n in range(RIP + 1)}
        cfa = line["cfa"]
        expected_cfa = RegisterOffset(cfa.reg, cfa.offset) if cfa.expr is None else bytes(cfa.expr)
        lines.append((line["pc"], Row(expected_cfa, rules, is_signal_frame)))
    return lines


def expected_rule(rule) -> Rule:
    kind = RuleKind[{"SAME_VALUE": "SAME"}.get(rule.type, rule.type)]
    if kind in (RuleKind.EXPRESSION, RuleKind.VAL_EXPRESSION):
        return Rule(kind, expression=bytes(rule.arg))
    return Rule(kind, rule.arg or 0)
