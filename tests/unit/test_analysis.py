"""From a recording made by hand to its report."""

from __future__ import annotations

import pytest
import recordings
from recordings import PROGRAM, free, malloc

from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.errors import RecordingError
from gdbleak.recording.end import Verification
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.phases import Phase
from gdbleak.recording.reader import Recording
from gdbleak.report.model import Frame, Recorded
from gdbleak.report.window import MemoryInfo

S = 10**9
OPENED_NS, END_NS = 5 * S, 15 * S
ONE, TWO, WRAPPER = 0x50001, 0x50002, 0x50003
"""Return addresses outside every module."""
NAMES = {ONE: "one", TWO: "two", WRAPPER: "operator new(unsigned long)"}


def resolve(addresses):
    return {a: (Frame(a, function=NAMES.get(a)),) for a in addresses}


@pytest.fixture
def make_report(tmp_path):
    """Return a function that makes the report of frames."""

    def make_report(*frames, options=None, whole=True, modules=(), head=None, **end):
        last = [recordings.end(end_ns=END_NS, **end)] if whole else []
        first = [head or recordings.head(), recordings.opened(OPENED_NS)]
        path = recordings.write(tmp_path / "recording", *first, *frames, *last)
        options = options or ReportOptions(older_ms=0)
        return analyse(Recording(path), ModuleMap(modules), options, resolve)

    return make_report


def sites(report, *fields):
    return [tuple(getattr(site, field) for field in fields) for site in report.sites]


def test_site(make_report):
    (site,) = make_report(
        malloc(6 * S, 0xA0, 100, ONE),
        malloc(7 * S, 0xB0, 200, ONE),
        malloc(8 * S, 0xC0, 400, ONE),
        free(9 * S, 0xA0),
    ).sites
    assert (site.rank, site.outstanding_bytes, site.outstanding_count) == (1, 600, 2)
    assert (site.allocated_bytes, site.allocated_count, site.freed_count) == (700, 3, 1)
    assert (site.bytes_per_s, site.oldest_s) == (60.0, 8.0)
    assert site.frames == (Frame(ONE, function="one"),)
    assert (site.caller, site.truncated) == (site.frames[0], True)


def test_freed_site_is_a_site_all_the_same(make_report):
    report = make_report(malloc(6 * S, 0xA0, 100, ONE), free(9 * S, 0xA0))
    assert sites(report, "outstanding_count", "freed_count", "oldest_s") == [(0, 1, None)]
    assert report.leaking == ()


@pytest.mark.parametrize(
    ("older_ms", "count"), [(0, 3), (499, 2), (500, 2), (501, 1), (9000, 1), (9001, 0)]
)
def test_age_limit(make_report, older_ms, count):
    report = make_report(
        malloc(END_NS - 9 * S, 0xA0, 1, ONE),
        malloc(END_NS - S // 2, 0xB0, 1, ONE),
        malloc(END_NS, 0xC0, 1, ONE),
        options=ReportOptions(older_ms=older_ms),
    )
    assert sites(report, "outstanding_count", "allocated_count") == [(count, 3)]


@pytest.mark.parametrize(
    ("low", "high", "sizes"),
    [
        (0, None, [300, 200, 100]),
        (200, None, [300, 200]),
        (201, None, [300]),
        (0, 200, [200, 100]),
        (0, 199, [100]),
        (200, 200, [200]),
        (301, None, []),
    ],
)
def test_size_limits(make_report, low, high, sizes):
    report = make_report(
        malloc(6 * S, 0xA0, 100, 0x50001),
        malloc(6 * S, 0xB0, 200, 0x50002),
        malloc(6 * S, 0xC0, 300, 0x50003),
        options=ReportOptions(low, high, older_ms=0),
    )
    assert [site.outstanding_bytes for site in report.sites] == sizes
    assert report.window.allocations == 3, "the window is what it was"


def test_order(make_report):
    frames = [
        *(malloc(6 * S, 0xA00 + n, 10, ONE) for n in range(5)),
        malloc(6 * S, 0xB00, 100, TWO),
        malloc(6 * S, 0xC00, 900, WRAPPER),
        free(7 * S, 0xC00),
    ]
    by_verdict = make_report(*frames)
    assert sites(by_verdict, "rank", "outstanding_bytes") == [(1, 100), (2, 50), (3, 0)]
    assert [site.verdict.word for site in by_verdict.sites] == ["too few", "too few", "churn"]
    by_bytes = make_report(*frames, options=ReportOptions(older_ms=0, sort="bytes"))
    assert sites(by_bytes, "rank", "outstanding_bytes") == [(1, 100), (2, 50), (3, 0)]
    by_count = make_report(*frames, options=ReportOptions(older_ms=0, sort="count"))
    assert sites(by_count, "rank", "outstanding_count") == [(1, 5), (2, 1), (3, 0)]


def test_order_of_equals_is_the_same_every_time(make_report):
    frames = [malloc(6 * S, 0xA00 + n, 10, 0x50000 + n) for n in range(20)]
    there, back = make_report(*frames), make_report(*frames[::-1])
    assert there.sites == back.sites
    assert [site.rank for site in there.sites] == list(range(1, 21))


def test_window(make_report):
    window = make_report(
        malloc(6 * S, 0xA0, 10, ONE),
        free(7 * S, 0xA0),
        free(7 * S, 0xBAD),
        malloc(8 * S, 0xB0, 10, ONE),
        malloc(8 * S, 0xB0, 10, ONE),
        recordings.hit(recordings.MALLOC, 9 * S, recordings.SP - 8, 10),
        recordings.hit(recordings.FREE, 9 * S, recordings.SP, 0xB0),
        lost_events=3,
    ).window
    assert (window.started, window.duration_s) == ("2024-05-01T09:00:00+02:00", 10.0)
    assert (window.ended_by, window.complete, window.events) == ("duration", True, 10)
    assert (window.allocations, window.frees, window.frees_of_older_blocks) == (3, 3, 1)
    assert (window.missed_frees, window.lost_events) == (1, 3 + 1)
    assert (window.stops, window.stopped_s, window.longest_pause_ms) == (3, 0.25, 8.5)


def test_target_and_proof(make_report):
    report = make_report()
    assert (report.target.pid, report.target.allocator) == (4242, "glibc 2.36")
    assert report.verification == Verification(0, "S", "S", True, True)
    assert report.sites == ()


@pytest.mark.parametrize(
    ("before", "after", "explained"),
    [
        (1_000, 2_000, 300),  # the blocks explain some of it
        (1_000, 1_200, 200),  # more was allocated than it has grown
        (1_000, 1_000, 0),
        (2_000, 1_000, 0),  # it has shrunk
        (None, 1_000, None),
        (1_000, None, None),
    ],
)
def test_explained_memory(make_report, before, after, explained):
    report = make_report(
        malloc(6 * S, 0xA0, 100, ONE),
        malloc(6 * S, 0xB0, 200, ONE),
        malloc(6 * S, 0xC0, 400, ONE),
        free(7 * S, 0xC0),
        head=recordings.head(rss_before=before),
        rss_after=after,
    )
    assert report.memory == MemoryInfo(before, after, explained, outstanding_bytes=300)


def test_recording_that_was_cut_off(make_report):
    report = make_report(malloc(6 * S, 0xA0, 100, ONE), malloc(9 * S, 0xB0, 100, ONE), whole=False)
    window = report.window
    assert (window.complete, window.ended_by, window.duration_s) == (False, "unknown", 4.0)
    assert (window.stops, window.stopped_s, window.longest_pause_ms) == (None, None, None)
    assert sites(report, "outstanding_count", "oldest_s") == [(2, 3.0)]
    assert report.memory == MemoryInfo(1_000_000, None, None, outstanding_bytes=200)
    assert report.verification == Verification(None, None, None, None, None)


def test_recording_that_was_cut_off_before_its_first_event(make_report):
    report = make_report(whole=False)
    assert (report.window.duration_s, report.window.events, report.sites) == (0.0, 0, ())


def test_no_rate_without_a_window(make_report):
    (site,) = make_report(malloc(OPENED_NS, 0xA0, 100, ONE), whole=False).sites
    assert (site.bytes_per_s, site.oldest_s) == (0.0, 0.0)


def test_module_that_cannot_be_read_is_noted_once(make_report):
    inside = PROGRAM.start + 0x100
    report = make_report(
        malloc(6 * S, 0xA0, 100, inside),
        malloc(7 * S, 0xB0, 100, inside + 8),
        modules=[PROGRAM],
    )
    (note,) = report.notes
    assert "/srv/program" in note
    assert "its file was deleted" in note
    assert sites(report, "truncated") == [(True,), (True,)]


def test_module_whose_file_is_damaged_is_noted(make_report, tmp_path):
    (tmp_path / "damaged").write_text("no ELF file")
    values = {**PROGRAM.to_json(), "file": str(tmp_path / "damaged")}
    report = make_report(
        malloc(6 * S, 0xA0, 100, PROGRAM.start + 1), modules=[PROGRAM.from_json(values)]
    )
    assert "/srv/program" in report.notes[0]


def test_tail(make_report):
    """It belongs to no rate, and its end is the end of every age."""
    head = recordings.head(duration_s=6.0, tail_s=4.0)
    report = make_report(
        malloc(6 * S, 0xA0, 100, ONE),
        malloc(7 * S, 0xB0, 200, ONE),
        recordings.turn(11 * S, Phase.FREES),
        free(12 * S, 0xA0),
        head=head,
    )
    assert (report.window.duration_s, report.window.tail_s) == (6.0, 4.0)
    assert sites(report, "outstanding_bytes", "bytes_per_s", "oldest_s") == [(200, 200 / 6, 8.0)]
    assert (report.window.sampling, report.notes) == (None, ())


def test_tail_in_bursts_is_noted(make_report):
    report = make_report(
        recordings.turn(11 * S, Phase.FREES),
        recordings.turn(12 * S, Phase.NONE),
        head=recordings.head(duration_s=6.0, tail_s=4.0),
    )
    assert report.window.sampling is None
    (note,) = report.notes
    assert note.startswith("in the tail, frees were recorded in bursts only, to keep to --budget; ")


def sampled(make_report, growth=6000, rate=900.0, options=None, **values):
    """Make the report of a queue, which is seen to be freed in time, and a leak, in bursts."""
    frames = []
    for second in range(5, 15):
        start = second * S + 1000 * (second > 5)
        frames.append(recordings.turn(start, Phase.ALL))
        for number in range(8):
            frames.append(malloc(start + number * 1000, 0x1000 + 64 * number, 100, ONE))
        frames.append(malloc(start + 8000, 0x100000 + 0x1000 * second, 50, TWO))
        # A quarter of a burst is its last part; what was born in it does not count.
        frames.append(recordings.turn(start + S // 5, Phase.NONE))
    measured = {"allocations_per_s": rate, "frees_per_s": 0.0, "at_least": False, "reason": None}
    head = recordings.head(rate=measured, rss_before=1_000_000, **values)
    return make_report(*frames, head=head, options=options, rss_after=1_000_000 + growth)


def test_estimates_come_to_the_same_whatever_rows_are_made_by(make_report):
    """How long blocks live is not the same in all call stacks of a row."""
    one = sampled(make_report)
    by_module = sampled(make_report, options=ReportOptions(older_ms=0, by="module"))
    (row,) = by_module.sites
    for name in ("outstanding_bytes", "outstanding_count"):
        assert getattr(row, name) == sum(getattr(site, name) for site in one.sites)
    assert row.outstanding_bytes_low <= row.outstanding_bytes <= row.outstanding_bytes_high
    assert by_module.window.sampling == one.window.sampling


@pytest.mark.parametrize(("rate", "calls", "scale"), [(0.0, None, 5), (900.0, 9000, 100)])
def test_sampled_window(make_report, rate, calls, scale):
    report = sampled(make_report, rate=rate)
    sampling = report.window.sampling
    assert (sampling.recorded_calls, sampling.calls) == (90, calls)
    assert sampling.recorded_s == pytest.approx(2)
    assert (sampling.scale, sampling.scale_low) == (pytest.approx(scale), pytest.approx(5))
    leak, queue = report.sites
    assert (leak.caller.function, queue.caller.function) == ("two", "one")
    assert leak.recorded == Recorded(500, 10, 500, 10, 0)
    assert leak.outstanding_count == round(10 * 4 / 3 * scale)
    assert leak.outstanding_bytes == pytest.approx(50 * leak.outstanding_count, rel=0.01)
    assert leak.outstanding_bytes_low < leak.outstanding_bytes < leak.outstanding_bytes_high
    assert (leak.allocated_count, leak.freed_count) == (leak.outstanding_count, 0)
    assert leak.bytes_per_s == leak.outstanding_bytes / 10
    assert leak.history[-1] == 500 * scale
    # Of the queue some are not seen to be freed yet; none of it stays for long.
    assert queue.recorded == Recorded(800, 8, 8000, 80, 72)
    assert (queue.outstanding_bytes_low, queue.outstanding_bytes) == (0, 0)
    assert queue.outstanding_bytes_high > 800 * 4 / 3 * scale, "but it may hold as many always"
    assert report.leaking == (leak,)
    assert (queue.allocated_count, queue.freed_count) == (80 * scale, 72 * scale)


@pytest.mark.parametrize("growth", [0, 6000, 10**9])
def test_growth_of_the_resident_set_does_not_make_estimates(make_report, growth):
    """It is there to compare: what was fitted to it cannot explain it."""
    report = sampled(make_report, growth)
    assert report.window.sampling == sampled(make_report).window.sampling
    assert report.sites == sampled(make_report).sites
    memory = report.memory
    assert (memory.rss_before, memory.rss_after) == (1_000_000, 1_000_000 + growth)
    assert memory.explained_bytes is None
    assert memory.outstanding_bytes == sum(site.outstanding_bytes for site in report.sites)


def test_what_was_never_seen_outstanding_is_not_estimated_to_be(make_report):
    frames = [
        *(recordings.turn(5 * S, Phase.ALL), malloc(6 * S, 0xA0, 100, ONE), free(9 * S, 0xA0)),
        recordings.turn(10 * S, Phase.NONE),
    ]
    (site,) = make_report(*frames).sites
    assert (site.outstanding_bytes, site.outstanding_count, site.outstanding_bytes_low) == (0, 0, 0)
    assert (site.allocated_count, site.freed_count) == (2, 2)
    assert 0 < site.outstanding_bytes_high < 1000, "there may be some all the same"


def test_sampled_window_of_some_sizes(make_report):
    """Neither the rate nor the growth of the resident set is about these sizes alone."""
    report = sampled(make_report, sizes=[41, 100])
    sampling = report.window.sampling
    assert (sampling.calls, sampling.scale) == (None, pytest.approx(5))
    assert report.window.sizes == (41, 100)


@pytest.mark.parametrize("sizes", [[1], [1, 2, 3], ["x", 2], 5])
def test_damaged_sizes(tmp_path, sizes):
    path = recordings.write(tmp_path / "recording", recordings.head(sizes=sizes))
    with pytest.raises(RecordingError, match="sizes cannot be"):
        Recording(path)


@pytest.mark.parametrize(("stopped_s", "share"), [(1.0, None), (8.8, "88 %")])
def test_process_that_stood_still_for_long(tmp_path, stopped_s, share):
    path = recordings.write(
        tmp_path / "recording",
        recordings.head(),
        recordings.opened(OPENED_NS),
        recordings.end(end_ns=OPENED_NS + 10**10, stopped_s=stopped_s),
    )
    report = analyse(Recording(path), ModuleMap([]), ReportOptions(), resolve)
    notes = [note for note in report.notes if "stood still" in note]
    assert len(notes) == bool(share)
    assert all(f"{share} of the window" in note for note in notes)


def test_process_that_ended_before_its_window_was_open(tmp_path):
    path = recordings.write(
        tmp_path / "recording", recordings.head(), recordings.end(end_ns=END_NS, ended_by="x")
    )
    report = analyse(Recording(path), ModuleMap([]), ReportOptions(), resolve)
    assert (report.window.duration_s, report.sites) == (0.0, ())
