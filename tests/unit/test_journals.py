"""Where journals are kept, and which of them stand in the way of a trace."""

from __future__ import annotations

import json
import os

import pytest

from gdbleak.errors import OpenJournalError, WriteError
from gdbleak.recording.modules import Module
from gdbleak.recording.probes import Probe, Role
from gdbleak.safety.journal import Journal
from gdbleak.safety.journals import check_journal, iter_journals, journal_folder, open_journal
from gdbleak.safety.scratch import Scratch
from gdbleak.target.life import start_of_living
from gdbleak.target.process import Target

MODULE = Module("/lib/libc.so.6", 0x1000, 0x2000, 0x1000, "ab" * 20, "/lib/libc.so.6")
PROBES = (Probe(0, 0x1234, "malloc", Role.ENTRY, ("rsp",), None, "55"),)
SCRATCH = Scratch(0x5678, b"\xf3\x0f\x1e\xfa", (8, 42))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of journals."""
    monkeypatch.setenv("GDBLEAK_STATE", str(tmp_path / "state"))
    return journal_folder()


@pytest.fixture
def target():
    """Return a description of this process, as if it were to be traced."""
    return Target(os.getpid(), None, "program -x", "/bin/program", "", 1, "S")


def change(journal, **changes):
    journal.path.write_text(json.dumps({**journal.plan, **changes}) + "\n")


def test_journal_holds_what_a_repair_needs(folder, target):
    journal = open_journal(target, [MODULE], PROBES, SCRATCH)

    assert [entry.name for entry in folder.iterdir()] == [f"{os.getpid()}.journal"]
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert journal.plan["started"] == start_of_living(os.getpid())
    assert journal.plan["breakpoint"] == "cc"
    assert journal.plan["probes"] == [{"address": 0x1234, "original": "55", "function": "malloc"}]
    assert journal.plan["modules"][0]["build_id"] == "ab" * 20
    assert journal.plan["scratch"] == {
        "address": 0x5678,
        "original": "f30f1efa",
        "program": [8, 42],
    }


def test_second_trace_is_refused_and_the_first_journal_stays(folder, target):
    journal = open_journal(target, [MODULE], PROBES, SCRATCH)
    before = journal.path.read_text()

    with pytest.raises(OpenJournalError, match="already tracing") as caught:
        open_journal(target, [MODULE], PROBES, SCRATCH)
    assert "Ctrl-C" in caught.value.help_text
    assert journal.path.read_text() == before
    assert len(list(folder.iterdir())) == 1


def test_journal_of_a_killed_gdbleak_names_the_cure(folder, target):
    change(open_journal(target, [MODULE], PROBES, SCRATCH), controller_started=1)

    with pytest.raises(OpenJournalError, match="was killed") as caught:
        check_journal(target.pid)
    assert caught.value.help_text == f"run `gdbleak rescue {os.getpid()}`"
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("done", [{"started": 1}, {"closed": True}])
def test_journal_without_a_purpose_goes(folder, target, done):
    journal = open_journal(target, [MODULE], PROBES, SCRATCH)
    change(journal, **{key: value for key, value in done.items() if key == "started"})
    if "closed" in done:
        journal.append(closed=True)
    check_journal(target.pid)

    assert list(folder.iterdir()) == []


def test_damaged_journals_are_named(folder, target):
    journal = open_journal(target, [MODULE], PROBES, SCRATCH)
    damaged = folder / "1.journal"
    damaged.write_text("{")

    first, second = iter_journals()
    assert first == damaged
    assert isinstance(second, Journal)
    assert second.plan == journal.plan


def test_folder_where_none_can_be_made(monkeypatch):
    monkeypatch.setenv("GDBLEAK_STATE", "/dev/null/state")

    with pytest.raises(WriteError, match="cannot make the folder"):
        journal_folder()


@pytest.mark.parametrize(
    ("user", "runtime", "expected"),
    [
        (0, "/run/user/0", "/run/gdbleak"),
        (1000, "/run/user/1000", "/run/user/1000/gdbleak"),
        (1000, None, "/tmp/gdbleak-of-1000"),
    ],
)
def test_usual_folder(monkeypatch, user, runtime, expected):
    made = []
    monkeypatch.delenv("GDBLEAK_STATE", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("pathlib.Path.mkdir", lambda path, **_: made.append(str(path)))
    monkeypatch.setattr(
        "pathlib.Path.lstat", lambda _: os.stat_result((0o40700, 0, 0, 0, user, 0, 0, 0, 0, 0))
    )
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)

    assert str(journal_folder()) == expected
    assert made == [expected]
