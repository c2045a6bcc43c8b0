"""The lines of GDB's machine interface, as records. pygdbmi parses them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from pygdbmi import gdbmiparser

_NO_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[^][{}]')


def parse(line: bytes) -> dict[str, Any]:
    """Return a line as a record; any other line, such as one that a script prints, is `output`."""
    text = line.decode(errors="replace")
    brackets = _NO_BRACKETS.sub("", text)
    while (inner := brackets.replace("[]", "").replace("{}", "")) != brackets:
        brackets = inner
    if not brackets:  # the parser never ends on half a list
        with suppress(ValueError, TypeError, IndexError):
            return dict(gdbmiparser.parse_response(text))
    return {"type": "output", "message": None, "payload": text}
