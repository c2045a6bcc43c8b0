"""What the kernel tells the tracer of a thread. `gdbleak_visit.py` imports it.

Python 2.7 and 3.x, standard library only. Sources: proc(5); `struct user_regs_struct` in sys/user.h
of x86-64; ptrace(2), of PTRACE_GETREGS, of PTRACE_SECCOMP_GET_FILTER (Linux 4.4 with
CONFIG_CHECKPOINT_RESTORE, for a tracer with CAP_SYS_ADMIN and without a filter of its own) and of
PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13).
"""

import binascii
import errno
import os
import struct

GET_REGISTERS, GET_FILTER, GET_RSEQ_CONFIGURATION = 12, 0x420C, 0x420F
INSTRUCTION_BYTES, MAX_INSTRUCTIONS, MAX_FILTERS = 8, 4096, 256
RSEQ_CONFIGURATION = struct.Struct("<Q4I")
REGISTERS = struct.Struct("<15Q32xQ")  # those of general purpose, from r15 to rdi, and rsp

# Before any process is held: that takes long. A build of Python may lack it.
try:
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    memory = ctypes.create_string_buffer(MAX_INSTRUCTIONS * INSTRUCTION_BYTES)
except Exception:
    call = None


def read_status(pid, thread=None):
    """Return the fields of /proc/PID/status, or of a thread; None when it has ended."""
    try:
        with open("/proc/%d/task/%d/status" % (pid, thread or pid)) as file:
            fields = (line.partition(":") for line in file)
            return {name: value.strip() for name, _, value in fields}
    except (IOError, OSError):
        return None


def ptrace(request, thread, address):
    """Return the result of a request that writes into memory of ours, and that memory.

    Raises OSError if the kernel refuses it, or without ctypes.
    """
    if not call:
        raise OSError(errno.ENOSYS, "this gdb has a Python without ctypes")
    result = call(request, thread, address, memory)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result, memory


def read_registers(thread):
    """Return the general registers of a halted thread, in no order. Raises as `ptrace` does."""
    _, answer = ptrace(GET_REGISTERS, thread, 0)
    return list(REGISTERS.unpack_from(answer))


def read_rseq(thread):
    """Return where a thread keeps its `struct rseq`; 0 without one. Raises as `ptrace` does."""
    result, answer = ptrace(GET_RSEQ_CONFIGURATION, thread, RSEQ_CONFIGURATION.size)
    if result != RSEQ_CONFIGURATION.size:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return RSEQ_CONFIGURATION.unpack_from(answer)[0]


def tell_filters(pid, threads):
    """Return the seccomp filters of halted threads as [programs, threads, unread].

    `programs` holds each once, `threads` [id, numbers of its programs] of each thread, and `unread`
    why those of others could not be read, or None.
    """
    programs, known, unread = [], [], None
    for thread in threads:
        try:
            filters = read_filters(pid, thread)
        except Exception as error:  # whatever it is: the thread is one that is not known
            unread = getattr(error, "strerror", None) or str(error)
            continue
        for program in filters:
            if program not in programs:
                programs.append(program)
        known.append([thread, [programs.index(each) for each in filters]])
    return [programs, known, unread]


def read_filters(pid, thread):
    """Return the seccomp filters of a halted thread in hexadecimal, the oldest first.

    More may be added later; none ever changes or goes. Raises as `ptrace` does.
    """
    status = read_status(pid, thread)
    if status is None:
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    filters = []
    while status.get("Seccomp", "0") != "0":
        try:
            length, program = ptrace(GET_FILTER, thread, len(filters))
        except OSError as error:
            if error.errno == errno.ENOENT and filters:
                break
            raise
        if length > MAX_INSTRUCTIONS or len(filters) == MAX_FILTERS:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        filters.append(binascii.hexlify(program[: length * INSTRUCTION_BYTES]).decode("ascii"))
    return filters
