"""Memory of another process, read and written while it runs, whatever system calls are allowed."""

from __future__ import annotations

import ctypes
import errno
import subprocess
import sys

import pytest

from gdbleak.target import remote_memory
from gdbleak.target.remote_memory import RemoteMemory

SIZE = 1 << 16
CODE = f"""
import ctypes, mmap, sys
memory = mmap.mmap(-1, {SIZE})
memory.write(bytes(range(256)) * {SIZE // 256})
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
sys.stdin.readline()
print(memory[100:108].hex(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def child():
    """Yield a process that has memory of a known content, and the address of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process, int(process.stdout.readline())
        process.stdin.close()
        process.wait()


def forbid(monkeypatch, number=errno.EPERM):
    """Let the system calls fail as a filter lets them."""

    def refuse(*_):
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(remote_memory, "_find_calls", lambda: (refuse, refuse))


@pytest.mark.parametrize("way", ["calls", "forbidden", "unknown", "missing"])
def test_read_and_write(child, monkeypatch, way):
    process, address = child
    if way == "missing":
        monkeypatch.setattr(remote_memory, "_find_calls", lambda: None)
    elif way != "calls":
        forbid(monkeypatch, errno.EPERM if way == "forbidden" else errno.ENOSYS)
    with RemoteMemory(process.pid) as memory:
        assert memory.read(address, SIZE) == bytes(range(256)) * (SIZE // 256)
        assert memory.read(address + 3, 5) == b"\3\4\5\6\7"
        assert memory.read(8, 8) == b""
        assert memory.write(address + 100, b"12345678")
        assert not memory.write(8, b"12345678")
    process.stdin.write("\n")
    process.stdin.flush()
    assert bytes.fromhex(process.stdout.readline()) == b"12345678"


@pytest.mark.parametrize("allowed", [True, False])
def test_process_that_has_ended(child, monkeypatch, allowed):
    process, address = child
    if not allowed:
        forbid(monkeypatch)
    process.kill()
    process.wait()
    with RemoteMemory(process.pid) as memory:
        assert memory.read(address, 8) == b""
        assert not memory.write(address, b"12345678")


def test_read_up_to_the_end_of_the_mapping(child):
    process, address = child
    with RemoteMemory(process.pid) as memory:
        data = memory.read(address, 1 << 30)
    assert data[:SIZE] == bytes(range(256)) * (SIZE // 256)
    assert len(data) < 1 << 30
