"""Other allocators, as shared libraries of this host."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

LIBRARIES = {
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc.so.4",
    "tcmalloc minimal": "libtcmalloc_minimal.so.4",
    "mimalloc": "libmimalloc.so.2",
}


def find_library(name: str) -> str:
    """Return the path of a shared library; skip without it."""
    # A user need not have /sbin in the PATH.
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    found = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    match = re.search(rf"^\s*{re.escape(name)} .*x86-64.* => (\S+)$", found, re.MULTILINE)
    if match is None:
        pytest.skip(f"{name} is not installed: run .ci/setup test")
    return match[1]
