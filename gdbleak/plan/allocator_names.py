"""Names of allocators, with the version where the file tells it."""

from __future__ import annotations

import re

from gdbleak.elf.image import ElfImage

_SIGNATURES = (
    ("glibc", re.compile(rb"GNU C Library [^\n]{0,200}? version ([0-9.]{1,20}[0-9])")),
    # JEMALLOC_VERSION: the release, commits since, the id of the commit.
    ("jemalloc", re.compile(rb"\0(\d{1,9}\.\d{1,9}\.\d{1,9})-\d{1,9}-g[0-9a-f]{40}\0")),
    ("tcmalloc (gperftools)", re.compile(rb"\0gperftools (\d[.\d]{0,20})\0")),
)
# musl's loader prints "musl libc (x86_64)\nVersion %s\n", and the version stands behind that. These
# are two patterns, because one for both would be tried at everything that looks like its beginning.
_MUSL = re.compile(rb"\0musl libc \((.{0,64000})", re.DOTALL)
_VERSION_OF_MUSL = re.compile(rb"\0(\d{1,9}\.\d{1,9}\.\d{1,9})\0")
_CODE_OF_MI_VERSION = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xb8(..)\0\0\xc3", re.DOTALL)
_SYMBOLS = (
    ("_rjem_malloc", "jemalloc"),
    ("je_malloc", "jemalloc"),
    ("__libc_malloc_impl", "musl"),
    ("__libc_memalign", "glibc"),
)
"""Symbols that tell which allocator was linked into a program."""


def name_allocator(image: ElfImage, fallback: str) -> str:
    """Return, for example, `jemalloc 5.3.0`.

    Args:
        image: The file that the allocator is in.
        fallback: The name of the file, for an allocator that is not known.

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
    """Return the version that `mi_version` returns, where 209 is 2.0.9, and 30600 is 3.6.0.

    Source: mimalloc.h.
    """
    match = _CODE_OF_MI_VERSION.match(image.read(address, 10))
    if match is None:
        return ""
    number = int.from_bytes(match[1], "little")
    if number >= 10_000:
        return f" {number // 10_000}.{number // 100 % 100}.{number % 100}"
    digits = str(number)
    return f" {digits[0]}.{digits[1:-1] or '0'}.{digits[-1]}"
