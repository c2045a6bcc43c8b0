"""Rows that several call stacks share, by a recording made by hand."""

from __future__ import annotations

import pytest
import recordings
from recordings import free, malloc

from gdbleak.analysis.grouping import BY
from gdbleak.analysis.options import ReportOptions
from gdbleak.analysis.passes import analyse
from gdbleak.errors import UsageError
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.reader import Recording
from gdbleak.report.model import Frame
from gdbleak.report.suppressions import parse

S = 10**9
FRAMES = {
    0x50001: Frame(0x50001, "/srv/app", 1, "parse", "parse.c", 10),
    0x50002: Frame(0x50002, "/srv/app", 2, "parse", "parse.c", 20),
    0x50003: Frame(0x50003, "/srv/lib.so", 3, "decode", "decode.c", 30),
    0x50004: Frame(0x50004),
    0x50005: Frame(0x50005, "/srv/lib.so", 5),
    0x50006: Frame(0x50006, "/srv/lib.so", 6),
}
EVENTS = (
    *(malloc(6 * S + n, 0xA000 + 16 * n, 100, 0x50001) for n in range(5)),
    *(malloc(7 * S + n, 0xB000 + 16 * n, 200, 0x50002, thread=2) for n in range(3)),
    malloc(8 * S, 0xC000, 3000, 0x50003),
    malloc(8 * S + 1, 0xD000, 1, 0x50004),
    free(9 * S, 0xA000),
)


def make_report(tmp_path, events=EVENTS, **options):
    path = recordings.write(
        tmp_path / "recording",
        recordings.head(),
        recordings.opened(5 * S),
        *events,
        recordings.end(end_ns=15 * S),
    )
    chosen = ReportOptions(older_ms=0, sort="bytes", **options)
    return analyse(
        Recording(path), ModuleMap([]), chosen, lambda found: {a: (FRAMES[a],) for a in found}
    )


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("stack", {None: (3000, 1)}),
        ("function", {"decode": (3000, 1), "parse": (1000, 7), "(unknown)": (1, 1)}),
        ("module", {"lib.so": (3000, 1), "app": (1000, 7), "(unknown)": (1, 1)}),
        (
            "file",
            {
                "decode.c:30": (3000, 1),
                "parse.c:20": (600, 3),
                "parse.c:10": (400, 4),
                "(unknown)": (1, 1),
            },
        ),
        ("thread", {"thread 1": (3401, 6), "thread 2": (600, 3)}),
        (
            "size",
            {
                "2,048 B to 4,095 B": (3000, 1),
                "128 B to 255 B": (600, 3),
                "64 B to 127 B": (400, 4),
                "1 B": (1, 1),
            },
        ),
    ],
)
def test_rows(tmp_path, by, rows):
    sites = make_report(tmp_path, by=by).sites
    made = {site.group: (site.outstanding_bytes, site.outstanding_count) for site in sites}
    if by == "stack":
        assert set(made) == {None}
        assert len(sites) == 4
    else:
        assert made == rows
        assert list(made) == list(rows), "the largest first"


def test_group_is_judged_as_a_whole(tmp_path):
    by_function = {site.group: site for site in make_report(tmp_path, by="function").sites}
    parsed = by_function["parse"]
    assert (parsed.allocated_count, parsed.freed_count) == (8, 1)
    assert parsed.frames == (FRAMES[0x50002],), "of the call stack that holds the most"
    assert parsed.history[-1] == parsed.outstanding_bytes
    assert parsed.oldest_s == pytest.approx(9.0, abs=0.001)


def test_unknown_grouping():
    with pytest.raises(UsageError, match="by='colour' is not one of stack, "):
        ReportOptions(by="colour")


LINES = ["# known", "", "leak:parse.c", " leak:^deco*e$ ", "leak:no_such_function"]


def test_suppressions(tmp_path):
    report = make_report(tmp_path, suppressions=parse(LINES, "file"))
    assert [site.rank for site in report.sites] == [1]
    assert report.sites[0].frames == (FRAMES[0x50004],)
    suppressed = report.suppressed
    assert (suppressed.sites, suppressed.outstanding_bytes) == (3, 4000)
    assert suppressed.outstanding_count == 8
    assert report.notes[-1] == "the suppression `no_such_function` matches no call stack"


def test_nothing_is_suppressed_unless_that_is_asked_for(tmp_path):
    assert make_report(tmp_path).suppressed is None


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("parse", True),
        ("ars", True),
        ("^parse$", True),
        ("^ars", False),
        ("srv*app", True),
        ("/srv/app$", True),
        ("p.rse", False),
        ("PARSE", False),
        ("*", True),
    ],
)
def test_pattern(tmp_path, pattern, matches):
    [suppression] = parse([f"leak:{pattern}"], "file")
    sites = {site.frames[0].address: site for site in make_report(tmp_path).sites}
    assert suppression.matches(sites[0x50001]) is matches
    assert not suppression.matches(sites[0x50004])


@pytest.mark.parametrize("line", ["leak:", "race:f", "parse", "leak parse"])
def test_line_that_makes_no_sense(line):
    with pytest.raises(UsageError, match="line 2 of file is not a suppression"):
        parse(["# comment", line], "file")


@pytest.mark.parametrize("by", ["function", "file"])
def test_what_has_no_symbol_is_told_apart_by_its_place(tmp_path, by):
    events = (
        malloc(6 * S, 0xA000, 30, 0x50005),
        malloc(6 * S + 1, 0xB000, 20, 0x50006),
        malloc(6 * S + 2, 0xC000, 10, 0x50005),
    )
    sites = make_report(tmp_path, events, by=by).sites
    assert {site.group: site.outstanding_bytes for site in sites} == {
        "lib.so+0x5": 40,
        "lib.so+0x6": 20,
    }


@pytest.mark.parametrize("by", BY)
def test_rows_come_to_the_same_whatever_they_are_made_by(tmp_path, by):
    sites = make_report(tmp_path, by=by).sites
    assert sum(site.outstanding_bytes for site in sites) == 4001
    assert sum(site.outstanding_count for site in sites) == 9
    assert sum(site.allocated_count for site in sites) == 10


def test_no_rank_is_missing_among_the_rows_that_are_shown(tmp_path):
    """What leaves nothing behind comes last, however urgent its verdict would be."""
    path = recordings.write(
        tmp_path / "recording",
        recordings.head(),
        recordings.opened(5 * S),
        *(malloc(6 * S + n, 0xA000 + 16 * n, 100, 0x50001) for n in range(30)),
        *(free(7 * S + n, 0xA000 + 16 * n) for n in range(30)),
        malloc(14 * S, 0xC000, 100, 0x50001),
        *(malloc(15 * S + n, 0xB000 + 16 * n, 9000, 0x50002) for n in range(2)),
        recordings.end(end_ns=15 * S + 1000),
    )
    report = analyse(
        Recording(path),
        ModuleMap([]),
        ReportOptions(older_ms=500),
        lambda found: {a: (FRAMES[a],) for a in found},
    )
    [first, second] = report.sites
    assert (first.verdict.word, second.verdict.word) == ("churn", "too few")
    assert [site.rank for site in report.leaking] == [1]
