"""A GDB that was good in the rehearsal and then fails leaves its target as it was."""

from __future__ import annotations

import pytest
from support.bad_gdbs import BadGdb

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_ptrace")]

# The second window of a GDB is the one on the target.
ON_THE_TARGET = """
def when_it_matters():
    if len(window_plans) == 2:
        {how}()

{sabotage}
"""
SABOTAGES = {
    "attach": "before('attach', when_it_matters)",
    "the third breakpoint": """
left = [None] * 4
@replace(Probe, "__init__")
def _(original, self, *arguments):
    if len(window_plans) == 2:
        left.pop()
        if not left:
            when_it_matters()
    original(self, *arguments)
""",
    "catch exec": "before('catch', when_it_matters)",
    "continue": "before('continue', when_it_matters)",
}


@pytest.mark.parametrize("how", ["fail", "die"])
@pytest.mark.parametrize("command", SABOTAGES)
def test_target_goes_on(cli, build_target, start_target, tmp_path, command, how):
    target = start_target(build_target("worker.c"))
    sabotage = ON_THE_TARGET.format(how=how, sabotage=SABOTAGES[command])
    gdb = BadGdb(tmp_path / "bad", sabotage)
    result = cli.run(
        "trace", target.pid, "--probe", "breakpoint", env={"GDBLEAK_GDB": str(gdb.path)}
    )

    assert (result.exit_code, result.stdout) == (4, "")
    *_, cause, cure = result.stderr.splitlines()
    assert ("could not trace" in cause, "gdbleak doctor" in cure) == (True, True)
    assert ("Cannot do that" in cause) == (how == "fail"), cause
    assert gdb.attached[1:] == [target.pid]
    target.assert_as_found()
    assert target.ask("end").endswith(" 0 damaged")
    assert target.wait() == 0
