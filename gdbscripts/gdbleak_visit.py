"""The part of the inline probe that runs inside GDB: one short visit to a process.

Python 2.7 and 3.x, standard library only. It never raises, prints or decides: what a visit consists
of stands in its plan, and what became of it is one line of JSON.

`gdbleak-visit FILE` attaches, does the steps of the plan in their order up to the first that fails,
and detaches. The process never runs in between. FILE is a plan in JSON:
    pid     the process
    steps   a list of {do, ...}:
        expect     {address, hex, except}: these bytes stand there, but for the bytes in a range
        unmapped   {start, end}: nothing is mapped there
        absent     {pcs, words, restorers}: no thread stands in one of the ranges of `pcs`, and no
                   word of a thread's stack is a number in one of the ranges of `words`; what a
                   signal has interrupted is found by the return address of its handler, one of
                   `restorers`
        registers  {}: the outcome shall tell where every thread stands
        contents   {}: the outcome shall tell what is in the general registers of every thread
        move       {to}: threads that stand at the first address of a pair go on at the second
        write      {address, hex}: these bytes, in one piece
        filters    {threads}: the outcome shall tell the seccomp filters of these threads, as
                   `tell_filters` does
        hijack     {routine, resume, filters}: a thread goes on at `routine`, and finds at `resume`
                   where it would have gone on, and behind that where it would have repeated a
                   system call; it is one of those in `filters`, and has no others than these

The outcome: {tracer, done, failed, why, where, pause_ns, threads, contents, filters, hijacked}.
`done` counts the steps that were done; `failed` is what failed, "attach" and "detach" beside the
steps, or null; `where` tells in which thread; `threads` holds [id, rip, rsp, orig_rax, fs_base] of
each, and `contents` [id, numbers] of those that the kernel has told.
"""

import bisect
import json
import os
import signal
import struct
import sys
import time

import gdb

# GDB does not look for modules where its scripts are.
sys.path.insert(0, os.path.dirname(__file__))
from gdbleak_kernel import read_filters, read_registers, read_rseq, read_status, tell_filters
from gdbleak_words import WORD, Words

del sys.path[0]

# Python 2.7 has no monotonic clock.
clock = getattr(time, "monotonic", time.time)

SYSCALL = b"\x0f\x05"
RED_ZONE, STACK_BYTES = 128, 1 << 18
# So many stacks of a thread are looked at: its own, and those that signals have interrupted.
FRAMES = 4
# They do not come back to where they were called: rt_sigreturn, execve, exit, exit_group, execveat.
ONE_WAY = (15, 59, 60, 231, 322)
# The signals, 32 and 33, by which glibc and musl cancel a thread: as a mask of /proc/PID/status.
CANCELLING = 3 << 31


class StepError(Exception):
    """A step could not be done; `where` is the thread that it failed at."""

    def __init__(self, why, where=None):
        Exception.__init__(self, why)
        self.where = where


class Thread(object):
    """A halted thread, and its registers as the kernel has them."""

    def __init__(self, pid, thread):
        self.id = thread.ptid[1]
        self.thread = thread
        try:  # a hundred times faster than to have GDB read them
            with open("/proc/%d/task/%d/syscall" % (pid, self.id)) as file:
                words = file.read().split()
            self.call = int(words[0])
            self.rsp, self.rip = (int(word, 16) for word in words[-2:])
        except (IOError, OSError, ValueError, IndexError):
            self.call = self.read("$orig_rax", "long")
            self.rsp, self.rip = self.read("$rsp"), self.read("$rip")

    def read(self, name, kind="unsigned long"):
        self.thread.switch()
        return int(gdb.parse_and_eval("(%s)%s" % (kind, name)))

    def read_fs_base(self):
        try:
            return self.read("$fs_base")
        except gdb.error:  # this GDB does not know it
            return None

    def go_to(self, address):
        # Not by `jump`: it would have the kernel forget the system call that it has to repeat.
        self.thread.switch()
        gdb.execute("set var $rip = 0x%x" % address, to_string=True)
        self.rip = address
        if self.read("$rip") != address:
            raise StepError("a thread could not be moved", self.id)


class Visit(object):
    """A process that is held, as long as it takes."""

    def __init__(self, plan):
        self.pid, self.steps = plan["pid"], plan["steps"]
        self.memory = self.mappings = None
        self.threads = []
        self.attached = False
        names = "failed", "why", "where", "threads", "contents", "filters", "hijacked"
        self.outcome = dict.fromkeys(names)
        self.outcome.update(tracer=os.getpid(), done=0, pause_ns=0)

    def run(self):
        began = clock()
        try:
            for part in (self.do_steps, self.leave):
                try:
                    part()
                except BaseException as error:
                    self.fail(error)
        finally:
            self.outcome["pause_ns"] = int((clock() - began) * 1e9)
        return self.outcome

    def fail(self, error):
        known = isinstance(error, (StepError, gdb.error))
        why = str(error) if known else "%s: %s" % (type(error).__name__, error)
        self.outcome.update(failed=self.step, why=why, where=getattr(error, "where", None))

    def do_steps(self):
        self.step = "attach"
        self.attach()
        for step in self.steps:
            self.step = step["do"]
            getattr(self, "do_" + step["do"])(step)
            self.outcome["done"] += 1

    def attach(self):
        status = read_status(self.pid)
        if status is None or status["State"][:1] in "ZX":
            raise StepError("it has ended")
        if status["TracerPid"] != "0":
            raise StepError("process %s traces it" % status["TracerPid"])
        self.attached = True
        gdb.execute("attach %d" % self.pid, to_string=True)
        known = {thread.ptid[1]: thread for thread in gdb.selected_inferior().threads()}
        for name in os.listdir("/proc/%d/task" % self.pid):
            if int(name) not in known:
                raise StepError("gdb does not hold every thread", int(name))
            with open("/proc/%d/task/%s/stat" % (self.pid, name)) as file:
                if file.read().rpartition(")")[2].split()[0] not in "tT":
                    raise StepError("a thread is not halted", int(name))
        # Opened by the tracer: some kernels let nobody else write into code.
        self.memory = os.open("/proc/%d/mem" % self.pid, os.O_RDWR)
        self.threads = [Thread(self.pid, thread) for thread in known.values()]

    def leave(self):
        self.step = "detach"
        if self.memory is not None:
            os.close(self.memory)
        if self.attached and gdb.selected_inferior().pid:
            gdb.execute("detach", to_string=True)

    def read(self, address, size):
        try:
            os.lseek(self.memory, address, os.SEEK_SET)
            return os.read(self.memory, size)
        except (OSError, OverflowError):  # nothing is mapped there
            return b""

    def put(self, address, data):
        try:
            os.lseek(self.memory, address, os.SEEK_SET)
            os.write(self.memory, data)
        except OSError:
            gdb.selected_inferior().write_memory(address, data)
        if self.read(address, len(data)) != data:
            raise StepError("0x%x cannot be written to" % address)

    def do_expect(self, step):
        expected = from_hex(step["hex"])
        found = self.read(step["address"], len(expected))
        start, end = step.get("except") or (0, 0)
        if (found[:start], found[end:]) != (expected[:start], expected[end:]):
            raise StepError("other bytes stand at 0x%x" % step["address"])

    def do_unmapped(self, step):
        for start, end in self.read_mappings():
            if start < step["end"] and end > step["start"]:
                raise StepError("there is memory at 0x%x" % start)

    def do_absent(self, step):
        words = Words(step["words"], step["restorers"])
        for thread in self.threads:
            if any(start <= thread.rip < end for start, end in step["pcs"]):
                raise StepError("a thread is there", thread.id)
            stack_pointer, seen = thread.rsp, []
            while stack_pointer is not None:
                place = max(stack_pointer - RED_ZONE, 0) & ~7
                data = self.read_stack(place)
                if words.are_in(data):
                    raise StepError("a thread will be there", thread.id)
                seen.append((place, place + len(data)))
                others = words.interrupted(data) if len(seen) < FRAMES else []
                # A handler may run on a stack of its own; what it has interrupted is on another.
                outside = (at for at in others if not any(a <= at < b for a, b in seen))
                stack_pointer = next(outside, None)

    def do_registers(self, step):
        self.outcome["threads"] = [
            [thread.id, thread.rip, thread.rsp, thread.call, thread.read_fs_base()]
            for thread in self.threads
        ]

    def do_contents(self, step):
        contents = self.outcome["contents"] = []
        for thread in self.threads:
            try:
                contents.append([thread.id, read_registers(thread.id)])
            except Exception:  # this GDB cannot tell, and nothing depends on it
                break

    def do_move(self, step):
        places = dict(step["to"])
        for thread in self.threads:
            if thread.rip in places:
                thread.go_to(places[thread.rip])

    def do_write(self, step):
        self.put(step["address"], from_hex(step["hex"]))

    def do_filters(self, step):
        ids = [thread.id for thread in self.threads if thread.id in step["threads"]]
        self.outcome["filters"] = tell_filters(self.pid, ids)

    def do_hijack(self, step):
        able = dict(step["filters"]["threads"])
        thread = self.choose([thread for thread in self.threads if thread.id in able])
        known = [step["filters"]["programs"][number] for number in able[thread.id]]
        if read_filters(self.pid, thread.id) != known:
            raise StepError("it has other seccomp filters by now", thread.id)
        self.put(step["resume"], WORD.pack(thread.rip) + WORD.pack(thread.rip - len(SYSCALL)))
        self.outcome["hijacked"] = thread.id
        thread.go_to(step["routine"])

    def choose(self, able):
        """Return a thread that can run something else now: the main one, if it can.

        Others may be cancelled meanwhile (pthread_cancel). One that waits in a system call would
        unwind its stack then from within the routine, which no unwinder gets out of: destructors
        would be left out. One that runs is cancelled later, in its own code. The main thread is
        hardly ever cancelled.
        """
        able.sort(key=lambda thread: thread.id != self.pid)
        cancels = self.cancels()
        lasting = [thread for thread in able if thread.id == self.pid or not cancels]
        for threads, can in ((lasting, self.waits), (able, self.runs), (able, self.waits)):
            for thread in threads:
                if can(thread):
                    return thread
        raise StepError("no thread can run anything else now")

    def cancels(self):
        """Whether threads of the process may be cancelled: it has a handler of that signal."""
        return int(read_status(self.pid)["SigCgt"], 16) & CANCELLING

    def waits(self, thread):
        """Whether it is in a system call that comes back, and is not about to be cancelled."""
        if thread.call < 0 or thread.call in ONE_WAY or not self.is_syscall(thread.rip - 2):
            return False
        return not int(read_status(self.pid, thread.id)["SigPnd"], 16) & CANCELLING

    def runs(self, thread):
        """Whether a thread runs its own code, and no part that the kernel would begin again."""
        return thread.call < 0 and self.is_outside_rseq(thread)

    def is_syscall(self, address):
        return self.read(address, len(SYSCALL)) == SYSCALL

    def is_outside_rseq(self, thread):
        """Whether a thread certainly is in no restartable sequence. Source: rseq(2)."""
        release = os.uname()[2].split("-")[0].split(".")
        if tuple(map(int, release[:2])) < (4, 18):  # it has none
            return True
        try:
            place = read_rseq(thread.id)
        except Exception:  # it cannot be told
            return False
        if not place:
            return True
        section = WORD.unpack(self.read(place + 8, 8))[0]
        if not section:
            return True
        start, length = struct.unpack("<8x2Q", self.read(section, 24))
        return not start <= thread.rip < start + length

    def read_stack(self, address):
        """Return a stack from an address on, up to the end of its mapping; b"" without one."""
        mappings = self.read_mappings()
        for place in (address, address + RED_ZONE + 8):  # the red zone may begin below the mapping
            start, end = mappings[max(bisect.bisect(mappings, (place, 1 << 64)) - 1, 0)]
            if start <= place < end:
                address = max(address, start)
                return self.read(address, min(end - address, STACK_BYTES))
        return b""

    def read_mappings(self):
        if self.mappings is None:
            with open("/proc/%d/maps" % self.pid, "rb") as file:
                ends = (line.split(None, 1)[0].split(b"-") for line in file)
                self.mappings = [(int(start, 16), int(end, 16)) for start, end in ends]
        return self.mappings


def from_hex(text):
    return bytes(bytearray.fromhex(text))


class Command(gdb.Command):
    """gdbleak-visit FILE: visit a process, and print the outcome."""

    def __init__(self):
        gdb.Command.__init__(self, "gdbleak-visit", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        with open(argument) as file:
            plan = json.load(file)
        gdb.write(json.dumps(Visit(plan).run()) + "\n")


def main():
    # None of these may end GDB while it holds a process: see gdbleak_agent.py.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXCPU, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    Command()


main()
