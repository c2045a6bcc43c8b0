"""Programs that run with the C library of another release of Debian."""

from __future__ import annotations

from pathlib import Path

_LIBRARIES = Path("lib/x86_64-linux-gnu")
LOADER = "ld-linux-x86-64.so.2"


def flags_for(root: Path) -> tuple[str | Path, ...]:
    """Return the options that link a C program to the C library in a folder, and have it loaded.

    The program may call nothing that the headers of this host name by a version of its own.
    """
    libraries = root / _LIBRARIES
    threads = libraries / "libpthread.so.0"  # of its own until glibc 2.33
    return (
        "-nodefaultlibs",
        *(libraries / "libc.so.6", threads, "-lgcc"),
        f"-Wl,--dynamic-linker={libraries}/{LOADER}",
        f"-Wl,-rpath,{libraries}",
    )
