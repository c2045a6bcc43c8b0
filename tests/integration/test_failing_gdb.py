"""A GDB that fails between the attach and the window leaves its target as it was."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.usefixtures("needs_ptrace")

# Run inside GDB once the agent is loaded; not in the GDB that is only asked for its version.
SABOTAGE = """
import os
if "Probe" in globals():
    set_breakpoint, execute, left = Probe.__init__, gdb.execute, iter(range(3))

    def fail(how):
        if how == "killed":
            os.kill(os.getpid(), 9)
        raise gdb.error("Cannot do that.")

    def set_or_fail(*arguments):
        next(left, None) is None and fail("{how}")
        set_breakpoint(*arguments)

    def execute_or_fail(command, **options):
        command.startswith("{command}") and fail("{how}")
        execute(command, **options)

    if "{command}" == "break":
        Probe.__init__ = set_or_fail
    else:
        gdb.execute = execute_or_fail
"""


@pytest.fixture
def make_gdb(tmp_path):
    """Return a function that makes a GDB which fails at a command of the agent."""

    def make(command, how):
        sabotage, gdb = tmp_path / "sabotage.py", tmp_path / "gdb"
        sabotage.write_text(SABOTAGE.format(command=command, how=how))
        gdb.write_text(f'#!/bin/sh\nexec {shutil.which("gdb")} "$@" -x {sabotage}\n')
        gdb.chmod(0o755)
        return gdb

    return make


@pytest.mark.parametrize("how", ["refused", "killed"])
@pytest.mark.parametrize("command", ["attach", "break", "catch exec", "continue"])
def test_target_goes_on(cli, build_target, start_target, make_gdb, command, how):
    target = start_target(build_target("worker.c"))
    result = cli.run("trace", target.pid, env={"GDBLEAK_GDB": str(make_gdb(command, how))})

    assert (result.exit_code, result.stdout) == (4, "")
    *_, cause, cure = result.stderr.splitlines()
    assert ("could not trace" in cause, "gdbleak doctor" in cure) == (True, True)
    assert ("Cannot do that" in cause) == (how == "refused"), cause
    target.assert_as_found()
    assert target.ask("end").endswith(" 0 damaged")
    assert target.wait() == 0
