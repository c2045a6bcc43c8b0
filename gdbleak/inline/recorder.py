"""The assembled recorder, as it is shipped. Pure.

`make payload` assembles recorder.S into recorder.bin, and lists its labels in recorder.labels: a
line each, of a name and of its offset in hexadecimal.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from gdbleak.inline.ring import WORD_BYTES

_FOLDER = Path(__file__).parent


@cache
def read_code(chooses: bool = False) -> bytes:
    """Return the code, whose words for the builder are 0.

    Args:
        chooses: Whether blocks are chosen by their sizes: what does that stands at the end, and
            takes room that there may not be.

    """
    code = (_FOLDER / "recorder.bin").read_bytes()
    return code if chooses else code[: read_labels()["choosing"]]


@cache
def read_labels() -> Mapping[str, int]:
    """Return where in the code each label is, by its name."""
    lines = (_FOLDER / "recorder.labels").read_text(encoding="ascii").splitlines()
    pairs = (line.split() for line in lines)
    return MappingProxyType({name: int(offset, 16) for name, offset in pairs})


def fill_in(words: Mapping[str, int], chooses: bool = False) -> bytes:
    """Return the code with words filled in, given by their labels, each modulo 2**64."""
    code, labels = bytearray(read_code(chooses)), read_labels()
    for name, value in words.items():
        struct.pack_into("<Q", code, labels[name], value % (1 << 8 * WORD_BYTES))
    return bytes(code)
