"""A process under seccomp filters records itself if they permit it, and is left alone if not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.crew import assert_released
from support.exactness import assert_exact
from support.inline import assert_nothing_left, enter, injection_into
from support.processes import status_of, wait_until

from gdbleak.debugger.program import find_gdb
from gdbleak.errors import InjectionError
from gdbleak.injection.injection import Injection
from gdbleak.target.proc import list_threads

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state", "needs_root")

FLAGS = ("-fno-optimize-sibling-calls",)
INLINE = ("--probe", "inline")
CAP_SYS_ADMIN = 21
WITHOUT_SYS_ADMIN = ("setpriv", "--bounding-set=-sys_admin")


@pytest.fixture(scope="module")
def needs_root():
    """Skip where nobody may read filters: that takes the capability SYS_ADMIN of the host."""
    if not int(status_of(Path("/proc/self"))["CapEff"], 16) >> CAP_SYS_ADMIN & 1:
        pytest.skip("only root of the host may read seccomp filters")


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
    assert "MiB of memory" in left
    assert "seccomp filters that may not let it call munmap" in left
    assert report["verification"]["ok"] is True  # all code is out
    assert target.ask("allocate") == "allocated"
    assert "there is no journal" in cli.run("rescue", target.pid).stdout
    assert_released(target)


def test_filter_that_comes_and_cannot_be_read(cli, start_filtered):
    target = start_filtered("none")
    trace = cli.start_trace(target.pid, *INLINE, wrapper=WITHOUT_SYS_ADMIN)
    assert target.ask("filter narrow") == "filtered"
    trace.send(signal.SIGINT)
    report = trace.finish().report

    left = report["window"]["inline"]["left"]
    assert "seccomp filters that cannot be read: Permission denied" in left
    assert target.ask("allocate") == "allocated"
    assert_released(target)


def test_filter_that_comes_between_two_visits(start_filtered, visitor):
    """No thread is sent anywhere that was not looked at as it is."""
    target = start_filtered("narrow")
    with injection_into(target.pid, visitor) as first:
        able = first.find_able()
        assert {*able} == {*list_threads(target.pid)}
        assert target.ask("filter madvise") == "filtered"
        implant = first.implant
        with (
            Injection(
                target.pid, implant.image, implant.cave, implant.ring, visitor, None, able
            ) as second,
            pytest.raises(InjectionError, match="may not let it call madvise"),
        ):
            second.map_ring()
    assert_nothing_left(target.pid, implant)
    assert target.ask("allocate") == "allocated"


def test_children_have_the_filters_too(build_target, start_filtered, visitor):
    target = start_filtered("narrow", build_target("waiting.c"), "hot")
    with injection_into(target.pid, visitor) as injection:
        enter(injection)
        child = int(target.ask("fork 9"))
        removal = injection.remove()
        assert (removal.ok, removal.kept, removal.children) == (True, (), 1)
        for pid in (target.pid, child):
            assert_nothing_left(pid, injection.implant)
        os.kill(child, signal.SIGKILL)


def test_auto_takes_breakpoints_where_filters_forbid_it(cli, build_target, start_filtered):
    target = start_filtered("madvise", build_target("waiting.c"), "hot")
    arguments = ("--probe", "auto", "--duration", 1, "--format", "json")
    report = cli.run("trace", target.pid, *arguments).report

    assert report["window"]["inline"] is None
    assert [note for note in report["notes"] if "may not let it call madvise" in note]
    assert_released(target)


def assert_refused(cli, target, why, **how):
    """Assert that a process whose filter would permit it is left alone, and why."""
    refused = cli.run("trace", target.pid, *INLINE, **how)
    assert refused.exit_code == 3
    assert f"seccomp filters that cannot be read: {why}" in refused.stderr
    assert target.ask("allocate") == "allocated"
    assert_released(target)


def test_without_the_capability(cli, start_filtered):
    target = start_filtered("narrow")
    how = {"wrapper": WITHOUT_SYS_ADMIN}
    assert_refused(cli, target, "that takes the capability SYS_ADMIN", **how)
    said = cli.run("doctor", target.pid, **how).stdout
    assert "inline it cannot be recorded: every thread" in said
    assert "SYS_ADMIN" in said


@pytest.mark.parametrize("kind", ["none", "narrow"])
def test_under_a_filter_of_its_own(cli, build_target, start_filtered, kind):
    target = start_filtered(kind)
    how = {"wrapper": [build_target("filtered.c"), "pointer"]}
    refused = cli.run("trace", target.pid, *INLINE, **how)
    assert refused.exit_code == 3
    assert "gdbleak is under a seccomp filter itself" in refused.stderr
    assert_released(target)


def test_rescue_where_a_filter_has_come(cli, start_filtered):
    target = start_filtered("none")
    trace = cli.start_trace(target.pid, *INLINE)
    assert target.ask("filter munmap") == "filtered"
    trace.send(signal.SIGKILL)
    wait_until(lambda: trace.has_ended, "gdbleak had ended")
    rescued = cli.run("rescue", target.pid)

    assert rescued.exit_code == 0, rescued
    assert "took out 9 jumps and the recorder, but process" in rescued.stdout
    assert "may not let it call munmap" in rescued.stdout
    assert target.ask("allocate") == "allocated"
    trace.end()
    assert_released(target)


def test_gdb_without_ctypes(cli, start_filtered, tmp_path):
    gdb = tmp_path / "gdb"
    without = "python import sys; sys.modules['_ctypes'] = None"
    gdb.write_text(f'#!/bin/sh\nexec {find_gdb().path} -iex "{without}" "$@"\n')
    gdb.chmod(0o700)
    how = {"env": {"GDBLEAK_GDB": gdb}}
    assert_refused(cli, start_filtered("narrow"), "this gdb has a Python without ctypes", **how)


def test_what_the_doctor_says(cli, start_filtered):
    said = cli.run("doctor", start_filtered("narrow").pid).stdout
    assert "inline it can be recorded, if its seccomp filters permit that" in said
    assert "seccomp" not in cli.run("doctor", start_filtered("none").pid).stdout
