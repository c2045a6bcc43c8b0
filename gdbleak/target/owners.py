"""The owner of a process or a file, and how a program of ours runs as that user.

Sources: proc(5), capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from gdbleak.target.proc import read_status

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Owner:
    """A user, with the groups of a process."""

    user: int
    group: int
    groups: tuple[int, ...] = ()
    reads_all: bool = False
    """Whether programs that run as this user may read every file, as root may."""

    def become(self) -> None:
        """Become this user, in a child of ours that is to run a program.

        Raises:
            OSError: the kernel does not let us.

        """
        os.setgroups(self.groups)
        os.setresgid(self.group, self.group, self.group)
        if self.reads_all:
            _prctl(_PR_SET_KEEPCAPS, 1)
        os.setresuid(self.user, self.user, self.user)
        if self.reads_all:
            own = 1 << _CAP_DAC_READ_SEARCH
            header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
            _check(_libc.capset(header, (ctypes.c_uint32 * 6)(own, own, own)))
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)


def _prctl(option: int, *values: int) -> None:
    _check(_libc.prctl(option, *(ctypes.c_ulong(value) for value in (*values, 0, 0, 0)[:4])))


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def owner_of_process(pid: int) -> Owner | None:
    """Return the owner of a process; None if we are not root, or it is root's, or has ended.

    What a program of ours opens as that user, the user could open without us: so nothing is gained.
    """
    if os.geteuid() != 0:
        return None
    try:
        status = read_status(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    users = [int(word) for word in status["Uid"].split()]
    groups = [int(word) for word in status["Gid"].split()]
    user = next((user for user in users if user), 0)
    others = tuple(int(word) for word in status.get("Groups", "").split())
    return Owner(user, groups[0], others) if user else None


def owner_of_file(path: str | Path) -> Owner | None:
    """Return the owner of a file, without groups."""
    if os.geteuid() != 0:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid) if found.st_uid else None
