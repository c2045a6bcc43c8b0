"""A limit ends the window, the target goes first, and what was recorded is reported."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from support.crew import find_gdb
from support.processes import wait_until

import gdbleak
from gdbleak.capture.probe import ProbeKind

pytestmark = pytest.mark.usefixtures("needs_ptrace")

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")


@pytest.fixture
def worker(build_target, start_target):
    """Return a program whose threads allocate without pause and check what they wrote."""
    return start_target(build_target("worker.c"))


def assert_ends_well(worker):
    worker.assert_as_found()
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_pause_that_is_too_long(cli, worker):
    trace = cli.start_trace(worker.pid, "--probe", "breakpoint", "--max-pause", 500)
    os.kill(find_gdb(trace.pid).pid, signal.SIGSTOP)  # the next stop of the worker lasts

    result = trace.finish()
    assert (result.exit_code, result.report["window"]["ended_by"]) == (0, "max-pause")
    assert result.report["verification"]["ok"] is True
    assert_ends_well(worker)


def test_memory_that_is_too_much(worker):
    report = gdbleak.trace(worker.pid, 600, max_memory=1 << 20)

    assert report.window.ended_by == "max-memory"
    assert report.verification.ok is True
    assert_ends_well(worker)


@AS_ROOT
def test_full_disk_leaves_a_report_of_what_there_was_room_for(cli, worker):
    mount = 'mount -t tmpfs -o size=1m none "$TMPDIR" && exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", mount, "sh")
    running = cli.start("trace", worker.pid, "--duration", 600, "--format", "json", wrapper=wrapper)

    result = running.finish()
    assert result.exit_code == 5
    assert '"ended_by": "write-failed"' in result.stdout
    assert_ends_well(worker)


@AS_ROOT
def test_no_folder_for_temporary_files(cli, worker):
    """Neither TMPDIR nor any of the usual folders, nor the current one, can be written to."""
    # Read-only where they are: the program and gdbleak may lie below them.
    seal = 'mount --bind "$f" "$f" && mount -o remount,bind,ro "$f"'
    forbid = f'for f in "$TMPDIR" /tmp /var/tmp; do {seal} || exit 99; done; exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", forbid, "sh")
    result = cli.run("trace", worker.pid, wrapper=wrapper, cwd="/proc")

    assert result.exit_code == 5, result.stderr
    assert "Traceback" not in result.stderr
    assert_ends_well(worker)


@pytest.mark.parametrize("probe", [*ProbeKind])
def test_folder_of_the_recording_is_removed_in_mid_window(cli, worker, probe):
    trace = cli.start_trace(worker.pid, "--probe", probe)
    [folder] = cli.tmpdir.iterdir()
    shutil.rmtree(folder)
    trace.send(signal.SIGINT)

    assert_gone(trace.finish())
    assert_ends_well(worker)


def test_saved_recording_is_removed_in_mid_window(cli, worker, tmp_path):
    saved = tmp_path / "saved"
    trace = cli.start_trace(worker.pid, "--save", saved)
    wait_until(lambda: saved.stat().st_size > 100_000, "something was recorded")
    saved.unlink()
    trace.send(signal.SIGINT)

    assert_gone(trace.finish())
    assert_ends_well(worker)


def assert_gone(result):
    """Assert that the file that is gone is named, in two lines, after those of progress."""
    assert (result.exit_code, result.stdout) == (5, ""), result.stderr
    *_, cause, cure = result.stderr.splitlines()
    assert "recording" in cause
    assert cure.startswith("  try: ")
