"""The limits of a shell neither end GDB in a window, nor are they changed for anybody else."""

from __future__ import annotations

import math
import os
import resource
import signal
import time
from pathlib import Path

import pytest
from support.crew import find_gdb, find_guard

from gdbleak.errors import ResourceLimitError
from gdbleak.host.process_limits import check_processor_time, raised_limits

WITHOUT_CAPABILITY = ("setpriv", "--bounding-set=-sys_resource") if os.geteuid() == 0 else ()
"""Takes from root the right to raise hard limits."""
CAP_SYS_RESOURCE = 24


def limited(*limits):
    """Return what runs a command under limits of `ulimit`."""
    commands = "".join(f"ulimit {limit} && " for limit in limits)
    return (*WITHOUT_CAPABILITY, "sh", "-c", f'{commands}exec "$@"', "sh")


def limits_of(pid):
    """Return soft and hard limit of a process by name. Source: proc(5), /proc/PID/limits."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


@pytest.mark.usefixtures("needs_ptrace")
def test_soft_limits_are_raised(cli, puppet):
    hard = limits_of(os.getpid())
    trace = cli.start_trace(puppet.pid, wrapper=limited("-S -t 5", "-S -v 1000000", "-S -d 900000"))
    for process in (find_gdb(trace.pid), find_guard(trace.pid)):
        found = limits_of(process.pid)
        for name in ("Max cpu time", "Max address space", "Max data size"):
            assert found[name] == [hard[name][1]] * 2, name
    trace.send(signal.SIGINT)
    assert trace.finish().report["verification"]["ok"] is True


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY,
    reason="processor time is limited here already",
)
def test_processor_time_that_may_not_do(cli, puppet):
    wrapper = limited("-t 5")
    words = "`ulimit -t` allows gdbleak and gdb 5 s of processor time"
    refused = cli.run("trace", puppet.pid, wrapper=wrapper)
    assert (refused.exit_code, refused.stdout) == (4, "")
    cause, cure = refused.stderr.splitlines()
    assert words in cause
    assert "`ulimit -t unlimited` as root" in cure

    doctor = cli.run("doctor", wrapper=wrapper)
    assert doctor.exit_code == 1
    assert words in doctor.stdout


def test_what_is_said_of_a_window_that_is_too_long(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, 50))
    monkeypatch.setattr(time, "process_time", lambda: 7.5)
    check_processor_time(32)
    with pytest.raises(ResourceLimitError) as caught:
        check_processor_time(33)
    assert "at most 32" in caught.value.help_text


def test_limits_are_as_before_afterwards():
    number = resource.RLIMIT_CPU
    before = resource.getrlimit(number)
    try:
        resource.setrlimit(number, (4000, before[1]))
        with raised_limits():
            assert resource.getrlimit(number)[0] == before[1]
        assert resource.getrlimit(number) == (4000, before[1])
    finally:
        resource.setrlimit(number, before)


def test_limit_that_was_used_up_meanwhile_stays_raised():
    """Lowered again it would end this process."""
    number = resource.RLIMIT_CPU
    before = resource.getrlimit(number)
    soon_s = math.ceil(time.process_time() + 0.1)
    try:
        resource.setrlimit(number, (soon_s, before[1]))
        with raised_limits():
            while time.process_time() < soon_s:
                pass
        assert resource.getrlimit(number) == (before[1], before[1])
    finally:
        resource.setrlimit(number, before)


@pytest.mark.usefixtures("needs_ptrace")
def test_root_raises_hard_limits_too(cli, puppet):
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    if not capabilities >> CAP_SYS_RESOURCE & 1:
        pytest.skip("nobody may raise hard limits here: CAP_SYS_RESOURCE is missing")
    wrapper = ("sh", "-c", 'ulimit -t 5 && exec "$@"', "sh")
    trace = cli.start_trace(puppet.pid, wrapper=wrapper)
    assert limits_of(find_gdb(trace.pid).pid)["Max cpu time"] == ["unlimited", "unlimited"]
    trace.send(signal.SIGINT)
    assert trace.finish().report["verification"]["ok"] is True


@pytest.mark.usefixtures("needs_ptrace")
@pytest.mark.parametrize("limit", ["-d 50000", "-v 100000", "-n 20", "-f 100"])
def test_limits_that_are_too_low_for_anything(cli, puppet, limit):
    """Whether they suffice differs from host to host; there is a report, or two lines say why."""
    result = cli.run("trace", puppet.pid, "--duration", 1, wrapper=limited(limit))
    assert "Traceback" not in result.stderr
    if result.exit_code:
        assert result.exit_code in (4, 5)
        cure = result.stderr.splitlines()[-1]
        assert cure.startswith("  try: ")
        assert limit != "-f 100" or "`ulimit -f unlimited`" in cure
    puppet.assert_as_found()
    assert puppet.ask("leak 1") == "leaked"
