"""Programs that run with the C library of another release of Debian."""

from __future__ import annotations

from pathlib import Path

HOST = "this host"
LIBRARIES = (HOST, "bullseye", "trixie", "sid")
"""Whose C libraries a test runs with: glibc 2.31, 2.41 and 2.43, beside that of this host."""

_FOLDER = Path("lib/x86_64-linux-gnu")
_LOADER = "ld-linux-x86-64.so.2"


def library_of(root: Path) -> Path:
    """Return the C library in a folder."""
    return root / _FOLDER / "libc.so.6"


def flags_for(root: Path) -> tuple[str | Path, ...]:
    """Return the options that link a C program to the C library in a folder, and have it loaded.

    The program may call nothing that the headers of this host name by a version of its own.
    """
    libraries = root / _FOLDER
    threads = libraries / "libpthread.so.0"  # of its own until glibc 2.33
    return (
        "-nodefaultlibs",
        *(library_of(root), threads, "-lgcc"),
        f"-Wl,--dynamic-linker={libraries}/{_LOADER}",
        f"-Wl,-rpath,{libraries}",
    )
