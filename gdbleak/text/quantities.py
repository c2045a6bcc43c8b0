"""Numbers as people type them: times, sizes and shares, with their units. Pure.

>>> parse_seconds("1h30m"), parse_seconds("2.5"), parse_milliseconds("2s"), parse_percent("30%")
(5400.0, 2.5, 2000.0, 30.0)
>>> parse_bytes("24"), parse_bytes("1.5KiB"), parse_bytes("1MB")
(24, 1536, 1048576)
"""

from __future__ import annotations

import re
from typing import Any

TIME_UNITS = "ms, s, m, h or d, as in 500ms, 30s or 1h30m"
SIZE_UNITS = "k, M or G, as in 512, 4k or 1MiB; they multiply by powers of 1024"
SHARE_UNITS = "%, as in 30 or 30%"

_SECONDS = {
    **dict.fromkeys(("us", "µs"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_PREFIXES = "kmg"
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_TIME = re.compile(rf"({_NUMBER})\s*([a-zµ]+)\s*")
_SIZE = re.compile(rf"({_NUMBER})\s*(?:([{_PREFIXES}])i?)?b?", re.IGNORECASE)


class QuantityError(ValueError):
    """The text is no such quantity; the message names the units."""


def parse_seconds(text: str) -> float:
    """Return a time in seconds, which a plain number is already.

    Raises:
        QuantityError: it is no time.

    """
    return _parse_time(text, "seconds", 1.0)


def parse_milliseconds(text: str) -> float:
    """Return a time in milliseconds, which a plain number is already.

    Raises:
        QuantityError: it is no time.

    """
    return _parse_time(text, "milliseconds", 1e-3)


def _parse_time(text: str, plain: str, unit_s: float) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    parts = _TIME.findall(text.lower().strip())
    known = bool(parts) and all(unit in _SECONDS for _, unit in parts)
    if not known or _TIME.sub("", text.lower().strip()):
        raise QuantityError(f"{text!r} is not a time: give {plain}, or a number with {TIME_UNITS}")
    # One division at the end: 2.5 ms are 2.5 and not 2.5000000000000004.
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) / unit_s


def parse_bytes(text: str) -> int:
    """Return a number of bytes.

    Raises:
        QuantityError: it is no size.

    """
    found = _SIZE.fullmatch(text.strip())
    number, prefix = found.groups() if found else ("", None)
    if number.isdecimal():  # exactly, however large
        return int(number) << 10 * _power(prefix)
    if prefix is None:
        raise QuantityError(f"{text!r} is not a size: give bytes, or a number with {SIZE_UNITS}")
    return round(float(number) * (1 << 10 * _power(prefix)))


def _power(prefix: str | None) -> int:
    return _PREFIXES.index(prefix.lower()) + 1 if prefix else 0


def parse_percent(text: str) -> float:
    """Return a share in percent, which a plain number is already.

    Raises:
        QuantityError: it is no share.

    """
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        raise QuantityError(
            f"{text!r} is not a share: give percent, with or without {SHARE_UNITS}"
        ) from None


UNIT_OF: dict[Any, str] = {
    parse_seconds: "in seconds",
    parse_milliseconds: "in milliseconds",
    parse_bytes: "in bytes",
    parse_percent: "in percent",
}
"""In which unit each of them returns its number."""
