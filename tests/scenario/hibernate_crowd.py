#!/usr/bin/python3
"""Very many sessions that sleep: every EXISTS comes, and what each costs in memory."""

import contextlib
import pathlib
import random
import resource
import selectors
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server, program  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402
from lib.talk import Talk  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from sleeping import SETTINGS, all_asleep, deliver, message  # noqa: E402

suite = Suite(__doc__)

# Asleep soon, but not before all are there.
CROWD_SETTINGS = {**SETTINGS, "hibernate_after": "500ms", "connections_max": 20000,
                  "idle_timeout": "2h"}


def pss_kib(server):
    """Of all processes of the service, by role."""
    sums = {}
    for process in server.processes():
        try:
            with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
                kib = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
        sums[process.role] = sums.get(process.role, 0) + kib
    return sums


class Crowd:
    """Many clients in IDLE, read as something comes."""

    def __init__(self, server, aliases):
        self.selector = selectors.DefaultSelector()
        self.clients = []
        self.pending = {}  # (client's number, EXISTS) -> when it was sent
        self.waits = []
        for number, alias in enumerate(aliases):
            client = Talk(server, alias)
            client.do("SELECT INBOX")
            client.idle()
            client.sock.setblocking(False)
            self.clients.append(client)
            self.selector.register(client.sock, selectors.EVENT_READ, (number, client))

    def expect(self, number, exists):
        self.pending[number, exists] = time.perf_counter()

    def on_readable(self, number, client):
        now = time.perf_counter()
        try:
            while True:
                got = client.sock.recv(65536)
                check(got != b"", f"client {number} was closed: {client.pending!r}")
                client.pending += got
        except (BlockingIOError, OSError):
            pass
        *lines, client.pending = client.pending.split(b"\r\n")
        for line in lines:
            words = line.split()
            check(words[:1] == [b"*"] and words[1:2] != [b"BYE"], f"client {number}: {line}")
            if words[2] == b"EXISTS":
                # An EXISTS may stand for several that came together.
                for exists in range(int(words[1]), 0, -1):
                    began = self.pending.pop((number, exists), None)
                    if began is None:
                        break
                    self.waits.append(now - began)

    def read(self, seconds):
        for key, _ in self.selector.select(seconds):
            self.on_readable(*key.data)

    def read_all(self):
        """Until all that is expected came."""
        until(lambda: not self.pending or self.read(0.5),
              lambda: f"{len(self.pending)} EXISTS never came: {list(self.pending)[:5]}", 60, 0)

    def close(self):
        for client in self.clients:
            client.close()
        self.selector.close()


@contextlib.contextmanager
def many_descriptors():
    """For as many clients as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def soak(sessions, deliveries, senders=4):
    chance = random.Random(suite.options.seed)
    with many_descriptors(), Server(settings=CROWD_SETTINGS) as server:
        server.add_domain("soak.test")
        aliases = [server.add_alias(f"s{n}@soak.test") for n in range(sessions)]
        before = sum(pss_kib(server).values())
        crowd = Crowd(server, aliases)
        all_asleep(server, 60)
        by_role = pss_kib(server)
        each = (sum(by_role.values()) - before) / sessions
        counts = [0] * sessions
        connections = [server.smtp(timeout=60) for _ in range(senders)]
        for n in range(deliveries):
            target = chance.randrange(sessions)
            counts[target] += 1
            crowd.expect(target, counts[target])
            connections[n % senders].sendmail("a@example.org", [aliases[target].address],
                                              message(f"soak{n}"))
            crowd.read(0)
        crowd.read_all()
        all_asleep(server, 60)
        after = (sum(pss_kib(server).values()) - before) / sessions
        # And every message is there: the folder's count, which no EXISTS could have made up.
        for target in chance.sample(range(sessions), min(sessions, 50)):
            client = crowd.clients[target]
            crowd.selector.unregister(client.sock)
            client.sock.setblocking(True)
            client.done(f"t{client.number}")
            lines = client.do("STATUS INBOX (MESSAGES)")
            check(any(f"(MESSAGES {counts[target]})" in line for line in lines), lines)
        for connection in connections:
            connection.quit()
        crowd.close()
    waits = sorted(wait * 1000 for wait in crowd.waits)
    return (f"{sessions} sessions, {deliveries} deliveries, every EXISTS came; from the beginning of "
            f"MAIL: median {statistics.median(waits):.1f} ms, 99 % "
            f"{waits[len(waits) * 99 // 100]:.1f} ms, longest {waits[-1]:.1f} ms; "
            f"{each:.1f} KiB a session asleep, {after:.1f} KiB after it "
            f"({', '.join(f'{role} {kib} KiB' for role, kib in sorted(by_role.items()))})")


@suite.case
def a_crowd_sleeps_and_every_exists_comes():
    return soak(2000, 10000) if suite.options.long else soak(100, 300)


@suite.case
def many_sessions_of_each_mailbox_sleep_in_little_memory():
    sessions, mailboxes = (10000, 500) if suite.options.long else (200, 10)
    with many_descriptors(), Server(settings=CROWD_SETTINGS) as server:
        aliases = [server.add_alias(f"m{n}@many.test") for n in range(mailboxes)]
        before = sum(pss_kib(server).values())
        crowd = Crowd(server, [aliases[n % mailboxes] for n in range(sessions)])
        all_asleep(server, 120)
        by_role = pss_kib(server)
        each = (sum(by_role.values()) - before) / sessions
        # All sessions of one mailbox wake for its mail, and only they.
        deliver(server, aliases[0], "many")
        for n in range(0, sessions, mailboxes):
            crowd.expect(n, 1)
        crowd.read_all()
        check(len(crowd.waits) == sessions // mailboxes, "others heard of it too")
        if suite.options.long and "asan" not in program():
            check(each < 30, f"{each:.1f} KiB for each session asleep")
        crowd.close()
    return (f"{sessions} sessions of {mailboxes} mailboxes: {each:.1f} KiB for each "
            f"({', '.join(f'{role} {kib} KiB' for role, kib in sorted(by_role.items()))})")


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}; {program()}")
    suite.run()
