"""How a process is started that works beside a window, with the modules that this one has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

# Not by -m, which would look for modules in the current folder first.
_RUN = """
import importlib, sys
module = sys.argv[1]
sys.path[:] = sys.argv[3:]
importlib.import_module(module).main(sys.argv[2])
"""

_TERMINAL_SIGNALS = {
    *(signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP),
    *(signal.SIGTTIN, signal.SIGTTOU),
}
"""What a terminal sends to both processes, or to one in its background.

Only the window heeds them; the process beside it learns of the end by its standard input."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Else numpy starts a thread for each processor, to multiply matrices, of which we have none."""


def start_child(
    module: str,
    argument: str,
    scratch: Path,
    output: int | None,
    errors: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that runs `main(argument)` of a module.

    Args:
        module: The name of the module.
        argument: What it is given.
        scratch: A private folder, for its temporary files.
        output: As `stdout` of `subprocess.Popen`.
        errors: Where it writes what is wrong with it; None for where this process does.

    """
    without_bytecode = ["-B"] if sys.dont_write_bytecode else []
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
    try:
        return subprocess.Popen(
            [sys.executable, *without_bytecode, "-I", "-c", _RUN, module, argument, *sys.path],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            bufsize=0,
            env={**os.environ, **_ONE_THREAD, "TMPDIR": str(scratch)},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
