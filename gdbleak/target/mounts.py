"""File systems that a program of some user serves: opening a file there waits for that program.

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
        The id of the user who serves it, by its device as in /proc/PID/maps. Empty if we are not
        root: the kernel keeps others from such file systems, unless root allows it.

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
