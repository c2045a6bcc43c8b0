"""What stands on the screen of an open window, and what keys do to it."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import pytest
import reports
from reports import HOSTILE, SAMPLES, site
from rich.cells import cell_len

from gdbleak.capture.limits import Progress
from gdbleak.follow.screen import HELP, Screen, growth_per_s
from gdbleak.report.model import Frame, Verdict, Word

PROGRESS = Progress(
    elapsed_s=12.5,
    duration_s=600,
    events=4123,
    events_per_s=330,
    outstanding=99,
    stopped_s=2.5,
    stops=4120,
)


def frames(name):
    return (Frame(crc32(name.encode()), function=name),)


def made(name, size, count, oldest_s, history=()):
    return site(
        frames=frames(name),
        outstanding_bytes=size,
        outstanding_count=count,
        oldest_s=oldest_s,
        history=history,
        verdict=Verdict(Word.LEAK, f"so is {name}"),
    )


ONE = made("one", 900, 3, 2.0, history=(0, 0, 0, 100))
TWO = made("two", 500, 9, 1.0, history=(0, 0, 0, 500))
THREE = made("three", 100, 1, 9.0, history=(100, 100, 100, 100))
REPORT = reports.report(ONE, TWO, THREE)


@pytest.fixture
def screen():
    return Screen(pid=4242, budget_percent=30)


def draw(screen, report=REPORT, width=100, height=24, progress=PROGRESS):
    return [line.plain.rstrip() for line in screen.draw(report, progress, width, height)]


def callers(screen):
    return [line.split()[-1] for line in draw(screen) if line.endswith(("one", "two", "three"))]


def test_before_the_window_is_open(screen):
    assert draw(screen, None, progress=None)[0] == "attaching to process 4242"


def test_head(screen):
    title, state, cost, *_ = draw(screen)
    assert title == "pid 4242: fibonacci, glibc 2.36"
    assert state.startswith("12.5 s of 10 min   99 blocks outstanding   resident set")
    assert "ago" not in state
    assert "table of 10.0 s ago" in draw(screen, progress=replace(PROGRESS, elapsed_s=20))[1]
    assert cost == "4,120 stops, slowed 20.0 % of the time, budget 30 %, 4,123 events"
    sampled = draw(screen, progress=replace(PROGRESS, samples=True))
    assert sampled[2].endswith("events, SAMPLED")


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("v", ["one", "two", "three"]),
        ("b", ["one", "two", "three"]),
        ("n", ["two", "one", "three"]),
        ("g", ["two", "one", "three"]),
        ("o", ["three", "one", "two"]),
        ("x", ["one", "two", "three"]),
    ],
)
def test_keys_sort(screen, key, order):
    screen.press(key, REPORT)
    assert callers(screen) == order


def test_a_row_is_widened_and_stays_so_where_it_goes(screen):
    for key in ("down", "enter", "n"):
        screen.press(key, REPORT)
    lines = draw(screen)
    row = next(number for number, line in enumerate(lines) if line.endswith("  two"))
    assert "500 B in 9 blocks" in lines[row + 1]
    assert "leak: so is two" in lines[row + 2]
    assert lines[row + 3].split() == ["#0", "two"]
    screen.press("enter", REPORT)
    assert not any("so is two" in line for line in draw(screen))


def test_a_row_stays_chosen_when_its_inlined_functions_get_names(screen):
    inlined = replace(TWO.frames[0], function="inner", inlined=True)
    screen.press("down", REPORT)
    screen.press("enter", REPORT)
    named = replace(TWO, frames=(inlined, *TWO.frames))
    assert any("so is two" in line for line in draw(screen, reports.report(ONE, named)))


def test_a_screen_of_thousands_of_call_stacks_is_bounded(screen):
    many = reports.report(*(made(f"site{n}", 5000 - n, 1, 1.0) for n in range(5000)))
    for _ in range(300):
        screen.press("down", many)
    assert "  site199" in "".join(draw(screen, many))


def test_the_selection_stays_within_the_table(screen):
    for key in ("up", *["down"] * 9, "enter"):
        screen.press(key, REPORT)
    assert any("so is three" in line for line in draw(screen))


def test_keys_without_a_report_do_no_harm(screen):
    for key in ("up", "down", "enter", "g"):
        screen.press(key, None)
    assert draw(screen, SAMPLES["nothing-outstanding"])[4].startswith("no call stack has")


def test_the_selected_row_is_in_sight(screen):
    many = reports.report(*(made(f"site{n:02}", 100 - n, 1, 1.0) for n in range(50)))
    assert "site00" in "".join(draw(screen, many, height=10))
    for _ in range(30):
        screen.press("down", many)
    lines = "".join(draw(screen, many, height=10))
    assert "site30" in lines
    assert "site00" not in lines
    for _ in range(30):
        screen.press("up", many)
    assert "site00" in "".join(draw(screen, many, height=10))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(("width", "height"), [(160, 50), (80, 24), (40, 10), (20, 5), (1, 1)])
def test_it_fits(screen, name, width, height):
    report = SAMPLES[name]
    for key in ("enter", "down", "enter", "p"):
        screen.press(key, report)
    lines = screen.draw(report, PROGRESS, width, height)
    assert len(lines) == height
    assert max(cell_len(line.plain) for line in lines) <= width
    assert all(line.plain.isprintable() for line in lines)


def test_at_80_columns_every_column_and_the_help_have_room(screen):
    assert len(HELP) <= 80
    lines = draw(screen, width=80)
    assert lines[4].split() == [
        "Bytes",
        "Blocks",
        "Growth/s",
        "Oldest",
        "Verdict",
        "Trend",
        "Caller",
    ]
    assert lines[-1] == HELP


def test_a_narrow_one_leaves_columns_out_and_keeps_the_caller(screen):
    lines = draw(screen, width=40)
    assert lines[4].split()[0] == "Bytes"
    assert [line.split()[-1] for line in lines[5:8]] == ["one", "two", "three"]


def test_names_cannot_draw(screen):
    report = reports.report(site(frames=(Frame(1, function=HOSTILE),)))
    screen.press("enter", report)
    assert all(line.isprintable() for line in draw(screen, report, width=400))


def test_growth_is_that_of_the_last_quarter():
    grown = made("grown", 900, 3, 2.0, history=(0, 100, 200, 450))
    assert growth_per_s(reports.report(grown), grown) == 250 / 2.5  # of ten seconds
    assert growth_per_s(REPORT, replace(ONE, history=())) == 0
