"""Other allocators, as shared libraries of this host."""

from __future__ import annotations

import pytest

from support.ldconfig import LIBRARIES, search_library

__all__ = ["LIBRARIES", "find_library"]


def find_library(name: str) -> str:
    """Return the path of a shared library; skip without it."""
    path = search_library(name)
    if path is None:
        pytest.skip(f"{name} is not installed: run .ci/setup test")
    return path
