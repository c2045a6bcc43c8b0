"""Memory of a running process, read page by page, each page once.

Two pages are of two moments, so what they say together may never have been true at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

PAGE_BYTES = 4096
_RUN_PAGES = 256
_GAP_PAGES = 4


class Snapshot:
    """Words of memory. `read(address, size)` returns what can be read, as Memory.read does."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._pages: dict[int, bytes] = {}

    def word(self, address: int) -> int:
        """Return the 64-bit word at an address, a multiple of 8; 0 where none can be read."""
        offset = address & PAGE_BYTES - 1
        start = address - offset
        page = self._pages.get(start)
        if page is None:
            page = self._pages[start] = self._read(start, PAGE_BYTES) if start >= 0 else b""
        return int.from_bytes(page[offset : offset + 8], "little")

    def bytes(self, address: int) -> bytes:
        """Return the eight bytes at an address in a page that was fetched; none if it was not."""
        offset = address & PAGE_BYTES - 1
        return self._pages.get(address - offset, b"")[offset : offset + 8]

    def is_readable(self, address: int) -> bool:
        """Return whether there is a word at an address."""
        self.word(address)
        offset = address & PAGE_BYTES - 1
        return len(self._pages[address - offset]) >= offset + 8

    def fetch(self, addresses: Iterable[int]) -> None:
        """Read the pages of many addresses at once, neighbours in one read."""
        wanted = sorted({address & -PAGE_BYTES for address in addresses} - self._pages.keys())
        first = 0
        for index, page in enumerate(wanted):
            last = index + 1 == len(wanted)
            if (
                last
                or wanted[index + 1] - page > _GAP_PAGES * PAGE_BYTES
                or wanted[index + 1] - wanted[first] >= _RUN_PAGES * PAGE_BYTES
            ):
                self._fetch_run(wanted[first : index + 1])
                first = index + 1

    def _fetch_run(self, pages: list[int]) -> None:
        while pages:
            start = pages[0]
            data = self._read(start, pages[-1] + PAGE_BYTES - start)
            for page in pages:
                if page > start and page - start >= len(data):
                    break
                self._pages[page] = data[page - start : page - start + PAGE_BYTES]
            # Behind a page that cannot be read there may be others that can.
            pages = [page for page in pages if page not in self._pages]
