"""Several processes one after the other; none of them is real, nor any trace."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from reports import LEFT_AS_FOUND, SAMPLES

from gdbleak import cli
from gdbleak.commands.output import number_path
from gdbleak.errors import AttachError, DebuggerMissingError, ProcessUnusableError, WriteError
from gdbleak.recording.end import EndedBy
from gdbleak.report.model import Frame, Verdict, Word
from gdbleak.report.several import Traced, find_places
from gdbleak.target.processes import Found

REPORT = SAMPLES["one-site"]
SITE = replace(REPORT.sites[0], verdict=Verdict(Word.LEAK, "0 of 9 freed"))
LEAKS = replace(REPORT, sites=(SITE,))
CLEAN = SAMPLES["nothing-outstanding"]


def ended(by, report=LEAKS):
    return replace(report, window=replace(report.window, ended_by=by))


DAMAGED = replace(LEAKS, verification=replace(LEFT_AS_FOUND, text_intact=False, ok=False))


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that traces processes, of which each comes to a report or an error."""

    def run(outcomes, *options, starts=None):
        traced = []

        def record(pid, *_, **__):
            traced.append(pid)
            outcome = outcomes[pid]
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        starts = starts or {}
        monkeypatch.setattr("gdbleak.commands.trace.record", record)
        monkeypatch.setattr(
            "gdbleak.commands.several.start_of_living",
            lambda pid: starts[pid].pop(0) if pid in starts else pid,
        )
        status = cli.main(["trace", *map(str, outcomes), *options])
        return status, traced, capsys.readouterr()

    return run


def test_each_has_a_report_and_the_table_is_last(run):
    status, traced, said = run({11: LEAKS, 12: CLEAN, 13: LEAKS})
    assert (status, traced, said.err.count("try:")) == (0, [11, 12, 13], 0)
    assert said.out.count("Watched ") == 3
    last = said.out.splitlines()[-1]
    assert last == "2 of 3 processes seem to leak: in the same place."
    assert "2 of 3  " in said.out


@pytest.mark.parametrize(
    ("outcomes", "options", "status", "traced"),
    [
        ({1: LEAKS, 2: CLEAN}, ["--fail-on", "leak"], 6, [1, 2]),
        ({1: ProcessUnusableError("no", "x"), 2: CLEAN}, [], 3, [1, 2]),
        ({1: ProcessUnusableError("no", "x"), 2: LEAKS}, ["--fail-on", "leak"], 6, [1, 2]),
        ({1: CLEAN, 2: AttachError("no", "x"), 3: CLEAN}, [], 4, [1, 2, 3]),
        ({1: LEAKS, 2: DAMAGED, 3: CLEAN}, ["--fail-on", "leak"], 1, [1, 2]),
        ({1: ended(EndedBy.DEBUGGER_DIED), 2: CLEAN}, [], 1, [1]),
        ({1: ended(EndedBy.INTERRUPT), 2: CLEAN}, [], 0, [1]),
        ({1: ended(EndedBy.TARGET_EXIT), 2: CLEAN}, [], 0, [1, 2]),
        ({1: CLEAN, 2: KeyboardInterrupt(), 3: CLEAN}, [], 0, [1, 2]),
        ({1: CLEAN, 2: WriteError("full"), 3: CLEAN}, [], 5, [1, 2]),
        ({1: DebuggerMissingError("none"), 2: CLEAN}, [], 4, [1]),
        (
            {1: ended(EndedBy.MAX_PAUSE, CLEAN), 2: LEAKS},
            ["--fail-on", "leak"],
            6,
            [1, 2],
        ),
    ],
)
def test_worst_status_and_who_is_left_alone(run, outcomes, options, status, traced):
    assert run(outcomes, *options)[:2] == (status, traced)


def test_ctrl_c_before_there_is_anything_to_report(run):
    with pytest.raises(KeyboardInterrupt):
        run({1: KeyboardInterrupt(), 2: CLEAN})


def test_process_that_got_the_pid_of_another(run):
    status, traced, said = run({1: CLEAN, 2: CLEAN, 3: CLEAN}, starts={2: [50, 60], 3: [70, None]})
    assert (status, traced) == (3, [1])
    assert "gdbleak: process 2 has ended" in said.err
    assert "process 3 has ended" in said.out


def test_files_have_the_pid_in_their_names(run, tmp_path):
    run({11: LEAKS, 12: CLEAN}, "-o", str(tmp_path / "x.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.11.json", "x.12.json"]


@pytest.mark.parametrize(
    ("path", "numbered"),
    [
        ("x.json", "x.7.json"),
        ("a.b/x", "a.b/x.7"),
        ("x.speedscope.JSON", "x.7.speedscope.JSON"),
        ("x.pb.gz", "x.7.pb.gz"),
        ("leak.gdbleak", "leak.7.gdbleak"),
        (".hidden", ".hidden.7"),
    ],
)
def test_numbered_path(path, numbered):
    assert number_path(path, 7) == numbered


def test_json_documents_and_the_table_beside_them(run):
    _, _, said = run({11: LEAKS, 12: CLEAN}, "--format", "json")
    decoder, rest, pids = json.JSONDecoder(), said.out, []
    while rest.strip():
        document, end = decoder.raw_decode(rest)
        pids.append(document["target"]["pid"])
        rest = rest[end:].lstrip()
    assert len(pids) == 2
    assert "1 of 2 processes seems to leak: 11." in said.err


@pytest.mark.parametrize("options", [["--format", "html"], ["--format", "csv"], ["--live"]])
def test_refused(run, options):
    status, traced, said = run({1: CLEAN, 2: CLEAN}, *options)
    assert (status, traced, said.out) == (2, [], "")


def test_same_process_twice_is_one(run):
    assert run({1: CLEAN}, "-p", "1")[:2] == (0, [1])


def moved(site, offset):
    frames = (replace(site.frames[0], offset=offset), *site.frames[1:])
    return replace(REPORT, sites=(replace(site, frames=frames),))


def test_places_are_joined_by_functions_and_offsets():
    processes = [
        Traced(1, LEAKS),
        Traced(2, moved(SITE, 0x999)),
        Traced(3, LEAKS),
        Traced(4, None, "has ended"),
    ]
    first, second = find_places(processes)
    assert (first.pids, second.pids) == ((1, 3), (2,))
    assert first.bytes_per_s == 2 * SITE.bytes_per_s
    assert first.word is Word.LEAK


def test_surest_word_is_that_of_the_place():
    doubtful = replace(SITE, verdict=Verdict(Word.SUSPECT, "few"))
    processes = [Traced(1, replace(REPORT, sites=(doubtful,))), Traced(2, LEAKS)]
    assert [place.word for place in find_places(processes)] == [Word.LEAK]


def test_what_is_no_leak_has_no_place():
    churn = replace(SITE, verdict=Verdict(Word.CHURN, "freed"))
    assert find_places([Traced(1, replace(REPORT, sites=(churn,)))]) == ()


def test_frame_without_a_module_is_known_by_its_address():
    site = replace(SITE, frames=(Frame(0x1234),))
    other = replace(SITE, frames=(Frame(0x5678),))
    found = find_places(
        [Traced(n, replace(REPORT, sites=(s,))) for n, s in enumerate((site, other))]
    )
    assert len(found) == 2


def test_all_of_a_name(monkeypatch):
    traced = []

    def record(pid, *_):
        traced.append(pid)
        return CLEAN

    for module in ("commands.processes_argument", "target.processes"):
        monkeypatch.setattr(f"gdbleak.{module}.find_processes", lambda _: Found([12, 11], []))
    monkeypatch.setattr("gdbleak.commands.several.start_of_living", lambda pid: pid)
    monkeypatch.setattr("gdbleak.commands.trace.record", record)
    assert cli.main(["httpd", "--all"]) == 0
    assert traced == [11, 12]
    assert cli.main(["123", "--all"]) == 2
