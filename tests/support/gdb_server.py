"""A gdbserver, through which a process is traced from elsewhere."""

from __future__ import annotations

import re
import subprocess

from support.processes import Lines


class GdbServer:
    """A gdbserver at a port that the kernel has chosen."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            ["gdbserver", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self.lines = Lines(self.process.stderr)
        try:
            self.address = f"127.0.0.1:{self._read_port()}"
        except BaseException:
            self.end()
            raise

    def _read_port(self) -> str:
        while not (found := re.search(r"Listening on port (\d+)", self.lines.next())):
            pass
        return found[1]

    def end(self) -> None:
        """End it in good order: it lets go of what it holds."""
        try:
            self.process.terminate()
            self.process.wait(20)
        finally:
            self.process.kill()  # nothing, once it has ended
            self.process.wait()
            assert self.process.stderr
            self.process.stderr.close()
