"""How an error is shown: a line that says what is wrong, and one that says what to do."""

from __future__ import annotations

import sys

from gdbleak.errors import GdbleakError
from gdbleak.text.lines import printable


def refuse(error: GdbleakError) -> int:
    """Write an error to standard error; return its exit status."""
    sys.stderr.write(f"gdbleak: {printable(str(error))}\n  try: {printable(error.help_text)}\n")
    return error.exit_code
