"""Servers, and clients that notice when an answer is wrong."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.processes import Target, lives, wait_until

_LISTENS = "00010000"  # flags of /proc/net/unix: __SO_ACCEPTCON


def unprivileged(*names: str) -> dict[str, Any]:
    """Return options of Popen: when this is root, run as the first of some users, or nobody."""
    if os.geteuid() != 0:
        return {}
    for name in (*names, "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip(f"none of the users {', '.join(names)} and nobody exists")


class Server(Target):
    """A program that listens at a socket of the file system, and ends in good order by SIGINT."""

    def __init__(self, command: Any, path: Path, **options: Any) -> None:
        super().__init__(command, stderr=subprocess.STDOUT, **options)
        self.path = path

    def wait_until_it_listens(self) -> None:
        """Return once it takes connections. None is made: that would be noticed."""

        def listens() -> bool:
            assert self.process.poll() is None, self.lines.rest()
            table = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
            return any(row[3] == _LISTENS and row[-1] == str(self.path) for row in table)

        wait_until(listens, f"a server listened at {self.path}")

    @property
    def program(self) -> Path:
        """The path of its program."""
        return Path(f"/proc/{self.pid}/exe").readlink()

    def find_child(self, title: str) -> int:
        """Return the PID of the one child whose command line begins with a title."""

        def children() -> list[int]:
            processes = psutil.Process(self.pid).children()
            return [p.pid for p in processes if " ".join(p.cmdline()).startswith(title)]

        [pid] = wait_until(children, f"there was a {title}")
        return pid

    def end(self) -> None:
        """Shut it down, and what it has started with it."""
        processes = [psutil.Process(self.pid)] if self.process.poll() is None else []
        processes += [child for process in processes for child in process.children(recursive=True)]
        try:
            if processes:
                self.process.send_signal(signal.SIGINT)
                self.process.wait(20)
        finally:
            for process in filter(lives, processes):
                process.kill()
            super().end()


class Client:
    """A connection to a server that answers in lines."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def send(self, request: bytes) -> None:
        """Send a request, without waiting for an answer."""
        self._socket.sendall(request)

    def ask(self, request: bytes) -> bytes:
        """Send a request, and return the first line of the answer without its end."""
        self.send(request)
        return self.line()

    def line(self) -> bytes:
        """Return the next line without its end."""
        line = self._answers.readline()
        assert line.endswith(b"\n"), f"the server hung up after {line!r}"
        return line.rstrip(b"\r\n")

    def lines_until(self, last: bytes) -> list[bytes]:
        """Return the next lines, without the one that ends the answer."""
        return list(iter(self.line, last))
