"""Whatever comes between while memory is searched for references, the report comes without it.

The target is left as it was, nobody waits for long, and nothing is left behind.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from functools import partial

import pytest
from support.crew import assert_released, find_searcher, tracer_of
from support.processes import lives, state_of, wait_until

from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

LOOKING = ("--duration", 3, "--scan-rate", "1M", "--scan-time", 300)
"""A look takes a second for each MiB of memory."""
OBEYED_S = 6
"""The looks would take twice as long."""
REACH_BYTES = 24
"""What a block takes in a recording that says what was found of it."""
PROBES = ("breakpoint", "inline")


@pytest.fixture
def looked(build_target, start_target):
    """Return a program that has 3 MiB of memory, and more."""
    return start_target(build_target("looked.c"), "3")


@pytest.fixture
def saved(cli):
    """Return where recordings are saved."""
    return cli.tmpdir.parent / "saved"


@pytest.fixture(params=PROBES)
def start_looks(request, cli, looked, saved, state):
    """Return a function that traces the program while it allocates, until the looks have begun."""

    def start(*options, **how):
        trace = cli.start_trace(
            looked.pid, "--probe", request.param, "--save", saved, *LOOKING, *options, **how
        )
        assert [looked.ask("hold 200"), looked.ask("lose 50")] == ["done"] * 2
        wait_until(lambda: is_looked_at(saved), "memory was looked at")
        return trace

    yield start
    assert [*state.glob("*")] == []


def is_looked_at(saved):
    """Return whether nothing but frees is recorded any more."""
    events = Recording(saved).iter_events()
    return any(isinstance(event, Turn) and event.phase is Phase.FREES for event in events)


def sites_of(report):
    """Return the outstanding blocks and the findings of each site, by the name of its function."""
    return {s["function"]: (s["outstanding_count"], s["reach"]) for s in report["sites"]}


def assert_without(result, reason, ended_by="duration"):
    """Assert that the report has everything but the findings, and says why."""
    report, window = result.report, result.report["window"]
    assert (window["ended_by"], window["references"]["reason"]) == (ended_by, reason)
    assert sites_of(report) == {"hold": (200, None), "lose": (50, None)}
    assert "Traceback" not in result.stderr
    return report


def assert_found(result):
    """Assert that all blocks were looked for, those lost and those held were found."""
    report = result.report
    assert report["window"]["references"]["reason"] is None
    found = sites_of(report)
    assert {name: count for name, (count, _) in found.items()} == {"hold": 200, "lose": 50}
    held, lost = found["hold"][1], found["lose"][1]
    assert (held["held"], held["looked_at"]) == (200, 200)
    assert lost["looked_at"] == 50
    assert lost["lost"] >= 45  # one may stand on the stack still
    assert "Traceback" not in result.stderr
    return report


def test_ctrl_c(start_looks, looked):
    trace = start_looks()
    began_s = time.monotonic()
    trace.press_ctrl_c()
    wait_until(lambda: trace.has_ended, "it had ended")
    assert time.monotonic() - began_s < OBEYED_S
    result = trace.finish()
    report = assert_without(result, "it was interrupted", "interrupt")
    assert (result.exit_code, report["verification"]["ok"]) == (0, True)
    assert_released(looked)
    assert looked.ask("intact") == "intact"


def test_search_is_killed(start_looks, looked):
    trace = start_looks()
    find_searcher(trace.pid).kill()
    report = assert_without(trace.finish(), "the process that looks for references has ended")
    assert report["verification"]["ok"] is True
    assert_released(looked)


def test_search_is_stopped(start_looks, looked):
    """One that does nothing any more can still be interrupted."""
    trace = start_looks()
    find_searcher(trace.pid).suspend()
    trace.press_ctrl_c()
    assert_without(trace.finish(), "it was interrupted", "interrupt")
    assert_released(looked)


@pytest.mark.parametrize("start_looks", ["breakpoint"], indirect=True)
def test_gdbleak_is_killed(start_looks, looked):
    """The search ends with it, and the target is let go."""
    trace = start_looks()
    searcher = find_searcher(trace.pid)
    assert searcher
    trace.send(signal.SIGKILL)
    wait_until(lambda: not lives(searcher), "the search had ended")
    wait_until(lambda: not tracer_of(looked.pid), "nobody traced the target")
    assert looked.ask("intact") == "intact"


def test_target_exits(start_looks, looked):
    trace = start_looks()
    looked.tell("exit 3")
    report = assert_without(trace.finish(), "the process ended meanwhile", "target-exit")
    assert looked.wait() == 3
    assert report["verification"]["ok"] is None


def test_target_is_killed(start_looks, looked):
    trace = start_looks()
    looked.process.kill()
    result = trace.finish()
    # Nobody sees how it ended if nobody traced it.
    assert result.report["window"]["ended_by"] in ("target-killed", "target-exit")
    assert_without(result, "the process ended meanwhile", result.report["window"]["ended_by"])


def test_target_starts_another_program(start_looks, looked):
    trace = start_looks()
    looked.tell("exec /bin/cat")
    reason = "the process started another program meanwhile"
    assert_without(trace.finish(), reason, "target-exec")
    assert_released(looked)
    assert looked.ask("still there?") == "still there?"


def test_target_forks(start_looks, looked):
    trace = start_looks()
    assert looked.ask("forks") == "done"
    assert_found(trace.finish())
    assert looked.ask("end") == "20 children lived"
    assert_released(looked)


def test_target_maps_and_unmaps(start_looks, looked):
    trace = start_looks()
    assert looked.ask("maps") == "done"
    assert_found(trace.finish(300))
    assert looked.ask("intact") == "intact"
    assert_released(looked)


@pytest.mark.parametrize("start_looks", ["inline"], indirect=True)
def test_target_is_stopped(start_looks, looked):
    """What stands still for a while can be looked at as well."""
    trace = start_looks()
    os.kill(looked.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(looked.pid) == "T", "it had stopped")
    os.kill(looked.pid, signal.SIGCONT)
    assert_found(trace.finish())
    assert looked.ask("intact") == "intact"


def test_blocks_that_are_freed_meanwhile(start_looks, looked):
    """They are neither lost, nor do they prove anything about the others."""
    trace = start_looks()
    assert looked.ask("drain 20") == "done"
    report = trace.finish().report
    assert report["window"]["references"]["reason"] is None
    found = sites_of(report)
    left = int(looked.ask("left").split()[0])
    count, reach = found.get("hold", (0, None))
    assert left <= count < 200
    if count:
        assert (reach["held"], reach["freed_after"]) == (count, 0)
    assert found["lose"][1]["lost"] >= 45
    assert_released(looked)


def test_limit_of_time(cli, looked):
    trace = cli.start_trace(looked.pid, *LOOKING, "--scan-time", 0.5)  # the last one counts
    assert [looked.ask("hold 200"), looked.ask("lose 50")] == ["done"] * 2
    result = trace.finish()
    reason = result.report["window"]["references"]["reason"]
    assert reason.startswith("it would take ")
    assert reason.endswith(" s: see --scan-time")
    assert int(reason.split()[3]) >= 9
    assert_without(result, reason)


def test_no_search_is_wanted(cli, looked):
    trace = cli.start_trace(looked.pid, "--duration", 1, "--no-references")
    assert [looked.ask("hold 200"), looked.ask("lose 50")] == ["done"] * 2
    assert_without(trace.finish(), "--no-references")


def test_no_outstanding_blocks(cli, looked):
    result = cli.run("trace", looked.pid, "--duration", 1, "--format", "json")
    references = result.report["window"]["references"]
    assert (references["reason"], references["looks"]) == (None, 0)


def test_disk_is_full(cli, looked, saved):
    """There is room for the recording, and not for what was found."""
    blocks = 20_000
    found = REACH_BYTES * blocks

    def trace(**how):
        saved.unlink(missing_ok=True)
        options = ("--duration", 2, "--probe", "inline", "--save", saved)
        trace = cli.start_trace(looked.pid, *options, **how)
        assert looked.ask(f"lose {blocks}") == "done"
        return trace.finish()

    assert trace().report["sites"][0]["reach"]["looked_at"] == blocks
    limit = saved.stat().st_size - found // 2
    full = trace(preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)))
    report = full.report
    assert report["window"]["references"]["reason"] == "cannot write them: File too large"
    assert sites_of(report) == {"lose": (blocks, None)}
    assert "Traceback" not in full.stderr
    again = cli.run("report", saved, "--older", 0, "--format", "json").report
    assert again["window"]["references"] == report["window"]["references"]
    assert_released(looked)
