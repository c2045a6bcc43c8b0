"""The lines of GDB's machine interface, as records. pygdbmi parses them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from pygdbmi import gdbmiparser

_NO_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[^][{}]')


def parse(line: bytes) -> dict[str, Any]:
    """Return a line as a record; what is none is output, as the words of a script are."""
    text = line.decode(errors="replace")
    brackets = _NO_BRACKETS.sub("", text)
    while (inner := brackets.replace("[]", "").replace("{}", "")) != brackets:
        brackets = inner
    if not brackets:  # on half a list the parser does not end
        with suppress(ValueError, TypeError, IndexError):
            return dict(gdbmiparser.parse_response(text))
    return {"type": "output", "message": None, "payload": text}
