"""A FUSE file system of one file, `file`, that can be opened, but whose bytes never come.

    python stalled.py FOLDER

It is mounted on FOLDER, and "ready" is said, or why it cannot be; "read" when somebody has begun to
wait. It ends with the input: who still waits gets an error. The protocol: linux/fuse.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
import threading

LOOKUP, FORGET, GETATTR, OPEN, READ, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 26, 36, 42
UNANSWERED = {READ, INTERRUPT, FORGET, BATCH_FORGET}
ENOENT, ENOSYS = 2, 38
ROOT, FILE = 1, 2
DIRECT_IO = 1
MNT_DETACH = 2
BUFFER_BYTES = 1 << 18
IN_HEADER = struct.Struct("<IIQQ16x")
OUT_HEADER = struct.Struct("<IiQ")


def attributes(node):
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o644, 4096)
    return struct.pack("<3Q24x12x2I3I2I", node, size, 8, mode, 1, 0, 0, 0, 4096, 0)


def answer(kind, node, body):
    """Return what a request is answered by: bytes, or a number of an error."""
    if kind == INIT:
        return struct.pack("<4I2HI40x", 7, 31, 0, 0, 0, 0, 4096)
    if kind == LOOKUP:
        found = struct.pack("<4Q8x", FILE, 0, 60, 60) + attributes(FILE)
        return found if body == b"file\0" else ENOENT
    if kind == GETATTR:
        return struct.pack("<Q8x", 60) + attributes(node)
    if kind == OPEN:
        return struct.pack("<QIi", 0, DIRECT_IO, 0)
    return ENOSYS


def serve(device):
    while True:
        request = os.read(device, BUFFER_BYTES)
        _, kind, unique, node = IN_HEADER.unpack_from(request)
        if kind == READ:
            print("read", flush=True)
        if kind not in UNANSWERED:
            found = answer(kind, node, request[IN_HEADER.size :])
            error, data = (0, found) if isinstance(found, bytes) else (-found, b"")
            os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(data), error, unique) + data)


def mount(folder):
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
    if libc.mount(b"stalled", os.fsencode(folder), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return device


def main(folder):
    try:
        device = mount(folder)
    except OSError as error:
        sys.exit(print(error.strerror))
    threading.Thread(target=serve, args=(device,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    libc.umount2(os.fsencode(folder), MNT_DETACH)
    os._exit(0)  # the other thread waits for a request that never comes


libc = ctypes.CDLL(None, use_errno=True)
main(sys.argv[1])
