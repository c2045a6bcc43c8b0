"""Window after window on a busy process: no crash, no error, nothing left, nothing grown."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.crew import TORTURE
from support.processes import Target, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

CYCLES = 3 * TORTURE
GROWTH = 1 << 20
"""What the allocator of a busy process may take or give back by itself."""


def resident(pid):
    """Return the memory of a process that is not that of its files."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) << 10


def trace_again_and_again(cli, target):
    """Open windows on a target; return by how much its memory has grown since the first."""
    before = None
    for _ in range(CYCLES):
        result = cli.run("trace", target.pid, "--duration", 0.2, "--format", "json")
        assert (result.exit_code, result.report["verification"]["ok"]) == (0, True)
        before = before or resident(target.pid)
    target.assert_as_found()
    growth = resident(target.pid) - before
    print(f"{CYCLES} windows; memory grew by {growth} bytes")  # noqa: T201 - for -rP
    return growth


def test_sixteen_threads(cli, build_target, start_target):
    crowd = start_target(build_target("crowd.c"))
    threads = set(Path(f"/proc/{crowd.pid}/task").iterdir())

    assert trace_again_and_again(cli, crowd) < GROWTH
    assert set(Path(f"/proc/{crowd.pid}/task").iterdir()) == threads
    assert crowd.ask("end") == "0 damaged"
    assert crowd.wait() == 0


@pytest.fixture
def redis(tmp_path):
    """Return a redis server and the options to reach it."""
    # One program under two names: it is what it is called by.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if not program or not shutil.which("redis-benchmark"):
        pytest.skip("no redis on this host: `.ci/setup test` says how to get it")
    socket = tmp_path / "socket"
    options = ["--port", "0", "--unixsocket", socket, "--save", "", "--daemonize", "no"]
    server = Target(["redis-server", *options, "--dir", tmp_path], executable=program)
    try:
        wait_until(socket.exists, "redis listened")
        yield server, ["-s", str(socket)]
        server.assert_as_found()
    finally:
        server.end()


def test_redis_under_its_benchmark(cli, redis):
    server, socket = redis
    load = ["redis-benchmark", *socket, "-q", "-l", "-n", "1000", "-t", "set,get,lpush,lpop"]
    with subprocess.Popen(
        load, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as clients:
        try:
            assert trace_again_and_again(cli, server) < GROWTH
            assert clients.poll() is None, "the benchmark has ended early"
        finally:
            clients.terminate()
        assert "rror" not in clients.stdout.read()
    info = subprocess.check_output(["redis-cli", *socket, "info"], text=True)
    assert "total_error_replies:0" in info
    commands = int(re.search(r"total_commands_processed:(\d+)", info)[1])
    print(f"{commands} commands of its clients, no error")  # noqa: T201 - for -rP
    assert commands > 1000
