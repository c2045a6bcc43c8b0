"""A target is slowed for a share of the time: what is recorded of it, and that it is unharmed."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from support.cli import lasting_notes
from support.processes import wait_until

import gdbleak
from gdbleak.recording.events import Hit, Turn
from gdbleak.recording.reader import Recording

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def numbers(line):
    return [int(word) for word in line.split()]


def turns_of(recording):
    """Return how often breakpoints have come or gone so far."""
    return sum(isinstance(event, Turn) for event in Recording(str(recording)).iter_events())


def hits_in(recording):
    """Return how often breakpoints have been hit so far."""
    return sum(isinstance(event, Hit) for event in Recording(str(recording)).iter_events())


@pytest.fixture(scope="module")
def twenty_sites(build_target):
    """Return the command of 20 busy sites, one of which forgets each fifth block."""
    return build_target("twenty_sites.c", "-pthread"), "20", "20000", "5"


@pytest.mark.slow
def test_busy_target_is_sampled_and_what_leaks_stands_out(
    cli, start_target, twenty_sites, tmp_path
):
    target = start_target(*twenty_sites)
    saved = tmp_path.with_suffix(".gdbleak")
    options = ("--probe", "breakpoint", "--budget", 30, "--older", 500, "--sort", "bytes")
    trace = cli.start_trace(target.pid, *options, "--save", saved)
    wait_until(lambda: turns_of(saved) > 40, "breakpoints have come and gone", deadline_s=120)
    wait_until(lambda: hits_in(saved) > 3_000, "each site has been seen", deadline_s=120)
    trace.send(signal.SIGINT)
    report = trace.finish().report

    sampling = report["window"]["sampling"]
    assert sampling["bursts"] > 10
    assert sampling["recorded_calls"] == report["window"]["allocations"]
    assert 2 < sampling["scale_low"] <= sampling["scale"] <= sampling["scale_high"]
    assert report["window"]["found_free"] > 0
    # Mostly it is the first; benchmarks/sampling.py says how surely.
    [leak] = [site for site in report["sites"][:10] if site["function"] == "site_13"]
    low, most, high = (leak[f"outstanding_bytes{which}"] for which in ("_low", "", "_high"))
    assert 0 < leak["recorded"]["outstanding_bytes"] < most
    assert 0 < low < most < high
    assert any("reserved" in note for note in report["notes"])
    assert report["verification"]["ok"] is True
    allocated, forgotten = numbers(target.ask(""))
    assert allocated > forgotten > 0


@pytest.mark.parametrize("threads", [1, 4, 16])
def test_budget_is_kept_however_many_threads_are_busy(
    cli, start_target, build_target, tmp_path, threads
):
    target = start_target(build_target("busy.c", "-pthread"), str(threads), "0", "1000")
    saved = tmp_path.with_suffix(".gdbleak")
    options = ("--probe", "breakpoint", "--budget", 30, "--save", saved)
    trace = cli.start_trace(target.pid, *options)
    # So long that what it takes to notice that the budget is used up counts for little.
    wait_until(lambda: turns_of(saved) > 20, "breakpoints have come and gone", deadline_s=240)
    trace.send(signal.SIGINT)
    window = trace.finish().report["window"]
    assert window["sampling"]["bursts"] > 5
    assert window["stopped_s"] < 0.6 * window["duration_s"]


@pytest.fixture
def busy_host(build_target):
    """Have four threads for each processor run all the time."""
    command = [build_target("busy.c", "-pthread"), str(4 * (os.cpu_count() or 1)), "0", "1000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield
        process.kill()


@pytest.mark.slow
@pytest.mark.usefixtures("busy_host")
def test_budget_is_kept_on_a_busy_host(cli, start_target, build_target):
    """At 300 allocations/s it could be recorded whole, if GDB did not wait for a processor."""
    target = start_target(build_target("paced.c"), "300")
    options = ("--probe", "breakpoint", "--duration", 10, "--max-pause", 10_000, "--no-references")
    window = (
        cli.start("trace", target.pid, *options, "--format", "json").finish(300).report["window"]
    )
    assert window["stopped_s"] < 0.4 * window["duration_s"]
    assert window["sampling"] or window["stopped_s"] < 0.3 * window["duration_s"]


def test_whole_budget_records_everything(cli, start_target, twenty_sites):
    target = start_target(*twenty_sites)
    trace = cli.start_trace(target.pid)
    before, _ = numbers(target.ask(""))
    wait_until(lambda: numbers(target.ask(""))[0] > before + 1000, "a thousand allocations")
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["window"]["sampling"] is None
    assert report["window"]["allocations"] >= 1000
    assert (report["window"]["missed_frees"], report["window"]["found_free"]) == (0, 0)
    assert lasting_notes(report) == []


def test_calm_target_is_recorded_whole(cli, start_target, build_target):
    """What its blocks were asked for, too."""
    puppet = start_target(build_target("puppet.c"))
    trace = cli.start_trace(puppet.pid, "--budget", 30)
    for _ in range(5):
        puppet.ask("leak 3")
    trace.send(signal.SIGINT)
    report = trace.finish().report
    assert report["window"]["sampling"] is None
    (site,) = report["sites"]
    assert (site["outstanding_count"], site["outstanding_bytes"]) == (15, 1500)
    assert site["recorded"] is None


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("vfork",)], ids=["fork", "vfork"])
def test_children_started_between_bursts_never_meet_a_breakpoint(
    cli, start_target, build_target, tmp_path, how
):
    """GDB takes all breakpoints out of a child's copy of the memory, in or not at that moment.

    A child of vfork runs in the memory of its parent: none may be written into it meanwhile.
    """
    target = start_target(build_target("forks.c", "-Wno-clobbered"), *how)
    saved = tmp_path.with_suffix(".gdbleak")
    trace = cli.start_trace(target.pid, "--probe", "breakpoint", "--budget", 30, "--save", saved)

    wait_until(lambda: turns_of(saved) > 100, "breakpoints have come and gone", deadline_s=120)
    trace.send(signal.SIGINT)
    report = trace.finish().report
    started, failed = numbers(target.ask(""))
    assert (started > 100, failed) == (True, 0)
    assert report["window"]["children"] > 100
    assert report["verification"]["ok"] is True
    target.assert_as_found()


def test_tail_sees_blocks_end_and_none_begin(start_target, build_target):
    """What is freed after the window is not outstanding; what is allocated then is no block."""
    keeper = start_target(build_target("keeper.c"))
    told = []

    def tell(progress):
        if not told:
            told.append("window")
            assert keeper.ask("keep 6") == "kept 6"
        elif progress.elapsed_s > 1.2 and len(told) == 1:
            told.append("tail")
            assert keeper.ask("drop 4") == "dropped 4"
            assert keeper.ask("keep 9") == "kept 9"

    report = gdbleak.trace(
        keeper.pid,
        duration_s=1,
        tail_s=2,
        options=gdbleak.ReportOptions(older_ms=0),
        on_progress=tell,
        max_memory=1 << 40,
    )
    assert told == ["window", "tail"]
    assert (report.window.duration_s, report.window.ended_by) == (1.0, "duration")
    assert report.window.tail_s >= 2
    (site,) = report.leaking
    assert (site.allocated_count, site.freed_count, site.outstanding_count) == (6, 4, 2)
    assert report.window.frees == 4
    assert report.verification.ok is True


@pytest.mark.parametrize("share", ["0", "100.1", "-5", "all", "nan"])
def test_share_that_is_none(cli, start_target, build_target, share):
    puppet = start_target(build_target("puppet.c"))
    result = cli.run("trace", puppet.pid, "--budget", share)
    assert result.exit_code == 2
    assert "--budget" in result.stderr
    assert result.stderr.count("\n") <= 3
