"""Names for the functions of a window that is still open: each is looked up once."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Thread

from gdbleak.debugger.symbols import Symbolizer, locate
from gdbleak.follow.view import Subject
from gdbleak.recording.modules import ModuleMap
from gdbleak.report.model import Frame


class Names:
    """Names of return addresses; reading the symbols of a large program takes seconds."""

    def __init__(self, subject: Subject, waits: bool) -> None:
        """Begin.

        Args:
            subject: The window whose addresses they are.
            waits: Whether to wait for names, or to do without those that are not known yet.

        """
        self._modules = ModuleMap(subject.modules)
        self._symbolizer = Symbolizer(subject.gdb, self._modules, subject.owner)
        self._waits = waits
        self._known: dict[int, tuple[Frame, ...]] = {}
        self._reader: Thread | None = None

    def resolve(self, addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
        """Return the frames at return addresses."""
        wanted = set(addresses)
        unknown = wanted - self._known.keys()
        if unknown and self._waits:
            self._read(unknown)
        elif unknown and not (self._reader and self._reader.is_alive()):
            self._reader = Thread(target=self._read, args=(unknown,), daemon=True)
            self._reader.start()
        known = self._known
        return {at: known.get(at) or (locate(at, self._modules),) for at in wanted}

    def cancel(self) -> None:
        """Read no more."""
        self._symbolizer.cancel()

    def _read(self, addresses: set[int]) -> None:
        self._known = {**self._known, **self._symbolizer.resolve(addresses)}
