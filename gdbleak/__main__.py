"""`python -m gdbleak`, and the `gdbleak` command."""

from __future__ import annotations

import resource
import signal
import sys

_SOON_S = 0.001


def entry() -> None:
    """Run the command of this process's arguments."""
    try:
        sys.unraisablehook = _repeat_signal
        # Leave by way of every `finally`: there are files to remove, perhaps a process to release.
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
            # Python would leave half a file of what it compiles, and trip over it ever after.
            sys.dont_write_bytecode = True
        # Not before: Ctrl-C may come while all the modules are read.
        from gdbleak.host.streams import fill_standard_streams

        fill_standard_streams()
        from gdbleak.cli import main

        status = main(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over: one more Ctrl-C changes nothing
    except KeyboardInterrupt as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more is not to be seen
        exec("")  # else Python kills itself by SIGINT, if that came in an `exec` of a library
        sys.stderr.write(f"gdbleak: {str(error) or 'interrupted'}\n")
        status = 130
    sys.exit(status)


def _repeat_signal(unraisable: sys.UnraisableHookArgs) -> None:
    """Let a signal that came in a destructor come again: Python drops what is raised there."""
    error = unraisable.exc_value
    if isinstance(error, KeyboardInterrupt):
        number: int = signal.SIGINT
    elif isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
        number = error.code - 128
    else:
        sys.__unraisablehook__(unraisable)
        return
    # Not at once: the destructor has not ended yet.
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, _SOON_S)


if __name__ == "__main__":
    entry()
