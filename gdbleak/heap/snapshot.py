"""The memory of a running process as it was read: page by page, each page once. Pure.

Two pages are read at two moments: what they say together may never have been true at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from gdbleak.effort import Effort, EffortError
from gdbleak.readable import Readable

PAGE_BYTES = 4096
_RUN_BYTES = 1 << 20
_MAX_PAGES = 32 << 10
_GAP_BYTES = 4 * PAGE_BYTES
"""Pages this close are read together: another read takes longer than the bytes between them."""


class Snapshot:
    """Words of memory.

    Following the words spends from an effort; every method raises EffortError when that is used up.
    """

    def __init__(
        self, source: Readable, effort: Effort | None = None, max_pages: int = _MAX_PAGES
    ) -> None:
        self._source = source
        self._max_pages = max_pages
        self._effort = effort or Effort()
        self.spend = self._effort.spend
        self._pages: dict[int, memoryview] = {}

    def word(self, address: int) -> int:
        """Return the 64-bit word at an address, a multiple of 8; 0 where none can be read."""
        page = self._pages.get(address >> 12)
        if page is None:
            self._fetch_run([address >> 12])
            page = self._pages[address >> 12]
        try:
            value: int = page[(address & PAGE_BYTES - 1) >> 3]
        except IndexError:
            return 0
        return value

    def is_readable(self, address: int) -> bool:
        """Return whether there is a word at an address."""
        self.word(address)
        return len(self._pages[address >> 12]) > (address & PAGE_BYTES - 1) >> 3

    def fetch(self, addresses: Iterable[int]) -> None:
        """Read the pages of many addresses; neighbours are read together."""
        pages = sorted({address >> 12 for address in addresses} - self._pages.keys())
        first = 0
        for index, page in enumerate(pages, 1):
            if (
                index == len(pages)
                or (pages[index] - page) * PAGE_BYTES > _GAP_BYTES
                or (pages[index] - pages[first]) * PAGE_BYTES >= _RUN_BYTES
            ):
                self._fetch_run(pages[first:index])
                first = index

    def _fetch_run(self, pages: list[int]) -> None:
        self.spend(2 * len(pages))
        if len(self._pages) + len(pages) > self._max_pages:
            raise EffortError("it would take too much memory")
        while pages:
            start = pages[0]
            size = (pages[-1] + 1 - start) * PAGE_BYTES
            data = self._source.read(start * PAGE_BYTES, size) if start >= 0 else b""
            words = memoryview(data[: len(data) & -8]).cast("Q")
            self._pages[start] = words[: PAGE_BYTES >> 3]
            rest = []
            for page in pages[1:]:
                offset = (page - start) * PAGE_BYTES >> 3
                if offset < len(words):
                    self._pages[page] = words[offset : offset + (PAGE_BYTES >> 3)]
                else:  # pages behind one that cannot be read may be readable
                    rest.append(page)
            pages = rest
