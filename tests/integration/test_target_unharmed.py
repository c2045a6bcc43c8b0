"""A target under load comes out of a trace with its work intact and its exit code its own."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

import gdbleak

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def worker(build_target, start_target):
    """Return a program whose threads allocate without pause and check what they wrote."""
    return start_target(build_target("worker.c"))


def assert_ends_well(worker):
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_work_and_exit_code_are_intact(cli, worker):
    threads = set(Path(f"/proc/{worker.pid}/task").iterdir())
    report = cli.run("trace", worker.pid, "--duration", 1, "--format", "json").report

    assert report["window"]["allocations"] > 100
    assert set(Path(f"/proc/{worker.pid}/task").iterdir()) == threads
    verification = report["verification"]
    assert (verification["tracer_pid"], verification["text_intact"]) == (0, True)
    assert verification["ok"] is True
    worker.assert_as_found()
    assert_ends_well(worker)


@pytest.mark.slow
def test_traces_in_a_row(cli, worker):
    for _ in range(3):
        result = cli.run("trace", worker.pid, "--duration", 0.2, "--format", "json")
        assert result.report["verification"]["ok"] is True
        worker.assert_as_found()
    assert_ends_well(worker)


def test_recording_from_python(worker, tmp_path):
    saved = tmp_path / "saved"
    report = gdbleak.trace(worker.pid, duration_s=0.2, save=saved, max_memory=1 << 40)

    assert report.verification.ok is True
    assert gdbleak.load(saved) == report
    worker.assert_as_found()
    assert_ends_well(worker)


@pytest.mark.slow
def test_no_file_stays_open_in_python(worker):
    """A caller may trace often, and collect garbage seldom."""
    gc.disable()
    try:
        counts = []
        for _ in range(4):
            gdbleak.trace(worker.pid, duration_s=0.1, max_memory=1 << 40)
            counts.append(len([*Path("/proc/self/fd").iterdir()]))
    finally:
        gc.enable()
    assert len(set(counts)) == 1
    assert_ends_well(worker)


def test_both_names_of_the_command_do_the_same(cli, worker):
    result = cli.run(worker.pid, "--duration", 0.1, "--format", "json")

    assert result.report["target"]["pid"] == worker.pid
    assert Path(result.report["target"]["exe"]).name == "worker"
    assert_ends_well(worker)
