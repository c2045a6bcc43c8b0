"""Call frame information for debuggers: entries of both formats, then a whole file."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.architectures.x86_64_frames import RIP, RSP
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.unwinding.cfi import UnwindTable
from gdbleak.unwinding.debug_frame import DebugFrame
from gdbleak.unwinding.frame_rows import RegisterOffset, Row, Rule, RuleKind

CODE, CODE_SIZE = 0x1000, 0x100
# code and data alignment 1 and -8, return address; def_cfa rsp, 8; offset rip, 1
INITIAL = bytes.fromhex("0178 10 0c0708 9001")
NO_TABLES = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]


def entry(field: int, content: bytes, wide: bool = False) -> bytes:
    """Return a CIE or FDE; `wide` is 64-bit DWARF."""
    content = struct.pack("<Q" if wide else "<I", field) + content
    content += bytes(-len(content) % 8)
    head = struct.pack("<IQ", 0xFFFFFFFF, len(content)) if wide else struct.pack("<I", len(content))
    return head + content


def common(version: int = 3, augmentation: bytes = b"", sizes: bytes = b"", wide: bool = False):
    content = bytes([version]) + augmentation + b"\0" + sizes + INITIAL
    return entry(2**64 - 1 if wide else 0xFFFFFFFF, content, wide)


def function(start: int = CODE, instructions: bytes = b"", wide: bool = False, cie: int = 0):
    return entry(cie, struct.pack("<QQ", start, CODE_SIZE) + instructions, wide)


def row(offset: int = 8, signal: bool = False) -> Row:
    return Row(RegisterOffset(RSP, offset), {RIP: Rule(RuleKind.OFFSET, -8)}, signal)


def find_row(content: bytes, address: int) -> Row | None:
    found = DebugFrame(content).find_function(address)
    return found and found.find_row(address)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("version", [1, 3, 4])
def test_versions(version: int, wide: bool) -> None:
    sizes = b"\x08\x00" if version == 4 else b""
    content = common(version, b"", sizes, wide) + function(CODE, b"\x50\x0e\x10", wide)
    found = [find_row(content, CODE + offset) for offset in (-1, 0, 16, 0xFF, 0x100)]
    assert found == [None, row(), row(16), row(16), None]


def test_signal_frame() -> None:
    assert find_row(common(augmentation=b"S") + function(), CODE) == row(signal=True)


def test_finds_the_function_among_several_in_no_order() -> None:
    content = common()
    for number, start in enumerate((CODE + 0x400, 0, CODE, CODE + 0x200)):
        content += function(start, bytes([0x0E, 16 + 8 * number]))
    found = [find_row(content, CODE + offset) for offset in range(0, 0x600, 0x100)]
    assert [f and f.cfa.offset for f in found] == [32, None, 40, None, 16, None]


@pytest.mark.parametrize("end", range(0, 60, 4))
def test_what_stands_before_the_damage_is_kept(end: int) -> None:
    content = common() + function()
    assert find_row(content + function(CODE + 0x200)[:end], CODE) == row()


@pytest.mark.parametrize(
    "content",
    [
        common(version=2) + function(),
        common(version=4, sizes=b"\x04\x00") + function(),
        common(augmentation=b"eh") + function(),
        common() + function(cie=4),
        common() + function(cie=0x1000),
        common() + function(cie=len(common())),
    ],
)
def test_unknown_kinds(content: bytes) -> None:
    with pytest.raises(ElfError):
        find_row(content, CODE)


@given(st.binary(max_size=200))
def test_random_content(content: bytes) -> None:
    with suppress(ElfError):
        find_row(common() + content, CODE)


@pytest.mark.parametrize("flags", [["-g"], ["-gz"], ["-gdwarf64"]], ids=" ".join)
def test_every_row_is_as_pyelftools_has_it(
    build_target: Callable[..., Path], flags: list[str]
) -> None:
    path = build_target("unwind_ways.c", *NO_TABLES, *flags)
    table = UnwindTable(ElfImage(str(path)))
    with path.open("rb") as file:
        entries = ELFFile(file).get_dwarf_info().CFI_entries()
        functions = [fde for fde in entries if "address_range" in fde.header]
        assert len(functions) > 20
        for fde in functions:
            lines = fde.get_decoded().table
            for line in lines:
                found = table.find_row(line["pc"])
                assert found is not None
                assert found.cfa == RegisterOffset(line["cfa"].reg, line["cfa"].offset)
                offsets = {n: line[n].arg for n in line if n in range(RIP + 1)}
                assert {n: rule.number for n, rule in found.rules.items()} == offsets


def test_separate_debug_file(
    build_target: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build_target("unwind_ways.c", *NO_TABLES, "-Wl,--build-id")
    whole = ElfImage(str(path))
    build_id = whole.build_id
    assert build_id
    stripped, folder = tmp_path / "stripped", tmp_path / build_id[:2]
    shutil.copy(path, stripped)
    subprocess.run(["strip", stripped], check=True)
    with path.open("rb") as file:
        [main] = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name("main")
    address = main["st_value"]
    expected = UnwindTable(whole).find_row(address)
    assert expected is not None
    monkeypatch.setattr("gdbleak.elf.image.DEBUG_FILES", tmp_path)
    assert UnwindTable(ElfImage(str(stripped))).find_row(address) is None
    folder.mkdir()
    subprocess.run(
        ["objcopy", "--only-keep-debug", path, folder / f"{build_id[2:]}.debug"], check=True
    )
    assert UnwindTable(ElfImage(str(stripped))).find_row(address) == expected
