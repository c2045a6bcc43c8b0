"""What stands between a program and its allocator, and changes what a look at the heap means."""

from __future__ import annotations

import re
from contextlib import suppress

from gdbleak.effort import Effort
from gdbleak.elf.cache import ImageCache
from gdbleak.errors import ElfError, TargetError
from gdbleak.target.examined import Examined
from gdbleak.target.modules import VDSO

_ENVIRONMENT_BYTES = 256 << 10
"""Of a stack, the end that is searched for the environment of the program."""

_SANITIZER = (
    "the runtime of a sanitizer is loaded, which has an allocator of its own: AddressSanitizer adds"
    " a red zone to every block and keeps freed blocks in quarantine (256 MB by default), so more"
    " memory is in use than in production"
)
_FILES = (
    (
        re.compile(r"libc_malloc_debug\.so"),
        "libc_malloc_debug.so is loaded: with MALLOC_CHECK_, mcheck or mtrace every block holds"
        " some bytes more than its program asked for, and the sizes here include them",
    ),
    (
        re.compile(r"(vgpreload_|(memcheck|massif|helgrind|drd|dhat|none)-[a-z0-9]+-linux)"),
        "the process runs under Valgrind, which replaces malloc by its own: what is in the heap is"
        " told by `vgdb leak_check full any`, or at the end by --leak-check=full",
    ),
    (re.compile(r"lib(clang_rt\.)?(asan|hwasan|tsan|msan|lsan)[.-]"), _SANITIZER),
    (
        re.compile(r"libheaptrack_(preload|inject)"),
        "heaptrack records this process: it hands every call on to the allocator behind it, and"
        " its own records are in the heap too",
    ),
    (
        re.compile(r"libtcmalloc_(minimal_)?debug\.so"),
        "the debugging version of tcmalloc is loaded: it adds a header and a trailer to every"
        " block, and keeps freed blocks for some time",
    ),
    (
        re.compile(r"lib(memusage|duma|efence|bytehound|mtrace)\b"),
        "a tool that watches or replaces malloc is loaded: blocks may be larger than the program"
        " asked for",
    ),
)
_VARIABLES = (
    (
        re.compile(rb"\0MALLOC_CHECK_=[^0\0]|\0GLIBC_TUNABLES=[^\0]*glibc\.malloc\.check=[1-9]"),
        "MALLOC_CHECK_ was set when the program was started: glibc before 2.34, and later versions"
        " with libc_malloc_debug.so, then append bytes of their own to every block",
    ),
    (
        re.compile(rb"\0HEAPPROFILE=[^\0]"),
        "HEAPPROFILE was set when the program was started: gperftools, if it is linked in, profiles"
        " this heap, and its profiles tell who allocated what",
    ),
    (
        re.compile(rb"\0(?:_RJEM_|JE_)?MALLOC_CONF=[^\0]*\bprof:true"),
        "MALLOC_CONF has prof:true: jemalloc, if it was built with profiling, profiles this heap,"
        " and its profiles tell who allocated what (`jeprof`)",
    ),
)
_RUNTIMES = ("__asan_init", "__hwasan_init", "__tsan_init", "__msan_init")
"""Functions that clang links into the program itself; they begin the work of sanitizers."""


def find_hooks(process: Examined, images: ImageCache | None = None) -> tuple[str, ...]:
    """Return a sentence for each tool in a process that changes its blocks, or its allocator.

    Sources: the manual of glibc, "Heap Consistency Checking"; the names of the files that these
    tools preload; what they look for in the environment, which the kernel puts at the end of the
    stack (execve(2), System V ABI).

    Args:
        process: It may have ended: then nothing is returned, or what was seen before.
        images: Keeps its ELF files; without it, files are told by their names alone.

    """
    names = {mapping.path.rsplit("/", 1)[-1] for mapping in process.read_mappings()}
    notes = [note for name, note in _FILES if any(name.match(each) for each in names)]
    environment = _read_environment(process)
    notes += [note for variable, note in _VARIABLES if variable.search(environment)]
    if images and _SANITIZER not in notes and _holds_runtime(process, images):
        notes.append(_SANITIZER)
    return tuple(notes)


def _read_environment(process: Examined) -> bytes:
    stack = next((each for each in process.read_mappings() if each.path == "[stack]"), None)
    if stack is None:
        return b""
    start = max(stack.start, stack.end - _ENVIRONMENT_BYTES)
    with suppress(PermissionError):  # it has become another user's
        return process.read(start, stack.end - start)
    return b""


def _holds_runtime(process: Examined, images: ImageCache) -> bool:
    """Whether the runtime of a sanitizer was linked into the program."""
    with suppress(TargetError, ElfError):
        program = next((each for each in process.read_modules() if each.path != VDSO), None)
        if program is not None and program.file is not None:
            return bool(images.open(program.file, Effort()).find_functions(_RUNTIMES))
    return False
