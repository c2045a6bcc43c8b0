"""A machine without gdbleak: a folder with the standalone file, and a gdb."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from gdbleak.recording.events import iter_frames
from gdbleak.recording.frames import MAGIC
from support.cli import Cli
from support.processes import Lines, wait_until

SAFE = ("-nx", "-batch", "--readnever", "-iex", "set auto-load off")


class Box:
    """A folder that holds what a box without gdbleak has: the file, and its recording."""

    def __init__(self, folder: Path, cli: Cli) -> None:
        self.script, self.recording = folder / "gdbleak_record.py", folder / "leak.gdbleak"
        self.sysroot = folder / "sysroot"
        self._cli = cli
        self._gdb: subprocess.Popen[bytes] | None = None

    def prepare(self, pid: int) -> None:
        """Make it ready to record a process."""
        self.copy_files_of(pid)
        result = self._cli.run("agent", "--standalone", "--sysroot", self.sysroot)
        assert result.exit_code == 0, result.stderr
        self.script.write_text(result.stdout, encoding="ascii")

    def copy_files_of(self, pid: int) -> None:
        """Copy the program and libraries of a process to their paths below the sysroot."""
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            path = line.split(maxsplit=5)[-1]
            if path.startswith("/") and not (copy := Path(f"{self.sysroot}{path}")).exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)

    def start(
        self, pid: int, duration_s: float = 600, **variables: object
    ) -> subprocess.Popen[bytes]:
        """Start to record."""
        values = {"GDBLEAK_DURATION": duration_s, "GDBLEAK_OUT": self.recording, **variables}
        self._gdb = subprocess.Popen(
            ["gdb", *SAFE, "-iex", "set auto-solib-add off", "-p", str(pid), "-x", self.script],
            env={**os.environ, **{name: str(value) for name, value in values.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        return self._gdb

    def wait_for_window(self) -> None:
        """Return once the first PHASE stands behind the head, and the process runs."""
        head = wait_until(self._whole_head, "the head was written")
        wait_until(lambda: self.recording.stat().st_size > head, "the window was open")

    def _whole_head(self) -> int:
        if not self.recording.exists() or self.recording.stat().st_size < 16:
            return 0
        return 16 + int.from_bytes(self.recording.read_bytes()[12:16], "little")

    def finish(self) -> tuple[int, str]:
        """Return the exit status of GDB, and what it said."""
        assert self._gdb
        assert self._gdb.stdout
        said = Lines(self._gdb.stdout).rest()
        status = self._gdb.wait(60)
        self._gdb.stdout.close()
        return status, said

    def report(self) -> Any:
        """Return the report that is made of its recording."""
        options = ("--sysroot", self.sysroot, "--older", 0, "--format", "json")
        return self._cli.run("report", self.recording, *options).report

    def read_json(self, kind: int) -> dict[str, Any]:
        """Return what the frame of a kind holds, HEAD or END."""
        data = self.recording.read_bytes()
        [text] = (
            data[payload : payload + length]
            for _, found, _, payload, length in iter_frames(data, len(MAGIC), len(data))
            if found == kind
        )
        values: dict[str, Any] = json.loads(text)
        return values

    def end(self) -> None:
        """End its GDB, if a test has failed to."""
        if self._gdb and self._gdb.poll() is None:
            self._gdb.kill()  # its watchman restores the code
            self.finish()
