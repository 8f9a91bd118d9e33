#!/usr/bin/python3
"""SIGKILL to random processes while users write to other servers and aliases send mail on: no message
that was acknowledged is lost, and one arrives twice only where the other server's reply was."""

import errno
import os
import pathlib
import random
import re
import signal
import smtplib
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import GONE, patiently  # noqa: E402
from faults.faults import Faults, library  # noqa: E402
from faults.powercut import Disk  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.sink import Sink  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
MARK = re.compile(rb"marker-([0-9a-f]{16})")
SETTINGS = {"queue_retry_first": "150ms", "queue_retry_most": "500ms", "processes": 1,
            "check_senders": False}
# The courier gets half of the kills; the others hold it up or feed it.
OTHERS = ("smtp", "store", "keeper", "mailbox", "sealer", "nursery", "resolver", "examiner")
REPLY_SECONDS = 0.5  # so long a reply may be on its way, or in a process that dies with it


class World:
    """What other servers say: now and then later, nothing, or half."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.counts = {}
        self.is_kind = False  # at the end, so that the queue can empty

    def judge(self, step, address):
        if self.is_kind:
            return None
        with self.lock:
            number = self.chance.random()
        for limit, reply in {"rcpt": ((0.08, "451 4.2.1 later"),), "mail": ((0.02, "drop"),),
                             "data": ((0.02, "drop"),), "greeting": ((0.03, "421 4.3.2 busy"),),
                             "body": ((0.04, "lose"), (0.08, "452 4.3.1 full"))}.get(step, ()):
            if number < limit:
                with self.lock:
                    self.counts[reply] = self.counts.get(reply, 0) + 1
                return reply
        return None


class Writer:
    """A client that repeats, byte for byte, until it is answered."""

    def __init__(self, connect, sender, recipients, seed):
        self.connect, self.sender, self.recipients = connect, sender, recipients
        self.chance = random.Random(seed)
        self.stopping = threading.Event()
        self.give_up = False  # nobody will answer any more
        self.acknowledged = {}  # marker -> recipients that must get it
        self.problems = []
        self.repeats = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        client = None
        while not self.stopping.is_set():
            marker = f"{self.chance.getrandbits(64):016x}"
            size = self.chance.choice((100, 2000, 40000, 400000))
            raw = (f"From: {self.sender}\r\nTo: someone@remote.test\r\nSubject: marker-{marker}\r\n"
                   f"Message-ID: <{marker}@crash.test>\r\n\r\n" + "x" * 70 + "\r\n")
            raw = (raw + ("y" * 70 + "\r\n") * (size // 72)).encode()
            to = self.chance.sample(self.recipients,
                                    self.chance.randint(1, min(3, len(self.recipients))))
            left = list(to)
            for _ in range(600):
                if self.give_up:
                    return
                try:
                    if client is None:
                        client = self.connect()
                    refused = client.sendmail(self.sender, left, raw)
                    if any(code >= 500 for code, _ in refused.values()):
                        self.problems.append(f"refused for good: {refused}")
                        break
                    left = [each for each in left if each in refused]
                    if not left:
                        break
                except smtplib.SMTPResponseException as error:
                    if error.smtp_code >= 500 and error.smtp_code != 535:
                        self.problems.append(f"refused for good: {error}")
                        break
                    client = None
                except smtplib.SMTPRecipientsRefused as error:
                    if any(code >= 500 for code, _ in error.recipients.values()):
                        self.problems.append(f"refused for good: {error.recipients}")
                        break
                    client = None
                except (*GONE, smtplib.SMTPException, ssl.SSLError):
                    client = None
                self.repeats += 1
                time.sleep(0.03)
            done = [each for each in to if each not in left]
            if done:
                self.acknowledged[marker] = done
            time.sleep(self.chance.uniform(0, 0.05))

    def stop(self):
        self.stopping.set()
        self.thread.join(120)
        check(not self.thread.is_alive(), f"{self.sender}: the client hangs")


def kill(server, chance, killed):
    """Half of the times the courier; sometimes all of them at once."""
    if chance.random() < 0.1:
        server.kill_all()
        killed.append((time.monotonic(), "all"))
        server.start()
        return
    role = "courier" if chance.random() < 0.55 else chance.choice(OTHERS)
    for each in server.processes(role)[:1]:
        try:
            os.kill(each.pid, signal.SIGKILL)
            killed.append((time.monotonic(), role))
        except ProcessLookupError:
            pass


def wait_until_empty(server, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not (server.admin("queue", "list") or {}).get("items", []):
                return
        except Exception:  # a part is on its way up
            pass
        time.sleep(0.2)
    raise AssertionError(f"the queue does not empty: {server.admin('queue', 'list')}")


def judge_copies(marker, address, copies, kills):
    """Words about what is wrong with the copies that arrived for one recipient; or nothing."""
    if not copies:
        return f"{marker} for {address} is lost"
    for one, next_one in zip(copies, copies[1:]):
        lost = not one.acknowledged or any(one.when - REPLY_SECONDS <= at <= next_one.when
                                           for at in kills)
        if not lost:
            return f"{marker} for {address} came again though its reply was heard"
    return ""


@suite.case
def kills_while_mail_goes_out(server, sink, world):
    rounds = 200 if suite.options.long else 30
    chance = random.Random(suite.options.seed)
    ann, bob = server.add_alias("ann@crash.test"), server.add_alias("bob@crash.test")
    server.add_alias("on@crash.test")
    server.admin("alias", "forward", "add", "on@crash.test", "far@remote.test")
    writers = [
        Writer(lambda: server.submission(ann, timeout=20), "ann@crash.test",
               [f"r{n}@remote.test" for n in range(4)] + ["x@other.test"], f"a{chance.random()}"),
        Writer(lambda: server.submission(bob, timeout=20), "bob@crash.test",
               [f"s{n}@third.test" for n in range(3)], f"b{chance.random()}"),
        Writer(lambda: server.smtp(timeout=20), "who@from.test", ["on@crash.test"],
               f"c{chance.random()}"),
    ]
    killed = []
    for _ in range(rounds):
        time.sleep(chance.uniform(0.05, 0.6))
        kill(server, chance, killed)
    time.sleep(1)
    for writer in writers:
        writer.stop()
    world.is_kind = True
    patiently(lambda: server.admin("queue", "retry", "all"), 30)
    wait_until_empty(server)
    arrived = {}
    for message in sink.taken():
        mark = MARK.search(message.data)
        for recipient in message.recipients:
            arrived.setdefault((mark.group(1).decode() if mark else "?", recipient),
                               []).append(message)
    at = [when for when, role in killed if role in ("courier", "all", "master")]
    wrong, expected = [problem for writer in writers for problem in writer.problems], 0
    for writer in writers:
        for marker, recipients in writer.acknowledged.items():
            for recipient in recipients:
                address = recipient.replace("on@crash.test", "far@remote.test")
                expected += 1
                words = judge_copies(marker, address, arrived.get((marker, address), []), at)
                if words:
                    wrong.append(words)
    check(not wrong, f"{len(wrong)} wrong: " + "; ".join(wrong[:6]))
    twice = sum(len(copies) - 1 for copies in arrived.values())
    roles = {}
    for _, role in killed:
        roles[role] = roles.get(role, 0) + 1
    return (f"{rounds} rounds, killed {', '.join(f'{n} {r}' for r, n in sorted(roles.items()))}; "
            f"{expected} acknowledged and all there, {twice} twice where a reply was lost, "
            f"{sum(w.repeats for w in writers)} sent again by clients; the other servers said "
            f"{', '.join(f'{n} {r}' for r, n in sorted(world.counts.items()))}")


FAULTS = (("write", errno.ENOSPC), ("write", errno.EIO), ("sync", errno.EIO),
          ("truncate", errno.ENOSPC), ("name", errno.EIO))


@suite.case
def a_disk_that_fails(server, sink, world):
    """Its own service: the K-th call fails, once or for good. What is refused then may come again; what
    is acknowledged arrives, and no process ends for it."""
    chance = random.Random(suite.options.seed)
    world.is_kind = True
    service = Server(settings={**SETTINGS, "smarthost": f"127.0.0.1:{sink.port}"})
    service.data.mkdir()
    tried = hit = accepted = 0
    with Faults(service.data) as faults:
        service.preload = [library()]
        service.environment.update(faults.environment())
        with service:
            joe = service.add_alias("joe@faults.test")
            before = {each.pid for each in service.processes("courier")}
            expected = {}

            def submit():
                marker = f"{chance.getrandbits(64):016x}"
                address = f"f{chance.randrange(3)}@remote.test"
                raw = f"From: joe@faults.test\r\nSubject: marker-{marker}\r\n\r\n{marker}\r\n"
                try:
                    client = service.submission(joe, timeout=10)
                    client.sendmail("joe@faults.test", [address], raw.encode())
                    client.quit()
                except (*GONE, smtplib.SMTPException) as error:
                    check(getattr(error, "smtp_code", 400) < 500, f"refused for good: {error}")
                    return False
                expected[marker] = address
                return True

            for kind, error in FAULTS:
                for after in range(1, 21) if suite.options.long else (1, 2, 3, 5, 9):
                    for lasting in (False, True):
                        faults.arm(kind, error, after=after, lasting=lasting)
                        for _ in range(3 + after):
                            accepted += submit()
                            if faults.given():
                                break
                        tried += 1
                        hit += 1 if faults.given() else 0
                        faults.disarm()
                        deadline = time.monotonic() + 20
                        while not submit():
                            check(time.monotonic() < deadline, "it does not work again: "
                                  f"{service.log(2000)}")
                            time.sleep(0.1)
                        now = {each.pid for each in service.processes("courier")}
                        check(now == before, f"{kind} {after}: the courier ended: "
                              f"{service.log(2000)}")
            service.admin("queue", "retry", "all")
            wait_until_empty(service)
    copies = {}
    for message in sink.taken():
        mark = MARK.search(message.data)
        if mark:
            copies.setdefault(mark.group(1).decode(), []).append(message)
    for marker, address in expected.items():
        found = copies.get(marker, [])
        check(found, f"{marker} for {address} is lost")
        check(len(found) == 1, f"{marker} for {address} came {len(found)} times")
    check(hit * 3 > tried, f"only {hit} of {tried} faults were met")
    return f"{tried} faults armed, {hit} met, {accepted} accepted meanwhile, {len(expected)} arrived"


@suite.case
def power_cuts(server, sink, world):
    """Its own service, whose messages wait: after a cut, what was acknowledged still does, and all of
    it arrives in the end, each but for a lost reply once."""
    rounds = 40 if suite.options.long else 6
    chance = random.Random(suite.options.seed)
    world.is_kind = False
    with Sink(judge=lambda step, address: "451 4.2.0 later" if waits else None) as other, \
            Server(settings={**SETTINGS, "smarthost": f"127.0.0.1:{other.port}",
                             "queue_retry_first": "1h", "queue_retry_most": "1h"}) as service:
        waits = True
        joe = service.add_alias("joe@cuts.test")
        service.stop()
        acknowledged, syncs = set(), 0
        with Faults(service.data, journal_size=1 << 30) as faults:
            for number in range(rounds):
                service.preload = [library()]
                service.environment = dict(faults.environment())
                faults.new_journal()
                disk = Disk(service.data)
                service.start()
                writers = [Writer(lambda: service.submission(joe, timeout=5), "joe@cuts.test",
                                  [f"w{n}@remote.test"], f"{suite.options.seed} {number} {n}")
                           for n in range(3)]
                time.sleep(chance.uniform(0.3, 1.5))
                for writer in writers:  # whoever is not answered by now never will be
                    writer.stopping.set()
                record = faults.cut_power()
                heard = [dict(writer.acknowledged) for writer in writers]
                service.kill_all()
                for writer in writers:
                    writer.give_up = True
                    acknowledged |= {(marker, address) for marker, to in
                                     heard[writers.index(writer)].items() for address in to}
                disk.replay(record)
                check(not disk.unseen, "; ".join(disk.unseen[:8]))
                disk.cut(random.Random(f"{suite.options.seed} {number}"), service.data)
                for writer in writers:
                    writer.thread.join(60)
            syncs = faults.calls("sync")
        service.preload, service.environment = [], {}
        service.start()
        waits = False
        service.admin("queue", "retry", "all")
        wait_until_empty(service)
        arrived = {}
        for message in other.taken():
            key = (MARK.search(message.data).group(1).decode(), message.recipients[0])
            arrived[key] = arrived.get(key, 0) + 1
        lost = acknowledged - set(arrived)
        check(not lost, f"{len(lost)} of {len(acknowledged)} are lost: {sorted(lost)[:5]}")
        twice = [key for key, count in arrived.items() if count > 1]
        check(not twice, f"{len(twice)} came twice: {twice[:5]}")
    return f"{rounds} cuts, {len(acknowledged)} acknowledged and all there, {syncs} syncs"


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}")
    other_servers = World(options.seed)
    with Sink(judge=other_servers.judge) as other:
        with Server(settings={**SETTINGS, "smarthost": f"127.0.0.1:{other.port}"}) as running:
            suite.run(running, other, other_servers)
