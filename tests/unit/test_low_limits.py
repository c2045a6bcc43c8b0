"""Limits of the shell that are too low are refused by their name, before anything is done."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cli import GDBLEAK

from gdbleak import errors
from gdbleak.host import process_limits
from gdbleak.host.process_limits import check_limits

ROOT = Path(__file__).parents[2]
LOW = {
    "-n 20": ("only 20 files may be open at once, and gdbleak needs 64 at least", "-n 1024"),
    "-f 8": ("no file may be larger than 8,192 B, and gdbleak needs 1.0 MiB", "-f unlimited"),
    "-v 60000": ("no process may have more memory than 58.6 MiB, and", "-v unlimited"),
    "-d 60000": ("no process may have more memory than 58.6 MiB, and", "-d unlimited"),
    "-s 100": ("no stack may exceed 100 KiB, and gdbleak needs 1.0 MiB", "-s 8192"),
}


def run(limit, *arguments, **options):
    """Run gdbleak under a limit of the shell."""
    script = f'ulimit {limit} && exec "$0" "$@"'
    command = ["bash", "-c", script, *GDBLEAK, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("command", ["trace", "doctor", "report"])
@pytest.mark.parametrize("limit", LOW)
def test_low_limit(command, limit):
    words, cure = LOW[limit]
    result = run(limit, command, os.getpid())
    assert (result.returncode, result.stdout) == (5, "")
    first, second = result.stderr.splitlines()
    assert first.startswith(f"gdbleak: {words}")
    assert second == f"  try: raise the limit with `ulimit {cure}`"


@pytest.mark.parametrize("limit", ["-S -n 20", "-S -f 8", "-S -v 60000", "-S -s 100"])
def test_limit_that_may_be_raised_is(limit):
    """Then what is wrong is something else."""
    result = run(limit, "report", "/missing")
    assert result.returncode in (4, 5)
    assert "ulimit" not in result.stderr
    assert "cannot read /missing: No such file" in result.stderr or "no gdb" in result.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["trace", "--help"], ["rescue"]])
def test_what_starts_no_gdb_needs_less(arguments, tmp_path):
    environment = {**os.environ, "GDBLEAK_STATE": str(tmp_path / "state")}
    assert run("-n 20", *arguments, env=environment).returncode == 0


def test_few_processes(monkeypatch):
    kind = process_limits._PROCESSES
    monkeypatch.setattr(
        "resource.getrlimit", lambda of: (9, 9) if of == kind else (1 << 40, 1 << 40)
    )
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(errors.FileError, match="may run only 9 processes") as caught:
        check_limits()
    assert "ulimit -u 4096" in caught.value.help_text
    monkeypatch.setattr("os.geteuid", lambda: 0)
    check_limits()


def test_no_half_file_of_compiled_python_stays(tmp_path):
    """Python would trip over it ever after."""
    shutil.copytree(ROOT / "gdbleak", tmp_path / "gdbleak", ignore=lambda *_: ["__pycache__"])
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    for limit in ("-f 8", "-c 0"):
        result = run(limit, "trace", "--help", env=environment, cwd="/")
        assert (result.returncode, result.stderr) == (0, "")
        compiled = {path.name.split(".")[0] for path in tmp_path.rglob("*.pyc")}
        assert ("cli" in compiled) == (limit != "-f 8")


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        ("EMFILE", "ulimit -n"),
        ("EFBIG", "ulimit -f"),
        ("EAGAIN", "ulimit -u"),
        ("ENOMEM", "ulimit -v"),
        ("ENOENT", "name another"),
    ],
)
def test_cure_follows_from_the_cause(reason, cure):
    number = getattr(errno, reason)
    error = errors.WriteError("cannot write x", "name another")
    error.__cause__ = OSError(number, os.strerror(number))
    assert cure in error.help_text
