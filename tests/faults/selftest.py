#!/usr/bin/python3
"""The fault library itself: a check that cannot fail is none.

A program that commits with synchronous=OFF must be seen to lose rows in a power cut, one with FULL
must lose none, and every kind of failing call must arrive.
"""

import errno
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from faults.faults import Faults, SHORT, library  # noqa: E402
from faults.powercut import Disk  # noqa: E402
from lib.server import build_folder  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
SAMPLE = build_folder() / "tests" / "faults" / "faults_sample"


def start(folder, faults, level, rows):
    return subprocess.Popen([SAMPLE, folder, level, str(rows)], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, process_group=0,
                            env={**os.environ, **faults.environment(),
                                 "LD_PRELOAD": str(library())})


def cut_rounds(level, rounds, seed):
    """Rows lost of those acknowledged, and databases that did not pass."""
    lost = acknowledged = damaged = 0
    for number in range(rounds):
        chance = random.Random(f"{seed} {number}")
        folder = tempfile.mkdtemp(prefix="sealpost-cut-")
        with Faults(folder, journal_size=256 << 20) as faults:
            disk = Disk(folder)
            process = start(folder, faults, level, 100000)
            time.sleep(chance.uniform(0.05, 0.4))
            record = faults.cut_power()
            os.killpg(process.pid, 9)
            lines = process.communicate()[0].split("\n")[:-1]
            process.wait()
            disk.replay(record).cut(chance, folder)
            for which in ("0", "1"):
                seen = max((int(line.split()[1]) for line in lines if line.startswith(which)),
                           default=0)
                acknowledged += seen
                path = os.path.join(folder, which + ".sqlite")
                try:
                    database = sqlite3.connect(path)
                    there = database.execute("SELECT max(n) FROM t").fetchone()[0] or 0
                    if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                        damaged += 1
                    database.close()
                except sqlite3.DatabaseError as error:
                    there = 0
                    if "no such table" not in str(error):
                        damaged += 1
                lost += max(0, seen - there)
        shutil.rmtree(folder, ignore_errors=True)
    return acknowledged, lost, damaged


@suite.case
def everything_is_recorded():
    folder = tempfile.mkdtemp(prefix="sealpost-cut-")
    with Faults(folder, journal_size=256 << 20) as faults:
        disk = Disk(folder)
        process = start(folder, faults, "FULL", 300)
        words = process.communicate()[1]
        check(process.returncode == 0, words)
        differences = disk.replay(faults.record()).differences(folder)
        check(not differences, differences)
        check(faults.calls("sync") >= 600, f"only {faults.calls('sync')} syncs")
    shutil.rmtree(folder)


@suite.case
def a_cut_loses_what_was_not_synced():
    acknowledged, lost, damaged = cut_rounds("OFF", 6, suite.options.seed)
    check(lost > 0, f"{acknowledged} commits with synchronous=OFF, none lost: nothing was cut")
    return f"{acknowledged} commits with synchronous=OFF, {lost} lost, {damaged} files damaged"


@suite.case
def a_cut_keeps_what_was_synced():
    acknowledged, lost, damaged = cut_rounds("FULL", 60 if suite.options.long else 12,
                                             suite.options.seed)
    check(acknowledged > 0, "no commit was made")
    check(lost == 0 and damaged == 0,
          f"{acknowledged} commits with synchronous=FULL, {lost} lost, {damaged} damaged")
    return f"{acknowledged} commits with synchronous=FULL, none lost"


def fails_with(kind, error, lasting, words):
    folder = tempfile.mkdtemp(prefix="sealpost-calls-")
    with Faults(folder) as faults:
        # SQLite overlooks a failed sync of the folder and one at a file's end, and of two processes
        # those may be anywhere: so with a sync all that follow have to fail, too.
        faults.arm(kind, error, after={"open": 2, "sync": 20}.get(kind, 5), lasting=lasting)
        process = start(folder, faults, "FULL", 50)
        said = process.communicate()[1]
        check(faults.given() >= 1, "no call was made to fail")
        if words is None:
            check(process.returncode == 0, said)
        else:
            check(words in said, said)
    shutil.rmtree(folder)


@suite.case
def failing_calls_arrive():
    fails_with("write", errno.ENOSPC, True, "disk is full")
    fails_with("write", errno.EIO, False, "disk I/O error")
    fails_with("sync", errno.EIO, True, "disk I/O error")
    fails_with("open", errno.EMFILE, True, "unable to open")


@suite.case
def short_writes_are_continued():
    fails_with("write", SHORT, True, None)


if __name__ == "__main__":
    suite.parse()
    suite.run()
