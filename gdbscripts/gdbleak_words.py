"""Words in the stacks of a thread: what it may return to. `gdbleak_visit.py` imports it.

Python 2.7 and 3.x, standard library only.
"""

import struct

WORD = struct.Struct("<Q")
# Where a signal frame holds rsp, from behind the return address: a field of ucontext_t.
SAVED = 160


class Words(object):
    """Numbers in some ranges, which are looked for in stacks."""

    def __init__(self, ranges, restorers):
        self.ranges = ranges
        self.restorers = [WORD.pack(address) for address in restorers]
        # Their upper six bytes are rare in any memory, and few.
        tops = {top for a, b in ranges for top in range(a >> 16, (b - 1 >> 16) + 1)}
        self.tops = [WORD.pack(top)[:6] for top in sorted(tops)]

    def are_in(self, data):
        for top in self.tops:
            for place in places_of(top, data, 2):
                word = WORD.unpack_from(data, place)[0]
                if any(start <= word < end for start, end in self.ranges):
                    return True
        return False

    def interrupted(self, data):
        """Yield the stack pointers of what signals have interrupted."""
        for restorer in self.restorers:
            for place in places_of(restorer, data, 0):
                at = place + len(restorer) + SAVED
                if at + 8 <= len(data):
                    yield WORD.unpack_from(data, at)[0]


def places_of(part, data, offset):
    """Yield the places of the words of some data that hold these bytes at an offset."""
    place = data.find(part)
    while place >= 0:
        if place & 7 == offset and place - offset + 8 <= len(data):
            yield place - offset
        place = data.find(part, place + 1)
