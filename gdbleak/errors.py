"""The exceptions of gdbleak, each with the line that says what to type next.

GdbleakError
|-- UsageError
|-- TargetError
|   |-- NoSuchProcessError
|   |-- NotPermittedError
|   |-- AlreadyTracedError
|   |-- ProcessStoppedError
|   |-- ProcessUnusableError
|   |-- AllocatorError
|   |-- InlineRefusedError
|   |-- ForeignBreakpointError
|   |-- InjectionError
|   |-- AddressError
|   `-- OpenJournalError
|-- UndecidedError
|-- TraceFailedError
|-- DebuggerError
|   |-- DebuggerMissingError
|   |-- UnprovedError
|   |-- ResourceLimitError
|   |-- DebuggerFailedError
|   `-- AttachError
`-- FileError
    |-- RecordingError
    |-- ElfError
    |-- CoreError
    `-- WriteError
"""

from __future__ import annotations

import errno

MORE_FILES = "raise the limit, for example with `ulimit -n 1024`"
_LIMITS = {
    errno.EMFILE: MORE_FILES,
    errno.EFBIG: "raise the limit with `ulimit -f unlimited`",
    errno.EAGAIN: "raise the limit on processes, for example with `ulimit -u 4096`, or end some",
    errno.ENOMEM: "raise the limit on memory with `ulimit -v unlimited`, or free some",
}
"""What helps against such a cause, whatever failed by it."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""Why nothing more can be written to a place that could be written to."""


class GdbleakError(Exception):
    """Any failure that gdbleak foresees.

    The message is one line that says what is wrong; `help_text` is one line that says what
    to do about it; `exit_code` is what the command returns.
    """

    exit_code = 1
    default_help = "run `gdbleak doctor` to see what this host lacks"

    def __init__(self, message: str, help_text: str = "") -> None:
        super().__init__(message)
        self._help_text = help_text or self.default_help

    @property
    def help_text(self) -> str:
        """One line that says what to do about it."""
        cause = self.__cause__
        limit = _LIMITS.get(cause.errno or 0) if isinstance(cause, OSError) else None
        return limit or self._help_text


class UsageError(GdbleakError):
    """An option or argument that makes no sense."""

    exit_code = 2
    default_help = "run `gdbleak --help`"


class TargetError(GdbleakError):
    """The process cannot be traced, for a reason of its own or of this host."""

    exit_code = 3


class NoSuchProcessError(TargetError):
    """There is no process with that PID."""

    default_help = "list processes with `ps -eo pid,comm`, then `gdbleak trace PID`"


class NotPermittedError(TargetError):
    """The kernel would refuse to let us trace the process."""


class AlreadyTracedError(TargetError):
    """Another tracer holds the process; Linux allows one."""


class ProcessStoppedError(TargetError):
    """Job control has stopped the process; it is left as it is."""


class ProcessUnusableError(TargetError):
    """A kind of process that gdbleak cannot trace: zombie, kernel thread, 32 bits, gdbleak itself.

    Or a process that shares its memory with another one, or that has too many threads to be halted
    for a short enough time.
    """


class AllocatorError(TargetError):
    """No allocator was found that gdbleak can record completely."""


class InlineRefusedError(TargetError):
    """It cannot be proved that the process can be recorded inline; breakpoints may still do."""

    default_help = "use breakpoints: --probe breakpoint"


class ForeignBreakpointError(TargetError):
    """The allocator's code differs from its file: it holds a breakpoint or a patch."""


class InjectionError(TargetError):
    """The recorder of the inline probe could not be put into the process."""

    default_help = "record with breakpoints: `--probe breakpoint`"


class AddressError(TargetError):
    """An address of the process is in none of its blocks in use."""

    default_help = "list blocks in use and their addresses with `gdbleak trace PID -a`"


class OpenJournalError(TargetError):
    """A trace of the process is under way, or was killed and has left something to repair."""


class UndecidedError(GdbleakError):
    """A report does not cover what was asked for: what it does not show may exist all the same."""


class TraceFailedError(GdbleakError):
    """A report was made, but the trace did not end as a trace has to."""


class DebuggerError(GdbleakError):
    """GDB is missing, unusable, or failed."""

    exit_code = 4


class DebuggerMissingError(DebuggerError):
    """No gdb on this host, or one without Python."""


class UnprovedError(DebuggerError):
    """GDB failed on a process of gdbleak's own, and was kept away from the target."""

    default_help = (
        "set GDBLEAK_GDB to another gdb; `pip install 'gdbleak[gdb]'` brings one; see"
        " docs/gdb-versions.md"
    )


class ResourceLimitError(DebuggerError):
    """A limit of this shell would kill GDB with breakpoints in the target, or stopped gdbleak."""


class DebuggerFailedError(DebuggerError):
    """GDB ended, stopped answering, or refused a command."""


class AttachError(DebuggerError):
    """GDB could not attach to the process."""


class FileError(GdbleakError):
    """A file is not what it should be, or cannot be written."""

    exit_code = 5


class RecordingError(FileError):
    """The file is not a recording, or of a version that this gdbleak does not know."""

    default_help = "give a file written by `gdbleak trace PID --save FILE`"


class ElfError(FileError):
    """The file is not an ELF file, or is damaged."""


class CoreError(FileError):
    """The file is not a core file, or one that nothing can be told from."""

    default_help = "give a core file of a 64-bit process, as the kernel or `gcore PID` writes it"


class WriteError(FileError):
    """A file could not be written."""

    default_help = "free some space there, or set TMPDIR to a folder with room"
    _other_help = "name a folder that stays where it is and that you may write in"

    @property
    def help_text(self) -> str:
        """One line that says what to do about it: room is not what every cause lacks."""
        said, cause = super().help_text, self.__cause__
        is_other = isinstance(cause, OSError) and cause.errno not in NO_ROOM
        return self._other_help if is_other and said == self.default_help else said
