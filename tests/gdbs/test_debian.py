"""What a user of another Debian has: its GDB, its Python, and a program built for its C library."""

from __future__ import annotations

import json
import signal

import pytest
from support.crew import assert_released
from support.events import count_turns
from support.exactness import assert_exact
from support.processes import wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")

BURSTS = ("--probe", "breakpoint", "--budget", 10)


@pytest.fixture
def start_inside(debian, build_target, start_target):
    """Return a function that starts a program of tests/targets in there."""
    return lambda source, *flags: start_target(
        *debian.inside(debian.build(build_target, source, *flags))
    )


def test_counts_of_every_site_are_exact(cli, debian, start_inside):
    sites = start_inside("sites.c", "-fno-optimize-sibling-calls")
    assert_exact(cli, sites, "glibc", **debian.how)
    sites.assert_as_found()
    assert json.loads(sites.ask("again"))


def test_busy_target_is_sampled_in_bursts(cli, debian, start_inside, tmp_path):
    worker = start_inside("worker.c")
    trace = cli.start_trace(worker.pid, *BURSTS, "--save", "/mnt/saved", **debian.how)
    wait_until(lambda: count_turns(tmp_path / "saved") > 6, "there were some bursts", 120)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert report["window"]["sampling"]["bursts"] > 1
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    worker.assert_as_found()
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_children_never_meet_a_breakpoint(cli, debian, start_inside):
    def count():
        return [int(word) for word in forks.ask("").split()]

    forks = start_inside("forks.c", "-Wno-clobbered")
    trace = cli.start_trace(forks.pid, *BURSTS, **debian.how)
    before, _ = count()
    wait_until(lambda: count()[0] > before + 20, "twenty children", 60)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert report["window"]["children"] >= 20
    assert report["verification"]["ok"] is True
    assert count()[1] == 0
    forks.assert_as_found()


def test_target_outlives_gdbleak(cli, debian, start_inside):
    worker = start_inside("worker.c")
    trace = cli.start_trace(worker.pid, **debian.how)
    trace.send(signal.SIGKILL)

    assert_released(worker)
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_doctor(cli, debian, start_inside):
    doctor = cli.run("doctor", start_inside("puppet.c").pid, **debian.how)
    assert (doctor.exit_code, doctor.stderr) == (0, ""), doctor.stdout
