"""Whose a process or a file is, and how a program of ours runs as that user. Source: proc(5)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdbleak.proc import read_status


@dataclass(frozen=True)
class Owner:
    """A user, with the groups of a process."""

    user: int
    group: int
    groups: tuple[int, ...] = ()

    def become(self) -> dict[str, Any]:
        """Return the arguments of subprocess.Popen by which a program runs as this user.

        Nothing of our environment goes along: that user may read it, and ours may hold secrets.
        """
        return {"user": self.user, "group": self.group, "extra_groups": list(self.groups)}


def owner_of_process(pid: int) -> Owner | None:
    """Return whose a process is; None where we are not root, or it is root's, or has ended.

    What its files lead a program of ours to, that user can open without us: so nothing is gained.
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
    """Return the same of a file, without groups."""
    if os.geteuid() != 0:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid) if found.st_uid else None
