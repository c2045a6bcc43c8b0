"""Free blocks found in real processes that go on, and blocks in use never taken for free ones."""

from __future__ import annotations

import struct
import time
from bisect import bisect_right

import pytest
from support.crew import TORTURE
from support.gdbs import debian_root
from support.processes import data_of_libc
from support.roots import HOST, LIBRARIES, flags_for

from gdbleak.heap.freed import Heap
from gdbleak.heap.snapshot import PAGE_BYTES
from gdbleak.target.proc import Memory, read_mappings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patience")]

CHURN_S = 3 * TORTURE


@pytest.fixture
def patience(monkeypatch):
    """Let a look at a heap take as long as it does on a busy host: a trace would do without."""
    monkeypatch.setattr("gdbleak.heap.freed.LOOK_S", 60)


@pytest.fixture(params=LIBRARIES)
def start(request, build_target, start_target, home):
    """Return a function that starts targets/heap.c: its target and the file that it writes."""
    flags = () if request.param == HOST else flags_for(debian_root(request.param))

    def start(way, tcache_count=7):
        file = home / "blocks"
        tunable = f"GLIBC_TUNABLES=glibc.malloc.tcache_count={tcache_count}"
        return start_target("env", tunable, build_target("heap.c", *flags), way, file), file

    return start


def read_blocks(file):
    """Return the size of every block by its address; 0 for those that are free."""
    return {
        int(address, 16): int(size)
        for address, size in (line.split() for line in file.read_text().splitlines())
    }


def covered(blocks, memory):
    """Return the free blocks of which the size, just before them, is a part of a block in use."""
    used = sorted(address for address, size in blocks.items() if size)
    found = set()
    for address in (address for address, size in blocks.items() if not size):
        before = used[bisect_right(used, address) - 1]
        size = int.from_bytes(memory.read(before - 8, 8), "little") & -8
        if before < address <= before - 16 + size:
            found.add(address)
    return found


def escaped(blocks, found, memory):
    """Return the free blocks that were not found with no block of the program in their place.

    In that of a few stands what libc has taken for itself: a tcache, a stack, a buffer of stdio.
    """
    free = {address for address, size in blocks.items() if not size}
    return free - covered(blocks, memory) - found


@pytest.mark.parametrize("tcache_count", [7, 0], ids=["tcache", "as before 2.26"])
def test_every_free_block_is_found_and_no_other(start, tcache_count):
    target, file = start("still", tcache_count)
    blocks = read_blocks(file)
    free = {address for address, size in blocks.items() if not size}
    assert len(free) > 5000
    with Memory(target.pid) as memory:
        heap = Heap(memory, data_of_libc(target.pid))
        found = heap.find_freed(blocks)
        assert heap.find_quickly(blocks) <= found <= free
        assert len(escaped(blocks, found, memory)) < 10

        target.ask("more")
        later = read_blocks(file)
        used = {address for address, size in later.items() if size}
        found = heap.find_freed(later)
        hidden = covered(later, memory)
        assert found & used == set()
        new = {address for address in later if blocks.get(address) and not later[address]}
        assert len(new) > 3000
        assert len(new & hidden & found) > len(new & hidden) // 2
        assert len(escaped(later, found, memory)) < 10


def test_the_main_arena_tells_how_much_is_mapped_for_it(start):
    """The layout was chosen by what stands in the arena: its last fields are where it says."""
    target, _ = start("still")
    mapped = next(m for m in read_mappings(target.pid) if m.path == "[heap]")
    with Memory(target.pid) as memory:
        arena = Heap(memory, data_of_libc(target.pid)).main_arena
        words = struct.unpack("<QQ", memory.read(arena.system_mem, 16))
    size = mapped.end - mapped.start
    assert words[0] == words[1]
    assert size - PAGE_BYTES < words[0] <= size, "the break need not begin with a page"
    assert arena.end == arena.system_mem + 16


def test_without_the_data_of_libc_less_is_found_and_nothing_wrong(start):
    target, file = start("still")
    blocks = read_blocks(file)
    free = {address for address, size in blocks.items() if not size}
    with Memory(target.pid) as memory:
        found = Heap(memory, None).find_freed(blocks)
    assert found <= free
    assert len(found) > len(free) // 2


def test_what_stays_in_use_is_never_taken_for_free(start):
    target, file = start("churn")
    blocks = read_blocks(file)
    assert all(blocks.values())
    reads = 0
    end = time.monotonic() + CHURN_S
    with Memory(target.pid) as memory:
        heap = Heap(memory, data_of_libc(target.pid))
        while time.monotonic() < end:
            assert heap.find_freed(blocks) == set()
            assert heap.find_quickly(blocks) == set()
            reads += 1
    assert reads > 1
    assert target.process.poll() is None


def test_a_process_that_has_ended_has_freed_nothing(start):
    target, file = start("still")
    blocks = read_blocks(file)
    with Memory(target.pid) as memory:
        heap = Heap(memory, data_of_libc(target.pid))
        target.process.stdin.close()
        target.wait()
        assert heap.find_freed(blocks) == set()
