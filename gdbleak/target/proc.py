"""What /proc says of a process: its mappings, its status, its memory. Source: proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SIZES = ("RssAnon", "RssFile", "RssShmem", "VmStk", "VmSwap")
"""Fields of /proc/PID/status in kB."""


_FILE_BYTES = 1 << 14
"""More than /proc/PID/stat and /proc/PID/status have, which come whole."""


@dataclass(frozen=True)
class Mapping:
    """A line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str
    """Empty for anonymous memory; without " (deleted)". A newline in a name stands there as the
    four characters `\\012`, which a name may hold as well: see `possible_names`."""
    deleted: bool

    @property
    def executable(self) -> bool:
        """True when code may run there."""
        return "x" in self.permissions


def parse_mapping(line: str) -> Mapping:
    """Parse a line such as `7f00-7f10 r-xp 00001000 08:01 42   /lib/libc.so.6`."""
    fields = line.rstrip("\n").split(None, 5)
    addresses, permissions, offset, device, inode = fields[:5]
    start, end = addresses.split("-")
    path = fields[5] if len(fields) > 5 else ""
    deleted = path.endswith(" (deleted)")
    return Mapping(
        int(start, 16),
        int(end, 16),
        permissions,
        int(offset, 16),
        device,
        int(inode),
        path[: -len(" (deleted)")] if deleted else path,
        deleted,
    )


def possible_names(path: str) -> tuple[str, ...]:
    r"""Return the names that a file may have whose path stands in /proc/PID/maps.

    The kernel writes a newline as \012, and nothing else in octal, the backslash neither.

    >>> possible_names(r"/srv/a\012b")
    ('/srv/a\\012b', '/srv/a\nb')
    """
    decoded = path.replace("\\012", "\n")
    return (path,) if decoded == path else (path, decoded)


def read_mappings(pid: int) -> list[Mapping]:
    """Return the mappings of a process, in order of address; none when it is gone.

    Raises:
        PermissionError: the process lets nobody look at it, perhaps since a moment ago.

    """
    try:
        with Path(f"/proc/{pid}/maps").open(newline="\n", errors="surrogateescape") as file:
            return [parse_mapping(line) for line in file]
    except (FileNotFoundError, ProcessLookupError):
        return []


def read_status(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status; a thread has one of its own."""
    text = Path(f"/proc/{pid}/status").read_text(errors="surrogateescape")
    fields = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in fields}


def has_shadow_stack(pid: int) -> bool:
    """Return whether a thread of a process has a shadow stack, which holds return addresses again.

    Source: "Control-flow Enforcement Technology (CET) Shadow Stack" in the manual of Linux, which
    tells it since 6.6: `x86_Thread_features: shstk` in the status of a thread.
    """
    for thread in list_threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            text = Path(f"/proc/{pid}/task/{thread}/status").read_text(errors="surrogateescape")
            if tells_of_shadow_stack(text):
                return True
    return False


def tells_of_shadow_stack(status: str) -> bool:
    """Return the same of a thread, given its status."""
    fields = (line.partition(":") for line in status.splitlines())
    return any(
        key == "x86_Thread_features" and "shstk" in value.split() for key, _, value in fields
    )


def read_state(pid: int, thread: int | None = None) -> str | None:
    """Return the state letter of a process, or of one of its threads; None when it is gone."""
    fields = read_stat(f"/proc/{pid}/task/{thread or pid}/stat")
    return fields[0].decode() if fields else None


def read_start(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None when it is gone.

    No other process of the same PID has the same.
    """
    fields = read_stat(f"/proc/{pid}/stat")
    return int(fields[19]) if fields else None


def read_switches(pid: int, thread: int) -> int:
    """Return how often a thread has been switched to, 0 when it is gone.

    Source: proc(5), voluntary_ctxt_switches and nonvoluntary_ctxt_switches.
    """
    lines = _read_quickly(f"/proc/{pid}/task/{thread}/status").splitlines()
    return sum(int(line.split()[1]) for line in lines if b"_switches:" in line)


def read_thread_ids(pid: int, thread: int) -> set[int]:
    """Return the ids of a thread: ours, and in a container the one that it knows itself by.

    Source: proc(5), NSpid, since Linux 4.1.
    """
    lines = _read_quickly(f"/proc/{pid}/task/{thread}/status").splitlines()
    return {thread, *(int(n) for line in lines if line[:6] == b"NSpid:" for n in line.split()[1:])}


def read_runnable_ns(pid: int) -> int:
    """Return for how long the first thread of a process has run, or has waited for a processor.

    0 when it is gone, and where the kernel does not count that (without CONFIG_SCHED_INFO).
    Source: "/proc/<pid>/schedstat" in Documentation/scheduler/sched-stats.rst of Linux.
    """
    fields = _read_quickly(f"/proc/{pid}/schedstat").split()
    return sum(map(int, fields[:2]))


def read_stat(path: str) -> list[bytes]:
    """Return the fields of such a file from the state on; none when the process is gone."""
    stat = _read_quickly(path)
    # The name before them may hold spaces and parentheses.
    return stat[stat.rindex(b")") + 2 :].split() if stat else []


def _read_quickly(path: str) -> bytes:
    """Return a file that is read hundreds of times a second; nothing when the process is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return b""
    try:
        return os.read(file, _FILE_BYTES)
    except ProcessLookupError:
        return b""
    finally:
        os.close(file)


def read_name(pid: int) -> str:
    """Return what the kernel calls a process, in at most 15 characters; "?" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="surrogateescape").rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return "?"


def list_threads(pid: int) -> list[int]:
    """Return the thread ids of a process; none when it is gone."""
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def list_children(pid: int, thread: int) -> set[int]:
    """Return the children of a thread, and those of it that have ended and were not waited for.

    None when the thread is gone, and where the kernel was built without CONFIG_PROC_CHILDREN.
    Source: proc(5), /proc/PID/task/TID/children, which may lack some while they come and go.
    """
    try:
        return {*map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())}
    except (FileNotFoundError, ProcessLookupError):
        return set()


def resident_set(pid: int) -> int | None:
    """Return the resident set of a process in bytes, or None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_status(pid: int) -> dict[str, int]:
    """Return what kinds of memory a process holds, in bytes, and how many threads it has.

    A kernel before 4.5 does not tell anonymous memory from pages of files. Empty when it is gone.
    """
    try:
        return memory_of(read_status(pid))
    except (FileNotFoundError, ProcessLookupError):
        return {}


def memory_of(fields: dict[str, str]) -> dict[str, int]:
    """Return the same of the fields of /proc/PID/status; nothing where there are none."""
    sizes = {name: int(fields[name].split()[0]) << 10 for name in _SIZES if name in fields}
    return {**sizes, "Threads": int(fields["Threads"])} if fields else {}


class Memory:
    """The memory of a process, through /proc/PID/mem.

    Opening it asks the kernel for the same permission as attaching to the process.
    """

    def __init__(self, pid: int, writable: bool = False) -> None:
        self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR if writable else os.O_RDONLY)

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where unmapped memory begins, none when it is gone."""
        try:
            return os.pread(self._file, size, address)
        except (OSError, OverflowError):  # EIO: nothing mapped at `address`
            return b""

    def write(self, address: int, data: bytes) -> bool:
        """Write `data`, into read-only code too; False when the kernel refuses."""
        try:
            return os.pwrite(self._file, data, address) == len(data)
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._file)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def iter_ancestors(pid: int) -> Iterator[int]:
    """Yield a process's parent, its parent, and so on, as far as they can be seen.

    With `hidepid` the processes of other users cannot be seen; we may not trace them either.
    """
    while pid > 1:
        try:
            pid = int(read_status(pid)["PPid"])
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return
        yield pid


def find_data(mappings: Iterable[Mapping], path: str) -> tuple[int, int] | None:
    """Return the range of the writable data of a file, with the .bss that the kernel maps behind.

    None if it has none, or is not mapped.
    """
    found: tuple[int, int] | None = None
    for mapping in mappings:
        own = mapping.path == path and "w" in mapping.permissions
        if found and mapping.start == found[1] and (own or not mapping.path):
            found = found[0], mapping.end
        elif own:
            found = mapping.start, mapping.end
    return found
