"""`python -m gdbleak`, and the `gdbleak` command."""

from __future__ import annotations

import resource
import signal
import sys


def entry() -> None:
    """Run the command of this process's arguments."""
    try:
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
    except KeyboardInterrupt:
        exec("")  # else Python kills itself by SIGINT, if that came in an `exec` of a library
        sys.stderr.write("gdbleak: interrupted\n")
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    entry()
