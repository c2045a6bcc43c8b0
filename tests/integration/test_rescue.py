"""`gdbleak rescue` repairs what stayed behind when gdbleak, GDB and the guard were all killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.cli import GDBLEAK
from support.crew import find_gdb, find_guard, leave_copied_instruction, running_beside, stop
from support.processes import TRACER, lives, state_of, wait_until

from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import restore

pytestmark = pytest.mark.usefixtures("needs_ptrace", "state")


@pytest.fixture
def journal(cli, puppet, state):
    """Kill all who trace the puppet while it sleeps; return the journal that is left."""
    trace = cli.start_trace(puppet.pid)
    gdb, guard = find_gdb(trace.pid), find_guard(trace.pid)
    stop(trace.pid)
    stop(guard.pid)
    gdb.kill()
    assert gdb
    wait_until(lambda: not lives(gdb), "gdb had ended")
    guard.kill()
    trace.send(signal.SIGKILL)
    wait_until(lambda: running_beside(puppet) == [], "all of them had ended")
    trace.end()
    for folder in cli.tmpdir.iterdir():
        shutil.rmtree(folder)
    [path] = state.iterdir()
    return path


def rescue(cli, *arguments):
    """Run the command; return its exit code and what it said."""
    result = cli.run("rescue", *arguments)
    assert result.stderr == ""
    return result.exit_code, result.stdout


def edit(path, **changes):
    """Change the plan of a journal; return what the file held before."""
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), **changes}) + "\n")
    return before


def assert_rescued(cli, puppet, journal, others=0):
    """Assert that every breakpoint and what else is foreign goes, and the puppet can allocate."""
    count = len(json.loads(journal.read_text())["probes"]) + others
    code, said = rescue(cli, puppet.pid)

    assert (code, f"restored {count} of {count} places" in said) == (0, True), said
    assert not journal.exists()
    puppet.assert_as_found()
    assert puppet.ask("leak 3") == "leaked"


@pytest.mark.usefixtures("journal")
def test_doctor_says_that_a_rescue_is_needed(cli, puppet):
    for arguments in ((), (puppet.pid,)):
        result = cli.run("doctor", *arguments)
        assert (result.exit_code, f"gdbleak rescue {puppet.pid}" in result.stdout) == (1, True)
    rescue(cli)
    assert "gdbleak rescue" not in cli.run("doctor", puppet.pid).stdout


def assert_refused(result, exit_code, *words):
    """Assert that the refusal is two lines that name what they must; return the second."""
    assert (result.exit_code, result.stdout) == (exit_code, "")
    cause, cure = result.stderr.splitlines()
    assert cause.startswith("gdbleak: ")
    for word in words:
        assert str(word) in cause
    return cure


def test_trace_refuses_and_names_the_cure_which_works(cli, puppet, journal):
    cure = assert_refused(cli.run("trace", puppet.pid), 3, puppet.pid, "killed")
    assert f"`gdbleak rescue {puppet.pid}`" in cure

    assert_rescued(cli, puppet, journal)
    again = cli.run("trace", puppet.pid, "--duration", 0.1, "--format", "json")
    assert again.report["verification"]["ok"] is True


def test_copied_instruction_is_taken_out(cli, puppet, journal):
    leave_copied_instruction(puppet.pid)

    assert_rescued(cli, puppet, journal, others=1)


def test_process_runs_another_program_by_now(cli, puppet, journal, build_target):
    with Path(f"/proc/{puppet.pid}/mem").open("r+b", buffering=0) as memory:
        restore(memory.fileno(), Journal(journal).plan)  # or it would not live to call exec
    assert puppet.ask(f"exec {build_target('children.c')}") == "ready"

    code, said = rescue(cli, puppet.pid)
    assert (code, "another program by now: nothing to repair" in said) == (0, True), said
    assert not journal.exists()


def test_target_left_stopped_is_continued(cli, puppet, journal):
    stop(puppet.pid)

    assert_rescued(cli, puppet, journal)


def test_target_that_was_stopped_before_stays_stopped(cli, puppet, journal):
    edit(journal, state="T")
    stop(puppet.pid)
    code, said = rescue(cli)

    assert (code, "restored" in said, "continued" in said) == (0, True, False)
    assert state_of(puppet.pid) == "T"
    os.kill(puppet.pid, signal.SIGCONT)
    assert puppet.ask("leak 3") == "leaked"


def test_process_has_ended_meanwhile(cli, puppet, journal):
    puppet.end()

    code, said = rescue(cli)
    assert (code, "has ended: nothing to repair" in said) == (0, True)
    assert not journal.exists()


def test_another_process_has_the_pid_now(cli, puppet, journal):
    before = edit(journal, started=1)
    code, said = rescue(cli)
    assert (code, "has ended" in said, journal.exists()) == (0, True, False)

    journal.write_text(before)  # it was not touched: the breakpoints are still there
    assert_rescued(cli, puppet, journal)


def test_another_file_is_mapped_there(cli, puppet, journal):
    module = json.loads(journal.read_text())["modules"][0]
    before = edit(journal, modules=[{**module, "build_id": "00" * 20}])
    code, said = rescue(cli)
    assert (code, "another file mapped" in said, journal.exists()) == (1, True, True)

    journal.write_text(before)
    assert_rescued(cli, puppet, journal)


def test_somebody_else_traces_the_process(cli, puppet, journal, start_target):
    tracer = start_target(*TRACER, str(puppet.pid))
    code, said = rescue(cli, puppet.pid)
    assert (code, f"traced by process {tracer.pid}" in said, journal.exists()) == (1, True, True)

    tracer.end()
    assert_rescued(cli, puppet, journal)


def test_trace_under_way_is_left_alone(cli, puppet):
    trace = cli.start_trace(puppet.pid)
    said = subprocess.check_output([*GDBLEAK, "rescue", str(puppet.pid)], text=True)
    assert f"is being traced by gdbleak, process {trace.pid}" in said
    trace.send(signal.SIGINT)
    assert trace.finish().report["verification"]["ok"] is True


def test_journal_is_private(cli, puppet, state):
    trace = cli.start_trace(puppet.pid)
    [journal] = state.iterdir()
    assert (state.stat().st_mode & 0o777, journal.stat().st_mode & 0o777) == (0o700, 0o600)
    trace.send(signal.SIGINT)
    trace.finish()


def test_nothing_to_do(cli, puppet):
    assert rescue(cli) == (0, "no trace has left anything behind: there is no journal\n")
    code, said = rescue(cli, puppet.pid)
    assert (code, "S (sleeping), traced by nobody" in said) == (0, True)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1}', "\x00\xff", "[" * 100_000])
def test_damaged_journal_is_named_and_never_acted_upon(cli, puppet, state, content):
    state.mkdir(mode=0o700)
    journal = state / f"{puppet.pid}.journal"
    journal.write_text(content)

    cure = assert_refused(cli.run("trace", puppet.pid), 3, journal)
    assert f"`gdbleak rescue {puppet.pid}`" in cure
    for arguments in ((), (puppet.pid,)):
        code, said = rescue(cli, *arguments)
        assert (code, str(journal) in said, "damaged" in said) == (1, True, True)
    assert journal.read_text() == content


def make_world_writable(state, _):
    state.mkdir()
    state.chmod(0o777)


def make_of_somebody_else(state, _):
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)


def make_link(state, elsewhere):
    elsewhere.mkdir(mode=0o700)
    state.symlink_to(elsewhere)


def make_file(state, _):
    state.touch(mode=0o600)


@pytest.mark.parametrize("make", [make_world_writable, make_of_somebody_else, make_link, make_file])
def test_folder_that_others_could_write_to_is_refused(cli, puppet, state, tmp_path, make):
    make(state, tmp_path / "elsewhere")
    for command in (["rescue"], ["rescue", puppet.pid], ["trace", puppet.pid]):
        cure = assert_refused(cli.run(*command), 5, state)
        assert "GDBLEAK_STATE" in cure
