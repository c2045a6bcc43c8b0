"""The memory limit of a process: what its control groups allow, or the machine has.

Sources: cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux;
proc(5) for mountinfo and meminfo.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gdbleak.recording.memory_limit import MemoryLimit

_NO_LIMIT = 1 << 60
"""Version 1 of control groups writes a number as large as it can where there is no limit."""


def find_limit(pid: int, proc: Path = Path("/proc")) -> MemoryLimit | None:
    """Return the limit of a process that leaves least; None when none can be read."""
    try:
        groups = [*_iter_groups(proc / str(pid) / "cgroup", proc / "self/mountinfo")]
    except OSError:  # the process has ended, or there are no control groups
        groups = []
    limits = [limit for limit in map(_read_group, groups) if limit]
    machine = _read_machine(proc / "meminfo")
    return min((*limits, *machine), key=lambda limit: limit.left_bytes, default=None)


def _iter_groups(membership: Path, mounts: Path) -> Iterator[Path]:
    """Yield the folders of the groups that account for the memory of a process."""
    paths = {}
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            paths["cgroup"] = path
        elif not controllers:
            paths["cgroup2"] = path
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        path = paths.get(kind, "")
        if not path or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        inner = Path(path.removeprefix(root.rstrip("/")).lstrip("/") if root != "/" else path[1:])
        for folder in (inner, *inner.parents):
            yield Path(mount) / folder


def _read_group(folder: Path) -> MemoryLimit | None:
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            text = (folder / limit).read_text().strip()
            if text == "max" or int(text) >= _NO_LIMIT:
                return None
            fields = dict(
                line.split() for line in (folder / "memory.stat").read_text().splitlines()
            )
            in_use = int((folder / used).read_text()) - int(fields.get(cache, 0))
            return MemoryLimit(int(text), in_use, "control group")
        except (OSError, ValueError):  # a group of the other version, or of no limit at all
            continue
    return None


def _read_machine(meminfo: Path) -> list[MemoryLimit]:
    try:
        lines = (line.split() for line in meminfo.read_text().splitlines())
        sizes = {name.rstrip(":"): int(size) << 10 for name, size, *_ in lines}
        free = sizes["MemFree"] + sizes.get("Buffers", 0) + sizes.get("Cached", 0)
        # A kernel before 3.14 does not tell how much is available.
        used = sizes["MemTotal"] - sizes.get("MemAvailable", free)
    except (OSError, LookupError, ValueError):
        return []
    return [MemoryLimit(sizes["MemTotal"], used, "machine")]
