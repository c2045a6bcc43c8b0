"""What a rehearsal rests on, without a GDB: its stand-in, and lines that are no records."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gdbleak.capture.rehearsal import proved_agent
from gdbleak.capture.standing_in import CALLED, RARE, StandIn
from gdbleak.debugger.program import GdbProgram
from gdbleak.debugger.records import parse
from gdbleak.errors import DebuggerFailedError, UnprovedError
from gdbleak.target.proc import list_threads


@pytest.fixture
def gdb(tmp_path: Path) -> GdbProgram:
    """Return a program that starts, and then waits for the end of its input."""
    path = tmp_path / "gdb"
    path.write_text("#!/bin/sh\nexec cat\n")
    path.chmod(0o755)
    return GdbProgram(str(path), "13.1", "3.11")


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
def test_stand_in_that_does_not_start_is_no_fault_of_gdb(
    program: str, gdb: GdbProgram, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    proving = proved_agent(gdb, tmp_path)
    with pytest.raises(DebuggerFailedError, match="did not start") as caught, proving:
        pytest.fail("it did")
    assert not isinstance(caught.value, UnprovedError)
    assert "memory" in caught.value.help_text


def test_stand_in_obeys() -> None:
    stand_in = StandIn()
    try:
        called, rare = stand_in.meet()
        assert (called.id, rare.id) == (CALLED, RARE)
        assert called.address != rare.address
        answer = stand_in.ask("call 3")
        assert answer is not None
        assert answer["right"] == 3
        threads = list_threads(stand_in.pid)
        assert len(threads) > 3
        assert answer["thread"] in {*threads} - {stand_in.pid}
        assert stand_in.ask("fork") == {"status": 0}
    finally:
        stand_in.end()
    assert stand_in.describe_end() == "was killed by SIGKILL"


def test_stand_in_that_is_gone_does_not_answer() -> None:
    stand_in = StandIn()
    try:
        stand_in.meet()
        assert stand_in.ask("call no-number") is None
        assert stand_in.describe_end() == "has ended"
        assert stand_in.ask("call 1") is None
    finally:
        stand_in.end()


@pytest.mark.parametrize(
    "line",
    [
        *("", "words", "^", "~", "1^error,msg", "1^done,a", "1^done,=", "=x,["),
        *("1^done,a=[", "1^done,a=]x[", "1^done,a=[}{]", '*stopped,frame={addr="', '1^done,a="]"['),
        "\udcff\x00",
    ],
)
def test_line_that_is_no_record_is_output(line: str) -> None:
    record = parse(line.encode(errors="surrogateescape"))
    assert (record["type"], record["message"]) == ("output", None)


def test_record_with_brackets_in_its_words() -> None:
    record = parse(b'7^error,msg="]}[ \\"[",a=[{b="["}]')
    assert record["type"] == "result"
    assert record["payload"] == {"msg": ']}[ "[', "a": [{"b": "["}]}
