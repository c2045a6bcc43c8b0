"""A window in which nothing happens ends on time, and says that nothing happened."""

from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def test_duration_ends_the_window_of_a_sleeping_process(cli, puppet):
    result = cli.run("trace", puppet.pid, "--duration", 0.5, "--format", "json")

    window = result.report["window"]
    assert (window["ended_by"], window["complete"]) == ("duration", True)
    assert 0.5 <= window["duration_s"] < 5
    assert (window["events"], window["allocations"], window["frees"]) == (0, 0, 0)
    assert result.report["sites"] == []
    assert result.report["verification"]["ok"] is True
    assert puppet.ask("still there?") == "still there?"


def test_ctrl_c_ends_the_window_of_a_sleeping_process(cli, puppet):
    trace = cli.start_trace(puppet.pid)
    trace.send(signal.SIGINT)

    result = trace.finish()
    assert result.exit_code == 0
    assert result.report["window"]["ended_by"] == "interrupt"


@pytest.mark.parametrize("output", ["table", "plain", "markdown"])
def test_an_empty_table_is_a_sentence(cli, puppet, output):
    result = cli.run(puppet.pid, "--duration", 0.1, "--format", output)

    assert result.exit_code == 0
    assert "nothing was allocated in the window." in result.stdout
    assert "Traceback" not in result.stderr
