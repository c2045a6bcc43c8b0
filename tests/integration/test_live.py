"""The full screen of an open window: what it shows, what keys do, and how the terminal is left."""

from __future__ import annotations

import fcntl
import json
import signal
import termios
from array import array

import pytest
from support.crew import tracer_of
from support.processes import lives, state_of, wait_until
from support.terminals import TerminalRun

pytestmark = pytest.mark.usefixtures("needs_ptrace")


@pytest.fixture
def start(puppet, tmp_path):
    """Return a function that shows the puppet on a terminal."""
    runs = []

    def start(*options, **how):
        tmpdir = tmp_path / f"tmpdir{len(runs)}"
        tmpdir.mkdir()
        options = ("--live", "--older", 0, "--duration", 600, *options)
        run = TerminalRun("trace", puppet.pid, *options, TMPDIR=str(tmpdir), **how)
        runs.append(run)
        return run

    yield start
    for run in runs:
        run.end()


@pytest.fixture
def live(start, puppet):
    """Return the screen of a puppet that has leaked ten blocks."""
    run = start()
    run.read_until_shown("of 10 min", "no call stack has outstanding blocks so far")
    assert puppet.ask("leak 10") == "leaked"
    run.read_until_shown("leak puppet.c")
    return run


def is_full(run):
    """Tell whether more waits to be read than a few screens: the kernel takes no more then."""
    return array("i", fcntl.ioctl(run.master, termios.FIONREAD, bytes(4)))[0] > 4000


def follower_of(run):
    """Return the process that draws the screen."""
    [follower] = [
        process for process in run.process.children() if "gdbleak.follow.main" in process.cmdline()
    ]
    return follower


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (160, 50)])
def test_what_it_shows(start, puppet, columns, rows):
    run = start(columns=columns, rows=rows)
    run.read_until_shown("of 10 min")
    puppet.ask("leak 10")
    run.read_until_shown("1,000 B", "leak puppet.c")

    header = next(line for line in run.text.splitlines() if "Bytes" in line)
    assert header.split() == ["Bytes", "Blocks", "Growth/s", "Oldest", "Verdict", "Trend", "Caller"]
    for words in (f"pid {puppet.pid}", "10 blocks outstanding", "budget 30 %", "20 stops", "q end"):
        assert words in run.text
    assert run.screen.display[rows - 1].startswith("q end")
    run.press("q")
    assert run.finish() == 0


def test_keys(live, puppet):
    live.press("enter")
    live.read_until_shown("#0  leak", "#1  main")
    live.press("enter")
    live.read_until(lambda: "#0  leak" not in live.text)
    live.press("p")
    live.read_until_shown("PAUSED")
    puppet.ask("leak 10")
    live.read_until_shown("20 blocks outstanding")  # of the window, which goes on
    assert "1,000 B" in live.text
    live.press("p")
    live.read_until_shown("2,000 B")
    live.press("q")
    assert live.finish() == 0


@pytest.mark.parametrize(
    ("end", "ended_by"),
    [
        (lambda run: run.press("q"), "early by its user"),
        (lambda run: run.press("ctrl-c"), "early by its user"),
        (lambda run: run.press("ctrl-z"), "early by its user"),
        (lambda run: run.process.send_signal(signal.SIGTERM), "by SIGTERM"),
        (lambda run: run.process.send_signal(signal.SIGHUP), "by SIGHUP"),
    ],
    ids=["q", "ctrl-c", "ctrl-z", "term", "hup"],
)
def test_it_ends_with_a_report(live, puppet, end, ended_by):
    assert live.is_full_screen
    end(live)

    assert live.finish() == 0
    live.assert_restored()
    said = " ".join(live.output.decode().split())
    assert f"ended {ended_by}" in said
    assert "; left as found." in said
    assert puppet.ask("still there?") == "still there?"


def test_death_of_gdbleak_gives_the_terminal_back(live, puppet):
    follower = follower_of(live)
    live.process.kill()

    live.read_until(lambda: not lives(follower))
    live.read()
    live.assert_restored()
    wait_until(lambda: tracer_of(puppet.pid) == 0, "gdb had let it go")
    puppet.assert_as_found()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_death_of_the_one_that_draws_gives_the_terminal_back(live, number):
    follower_of(live).send_signal(number)
    if number == signal.SIGSTOP:  # of the others the window learns
        live.process.send_signal(signal.SIGINT)

    assert live.finish() == 0
    live.assert_restored()
    assert "; left as found." in " ".join(live.output.decode().split())


def test_the_terminal_is_free_while_gdbleak_is_stopped(live):
    live.process.send_signal(signal.SIGSTOP)
    live.read_until(lambda: not live.is_full_screen)
    live.assert_restored()
    assert state_of(live.process.pid) == "T"
    live.process.send_signal(signal.SIGCONT)

    live.read_until(lambda: live.is_full_screen)
    live.press("q")
    assert live.finish() == 0
    live.assert_restored()


def test_another_size(live):
    live.resize(100, 30)
    live.read_until(lambda: "q end" in live.screen.display[29])
    live.resize(40, 10)
    live.read_until(lambda: "q end" in live.screen.display[9])
    live.press("q")
    assert live.finish() == 0


def test_a_terminal_that_nobody_reads_delays_nothing(start, puppet, tmp_path):
    report = tmp_path / "report.json"
    run = start("--max-events", 40, "-o", report)
    run.read_until_shown("no call stack has outstanding blocks so far")
    # From here on nobody does.
    wait_until(lambda: is_full(run), "the terminal took no more")
    puppet.ask("leak 20")
    wait_until(lambda: not lives(run.process), "it had ended", 60)

    assert run.finish() == 0
    window = json.loads(report.read_text())["window"]
    assert (window["ended_by"], window["events"]) == ("max-events", 40)
    run.assert_restored()


def test_where_it_cannot_be_shown(cli, puppet, start):
    result = cli.run("trace", puppet.pid, "--live")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--live needs a terminal" in result.stderr
    assert "use --interval" in result.stderr
    dumb = start(TERM="dumb")
    assert dumb.finish() == 2
    assert b"TERM is dumb" in dumb.output


def test_without_colour(start, puppet):
    run = start(NO_COLOR="1")
    run.read_until_shown("of 10 min")
    puppet.ask("leak 10")
    run.read_until_shown("leak puppet.c")
    assert b"\x1b[3" not in run.output.replace(b"\x1b[3m", b"")
    assert b"\x1b[7" in run.output  # the selected row
    run.press("q")
    assert run.finish() == 0
