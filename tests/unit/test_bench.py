"""What the benchmark makes of the lines that a target wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import recordings

SECOND = 10**9
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    """Return the modules (figures, runs, spans, targets) of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import figures
    import runs
    import spans
    import targets

    return figures, runs, spans, targets


class StoppedTool:
    """What `runs.summarize` reads of a tool."""

    cpu = ((9.0, 0.0), (10.5, 1.0), (10.9, 1.2), (12.0, 9.0))
    peak_bytes = 5_000_000


def test_only_what_lies_in_the_window_is_steady(bench):
    _, runs, spans, targets = bench
    gaps = {10.0: 1, 10.1: 8, 10.2: 2, 10.5: 3, 10.8: 4, 11.2: 9, 11.4: 99}
    lines = [targets.Line(end, 10, 0.1, gap) for end, gap in gaps.items()]
    span = spans.Span(10.05, 10.05, 11.0, 11.0)
    run = runs.summarize(lines, span, StoppedTool())
    assert [line.end for line in run.steady] == [10.5, 10.8]
    assert (run.attach_ms, run.longest_ms) == (8, 8)
    assert run.cpu == pytest.approx(0.5)


def test_the_pauses_before_and_after_the_window_count(bench):
    _, runs, spans, targets = bench
    span = spans.Span(9.5, 10.0, 11.0, 11.3)
    gaps = {9.45: 99, 9.55: 8, 9.9: 1, 10.5: 3, 11.05: 9, 11.25: 12, 11.5: 99}
    lines = [targets.Line(end, 10, 0.05, gap) for end, gap in gaps.items()]
    run = runs.summarize(lines, span, StoppedTool())
    assert [line.end for line in run.steady] == [10.5]
    assert (run.attach_ms, run.longest_ms) == (8, 12)


def test_a_target_that_wrote_nothing_is_a_failure(bench):
    _, runs, spans, _ = bench
    with pytest.raises(runs.RunError):
        runs.summarize([], spans.Span(10.05, 10.05, 11.0, 11.0), StoppedTool())


def test_when_it_recorded_is_read_in_the_recording(bench, tmp_path):
    _, _, spans, _ = bench
    place = tmp_path / spans.RECORDING
    assert spans.read_opening(tmp_path) is spans.read_window(tmp_path) is None
    begin = [recordings.head(), recordings.opened(7 * SECOND)]
    recordings.write(place, *begin[:1])
    assert spans.read_opening(tmp_path) is None
    recordings.write(place, *begin)
    assert (spans.read_opening(tmp_path), spans.read_window(tmp_path)) == (7, None)
    recordings.write(place, *begin, recordings.end(end_ns=9 * SECOND))
    assert (spans.read_opening(tmp_path), spans.read_window(tmp_path)) == (7, (7, 9))


def test_spread_leaves_out_a_twentieth_at_each_end(bench):
    figures, *_ = bench
    assert figures.spread([-1000.0, *map(float, range(1, 20)), 1000.0]) == "10 (1..19)"
    assert figures.spread([0.12345]) == "0.123"


def test_a_pair_is_two_raw_stops(bench):
    figures, runs, _, targets = bench
    line = targets.Line(1.0, 100, 0.01, 1)
    run = runs.Run((line,), 1.0, 1.0, None, None)
    assert figures.raw_stop_us([run]) == pytest.approx(50)
    assert figures.row("raw", [run], 50.0)[:4] == ("raw", "100", "10,000", "2")


def test_a_latency_is_compared_to_that_without_a_tool(bench):
    figures, runs, _, targets = bench
    plain, slow = (
        [runs.Run((targets.Line(1.0, 10, 0.1, 1, 50.0, p99_us),), None, 1.0, None, None)]
        for p99_us in (200.0, 500.0)
    )
    assert figures.row("slow", slow, None, plain)[-2:] == ("0.5", "2.5")
    assert figures.row("slow", slow, None)[-1] == ""
