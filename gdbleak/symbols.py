"""Addresses to functions, by a GDB that has no process: the target was released before."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from gdbleak.errors import WriteError
from gdbleak.folders import private_folder
from gdbleak.gdb_program import SAFE_OPTIONS, GdbProgram, safe_environment, script_path
from gdbleak.modules import Module, ModuleMap
from gdbleak.report import Frame
from gdbleak.rust_names import unescape

TIMEOUT_S = 120
"""For all modules of one `resolve` together."""

_Request = tuple[Module, list[Frame]]
_Answer = dict[str, Any]


def locate(address: int, modules: ModuleMap) -> Frame:
    """Return the frame at a return address, without a name."""
    module = modules.find(address - 1)
    return Frame(address, module.path, address - module.bias) if module else Frame(address)


class Symbolizer:
    """Names the functions at return addresses; `notes` says in sentences where it could not."""

    def __init__(self, gdb: GdbProgram, modules: ModuleMap) -> None:
        self.notes: list[str] = []
        self._gdb = gdb
        self._modules = modules
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """Have a `resolve` in another thread end at once, and every later one."""
        with self._lock:
            self._cancelled = True
            if self._process:
                self._process.kill()

    def resolve(self, addresses: Iterable[int]) -> dict[int, tuple[Frame, ...]]:
        """Return the frames at each run-time return address.

        The innermost inlined function is the first, the function that holds the address the
        last. Whatever becomes of GDB, every address has at least one frame.
        """
        resolved: dict[int, tuple[Frame, ...]] = {}
        wanted: dict[Module, list[Frame]] = defaultdict(list)
        for address in set(addresses):
            frame = locate(address, self._modules)
            resolved[address] = (frame,)
            module = self._modules.find(address - 1)
            if module is not None and module.file is not None:
                wanted[module].append(frame)

        failed: dict[str, list[str]] = defaultdict(list)
        incomplete: dict[str, list[str]] = defaultdict(list)
        # The program lies below its libraries and takes longest: should time run out, it is last.
        by_address = sorted(wanted.items(), key=lambda item: item[0].start, reverse=True)
        for (module, frames), answer in self._ask(by_address):
            if "error" in answer:
                failed[answer["error"]].append(module.path)
                continue
            if answer.get("problem"):
                incomplete[answer["problem"]].append(module.path)
            for frame, functions in zip(frames, answer["functions"]):
                resolved[frame.address] = _name(frame, functions)
        self._note("Functions in {} have no names: {}.", failed)
        self._note("Some files and lines in {} are unknown: {}.", incomplete)
        return resolved

    def _note(self, sentence: str, paths_by_reason: dict[str, list[str]]) -> None:
        for reason, paths in paths_by_reason.items():
            where = ", ".join(paths) if len(paths) <= 3 else f"{len(paths)} modules"
            self.notes.append(sentence.format(where, reason.rstrip(".")))

    def _ask(self, requests: Sequence[_Request]) -> Iterator[tuple[_Request, _Answer]]:
        """Pair each request with its answer; behind a module that kills GDB, start a new one."""
        deadline = time.monotonic() + TIMEOUT_S
        while requests and (left_s := deadline - time.monotonic()) > 0:
            answers, failure = self._run_gdb(requests, left_s)
            yield from zip(requests, answers)
            unanswered = requests[len(answers) :]
            yield from ((request, {"error": failure}) for request in unanswered[:1])
            requests = unanswered[1:]
        yield from ((request, {"error": _timed_out()}) for request in requests)

    def _run_gdb(self, requests: Sequence[_Request], left_s: float) -> tuple[list[_Answer], str]:
        """Run GDB once; return the answers it got to, and why there is no further one."""
        question = [
            {
                "file": module.file,
                # A return address is behind the call, and may belong to the next line already.
                "addresses": [frame.address - 1 - module.bias for frame in frames],
            }
            for module, frames in requests
        ]
        script = script_path("gdbleak_symbols.py")
        try:
            with private_folder() as folder:
                (folder / "request.json").write_text(json.dumps(question))
                with self._lock:
                    if self._cancelled:
                        return [], "cancelled"
                    process = self._process = subprocess.Popen(
                        [self._gdb.path, *SAFE_OPTIONS, "-batch", "-x", script],
                        cwd=folder,
                        env=safe_environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,  # Ctrl-C is ours to handle
                    )
                try:
                    status = process.wait(left_s)
                    end = (
                        f"died of signal {-status}" if status < 0 else f"ended with status {status}"
                    )
                    failure = f"GDB gave no answer and {end}"
                except subprocess.TimeoutExpired:
                    failure = _timed_out()
                finally:
                    process.kill()
                    process.wait()
                return list(_iter_answers(folder / "answer.json")), failure
        except (OSError, WriteError) as error:  # no room for the folder, or GDB is gone
            return [], f"GDB could not be run: {error}"


def _iter_answers(path: Path) -> Iterator[_Answer]:
    """Yield what the script wrote; a line it had no time or room to finish ends that."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # no prefix of an object is JSON
            return


def _name(
    frame: Frame, functions: Sequence[tuple[str | None, str | None, int | None]]
) -> tuple[Frame, ...]:
    """Return a copy of the frame for each function; all but the last are inlined."""
    last = len(functions) - 1
    return tuple(
        replace(
            frame,
            function=function and unescape(function),
            file=file,
            line=line,
            inlined=index < last,
        )
        for index, (function, file, line) in enumerate(functions)
    )


def _timed_out() -> str:
    return f"GDB had not read them after {TIMEOUT_S} s"
