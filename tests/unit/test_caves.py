"""Room for the recorder: what is unused, where it is, and who can reach it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from inline_plans import BIAS, MappedFiles, map_files, plan, plan_of
from small_libraries import build_library, function, hidden
from support.gdbs import debian_root
from support.roots import HOST, LIBRARIES, library_of

from gdbleak.elf.image import ElfImage
from gdbleak.errors import InlineRefusedError
from gdbleak.inline.caves import LEAST_BYTES, find_caves
from gdbleak.inline.hooks import plan_inline
from gdbleak.plan.allocators import find_allocators
from gdbleak.recording.modules import ModuleMap
from gdbleak.target.modules import ModuleReader
from gdbleak.target.proc import Memory, read_mappings

PLAIN = "mov %rdi, %rax; mov %rsi, %rdx; ret"
PAIR = function("malloc", PLAIN) + function("free", PLAIN)
FULL = "    .text\n    .skip 4096 - 500\n"
"""Leaves less than a cave has to have."""


@pytest.fixture
def build(tmp_path):
    """Return a function that makes a library of a name."""

    def build(*functions, name="libsmall.so", flags=("-Wl,-Bsymbolic",)):
        folder = tmp_path / name
        folder.mkdir()
        return build_library(folder, *functions, flags=flags).rename(folder / name)

    return build


def caves_in(path, patches=(BIAS,)):
    memory, modules = map_files([path])
    [module] = modules
    return find_caves([(module, ElfImage(str(path)))], patches, memory)


def test_behind_the_code_of_a_small_library(build):
    path = build(PAIR)
    [code] = [segment for segment in ElfImage(str(path)).segments if segment.executable]
    [cave] = plan_of(path).caves
    end = BIAS + code.address + code.file_size
    assert cave.address == end + -end % 16
    assert (cave.address + len(cave.original)) % 4096 == 0
    assert cave.original == bytes(len(cave.original))
    assert cave.path == str(path)


def test_what_follows_in_the_file_is_known(build):
    """With the segments packed, the rest of the page is a copy of what is used elsewhere."""
    path = build(PAIR, flags=("-Wl,-Bsymbolic,-z,noseparate-code",))
    [code] = [segment for segment in ElfImage(str(path)).segments if segment.executable]
    [cave] = caves_in(path)
    offset = cave.address - BIAS - code.address + code.offset
    assert any(cave.original)
    assert cave.original == path.read_bytes()[offset:][: len(cave.original)].ljust(
        len(cave.original), b"\0"
    )


def test_the_largest_is_the_first(build):
    first = build(PAIR, FULL, "    .skip 300\n")
    memory, modules = map_files(
        [
            first,
            build("    .skip 2000\n", name="libc.so.6", flags=("-Wl,-soname,libc.so.6",)),
            build("    .skip 1000\n", name="ld-linux-x86-64.so.2", flags=()),
            build("    .skip 10\n", name="libother.so", flags=()),
        ]
    )
    found = plan(memory, modules).caves
    names = [Path(cave.path).name for cave in found]
    assert names == ["ld-linux-x86-64.so.2", "libc.so.6"]
    assert [len(cave.original) for cave in found] == [4096 - 1008, 4096 - 2000]


def test_the_room_of_the_program(build, tmp_path):
    program = tmp_path / "program"
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-o", program, tmp_path / "main.c"], check=True)
    [cave] = plan_of(build(PAIR, FULL), program).caves
    assert cave.path == str(program)


def test_no_room_in_a_library_that_can_be_started_too(build):
    """It may be unmapped, unlike the program."""
    dynamic_linker = '    .section .interp, "a"\n    .asciz "/lib64/ld-linux-x86-64.so.2"\n'
    for flags, expected in (((), 1), (("-Wl,-soname,libcap.so.2",), 0)):
        other = build(dynamic_linker, "    .text\n    .skip 9\n", name=f"l{expected}", flags=flags)
        image = ElfImage(str(other))
        assert image.is_program == bool(expected)


@pytest.mark.parametrize("bias", [BIAS + (1 << 31), BIAS - (1 << 31) - 0x10000])
def test_room_that_is_too_far_away(build, bias):
    paths = [build(PAIR, FULL), build("    .skip 10\n", name="libc.so.6", flags=())]
    with pytest.raises(InlineRefusedError, match="no 1,536 unused bytes"):
        plan_of(*paths, places={"libc.so.6": bias})
    near = (1 << 31) - 0x10000
    assert plan_of(*paths, places={"libc.so.6": BIAS + near}).caves
    assert plan_of(*paths, places={"libc.so.6": BIAS - near}).caves


def test_room_that_something_else_is_in(build):
    memory, modules = map_files([build(PAIR)])
    [cave] = plan(memory, modules).caves
    memory.write(cave.address + 100, b"\x90")
    with pytest.raises(InlineRefusedError, match="no 1,536 unused bytes"):
        plan(memory, modules)


def test_room_that_is_not_mapped(build):
    memory, modules = map_files([build(PAIR)])
    [cave] = plan(memory, modules).caves
    cut = MappedFiles()
    cut.pages = [
        (start, content[: cave.address - start] if start <= cave.address else content)
        for start, content in memory.pages
    ]
    with pytest.raises(InlineRefusedError, match="no 1,536 unused bytes"):
        plan(cut, modules)


def test_a_segment_that_is_larger_in_memory(build):
    """What is behind it in its page is its own, though the file does not have it."""
    path = build(PAIR)
    data = bytearray(path.read_bytes())
    table = int.from_bytes(data[0x20:0x28], "little")
    for entry in range(table, table + 56 * data[0x38], 56):
        if data[entry : entry + 8] == b"\1\0\0\0\5\0\0\0":  # PT_LOAD, read and execute
            data[entry + 40 : entry + 48] = (4096).to_bytes(8, "little")
    path.write_bytes(data)
    assert caves_in(path) == ()


FINI = '    .section .fini, "ax"\n'
UNCALLED = '    .section __libc_freeres_fn, "ax"\n    .p2align 4\n'


def uncalled(*sizes):
    """Return the functions `free_mem_N` of a section that nobody calls."""
    bodies = (f"    .skip {size - 1}, 0x90\n    ret" for size in sizes)
    return UNCALLED + "".join(
        hidden(f"free_mem_{number}", body.strip()) for number, body in enumerate(bodies)
    )


CALLERS = {
    "nobody": ("", [(0, 3000)]),
    "each other": (UNCALLED + function("more", "call free_mem_0; jmp free_mem_1"), [(0, 3018)]),
    "another function": ("    .text\n" + function("more", "call free_mem_1; ret"), [(0, 2000)]),
    "a function that calls a further one": (
        "    .text\n"
        + function("more", "call with; ret")
        + UNCALLED
        + hidden("with", "call free_mem_1; ret"),
        [(0, 2000)],
    ),
}


@pytest.mark.parametrize("name", CALLERS)
def test_functions_that_are_called_when_the_program_ends(build, name):
    others, expected = CALLERS[name]
    text = FULL + uncalled(2000, 20, 980) + others
    # The section is followed by what leaves no room at the end of the page.
    text += f"{FINI}    .skip 4096 - 3010 + 300, 0x90\n"
    path = build(PAIR, text)
    start = ElfImage(str(path)).find_section("__libc_freeres_fn").address + BIAS
    found = [(cave.address - start, len(cave.original)) for cave in caves_in(path)]
    assert [(offset, size) for offset, size in found] == expected


@pytest.mark.parametrize(("size", "sections"), [(1000, []), (2000, [2100])])
def test_the_section_where_an_end_of_a_segment_may_be_too_small(build, size, sections):
    """The end of a segment, which leaves a page but for `size` bytes, comes first, and may do."""
    path = build(PAIR, f"{uncalled(2100)}{FINI}\n    .skip {size} - 2200 + 4096\n")
    [code] = [segment for segment in ElfImage(str(path)).segments if segment.executable]
    rest, *others = [len(cave.original) for cave in caves_in(path)]
    assert rest == -(code.address + code.file_size) % 4096 // 16 * 16
    assert others == sections


@pytest.mark.parametrize("suite", LIBRARIES)
def test_c_libraries(suite):
    """Near each C library there is room, if only in its dynamic linker."""
    path = find_libc() if suite == HOST else library_of(debian_root(suite)).resolve()
    [loader] = path.parent.glob("ld-linux-x86-64.so.2")
    found = plan_of(path, loader).caves
    assert found
    assert len(found[0].original) > 3000
    assert all(len(cave.original) >= LEAST_BYTES for cave in found)
    # Even the library alone has some.
    assert plan_of(path).caves


def find_libc():
    paths = (Path(mapping.path) for mapping in read_mappings(os.getpid()) if mapping.executable)
    return next(path for path in paths if re.match(r"libc[.-]", path.name))


@pytest.mark.parametrize("flag", ["-static", "-static-pie"])
def test_a_static_program(build_target, flag):
    found = plan_of(build_target("exact.cpp", flag)).caves
    assert found


def test_room_in_a_process():
    """What is planned for a running process lies in its executable memory."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"ready\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        mappings = read_mappings(process.pid)
        with Memory(process.pid) as memory:
            reader = ModuleReader(process.pid, memory)
            modules = reader.read(mappings)
            found = plan_inline(find_allocators(modules), memory, modules)
            for cave in found.caves:
                [line] = [m for m in mappings if m.start <= cave.address < m.end]
                assert line.executable
                assert line.path == cave.path
                assert cave.address + len(cave.original) == line.end
                assert memory.read(cave.address, len(cave.original)) == cave.original
            for hook in found.hooks:
                assert memory.read(hook.patch, len(hook.code)) == hook.code
            assert isinstance(modules, ModuleMap)
            reader.close()
        process.communicate()
    assert len({cave.path for cave in found.caves}) == 2
