"""What the agent does at a breakpoint: reads registers and raw stack, and appends a frame.

Python 2.7 and 3.x, standard library only. It never raises, prints or decides in a hit; what goes
wrong is counted, and told when the controller asks. The format of a frame stands in
gdbleak/recording/events.py, and what a plan has for each probe in gdbleak_agent.py.

Where only blocks of some sizes are recorded, a probe has the smallest and the largest as
`kept_sizes`. Where it stands with a `size_offset`, or where a block is stored, the word before the
block tells its size; a hit of another one is not written, or, where the call was written, without
its stack. Elsewhere whoever reads the recording chooses.
"""

import os
import struct
import time

import gdb

PHASE, HIT = 2, 3
ALL, NONE = 0, 3
FRAME = struct.Struct("<BBHI")
PAGE = 4096
FLAGS = 7
SIZE_OFFSET = -8

# Python 2.7 has no monotonic clock.
clock = getattr(time, "monotonic", time.time)


def now_ns():
    return int(clock() * 1e9)


class Code(object):
    """The code of the target, where it holds breakpoints."""

    def __init__(self, plan):
        self.probes = plan["probes"]
        self.trap = bytes(bytearray.fromhex(plan["breakpoint"]))
        self.sentinel = plan["sentinel"]
        self.memory = None

    def wanted(self, phase):
        """Return the ids of the probes whose breakpoints are in, in a phase."""
        return {probe["id"] for probe in self.probes if phase in probe["phases"]}

    def has_breakpoints(self):
        """Whether GDB has put its breakpoints in, and not taken them out for a child of vfork."""
        if self.sentinel is None:
            return True
        os.lseek(self.memory, self.probes[self.sentinel]["address"], os.SEEK_SET)
        return os.read(self.memory, len(self.trap)) == self.trap

    def put(self, wanted):
        """Write the breakpoints of some probes in, and those of all others over."""
        for probe in self.probes:
            if probe["id"] != self.sentinel:
                original = bytearray.fromhex(probe["original"])
                os.lseek(self.memory, probe["address"], os.SEEK_SET)
                os.write(self.memory, self.trap if probe["id"] in wanted else original)


class Recorder(object):
    """The open recording, and the counts the controller asks for."""

    def __init__(self, path, stack_bytes, code):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self.stack_bytes = stack_bytes
        self.code = code
        self.filters = any(probe.get("kept_sizes") for probe in code.probes)
        self.inferior = None
        self.phase = ALL
        self.turn_error = None
        self.outs = {}
        self.entered = {}
        self.skipped = 0
        self.stops = 0
        self.lost = 0
        self.write_error = None
        self.last_error = None
        self.attach_pause_ns = None
        self.longest_stop_ns = 0

    def close(self):
        os.close(self.file)
        if self.code.memory is not None:
            os.close(self.code.memory)

    def append(self, kind, probe, payload):
        """Append a frame. After a failed or partial write nothing more is written: what followed
        half a frame could not be read."""
        frame = FRAME.pack(kind, 0, probe, len(payload)) + payload
        if self.write_error is None:
            try:
                if os.write(self.file, frame) == len(frame):
                    return
                self.write_error = "no space left"
            except OSError as error:
                self.write_error = error.strerror
        self.lost += 1

    def read_stack(self, stack_pointer):
        """Return raw stack from `stack_pointer` upwards, less where the stack's mapping ends."""
        size = self.stack_bytes
        if not self.can_read(stack_pointer + size - 1):
            # It ends between these two pages; halve what is between them.
            page, beyond = stack_pointer // PAGE, (stack_pointer + size - 1) // PAGE
            while beyond - page > 1:
                middle = (page + beyond) // 2
                if self.can_read(middle * PAGE):
                    page = middle
                else:
                    beyond = middle
            size = beyond * PAGE - stack_pointer if self.can_read(stack_pointer) else 0
        return bytes(self.inferior.read_memory(stack_pointer, size)) if size > 0 else b""

    def can_read(self, address):
        try:
            return bool(self.inferior.read_memory(address, 1))
        except gdb.MemoryError:
            return False

    def turn(self, phase):
        """Have the breakpoints of a phase in, and no others, while the target runs.

        The phase holds from when all of them are in until the first is taken out. There is no turn
        while GDB has taken them out.
        """
        before, after = self.code.wanted(self.phase), self.code.wanted(phase)
        if after and not self.code.has_breakpoints():
            return
        if not after >= before:
            self.mark(phase if after <= before else NONE)
        self.code.put(after)
        if after != before:
            self.entered.clear()
        if phase != self.phase and not after < before:
            self.mark(phase)
        self.phase = phase

    def mark(self, phase):
        self.append(PHASE, phase, struct.pack("<Q", now_ns()))

    def status(self):
        return {
            "now_ns": now_ns(),
            "phase": self.phase,
            "armed": self.code.has_breakpoints(),
            "turn_error": self.turn_error,
            "stops": self.stops,
            "lost": self.lost,
            "write_error": self.write_error,
            "last_error": self.last_error,
            "attach_pause_ns": self.attach_pause_ns,
            "longest_stop_ns": self.longest_stop_ns,
            "skipped": self.skipped,
        }


class Probe(gdb.Breakpoint):
    """A breakpoint of the plan."""

    def __init__(self, recorder, plan):
        # An internal breakpoint sends no notification for each hit.
        gdb.Breakpoint.__init__(self, "*0x%x" % plan["address"], internal=True)
        self.recorder = recorder
        self.probe = plan["id"]
        self.phases = plan["phases"]
        self.returns = plan["role"] == "return"
        self.size_offset = plan.get("size_offset")
        self.kept_sizes = plan.get("kept_sizes")
        self.chooses = self.kept_sizes is not None and self.size_offset is not None
        # A call that takes a block, or the place for one, and a size; it is written in any case.
        self.resizes = plan["role"] == "entry" and len(plan["registers"]) > 2
        self.words = self.returns if self.size_offset is None else plan.get("size_words", 1)
        self.expressions = ["(unsigned long)$" + name for name in plan["registers"]]
        self.out = plan["out_register"] and "(unsigned long)$" + plan["out_register"]
        self.pack = struct.Struct("<%dQ" % (2 + len(self.expressions) + self.words)).pack

    def stop(self):
        recorder = self.recorder
        began = now_ns()
        recorder.stops += 1
        try:
            if recorder.phase in self.phases:
                self.record(began)
            else:  # after a vfork, GDB puts in again what it had put in first
                recorder.code.put(recorder.code.wanted(recorder.phase))
        except BaseException as error:  # GDB leaves the target stopped when this escapes
            recorder.lost += 1
            recorder.last_error = "%s: %s" % (type(error).__name__, error)
        recorder.longest_stop_ns = max(recorder.longest_stop_ns, now_ns() - began)
        return False

    def record(self, time_ns):
        recorder = self.recorder
        read = gdb.parse_and_eval
        if self.chooses and not recorder.entered:  # most stops are of no interest, and end here
            block = int(read(self.expressions[1]))
            if not self.keeps(self.read_words(block and block + self.size_offset)[0]):
                recorder.skipped += 1
                return
        thread = gdb.selected_thread().ptid[1]
        values = [int(read(expression)) for expression in self.expressions]
        stack_pointer = values[0]
        is_kept = True
        if self.size_offset is not None:
            values += self.read_words(values[1] and values[1] + self.size_offset)
            is_kept = self.keeps(values[len(self.expressions)])
        elif self.returns:
            block = self.stored(thread, stack_pointer)
            is_kept = not block or self.keeps(self.read_words(block + SIZE_OFFSET)[0])
            values.append(block if is_kept else 0)
        elif self.out:
            recorder.outs[thread] = (stack_pointer, int(read(self.out)))
        if recorder.filters and not self.matters(thread, stack_pointer, is_kept):
            recorder.skipped += 1
            return
        stack = recorder.read_stack(stack_pointer) if self.returns and is_kept else b""
        recorder.append(HIT, self.probe, self.pack(time_ns, thread, *values) + stack)

    def matters(self, thread, stack_pointer, is_kept):
        """Whether a hit is written: of a call whose beginning was, the end is as well."""
        entered = self.recorder.entered
        outermost = entered.get(thread, 0)
        if self.returns and outermost == stack_pointer:
            del entered[thread]
            return True
        if self.resizes and outermost < stack_pointer:
            entered[thread] = stack_pointer
        return is_kept

    def keeps(self, word):
        """Whether blocks are recorded that have this word before them."""
        if self.kept_sizes is None:
            return True
        return self.kept_sizes[0] <= word & ~FLAGS <= self.kept_sizes[1]

    def stored(self, thread, stack_pointer):
        """What the call that returns here has stored where its argument pointed, or 0."""
        entered, address = self.recorder.outs.get(thread, (None, None))
        if entered != stack_pointer:
            return 0
        del self.recorder.outs[thread]
        return self.read_words(address)[0]

    def read_words(self, address):
        nothing = (0,) * self.words
        if not address:
            return nothing
        try:
            memory = self.recorder.inferior.read_memory(address, 8 * self.words)
            return struct.unpack("<%dQ" % self.words, bytes(memory))
        except gdb.MemoryError:
            return nothing  # a call that fails need not have been given a place
