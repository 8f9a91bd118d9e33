#!/usr/bin/python3
"""SIGKILL to a random process at random moments while sessions fall asleep and wake: nothing that was
acknowledged is lost, and each client either goes on rightly or is told BYE, or sees its connection end
with the process that held it."""

import os
import pathlib
import random
import signal
import sys
import threading
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import GONE, Load, check_files, patiently  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from lib.talk import Ended, Talk  # noqa: E402

suite = Suite(__doc__)

SETTINGS = {"hibernate_after": "60ms", "mailbox_linger": "20ms", "processes": 1}
# The master's death is kill.py's; what these do to a sleeping session is told in mailbox/hibernate.c.
ROLES = ("mailbox", "store", "nursery", "keeper", "gate", "sealer", "smtp")


class Watcher:
    """A client that is mostly asleep: it says now and then NOOP, or idles, every other time compressed.
    While its connection lasts, its numbers only grow by what comes, and every answer is the one to its
    command."""

    def __init__(self, server, alias, seed):
        self.server, self.alias = server, alias
        self.chance = random.Random(seed)
        self.counts = {"sessions": 0, "bye": 0, "cut": 0, "commands": 0, "told": 0}
        self.problems = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                client = Talk(self.server, self.alias, timeout=30)
            except (Ended, OSError, TimeoutError, AssertionError):
                time.sleep(0.05)  # a part is on its way up
                continue
            self.counts["sessions"] += 1
            try:
                if self.chance.random() < 0.5:
                    client.compress()
                self.session(client)
            except Ended as end:
                self.counts["bye" if end.bye else "cut"] += 1
            except TimeoutError as error:
                self.problems.append(f"{self.alias}: no answer: {error}")
            except zlib.error as error:
                self.problems.append(f"{self.alias}: the compressed stream broke: {error}")
            except AssertionError as error:
                # NO [UNAVAILABLE] is an answer; what else there is, is not.
                if "UNAVAILABLE" not in str(error):
                    self.problems.append(f"{self.alias}: {error}")
            finally:
                client.close()

    def session(self, client):
        exists = self.hear(client.do("SELECT INBOX"), 0)
        while not self.stopping.is_set():
            if self.chance.random() < 0.5:
                time.sleep(self.chance.uniform(0.03, 0.2))
                lines = client.do("NOOP")
                check(not any(line.startswith("+") for line in lines), lines)
                exists = self.hear(lines, exists)
            else:
                tag = client.idle()
                # `idle` reads past what was told before "+"; the sum below finds it again.
                time.sleep(self.chance.uniform(0.03, 0.3))
                exists = self.hear(client.done(tag), exists)
            self.counts["commands"] += 1
            lines = client.do("STATUS INBOX (MESSAGES)")
            held = int(next(line for line in lines if "MESSAGES" in line).split()[-1].rstrip(")"))
            check(held >= exists, f"told {exists}, there are {held}")
            exists = self.hear(lines, exists)

    def hear(self, lines, exists):
        for line in lines:
            words = line.split()
            check(len(words) > 2 and words[1] != "EXPUNGE", lines)
            if words[2] == "EXISTS":
                check(int(words[1]) >= exists, f"EXISTS went from {exists} to {words[1]}")
                exists = int(words[1])
                self.counts["told"] += 1
        return exists

    def stop(self):
        self.stopping.set()
        self.thread.join(60)
        check(not self.thread.is_alive(), f"{self.alias}: its client hangs")


@suite.case
def kills(server):
    rounds = 300 if suite.options.long else 60
    chance = random.Random(suite.options.seed)
    present = [server.add_alias(f"sleeper{n}@crash.test") for n in range(3)]
    absent = [server.add_alias("away@crash.test")]
    watchers = [Watcher(server, alias, f"{suite.options.seed} {n}")
                for alias in present for n in range(2)]
    load = Load(server, present, absent, suite.options.seed, deliverers=2, appenders=0, pause=0.02,
                sizes=(200, 2000))
    load.jobs = [job for job in load.jobs if job[0] != load.watch]  # the watchers here are ours
    load.start()
    killed = {}
    for _ in range(rounds):
        time.sleep(chance.uniform(0.02, 0.5))
        role = chance.choice(ROLES) if chance.random() < 0.6 else "mailbox"
        victims = server.processes(role)
        if not victims:
            continue
        try:
            os.kill(chance.choice(victims).pid, signal.SIGKILL)
            killed[role] = killed.get(role, 0) + 1
        except ProcessLookupError:
            pass
        check(server.process.poll() is None, f"the master ended\n{server.log(3000)}")
    time.sleep(1)
    load.stop()
    for watcher in watchers:
        watcher.stop()
    problems = [words for watcher in watchers for words in watcher.problems]
    check(not problems, f"{len(problems)}: {problems[:5]}")
    counts = {name: sum(each.counts[name] for each in watchers) for name in watchers[0].counts}
    check(counts["commands"] > rounds, f"the clients said too little: {counts}")
    load.verify()
    server.stop()
    files = check_files(server, present + absent)
    return (f"{sum(killed.values())} kills ({', '.join(f'{n} {r}' for r, n in sorted(killed.items()))}),"
            f" {load.ledger.summary()}, {files} files intact; clients: "
            f"{', '.join(f'{n} {name}' for name, n in counts.items())}")


@suite.case
def a_frozen_mailbox_process_delays_and_loses_nothing(_):
    """SIGSTOP while it offers its sessions, then SIGKILL: what the gate holds sleeps on."""
    with Server(settings=SETTINGS) as server:
        alias = server.add_alias("frozen@crash.test")
        chance = random.Random(suite.options.seed)
        outcomes = {"went on": 0, "bye": 0}
        for _ in range(40 if suite.options.long else 12):
            client = patiently(lambda: Talk(server, alias))
            client.do("SELECT INBOX")
            time.sleep(chance.uniform(0.04, 0.08))
            for each in server.processes("mailbox"):
                try:
                    os.kill(each.pid, signal.SIGSTOP)
                    time.sleep(0.05)
                    os.kill(each.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                client.do("NOOP")
                outcomes["went on"] += 1
            except Ended as end:
                check(end.bye, "cut without BYE")
                outcomes["bye"] += 1
            client.close()
    return ", ".join(f"{count} {name}" for name, count in outcomes.items())


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}")
    with Server(settings=SETTINGS) as running:
        suite.run(running)
