#!/usr/bin/python3
"""Power cuts: what was not synced is lost, in part or in any order, and all acknowledged mail is there.

The service runs under the interposition library; a cut freezes its record, the processes are
killed, and the folder is replaced by one of the states the strict reading of POSIX allows
(faults/powercut.py).
"""

import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import Load, check_files  # noqa: E402
from faults.faults import Faults, library  # noqa: E402
from faults.powercut import Disk  # noqa: E402
from lib.server import Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
JOURNAL = 1 << 30


def recorded(server, faults):
    """The service, its changes recorded from here on."""
    server.preload = [library()]
    server.environment.update(faults.environment())
    faults.new_journal()
    disk = Disk(server.data)
    server.start()
    return disk


@suite.case
def every_change_is_recorded(server):
    """Otherwise the cuts below would prove nothing."""
    alias = server.add_alias("recorded@cut.test")
    server.stop()
    with Faults(server.data, journal_size=JOURNAL) as faults:
        disk = recorded(server, faults)
        load = Load(server, [alias], [server.add_alias("away@cut.test")], suite.options.seed)
        load.start()
        time.sleep(2)
        load.stop()
        server.stop()
        differences = disk.replay(faults.record()).differences(server.data)
        check(not differences, "; ".join(differences[:8]))
        syncs = faults.calls("sync")
    return f"{load.ledger.summary()}, {syncs} syncs"


@suite.case
def cuts(server):
    rounds = 100 if suite.options.long else 12
    chance = random.Random(suite.options.seed)
    if server.process is None:
        server.preload, server.environment = [], {}
        server.start()
    present = [server.add_alias(f"present{n}@cut.test") for n in range(2)]
    absent = [server.add_alias(f"absent{n}@cut.test") for n in range(2)]
    server.stop()
    load = Load(server, present, absent, suite.options.seed, sizes=(200, 3000, 30000))
    keep = server.folder / "kept"
    with Faults(server.data, journal_size=JOURNAL) as faults:
        for number in range(rounds):
            disk = recorded(server, faults)
            load.start()
            time.sleep(chance.uniform(0.2, 1.5))
            record = faults.cut_power()
            server.kill_all()
            load.stop()
            disk.replay(record)
            check(not disk.unseen, "; ".join(disk.unseen[:8]))
            if server.keep:  # to look at, should it fail
                shutil.rmtree(keep, ignore_errors=True)
                shutil.copytree(server.data, keep)
            disk.cut(random.Random(f"{suite.options.seed} {number}"), server.data)
            # The next start is without the library: its own changes are not to be lost.
            server.preload, server.environment = [], {}
            server.start()
            try:
                load.verify(remove=chance.random() < 0.3)
            except AssertionError as error:
                raise AssertionError(f"after cut {number}: {error}") from None
            server.stop()
            if number % 10 == 9 or number == rounds - 1:
                check_files(server, present + absent)
    server.start()
    load.verify()
    return f"{rounds} cuts, {load.ledger.summary()}"


def back_up(server, aliases, stopping, made):
    """One after the other, while the power is there."""
    while not stopping.is_set():
        for alias in aliases:
            done = subprocess.run([program(), "backup", "now", alias.address, "--password-file", "-", "--config",
                                   str(server.conf)], input=alias.password + "\n",
                                  capture_output=True, text=True, timeout=60)
            made[0] += done.returncode == 0
            if stopping.is_set():
                return


@suite.case
def cuts_while_backups_are_made(server):
    """A backup's child writes the log back, which then begins anew: all of it must be in the file."""
    rounds = 60 if suite.options.long else 8
    chance = random.Random(f"{suite.options.seed} backups")
    server.stop()
    folder = server.folder / "backups"
    folder.mkdir()
    server.settings["backup"] = folder
    server.write_config()
    server.preload, server.environment = [], {}
    server.start()
    aliases = [server.add_alias(f"backed{n}@cut.test") for n in range(2)]
    server.stop()
    load = Load(server, aliases, aliases[:1], suite.options.seed,
                sizes=(200, 3000, 30000))
    made = [0]
    with Faults(server.data, journal_size=JOURNAL) as faults:
        for number in range(rounds):
            disk = recorded(server, faults)
            load.start()
            stopping = threading.Event()
            backups = threading.Thread(target=back_up, args=(server, aliases, stopping, made))
            backups.start()
            time.sleep(chance.uniform(0.5, 2.5))
            record = faults.cut_power()
            server.kill_all()
            stopping.set()
            load.stop()
            backups.join()
            disk.replay(record)
            check(not disk.unseen, "; ".join(disk.unseen[:8]))
            disk.cut(random.Random(f"{suite.options.seed} {number}"), server.data)
            server.preload, server.environment = [], {}
            server.start()
            try:
                load.verify()
            except AssertionError as error:
                raise AssertionError(f"after cut {number}: {error}") from None
            server.stop()
        check_files(server, aliases)
    check(made[0] > 0, "no backup was made")
    server.start()
    load.verify()
    del server.settings["backup"]
    return f"{rounds} cuts, {made[0]} backups, {load.ledger.summary()}"


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}")
    with Server() as running:
        suite.run(running)
