"""What a GDB is refused for that cannot be trusted with a process."""

from __future__ import annotations

import pytest
from support.gdbs import find_gdb

pytestmark = pytest.mark.usefixtures("needs_ptrace")


def test_gdb_that_must_halt_a_process_is_not_used_remotely(cli, build_target, start_target):
    """Through a gdbserver nobody can send the process a signal of ours."""
    puppet = start_target(build_target("puppet.c"))
    gdb = find_gdb("bullseye") / "gdb"
    result = cli.run(
        *("trace", puppet.pid, "--remote", "127.0.0.1:1"), env={"GDBLEAK_GDB": str(gdb)}
    )

    assert (result.exit_code, result.stdout) == (4, "")
    cause, cure = result.stderr.splitlines()
    assert str(gdb) in cause
    assert "leaves breakpoints in a process" in cause
    assert "gdb 11 or later" in cure
