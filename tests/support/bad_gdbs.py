"""GDBs that fail where a test wants them to, and what must have become of a trace with one."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from support.cli import Result
from support.crew import running_beside
from support.processes import Target, wait_until

HELP = '''
import os, signal, struct, time

def fail(reason="Cannot do that."):
    raise gdb.GdbError(reason)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def hang():
    """Say that it does so, until it is told not to."""
    open(folder + "/hangs", "w").close()
    while not os.path.exists(folder + "/go"):
        time.sleep(0.01)

def before(command, function, *arguments):
    """Do something before a command of the agent."""
    @replace(gdb, "execute")
    def execute(original, text, *options, **names):
        if text.startswith(command):
            function(*arguments)
        return original(text, *options, **names)

def on_detach(function):
    """Have the controller's command do something else, which gets what it does as a function."""
    class Detach(gdb.Command):
        def invoke(self, argument, from_tty):
            function(lambda: gdb.execute("detach", to_string=True))
    Detach("bad-detach", gdb.COMMAND_USER)

def after_detach(function, *arguments):
    @on_detach
    def detach(original):
        original()
        function(*arguments)

def pid():
    return window_plans[-1]["pid"]

def address():
    return window_plans[-1]["probes"][0]["address"]

def write(address, code):
    with open("/proc/%d/mem" % pid(), "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(code)

def replace(of, name):
    """Have a function take the place of one, which it gets as its first argument."""
    def decorate(function):
        original = getattr(of, name)
        setattr(of, name, lambda *words, **names: function(original, *words, **names))
    return decorate

window_plans = []

@replace(Window, "start")
def start(original, window, plan):
    window_plans.append(plan)
    with open(folder + "/attached", "a") as file:
        file.write("%d\\n" % plan["pid"])
    original(window, plan)
'''


class BadGdb:
    """A real GDB in which some Python is run after the agent was loaded, to break it."""

    def __init__(self, folder: Path, sabotage: str) -> None:
        """Make one.

        Args:
            folder: An empty one, for its files.
            sabotage: Python; see HELP for what it may call.

        """
        folder.mkdir()
        self.folder = folder
        self.path = folder / "gdb"
        code = f"folder = {str(folder)!r}\n{HELP}\n{sabotage}\n"
        script = folder / "sabotage.py"
        # Not in the GDB that is asked for its version, or for names of functions.
        script.write_text(f"if 'Probe' in globals():\n    exec({code!r}, globals())\n")
        # No command of GDB can stand in for one of the machine interface.
        edit = "s/-target-detach/-interpreter-exec console bad-detach/"
        through = f" < <(exec sed -u '{edit}' <&3 2>/dev/null) 3<&-" if "detach" in sabotage else ""
        self.path.write_text(
            "#!/bin/bash\nexec 3<&0\n"
            f'exec {shutil.which("gdb")} "$@" -x {shlex.quote(str(script))}{through}\n'
        )
        self.path.chmod(0o755)

    @property
    def attached(self) -> list[int]:
        """The PIDs that it was told to attach to."""
        log = self.folder / "attached"
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    def wait_until_it_hangs(self) -> None:
        """Wait until it has come to where it is to hang."""
        wait_until((self.folder / "hangs").exists, "it hung")

    def go_on(self) -> None:
        """Let it go on where it hangs."""
        (self.folder / "go").touch()


HURRIED_S = 3
HURRIED = (
    sys.executable,
    "-c",
    "import sys\n"
    "from gdbleak.debugger import program as gdb_program\n"
    "from gdbleak.capture import agent, rehearsal, standing_in\n"
    "from gdbleak.cli import main\n"
    "for module in (agent, gdb_program, rehearsal, standing_in):\n"
    "    for name in ('_PROBE', 'START', 'ANSWER', 'DETACH'):\n"
    "        if hasattr(module, f'{name}_TIMEOUT_S'):\n"
    f"            setattr(module, f'{{name}}_TIMEOUT_S', {HURRIED_S})\n"
    "sys.exit(main(sys.argv[4:]))",
)
"""A wrapper for `Cli`: gdbleak with less patience with a GDB that does not answer."""


def assert_refused(result: Result, *words: Any) -> str:
    """Assert that it was refused in two lines, the first with these words; return the second.

    Before them it may be said how the process was about to be recorded.
    """
    assert (result.exit_code, result.stdout) == (4, ""), result.stderr
    *before, first, second = result.stderr.splitlines()
    assert all(line.startswith("gdbleak: bursts: ") for line in before), result.stderr
    lines = [first, second]
    assert lines[0].startswith("gdbleak: ")
    assert lines[1].startswith("  try: ")
    for word in words:
        assert str(word) in lines[0], lines[0]
    return lines[1]


def assert_untouched(target: Target, state: Path) -> None:
    """Assert that a target is as it was, and that nothing is left of what came for it."""
    wait_until(lambda: running_beside(target) == [], "every process of gdbleak had ended")
    target.assert_as_found()
    assert target.ask("leak 1") == "leaked"
    assert not state.exists() or list(state.iterdir()) == []
