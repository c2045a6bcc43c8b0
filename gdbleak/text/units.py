"""Numbers as people read them. Pure; what `format_...` returns is at most 9 characters wide.

>>> format_bytes(8192), format_bytes(73_728), format_seconds(0.0086)
('8,192 B', '72.0 KiB', '8.6 ms')
"""

from __future__ import annotations

_PREFIXES = "KMGTPE"


def format_count(count: int) -> str:
    """Return a count with thousands separators: exact up to ten million, rounded above."""
    if count < 10_000_000:
        return f"{count:,}"
    return f"{count / 1e6:.1f} M" if count < 1e9 else f"{count / 1e9:,.1f} G"


def count_of(count: int, noun: str) -> str:
    """Return a number and what it counts.

    >>> count_of(1, "block"), count_of(2000, "block")
    ('1 block', '2,000 blocks')

    """
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """Return a noun as it is written after a number."""
    return noun if count == 1 else noun + ("es" if noun.endswith("s") else "s")


def format_bytes(count: float) -> str:
    """Return a size: exact below 10,000 bytes, with a binary prefix above.

    A rate may be a fraction of a byte, and then keeps two digits.
    """
    if 0 < count < 10:
        return f"{count:.2g} B"
    if abs(count) < 9999.5:
        return f"{count:,.0f} B"
    exponent = 0
    while abs(count) >= 1023.5 and exponent < len(_PREFIXES):
        count /= 1024
        exponent += 1
    return f"{count:.{1 if abs(count) < 99.95 else 0}f} {_PREFIXES[exponent - 1]}iB"


def format_seconds(seconds: float) -> str:
    """Return a length of time in the unit that suits it, from milliseconds to days."""
    if seconds < 0.9995:
        milliseconds = seconds * 1000
        return f"{milliseconds:.{1 if 0 < milliseconds < 9.95 else 0}f} ms"
    if seconds < 600:
        return f"{seconds:.{1 if seconds < 99.95 else 0}f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def format_factor(factor: float) -> str:
    """Return a factor with at least two digits."""
    return f"{factor:,.{1 if factor < 9.95 else 0}f}"


def format_percent(part: float, whole: float) -> str:
    """Return a share in percent; a question mark if the whole is 0."""
    return f"{100 * part / whole:.1f} %" if whole else "?"
