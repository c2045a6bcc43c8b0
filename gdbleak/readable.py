"""Memory that can be read, and nothing else of where it is: of a process, near or far, or a file.

It lies beneath all packages, because those that only compute (`heap`) read through it as well as
those that touch a process; `gdbleak/target/source.py` says what else a process can be asked. Pure.
"""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """Bytes by their addresses."""

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer, or none, where they cannot be read."""
