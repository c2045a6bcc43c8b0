"""A process is left as it was found only if it lives on: its death after the detach is told."""

from __future__ import annotations

import signal

import psutil
import pytest
from support.crew import tracer_of
from support.processes import wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def end_window(trace, pid):
    """End the window of a trace, and return once its target was released."""
    trace.send(signal.SIGINT)
    wait_until(lambda: tracer_of(pid) == 0, "the target was released")


@pytest.fixture(autouse=True)
def _assert_no_journal_stays(state):
    """Whatever becomes of a process after its release, there is nothing to repair in it."""
    yield
    assert [*state.glob("*.journal")] == []


def test_process_that_lives_has_run_on_for_a_second(cli, puppet):
    trace = cli.start_trace(puppet.pid)
    end_window(trace, puppet.pid)

    result = trace.finish()
    verification = result.report["verification"]
    assert (result.exit_code, verification["ok"], verification["death"]) == (0, True, None)
    assert verification["ran_on_s"] >= 1


@pytest.mark.parametrize("number", [signal.SIGTRAP, signal.SIGSEGV], ids=lambda n: n.name)
def test_signal_that_kills_it_right_after_the_detach(cli, puppet, tmp_path, number):
    recording = tmp_path / "saved.gdbleak"
    trace = cli.start_trace(puppet.pid, "--save", recording)
    end_window(trace, puppet.pid)
    puppet.process.send_signal(number)

    result = trace.finish()
    verification = result.report["verification"]
    assert (result.exit_code, verification["ok"]) == (1, False)
    assert (verification["death"], verification["ran_on_s"] < 1) == (number.name, True)
    saved = cli.run("report", recording, "--format", "json")
    assert saved.report["verification"] == verification


@pytest.mark.parametrize("status", [0, 3])
def test_end_of_its_own(cli, puppet, status):
    trace = cli.start_trace(puppet.pid)
    end_window(trace, puppet.pid)
    puppet.tell(f"exit {status}")

    result = trace.finish()
    verification = result.report["verification"]
    assert (result.exit_code, verification["ok"], verification["death"]) == (0, None, None)


def test_death_of_which_nobody_can_read_the_cause(cli, build_target, start_target):
    """Its parent has read its exit status before we could."""
    shell = start_target("sh", "-c", '"$0"; cat', build_target("puppet.c"))
    [puppet] = psutil.Process(shell.pid).children()
    trace = cli.start_trace(puppet.pid)
    end_window(trace, puppet.pid)
    puppet.kill()

    result = trace.finish()
    verification = result.report["verification"]
    assert (result.exit_code, verification["ok"]) == (1, False)
    assert verification["death"] == "unknown"
