"""The tables of benchmarks/corpus.py, and what the meters of its programs say."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpus import Program
from support.scores import Seen

ALL = {"duration_s": 20.0, "ended_by": "duration", "sampling": None, "allocations": 400}
SAMPLE = {"recorded_s": 5.0, "calls": 4000}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Let the modules of the benchmark be imported."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def trial(tmp_path):
    """Return a trial of a program with a leak, something that grows, and something sound."""
    import trials

    path = tmp_path / "it.c"
    path.write_text(
        "/* It.\n * leak: drops\n * lost: drops\n * growing: adds\n * keeps: works */\n"
    )
    way = trials.Way(tmp_path, "auto", [])
    return trials.Trial(Program(path), tmp_path / "it", way, 30, None)


def report(*sites):
    return {
        "window": {**ALL, "inline": None},
        "sites": [
            {
                "rank": rank,
                "frames": [{"function": function}],
                "verdict": {"word": word, "evidence": evidence},
            }
            for rank, (function, word, evidence) in enumerate(sites, 1)
        ],
    }


@pytest.mark.parametrize(
    ("window", "per_s", "much"),
    [
        ({"inline": None}, "20", "breakpoints: all"),
        ({}, "20", "breakpoints: all"),
        ({"inline": {"one_of": 1, "lost": 0}}, "20", "inline: all"),
        ({"inline": {"one_of": 8, "lost": 2}}, "160", "inline: 1 block in 8, 2 calls lost"),
        ({"inline": None, "sampling": SAMPLE}, "200", "breakpoints: 25.0% of the time"),
        ({"sampling": {**SAMPLE, "calls": None}}, "", "breakpoints: 25.0% of the time"),
        ({"ended_by": "max-pause"}, "20", "breakpoints: all, until max-pause after 20.0 s"),
    ],
)
def test_what_was_recorded(window, per_s, much):
    import verdict_tables

    whole = {**ALL, **window}
    assert (verdict_tables.rate(whole), verdict_tables.recorded(whole)) == (per_s, much)


def test_rows(trial):
    import trials
    import verdict_tables

    sites = [
        ("drops", "leak", "lost: 5 of 5"),
        ("drops", "leak", "lost: 7 of 7"),
        ("works", "leak?", "0 of 5 freed | of a sample"),
        ("noise", "leak", "0 of 9 freed"),
        ("drops", "too few", "1 block"),
        ("other", "churn", "all freed"),
    ]
    found = verdict_tables.rows(trial, trials.Window(report(*sites)))
    assert [row[-4:] for row in found] == [
        ("drops: leak, lost", "`leak`", "lost: 5 of 5 (and 1 more call stacks)", "yes"),
        ("works: keeps", "`leak?`", "0 of 5 freed \\| of a sample", "**no**"),
        ("noise: keeps", "`leak`", "0 of 9 freed", "**no**"),
        ("drops: leak, lost", "`too few`", "1 block", "another is"),
        ("adds: growing", "", "not in the report", "**no**"),
    ]
    assert {row[:4] for row in found} == {("`it`", "auto", "20", "breakpoints: all")}
    assert {len(row) for row in found} == {len(verdict_tables.HEADS)}


def test_a_meter():
    import trials

    usual = trials.Reading.parse("meter 1000 500000 1500 20000 4000")
    assert usual == trials.Reading(2000, 1.5, 20, 4)
    assert usual.mean(trials.Reading(1000, 2.5, 30, 8)) == trials.Reading(1500, 2, 25, 6)
    during = trials.Reading.parse("meter 9000 5000000 3000 40000 45000")
    window = trials.Window({}, usual, during, 41)
    assert (window.kept, window.dearer) == (0.9, 0.25)
    assert (trials.Window({}).kept, trials.Window({}).dearer) == (None, None)


def test_costs():
    import trials
    import verdict_tables

    usual, during = trials.Reading(2000, 1.5, 20, 4), trials.Reading(1800, 3, 40, 5)
    window = trials.Window({}, usual, during, 41)
    assert verdict_tables.costs(window, True) == ("90.0%", "+25%", "1.5 3 41 ms")
    assert verdict_tables.costs(window, False) == ("90.0%", "", "1.5 3 41 ms")
    assert verdict_tables.costs(trials.Window({}), True) == ("", "", "")


def test_the_summary(trial, capsys):
    import trials
    import verdict_tables

    window = trials.Window(report(("drops", "leak", "lost: 5 of 5"), ("works", "churn", "")))
    seen = Seen(trial.program.labels, trial.program.find(window.report), trial.program.lost)
    verdict_tables.summarize({"auto": [seen]}, {"auto": [0.5, 0.98, 1.0]})
    printed = capsys.readouterr().out
    assert (
        "recall: leaks that are called so, or `leak?` | 1 of 2: 50.0% (9.5% to 90.5%) |" in printed
    )
    assert "sound | 1 of 2" in printed
    assert "something is called so, or `leak?` | none |" in printed
    assert "| throughput kept: median, least | 98.0%, 50.0% |" in printed
