"""Names of C++ classes, made readable. Pure."""

from __future__ import annotations


def demangle_class(name: str) -> str:
    return name
