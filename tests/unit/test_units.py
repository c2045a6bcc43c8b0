from __future__ import annotations

import pytest

from gdbleak.text.lines import cut, fold, printable
from gdbleak.text.units import format_bytes, format_count, format_percent, format_seconds

SIZES = [
    (0, "0 B"),
    (0.043, "0.043 B"),
    (3.0, "3 B"),
    (9.96, "10 B"),
    (819.2, "819 B"),
    (8192, "8,192 B"),
    (9999, "9,999 B"),
    (9999.7, "9.8 KiB"),
    (10_000, "9.8 KiB"),
    (73_728, "72.0 KiB"),
    (102_400, "100 KiB"),
    (1024**2 - 1, "1.0 MiB"),
    (1024**3, "1.0 GiB"),
    (2**64, "16.0 EiB"),
    (-8192, "-8,192 B"),
    (-20_480, "-20.0 KiB"),
]

TIMES = [
    (0, "0 ms"),
    (0.0086, "8.6 ms"),
    (0.0426, "43 ms"),
    (0.9994, "999 ms"),
    (0.9996, "1.0 s"),
    (10, "10.0 s"),
    (99.96, "100 s"),
    (599, "599 s"),
    (600, "10 min"),
    (7200, "2.0 h"),
    (200_000, "2.3 days"),
]

COUNTS = [
    (0, "0"),
    (1234, "1,234"),
    (9_999_999, "9,999,999"),
    (12_345_678, "12.3 M"),
    (2_000_000_000, "2.0 G"),
]


@pytest.mark.parametrize(("size", "text"), SIZES)
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(("seconds", "text"), TIMES)
def test_times(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("count", "text"), COUNTS)
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(1, 3, "33.3 %"), (0, 3, "0.0 %"), (1, 0, "?")]
)
def test_shares(part: float, whole: float, text: str) -> None:
    assert format_percent(part, whole) == text


@pytest.mark.parametrize("power", range(64))
def test_every_size_and_count_is_narrow(power: int) -> None:
    for number in (2**power - 1, 2**power, 10**power // 1000):
        if number < 2**64:
            assert len(format_bytes(number)) <= 9
        if number < 10**12:
            assert len(format_count(number)) <= 9


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("operator new[]", "operator new[]"),
        ("naïve 名前", "naïve 名前"),
        ("\x1b[31m\a\n\r\t\x7f", r"\x1b[31m\x07\n\r\t\x7f"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("\u202e\u2066\u200b\u2028\ufeff", r"\u202e\u2066\u200b\u2028\ufeff"),
        ("\udcff", r"\udcff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "ab...g"), ("x" * 1_000_000, 5, "x...x")],
)
def test_cut(text: str, limit: int, short: str) -> None:
    assert cut(text, limit) == short


@pytest.mark.parametrize(
    ("text", "width", "folded"),
    [
        ("", 10, ""),
        ("short", 10, "short"),
        ("one two three", 9, "one two\n  three"),
        ("std::map<int>::at(int)", 16, "std::map<int>::\n  at(int)"),
        ("libcodec.so.2+0xbeef", 15, "libcodec.so.2\n  +0xbeef"),
        ("x" * 20, 10, "x" * 8 + "\n  " + "x" * 8 + "\n  xxxx"),
        ("one two", 0, "one two"),
    ],
)
def test_fold(text: str, width: int, folded: str) -> None:
    assert fold(text, width, indent=2) == folded
