"""Which frames of a call stack lie inside a standard library, between lines that people wrote.

Seven of them stand between a `std::map` and the line that filled it. Formats for people show such a
run as one line, unless they are asked for all frames.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from posixpath import basename
from typing import NamedTuple

from gdbleak.report.model import Frame
from gdbleak.text.names import qualified
from gdbleak.text.units import count_of

_FEWEST = 2
"""So many frames make a run: a line in place of a single frame would win nothing."""

_GNU, _LLVM, _BOOST, _RUST = "libstdc++", "libc++", "Boost", "Rust's library"
_LONGEST = 3000
"""Of a longer name only so many characters are looked at."""

_FILES = {"libstdc++.so": _GNU, "libc++.so": _LLVM, "libc++abi.so": _LLVM}
"""How the file names of libraries begin."""
_NAMESPACES = {"std": _GNU, "__gnu_cxx": _GNU, "__cxxabiv1": _GNU, "boost": _BOOST}
_NEW = re.compile(r"operator new(\[\])?$|__cxa_")
_OF_LLVM = re.compile(r"\bstd::(__1|__ndk1)::")

_CRATES = {"alloc", "core", "std", "hashbrown"}
"""In Rust. Programs in C++ have namespaces of their own that are called `core`."""
_OF_RUST = re.compile(r"__(rust|rdl|rg)_|__rustc::")
_SPEAKS_RUST = re.compile(
    r"::h[0-9a-f]{16}$|\w\[[0-9a-f]{6,16}\]::|^<|^std::rt::|^core::ops::|^alloc::(alloc|raw_vec)::"
    r"|__rust_"
)
"""Found in names of Rust alone."""


class Run(NamedTuple):
    """Frames in a row that lie inside of libraries."""

    start: int
    end: int
    """Behind the last one."""
    libraries: str
    """What these are called."""

    @property
    def text(self) -> str:
        """What stands for the frames."""
        return f"... {count_of(self.end - self.start, 'frame')} of {self.libraries}"


def find_runs(frames: Sequence[Frame], caller: Frame | None) -> list[Run]:
    """Return the runs of a stack, in order.

    Args:
        frames: The stack, the innermost frame first.
        caller: The frame that is named as the caller. It is in no run: it is what people look for.

    """
    is_rust = any(map(_speaks_rust, frames))
    libraries = [_library_of(frame, is_rust) for frame in frames]
    if caller in frames:
        libraries[frames.index(caller)] = None
    runs, start = list[Run](), 0
    for number, library in enumerate((*libraries, None)):
        if library is not None:
            continue
        if number - start >= _FEWEST:
            names = [name for name in libraries[start:number] if name]
            runs.append(Run(start, number, " and ".join(dict.fromkeys(names))))
        start = number + 1
    return runs


def _speaks_rust(frame: Frame) -> bool:
    name = (frame.function or "")[:_LONGEST]
    return (frame.file or "").endswith(".rs") or bool(_SPEAKS_RUST.search(name))


def _library_of(frame: Frame, is_rust: bool) -> str | None:
    """Return inside which library a frame lies; None for all other code."""
    file = basename(frame.module or "")
    for beginning, library in _FILES.items():
        if file.startswith(beginning):
            return library
    return _library_of_name((frame.function or "")[:_LONGEST], is_rust)


@lru_cache(maxsize=10_000)
def _library_of_name(name: str, is_rust: bool) -> str | None:
    bare = qualified(name)
    root, is_path, _ = bare.partition("::")
    if is_rust and (_OF_RUST.match(bare) or (is_path and root in _CRATES)):
        return _RUST
    if _NEW.match(bare):
        return _GNU
    library = _NAMESPACES.get(root) if is_path else None
    return _LLVM if library == _GNU and _OF_LLVM.search(name) else library
