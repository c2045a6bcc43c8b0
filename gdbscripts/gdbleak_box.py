"""The process that the standalone file records, on its own machine, and who watches over it.

Python 2.7 and 3.x, standard library only. `gdbleak agent --standalone` puts it into the file.
"""

import os
import select
import signal
import struct
import time

from gdbleak_recorder import PAGE

SETTLE_S = 2.0
RUN_ON_S = 1.0
SCRATCH_BYTES = 64
SIZES = "RssAnon", "RssFile", "RssShmem", "VmStk", "VmSwap"


class Process(object):
    """The process that GDB holds, as /proc and its memory show it."""

    def __init__(self, pid):
        self.pid = pid
        self.memory = os.open("/proc/%d/mem" % pid, os.O_RDWR)

    def read(self, address, size):
        try:
            os.lseek(self.memory, address, os.SEEK_SET)
            return os.read(self.memory, size)
        except (OSError, OverflowError):
            return b""

    def data(self, name):
        try:
            with open("/proc/%d/%s" % (self.pid, name), "rb") as file:
                return file.read()
        except EnvironmentError:  # it has ended
            return b""

    def text(self, name):
        return self.data(name).decode("utf-8", "replace")

    def status(self, field):
        """A field of /proc/PID/status, or None when the process has ended."""
        for line in self.text("status").splitlines():
            if line.startswith(field + ":"):
                return line.split(None, 2)[1]
        return None

    def lives(self):
        return self.status("State") not in (None, "Z", "X")

    def threads(self):
        """The ids of its threads; none when the process has ended."""
        try:
            return [int(name) for name in os.listdir("/proc/%d/task" % self.pid)]
        except OSError:
            return []

    def resident_set(self):
        pages = self.text("statm").split()
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else None

    def memory_status(self):
        """What kinds of memory it holds, in bytes, and its threads; empty when it has ended."""
        fields = dict(line.split(":", 1) for line in self.text("status").splitlines())
        found = {name: int(fields[name].split()[0]) << 10 for name in SIZES if name in fields}
        if fields:
            found["Threads"] = int(fields["Threads"])
        return found

    def modules(self):
        """The program and libraries, as a recording describes them."""
        spans, code, order = {}, set(), []
        for start, end, is_code, path in self.mappings():
            if path not in spans:
                order.append(path)
                spans[path] = [start, end]
            spans[path][1] = end
            if is_code:
                code.add(path)
        return [self.module(path, *spans[path]) for path in order if path in code]

    def mappings(self):
        """Start, end, whether it is code, and path of each mapping of a file."""
        found = []
        for line in self.text("maps").splitlines():
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[4] != "0":
                start, end = [int(address, 16) for address in fields[0].split("-")]
                found.append((start, end, "x" in fields[1], fields[5]))
        return found

    def code_gdb_writes_to(self, modules):
        """Address and bytes of what GDB writes to beside our breakpoints.

        In the dynamic linker it has breakpoints of its own, to learn of new libraries; at the
        entry point it steps over a breakpoint on a copy of the instruction. Source of the numbers:
        getauxval(3), AT_BASE and AT_ENTRY.
        """
        words = self.data("auxv")
        words = struct.unpack("<%dQ" % (len(words) // 8), words)
        vector = dict(zip(words[::2], words[1::2]))
        loaders = [m["path"] for m in modules if m["start"] == vector.get(7)]
        pages = [
            (page, PAGE)
            for start, end, is_code, path in self.mappings()
            if is_code and path in loaders
            for page in range(start, end, PAGE)
        ]
        pages.append((vector.get(9, 0), SCRATCH_BYTES))
        return [(address, self.read(address, size)) for address, size in pages]

    def module(self, path, start, end):
        bias, build_id = self.read_header(start)
        return {
            "path": path[: -len(" (deleted)")] if path.endswith(" (deleted)") else path,
            "start": start,
            "end": end,
            "bias": bias,
            "build_id": build_id,
            "file": None,
            "unreadable": "it was recorded on another machine",
        }

    def read_header(self, start):
        """Run-time minus link-time address, and build-id. Source: System V ABI, chapter 5."""
        header = self.read(start, 64)
        if header[:5] != b"\x7fELF\x02" or len(header) < 64:
            return start, None
        offset, size, count = struct.unpack("<Q14xHH", header[32:40] + header[40:58])
        bias, notes = start, []
        for place in range(min(count, 100)):
            entry = self.read(start + offset + place * size, 56)
            if len(entry) < 56:
                break
            kind, _, at, address, _, length = struct.unpack("<IIQQQQ", entry[:40])
            if kind == 1 and at == 0:
                bias = start - address
            elif kind == 4:
                notes.append((address, min(length, 4096)))
        for address, length in notes:
            found = find_build_id(self.read(bias + address, length))
            if found:
                return bias, found
        return bias, None


def find_build_id(data):
    """The NT_GNU_BUILD_ID among notes, in hexadecimal, or None."""
    while len(data) >= 12:
        name, size, kind = struct.unpack("<III", data[:12])
        begin = 12 + (name + 3 & ~3)
        if kind == 3 and data[12:16] == b"GNU\0":
            return "".join("%02x" % byte for byte in bytearray(data[begin : begin + size]))
        data = data[begin + (size + 3 & ~3) :]
    return None


def find_changed(process, code):
    """Those of some addresses and bytes where other bytes stand; not where there is no memory."""
    return [
        (address, data)
        for address, data in code
        if process.read(address, len(data)) not in (data, b"")
    ]


class Watchman(object):
    """A process that ends the window in time, and repairs the code should GDB die.

    No timer reaches a GDB that waits for its process; a signal to the process does. It is sent
    only as long as GDB traces it.
    """

    def __init__(self, process, code, duration_s):
        self.process = process
        self.gdb = os.getpid()
        self.code = code
        asked, self.ask = os.pipe()
        self.told, tell = os.pipe()
        if os.fork():
            os.close(asked)
            os.close(tell)
            return
        try:
            os.setpgid(0, 0)  # a Ctrl-C is not meant for it
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(self.ask)
            os.close(self.told)
            self.watch(asked, tell, duration_s)
        finally:
            os._exit(0)

    def watch(self, asked, tell, duration_s):
        if not select.select([asked], [], [], duration_s)[0] and self.is_traced_by_gdb():
            os.write(tell, b"s")
            os.kill(self.process.pid, signal.SIGSTOP)
        if os.read(asked, 1) == b"":
            self.repair()

    def is_traced_by_gdb(self):
        return self.process.status("TracerPid") == str(self.gdb)

    def repair(self):
        """Take out what a GDB has left that died, and continue what it has left stopped."""
        deadline = time.time() + SETTLE_S
        while self.is_traced_by_gdb() and time.time() < deadline:
            time.sleep(0.001)
        for address, data in find_changed(self.process, self.code):
            os.lseek(self.process.memory, address, os.SEEK_SET)
            os.write(self.process.memory, data)
        if self.process.status("State") == "T":
            os.kill(self.process.pid, signal.SIGCONT)

    def dismiss(self):
        """Send it away, and wait until it is gone; return whether it has ended the window."""
        try:
            os.write(self.ask, b"x")
        except OSError:  # it is gone
            return False
        said = os.read(self.told, 2)
        while os.read(self.told, 2):
            continue
        return bool(said)
