#!/usr/bin/python3
"""A new password, and the file re-encrypted under it: killed at every step that changes the disk, with a
full disk and other failing calls, with mail coming in meanwhile.

After each: the old or the new password opens the mailbox with every message, and so do the app password
and the recovery key. In the end the stock program opens the file with the new password, and with the
old one nobody.
"""

import datetime
import errno
import imaplib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import GONE, patiently, stock_shell  # noqa: E402
from faults.faults import KILL, Faults, library  # noqa: E402
from faults.powercut import Disk  # noqa: E402
from lib.server import AdminError, Server, find_key, program  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402

suite = Suite(__doc__)
REFUSED = ("AUTHENTICATIONFAILED",)


class World:
    def __init__(self, server, faults):
        self.server, self.faults = server, faults
        self.alias = server.add_alias("me@crash.test", "--recovery-key")
        self.recovery = self.alias.recovery
        self.app = find_key(self.with_secret("alias", "app-password", "add", self.alias.address, "phone",
                                             password=self.alias.password), "password")
        self.subjects = set()
        with server.imap(self.alias) as client:
            for number in range(20):
                self.append(client, f"first {number}", 30000)

    def append(self, client, subject, size=300):
        noise = os.urandom(size // 2).hex()
        status, _ = client.append("INBOX", None, None, f"Subject: {subject}\r\n\r\n{noise}\r\n".encode())
        check(status == "OK", status)
        self.subjects.add(subject)

    def with_secret(self, *words, password):
        return self.server.admin(*words, "--password-file", self.secret_file(password))

    def secret_file(self, password):
        path = self.server.folder / "secret"
        path.write_text(password + "\n")
        path.chmod(0o600)
        return str(path)

    def new_password(self, secret):
        """The new one, or None: the command was not answered."""
        done = subprocess.run([program(), "alias", "password", self.alias.address, "--json",
                               "--old-password-file", self.secret_file(secret), "--config",
                               str(self.server.conf)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=90)
        if not done.stdout.startswith("{"):
            return None
        return json.loads(done.stdout).get("password")

    def change_unseen(self, secret):
        """A new password that nobody has: the command is ended before its answer."""
        reader, writer = os.pipe()
        os.close(reader)
        subprocess.run([program(), "alias", "password", self.alias.address, "--json",
                        "--old-password-file", self.secret_file(secret), "--config",
                        str(self.server.conf)], stdin=subprocess.DEVNULL, stdout=writer,
                       stderr=subprocess.DEVNULL, timeout=60)
        os.close(writer)

    def wait_for_no_process(self):
        """So that the next login starts one, with the keys of its own slot."""
        until(lambda: not self.server.processes("mailbox"), "the mailbox's process does not end",
              30, 0.02)

    def login(self, password):
        """A connection, or None: refused. Tries again while the service comes up."""
        def try_it():
            client = self.server.imap(timeout=10)
            try:
                client.login(self.alias.address, password)
                return client
            except imaplib.IMAP4.error as error:
                client.shutdown()
                if any(word in str(error) for word in REFUSED):
                    return None
                raise
        return patiently(try_it)

    def read(self, password):
        """The subjects that this password gives; None: it is refused."""
        def try_it():
            client = self.login(password)
            if client is None:
                return None
            with client:
                client.select("INBOX", readonly=True)
                _, data = client.fetch("1:*", "(BODY.PEEK[])")
            found = [part[1] for part in data if isinstance(part, tuple)]
            return sorted(re.match(rb"Subject: (.*)\r\n", raw).group(1).decode() for raw in found)
        return patiently(try_it)

    def wait_for_end(self, seconds=60):
        """Until the file opens elsewhere with the password, as nothing is under way any more."""
        deadline = time.monotonic() + seconds
        while self.server.log().count("mailbox re-encrypted") < self.ended + 1:
            check(time.monotonic() < deadline, f"it does not end:\n{self.server.log(2000)}")
            if time.monotonic() > deadline - seconds + 3:
                self.login_and_out(self.alias.password)  # has it go on
            time.sleep(0.02)

    def change(self, during=lambda: None):
        """One new password, with `during` after the command; what opens then becomes the password."""
        self.ended = self.server.log().count("mailbox re-encrypted")
        old = self.alias.password
        new = self.new_password(old)
        during()
        opens = [word for word in (new, old) if word and self.login_and_out(word)]
        check(opens, f"neither the old nor the new password opens (new: {new is not None})")
        self.alias.password = opens[0]
        return old, opens[0]

    def login_and_out(self, password):
        client = self.login(password)
        if client is not None:
            client.logout()
        return client is not None

    def compare(self, *secrets):
        for secret in secrets:
            found = self.read(secret)
            check(found == sorted(self.subjects),
                  f"{None if found is None else len(found)} messages, {len(self.subjects)} expected")

    def settle(self):
        """A change that nothing disturbs, so that the next round begins from a known state."""
        self.faults.disarm()
        deadline = time.monotonic() + 90
        while (new := self.new_password(self.alias.password)) is None:
            check(time.monotonic() < deadline, "no new password is to be had")
            self.login_and_out(self.alias.password)
            time.sleep(0.05)
        self.alias.password = new
        # One before it may have ended between a look at the log and the command; none does behind the
        # command, which is "busy" so long.
        log = self.server.log()
        accepted = log.rindex("administrator's command: alias password result=ok")
        self.ended = log[:accepted].count("mailbox re-encrypted")
        self.wait_for_end()

    def file(self):
        path, = (self.server.data / "mail").glob("*/*/*.sqlite")
        return path

    def rest(self):
        return [path.name for path in (self.server.data / "mail").glob("*/*/*.rekey*")]


@suite.case
def undisturbed(world):
    old, new = world.change()
    check(new != old, "no new password")
    world.wait_for_end()
    check(world.read(old) is None, "the old password still opens")
    world.compare(new, world.app)
    status, text = stock_shell(world.file(), new, "PRAGMA integrity_check")
    check(status == 0 and text.strip() == "ok", f"elsewhere: {text}")
    check(stock_shell(world.file(), old, "SELECT 1 FROM sqlite_master")[0] != 0,
          "the file still opens with the old password")
    check(not world.rest(), world.rest())
    # The recovery key goes along, through several changes.
    for _ in range(3):
        world.ended = world.server.log().count("mailbox re-encrypted")
        new = world.new_password(world.recovery)
        check(new is not None, "the recovery key does not help")
        world.alias.password = new
        world.wait_for_end()
    world.compare(world.alias.password, world.app)


@suite.case
def mail_comes_in_meanwhile(world):
    """A session that writes all the time: every APPEND that was answered is there."""
    written = waits = 0
    for _ in range(3):
        world.ended = world.server.log().count("mailbox re-encrypted")
        new = world.new_password(world.alias.password)
        check(new is not None, "no new password")
        world.alias.password = new
        client = world.login(new)
        deadline = time.monotonic() + 60
        slowest = 0
        while world.server.log().count("mailbox re-encrypted") == world.ended:
            check(time.monotonic() < deadline, "it does not end while mail comes in")
            began = time.perf_counter()
            world.append(client, f"meanwhile {written}")
            slowest = max(slowest, time.perf_counter() - began)
            written += 1
        world.append(client, f"meanwhile {written}")  # the session goes on with the new file
        written += 1
        waits = max(waits, slowest)
        client.logout()
    world.compare(world.alias.password, world.app)
    return f"{written} messages, {waits * 1000:.0f} ms the slowest"


@suite.case
def a_command_that_does_not_see_the_password(world):
    """It is ended before its answer: the old password stays, also for another new one."""
    world.change_unseen(world.alias.password)
    world.compare(world.alias.password, world.app)
    world.with_secret("alias", "app-password", "add", world.alias.address, "tablet",
                      password=world.alias.password)
    world.server.admin("alias", "app-password", "remove", world.alias.address, "tablet", "--yes")
    old, new = world.change()
    check(old != new, "no new password afterwards")
    world.wait_for_end()
    world.compare(new, world.app)


@suite.case
def an_unseen_password_while_a_program_with_an_app_password_comes_by(world):
    """Its owner has but the old one: nothing may be re-encrypted for the one that nobody saw, whoever
    logs in; neither the old password nor the recovery key may lose the mailbox."""
    for secret in (world.alias.password, world.recovery):
        world.ended = world.server.log().count("mailbox re-encrypted")
        jobs = world.server.log().count("job done: re-encrypt")
        world.change_unseen(secret)
        world.wait_for_no_process()
        for _ in range(2):
            world.compare(world.app)
            world.wait_for_no_process()
        check(world.server.log().count("job done: re-encrypt") == jobs,
              "the file was re-encrypted under a key that nobody has the password of")
        world.compare(world.alias.password)
        new = world.new_password(secret)
        check(new is not None, f"no new password afterwards:\n{world.server.log(1500)}")
        world.alias.password = new
        world.wait_for_end()
        world.compare(new, world.app)


def steps(world, kind, error, lasting=False, most=10 ** 6, stride=1):
    """One round for each call of the kind, until none is reached; or, with a stride, for some of them,
    others in each run."""
    number = 0
    for after in range(1 + suite.options.seed % stride, most, stride):
        world.faults.arm(kind, error, after=after, lasting=lasting)

        def during():
            # The re-encryption goes on behind the command: until it is over, or the fault came.
            deadline = time.monotonic() + 30
            while (world.server.log().count("mailbox re-encrypted") == world.ended
                   and not world.faults.given() and time.monotonic() < deadline):
                time.sleep(0.005)
            world.given = world.faults.given()
            if lasting:
                time.sleep(0.3)
            world.faults.disarm()

        try:
            world.change(during)
        finally:
            world.faults.disarm()
        world.compare(world.alias.password, world.app)
        if not world.given:
            break
        number += 1
        world.settle()
    check(number > 0, f"no {kind} was reached")
    return number


@suite.case
def killed_at_every_step(world):
    """Whatever process makes the call: mailbox, its child, keeper, sealer. Most writes are alike: pages."""
    counts = {kind: steps(world, kind, KILL, stride=1 if suite.options.long else stride)
              for kind, stride in (("name", 2), ("sync", 2), ("truncate", 2), ("open", 3), ("write", 19))}
    return ", ".join(f"{count} at {kind}" for kind, count in counts.items())


@suite.case
def failing_calls(world):
    counts = {}
    for kind, error, stride in (("write", errno.ENOSPC, 29), ("sync", errno.EIO, 3), ("name", errno.EIO, 5)):
        counts[f"{kind} {errno.errorcode[error]}"] = steps(world, kind, error,
                                                           stride=1 if suite.options.long else stride)
    counts["disk full for a while"] = steps(world, "write", errno.ENOSPC, lasting=True,
                                            stride=1 if suite.options.long else 61)
    return ", ".join(f"{count} of {kind}" for kind, count in counts.items())


@suite.case
def at_the_end_all_is_as_it_should_be(world):
    world.settle()
    world.ended = world.server.log().count("mailbox re-encrypted")
    world.compare(world.alias.password, world.app)
    deadline = time.monotonic() + 90
    while stock_shell(world.file(), world.alias.password, "SELECT 1")[0] != 0 or world.rest():
        check(time.monotonic() < deadline, f"not under the new password; left: {world.rest()}")
        world.login_and_out(world.alias.password)
        time.sleep(0.5)
    new = world.new_password(world.recovery)
    check(new is not None, "the recovery key was lost")
    world.alias.password = new
    world.compare(new)
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def restored(world, *options):
    """What a restore with the present password gives, when all that was done is at the destination."""
    deadline = time.monotonic() + 30
    time.sleep(0.5)  # a log's batch
    while True:
        done = subprocess.run([program(), "restore", world.alias.address, *options, "--json",
                               "--password-file", world.secret_file(world.alias.password), "--config",
                               str(world.server.conf)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=90)
        if done.returncode == 0:
            return world.read(world.alias.password)
        # A process that is ending takes no job.
        check(done.returncode == 8 and time.monotonic() < deadline, done.stdout + done.stderr)
        time.sleep(0.3)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def backed_up(world):
    """The undisturbed way: what came before, during and behind a re-encryption, as it was in the end
    and at each moment since."""
    world.ended = world.server.log().count("mailbox re-encrypted")
    client = world.login(world.alias.password)
    world.append(client, "before it")
    client.logout()
    new = world.new_password(world.alias.password)
    check(new is not None, "no new password")
    world.alias.password = new
    client = world.login(new)
    number = 0
    while world.server.log().count("mailbox re-encrypted") == world.ended:
        world.append(client, f"during it {number}")
        number += 1
    moments = []
    for number in range(4):
        time.sleep(0.7)
        world.append(client, f"behind it {number}")
        time.sleep(0.02)
        moments.append((now(), sorted(world.subjects)))
    client.logout()
    for moment, expected in reversed(moments):
        found = restored(world, "--at", moment)
        check(found == expected, f"at {moment}: {len(found)} messages, not {len(expected)}")
    check(restored(world) == moments[0][1], "the last restore's own state")
    world.subjects = set(moments[0][1])
    return len(moments)


def full_backups(world, place):
    """Some open with the password of now; the newest does."""
    newest = max(place.glob("*/full/*.sqlite"), key=lambda path: path.name)
    status, text = stock_shell(newest, world.alias.password, "SELECT count(*) FROM message")
    check(status == 0, f"{newest.name} does not open with the new password: {text}")


@suite.case
def with_backups(_):
    """Beside log shipping: after every kill, what is at the destination gives all messages again, with
    the password of now."""
    stride = 1 if suite.options.long else 5
    counts = {}
    with tempfile.TemporaryDirectory(prefix="sealpost-backup-") as folder:
        os.chmod(folder, 0o777)
        server = Server(settings={"mailbox_linger": "100ms", "backup": folder, "backup_interval": "1s",
                                  "backup_hourly": "1000", "failures_per_account": "10000"})
        server.data.mkdir(mode=0o700)
        with Faults(server.data) as faults:
            server.environment.update(faults.environment())
            server.preload = [library()]
            with server:
                world = World(server, faults)
                moments = backed_up(world)
                for kind in ("name", "sync", "open"):
                    counts[kind] = 0
                    for after in range(1, 10 ** 6, stride):
                        faults.arm(kind, KILL, after=after)
                        reached = round_with_backups(world, f"{kind} {after}")
                        if not reached:
                            break
                        counts[kind] += 1
                time.sleep(3)
                full_backups(world, pathlib.Path(folder))
        check(not server.sanitizer_findings(), server.sanitizer_findings())
    return f"{moments} moments; " + ", ".join(f"{n} kills at {kind}" for kind, n in counts.items())


def round_with_backups(world, name):
    def during():
        deadline = time.monotonic() + 5
        client = world.login(world.alias.password)
        while (world.server.log().count("mailbox re-encrypted") == world.ended
               and not world.faults.given() and time.monotonic() < deadline):
            time.sleep(0.005)
        world.given = world.faults.given()
        world.faults.disarm()
        if client is not None:
            client.shutdown()

    try:
        world.change(during)
    finally:
        world.faults.disarm()
    world.settle()
    client = world.login(world.alias.password)
    world.append(client, f"behind {name}")
    client.logout()
    found = restored(world)
    check(found == sorted(world.subjects),
          f"{name}: {len(found)} restored, {len(world.subjects)} expected")
    return world.given


@suite.case
def the_power_goes(world):
    """At a random moment of a change; the disk is then in one of the states that POSIX allows."""
    server = world.server
    rounds = 60 if suite.options.long else 12
    chance = random.Random(suite.options.seed)
    environment, preload = server.environment, server.preload
    world.settle()
    server.stop()
    moments = []
    with Faults(server.data, journal_size=1 << 30) as faults:
        for number in range(rounds):
            server.preload = [library()]
            server.environment = faults.environment()
            faults.new_journal()
            disk = Disk(server.data)
            server.start()
            world.ended = server.log().count("mailbox re-encrypted")
            old, seen = world.alias.password, []
            command = threading.Thread(target=lambda: seen.append(world.new_password(old)))
            command.start()
            time.sleep(chance.uniform(0, 0.25))
            record = faults.cut_power()
            server.kill_all()
            command.join()
            new = seen[0]
            moments.append(server.log().count("mailbox re-encrypted") > world.ended)
            disk.replay(record)
            check(not disk.unseen, "; ".join(disk.unseen[:8]))
            disk.cut(random.Random(f"{suite.options.seed} {number}"), server.data)
            server.preload, server.environment = [], {}
            server.start()
            opens = [word for word in (new, old) if word and world.login_and_out(word)]
            check(opens, f"after cut {number} neither password opens")
            world.alias.password = opens[0]
            check(new is None or opens[0] == new, f"after cut {number}: what was shown does not open")
            world.compare(world.alias.password, world.app)
            if not moments[-1] and opens[0] == new:
                world.wait_for_end()
                world.compare(new, world.app)
            server.stop()
    server.environment, server.preload = environment, preload
    server.start()
    return f"{rounds} cuts, {sum(moments)} of them behind the end"


def main():
    suite.parse()
    print(f"seed {suite.options.seed}")
    server = Server(settings={"mailbox_linger": "100ms"})
    server.data.mkdir(mode=0o700)
    with Faults(server.data) as faults:
        server.environment.update(faults.environment())
        server.preload = [library()]
        with server:
            suite.run(World(server, faults))


if __name__ == "__main__":
    main()
