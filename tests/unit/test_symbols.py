"""What becomes of symbols when GDB misbehaves; no real GDB."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.processes import wait_until

from gdbleak.debugger import symbols
from gdbleak.debugger.program import GdbProgram
from gdbleak.debugger.symbol_reader import VariableQuestion
from gdbleak.debugger.symbols import Declaration, Symbolizer
from gdbleak.recording.modules import Module, ModuleMap
from gdbleak.report.model import Frame
from gdbleak.target.owners import Owner

LIBRARY = Module("/lib/libz.so", 0x7000, 0x8000, 0x7000, None, "/lib/libz.so")
PROGRAM = Module("/bin/program", 0x1000, 0x2000, 0x1000, None, "/bin/program")
UNREADABLE = Module("/lib/gone.so", 0x9000, 0xA000, 0x9000, None, None, "it was deleted")
MODULES = ModuleMap([PROGRAM, LIBRARY, UNREADABLE])


@pytest.fixture
def make_gdb(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that makes a program of a shell script."""

    def make(script: str) -> str:
        path = tmp_path / "gdb"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def make_symbolizer(make_gdb: Callable[[str], str]) -> Callable[[str], Symbolizer]:
    """Return a function that makes a Symbolizer whose GDB is a shell script."""
    return lambda script: Symbolizer(GdbProgram(make_gdb(script), "1", "3"), MODULES)


def answer(*lines: object) -> str:
    """Return shell commands that write an answer."""
    return "cat > answer.json <<'END'\n" + "\n".join(map(json.dumps, lines)) + "\nEND"


def test_functions_are_asked_for_at_the_call_and_inlined_ones_come_first(
    make_symbolizer: Callable[[str], Symbolizer], tmp_path: Path
) -> None:
    symbolizer = make_symbolizer(
        f"cp request.json {tmp_path}\n"
        + answer({"functions": [[["inner", "a.c", 7], ["outer", "b.c", None]]]})
    )
    assert symbolizer.resolve([0x1235]) == {
        0x1235: (
            Frame(0x1235, "/bin/program", 0x235, "inner", "a.c", 7, inlined=True),
            Frame(0x1235, "/bin/program", 0x235, "outer", "b.c"),
        )
    }
    assert symbolizer.notes == []
    asked = json.loads((tmp_path / "request.json").read_text())
    assert asked == [{"file": "/bin/program", "addresses": [0x234]}]


def test_gdb_is_not_started_for_addresses_without_a_readable_module(
    make_symbolizer: Callable[[str], Symbolizer], tmp_path: Path
) -> None:
    symbolizer = make_symbolizer(f"touch {tmp_path}/started")
    assert symbolizer.resolve([0x10, 0x9010]) == {
        0x10: (Frame(0x10),),
        0x9010: (Frame(0x9010, "/lib/gone.so", 0x10),),
    }
    assert symbolizer.notes == []
    assert not (tmp_path / "started").exists()


def test_a_call_that_ends_a_module_belongs_to_it(
    make_symbolizer: Callable[[str], Symbolizer],
) -> None:
    symbolizer = make_symbolizer(answer({"functions": [[["abort_all", None, None]]]}))
    assert symbolizer.resolve([0x2000])[0x2000][0].function == "abort_all"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -KILL $$", "GDB gave no answer and died of signal 9"),
        ("exit 3", "GDB gave no answer and ended with status 3"),
        ("exec sleep 600", "GDB had not read them after 0.5 s"),
        ("echo damaged > answer.json", "GDB gave no answer and ended with status 0"),
        ("""printf '{"functions": [[["f", nul' > answer.json""", "GDB gave no answer"),
        ("printf '\\377' > answer.json", "GDB gave no answer"),
        ('rm "$0"; exit 1', "GDB could not be run"),
    ],
    ids=["dies", "fails", "hangs", "damaged", "cut off", "no text", "gone"],
)
def test_whatever_gdb_does_every_address_has_a_frame(
    script: str,
    reason: str,
    make_symbolizer: Callable[[str], Symbolizer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbols, "TIMEOUT_S", 0.5)
    symbolizer = make_symbolizer(script)
    assert symbolizer.resolve([0x1010, 0x7010]) == {
        0x1010: (Frame(0x1010, "/bin/program", 0x10),),
        0x7010: (Frame(0x7010, "/lib/libz.so", 0x10),),
    }
    assert reason in symbolizer.notes[-1]


def test_no_room_for_the_request(
    make_symbolizer: Callable[[str], Symbolizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    symbolizer = make_symbolizer("exit 0")
    assert symbolizer.resolve([0x1010]) == {0x1010: (Frame(0x1010, "/bin/program", 0x10),)}
    assert "GDB could not be run" in symbolizer.notes[0]


def test_answers_from_before_gdb_died_are_kept(
    make_symbolizer: Callable[[str], Symbolizer],
) -> None:
    symbolizer = make_symbolizer(
        answer({"functions": [[["inflate", None, None]]]}) + "\nkill -KILL $$"
    )
    resolved = symbolizer.resolve([0x1010, 0x7010])
    assert resolved[0x7010][0].function == "inflate"
    assert resolved[0x1010][0].function is None
    assert symbolizer.notes == [
        "Functions in /bin/program have no names: GDB gave no answer and died of signal 9."
    ]


def test_what_gdb_says_of_debug_information_is_noted(
    make_symbolizer: Callable[[str], Symbolizer],
) -> None:
    half = {"functions": [[["f", None, None]]], "problem": "Dwarf Error: no .dwo file."}
    symbolizer = make_symbolizer(answer({"functions": [[["g", "z.c", 1]]], "problem": None}, half))
    resolved = symbolizer.resolve([0x1010, 0x7010])
    assert [resolved[a][0].function for a in (0x1010, 0x7010)] == ["f", "g"]
    assert symbolizer.notes == [
        "Some files and lines in /bin/program are unknown: Dwarf Error: no .dwo file."
    ]


def test_many_modules_that_fail_alike_are_counted(
    make_gdb: Callable[[str], str],
) -> None:
    modules = [
        Module(f"/lib/{number}.so", start, start + 16, start, None, "/lib/x")
        for number, start in enumerate(range(0, 64, 16))
    ]
    symbolizer = Symbolizer(GdbProgram(make_gdb("exit 1"), "1", "3"), ModuleMap(modules))
    symbolizer.resolve(module.start + 8 for module in modules)
    assert symbolizer.notes == [
        "Functions in 4 modules have no names: GDB gave no answer and ended with status 1."
    ]


def test_cancelled_from_another_thread(
    make_symbolizer: Callable[[str], Symbolizer], tmp_path: Path
) -> None:
    symbolizer = make_symbolizer(f"echo $$ > {tmp_path}/started; exec sleep 600")
    with ThreadPoolExecutor(1) as pool:
        resolving = pool.submit(symbolizer.resolve, [0x1235])
        wait_until((tmp_path / "started").exists, "gdb had started")
        symbolizer.cancel()
        frames = resolving.result(60)
    assert [frame.function for frame in frames[0x1235]] == [None]
    assert [frame.function for frame in symbolizer.resolve([0x1235])[0x1235]] == [None]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o755, "65534 65534 none"), (0o700, "user 65534, who may choose what they lead to, cannot")],
)
def test_symbols_of_another_user_are_read_as_that_user(
    home: Path, monkeypatch: pytest.MonkeyPatch, mode: int, said: str
) -> None:
    """Of our environment it sees nothing, and it can put no other file into the answer's place."""
    monkeypatch.setenv("SECRET", "token")
    program = home / "gdb"
    program.write_text(
        "#!/bin/sh\ntouch other && exit 1\n"
        'echo "{\\"error\\": \\"$(id -u) $(id -g) ${SECRET:-none}\\"}" > answer.json\n'
    )
    program.chmod(mode)
    owner = Owner(65534, 65534, ())
    symbolizer = Symbolizer(GdbProgram(str(program), "1", "3"), ModuleMap([PROGRAM]), owner)
    symbolizer.resolve([0x1010])
    assert said in symbolizer.notes[0]
    assert "token" not in symbolizer.notes[0]


@pytest.mark.parametrize(
    "line",
    [
        *("[]", "5", '{"error": 5}', '{"functions": 5}', '{"functions": [5]}'),
        *(
            '{"functions": [[5]]}',
            '{"functions": [[["f", "a.c"]]]}',
            '{"functions": [[[1, 2, 3]]]}',
        ),
    ],
)
def test_answer_that_is_none(make_symbolizer: Callable[[str], Symbolizer], line: str) -> None:
    symbolizer = make_symbolizer(f"echo '{line}' > answer.json")
    assert symbolizer.resolve([0x1010]) == {0x1010: (Frame(0x1010, "/bin/program", 0x10),)}
    assert "GDB gave no answer" in symbolizer.notes[0]


def test_variables_are_asked_for_by_module(
    make_symbolizer: Callable[[str], Symbolizer], tmp_path: Path
) -> None:
    symbolizer = make_symbolizer(
        f"cp request.json {tmp_path}\n"
        + answer({"functions": [], "variables": [["sessions", 8, "server.c", 88], None]})
    )
    asked: list[VariableQuestion] = [(0x4048, None, None), (None, "cache", "pool.c")]
    assert symbolizer.resolve_variables({PROGRAM: asked, UNREADABLE: [(1, None, None)]}) == {
        PROGRAM: [Declaration("sessions", 8, "server.c", 88), None]
    }
    [request] = json.loads((tmp_path / "request.json").read_text())
    assert (request["addresses"], request["variables"]) == ([], [[*each] for each in asked])


@pytest.mark.parametrize(
    "variables",
    [[], [None, None], [["sessions", "8", None, None]], [["sessions", 8]], "sessions", [3]],
)
def test_answers_about_variables_that_make_no_sense(
    make_symbolizer: Callable[[str], Symbolizer], variables: object
) -> None:
    symbolizer = make_symbolizer(answer({"functions": [], "variables": variables}))
    assert symbolizer.resolve_variables({PROGRAM: [(0x4048, None, None)]}) == {}
