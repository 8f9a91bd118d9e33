"""The test's side of the interposition library: the control page and the journal's file.

    with Faults(folder) as faults:
        run a program with faults.environment() ...
        faults.arm("write", errno.ENOSPC, after=7)
"""

import errno
import mmap
import os
import pathlib
import struct
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import build_folder  # noqa: E402

MAGIC = 0x5EA1FA17
KINDS = ("write", "sync", "open", "truncate", "name", "descriptor")  # enum call_kind
SHORT = 0  # as an error: the write is cut short instead
KILL = -1  # the process that makes the call dies before it

# struct control, by offset
IS_CUT, KIND, ERROR, COUNTDOWN, IS_LASTING, GIVEN, CLOCK, CALLS, FOLDER = (
    4, 8, 12, 16, 24, 28, 32, 40, 104)
PAGE = 4096
OFF = 1 << 40  # added to the journal's tail when the power goes


def library():
    return build_folder() / "tests" / "faults" / "interpose.so"


class Faults:
    def __init__(self, folder, journal_size=0):
        """journal_size: bytes of the record for power cuts; 0: none is kept."""
        self.folder = os.path.realpath(folder)
        base = os.environ.get("SEALPOST_TMPFS", "/dev/shm")
        base = base if os.access(base, os.W_OK) else None
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-faults-", dir=base))
        self.page = self._map("control", PAGE)
        struct.pack_into("<I", self.page, 0, MAGIC)
        name = os.fsencode(self.folder)
        self.page[FOLDER:FOLDER + len(name) + 1] = name + b"\0"
        self.journal_size = journal_size
        self.journal = None
        if journal_size:
            self.new_journal()

    def _map(self, name, size):
        with open(self.place / name, "w+b") as file:
            file.truncate(size)
            return mmap.mmap(file.fileno(), size)

    def new_journal(self):
        """An empty record; only while no program uses the old one."""
        if self.journal is not None:
            self.journal.close()
            os.unlink(self.place / "journal")
        self.journal = self._map("journal", self.journal_size)
        struct.pack_into("<QQ", self.journal, 0, 64, self.journal_size)
        struct.pack_into("<I", self.page, IS_CUT, 0)

    def environment(self):
        result = {"SEALPOST_FAULTS_CONTROL": str(self.place / "control")}
        if self.journal is not None:
            result["SEALPOST_FAULTS_JOURNAL"] = str(self.place / "journal")
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()
        if self.journal is not None:
            self.journal.close()
        for name in os.listdir(self.place):
            os.unlink(self.place / name)
        os.rmdir(self.place)

    # ---- failing calls ----

    def arm(self, kind, error, after=1, lasting=False):
        """The `after`-th call of the kind from now fails, and with `lasting` all behind it."""
        self.disarm()
        struct.pack_into("<I", self.page, IS_LASTING, 1 if lasting else 0)
        struct.pack_into("<I", self.page, KIND, KINDS.index(kind))
        struct.pack_into("<i", self.page, ERROR, error)
        struct.pack_into("<I", self.page, GIVEN, 0)
        struct.pack_into("<q", self.page, COUNTDOWN, after)

    def disarm(self):
        struct.pack_into("<q", self.page, COUNTDOWN, 0)

    def given(self):
        """How many calls failed since it was armed."""
        return struct.unpack_from("<I", self.page, GIVEN)[0]

    def calls(self, kind):
        return struct.unpack_from("<Q", self.page, CALLS + 8 * KINDS.index(kind))[0]

    # ---- clock and power ----

    def set_clock(self, seconds):
        """How far the wall clock is off."""
        struct.pack_into("<q", self.page, CLOCK, int(seconds * 1e9))

    def cut_power(self):
        """From now on no change reaches the record, and no call that changes anything returns.

        The caller then kills the processes. Gives the record as bytes.
        """
        struct.pack_into("<I", self.page, IS_CUT, 1)
        # Whoever was between taking his space and filling it is given the time to finish; what he
        # does not finish was never reported to anybody.
        time.sleep(0.02)
        tail = struct.unpack_from("<Q", self.journal, 0)[0]
        struct.pack_into("<Q", self.journal, 0, tail + OFF)
        time.sleep(0.02)
        return bytes(self.journal[:min(tail, self.journal_size)])

    def record(self):
        """The record so far, with nothing cut: for programs that have ended."""
        tail = struct.unpack_from("<Q", self.journal, 0)[0]
        return bytes(self.journal[:min(tail, self.journal_size)])


ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EMFILE": errno.EMFILE, "short": SHORT}
