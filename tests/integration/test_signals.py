"""The target's signals reach it as without us: none is lost, doubled or turned into a stop."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from support.crew import TORTURE
from support.processes import state_of, wait_until

pytestmark = pytest.mark.usefixtures("needs_ptrace")

WINDOW_S = 0.5 * TORTURE
QUEUED = 200
PROMPTED = 20
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()


def read_counts(target):
    return json.loads(target.ask("counts"))


def exchange_signals(target):
    """Have the target receive signals of all kinds, and return what it counted."""
    before = read_counts(target)

    def counted(name):
        return read_counts(target)[name] - before[name]

    target.tell(f"go {QUEUED}")
    for count in range(1, PROMPTED + 1):
        for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
            os.kill(target.pid, signal.Signals[name])
            wait_until(lambda: counted(name) == count, f"{name} came {count} times")  # noqa: B023
    for name in ("from a process", "from a thread", "children", "blocks"):
        wait_until(lambda: counted(name) >= QUEUED, f"{name}: {QUEUED}", 60)  # noqa: B023
    counts = {name: counted(name) for name in before if name != "wrong"}
    for name in ("SIGALRM", "SIGPROF"):
        counts[name] = counts[name] > 0
    return {**counts, "wrong": read_counts(target)["wrong"]}


@pytest.mark.parametrize("how", ["handler", "sigwait", "signalfd"])
def test_no_signal_is_lost_or_doubled(cli, build_target, start_target, how):
    target = start_target(build_target("signals.c"), how)
    untraced = exchange_signals(target)
    trace = cli.start_trace(target.pid)
    opened = time.monotonic()
    traced = [exchange_signals(target)]
    while time.monotonic() - opened < WINDOW_S:
        traced.append(exchange_signals(target))
    print(f"{time.monotonic() - opened:.1f} s: {read_counts(target)}")  # noqa: T201 - for -rP
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert untraced["wrong"] == {"SIGALRM": 0, "SIGPROF": 0, "queued": 0, "SIGCHLD": 0}
    assert traced == [untraced] * len(traced)
    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    [churn] = [site for site in report["sites"] if site["function"] == "churn"]
    assert (churn["allocated_count"], churn["freed_count"]) == (len(traced) * QUEUED,) * 2
    window = report["window"]
    assert (window["missed_frees"], window["lost_events"]) == (0, 0)
    # The C library's own, when a thread ends.
    assert window["frees_of_older_blocks"] < 10 * len(traced)
    assert exchange_signals(target) == untraced


@pytest.fixture
def start_in_core_folder(build_target, start_target, tmp_path):
    """Return a function that starts a program that will dump its core into the folder given."""

    def start(name):
        folder = tmp_path / name
        folder.mkdir()
        script = 'ulimit -S -c "$(ulimit -H -c)" && cd "$1" && exec "$2"'
        return start_target("sh", "-c", script, "sh", folder, build_target("death.c")), folder

    return start


def die(target, how):
    """Have the target die, and return its status as its parent sees it."""
    if isinstance(how, signal.Signals):
        os.kill(target.pid, how)
    else:
        target.tell(how)
    return os.waitpid(target.pid, 0)[1]


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ("null write", signal.SIGSEGV),
        ("abort", signal.SIGABRT),
        ("raise", signal.SIGTERM),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGKILL, signal.SIGKILL),
    ],
)
def test_fatal_signal_kills_as_without_us(cli, start_in_core_folder, how, number):
    target, untraced_folder = start_in_core_folder("untraced")
    untraced = die(target, how)
    target, traced_folder = start_in_core_folder("traced")
    trace = cli.start_trace(target.pid)
    assert target.ask("leak") == "leaked"
    assert die(target, how) == untraced
    report = trace.finish().report

    assert os.WTERMSIG(untraced) == number
    assert report["window"]["ended_by"] == "target-killed"
    [site] = report["sites"]
    assert (site["function"], site["outstanding_count"]) == ("leak", 10)
    if CORE_PATTERN.startswith(("|", "/")):
        pytest.skip(f"cores go to {CORE_PATTERN}, not to where they can be compared")
    for folder in (untraced_folder, traced_folder):
        cores = [path.stat().st_size > 0 for path in folder.iterdir()]
        assert cores == [True] * os.WCOREDUMP(untraced)


def test_sigstop_is_swallowed_and_sigcont_does_no_harm(cli, build_target, start_target):
    target = start_target(build_target("death.c"))
    trace = cli.start_trace(target.pid)
    for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP):
        os.kill(target.pid, number)
        assert target.ask("leak") == "leaked"
    trace.send(signal.SIGINT)
    report = trace.finish().report

    assert (report["window"]["ended_by"], report["verification"]["ok"]) == ("interrupt", True)
    assert [site["outstanding_count"] for site in report["sites"]] == [30]
    assert state_of(target.pid) in "RS"
    assert target.ask("leak") == "leaked"
