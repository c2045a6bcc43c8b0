"""Which container a process runs in, by the names of its control groups. Pure.

Docker, podman, CRI-O, containerd and Kubernetes name the group after the id of the container, which
has 64 hexadecimal digits. LXC and systemd-nspawn name it after the name of the container.
"""

from __future__ import annotations

import re

_SHORT = 12
"""How many digits of an id `docker ps`, `podman ps` and `crictl ps` show or take."""

_ID = re.compile(r"(?:^|[/:-])([0-9a-f]{64})(?=$|/|\.scope)", re.MULTILINE)
_NAME = re.compile(r"/(?:lxc\.payload\.|lxc/|machine\.slice/machine-)([^/\n]+)")


def find_container(membership: str) -> str | None:
    r"""Return the short id or name of the container of a process; None if it is not in one.

    Args:
        membership: The text of /proc/PID/cgroup; cgroups(7).

    >>> find_container("0::/system.slice/docker-" + "3f2a" * 16 + ".scope\n")
    '3f2a3f2a3f2a'
    >>> find_container("0::/lxc.payload.web/init.scope\n")
    'web'
    >>> find_container("0::/user.slice/user-1000.slice\n")

    """
    if ids := _ID.findall(membership):
        return str(ids[-1])[:_SHORT]
    if name := _NAME.search(membership):
        return name[1].removesuffix(".scope").replace("\\x2d", "-")
    return None
