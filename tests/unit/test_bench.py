"""What the benchmark makes of the lines that a target wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """Return the modules (figures, runs, targets) of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import figures
    import runs
    import targets

    return figures, runs, targets


class StoppedTool:
    """What `runs.summarize` reads of a tool."""

    traced = (10.05, 11.0)
    cpu = ((9.0, 0.0), (10.5, 1.0), (10.9, 1.2), (12.0, 9.0))
    peak_bytes = 5_000_000


def test_only_what_lies_in_the_window_is_steady(bench):
    _, runs, targets = bench
    gaps = {10.0: 1, 10.1: 8, 10.2: 2, 10.5: 3, 10.8: 4, 11.2: 9, 11.4: 99}
    lines = [targets.Line(end, 10, 0.1, gap) for end, gap in gaps.items()]
    run = runs.summarize(lines, (10.05, 11.0), StoppedTool())
    assert [line.end for line in run.steady] == [10.5, 10.8]
    assert (run.attach_ms, run.longest_ms) == (8, 8)
    assert run.cpu == pytest.approx(0.5)


def test_the_pause_of_the_detach_counts(bench):
    _, runs, targets = bench
    lines = [targets.Line(10.5, 10, 0.1, 3), targets.Line(11.05, 10, 0.1, 9)]
    assert runs.summarize(lines, (10.05, 11.0), StoppedTool()).longest_ms == 9


def test_a_target_that_wrote_nothing_is_a_failure(bench):
    _, runs, _ = bench
    with pytest.raises(runs.RunError):
        runs.summarize([], (10.05, 11.0), StoppedTool())


def test_spread_leaves_out_a_twentieth_at_each_end(bench):
    figures, _, _ = bench
    assert figures.spread([-1000.0, *map(float, range(1, 20)), 1000.0]) == "10 (1..19)"
    assert figures.spread([0.12345]) == "0.123"


def test_a_pair_is_two_raw_stops(bench):
    figures, runs, targets = bench
    line = targets.Line(1.0, 100, 0.01, 1)
    run = runs.Run((line,), 1.0, 1.0, None, None)
    assert figures.raw_stop_us([run]) == pytest.approx(50)
    assert figures.row("raw", [run], 50.0)[:4] == ("raw", "100", "10,000", "2")
