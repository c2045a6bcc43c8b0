"""gdbleak itself under each Python, with the GDB of this host."""

from __future__ import annotations

import os
import signal

import pytest
from support.crew import assert_released
from support.gdbs import CHECKOUT, site_packages

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def under(python):
    """Return how `Cli.start` runs gdbleak under another Python."""
    replace_python = ("sh", "-c", 'shift; exec "$0" "$@"', python)
    paths = f"{CHECKOUT}{os.pathsep}{site_packages()}"
    return {
        "wrapper": replace_python,
        "env": {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"},
    }


def test_trace(cli, under, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    options = ("--budget", 100, "--older", 0, "--duration", 600, "--interval", 0.2, "--verbose")
    trace = cli.start("trace", puppet.pid, *options, **under)
    trace.wait_for_window()
    assert puppet.ask("leak 50") == "leaked"
    trace.press_ctrl_c()
    result = trace.finish()

    assert result.exit_code == 0, result.stderr
    assert "5,000 B in 50 blocks" in result.stdout
    assert "target left as found: yes" in result.stdout
    assert "Traceback" not in result.stderr
    assert puppet.ask("leak 5") == "leaked"


def test_target_outlives_gdbleak(cli, under, build_target, start_target):
    worker = start_target(build_target("worker.c"))
    trace = cli.start_trace(worker.pid, **under)
    trace.send(signal.SIGKILL)

    assert_released(worker)
    assert worker.ask("end").endswith(" 0 damaged")
    assert worker.wait() == 0


def test_other_commands(cli, under, build_target, start_target):
    puppet = start_target(build_target("puppet.c"))
    doctor = cli.run("doctor", puppet.pid, **under)
    assert (doctor.exit_code, doctor.stderr) == (0, "")
    agent = cli.run("agent", "--standalone", **under)
    assert (agent.exit_code, agent.stderr) == (0, "")
    compile(agent.stdout, "gdbleak_record.py", "exec")
