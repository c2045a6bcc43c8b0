"""A process under seccomp filters records itself if they permit it, and is left alone if not."""

from __future__ import annotations

import signal

import pytest
from support.crew import assert_released
from support.exactness import assert_exact

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

FLAGS = ("-fno-optimize-sibling-calls",)
INLINE = ("--probe", "inline")


@pytest.fixture
def start_filtered(build_target, start_target):
    """Return a function that starts a process under a filter."""
    return lambda *arguments: start_target(build_target("filtered.c"), *arguments)


def test_filters_that_permit_it(cli, build_target, start_filtered):
    program = build_target("filtered.c")
    exact = build_target("exact.cpp", *FLAGS)
    target = start_filtered("narrow", program, "pointer", exact)
    assert_exact(cli, target, "glibc", *INLINE)
    assert_released(target)


def test_filter_of_every_thread(cli, start_filtered):
    target = start_filtered("narrow")
    trace = cli.start_trace(target.pid, *INLINE)
    assert target.ask("allocate") == "allocated"
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["window"]["allocations"] == report["window"]["frees"] == 1000
    assert (report["window"]["inline"]["left"], report["verification"]["ok"]) == (None, True)


@pytest.mark.parametrize("kind", ["mmap", "madvise", "munmap"])
def test_filter_that_forbids_it(cli, start_filtered, kind):
    """Nothing was written into the process: it has no journal, and it lives."""
    target = start_filtered(kind)
    refused = cli.run("trace", target.pid, *INLINE)

    assert refused.exit_code == 3
    assert f"seccomp filters that may not let it call {kind}" in refused.stderr
    assert "--probe breakpoint" in refused.stderr
    assert target.ask("allocate") == "allocated"
    assert "there is no journal" in cli.run("rescue", target.pid).stdout
    assert_released(target)


def test_filter_that_comes_in_the_window(cli, start_filtered):
    """It kills for what takes the ring out: that stays, and is said."""
    target = start_filtered("none")
    trace = cli.start_trace(target.pid, *INLINE)
    assert target.ask("filter munmap") == "filtered"
    trace.send(signal.SIGINT)
    report = trace.finish().report

    left = report["window"]["inline"]["left"]
    assert "keeps 32.0 MiB of memory" in left
    assert "seccomp filters that may not let it call munmap" in left
    assert report["verification"]["ok"] is True  # all code is out
    assert target.ask("allocate") == "allocated"
    assert "there is no journal" in cli.run("rescue", target.pid).stdout
    assert_released(target)


def test_auto_takes_breakpoints_where_filters_forbid_it(cli, start_filtered):
    target = start_filtered("madvise")
    trace = cli.start_trace(target.pid, "--probe", "auto", "--budget", 0.001)
    assert target.ask("allocate") == "allocated"
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert report["window"]["inline"] is None
    assert [note for note in report["notes"] if "may not let it call madvise" in note]
