"""Where signal handlers return to: code that calls rt_sigreturn.

By its address the frames of signals are found on stacks. Source: sigreturn(2); the kernel demands
such a "restorer" of every program for x86-64.
"""

from __future__ import annotations

from collections.abc import Iterable

from gdbleak.readable import Readable
from gdbleak.target.proc import Mapping

_CODES = (
    b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05",  # mov $15, %rax; syscall
    b"\xb8\x0f\x00\x00\x00\x0f\x05",  # mov $15, %eax; syscall
)
_CHUNK_BYTES = 1 << 20
_OVERLAP = max(map(len, _CODES)) - 1


def find_restorers(mappings: Iterable[Mapping], memory: Readable) -> list[int]:
    """Return the addresses of all such code in a process.

    Args:
        mappings: What is mapped.
        memory: The memory of the process.

    """
    found = set()
    for mapping in mappings:
        if not mapping.executable or mapping.path == "[vsyscall]":
            continue
        for start in range(mapping.start, mapping.end, _CHUNK_BYTES):
            data = memory.read(start, min(_CHUNK_BYTES + _OVERLAP, mapping.end - start))
            for code in _CODES:
                place = data.find(code)
                while place >= 0:
                    found.add(start + place)
                    place = data.find(code, place + 1)
    return sorted(found)
