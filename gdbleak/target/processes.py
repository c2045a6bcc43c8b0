"""The processes of this host, and which one a name means."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import psutil

from gdbleak.target.proc import iter_ancestors


class Candidate(NamedTuple):
    """A process, with what tells it from others."""

    pid: int
    age_s: float
    rss: int
    """Resident set in bytes."""
    command: str
    """Its command line."""


class Found(NamedTuple):
    """PIDs of processes, by what they are called: the name of the command or of the program."""

    exactly: list[int]
    """Of those that have the name."""
    partly: list[int]
    """Of those whose name contains it."""


def find_processes(name: str) -> Found:
    """Return which processes have a name.

    This process and those that have started it are not among them, and no threads of the kernel.
    """
    own = {os.getpid(), *iter_ancestors(os.getpid())}
    found = Found([], [])
    for process in psutil.process_iter():
        if process.pid in own or _is_kernels(process):
            continue
        names = _names(process)
        if name in names:
            found.exactly.append(process.pid)
        elif any(name in longer for longer in names):
            found.partly.append(process.pid)
    return found


def describe_process(pid: int) -> Candidate | None:
    """Return what tells a process from others of its name; None when it has ended."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            command = " ".join(process.cmdline()) or process.name()
            age_s = time.time() - process.create_time()
            return Candidate(pid, age_s, process.memory_info().rss, command)
    except psutil.Error:
        return None


def _is_kernels(process: psutil.Process) -> bool:
    """Whether a process is a thread of the kernel: kthreadd, or one of its children."""
    try:
        return process.pid == 2 or process.ppid() == 2
    except psutil.Error:
        return True


def _names(process: psutil.Process) -> set[str]:
    """Return what a process is called: the kernel's name for it, and its program's."""
    names = set()
    for ask in (process.name, lambda: os.path.basename(process.exe())):  # noqa: PTH119
        try:
            names.add(ask())
        except (psutil.Error, OSError):  # it has ended, or is somebody else's
            continue
    return names - {""}
