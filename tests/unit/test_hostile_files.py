"""Files that were made to keep whoever reads them: refused soon, and within little memory."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from gdbleak.architectures import X86_64
from gdbleak.effort import Effort, EffortError
from gdbleak.elf.headers import MAX_SECTION_BYTES
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError, GdbleakError
from gdbleak.host.files import FileBytes, open_regular
from gdbleak.inline.hooks import plan_inline
from gdbleak.plan.allocator_names import name_allocator
from gdbleak.plan.allocators import Allocator
from gdbleak.plan.breakpoints import place_probes
from gdbleak.recording.functions import FAMILIES
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.unwinding.cfi import UnwindTable
from gdbleak.unwinding.code_map import CodeMap
from gdbleak.unwinding.code_walk import CodeWalk
from gdbleak.unwinding.debug_frame import DebugFrame

MOST_S = 10
MOST_BYTES = 512 << 20
BOMB_MIB = 600


def elf(segments=(), sections=(), section_count=None, sections_at=None, entry=62):
    """Return an ELF file: program headers, then section headers, then what each section holds.

    A segment is the fields of its header. A section is name, kind, flags and content.
    """
    names = b"\0" + b"".join(name + b"\0" for name, *_ in sections) + b".names\0"
    sections = [*sections, (b".names", 3, 0, names)] if sections else []
    table = 64 + 56 * len(segments)
    count = len(sections) + 1 if sections else 0
    place = table + 64 * count
    headers, contents = bytes(64) if sections else b"", b""
    for name, kind, flags, content in sections:
        at = names.index(name + b"\0")
        headers += struct.pack(
            "<IIQQQQIIQQ", at, kind, flags, 0, place + len(contents), len(content), 0, 0, 1, 24
        )
        contents += content
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\2\1\1", 3, entry, 1, 0, 64 if segments else 0),
        *(sections_at or (table if sections else 0), 0, 64, 56, len(segments), 64),
        *(count if section_count is None else section_count, max(count - 1, 0)),
    )
    return header + b"".join(struct.pack("<IIQQQQQQ", *s) for s in segments) + headers + contents


def load(offset, address, size, flags=5):
    return (1, flags, offset, address, address, size, size, 4096)


def compressed(content, size=None):
    said = len(content) if size is None else size
    return struct.pack("<IIQQ", 1, 0, said, 1) + zlib.compress(content)


def write(path, content, size=0):
    """Write a file; up to a size without taking room for it."""
    path.write_bytes(content)
    os.truncate(path, max(size, len(content)))
    return path


def ten_million_sections(path):
    first = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 10_000_000, 0, 0, 0, 0)
    content = elf([load(0, 0, 1 << 20)], sections_at=120, section_count=0) + first
    return write(path, content, 64 * 10_000_000 + 4096)


def many_sections(path):
    content = elf([load(0, 0, 1 << 20)], sections_at=120, section_count=65_000)
    return write(path, content, 64 * 65_000 + 4096)


def bomb(path):
    """As much as the memory bears, in a thousandth of it on disk."""
    one = zlib.compressobj()
    packed = b"".join(one.compress(bytes(1 << 20)) for _ in range(BOMB_MIB)) + one.flush()
    section = struct.pack("<IIQQ", 1, 0, BOMB_MIB << 20, 1) + packed
    return write(path, elf([load(0, 0, 4096)], [(b".debug_frame", 1, 0x800, section)]))


def bomb_that_lies(path):
    section = compressed(bytes(512 << 20), size=100)
    return write(path, elf([load(0, 0, 4096)], [(b".debug_frame", 1, 0x800, section)]))


def huge_symbol_table(path):
    section = (b".symtab", 2, 0, b"")
    content = bytearray(elf([load(0, 0, 4096)], [section, (b".strtab", 3, 0, b"\0malloc\0")]))
    table = 64 + 56 + 64
    struct.pack_into("<QQI", content, table + 24, 4096, 8 << 40, 2)
    return write(path, bytes(content), (8 << 40) - 8192)


def symbols_without_end(path):
    """Ten million functions, each of another address."""
    content = bytearray(
        elf([load(0, 0, 4096)], [(b".symtab", 2, 0, b""), (b".strtab", 3, 0, b"\0malloc\0" * 10)])
    )
    struct.pack_into("<QQI", content, 64 + 56 + 64 + 24, 4096, 24 * 10_000_000, 2)
    write(path, bytes(content))
    symbol = struct.Struct("<IBBHQQ")
    with path.open("r+b") as file:
        file.seek(4096)
        for start in range(0, 10_000_000, 1_000_000):
            file.write(
                b"".join(symbol.pack(1, 2, 0, 1, 16 * n, 0) for n in range(start, start + 1000))
            )
            file.seek(24 * 999_000, os.SEEK_CUR)
    return path


def names_without_end(path):
    strings = b"malloc\0" * 10_000_000
    sections = [(b".symtab", 2, 0, bytes(24 * 10)), (b".strtab", 3, 0, strings)]
    content = bytearray(elf([load(0, 0, 4096)], sections))
    struct.pack_into("<I", content, 64 + 56 + 64 + 40, 2)
    return write(path, bytes(content))


def dynamic(tags):
    table = b"".join(struct.pack("<QQ", *tag) for tag in tags) + bytes(16)
    at = 64 + 2 * 56
    segments = [load(0, 0, 8 << 40), (2, 6, at, at, at, len(table), len(table), 8)]
    return elf(segments) + table


def hash_without_end(path):
    content = dynamic([(6, 8192), (5, 4096), (10, 100), (0x6FFFFEF5, 12288)])
    write(path, content, 8 << 40)
    with path.open("r+b") as file:
        file.seek(12288)
        file.write(struct.pack("<IIII", 1, 1, 0, 0) + struct.pack("<I", 5))
    return path


def relocations_without_end(path):
    tags = [(6, 8192), (5, 4096), (10, 100), (4, 12288), (7, 16384), (8, 7 << 40)]
    return write(path, dynamic(tags), 8 << 40)


def code(path, instructions, size=0):
    """One function named malloc, that is the whole file."""
    sections = [
        (b".symtab", 2, 0, bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 1, 1 << 20, 0)),
        (b".strtab", 3, 0, b"\0malloc\0"),
    ]
    size = size or len(instructions)
    content = bytearray(elf([load(1 << 16, 1 << 20, size)], sections))
    struct.pack_into("<I", content, 64 + 56 + 64 + 40, 2)
    symbols = content.index(struct.pack("<Q", 1 << 20), 64 + 56 + 4 * 64)
    struct.pack_into("<Q", content, symbols + 8, size)
    return write(path, bytes(content).ljust(1 << 16, b"\0") + instructions, (1 << 16) + size)


def indirect_jumps(path):
    return code(path, b"\xff\xe0" * 60_000)


def branches(path):
    """Each jumps to where the next 1,000 do."""
    return code(
        path, b"".join(b"\x0f\x84" + struct.pack("<i", -6) for _ in range(100_000)) + b"\xc3"
    )


def endless_code(path):
    return code(path, b"", size=4 << 40)


def version_that_never_ends(path):
    return write(path, elf([load(0, 0, 4096)]) + b"\0musl libc (" * 5_000_000)


def frame_entries(path):
    """Four million entries in a section for debuggers, none of which ends."""
    entry = struct.pack("<IIQ", 12, 0, 1)
    section = compressed(entry * 4_000_000)
    return write(path, elf([load(0, 0, 4096)], [(b".debug_frame", 1, 0x800, section)]))


def holes(path):
    return write(path, elf([load(0, 0, 8 << 40)]), 8 << 40)


HOSTILE = [
    *(ten_million_sections, many_sections, bomb, bomb_that_lies, huge_symbol_table),
    *(symbols_without_end, names_without_end, hash_without_end, relocations_without_end),
    *(indirect_jumps, branches, endless_code, version_that_never_ends, frame_entries, holes),
]


def read_all(path):
    """Ask of a file what a trace and its report do."""
    effort = Effort()
    image = ElfImage(str(path), effort)
    functions = [function for family in FAMILIES for function in family]
    module = Module("/malloc", 0, 1 << 47, 0, None, str(path))
    allocator = Allocator("glibc", module, image, FAMILIES[0])
    table, walk_address = UnwindTable(image), 1 << 20
    for ask in (
        lambda: image.build_id,
        lambda: image.find_functions([function.name for function in functions]),
        lambda: name_allocator(image, "it"),
        lambda: image.has_section(".note.go.buildid"),
        lambda: place_probes(FAMILIES[0], module, image, X86_64),
        lambda: CodeWalk(image, X86_64).passes_on(walk_address, {1}),
        lambda: image.read_linked_functions(X86_64.slot_relocations, 37, ["memset"]),
        lambda: table.find_row(walk_address + 8),
        lambda: DebugFrame.of(image).find_function(walk_address),
        lambda: CodeMap(image).is_function(walk_address),
        lambda: image.find_extent(walk_address),
        lambda: plan_inline([allocator], image, ModuleMap([module])),
    ):
        with suppress(GdbleakError):
            ask()


def peak_bytes():
    """Return the largest resident set of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def measure(path):
    """Return how long it took, and by how much the memory grew, in a process of its own."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + (
        "import time, test_hostile_files as here\n"
        "before = here.peak_bytes()\n"
        "began = time.process_time()\n"
        f"try: here.read_all({str(path)!r})\n"
        "except here.ElfError: pass\n"
        "print(time.process_time() - began, here.peak_bytes() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds, grown = done.stdout.split()
    return float(seconds), int(grown)


@pytest.mark.slow
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_file_costs_little(make, tmp_path):
    try:
        path = make(tmp_path / "file")
    except OSError as error:
        pytest.skip(f"this file system holds no such file: {error}")
    seconds, grown = measure(path)
    assert seconds < MOST_S
    assert grown < MOST_BYTES


def test_what_is_compressed_is_read_up_to_a_limit(tmp_path):
    content = os.urandom(1 << 10) * 100
    path = write(
        tmp_path / "file", elf(sections=[(b".debug_frame", 1, 0x800, compressed(content))])
    )
    assert ElfImage(str(path)).find_section(".debug_frame").content == content
    path = bomb(tmp_path / "bomb")
    with pytest.raises(ElfError, match=f"{BOMB_MIB << 20:,} bytes"):
        ElfImage(str(path)).find_section(".debug_frame")
    assert MAX_SECTION_BYTES < BOMB_MIB << 20


def test_fifo_device_and_folder_are_not_opened(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    link = tmp_path / "link"
    link.symlink_to(fifo)
    for path in (fifo, link, Path("/dev/zero"), tmp_path):
        began_s = time.monotonic()
        with pytest.raises(ElfError, match=f"{path}: (it is not a regular file|Is a directory)"):
            ElfImage(str(path))
        assert time.monotonic() - began_s < 1


def test_link_in_the_place_of_a_file(tmp_path):
    file = write(tmp_path / "file", elf())
    (tmp_path / "link").symlink_to(file)
    os.close(open_regular(str(tmp_path / "link")))
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(str(tmp_path / "link"), follow=False)


def test_file_that_is_cut_short_while_it_is_read(tmp_path):
    path = code(tmp_path / "file", b"\x90" * 200_000 + b"\xc3")
    image = ElfImage(str(path))
    assert image.read(1 << 20, 8) == b"\x90" * 8
    os.truncate(path, 100)
    assert image.read((1 << 20) + 100_000, 8) == b""
    with suppress(ElfError):
        CodeWalk(image, X86_64).find_ways_out(1 << 20, ())
    assert image.read((1 << 20) + 200_000, 8) == b""


def test_bytes_of_a_file_are_those_of_the_file(tmp_path):
    content = os.urandom(100_000)
    data = FileBytes(open_regular(str(write(tmp_path / "file", content))))
    for offset in (0, 1, 16_383, 16_384, 50_000, 99_999, 100_000, 200_000):
        for size in (0, 1, 15, 16_384, 40_000, 1 << 40):
            assert data.read(offset, size) == content[offset : offset + size]
    assert data.read(-1, 5) == b""


def test_files_are_closed(tmp_path):
    path = str(write(tmp_path / "file", elf()))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for _ in range(min(limit, 5000)):
        ElfImage(path)
        with suppress(ElfError):
            ElfImage(str(tmp_path))


def spend_all(effort):
    while True:
        effort.spend(10)


def test_one_of_several_leaves_something_for_the_others():
    whole = Effort(steps=1000)
    for _ in range(3):
        part = whole.share()
        with pytest.raises(EffortError, match="too long"):
            spend_all(part)
    whole.spend(10)
    with pytest.raises(EffortError, match="memory"):
        Effort(held_bytes=10).spend(1, held_bytes=11)


def test_time_is_a_limit_too():
    effort = Effort(steps=1 << 60, seconds=0.05)
    began_s = time.monotonic()
    with pytest.raises(EffortError, match="took too long"):
        spend_all(effort)
    assert time.monotonic() < began_s + 5
