"""What is in the heap of another allocator than glibc's: the counts are the program's truth."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.libraries import LIBRARIES, find_library
from support.processes import Target

from gdbleak.census.others.find import find_allocators
from gdbleak.census.others.hooks import find_hooks
from gdbleak.elf.cache import ImageCache
from gdbleak.target.examined import ExaminedProcess
from gdbleak.target.proc import read_mappings

pytestmark = pytest.mark.usefixtures("needs_ptrace")

TARGETS = Path(__file__).parents[1] / "targets"
KEPT = {20: 9000, 1000: 1000, 3000: 700, 20_000: 130, 100_000: 50, 3_000_000: 2, 40_000_000: 1}
"""How many blocks of a size every thread keeps."""
FREED = {20: 5000, 1000: 100, 3000: 500, 20_000: 40, 100_000: 20, 3_000_000: 1, 40_000_000: 0}
OTHERS = 8
"""So many blocks of about such a size the C library may have for itself, or the allocator."""


def arguments(threads):
    return [str(threads), *(f"{size}:{KEPT[size]}:{FREED[size]}" for size in KEPT)]


@contextmanager
def looking_at(pid):
    with ImageCache() as images, ExaminedProcess(pid, images) as process:
        yield process, images


def look(target):
    with looking_at(target.pid) as (process, images):
        return find_allocators(process, images)


def assert_counted(use, threads):
    """Assert that as many blocks of each size are told to be in use as there are."""
    ends = [*KEPT, 1 << 40]
    for size, end in zip(ends, ends[1:]):
        same = [each.in_use for each in use.sizes if size <= each.high < end]
        count = sum(amount.count for amount in same)
        assert 0 <= count - KEPT[size] * (threads + 1) <= OTHERS, (size, use)
        taken = sum(amount.bytes for amount in same)
        assert size * count <= taken <= (1.26 * size + 8192) * count
    assert use.in_use.count == sum(each.in_use.count for each in use.sizes)
    assert use.in_use.bytes <= use.mapped.bytes
    assert 0 < use.resident_bytes <= use.mapped.bytes


@pytest.fixture
def sizes(build_target):
    return build_target("kept_sizes.c", "-fno-builtin")


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("name", LIBRARIES)
def test_preloaded(start_target, sizes, name, threads):
    library = find_library(LIBRARIES[name])
    target = start_target("env", f"LD_PRELOAD={library}", sizes, *arguments(threads))
    found = look(target)
    (use,) = found.uses
    assert use.name.startswith(name.split()[0])
    assert use.module == str(Path(library).resolve())
    assert found.serves == use.name
    assert found.replaces_glibc
    assert_counted(use, threads)


@pytest.mark.parametrize("name", LIBRARIES)
def test_places_are_mapped_and_of_nobody_else(start_target, sizes, name):
    library = find_library(LIBRARIES[name])
    target = start_target("env", f"LD_PRELOAD={library}", sizes, *arguments(3))
    found = look(target)
    mappings = read_mappings(target.pid)
    assert found.ranges
    assert [*found.ranges] == sorted(found.ranges)
    for start, end, whose in found.ranges:
        assert whose == found.serves
        within = [each for each in mappings if each.start < end and start < each.end]
        assert within
        assert all(each.inode == 0 and each.path in ("", "[heap]") for each in within)


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("flags", [(), ("-static",), ("-static", "-s")], ids=str)
def test_musl(start_target, tmp_path, flags, threads):
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed: run .ci/setup test")
    program = tmp_path / "sizes"
    command = ["musl-gcc", "-O1", "-fno-builtin", *flags, "-o", program, TARGETS / "kept_sizes.c"]
    subprocess.run(command, check=True)
    found = look(start_target(program, *arguments(threads)))
    (use,) = found.uses
    assert use.name.startswith("musl")
    assert_counted(use, threads)


def test_glibc_alone(puppet):
    found = look(puppet)
    assert found.uses == found.ranges == ()
    assert found.serves.startswith("glibc")
    assert not found.replaces_glibc


def test_two_at_once(start_target, build_target):
    """One serves the program; the other is in the process, and has nothing to do."""
    second = find_library(LIBRARIES["mimalloc"])
    program = build_target("kept_sizes.c", "-fno-builtin", "-Wl,--no-as-needed", second)
    library = find_library(LIBRARIES["jemalloc"])
    found = look(start_target("env", f"LD_PRELOAD={library}", program, *arguments(0)))
    assert found.serves.startswith("jemalloc")
    first, second = found.uses
    assert_counted(first, 0)
    assert second.name.startswith("mimalloc")
    assert "calls of malloc go to jemalloc" in second.notes[0]


class Shifted:
    """A process whose memory seems to be eight bytes further on: nothing is where it should be."""

    def __init__(self, process):
        self._process = process

    def __getattr__(self, name):
        return getattr(self._process, name)

    def read(self, address, size):
        return self._process.read(address - 8, size)


@pytest.mark.parametrize("name", LIBRARIES)
def test_another_layout_is_not_counted(start_target, sizes, name):
    library = find_library(LIBRARIES[name])
    target = start_target("env", f"LD_PRELOAD={library}", sizes, *arguments(1))
    with looking_at(target.pid) as (process, images):
        found = find_allocators(Shifted(process), images)
    (use,) = found.uses
    assert (use.in_use, use.sizes) == (None, ())
    assert use.resident_bytes
    assert any("blocks were not counted" in note for note in use.notes)
    assert any("by exclusion" in note for note in use.notes)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_process_that_ends_meanwhile(start_target, sizes, name):
    library = find_library(LIBRARIES[name])
    target = start_target("env", f"LD_PRELOAD={library}", sizes, *arguments(1))
    with looking_at(target.pid) as (process, images):
        target.process.stdin.close()
        assert target.wait() == 0
        found = find_allocators(process, images)
        assert find_hooks(process, images) == ()
    assert all(use.in_use is None for use in found.uses)


def test_checks_of_glibc(start_target, build_target):
    library = find_library("libc_malloc_debug.so.0")
    program = build_target("puppet.c")
    target = start_target("env", "MALLOC_CHECK_=3", f"LD_PRELOAD={library}", program)
    with looking_at(target.pid) as (process, images):
        notes = find_hooks(process, images)
        found = find_allocators(process, images)
    assert ["libc_malloc_debug" in notes[0], "MALLOC_CHECK_" in notes[1]] == [True, True]
    assert found.uses == ()
    assert found.serves.startswith("glibc")


def test_address_sanitizer(start_target, build_target):
    target = start_target(build_target("puppet.c", "-fsanitize=address"))
    with looking_at(target.pid) as (process, images):
        (note,) = find_hooks(process, images)
        (use,) = find_allocators(process, images).uses
    assert "red zone" in note
    assert use.name == "AddressSanitizer"
    assert use.in_use is None
    assert "ASAN_OPTIONS" in use.notes[0]


def test_valgrind(targets, build_target):
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("valgrind is not installed: run .ci/setup test")
    target = Target([valgrind, "-q", build_target("puppet.c")])
    targets.append(target)
    assert target.lines.next() == "ready"
    with looking_at(target.pid) as (process, images):
        assert any("Valgrind" in note for note in find_hooks(process, images))


def test_nothing_special(puppet):
    with looking_at(puppet.pid) as (process, images):
        assert find_hooks(process, images) == ()
