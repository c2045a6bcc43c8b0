"""Which GDB is taken, and what is said of one that is of no use; no real GDB."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from gdbleak.debugger import program as gdb_program
from gdbleak.debugger.program import GdbProgram, find_another, find_gdb, script_path
from gdbleak.errors import DebuggerMissingError

GOOD = """echo '["13.1", "3.11"]'"""
INSTALL = ("apt-get install gdb", "pip install 'gdbleak[gdb]'", "GDBLEAK_GDB")


@pytest.fixture
def make_gdb(tmp_path: Path) -> Callable[..., str]:
    """Return a function that makes a program of a shell script, in a folder of some name."""

    def make(script: str, folder: str = "named") -> str:
        path = tmp_path / folder / "gdb"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture(autouse=True)
def bare_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have two folders where a gdb may be, and none in them: on PATH, and beside Python."""
    monkeypatch.delenv("GDBLEAK_GDB", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    beside = str(tmp_path / "beside")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: {"scripts": beside}[name])


def test_the_one_on_path_comes_before_the_one_beside_python(make_gdb: Callable[..., str]) -> None:
    make_gdb("""echo '["18.1", "3.11"]'""", "beside")
    path = make_gdb("""echo '["7.6.1-120.el7", "2.7"]'""", "path")
    assert find_gdb() == GdbProgram(path, "7.6.1-120.el7", "2.7")


def test_the_one_beside_python_is_found(make_gdb: Callable[..., str]) -> None:
    path = make_gdb(GOOD, "beside")
    assert find_gdb() == GdbProgram(path, "13.1", "3.11")


def test_the_variable_comes_first(
    make_gdb: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_gdb("exit 1", "beside")
    make_gdb("exit 1", "path")
    path = make_gdb(GOOD)
    monkeypatch.setenv("GDBLEAK_GDB", path)
    assert find_gdb() == GdbProgram(path, "13.1", "3.11")


def test_its_answer_is_found_among_other_words(make_gdb: Callable[..., str]) -> None:
    words = "echo Undefined set debuginfod command >&2; echo '{}'; echo 7; echo '[1, 2]'"
    assert find_gdb_at(make_gdb(f"{words}; {GOOD}; echo bye", "path")).version == "13.1"


def find_gdb_at(path: str) -> GdbProgram:
    """Return the GDB that is found, which must be that one."""
    found = find_gdb()
    assert found.path == path
    return found


@pytest.mark.parametrize("variable", [None, ""])
def test_no_gdb(variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable is not None:
        monkeypatch.setenv("GDBLEAK_GDB", variable)
    with pytest.raises(DebuggerMissingError, match="no gdb") as caught:
        find_gdb()
    for word in INSTALL:
        assert word in caught.value.help_text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "which is a folder"),
        ("text", "which may not be run: "),
        ("missing", "which does not exist"),
        ("text/below", "which does not exist"),
        ("link", "which does not exist"),
        (None, "which is not on the PATH"),
    ],
)
@pytest.mark.parametrize("another", [True, False])
def test_variable_that_names_no_program(
    name: str | None,
    reason: str,
    another: bool,
    make_gdb: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("#!/bin/sh\n")
    (tmp_path / "link").symlink_to("nowhere")
    named = str(tmp_path / name) if name else "no-such-gdb"
    monkeypatch.setenv("GDBLEAK_GDB", named)
    other = make_gdb(GOOD, "path") if another else None
    with pytest.raises(DebuggerMissingError) as caught:
        find_gdb()
    assert str(caught.value).startswith(f"GDBLEAK_GDB names {named}, {reason}")
    assert caught.value.help_text == (
        f"unset GDBLEAK_GDB to use {other}, or set it to the path of a gdb with Python"
        if another
        else "set GDBLEAK_GDB to the path of a gdb with Python"
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'Undefined set style command.'\n"
            "echo 'Python scripting is not supported in this copy of GDB.' >&2; exit 1",
            "has no Python inside: Python scripting is not supported",
        ),
        (
            "echo 'Python path configuration:'; echo '  isolated = 0'\n"
            "echo 'Fatal Python error: init_fs_encoding: failed'; exit 1",
            "does not work .*: Fatal Python error: init_fs_encoding",
        ),
        ("echo 'Undefined set style command.'", "does not work .*: Undefined set style"),
        ("kill -KILL $$", "was killed by SIGKILL at its start"),
        ("exec sleep 600", "does not answer within 0.5 s"),
        ("sleep 600\n:", "does not answer within 0.5 s"),
        ("exec >&- 2>&-; sleep 600", "does not answer within 0.5 s"),
        ("exec yes no", "prints without end; it printed: no"),
        ("yes no &\nsleep 600", "prints without end; it printed: no"),
    ],
    ids=[
        *("no Python", "broken Python", "noise", "dies", "hangs", "child hangs", "hangs silently"),
        *("endless", "child endless"),
    ],
)
def test_unusable_gdb(
    script: str,
    message: str,
    make_gdb: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/bin:/bin")
    monkeypatch.setattr(gdb_program, "_PROBE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(gdb_program, "find_another", lambda _: None)
    path = make_gdb(script)
    monkeypatch.setenv("GDBLEAK_GDB", path)
    with pytest.raises(DebuggerMissingError, match=f"{path} {message}") as caught:
        find_gdb()
    for word in INSTALL:
        assert word in caught.value.help_text


def test_another_gdb_is_named(make_gdb: Callable[..., str]) -> None:
    path, beside = make_gdb("exit 1", "path"), make_gdb("exit 1", "beside")
    assert (find_another(path), find_another(beside)) == (beside, path)
    with pytest.raises(DebuggerMissingError) as caught:
        find_gdb()
    assert caught.value.help_text == f"set GDBLEAK_GDB={beside}"


def test_another_name_of_the_same_gdb_is_not_another(
    make_gdb: Callable[..., str], tmp_path: Path
) -> None:
    path = make_gdb("exit 1", "path")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/gdb").symlink_to(path)
    assert find_another(path) is None


def test_script_path_leads_to_a_file() -> None:
    path = script_path("gdbleak_symbols.py")
    assert Path(path).is_absolute()
    assert Path(path).is_file()
