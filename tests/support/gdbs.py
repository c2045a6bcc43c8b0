"""GDBs, C libraries and Pythons of other versions, as `make gdbs` brings them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / ".gdbs"

SUITES = ("bullseye", "trixie", "sid")
"""Debian 11, 13 and the next one: GDB 10.1, 16.3 and the latest."""

NAMES = ("bullseye", "host", "trixie", "16.3", "17.2", "18.1", "sid")
"""The GDBs, the oldest first: a suite's, the one on PATH, or a version for every distribution."""

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def _piece(name: str, what: str) -> Path:
    """Return the folder of something that `make gdbs` brings; skip if it could not."""
    folder, missing = FOLDER / name, FOLDER / f"{name}.missing"
    if missing.exists():
        pytest.skip(f"{what} could not be brought here: {missing.read_text().strip()}")
    if not (folder / "made-by").exists():
        pytest.skip(f"{what} is not here: run make gdbs")
    return folder


def find_gdb(name: str) -> Path:
    """Return the folder of a GDB and its gdbserver, one of `NAMES`; skip without them."""
    if name == "host":
        found = shutil.which("gdb")
        assert found, "install gdb"
        return Path(found).parent
    return _piece(name, f"the GDB of Debian {name}" if name in SUITES else f"GDB {name}") / "bin"


def debian_root(suite: str) -> Path:
    """Return a folder with the C library, GDB and Python of a suite of Debian; skip without it."""
    return _piece(suite, f"Debian {suite}") / "root"


def site_packages() -> Path:
    """Return a folder with what gdbleak needs, for any Python that it runs on; skip without it."""
    return _piece("packages", "what gdbleak needs for other Pythons") / "site"


def find_python(version: str) -> str:
    """Return a Python of this host, for example "3.9"; skip without it."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in (shutil.which(name), *sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))):
        if path and _runs(str(path)):
            return str(path)
    pytest.skip(f"this host has no {name}")


def _runs(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


_ENTER = """
checkout=$1 root=$2 folder=$3
shift 3
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
mount --bind "$checkout" "$root/srv"
mount --bind "$folder" "$root/mnt"
cd /
exec chroot "$root" "$@"
"""
# Drops its own first argument: the Python with which the command line begins.
_PYTHON = "import os, sys; os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"


class Debian:
    """A Debian of another version: programs run in its folder, with nothing but its files.

    They see the processes of this host, this checkout in /srv, and a folder for a test's files in
    /mnt. What is mounted for a program goes when the program does.
    """

    def __init__(self, suite: str, folder: Path) -> None:
        self.root, self._folder = debian_root(suite), folder
        site_packages()
        if os.geteuid() != 0:
            pytest.skip("only root can run programs in the folder of another Debian")

    def inside(self, *command: object) -> tuple[str, ...]:
        """Return the command that runs another one in there."""
        enter = ("unshare", "--mount", "sh", "-euc", _ENTER, "sh")
        return (*enter, *map(str, (CHECKOUT, self.root, self._folder, *command)))

    def build(self, build_target: Callable[..., Path], source: str, *flags: str) -> str:
        """Compile a program of tests/targets for its C library; return its path in there."""
        [libraries] = self.root.glob("usr/lib/*-linux-gnu")
        # The compiler of this host would look into this host's folder first.
        built = build_target(source, f"--sysroot={self.root}", f"-B{libraries}/", *flags)
        shutil.copy(built, self._folder)
        return f"/mnt/{built.name}"

    @property
    def how(self) -> dict[str, Any]:
        """How `Cli.start` runs gdbleak in there, with the Python and the GDB of there."""
        return {
            "wrapper": self.inside("/usr/bin/python3", "-c", _PYTHON),
            "env": {
                "PATH": f"/usr/bin:/bin:{os.environ['PATH']}",
                "PYTHONPATH": "/srv:/srv/.gdbs/packages/site",
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": "/mnt/tmpdir",
                "GDBLEAK_STATE": "/mnt/state",
            },
        }
