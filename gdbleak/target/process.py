"""What a process is, read before it is touched, and whether it can be traced at all."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import psutil

from gdbleak.architectures import X86_64
from gdbleak.errors import (
    AlreadyTracedError,
    NoSuchProcessError,
    NotPermittedError,
    ProcessStoppedError,
    ProcessUnusableError,
)
from gdbleak.host.files import open_regular
from gdbleak.recording.head import TracedProcess
from gdbleak.target.life import find_obstacle
from gdbleak.target.proc import Memory, iter_ancestors, possible_names, read_mappings, read_status
from gdbleak.target.shared_memory import check_sharers

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_CAP_SYS_PTRACE = 1 << 19
_TRACE = "trace {}".format


@dataclass(frozen=True)
class Target:
    """A process that may be traced."""

    pid: int
    namespace_pid: int | None
    """Its PID as it knows it itself, in a container say; None when that is the same."""
    command: str
    exe: str | None
    started: str | None
    threads: int
    state: str

    def describe(self) -> TracedProcess:
        """Return what a recording keeps of it."""
        return TracedProcess(
            self.pid, self.command, self.exe, self.started, self.threads, self.namespace_pid
        )


def inspect(pid: int) -> Target:
    """Describe a process.

    Raises:
        TargetError: it cannot be traced; the subclass and its text say why.

    """
    try:
        status = read_status(pid)
        _check_kind(pid, status)
        process = psutil.Process(pid)
        check_permission(pid, status)
        _check_architecture(pid, status)
        check_sharers(pid)
        with process.oneshot():
            return Target(
                pid=pid,
                namespace_pid=_find_namespace_pid(pid, status),
                command=" ".join(process.cmdline()) or process.name(),
                exe=str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)"),
                started=isoformat(process.create_time()),
                threads=process.num_threads(),
                state=status["State"][:1],
            )
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess) as error:
        raise NoSuchProcessError(f"there is no process {pid}") from error


def check_readable(pid: int, command: Callable[[int], str]) -> None:
    """Check that the memory of a process may be read, whether it is stopped or not.

    Args:
        pid: The process.
        command: Returns what to type after `gdbleak`, by the PID.

    Raises:
        TargetError: its memory cannot be read; the subclass and its text say why.

    """
    try:
        status = read_status(pid)
        _check_is_process(pid, status, command)
        _check_memory(pid, status)
        check_permission(pid, status, command)
        _check_architecture(pid, status)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NoSuchProcessError(
            f"there is no process {pid}", "list processes with `ps -eo pid,comm`"
        ) from error


def read_command(pid: int) -> str:
    """Return the command line of a process, or its name if it has none.

    Raises:
        NoSuchProcessError: there is no such process.

    """
    try:
        process = psutil.Process(pid)
        return " ".join(process.cmdline()) or process.name()
    except psutil.NoSuchProcess as error:
        raise NoSuchProcessError(
            f"there is no process {pid}", "list processes with `ps -eo pid,comm`"
        ) from error


def _find_namespace_pid(pid: int, status: dict[str, str]) -> int | None:
    # One PID for each namespace, from ours to its own. Since Linux 4.1.
    own = int(status.get("NSpid", str(pid)).split()[-1])
    return own if own != pid else None


def isoformat(timestamp: float) -> str:
    """Return a POSIX time as local time with its offset from UTC, to the second."""
    return (
        datetime.fromtimestamp(timestamp, timezone.utc).astimezone().isoformat(timespec="seconds")
    )


def _check_kind(pid: int, status: dict[str, str]) -> None:
    name, state = status["Name"], status["State"][:1]
    _check_is_process(pid, status, _TRACE)
    if pid == os.getpid() or pid in iter_ancestors(os.getpid()):
        raise ProcessUnusableError(
            f"process {pid} ({name}) is gdbleak or one of its parents; to trace it would freeze"
            " gdbleak too",
            "trace it from a shell that is not its child, for example in a second terminal",
        )
    obstacle = find_obstacle(pid)
    if obstacle:
        raise ProcessUnusableError(
            f"process {pid} ({name}) cannot be traced: {obstacle}",
            "restart it, and trace it while its main thread runs",
        )
    _check_memory(pid, status)
    tracer = int(status["TracerPid"])
    if tracer:
        raise AlreadyTracedError(
            f"process {pid} ({name}) is traced by process {tracer} ({_name(tracer)})",
            "detach that tracer first, from within; killing a debugger can kill what it traces",
        )
    if state == "T":
        raise ProcessStoppedError(
            f"process {pid} ({name}) is stopped by job control; it was left stopped",
            f"continue it first: `kill -CONT {pid}`",
        )


def _check_is_process(pid: int, status: dict[str, str], command: Callable[[int], str]) -> None:
    process = int(status["Tgid"])
    if process != pid:
        raise NoSuchProcessError(
            f"{pid} is a thread of process {process}", f"gdbleak {command(process)}"
        )


def _check_memory(pid: int, status: dict[str, str]) -> None:
    name = status["Name"]
    if status["State"][:1] in "ZX":
        raise ProcessUnusableError(
            f"process {pid} ({name}) has ended and is a zombie: it holds no memory",
            f"its parent {status['PPid']} has not read its exit status; look there",
        )
    if "VmSize" not in status:
        raise ProcessUnusableError(
            f"process {pid} ({name}) is a kernel thread: it has no heap",
            "look at `slabtop` for memory the kernel holds",
        )


def _check_architecture(pid: int, status: dict[str, str]) -> None:
    """Look at the ELF header: byte 4 is the class, 18 and 19 the machine."""
    header = _read_program(pid)
    if not header:
        return
    if header[4:5] == b"\x01":
        raise ProcessUnusableError(
            f"process {pid} ({status['Name']}) is a 32-bit program",
            "gdbleak traces 64-bit programs only; see docs/limits.md",
        )
    if header[18:20] != X86_64.elf_machine_number.to_bytes(2, "little"):
        raise ProcessUnusableError(
            f"process {pid} ({status['Name']}) is not an x86-64 program",
            "gdbleak traces x86-64 programs only; see docs/limits.md",
        )


def _read_program(pid: int) -> bytes:
    """Return the ELF header of a program, as it is mapped where that can be told."""
    program = str(Path(f"/proc/{pid}/exe").readlink())
    for mapping in read_mappings(pid):
        if mapping.offset == 0 and program in possible_names(mapping.path):
            with Memory(pid) as memory:
                return memory.read(mapping.start, 20)
    try:
        file = open_regular(f"/proc/{pid}/exe")
    except OSError:  # it lies where even we must not read
        return b""
    try:
        return os.pread(file, 20, 0)
    finally:
        os.close(file)


def check_permission(
    pid: int, status: dict[str, str], command: Callable[[int], str] = _TRACE
) -> None:
    """Ask the kernel whether we may attach, without attaching.

    Args:
        pid: The process.
        status: The fields of its status.
        command: Returns what to type after `gdbleak`, by the PID.

    Raises:
        NotPermittedError: it would refuse; the text names the likely reason.

    """
    try:
        Memory(pid).close()
        os.kill(pid, 0)  # GDB halts threads by a signal; one it cannot send would be waited for
        return
    except PermissionError as error:
        refusal = error
    cause = f"the kernel does not let us trace process {pid} ({status['Name']})"
    owner = int(status["Uid"].split()[0])
    scope = YAMA.read_text().strip() if YAMA.exists() else "0"
    if owner != os.geteuid() and has_cap_sys_ptrace() and scope != "3":
        # /proc/PID/mem is a file of the owner, and so is the right to send signals.
        cause += f": it belongs to user {_user(owner)}, and CAP_SYS_PTRACE alone is not enough"
        cure = "run as root or as that user, or with CAP_DAC_OVERRIDE and CAP_KILL too"
    elif os.geteuid() != 0 and owner != os.geteuid():
        cause += f": it belongs to user {_user(owner)}"
        cure = f"run `sudo gdbleak {command(pid)}`"
    elif scope in ("1", "2") and os.geteuid() != 0:
        cause += f": kernel.yama.ptrace_scope is {scope}"
        cure = f"run `sudo gdbleak {command(pid)}`, or `sudo sysctl kernel.yama.ptrace_scope=0`"
    elif scope == "3":
        cause += ": kernel.yama.ptrace_scope is 3, which forbids it to everybody"
        cure = "boot with kernel.yama.ptrace_scope below 3; it cannot be lowered while running"
    else:
        cure = "run as root with CAP_SYS_PTRACE (in a container: `docker run --cap-add SYS_PTRACE`)"
    raise NotPermittedError(cause, cure) from refusal


def has_cap_sys_ptrace() -> bool:
    """Whether we may attach to processes of other users."""
    return bool(int(read_status(os.getpid())["CapEff"], 16) & _CAP_SYS_PTRACE)


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "not visible from here"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
