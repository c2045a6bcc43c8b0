"""File systems that a program of some user serves: whoever opens a file there waits for it.

Source: proc(5) for mountinfo; Documentation/filesystems/fuse.rst of Linux for `user_id`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_SERVED_BY = re.compile(r"(?:^|,)user_id=(\d+)")


def find_stallers(pid: int, proc: Path = Path("/proc")) -> dict[str, int]:
    """Return the FUSE file systems that others than root serve, as root sees them.

    Returns:
        Who serves it (the user's id), by its device as in /proc/PID/maps. Empty for who is not
        root: the kernel keeps them from file systems of other users, unless root allows it.

    """
    if os.geteuid() != 0:
        return {}
    try:
        lines = (proc / str(pid) / "mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:  # it has ended
        return {}
    found = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        served_by = _SERVED_BY.search(options.rpartition(" ")[2])
        if kind.startswith("fuse") and served_by and int(served_by[1]):
            major, minor = before.split()[2].split(":")
            found[f"{int(major):02x}:{int(minor):02x}"] = int(served_by[1])
    return found
