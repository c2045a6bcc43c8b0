"""The journal of a trace: a file that says what was planned for a target, and what became of it.

On the standard library alone, because the guard is.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_NEEDED = {
    *("pid", "started", "state", "command", "controller", "controller_started"),
    *("breakpoint", "modules", "probes", "scratch"),
}


class Journal:
    """A file of JSON lines: what was planned for a target, and then what became of it."""

    def __init__(self, path: Path) -> None:
        """Read a journal.

        Raises:
            OSError, ValueError: it cannot be read, or is damaged.

        """
        self.path = path
        first, _, rest = path.read_text().partition("\n")
        self.plan: dict[str, Any] = _parse(first)
        self.events: list[dict[str, Any]] = []
        with suppress(ValueError):  # its writer was killed in the midst of the last line
            self.events += map(_parse, rest.splitlines())
        if not self.plan.keys() >= _NEEDED:
            raise ValueError(f"{path} is no journal")

    @property
    def closed(self) -> bool:
        """True when the target was repaired."""
        return any(event.get("closed") for event in self.events)

    def append(self, **event: Any) -> None:
        """Write down what was done."""
        event["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.events.append(event)
        # Without creating it: a journal that has been removed is done with.
        with suppress(FileNotFoundError), self.path.open("r+") as file:
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(event) + "\n")


def _parse(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("no object")
    return values
