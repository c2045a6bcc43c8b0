"""The ELF files that one trace or report reads: each is opened once, and parsed once."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from gdbleak.effort import Effort
from gdbleak.elf.image import ElfImage

_MOST_FILES, _SHARE = 256, 4
"""At most so many files are kept open, and at most one in four of those that the limit allows."""


class _Identity(NamedTuple):
    """What tells a file from another one, and from what it was before it was written to."""

    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> _Identity:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class ImageCache:
    """Keeps images until it is closed. A context, whose end closes their files.

    A file is known again by what it is, not by its path. So a stage that reads a module gets the
    image that an earlier one has compared with the memory of the process.
    """

    def __init__(self) -> None:
        self._images: dict[_Identity, ElfImage] = {}
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = min(_MOST_FILES, limit // _SHARE) if limit > 0 else _MOST_FILES

    def open(self, path: str, effort: Effort, file: int | None = None) -> ElfImage:
        """Return the image of a file.

        Only so many files are kept. Later ones are opened each time, and stay open as long as they
        are used.

        Args:
            path: The file; only a regular one is opened.
            effort: What reading it may take from now on.
            file: Its descriptor, taken over, where it is open already.

        Raises:
            ElfError: it cannot be opened, is not an ELF file, or is damaged.

        """
        known = self._find(path, file)
        if known is not None:
            if file is not None:
                os.close(file)
            known.charge(effort)
            return known
        image = ElfImage(path, effort, file)
        if len(self._images) < self._most:
            # Between the look and the open, another file may have taken the path.
            self._images[_Identity.of(os.fstat(image.descriptor))] = image
        return image

    def _find(self, path: str, file: int | None) -> ElfImage | None:
        try:
            found = os.stat(path) if file is None else os.fstat(file)  # noqa: PTH116
        except (OSError, ValueError):  # opening it will tell why
            return None
        return self._images.get(_Identity.of(found))

    def close(self) -> None:
        """Close the files that are kept; nothing more can be read of them."""
        for image in self._images.values():
            image.close()
        self._images.clear()

    def __enter__(self) -> ImageCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
