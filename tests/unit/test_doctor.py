"""What the doctor finds, and how it is told."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from gdbleak import cli
from gdbleak.debugger.program import GdbProgram
from gdbleak.errors import DebuggerMissingError, UnprovedError
from gdbleak.preflight import doctor
from gdbleak.preflight.doctor import Finding, examine_host, examine_process
from gdbleak.report.runtimes import RUNTIMES, describe_seen


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path):
    """Return what is patched to be a host on which nothing is wrong."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "find_gdb", lambda: GdbProgram("/usr/bin/gdb", "13.1", "3.11"))
    monkeypatch.setattr(doctor, "proved_agent", prove(halts_first=False))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(doctor, "YAMA", tmp_path / "none")
    return monkeypatch


def prove(halts_first):
    """Return what stands in for a rehearsal that goes well."""

    @contextmanager
    def proved_agent(_gdb, folder, on_launch):
        assert folder.is_dir()
        assert callable(on_launch)
        yield SimpleNamespace(halts_first=halts_first)

    return proved_agent


@contextmanager
def fail(_gdb, _folder, on_launch):
    assert callable(on_launch)
    raise UnprovedError("gdb 13.1 failed at the attach", "take another")
    yield


def no_gdb():
    raise DebuggerMissingError("there is no gdb here", "install it")


@pytest.fixture
def child(build_target, tmp_path):
    """Return a process that waits for input, and may lose its file."""
    program = Path(shutil.copy(build_target("puppet.c"), tmp_path / "puppet"))
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"ready\n"
        yield SimpleNamespace(pid=process.pid, program=program)
        process.communicate()


def test_host_on_which_nothing_is_wrong(capsys):
    assert [f.mark for f in examine_host()] == ["ok"] * len(examine_host())
    assert cli.main(["doctor"]) == 0
    proved = (
        r"gdb 13\.1 with Python 3\.11 \(/usr/bin/gdb\), proved on a process of gdbleak's own in \d"
    )
    assert re.search(rf"{proved}+\.\d s\n", capsys.readouterr().out)


def test_gdb_that_halts_first(host, capsys):
    host.setattr(doctor, "proved_agent", prove(halts_first=True))
    assert cli.main(["doctor"]) == 0
    assert re.search(
        r"in \d\.\d s; it halts a process before it detaches\n", capsys.readouterr().out
    )


def write_scope(host, tmp_path, scope):
    (tmp_path / "scope").write_text(f"{scope}\n")
    host.setattr(doctor, "YAMA", tmp_path / "scope")


@pytest.mark.parametrize(
    ("scope", "euid", "mark"),
    [
        ("0", 0, "ok"),
        ("0", 1000, "ok"),
        ("1", 0, "ok"),
        ("1", 1000, "note"),
        ("2", 1000, "note"),
        ("3", 0, "problem"),
        ("3", 1000, "problem"),
    ],
)
def test_yama(host, tmp_path, scope, euid, mark):
    host.setattr(os, "geteuid", lambda: euid)
    write_scope(host, tmp_path, scope)
    marks = [finding.mark for finding in examine_host() if finding.mark != "ok"]
    assert marks == [mark] * (mark != "ok")


@pytest.mark.parametrize(
    ("name", "value", "mark", "words"),
    [
        ("gdbleak.preflight.doctor.find_gdb", no_gdb, "problem", "there is no gdb here"),
        ("gdbleak.preflight.doctor.proved_agent", fail, "problem", "gdb 13.1 failed at the attach"),
        ("platform.machine", lambda: "aarch64", "problem", "aarch64"),
        ("shutil.disk_usage", lambda _: SimpleNamespace(free=3 << 20), "note", "only 3 MiB"),
    ],
)
def test_what_is_wrong_with_a_host(host, capsys, name, value, mark, words):
    host.setattr(name, value)
    (finding,) = (finding for finding in examine_host() if finding.mark != "ok")
    assert finding.mark == mark
    assert words in finding.text
    assert finding.cure
    assert cli.main(["doctor"]) == (mark == "problem")
    text = capsys.readouterr().out
    assert f"{mark:<8} {finding.text}" in text
    assert f"try: {finding.cure}" in text


@pytest.mark.parametrize("name", ["file", "missing"])
def test_a_folder_for_temporary_files_that_cannot_be_one(host, tmp_path, name):
    (tmp_path / "file").touch()
    host.setenv("TMPDIR", str(tmp_path / name))
    findings = examine_host()
    (finding,) = (finding for finding in findings if finding.mark != "ok")
    assert (finding.mark, f"cannot write in {tmp_path / name}" in finding.text) == ("problem", True)
    assert finding.cure == "set TMPDIR to a folder that exists and that you may write in"
    gdb = "gdb 13.1 with Python 3.11 (/usr/bin/gdb), not tried: that needs a folder for temporary"
    assert f"{gdb} files" in {finding.text for finding in findings}


def test_process_that_can_be_traced(child, capsys):
    findings = examine_process(child.pid)
    assert [finding.mark for finding in findings] == ["ok"] * len(findings)
    text = "\n".join(finding.text for finding in findings)
    assert str(child.program) in text
    assert "probes" in text
    assert cli.main(["doctor", str(child.pid)]) == 0
    assert capsys.readouterr().out.count("\n") >= len(findings)


def test_runtime_whose_objects_are_not_seen(child, host):
    asked = []

    def recognise(program, mapped):
        asked.append((program, [*mapped]))
        return RUNTIMES[0]

    host.setattr("gdbleak.preflight.doctor.recognise", recognise)
    texts = {finding.text for finding in examine_process(child.pid)}
    assert describe_seen(RUNTIMES[0]) in texts
    ((program, mapped),) = asked
    assert program == str(child.program)
    assert program in mapped


def test_process_that_is_gone(capsys):
    (finding,) = examine_process(4_194_305)
    assert (finding.mark, bool(finding.cure)) == ("problem", True)
    assert cli.main(["doctor", "4194305"]) == 1
    assert "no process 4194305" in capsys.readouterr().out


def test_our_own_process():
    (finding,) = examine_process(os.getpid())
    assert finding.mark == "problem"


def test_file_that_cannot_be_read_any_more(child, host):
    child.program.unlink()
    host.setattr("gdbleak.target.modules.ModuleReader._candidates", _by_path_alone)
    marked = [finding for finding in examine_process(child.pid) if finding.mark != "ok"]
    assert [finding.mark for finding in marked] == ["note"]
    assert "replaced or deleted" in marked[0].text


def _by_path_alone(_, mapping):
    yield mapping.path


def test_names_cannot_forge_lines(host, capsys):
    host.setattr(
        "gdbleak.commands.doctor.examine_host", lambda: [Finding("a\nok  b\x1b[2J", "c\nd", True)]
    )
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out == ("problem  a\\nok  b\\x1b[2J\n           try: c\\nd\n")
