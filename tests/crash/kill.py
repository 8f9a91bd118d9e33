#!/usr/bin/python3
"""SIGKILL to a random process, or to all of them, at random moments while mail comes in."""

import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import Load, check_files  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, until  # noqa: E402

suite = Suite(__doc__)


def kill_one(server, chance, killed):
    """A role first, then one of its processes: otherwise the many would get all the kills."""
    processes = server.processes()
    roles = sorted({each.role for each in processes if each.role != "master"})
    if not roles:
        return
    role = chance.choice(roles)
    victim = chance.choice([each for each in processes if each.role == role])
    try:
        os.kill(victim.pid, signal.SIGKILL)
        killed[role] = killed.get(role, 0) + 1
    except ProcessLookupError:
        pass


def kill_tree(server, chance, killed):
    """The master alone first, half of the times: the others must then end by themselves."""
    if chance.random() < 0.5:
        master = server.process
        os.kill(master.pid, signal.SIGKILL)
        master.wait()
        until(lambda: not server.processes(),
              lambda: f"without a master there still run {server.processes()}", 10, 0.05)
        killed["master"] = killed.get("master", 0) + 1
    else:
        killed["all"] = killed.get("all", 0) + 1
    server.kill_all()
    server.start()


@suite.case
def kills(server):
    rounds = 200 if suite.options.long else 30
    chance = random.Random(suite.options.seed)
    present = [server.add_alias(f"present{n}@crash.test") for n in range(2)]
    absent = [server.add_alias(f"absent{n}@crash.test") for n in range(3)]
    load = Load(server, present, absent, suite.options.seed)
    killed = {}
    load.start()
    for number in range(rounds):
        time.sleep(chance.uniform(0.05, 0.7))
        if chance.random() < 0.2:
            kill_tree(server, chance, killed)
        else:
            kill_one(server, chance, killed)
        if server.process.poll() is not None:
            raise AssertionError(f"the master ended: {server.process.returncode}\n"
                                 f"{server.log(3000)}")
    time.sleep(1)
    load.stop()
    load.verify()
    # Nothing may change by stopping in order, nor by starting again.
    server.stop()
    files = check_files(server, present + absent)
    server.start()
    load.verify(remove=True)
    load.verify()
    return (f"{rounds} kills ({', '.join(f'{n} {r}' for r, n in sorted(killed.items()))}), "
            f"{load.ledger.summary()}, {files} files intact")


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}")
    with Server() as running:
        suite.run(running)
