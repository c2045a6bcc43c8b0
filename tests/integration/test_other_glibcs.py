"""What glibc calls its own allocator for is nothing that the program does, in any version."""

from __future__ import annotations

import signal

import pytest
from support.exactness import assert_exact
from support.roots import HOST, LIBRARIES, flags_for

from gdbleak.recording import Recording
from gdbleak.replay import Replay

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture(params=LIBRARIES)
def build(request, build_target, debian_root):
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
    recording = Recording(str(path))
    sizes = []
    replay = Replay(
        recording.probes,
        recording.functions,
        lambda _: None,
        free_older=lambda size, _: sizes.append(size),
    )
    for event in recording.iter_events():
        replay.feed(event)
    return sizes


@pytest.mark.parametrize("rounds", [3])
def test_counts_of_every_site_are_exact(cli, build, start_target, rounds):
    target = start_target(build("sites.c"))
    for _ in range(rounds):
        assert_exact(cli, target, "glibc")
