"""Several real processes, one after the other."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest


def tracer_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("TracerPid:"))


@pytest.fixture
def workers(build_target, start_target):
    """Return the PIDs of two processes that leak in the same place."""
    program = build_target("grows.c")
    return [start_target(program, "500").pid for _ in range(2)]


def test_one_at_a_time_and_where_they_leak(cli, workers, tmp_path):
    both, over = [], threading.Event()

    def look_on():
        while not over.is_set():
            both.append(sum(map(bool, map(tracer_of, workers))))
            time.sleep(0.002)

    onlooker = threading.Thread(target=look_on)
    onlooker.start()
    try:
        result = cli.run(
            *("trace", *workers, "--probe", "breakpoint", "--duration", "2s", "--older", 0),
            *("-o", tmp_path / "report.json"),
        )
    finally:
        over.set()
        onlooker.join()
    assert result.exit_code == 0
    assert max(both) == 1, "it was attached to each, and never to both"
    for pid in workers:
        report = json.loads((tmp_path / f"report.{pid}.json").read_text())
        assert report["target"]["pid"] == pid
        assert report["verification"]["ok"]
        assert f"process {pid}: {tmp_path / f'report.{pid}.json'}" in result.stdout
    assert "[2 of 2]" in result.stderr
    assert "2 of 2" in result.stdout
    assert result.stdout.endswith("2 of 2 processes seem to leak: in the same place.\n")


def test_the_next_is_traced_where_one_has_ended(cli, workers, start_target, build_target):
    ended = start_target(build_target("puppet.c"))
    ended.end()
    result = cli.run("trace", ended.pid, *workers[:1], "--duration", "1s")
    assert result.exit_code == 3
    assert f"process {ended.pid} has ended" in result.stderr
    assert f"(pid {workers[0]})" in result.stdout
