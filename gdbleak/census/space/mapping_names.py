"""What a mapping is, as far as its line in /proc/PID/maps tells. Pure.

Sources: proc(5); `arch_vma_name` and `special_mapping_name` of Linux; "Names of anonymous memory"
is prctl(2), PR_SET_VMA_ANON_NAME, which glibc since 2.39 uses with the tunable
`glibc.mem.decorate_maps`, and other allocators by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from gdbleak.report.heap import MappingKind
from gdbleak.target.proc import Mapping

_OF_THE_KERNEL = re.compile(r"\[(vdso|vvar|vsyscall|uprobes|sigpage|vectors)")
_RINGS = re.compile(r"(?:anon_inode:|/)\[(\w+)\]")
"""Memory that the kernel shares with a process: `anon_inode:[io_uring]`, `/[aio]`."""
_NAMED = re.compile(r"\[anon(_shmem)?: ?(.*)\]$")
_STACK = re.compile(r"\[stack(?::(\d+))?\]$")
_NO_DEVICE = "00:00"
_MOST_GUARD_BYTES = 1 << 20

_BY_NAME = (
    (re.compile(r"glibc: malloc arena"), MappingKind.ARENA, "heap of an arena"),
    (re.compile(r"glibc: (loader )?malloc"), MappingKind.LARGE_BLOCK, "large block"),
    (re.compile(r"glibc: pthread (?:user )?stack(?:: (\d+))?"), MappingKind.STACK, "stack"),
    (
        re.compile(r"glibc: unused (?:pthread )?stack"),
        MappingKind.OLD_STACK,
        "stack of an exited thread, kept for the next one",
    ),
    (re.compile(r"(jemalloc|tcmalloc|mimalloc|scudo)"), MappingKind.ALLOCATOR, ""),
)


@dataclass(frozen=True)
class Files:
    """Which of the mapped files hold code: paths."""

    program: str
    libraries: frozenset[str]


def find_files(mappings: Iterable[Mapping]) -> Files:
    """Return the program, which is the file with code next below the heap, and the libraries.

    Args:
        mappings: What is mapped, in order of address.

    """
    paths: list[str] = []
    program = ""
    for mapping in mappings:
        if mapping.path == "[heap]":
            program = paths[-1] if paths else ""
        elif mapping.inode and mapping.executable and not mapping.path.startswith("/memfd:"):
            paths.append(mapping.path)
    return Files(program or next(iter(paths), ""), frozenset(paths))


def describe(mapping: Mapping, files: Files) -> tuple[MappingKind, str]:
    """Return what a mapping is, and what a person calls it."""
    path = mapping.path
    if _OF_THE_KERNEL.match(path):
        return MappingKind.KERNEL, path
    if ring := _RINGS.match(path):
        return MappingKind.KERNEL, f"memory shared with the kernel for {ring[1]}"
    if path == "[heap]":
        return MappingKind.HEAP, "heap"
    if stack := _STACK.match(path):
        return MappingKind.STACK, f"stack of thread {stack[1]}" if stack[1] else "stack"
    if named := _NAMED.match(path):
        return _describe_named(named[2], is_shared=bool(named[1]))
    if path.startswith(("/dev/hugepages/", "/anon_hugepage")):
        return MappingKind.ANONYMOUS, "anonymous memory in huge pages"
    if shared := _describe_shared(mapping):
        return MappingKind.SHARED, shared
    if path and path != "/dev/zero":
        return _describe_file(mapping, files)
    return _describe_anonymous(mapping)


def _describe_named(name: str, is_shared: bool) -> tuple[MappingKind, str]:
    if is_shared:
        return MappingKind.SHARED, f"shared memory `{name}`"
    for pattern, kind, words in _BY_NAME:
        if found := pattern.match(name):
            if kind is MappingKind.ALLOCATOR:
                return kind, name
            thread = found[1] if kind is MappingKind.STACK else None
            return kind, f"{words} of thread {thread}" if thread else words
    return MappingKind.ANONYMOUS, f"anonymous memory `{name}`"


def _describe_shared(mapping: Mapping) -> str:
    """Return what memory is called that other processes may have as well; empty if it is not."""
    path = mapping.path
    code = ", code made at run time" if mapping.executable else ""
    if path.startswith("/memfd:"):
        return f"shared memory `{path[len('/memfd:') :]}`{code}"
    if path.startswith("/dev/shm/"):
        return f"shared memory {path}{code}"
    if path.startswith("/SYSV"):
        is_number_known = mapping.device != _NO_DEVICE  # a core file does not tell
        return f"System V shared memory{f' {mapping.inode}' if is_number_known else ''}"
    is_shared = mapping.permissions[3:] == "s"
    return f"shared anonymous memory{code}" if is_shared and path in ("", "/dev/zero") else ""


def _describe_file(mapping: Mapping, files: Files) -> tuple[MappingKind, str]:
    path = mapping.path
    gone = " (deleted)" if mapping.deleted else ""
    if path not in files.libraries:
        return MappingKind.FILE, path + gone
    kind = MappingKind.PROGRAM if path == files.program else MappingKind.LIBRARY
    return kind, PurePosixPath(path).name + gone


def _describe_anonymous(mapping: Mapping) -> tuple[MappingKind, str]:
    if mapping.executable:
        return MappingKind.ANONYMOUS, "code made at run time"
    if mapping.permissions.startswith("---"):
        if mapping.end - mapping.start <= _MOST_GUARD_BYTES:
            return MappingKind.GUARD, "guard"
        return MappingKind.ANONYMOUS, "reserved, and not accessible"
    return MappingKind.ANONYMOUS, "anonymous memory"
