"""A process that job control or another tracer holds is refused, and left as it was."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.cli import Cli
from support.processes import TRACER, Target, state_of, status_of, wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def assert_refused(result, *words):
    """Assert that the refusal is two lines, of which the first says these words."""
    assert (result.exit_code, result.stdout) == (3, ""), result.stderr
    cause, _ = result.stderr.splitlines()
    for word in words:
        assert str(word) in cause


def test_stopped_target_is_refused_and_all_its_threads_stay_stopped(
    cli, build_target, start_target
):
    worker = start_target(build_target("worker.c"))
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(worker.pid) == "T", "it has stopped")
    assert_refused(cli.run("trace", worker.pid), worker.pid, "stopped")

    threads = [status_of(thread) for thread in Path(f"/proc/{worker.pid}/task").iterdir()]
    assert {(thread["State"][0], thread["TracerPid"]) for thread in threads} == {("T", "0")}
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


@pytest.fixture
def job(build_target):
    """Return a puppet that is a job of our session: others do not stop for SIGTSTP."""
    job = Target([build_target("puppet.c")], start_new_session=False, preexec_fn=os.setpgrp)
    assert job.lines.next() == "ready"
    yield job
    job.end()


def test_ctrl_z_on_the_target_takes_effect_when_it_is_let_go(cli, job):
    trace = cli.start_trace(job.pid)
    assert job.ask("leak 5") == "leaked"
    os.kill(job.pid, signal.SIGTSTP)
    assert job.ask("leak 5") == "leaked"
    trace.send(signal.SIGINT)
    result = trace.finish()

    assert (result.exit_code, state_of(job.pid)) == (0, "T")
    verification = result.report["verification"]
    assert (verification["state_after"], verification["ok"]) == ("T", True)
    assert [note for note in result.report["notes"] if "somebody sent it SIGTSTP" in note]
    os.kill(job.pid, signal.SIGCONT)
    assert job.ask("still there?") == "still there?"


def test_traced_target_is_refused_and_stays_traced(cli, puppet, start_target):
    tracer = start_target(*TRACER, str(puppet.pid))
    assert_refused(cli.run("trace", puppet.pid), puppet.pid, tracer.pid)

    assert status_of(Path(f"/proc/{puppet.pid}"))["TracerPid"] == str(tracer.pid)
    assert puppet.ask("still there?") == "still there?"
    tracer.end()


def test_second_gdbleak_is_refused_and_the_first_is_unharmed(cli, puppet, tmp_path):
    first = cli.start_trace(puppet.pid)
    assert puppet.ask("leak 5") == "leaked"
    other = tmp_path / "tmpdir of the second"
    other.mkdir()
    assert_refused(Cli(other).run("trace", puppet.pid), puppet.pid, "trac")
    assert puppet.ask("leak 5") == "leaked"
    first.send(signal.SIGINT)

    report = first.finish().report
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    assert [(site["function"], site["outstanding_count"]) for site in report["sites"]] == [
        ("leak", 10)
    ]
    assert puppet.ask("still there?") == "still there?"
