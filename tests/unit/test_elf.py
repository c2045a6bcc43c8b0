"""Reading of ELF files, compared with binutils; and damaged files, which must only be refused."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz import scaled

from gdbleak.architectures import X86_64
from gdbleak.elf.build_id import parse_build_id
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.unwinding.cfi import UnwindTable

SOURCE = """
#include <string.h>
int number = 42, zeros[5000];
int first(int x) { return x + number; }
__attribute__((noinline)) int second(int x) { return first(x) + zeros[x]; }
void *third(void *to, unsigned long size) { return memset(to, 1, size); }
"""


def readelf(*arguments):
    return subprocess.run(
        ["readelf", *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that makes a shared library with linker options."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "library.c").write_text(SOURCE)

    @functools.cache
    def build(*flags):
        path = folder / ("library" + "".join(re.sub(r"\W", "_", flag) for flag in flags))
        command = ["cc", "-O2", "-shared", "-fPIC", "-o", path, folder / "library.c", *flags]
        subprocess.run(command, check=True)
        return path

    return build


@pytest.fixture(scope="module")
def library(build):
    return build("-Wl,--build-id=sha1")


HASH_STYLES = ["gnu", "sysv", "both"]


@pytest.mark.parametrize("style", HASH_STYLES)
def test_find_function(build, style):
    path = build(f"-Wl,--hash-style={style}")
    symbols = {
        fields[7]: (int(fields[1], 16), int(fields[2]))
        for fields in (line.split() for line in readelf("-W", "--dyn-syms", path).splitlines())
        if len(fields) == 8 and fields[3] == "FUNC" and fields[6] != "UND"
    }
    image = ElfImage(str(path))
    for name in ("first", "second", "third"):
        found = image.find_function(name)
        assert (found.name, found.address, found.size) == (name, *symbols[name])


@pytest.mark.parametrize("style", HASH_STYLES)
@pytest.mark.parametrize("name", ["memset", "number", "nowhere", "", "né"])
def test_what_is_no_function_of_the_library(build, style, name):
    assert ElfImage(str(build(f"-Wl,--hash-style={style}"))).find_function(name) is None


@pytest.mark.parametrize(("strip", "found"), [([], True), (["-s"], False)])
def test_file_without_dynamic_symbols(tmp_path, strip, found):
    (tmp_path / "static.c").write_text("void _start(void) {}")
    path = tmp_path / "static"
    subprocess.run(
        ["cc", "-static", "-nostdlib", "-no-pie", *strip, "-o", path, tmp_path / "static.c"],
        check=True,
    )
    image = ElfImage(str(path))
    assert (image.find_function("_start") is not None) == found
    assert linked_functions(image) == {}


def test_stripped_file_has_the_functions_of_its_debug_file(tmp_path, monkeypatch):
    (tmp_path / "static.c").write_text("void hidden(void) {}\nvoid _start(void) { hidden(); }")
    path = tmp_path / "static"
    flags = ("-static", "-nostdlib", "-no-pie", "-Wl,--build-id")
    subprocess.run(["cc", *flags, "-o", path, tmp_path / "static.c"], check=True)
    whole = ElfImage(str(path)).find_function("hidden")
    build_id = ElfImage(str(path)).build_id
    folder = tmp_path / build_id[:2]
    folder.mkdir()
    debug_file = folder / f"{build_id[2:]}.debug"
    subprocess.run(["objcopy", "--only-keep-debug", path, debug_file], check=True)
    subprocess.run(["strip", path], check=True)
    assert ElfImage(str(path)).find_function("hidden") is None

    monkeypatch.setattr("gdbleak.elf.image.DEBUG_FILES", tmp_path)
    assert ElfImage(str(path)).find_function("hidden") == whole


@pytest.mark.parametrize("flag", ["sha1", "md5", "uuid", "none"])
def test_build_id(build, flag):
    path = build(f"-Wl,--build-id={flag}")
    said = re.search(r"Build ID: (\w+)", readelf("-n", path))
    assert ElfImage(str(path)).build_id == (said and said[1])
    assert (said is None) == (flag == "none")


def test_build_id_that_is_too_long_for_a_name(library, tmp_path):
    """It leads to the name of a debug file, which the kernel would refuse to look up."""
    path = tmp_path / "file"
    flags = ("-shared", "-fPIC", "-s", f"-Wl,--build-id=0x{'ab' * 150}")
    subprocess.run(["cc", *flags, "-o", path, library.parent / "library.c"], check=True)
    image = ElfImage(str(path))
    assert image.build_id == "ab" * 64
    assert image.debug_image is None
    assert image.find_function("second")


def test_build_id_of_memory_is_that_of_the_file(library):
    data = library.read_bytes()
    image = ElfImage(str(library))
    assert parse_build_id(data[:4096], lambda offset, size: data[offset:][:size]) == image.build_id


@pytest.mark.parametrize(
    "header", [b"", b"\x7fELF", b"\x7fELF\1\1" + bytes(80), b"\x7fELF\2\2" + bytes(80), b"MZ" * 99]
)
def test_no_build_id(header):
    assert parse_build_id(header, lambda *_: b"") is None


def test_segments_and_reading(library):
    data = library.read_bytes()
    image = ElfImage(str(library))
    loads = [
        [int(field, 16) for field in line.split()[1:6]]
        for line in readelf("-lW", library).splitlines()
        if line.split()[:1] == ["LOAD"]
    ]
    assert [(s.offset, s.address, s.file_size) for s in image.segments] == [
        (offset, address, size) for offset, address, _, size, _ in loads
    ]
    for offset, address, _, file_size, memory_size in loads:
        assert image.read(address, 16) == data[offset:][:16]
        assert image.read(address + file_size - 3, 16) == data[offset + file_size - 3 :][:3]
        assert image.read(address + file_size, 16) == b"", "not in the file"
        assert image.address_of(offset) == address
        if memory_size > file_size:
            assert image.read(address + memory_size, 1) == b""
    assert image.read(1 << 40, 16) == image.read(-8, 4) == b""
    assert image.address_of(1 << 40) == 0


def test_code_is_what_can_be_executed(library):
    image = ElfImage(str(library))
    loads = [line.split() for line in readelf("-lW", library).splitlines() if "LOAD" in line]
    assert [segment.executable for segment in image.segments] == ["E" in load for load in loads]
    for segment in image.segments:
        expected = image.read(segment.address, 16) if segment.executable else b""
        assert image.read_code(segment.address, 16) == expected


def test_find_section(library):
    image = ElfImage(str(library))
    section = image.find_section(".dynstr")
    assert b"\0second\0" in section.content
    assert image.read(section.address, len(section.content)) == section.content
    assert image.find_section(".bss").content == image.find_section(".none").content == b""


def test_search(library):
    assert ElfImage(str(library)).search(re.compile(rb"(GCC: \S+)")) in library.read_bytes()
    assert ElfImage(str(library)).search(re.compile(rb"(no such tex)t")) is None


def linked_functions(image):
    """Return the slots as the plan asks for them: relocations of x86-64."""
    return image.read_linked_functions(
        X86_64.slot_relocations, X86_64.resolver_relocation, ["memset"]
    )


def test_linked_functions(library):
    slots = {
        int(line.split()[0], 16): line.split()[4]
        for line in readelf("-rW", library).splitlines()
        if "GLOB_DAT" in line or "JUMP_SLO" in line
    }
    assert {address: name.split("@")[0] for address, name in slots.items()} == {
        address: name
        for address, name in linked_functions(ElfImage(str(library))).items()
        if address in slots
    }
    assert "memset" in linked_functions(ElfImage(str(library))).values()


def test_unwind_table_knows_every_function(library):
    image = ElfImage(str(library))
    function = image.find_function("second")
    extent = UnwindTable(image).find_extent(function.address)
    assert extent == range(function.address, function.address + function.size)


@pytest.mark.parametrize(
    "contents",
    [b"", b"text", b"\x7fELF", b"\x7fELF" + bytes(3), b"\x7fELF\2\1\1" + bytes(9), b"#!/bin/sh\n"],
)
def test_not_an_elf_file(tmp_path, contents):
    path = tmp_path / "file"
    path.write_bytes(contents)
    with pytest.raises(ElfError, match=str(path)):
        ElfImage(str(path))


def test_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none", Path("/dev/null")):
        with pytest.raises(ElfError, match=str(path)):
            ElfImage(str(path))


def use(path):
    """Ask everything of a file."""
    image = ElfImage(str(path))
    for name in ("first", "memset", "nowhere"):
        image.find_function(name)
    for slot in linked_functions(image):
        image.read(slot, 8)
    image.address_of(0x1000)
    assert image.build_id is None or image.build_id.isalnum() or image.build_id == ""
    table = UnwindTable(image)
    for address in range(0x1000, 0x1200, 16):
        table.find_extent(address)
        table.find_row(address)


def test_the_file_is_sound_before_it_is_damaged(library):
    use(library)


@functools.cache
def find_dynamic_section(path):
    """Return the offsets of the first and the last of its bytes."""
    dynamic = re.search(r"DYNAMIC +0x(\w+) \S+ \S+ 0x(\w+)", readelf("-lW", path))
    begin = int(dynamic[1], 16)
    return begin, begin + int(dynamic[2], 16) - 1


@given(data=st.data())
@settings(max_examples=scaled(150))
@pytest.mark.parametrize("style", HASH_STYLES)
def test_damaged(build, style, data):
    path = build(f"-Wl,--hash-style={style}", "-Wl,-z,noseparate-code", "-s")
    contents = bytearray(path.read_bytes())
    # Headers, tables and the dynamic section are where the damage tells.
    places = [(0, 0x400), (0, len(contents) - 1), find_dynamic_section(path)]
    position = st.sampled_from(places).flatmap(lambda place: st.integers(*place))
    values = st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
    for at, value in data.draw(st.lists(st.tuples(position, values), min_size=1, max_size=6)):
        contents[at] = value
    damaged = path.with_name(path.name + ".damaged")
    damaged.write_bytes(contents)
    try:
        use(damaged)
    except ElfError:
        return


@given(share=st.floats(0, 1))
@settings(max_examples=scaled(60))
def test_truncated(library, share):
    contents = library.read_bytes()
    path = library.with_name("truncated")
    path.write_bytes(contents[: int(share * len(contents))])
    try:
        use(path)
    except ElfError:
        return
