"""Seccomp filters as container engines, service managers and browsers make them, by libseccomp."""

from __future__ import annotations

import ctypes
import mmap
from tempfile import TemporaryFile

import pytest

ALLOW, ERRNO, TRAP = 0x7FFF0000, 0x00050001, 0x00030000
NOT_EQUAL, EQUAL, MASKED = 1, 4, 7
OPTIMIZE = 8
"""`SCMP_FLTATR_CTL_OPTIMIZE`: 2 makes a tree of the numbers of system calls."""

_CALLS = (*range(335), *range(424, 451))
_ADMINISTRATION = {
    *("acct", "add_key", "bpf", "delete_module", "finit_module", "init_module", "kexec_load"),
    *("keyctl", "mount", "move_pages", "open_by_handle_at", "perf_event_open", "pivot_root"),
    *("process_vm_readv", "process_vm_writev", "ptrace", "reboot", "request_key", "setns"),
    *("settimeofday", "swapoff", "swapon", "umount2", "unshare", "userfaultfd", "vmsplice"),
}
_CLONE_NEW_ANYTHING = 0x7E020000


class _Argument(ctypes.Structure):
    _fields_ = (
        ("number", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class Profile:
    """A filter that is being made."""

    def __init__(self, default: int, tree: bool) -> None:
        """Begin one that answers `default` to all that no rule is about."""
        try:
            self._library = ctypes.CDLL("libseccomp.so.2")
        except OSError:
            pytest.skip("libseccomp is not installed")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))
        if tree:
            assert self._library.seccomp_attr_set(self._context, OPTIMIZE, 2) == 0

    def number_of(self, name: str) -> int:
        """Return the number of a system call."""
        return int(self._library.seccomp_syscall_resolve_name(name.encode()))

    def add(self, action: int, call: int | str, *arguments: tuple[int, ...]) -> None:
        """Add a rule, perhaps with conditions: an argument, an operator, and one or two numbers."""
        number = self.number_of(call) if isinstance(call, str) else call
        conditions = (_Argument * len(arguments))(*(_Argument(*each) for each in arguments))
        result = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(arguments), conditions
        )
        assert result == 0, (call, result)

    def export(self) -> bytes:
        """Return the program."""
        with TemporaryFile() as file:
            assert self._library.seccomp_export_bpf(self._context, file.fileno()) == 0
            self._library.seccomp_release(self._context)
            file.seek(0)
            return file.read()


def container(tree: bool = False) -> bytes:
    """Return a list of what a container may call: all but administration, and no namespaces."""
    profile = Profile(ERRNO, tree)
    forbidden = {profile.number_of(name) for name in _ADMINISTRATION}
    special = {profile.number_of(name) for name in ("clone", "clone3", "personality", "socket")}
    for call in _CALLS:
        if call not in forbidden | special:
            profile.add(ALLOW, call)
    profile.add(ALLOW, "clone", (0, MASKED, _CLONE_NEW_ANYTHING, 0))
    profile.add(0x00050000 | 38, "clone3")  # ENOSYS
    profile.add(ALLOW, "socket", (0, NOT_EQUAL, 40))  # AF_VSOCK
    for personality in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        profile.add(ALLOW, "personality", (0, EQUAL, personality))
    return profile.export()


def service(tree: bool = False) -> tuple[bytes, ...]:
    """Return the filters of a service without administration and without code that it writes."""
    calls, memory = Profile(ALLOW, tree), Profile(ALLOW, tree)
    for name in sorted(_ADMINISTRATION):
        calls.add(ERRNO, name)
    both = mmap.PROT_WRITE | mmap.PROT_EXEC
    memory.add(ERRNO, "mmap", (2, MASKED, both, both))
    memory.add(ERRNO, "mprotect", (2, MASKED, mmap.PROT_EXEC, mmap.PROT_EXEC))
    memory.add(ERRNO, "pkey_mprotect", (2, MASKED, mmap.PROT_EXEC, mmap.PROT_EXEC))
    return calls.export(), memory.export()


def sandbox(tree: bool = False) -> bytes:
    """Return a filter that traps what a renderer does not call, down to flags and advice."""
    profile = Profile(TRAP, tree)
    for name in ("read", "write", "futex", "munmap", "exit", "exit_group", "rt_sigreturn", "brk"):
        profile.add(ALLOW, name)
    flags = mmap.MAP_SHARED | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x10 | 0x4000 | 0x20000
    profile.add(ALLOW, "mmap", (3, MASKED, 2**32 - 1 - flags, 0), (2, MASKED, 2**32 - 4, 0))
    for advice in (mmap.MADV_NORMAL, mmap.MADV_DONTNEED, mmap.MADV_WILLNEED, mmap.MADV_FREE):
        profile.add(ALLOW, "madvise", (2, EQUAL, advice))
    return profile.export()
