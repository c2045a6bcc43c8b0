"""Which GDBs there are, and how a test gets one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.gdbs import FOLDER, NAMES, PYTHONS, SUITES, Debian, find_gdb, find_python


def pytest_report_header() -> list[str]:
    """Say which versions are tried."""
    commands = {name: str(FOLDER / name / "bin/gdb") for name in NAMES} | {"host": "gdb"}
    return [f"gdb {name}: {_version(command)}" for name, command in commands.items()]


def _version(command: str) -> str:
    try:
        said = subprocess.run([command, "--version"], capture_output=True, text=True)
    except OSError:
        return "not here"
    return said.stdout.partition("\n")[0]


@pytest.fixture(params=NAMES)
def gdb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a GDB and its gdbserver on PATH, where everything looks for them; return its folder."""
    folder = find_gdb(request.param)
    monkeypatch.delenv("GDBLEAK_GDB", raising=False)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    """Return a Python of another version."""
    return find_python(request.param)


@pytest.fixture(params=SUITES)
def debian(request: pytest.FixtureRequest, tmp_path: Path) -> Debian:
    """Return a Debian of another version."""
    return Debian(request.param, tmp_path)
