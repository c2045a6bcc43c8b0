"""What `gdbleak rescue` says of processes that need no repair or cannot be repaired."""

from __future__ import annotations

import json
import os

import pytest

from gdbleak.injection.rescue import rescue
from gdbleak.safety.journals import journal_path
from gdbleak.safety.scratch import read_scratch
from gdbleak.target.life import start_of_living
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


@pytest.fixture
def folder(tmp_path):
    """Return the private folder of a trace that was killed."""
    folder = tmp_path / f"gdbleak-{'0a' * 8}"
    folder.mkdir(0o700)
    (folder / "recording").write_text("of somebody's program")
    return folder


def test_the_folder_of_the_killed_trace_is_removed(folder):
    write_journal(os.getpid(), folder=str(folder))

    [outcome] = rescue()
    assert (outcome.ok, f"removed {folder}" in outcome.text) == (True, True)
    assert not folder.exists()


def make_public(folder):
    folder.chmod(0o755)
    return folder


def rename(folder):
    return folder.rename(folder.with_name("gdbleak-of-mine"))


def link(folder):
    other = folder.with_name(f"gdbleak-{'0b' * 8}")
    other.symlink_to(folder)
    return other


def make_relative(folder):
    return os.path.relpath(folder)


@pytest.mark.parametrize("change", [make_public, rename, link, make_relative, lambda _: 17])
def test_no_other_folder_is_removed(folder, change):
    changed = change(folder)
    write_journal(os.getpid(), folder=changed if isinstance(changed, int) else str(changed))

    [outcome] = rescue()
    assert (outcome.ok, "removed" in outcome.text) == (True, False)
    assert [*folder.parent.glob("gdbleak-*/recording")] != []


def test_the_folder_of_a_trace_that_runs_is_left_alone(folder):
    own = {"controller": os.getpid(), "controller_started": start_of_living(os.getpid())}
    write_journal(os.getpid(), folder=str(folder), **own)

    rescue()
    assert folder.exists()


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
