"""`gdbleak rescue` takes a recorder out that a killed trace has left, and says what it has done."""

from __future__ import annotations

import json
import os
import signal

import pytest
from support.inline import (
    assert_nothing_left,
    enter,
    implant_for,
    injection_into,
    journal_for,
    visitor_in,
)
from support.processes import TRACER, assert_as_found

from gdbleak.errors import OpenJournalError
from gdbleak.injection.rescue import rescue
from gdbleak.safety.journals import check_journal
from gdbleak.target.life import start_of_living

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")

GONE = 4_194_305
"""Above the largest PID the kernel gives."""


class Left:
    """A process that a killed trace has left a recorder in."""

    def __init__(self, target, folder):
        self.target = target
        self.pid = target.pid
        self.implant = implant_for(target.pid)
        self.journal = journal_for(target.pid, self.implant).path
        with (
            visitor_in(folder) as visitor,
            injection_into(target.pid, visitor, self.implant) as injection,
        ):
            enter(injection)

    def edit(self, **changes):
        """Change the plan of the journal."""
        first, _, rest = self.journal.read_text().partition("\n")
        self.journal.write_text(json.dumps({**json.loads(first), **changes}) + "\n" + rest)

    @property
    def plan(self):
        return json.loads(self.journal.read_text().partition("\n")[0])

    def assert_rescued(self, *words):
        """Assert that a rescue does it all, and says so."""
        [outcome] = rescue(self.pid)
        assert outcome.ok, outcome.text
        for word in words:
            assert word in outcome.text
        assert not self.journal.exists()

    def assert_refused(self, *words):
        """Assert that a rescue does nothing, and says why."""
        [outcome] = rescue(self.pid)
        assert not outcome.ok, outcome.text
        for word in words:
            assert str(word) in outcome.text
        assert self.journal.exists()


@pytest.fixture
def left(build_target, start_target, tmp_path):
    left = Left(start_target(build_target("waiting.c"), "hot", "read"), tmp_path / "visits")
    left.edit(controller=GONE, controller_started=1)
    return left


def test_all_of_it_is_taken_out(left, cli):
    result = cli.run("rescue", left.pid)

    assert (result.exit_code, result.stderr) == (0, "")
    count = len(left.implant.image.jumps)
    assert f"took out {count} jumps and the recorder and its ring" in result.stdout
    assert_nothing_left(left.pid, left.implant)
    assert not left.journal.exists()
    assert "nobody" in rescue(left.pid)[0].text


def test_no_second_trace_before_that(left):
    with pytest.raises(OpenJournalError, match="was killed"):
        check_journal(left.pid)
    left.edit(controller=os.getpid(), controller_started=1)
    left.assert_rescued("took out")
    check_journal(left.pid)


def test_a_trace_that_is_under_way_is_left_alone(left):
    left.edit(controller=os.getpid(), controller_started=start_of_living(os.getpid()))
    with pytest.raises(OpenJournalError, match="already tracing"):
        check_journal(left.pid)
    [outcome] = rescue(left.pid)
    assert "left alone" in outcome.text
    left.edit(controller=GONE, controller_started=1)
    left.assert_rescued("took out")


def test_children_outlive_the_process(left):
    child = int(left.target.ask("fork 9"))
    left.target.process.kill()
    left.target.process.wait()

    left.assert_rescued("repaired 1 of its children", "it has ended")
    assert_nothing_left(child, left.implant)
    assert_as_found(child)
    os.kill(child, signal.SIGKILL)


def test_a_process_that_has_ended(left):
    left.target.process.kill()
    left.target.process.wait()
    left.assert_rescued("nothing to repair", "it has ended")


def test_another_program_by_now(left, build_target):
    assert left.target.ask(f"exec {build_target('puppet.c')}") == "ready"
    left.assert_rescued("nothing to repair", "another program by now")
    assert left.target.ask("leak 3") == "leaked"


def test_another_file_by_now(left):
    modules = left.plan["modules"]
    left.edit(modules=[{**modules[0], "build_id": "ab" * 20}])
    left.assert_refused("another file mapped", "left alone")
    left.edit(modules=modules)
    left.assert_rescued("took out")


def test_another_debugger(left, start_target):
    tracer = start_target(*TRACER, str(left.pid))
    left.assert_refused(f"is traced by process {tracer.pid}")
    tracer.end()
    left.assert_rescued("took out")


def test_a_damaged_journal(left):
    inline = left.plan["inline"]
    left.edit(inline={**inline, "code": "xyz"})
    left.assert_refused("is damaged", left.journal)
    left.edit(inline=inline)
    left.assert_rescued("took out")
