"""The line that says what a trace is doing."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from gdbleak.capture.limits import Progress
from gdbleak.commands.progress import ProgressLine
from gdbleak.recording.rate import Rate, unknown

PROGRESS = Progress(
    elapsed_s=2.51, duration_s=10, events=9, events_per_s=4123.4, outstanding=1234, stopped_s=0.52
)


def test_said_once_where_there_is_no_terminal(capsys):
    with ProgressLine("process 4711 (sessiond)") as line:
        for _ in range(3):
            line.show(PROGRESS)
    said = "gdbleak: tracing process 4711 (sessiond) for 10 s (Ctrl-C ends the window early)\n"
    assert capsys.readouterr() == ("", said)


def test_nothing_is_said_of_a_trace_that_does_not_begin(capsys):
    with ProgressLine("process 4711 (sessiond)"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch):
    """Return what a terminal of 100 columns would show."""
    monkeypatch.setenv("TERM", "xterm")  # a dumb one gets no line that is drawn over again
    screen = io.StringIO()

    def make(**_):
        return Console(
            file=screen, force_terminal=True, width=100, color_system=None, legacy_windows=False
        )

    monkeypatch.setattr("gdbleak.commands.terminal_line.Console", make)
    return screen


def test_drawn_on_a_terminal(terminal):
    with ProgressLine("process 4711 (sessiond)") as line:
        assert "attaching to process 4711 (sessiond)" in terminal.getvalue()
        line.show(PROGRESS)
        drawn = terminal.getvalue()
    for words in ["2.5 of 10 s", "4,123 events/s", "1,234 outstanding", "stopped 0.5 s", "Ctrl-C"]:
        assert words in drawn


def test_cost_is_drawn(terminal):
    with ProgressLine("process 4711 (sessiond)") as line:
        line.announce(Rate(180_000, 180_000), usable_sizes=False, budget_percent=30)
        said = (
            "\n180,000 allocations/s: recording all would slow it about 82 times; sampling within"
        )
        assert f"process 4711 (sessiond){said}" in terminal.getvalue()
        line.show(replace(PROGRESS, samples=True))
        drawn = terminal.getvalue()
        assert "2.5 of 10 s  sampling  1,234 outstanding  stopped 0.5 s  (Ctrl-C ends)" in drawn
        assert drawn.count(said) == 2


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (Rate(180_000, 179_500), "gdbleak: 180,000 allocations/s: recording all would slow it "),
        (Rate(100, 100), ""),
        (unknown("no idea"), ""),
    ],
)
def test_cost_is_said_where_it_is_high(capsys, rate, said):
    with ProgressLine("process 4711 (sessiond)") as line:
        line.announce(rate, usable_sizes=False, budget_percent=30)
    out, err = capsys.readouterr()
    assert (out, err[: len(said)], err.count("\n")) == ("", said, bool(said))


def test_said_once_on_a_terminal_that_cannot_draw(terminal, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "dumb")
    with ProgressLine("process 4711 (sessiond)") as line:
        line.show(PROGRESS)
        line.show(PROGRESS)
    assert terminal.getvalue() == ""
    assert capsys.readouterr().err.count("tracing process 4711 (sessiond) for 10 s") == 1


def test_the_line_and_the_hidden_cursor_go_with_an_error(terminal):
    def trace():
        with ProgressLine("process 4711 (sessiond)") as line:
            line.show(PROGRESS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace()
    drawn = terminal.getvalue()
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1
    assert drawn.rindex("\x1b[2K") > drawn.rindex("events/s")


def test_a_narrow_terminal_gets_one_line(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(
        "gdbleak.commands.terminal_line.Console",
        lambda **_: Console(file=screen, force_terminal=True, width=30, color_system=None),
    )
    with ProgressLine("process 4711 (sessiond)") as line:
        before = len(screen.getvalue())
        line.show(PROGRESS)
        assert "\n" not in screen.getvalue()[before:]
