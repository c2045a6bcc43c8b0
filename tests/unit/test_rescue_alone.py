"""What `gdbleak rescue` says of processes that need no repair or cannot be repaired."""

from __future__ import annotations

import json
import os

import pytest

from gdbleak.injection.rescue import rescue
from gdbleak.safety.journals import journal_path
from gdbleak.safety.repair import start_of_living
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.proc import Memory

GONE = 4_194_305
"""Above the largest PID the kernel gives."""


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Keep journals in a folder of the test's own."""
    monkeypatch.setenv("GDBLEAK_STATE", str(tmp_path / "state"))


def scratch_of(pid):
    with Memory(pid) as memory:
        return read_scratch(pid, memory).to_json()


def write_journal(pid, **changes):
    plan = {
        "pid": pid,
        "started": start_of_living(pid),
        "state": "S",
        "command": "program -x",
        "controller": GONE,
        "controller_started": 1,
        "breakpoint": "cc",
        "modules": [{}],
        "probes": [],
        "scratch": scratch_of(os.getpid()),
    }
    path = journal_path(pid)
    path.write_text(json.dumps({**plan, **changes}) + "\n")
    return path


def test_no_journal():
    [outcome] = rescue()
    assert (outcome.ok, "no journal" in outcome.text) == (True, True)


def test_no_journal_and_no_process():
    [outcome] = rescue(GONE)
    assert outcome.text == f"there is no process {GONE}, and no journal of it"


def test_no_journal_of_a_process():
    [outcome] = rescue(os.getpid())
    assert (outcome.ok, "traced by nobody" in outcome.text) == (True, True)


def test_all_journals_or_the_one_asked_for():
    paths = [write_journal(pid) for pid in (GONE, GONE + 1)]

    [outcome] = rescue(GONE)
    assert outcome.text == f"process {GONE} (program -x) has ended: nothing to repair"
    assert [path.exists() for path in paths] == [False, True]
    assert len(rescue()) == 1
    assert [path.exists() for path in paths] == [False, False]


def test_nothing_was_left_behind():
    path = write_journal(os.getpid())

    [outcome] = rescue()
    assert (outcome.ok, "it is as it was" in outcome.text) == (True, True)
    assert not path.exists()


@pytest.mark.parametrize("change", [{"address": 4096}, {"program": [1, 2]}])
def test_process_runs_another_program(change):
    scratch = {**scratch_of(os.getpid()), "original": "00", **change}
    path = write_journal(os.getpid(), scratch=scratch)

    [outcome] = rescue()
    assert (outcome.ok, "another program" in outcome.text) == (True, True)
    assert not path.exists()


def test_trace_is_under_way():
    controller = os.getpid()
    path = write_journal(
        os.getpid(), controller=controller, controller_started=start_of_living(controller)
    )

    [outcome] = rescue()
    assert (outcome.ok, "left alone" in outcome.text) == (True, True)
    assert path.exists()


def test_a_damaged_journal_does_not_keep_others_from_their_repair():
    journal_path(1).write_text("{")
    whole = write_journal(os.getpid())

    damaged, repaired = rescue()
    assert (damaged.ok, str(journal_path(1)) in damaged.text) == (False, True)
    assert (repaired.ok, whole.exists()) == (True, False)
