"""What an allocator is called, with its version where its file tells that."""

from __future__ import annotations

import re

from gdbleak.elf.image import ElfImage

_SIGNATURES = (
    ("glibc", re.compile(rb"GNU C Library [^\n]{0,200}? version ([0-9.]{1,20}[0-9])")),
    # JEMALLOC_VERSION: the release, commits since, the id of the commit.
    ("jemalloc", re.compile(rb"\0(\d{1,9}\.\d{1,9}\.\d{1,9})-\d{1,9}-g[0-9a-f]{40}\0")),
    ("tcmalloc (gperftools)", re.compile(rb"\0gperftools (\d[.\d]{0,20})\0")),
)
# What musl's loader prints: "musl libc (x86_64)\nVersion %s\n"; the version stands behind it. Two
# patterns in a row, for one that spans both is tried anew at whatever looks like its beginning.
_MUSL = re.compile(rb"\0musl libc \((.{0,64000})", re.DOTALL)
_VERSION_OF_MUSL = re.compile(rb"\0(\d{1,9}\.\d{1,9}\.\d{1,9})\0")
_CODE_OF_MI_VERSION = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xb8(..)\0\0\xc3", re.DOTALL)
_SYMBOLS = (
    ("_rjem_malloc", "jemalloc"),
    ("je_malloc", "jemalloc"),
    ("__libc_malloc_impl", "musl"),
    ("__libc_memalign", "glibc"),
)
"""By what a program that an allocator was linked into shows which one it is."""


def name_allocator(image: ElfImage, fallback: str) -> str:
    """Return, for example, `jemalloc 5.3.0`.

    Args:
        image: The file that the allocator is in.
        fallback: What to call it when its file does not tell: the file's name.

    """
    for name, signature in _SIGNATURES:
        found = image.search(signature)
        if found is not None:
            return f"{name} {found.decode()}"
    version = _VERSION_OF_MUSL.search(image.search(_MUSL) or b"")
    if version is not None:
        return f"musl {version[1].decode()}"
    mimalloc = image.find_function("mi_version")
    if mimalloc is not None:
        return f"mimalloc{_read_mimalloc_version(image, mimalloc.address)}"
    symbols = image.find_functions([symbol for symbol, _ in _SYMBOLS])
    return next(
        (f"{name} in {fallback}" for symbol, name in _SYMBOLS if symbol in symbols), fallback
    )


def _read_mimalloc_version(image: ElfImage, address: int) -> str:
    """Return the version that `mi_version` returns: 209 is 2.0.9. Source: mimalloc.h."""
    match = _CODE_OF_MI_VERSION.match(image.read(address, 10))
    if match is None:
        return ""
    digits = str(int.from_bytes(match[1], "little"))
    return f" {digits[0]}.{digits[1:-1] or '0'}.{digits[-1]}"
