"""What glibc calls its own allocator for is nothing that the program does, in any version."""

from __future__ import annotations

import signal

import pytest
from support.exactness import assert_exact
from support.gdbs import debian_root
from support.processes import data_of_libc
from support.roots import HOST, LIBRARIES, flags_for

from gdbleak.heap.freed import Heap
from gdbleak.ledger.blocks import HEAP
from gdbleak.ledger.replay import Replay
from gdbleak.recording.reader import Recording
from gdbleak.target.proc import Memory

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]


@pytest.fixture(params=LIBRARIES)
def build(request, build_target):
    """Return a function that builds a C program for one of the C libraries."""
    flags = () if request.param == HOST else flags_for(debian_root(request.param))
    return lambda source, *others: build_target(source, *others, *flags)


@pytest.mark.parametrize("options", [(), ("--usable-sizes",)], ids=["all sizes", "usable sizes"])
def test_threads_that_end_free_no_older_blocks(cli, build, start_target, tmp_path, options):
    """Their caches are freed a second time, or as no call has allocated them."""
    assert_no_more_frees(cli, start_target(build("thread_ends.c")), tmp_path / "recording", options)


def test_threads_of_a_static_program(cli, build_target, start_target, tmp_path):
    target = start_target(build_target("thread_ends.c", "-static"))
    assert_no_more_frees(cli, target, tmp_path / "recording", ())


def assert_no_more_frees(cli, target, path, options):
    """Trace the ends of threads, and compare with what the program knows about them."""
    trace = cli.start_trace(target.pid, "--save", path, *options)
    allocated, freed, older = map(int, target.ask("go").split())
    trace.send(signal.SIGINT)
    report = trace.finish().report

    window = report["window"]
    assert (window["frees"], window["frees_of_older_blocks"]) == (freed, older)
    assert (window["missed_frees"], window["found_free"], window["lost_events"]) == (0, 0, 0)
    sites = [site for site in report["sites"] if called(site, "thread_ends.c")]
    assert sum(site["allocated_count"] for site in sites) == allocated
    others = [site for site in report["sites"] if not called(site, "thread_ends.c")]
    assert [site["frames"] for site in others if not called(site, "pthread_create")] == []
    assert sizes_of_older_blocks(path) == [104] * older


def called(site, name):
    """Return whether a function, or one of a file, is among the frames of a site."""
    frames = site["frames"]
    return any(name in (f["function"] or "") or name in (f["file"] or "") for f in frames)


def sizes_of_older_blocks(path):
    """Return what the turnover is told of a recording."""
    sizes = []
    replay(path, free_older=lambda size, _: sizes.append(size))
    return sizes


def replay(path, **options):
    """Return the books of a recording."""
    recording = Recording(str(path))
    replay = Replay(recording.head.probes, recording.head.functions, lambda _: None, **options)
    for event in recording.iter_events():
        replay.feed(event)
    return replay.ledger


def test_blocks_that_keep_the_mark_of_a_cache_are_known(cli, build, start_target, tmp_path):
    """When a thread ends, glibc 2.34 to 2.42 leaves it in them; others are handed them out so."""
    target = start_target(build("stale_marks.c"))
    path = tmp_path / "recording"
    trace = cli.start_trace(target.pid, "--save", path)
    assert target.ask("go") == "done"
    trace.send(signal.SIGINT)
    trace.finish()

    blocks = {b.address: b for b in replay(path).survivors if b.kind == HEAP}
    assert len(blocks) >= 12
    with Memory(target.pid) as memory:
        heap = Heap(memory, data_of_libc(target.pid))
        seen = heap.find_freed(blocks) | heap.find_quickly(blocks)
        assert {address for address in seen if blocks[address].mark not in heap.marks} == set()


@pytest.mark.parametrize("rounds", [3])
def test_counts_of_every_site_are_exact(cli, build, start_target, rounds):
    target = start_target(build("sites.c"))
    for _ in range(rounds):
        assert_exact(cli, target, "glibc")
