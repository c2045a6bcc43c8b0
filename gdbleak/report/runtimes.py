"""In which language a process is written, and what gdbleak sees of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from posixpath import basename
from typing import NamedTuple


class Runtime(NamedTuple):
    """A language whose programs do not leave their memory to malloc, or not all of it."""

    name: str
    seen: str
    """What gdbleak sees of its memory, and what not."""
    program: str
    """Names of its program; a regular expression, as the next."""
    library: str
    """Names of a library that every program of it has mapped."""


_GO_NAME = "Go"

RUNTIMES = (
    Runtime(
        "Java",
        "native memory only (JNI, direct buffers, the JVM itself); for objects take a heap dump",
        r"java|javaw",
        r"libjvm\.so",
    ),
    Runtime(
        _GO_NAME,
        "memory of C code only (cgo); Go's own allocator does not use malloc: take pprof",
        r"(?!)",
        r"(?!)",
    ),
    Runtime(
        "Python",
        "C extensions and large objects; small objects come from arenas, so look at memray too",
        r"python[\d.]*",
        r"libpython[\d.]+\w*\.so.*",
    ),
    Runtime(
        "Node.js",
        "native memory only (add-ons, buffers); for JavaScript objects take a heap snapshot",
        r"node|nodejs",
        r"libnode\.so.*",
    ),
    Runtime(
        ".NET",
        "native memory only (P/Invoke, the runtime itself); for objects use dotnet-gcdump",
        r"dotnet",
        r"libcoreclr\.so",
    ),
    Runtime(
        "Ruby",
        "C extensions and what objects hold outside of their slots; use ObjectSpace for the rest",
        r"ruby[\d.]*",
        r"libruby.*\.so.*",
    ),
    Runtime(
        "Perl",
        "strings, arrays and C extensions; the heads and bodies of values come from arenas, so"
        " look at Devel::Size too",
        r"perl[\d.]*",
        r"libperl\.so.*",
    ),
    Runtime(
        "PHP",
        "C extensions and caches; values come from PHP's own allocator, unless it runs with"
        " USE_ZEND_ALLOC=0",
        r"php(-cgi|-fpm)?[\d.]*",
        r"libphp[\d.]*\.so.*",
    ),
)

_GO = next(runtime for runtime in RUNTIMES if runtime.name == _GO_NAME)


def recognise(program: str, mapped: Iterable[str], is_go: bool = False) -> Runtime | None:
    """Return the runtime of a process; None for what is plain C, C++ or Rust.

    Args:
        program: Path of its program.
        mapped: Paths of the files that it has mapped.
        is_go: Whether the program has a section that only Go's linker writes.

    >>> recognise("/usr/bin/python3.11", []).name
    'Python'
    >>> recognise("/opt/app", ["/usr/lib/jvm/lib/server/libjvm.so"]).name
    'Java'

    """
    if is_go:
        return _GO
    names = [*map(basename, mapped)]
    for runtime in RUNTIMES:
        if re.fullmatch(runtime.program, basename(program)):
            return runtime
        if any(re.fullmatch(runtime.library, name) for name in names):
            return runtime
    return None


def describe_seen(runtime: Runtime) -> str:
    """Return a sentence on what gdbleak sees of the memory of a process, without its full stop."""
    return f"there is {runtime.name} in this process, of which gdbleak sees {runtime.seen}"
