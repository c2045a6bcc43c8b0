"""How a recording is laid out: a magic number, then frames. Pure; see docs/recording-format.md.

Each frame is appended whole, little-endian:

    u8 kind, u8 0, u16 probe, u32 length of the payload, payload
"""

from __future__ import annotations

import json
import struct
from typing import Any

MAGIC = b"gdbleak1"

HEAD, PHASE, HIT, END, FREED, MEMORY, SAME, FOLDED, LEVEL, REACH, HOLD, CENSUS = range(1, 13)
"""Kinds of frames; CENSUS is the last."""

FRAME = struct.Struct("<BBHI")
"""What stands before a payload."""


def encode_json(kind: int, values: dict[str, Any], payload_bytes: int = 0) -> bytes:
    """Return a frame whose payload is a JSON object, padded with spaces to `payload_bytes`."""
    payload = json.dumps(values, separators=(",", ":")).encode().ljust(payload_bytes)
    return FRAME.pack(kind, 0, 0, len(payload)) + payload
