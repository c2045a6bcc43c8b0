"""The process on which GDB rehearses never outlives it, wherever the rehearsal ends."""

from __future__ import annotations

import shutil
import signal
import subprocess

import psutil
import pytest
from support.processes import lives, wait_until

from gdbleak.gdb_program import SAFE_OPTIONS, script_path

pytestmark = pytest.mark.usefixtures("needs_ptrace")

# Run inside GDB before the rehearsal: at the given command it does what is given, before or after.
SABOTAGE = """
execute, set_breakpoint = gdb.execute, gdb.Breakpoint

def die():
    os.kill(os.getpid(), 9)

def fail():
    raise gdb.error("Cannot do that.")

def execute_or_not(command, **options):
    rehearsing = "Probe" not in globals()  # the agent has defined that
    if rehearsing and command.startswith("attach"):
        open("{stand_in}", "w").write(command.split()[1])
    here = rehearsing and command.startswith("{command}")
    if here and not {after}:
        {how}()
    execute(command, **options)
    if here:
        {how}()

gdb.execute = execute_or_not
"""
COMMANDS = ("attach", "catch", "continue", "detach", "delete")


@pytest.fixture
def sabotage(tmp_path):
    """Return a function that writes a script for GDB which makes a rehearsal end early."""

    def write(how, command, after):
        script, stand_in = tmp_path / "sabotage.py", tmp_path / "stand-in"
        text = SABOTAGE.format(stand_in=stand_in, how=how, command=command, after=after)
        script.write_text(text)
        return script

    return write


@pytest.fixture
def rehearse(sabotage, tmp_path):
    """Return a function that lets GDB rehearse, and returns how GDB ended and the stand-in."""

    def run(how, command="", after=False):
        script = sabotage(how, command, after)
        ended = subprocess.run(
            [
                *("gdb", *SAFE_OPTIONS, "-iex", "set mi-async on", "--interpreter=mi2", "-batch"),
                *("-x", script, "-x", script_path("gdbleak_rehearsal.py")),
                *("-ex", "python print('inferior', gdb.selected_inferior().pid)"),
                *("-ex", "python print('breakpoints', gdb.breakpoints())"),
                *("-ex", "python print(execute('info breakpoints', to_string=True))"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            timeout=60,
        )
        return ended, int((tmp_path / "stand-in").read_text())

    return run


def assert_gone(pid):
    wait_until(
        lambda: not psutil.pid_exists(pid) or not lives(psutil.Process(pid)), "the stand-in ended"
    )


def test_nothing_is_left_of_it(rehearse):
    ended, stand_in = rehearse("id", command="none")

    assert "inferior 0" in ended.stdout
    assert "breakpoints ()" in ended.stdout
    assert "No breakpoints" in ended.stdout
    assert_gone(stand_in)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_stand_in_ends_with_a_gdb_that_is_killed(rehearse, command, after):
    ended, stand_in = rehearse("die", command, after)

    assert ended.returncode == -signal.SIGKILL
    assert_gone(stand_in)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_stand_in_ends_when_the_rehearsal_fails(rehearse, command, after):
    ended, stand_in = rehearse("fail", command, after)

    assert "Traceback" not in ended.stdout + ended.stderr
    assert_gone(stand_in)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_rehearsal_that_fails_does_no_harm(
    build_target, cli, sabotage, start_target, tmp_path, command, after
):
    target, gdb = start_target(build_target("puppet.c")), tmp_path / "gdb"
    script = sabotage("fail", command, after)
    gdb.write_text(f'#!/bin/sh\nexec {shutil.which("gdb")} -x {script} "$@"\n')
    gdb.chmod(0o755)
    trace = cli.start_trace(target.pid, env={"GDBLEAK_GDB": str(gdb)})
    target.ask("leak 3")
    trace.send(signal.SIGINT)

    report = trace.finish().report
    assert (report["window"]["ended_by"], report["window"]["allocations"]) == ("interrupt", 3)
    assert report["verification"]["ok"] is True
    assert_gone(int((tmp_path / "stand-in").read_text()))
