"""Times, sizes and shares as people type them."""

from __future__ import annotations

from math import inf, isnan

import pytest

from gdbleak import cli
from gdbleak.text.quantities import (
    QuantityError,
    parse_bytes,
    parse_milliseconds,
    parse_percent,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("0", 0), ("2.5", 2.5), ("1e3", 1000), ("-1", -1), ("inf", inf)),
        *(("2s", 2), ("2 s", 2), ("500ms", 0.5), ("1m", 60), ("90 min", 5400), ("1.5h", 5400)),
        *(("1h30m", 5400), ("1h 30m 5s", 5405), ("1d", 86400), ("1M", 60), (".5s", 0.5)),
        *(("10 seconds", 10), ("1 minute", 60), ("250µs", 0.00025)),
    ],
)
def test_time(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("200", 200), ("200ms", 200), ("1s", 1000), ("1m", 60_000)]
)
def test_time_in_milliseconds(text, milliseconds):
    assert parse_milliseconds(text) == milliseconds


def test_what_is_not_a_number_stays_that():
    assert isnan(parse_seconds("nan"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("0", 0), ("17", 17), ("24 B", 24), ("4k", 4096), ("4K", 4096), ("1KiB", 1024)),
        *(("1kb", 1024), ("1MB", 1 << 20), ("2M", 2 << 20), ("1g", 1 << 30), ("1.5 KiB", 1536)),
        (str((1 << 64) - 1), (1 << 64) - 1),
    ],
)
def test_size(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(("text", "share"), [("30", 30), ("30%", 30), ("0.5 %", 0.5)])
def test_share(text, share):
    assert parse_percent(text) == share


@pytest.mark.parametrize(
    ("parse", "texts", "names"),
    [
        (parse_seconds, ["", "ten", "m", "1x", "1m30", "-1s", "1s,2s", "30%"], "500ms, 30s or 1h"),
        (parse_milliseconds, ["", "1k"], "milliseconds"),
        (parse_bytes, ["", "k", "-1", "1.5", "1T", "nan", "4kk", "1s", "0x10"], "k, M or G"),
        (parse_percent, ["", "%", "1/3", "30%%"], "%"),
    ],
)
def test_refusal_names_the_units(parse, texts, names):
    for text in texts:
        with pytest.raises(QuantityError, match="is not a") as raised:
            parse(text)
        assert repr(text) in str(raised.value)
        assert names in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        "trace 1 --duration {} --tail {} --interval {} --scan-time {} --older {} --max-pause {}",
        "suspects --duration {} --interval {}",
        "heap 1 --interval {} --max-pause {} --scan-time {}",
        "leaks 1 --scan-time {}",
        "hunt 1 --duration {} --interval {} --tail {} --older {}",
        "why 1 2 --time {}",
        "report x --older {}",
    ],
)
def test_every_option_that_is_a_time_takes_units(line):
    options = cli.make_parser().parse_args(line.format(*["1m"] * 6).split())
    words = [word[2:].replace("-", "_") for word in line.split() if word.startswith("--")]
    for name in words:
        unit_ms = 1000 if name in ("older", "max_pause") else 1
        assert getattr(options, name) == 60 * unit_ms, name


def test_range_names_the_unit(capsys):
    assert cli.main(["trace", "1", "--max-pause", "20ms"]) == 2
    assert "20ms is out of range: from 250 upwards, in milliseconds" in capsys.readouterr().err
