"""A process in a language whose objects `malloc` does not see: that is said."""

from __future__ import annotations

import sys

import pytest

SLEEPS = "import time; print('ready', flush=True); time.sleep(300)"
SEEN = (
    "there is Python in this process, of which gdbleak sees C extensions and large objects;"
    " small objects come from arenas"
)


@pytest.fixture
def pid(start_target):
    return start_target(sys.executable, "-c", SLEEPS).pid


def test_trace_says_so(cli, pid):
    result = cli.run("trace", pid, "--duration", 0.5, "--format", "json")
    assert result.exit_code == 0
    assert [note for note in result.report["notes"] if note.startswith(SEEN)]


def test_doctor_says_so(cli, pid):
    assert f"ok       {SEEN}" in cli.run("doctor", pid).stdout


def test_program_in_c_has_no_such_note(cli, puppet):
    result = cli.run("trace", puppet.pid, "--duration", 0.5, "--format", "json")
    assert not [note for note in result.report["notes"] if "of which gdbleak sees" in note]
