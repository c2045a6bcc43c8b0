"""Where the shared libraries of this host are."""

from __future__ import annotations

import re
import shutil
import subprocess

LIBRARIES = {
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc.so.4",
    "tcmalloc minimal": "libtcmalloc_minimal.so.4",
    "mimalloc": "libmimalloc.so.2",
}
"""File names of allocators."""


def search_library(name: str) -> str | None:
    """Return the path of a shared library by its file name; None without it."""
    # A user need not have /sbin in the PATH.
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    found = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    match = re.search(rf"^\s*{re.escape(name)} .*x86-64.* => (\S+)$", found, re.MULTILINE)
    return match[1] if match else None
