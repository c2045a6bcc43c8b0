"""`--fail-on`: what lets it pass, and what does not."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from unittest.mock import Mock

import pytest
import recordings
from reports import LEFT_AS_FOUND, SAMPLES
from support.cli import GDBLEAK

from gdbleak import cli
from gdbleak.commands.output import FOUND
from gdbleak.recording.end import EndedBy, References
from gdbleak.report.endings import ENDINGS
from gdbleak.report.model import Verdict, Word

REPORT = SAMPLES["one-site"]
WINDOW = REPORT.window
ASKED_FOR = {
    *(EndedBy.DURATION, EndedBy.MAX_EVENTS, EndedBy.INTERRUPT, EndedBy.TERMINATE),
    EndedBy.TARGET_EXIT,
}
MISSED = "no call stack is `cache?` in its report, which does not mean that none is"


@pytest.fixture
def trace(monkeypatch):
    """Return what stands in for `gdbleak.tracing.record.record`."""
    trace = Mock()
    monkeypatch.setattr("gdbleak.commands.trace.record", trace)
    return trace


@pytest.fixture
def load(monkeypatch):
    """Return what stands in for `gdbleak.load`."""
    load = Mock()
    monkeypatch.setattr("gdbleak.commands.report.load", load)
    return load


@pytest.mark.parametrize("command", ["trace", "report"])
@pytest.mark.parametrize("ended_by", EndedBy)
def test_only_an_end_that_was_asked_for_lets_fail_on_pass(request, capsys, command, ended_by):
    ended = replace(REPORT, window=replace(WINDOW, ended_by=ended_by))
    request.getfixturevalue("trace" if command == "trace" else "load").return_value = ended
    exit_code = cli.main([command, "123", "--fail-on", "cache?"])
    said = capsys.readouterr()

    assert said.out, "there is a report all the same"
    if ended_by in ASKED_FOR:
        assert (exit_code, said.err) == (0, "")
    elif (command, ended_by) == ("trace", EndedBy.WRITE_FAILED):
        assert exit_code == 5
    else:
        first, second = said.err.splitlines()
        assert exit_code == 1
        assert first == f"gdbleak: the window {ENDINGS[ended_by].words}: {MISSED}"
        assert second.startswith("  try: ")


@pytest.mark.parametrize("ended_by", EndedBy)
def test_verdict_that_was_found_counts_however_the_window_ended(load, ended_by):
    sampled = SAMPLES["sampled"]
    load.return_value = replace(sampled, window=replace(sampled.window, ended_by=ended_by))
    assert cli.main(["report", "123", "--fail-on", "cache?,leak?"]) == FOUND


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"ended_by": EndedBy("later")},
            "the window ended for a reason that only a later gdbleak knows: ",
        ),
        ({"complete": False}, "the recording is cut off before its window ended: "),
        ({"lost_events": 1200}, "1,200 events were lost: "),
        (
            {"ended_by": EndedBy.TARGET_EXIT, "duration_s": 0.0},
            "the process ended before its window was open: ",
        ),
    ],
)
def test_report_that_is_not_whole_lets_no_fail_on_pass(load, capsys, changes, words):
    load.return_value = replace(REPORT, window=replace(WINDOW, **changes))
    assert cli.main(["report", "123", "--fail-on", "cache?"]) == 1
    assert f"gdbleak: {words}{MISSED}" in capsys.readouterr().err


def test_few_lost_events_are_no_reason_to_fail(load):
    window = replace(WINDOW, lost_events=WINDOW.events // 100)
    load.return_value = replace(REPORT, window=window)
    assert cli.main(["report", "123", "--fail-on", "cache?"]) == 0


def test_process_that_was_not_left_as_found_lets_no_fail_on_pass(load, capsys):
    load.return_value = replace(REPORT, verification=replace(LEFT_AS_FOUND, ok=False))
    assert cli.main(["report", "123", "--fail-on", "cache?"]) == 1
    assert f"the process was not left as it was found: {MISSED}" in capsys.readouterr().err


def test_lost_blocks_count(load):
    load.return_value = SAMPLES["reached"]
    assert cli.main(["report", "123", "--fail-on", "lost"]) == FOUND
    assert cli.main(["report", "123", "--fail-on", "churn,lost"]) == FOUND


def test_site_is_lost_only_by_its_verdict(load):
    """In a sample of most allocators a block may have been freed unseen."""
    report = SAMPLES["reached"]
    one = report.sites[0]
    suspected = replace(one, verdict=Verdict(Word.SUSPECT, "0 of 9 freed"))
    load.return_value = replace(report, sites=(suspected, *report.sites[1:]))
    assert cli.main(["report", "123", "--fail-on", "lost"]) == 0
    assert cli.main(["report", "123", "--fail-on", "lost,leak?"]) == FOUND


@pytest.mark.parametrize(
    ("references", "words", "remedy"),
    [
        (None, ": ", "trace again with this gdbleak"),
        (References(0, 0.0, 0, "it ended meanwhile"), ": it ended meanwhile: ", "trace again"),
        (References(0, 0.0, 0, "--some-option"), ": --some-option: ", "trace again without it"),
    ],
)
def test_without_a_search_nobody_knows_what_is_lost(load, capsys, references, words, remedy):
    load.return_value = replace(REPORT, window=replace(WINDOW, references=references))
    assert cli.main(["report", "123", "--fail-on", "lost,cache?"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    said = f"gdbleak: the memory of the process was not searched for references{words}no call"
    assert first.startswith(said)
    assert "`lost` or `cache?`" in first
    assert second == f"  try: {remedy}"
    assert cli.main(["report", "123", "--fail-on", "cache?"]) == 0


def test_where_nothing_is_outstanding_nothing_is_lost(load):
    load.return_value = SAMPLES["nothing-outstanding"]
    assert cli.main(["report", "123", "--fail-on", "lost"]) == 0


def test_reader_that_has_seen_enough_changes_no_exit_status(tmp_path):
    recording = recordings.write(tmp_path / "x", recordings.head(), recordings.opened(1))
    reader, writer = os.pipe()
    os.close(reader)
    command = [*GDBLEAK, "report", recording, "--fail-on", "leak"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert "the recording is cut off before its window ended: " in done.stderr
