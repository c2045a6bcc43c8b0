"""The options that show a window while it is open, and the ends of its lifeline."""

from __future__ import annotations

import os
from unittest.mock import Mock

import pytest
from reports import SAMPLES

from gdbleak import cli
from gdbleak.capture.limits import Progress
from gdbleak.follow.events import Events
from gdbleak.follow.lifeline import Lifeline, encode
from gdbleak.follow.tables import Tables
from gdbleak.renderers.interim import InterimRenderer
from gdbleak.renderers.json import JsonRenderer


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Return what stands in for `gdbleak.tracing.record.record`."""
    asked = Mock(return_value=SAMPLES["one-site"])
    monkeypatch.setattr("gdbleak.commands.trace.record", asked)
    return asked


@pytest.mark.parametrize(
    ("options", "duration_s"),
    [
        ("", 10),
        ("--interval 5", 600),
        ("--interval 5 --count 3", 15),
        ("--interval 5 --count 3 --duration 60", 15),
        ("--interval 5 --count 30 --duration 60", 60),
        ("--interval 5 --duration 20", 20),
        ("--interval 5 --duration 5", 5),
        ("--events", 10),
        ("--events --duration 3", 3),
    ],
)
def test_length_of_the_window(asked, options, duration_s):
    assert cli.main(["123", *options.split()]) == 0
    assert asked.call_args.args[2].duration_s == duration_s


@pytest.mark.parametrize(
    ("options", "view"),
    [
        ("", None),
        ("--events", Events()),
        ("--interval 2 --top 3", Tables(2, InterimRenderer(3), stamped=True)),
        ("--interval 2 --format json", Tables(2, JsonRenderer(), stamped=False)),
        ("--interval 2 -o FILE.csv", Tables(2, InterimRenderer(10), stamped=True)),
        ("--interval 2 -o FILE --format json", Tables(2, InterimRenderer(10), stamped=True)),
    ],
)
def test_view(asked, options, view, tmp_path):
    assert cli.main(["123", *options.replace("FILE", str(tmp_path / "f")).split()]) == 0
    assert asked.call_args.args[-1].view == view


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--count 3", "--count counts the tables of --interval"),
        ("--live --interval 3", "--live and --interval"),
        ("--live --events", "--live and --events"),
        ("--interval 1 --events", "--interval and --events"),
        ("--interval 1 --format csv", "garble csv"),
        ("--events --format json", "garble json"),
        ("--live", "needs a terminal"),
        ("--interval 0", "out of range"),
        ("--interval 1 --count 0", "out of range"),
        ("--interval 5 --duration 1", "--interval 5 is longer than the window, 1 s"),
        ("--interval 601", "--interval 601 is longer than the window, 600 s"),
    ],
)
def test_what_makes_no_sense(asked, options, words, capsys):
    assert cli.main(["123", *options.split()]) == 2
    cause, cure = capsys.readouterr().err.splitlines()
    assert words in cause
    assert cure.startswith("  try: ")
    asked.assert_not_called()


@pytest.mark.parametrize("shape", SAMPLES)
def test_table_in_between(shape):
    report = SAMPLES[shape]
    first, empty, *table = InterimRenderer(top=2).render(report).splitlines()
    assert f" in {len(report.leaking):,} call stack" in first
    assert empty == ""
    assert len(table) == (3 + min(len(report.leaking), 2) if report.leaking else 0)


def test_blocks_are_asked_for(asked):
    assert cli.main(["123", "-a"]) == 0
    assert asked.call_args.args[4].listed_blocks == 1000


@pytest.fixture
def pipe():
    """Return both ends of a pipe, closed in the end."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def test_lifeline_keeps_the_latest_whole_word(pipe):
    words = [encode(Progress(n, 10, n, 1.0, 0, 0.0, recorded_bytes=n)) for n in range(3)]
    lifeline = Lifeline(pipe[0])
    first = lifeline.latest
    assert first is None
    os.write(pipe[1], words[0] + words[1] + words[2][:-1])
    lifeline.wait(10)
    assert lifeline.latest.recorded_bytes == 1
    os.write(pipe[1], words[2][-1:])
    lifeline.wait(10)
    assert (lifeline.latest.recorded_bytes, lifeline.ended) == (2, False)


def test_lifeline_ends(pipe):
    lifeline = Lifeline(pipe[0])
    os.close(pipe.pop())
    lifeline.wait(10)
    assert lifeline.ended
