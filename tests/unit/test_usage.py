"""What mappings take of memory, as the kernel writes it."""

from __future__ import annotations

from gdbleak.target.usage import Usage, parse_usage

SMAPS = """\
55d53ac77000-55d53ac79000 r--p 00000000 fe:00 71         /srv/Rss: 9 kB
Size:                  8 kB
Rss:                   8 kB
Pss:                   8 kB
Shared_Clean:          4 kB
Shared_Dirty:          1 kB
Private_Clean:         0 kB
Private_Dirty:         3 kB
Anonymous:             0 kB
ShmemPmdMapped:        0 kB
Swap:                 12 kB
SwapPss:              12 kB
VmFlags: rd mr mw me
7f8713c60000-7f8713c86000 rw-p 00000000 00:00 0
Rss:                   0 kB
VmFlags: rd wr mr mw me ac
"""


def test_usage():
    assert parse_usage(SMAPS) == {
        0x55D53AC77000: Usage(8 << 10, 4 << 10, 12 << 10),
        0x7F8713C60000: Usage(0, 0, 0),
    }


def test_nothing():
    assert parse_usage("") == {}
