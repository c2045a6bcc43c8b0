"""Core files that are built byte by byte: what is read of them, and what of damaged ones."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest
from support.cores import (
    NT_ARM_TLS,
    NT_AUXV,
    NT_FILE,
    NT_PRSTATUS,
    PAGE,
    Piece,
    build,
    files,
    note,
    process,
    status,
    vector,
)

from gdbleak.elf.cache import ImageCache
from gdbleak.errors import CoreError
from gdbleak.memory.source import Pages, Waiting
from gdbleak.target.core import Core, is_core_file
from gdbleak.target.examined import ThreadName
from gdbleak.target.usage import Usage

HEAP, STACK, VDSO = 0x5554_1000_0000, 0x7FFF_0000_0000, 0x7FFF_8000_0000
PROGRAM, LIBRARY = 0x5554_0000_0000, 0x7F00_0000_0000
MOST_S = 5


@contextmanager
def opened(path, **options):
    with ImageCache() as images, Core(str(path), images, **options) as core:
        yield core


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(data, name="core"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


NOTES = b"".join(
    (
        status(71, STACK + 8, STACK + 64),
        process(70),
        vector(PHDR=PROGRAM + 64, RANDOM=STACK + 100, SYSINFO_EHDR=VDSO),
        files(
            (PROGRAM, PROGRAM + 2 * PAGE, 0, b"/opt/program"),
            (LIBRARY, LIBRARY + PAGE, 3, b"/opt/data (deleted)"),
            (LIBRARY + PAGE, LIBRARY + 2 * PAGE, 0, b"/memfd:shared (deleted)"),
        ),
        status(70, STACK + 16),
    )
)
PIECES = [
    Piece(PROGRAM, b"\x7fELF", PAGE, 5),
    Piece(PROGRAM + PAGE, b"", PAGE, 6),
    Piece(PROGRAM + 2 * PAGE, b"b" * PAGE, 0, 6),
    Piece(HEAP, b"h" * PAGE + bytes(PAGE) + b"i" * PAGE),
    Piece(LIBRARY, b"", PAGE, 4),
    Piece(LIBRARY + PAGE, b"s" * PAGE, 0, 6),
    Piece(LIBRARY + 2 * PAGE, b"", PAGE, 0),
    Piece(STACK, b"t" * PAGE),
    Piece(VDSO - PAGE, b"v" * PAGE, 0, 4),
    Piece(VDSO, b"w" * PAGE, 0, 5),
]


@pytest.fixture
def core(write):
    with opened(write(build(PIECES, NOTES))) as core:
        yield core


def test_mappings_are_those_of_the_process(core):
    assert [
        (line.start, line.permissions, line.offset, line.path, line.deleted, line.inode > 0)
        for line in core.read_mappings()
    ] == [
        (PROGRAM, "r-xp", 0, "/opt/program", False, True),
        (PROGRAM + PAGE, "rw-p", PAGE, "/opt/program", False, True),
        (PROGRAM + 2 * PAGE, "rw-p", 0, "", False, False),
        (HEAP, "rw-p", 0, "[heap]", False, False),
        (LIBRARY, "r--p", 3 * PAGE, "/opt/data", True, True),
        (LIBRARY + PAGE, "rw-s", 0, "/memfd:shared", True, True),
        (LIBRARY + 2 * PAGE, "---p", 0, "", False, False),
        (STACK, "rw-p", 0, "[stack]", False, False),
        (VDSO - PAGE, "r--p", 0, "[vvar]", False, False),
        (VDSO, "r-xp", 0, "[vdso]", False, False),
    ]


def test_threads_and_their_registers(core):
    assert core.read_threads() == [ThreadName(70, "built"), ThreadName(71, "")]
    assert core.find_waiting() == {71: Waiting(STACK + 8, 0), 70: Waiting(STACK + 16, 0)}
    assert core.read_registers()[71][-1] == STACK + 8
    assert core.find_own_blocks([], core.find_threads()) == {71: STACK + 64}
    assert core.find_stacks(core.find_waiting()) == {70: (STACK, STACK + PAGE)}


def test_threads_of_aarch64(write):
    """Where their own blocks are is not known there."""
    registers = struct.pack("<34Q", *range(100, 131), STACK + 8, PROGRAM, 0)
    notes = b"".join(
        (
            note(NT_PRSTATUS, struct.pack("<12xh18xi76x", 6, 9) + registers + bytes(8)),
            note(NT_ARM_TLS, struct.pack("<Q", STACK + 64), b"LINUX"),
            vector(RANDOM=STACK + 100),
        )
    )
    with opened(write(build([Piece(STACK, b"t" * PAGE)], notes, machine=183))) as core:
        assert core.find_waiting() == {9: Waiting(STACK + 8, 0)}
        assert core.read_registers() == {9: [*range(100, 131), STACK + 8]}
        assert core.threads[9].thread_pointer == STACK + 64
        assert core.find_own_blocks([], core.find_threads()) == {}
        assert core.find_stacks(core.find_waiting()) == {9: (STACK, STACK + PAGE)}
        assert core.signal == "SIGABRT"


def test_process(core):
    assert (core.pid, core.command, core.signal, core.is_core) == (
        70,
        "built --now",
        "SIGSEGV",
        True,
    )
    assert core.program == "/opt/program"
    assert time.time() - core.written_s < 60


def test_memory_ends_where_nobody_has_kept_it(core):
    assert core.read(HEAP, 10) == b"h" * 10
    assert core.read(HEAP + PAGE - 2, 4) == b"hh\0\0"
    assert core.read(HEAP + 3 * PAGE - 1, 10) == b"i"
    assert core.read(PROGRAM + 2 * PAGE, 1 << 60) == b"b" * PAGE
    assert core.read(LIBRARY, 8) == b""
    assert core.read(1 << 63, 8) == core.read(0, 8) == b""


def test_pages_and_usage(core):
    assert core.find_pages(HEAP, HEAP + 3 * PAGE)[0].start == HEAP
    assert core.find_pages(LIBRARY + PAGE, LIBRARY + 3 * PAGE) == [
        Pages(LIBRARY + PAGE, LIBRARY + 2 * PAGE, True)
    ]
    assert core.find_pages(LIBRARY + 2 * PAGE, 1 << 60)[0].start == STACK
    usage = core.read_usage()
    assert usage[HEAP] == Usage(2 * PAGE, 2 * PAGE, 0)
    assert usage[VDSO] == Usage(PAGE, 0, 0)


def test_holes_of_the_file_are_no_pages(write):
    path = write(build([Piece(HEAP, b"h" * PAGE, 64 << 20, 6, 64 << 20)], status(1)))
    os.truncate(path, path.stat().st_size - PAGE + (64 << 20))
    with opened(path) as core:
        assert core.find_pages(HEAP, HEAP + (64 << 20)) == [Pages(HEAP, HEAP + PAGE, False)]
        assert core.read(HEAP + (32 << 20), 8) == bytes(8)
        assert not any("truncated" in note for note in core.notes)


def test_core_larger_than_memory_is_read_in_pieces(write):
    """A terabyte, of which a page at either end was touched."""
    size = 1 << 40
    path = write(build([Piece(HEAP, b"h" * PAGE, size, 6, size)], status(1)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - PAGE + size)
        file.seek(-PAGE, os.SEEK_END)
        file.write(b"e" * PAGE)
    began_s = time.monotonic()
    with opened(path) as core:
        assert [page.start for page in core.find_pages(HEAP, HEAP + size)] == [
            HEAP,
            HEAP + size - PAGE,
        ]
        assert core.read_usage()[HEAP].resident == 2 * PAGE
    assert time.monotonic() - began_s < MOST_S


def test_gdb_tells_no_permissions_of_reserved_memory(write):
    """It writes zeros for memory that nobody may access, and that it can be read."""
    pieces = [Piece(HEAP, bytes(PAGE), 0, 4), Piece(STACK, b"t" * PAGE), Piece(VDSO, b"c", PAGE, 4)]
    with opened(write(build(pieces, status(1)))) as core:
        assert [line.permissions for line in core.read_mappings()] == ["---p", "rw-p", "r--p"]


@pytest.mark.parametrize(
    ("data", "said", "cure"),
    [
        (b"", "is empty", "ulimit -c"),
        (b"no core", "is not a core file", "gcore PID"),
        (b"\x28\xb5\x2f\xfd...", "is compressed", "zstd -d"),
        (b"\x04\x22\x4d\x18...", "is compressed", "lz4 -d"),
        (b"\xfd7zXZ\0...", "is compressed", "xz -d"),
        (b"\x1f\x8b...", "is compressed", "gunzip"),
        (build(PIECES)[:60], "is cut off in its headers", "ulimit -c"),
        (build(PIECES)[:300], "is cut off in its headers", "ulimit -c"),
        (build(PIECES, kind=2), "not a core file: a program or a library", "gcore PID"),
        (build(PIECES, ident=b"\x7fELF\1\1\1", machine=3), "not 64-bit", "64-bit"),
        (build(PIECES, ident=b"\x7fELF\2\2\1", machine=0x1600, kind=0x400), "not 64-bit", "64-bit"),
        (build(PIECES, machine=243), "RISC-V", "64-bit"),
        (build(PIECES, machine=999), "machine 999", "64-bit"),
        (build([Piece(HEAP, b"", PAGE)]), "without the memory of the process", "echo 0x37"),
        (
            build([Piece(HEAP, b"h" * PAGE)])[:-PAGE],
            "no memory of the process is left",
            "ulimit -c",
        ),
        (build(), "without the memory of the process", "echo 0x37"),
        (
            build([Piece(STACK, b"", PAGE), Piece(LIBRARY, b"s" * PAGE)], NOTES),
            "without the memory of the process",
            "echo 0x37",
        ),
    ],
)
def test_what_is_no_core_that_tells_anything(write, data, said, cure):
    path = write(data)
    with pytest.raises(CoreError, match=said) as caught, opened(path):
        pass
    assert str(path) in str(caught.value)
    assert cure in caught.value.help_text


def test_file_that_cannot_be_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing", tmp_path / "a\0b"):
        with pytest.raises(CoreError, match="cannot read"), opened(path):
            pass
        assert not is_core_file(str(path))


def test_what_counts_as_a_core_file(write):
    assert is_core_file(str(write(build(PIECES))))
    assert is_core_file(str(write(build(PIECES, machine=999))))
    assert is_core_file(str(write(b"\x28\xb5\x2f\xfd...")))
    assert not is_core_file(sys.executable)
    assert not is_core_file(str(write(b"\x7fELF")))


def test_truncated_core_tells_how_much_is_missing(write):
    data = build(PIECES, NOTES)
    with opened(write(data[: -3 * PAGE + 10])) as core:
        [note] = [note for note in core.notes if "truncated" in note]
        assert f"{3 * PAGE - 10:,} bytes" in note
        assert "of 3 of its 10 segments" in note
        assert f"from {STACK + 10:#x} on" in note
        assert core.read(STACK, PAGE) == b"t" * 10
        assert core.read(STACK + 10, 8) == b""
        assert core.read(HEAP, 4) == b"hhhh"


def test_every_truncation_is_told_or_refused(write):
    """Nothing else happens, wherever the file ends."""
    data = build(PIECES, NOTES)
    refused = 0
    path = write(data)
    for size in [*range(len(data) - PAGE - 1, PAGE, -PAGE // 2), *range(PAGE, 0, -1)]:
        os.truncate(path, size)
        try:
            with opened(path) as core:
                assert any("truncated" in note for note in core.notes)
                use(core)
        except CoreError:
            refused += 1
    assert refused > PAGE / 2


@pytest.mark.parametrize("value", [0, 0x7F, 0xFF])
def test_every_byte_may_lie(write, value):
    data = build(PIECES, NOTES)
    path = write(data)
    with path.open("r+b") as file:
        for at in range(64 + 56 * (len(PIECES) + 1) + len(NOTES)):
            os.pwrite(file.fileno(), bytes([value]), at)
            with suppress(CoreError), opened(path) as core:
                use(core)
            os.pwrite(file.fileno(), data[at : at + 1], at)


def use(core):
    """Ask all that can be asked."""
    mappings = core.read_mappings()
    assert [line.start for line in mappings] == sorted({line.start for line in mappings})
    assert all(a.end <= b.start for a, b in zip(mappings, mappings[1:]))
    for line in mappings:
        pages = core.find_pages(line.start, line.end)
        assert sum(page.end - page.start for page in pages) <= 1 << 20
        core.read(line.start, 1 << 40)
    core.read_usage()
    core.find_stacks(core.find_waiting())
    core.find_own_blocks(mappings, core.find_threads())
    core.read_modules()
    core.read_threads()


HUGE = 1 << 60


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(build([Piece(HEAP, b"h", HUGE, 6, HUGE)], status(1)), id="segment"),
        pytest.param(build([Piece(HEAP, b"h", 2 * HUGE - HEAP, 6, 1)]), id="memory"),
        pytest.param(build([Piece(2**64 - 1, b"h", HUGE)]), id="address"),
        pytest.param(build([Piece(HEAP, b"h")] * 3000, status(1)), id="overlaps"),
        pytest.param(build(PIECES, NOTES, notes_said=HUGE), id="notes"),
        pytest.param(build(PIECES, note(NT_PRSTATUS, b"", size=2**32 - 1)), id="note"),
        pytest.param(build(PIECES, note(NT_FILE, bytes(16), size=2**32 - 1)), id="list"),
        pytest.param(build(PIECES, files(*[(1, 2, 3, b"x")] * 50_000, count=HUGE)), id="files"),
        pytest.param(build(PIECES, note(NT_AUXV, b"\3\0\0\0\0\0\0\0" * 2 * 9999)), id="vector"),
        pytest.param(build(PIECES, note(0, b"", b"") * 600_000), id="empty notes"),
        pytest.param(build(PIECES, status(1) * 100_000), id="threads"),
    ],
)
def test_lies_about_sizes_cost_little(write, data):
    path = write(data)
    began_s = time.process_time()
    with suppress(CoreError), opened(path) as core:
        use(core)
    assert time.process_time() - began_s < MOST_S


def test_more_segments_than_a_process_has(write):
    """The first section header tells how many there are, from 65,535 on."""
    count = 1_100_000
    data = bytearray(build(PIECES))
    struct.pack_into("<H", data, 56, 0xFFFF)
    struct.pack_into("<Q", data, 40, len(data))
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, count, 0, 0)
    with pytest.raises(CoreError, match="1,100,000 segments"), opened(write(data + section)):
        pass
    with (
        pytest.raises(CoreError, match="cut off in its headers"),
        opened(write(data + struct.pack("<44xI16x", 70_000))),
    ):
        pass
    few = struct.pack("<44xI16x", len(PIECES) + 1)
    with opened(write(data + few)) as core:
        assert core.read(HEAP, 1) == b"h"


def test_core_is_never_held_in_memory(write, tmp_path):
    """A process whose memory is limited reads what a core of 4 GiB says."""
    size = 4 << 30
    path = write(build([Piece(HEAP, b"h" * PAGE, size, 6, size)], status(1)))
    os.truncate(path, path.stat().st_size - PAGE + size)
    code = (
        "import sys\n"
        "from gdbleak.elf.cache import ImageCache\n"
        "from gdbleak.target.core import Core\n"
        "with Core(sys.argv[1], ImageCache()) as core:\n"
        "    print(sum(len(core.read(line.start + at, 1 << 20))"
        " for line in core.read_mappings() for at in range(0, 1 << 30, 1 << 20)))"
    )
    limit = 2 << 30
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert int(done.stdout) == 1 << 30


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exe": "/nowhere/program"}, "--exe: there is no file"),
        ({"sysroot": "/nowhere"}, "--sysroot"),
    ],
)
def test_options_that_name_nothing(write, options, said):
    with pytest.raises(CoreError, match=said), opened(write(build(PIECES)), **options):
        pass


def test_program_of_which_the_core_knows_nothing(write):
    said = files((LIBRARY, LIBRARY + PAGE, 0, b"/opt/library"))
    pieces = [Piece(LIBRARY, b"", PAGE, 5), Piece(STACK, b"t" * PAGE)]
    with opened(write(build(pieces, said)), exe=sys.executable) as core:
        assert "The core does not tell where its program was: --exe is of no use." in core.notes
    with opened(write(build([Piece(STACK, b"t" * PAGE)]))) as core:
        assert any("does not tell which files were mapped" in note for note in core.notes)
        assert core.command == "?"


def test_files_that_are_not_here_are_named_once(core):
    assert core.notes == [
        "Not the files that the process had mapped: /opt/program; give --sysroot a folder with"
        " copies of that machine's files, and --exe the program."
    ]
    [module, _] = core.read_modules()
    assert module.file is None
    assert module.unreadable == "cannot read /opt/program: No such file or directory"
