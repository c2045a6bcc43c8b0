"""Which limit a process reaches first, by files as Linux writes them."""

from __future__ import annotations

import os

import pytest

from gdbleak.recording.memory_limit import MemoryLimit
from gdbleak.target.memory_limit import find_limit

MEMINFO = """\
MemTotal:        8000000 kB
MemFree:          500000 kB
MemAvailable:    3000000 kB
Cached:          1000000 kB
HugePages_Total:       0
"""
MACHINE = MemoryLimit(8000000 << 10, 5000000 << 10, "machine")
MIB = 1 << 20


@pytest.fixture
def host(tmp_path):
    """Return a function that makes the files of a host: control groups by their paths."""
    proc = tmp_path / "proc"

    def make(membership, mounts, groups, meminfo=MEMINFO):
        for folder in ("self", "42"):
            (proc / folder).mkdir(parents=True)
        (proc / "42/cgroup").write_text(membership)
        (proc / "self/mountinfo").write_text(mounts.replace("{}", str(tmp_path)))
        (proc / "meminfo").write_text(meminfo)
        for path, files in groups.items():
            (tmp_path / path).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (tmp_path / path / name).write_text(f"{text}\n")
        return proc

    return make


def version_2(limit, used=100 * MIB, inactive=0):
    stat = f"anon 1\ninactive_file {inactive}"
    return {"memory.max": limit, "memory.current": used, "memory.stat": stat}


UNIFIED = "24 23 0:22 / {}/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_group_of_version_2(host):
    groups = {"cg/app": version_2(512 * MIB, 300 * MIB, inactive=50 * MIB)}
    proc = host("0::/app\n", UNIFIED, groups)
    assert find_limit(42, proc) == MemoryLimit(512 * MIB, 250 * MIB, "control group")


def test_group_above_that_is_nearer_to_its_limit(host):
    groups = {
        "cg/all": version_2(1000 * MIB, 900 * MIB),
        "cg/all/app": version_2(512 * MIB, 100 * MIB),
    }
    limit = find_limit(42, host("0::/all/app\n", UNIFIED, groups))
    assert limit == MemoryLimit(1000 * MIB, 900 * MIB, "control group")
    assert limit.left_bytes == 100 * MIB


def test_group_without_a_limit(host):
    proc = host("0::/app\n", UNIFIED, {"cg/app": version_2("max")})
    assert find_limit(42, proc) == MACHINE


def test_group_of_version_1_in_a_container(host):
    mounts = "33 32 0:29 /docker/ab {}/memory ro,nosuid - cgroup cgroup rw,memory\n"
    stat = f"total_inactive_file {20 * MIB}"
    files = {
        "memory.limit_in_bytes": 256 * MIB,
        "memory.usage_in_bytes": 120 * MIB,
        "memory.stat": stat,
    }
    other = "34 32 0:30 /docker/ab {}/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
    membership = "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/docker/ab\n"
    proc = host(membership, other + mounts, {"memory": files})
    assert find_limit(42, proc) == MemoryLimit(256 * MIB, 100 * MIB, "control group")


def test_version_1_writes_a_large_number_for_none(host):
    mounts = "33 32 0:29 / {}/memory rw - cgroup cgroup rw,memory\n"
    files = {"memory.limit_in_bytes": 9223372036854771712, "memory.usage_in_bytes": 1}
    assert find_limit(42, host("4:memory:/a\n", mounts, {"memory/a": files})) == MACHINE


def test_old_kernel_does_not_tell_what_is_available(host):
    old = "MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 100 kB\nCached: 300 kB\n"
    proc = host("", "", {}, meminfo=old)
    assert find_limit(42, proc) == MemoryLimit(1000 << 10, 400 << 10, "machine")


def test_nothing_can_be_read(tmp_path):
    assert find_limit(42, tmp_path) is None


def test_this_process():
    limit = find_limit(os.getpid())
    assert 0 < limit.used_bytes < limit.limit_bytes
