#!/usr/bin/python3
"""`sealpost restore-host`: what a lost host had comes back byte for byte, from a folder and from a real S3
server that fails in the middle; killed and refused by the disk at every step, and run again; what is damaged,
there already, or another host's.
"""

import errno
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from faults.faults import KILL, Faults, library  # noqa: E402
from lib.server import Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
import storage  # noqa: E402

suite = Suite(__doc__)


class World:
    """Three mailboxes: one whose mail waits, one, and one whose owner was at work."""

    def __init__(self, server, place, s3):
        self.server, self.place, self.s3 = server, place, s3
        self.aliases = [server.add_alias(f"{name}@example.test")
                        for name in ("waits", "plain", "busy&more")]
        self.data = server.data
        self.uidvalidity = {}

    def objects(self, alias, kind):
        return self.place.names(f"{alias.mailbox}/{kind}/")

    def wait(self, condition, words):
        deadline = time.monotonic() + 60
        while not condition():
            check(time.monotonic() < deadline, f"{words}: {self.server.log(1500)}")
            time.sleep(0.1)

    def lose(self):
        """All that is needed is at the destination; then the host goes."""
        waits, _, busy = self.aliases
        for alias in self.aliases:
            with self.server.imap(alias) as client:
                client.select("INBOX")
                self.uidvalidity[alias.address] = client.untagged_responses["UIDVALIDITY"][-1]
                client.append("INBOX", None, None, b"Subject: one\r\n\r\none\r\n")
                time.sleep(1.1)  # `backup_interval`, so that the full backup at its end has it
        for alias in self.aliases:
            self.wait(lambda: not self.server.processes("mailbox"), "processes stay")
        with self.server.smtp() as client:
            client.sendmail("a@example.net", [waits.address], "Subject: waits\r\n\r\nmail\r\n")
        self.wait(lambda: self.objects(waits, "drop"), "waiting mail is not copied")
        self.wait(lambda: self.place.names("host/account/"), "the accounts are not copied")
        before = len(self.objects(busy, "log"))
        client = self.server.imap(busy)
        client.append("INBOX", None, None, b"Subject: two\r\n\r\ntwo\r\n")
        self.wait(lambda: len(self.objects(busy, "log")) > before, "the log is not there")
        self.host_key = (self.data / "host.key").read_bytes()
        self.server.kill_all()

    def empty(self):
        """A new host, with the key that was kept."""
        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        (self.data / "host.key").write_bytes(self.host_key)

    def run(self, **environment):
        done = subprocess.run([program(), "restore-host", "--config", str(self.server.conf)],
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                              env={**os.environ, **environment})
        return done.returncode, done.stdout + done.stderr

    def file(self, part, alias, suffix):
        name = alias.mailbox
        return self.data / part / name[-2:] / name / f"{name}{suffix}"

    def check_whole(self, damaged=()):
        """What the destination has, and nothing else."""
        waits, plain, busy = self.aliases
        expected = {}
        for alias in (waits, plain):
            name = [each for each in self.objects(alias, "full") if each.endswith(".sqlite")][-1]
            expected[self.file("mail", alias, ".sqlite")] = self.place.get(name)[0]
        for alias in self.aliases:
            for name in self.objects(alias, "drop")[-1:]:
                expected[self.file("drop", alias, ".drop.sqlite")] = self.place.get(name)[0]
        for path, content in expected.items():
            check(path in damaged or path.read_bytes() == content, f"{path} is not what was backed up")
        left = {path for part in ("mail", "drop", "archive") for path in (self.data / part).rglob("*")
                if path.is_file()} - set(expected)
        check(not left, f"left behind: {left}")
        check([path.name for path in (self.data / "account").iterdir()] == ["account.sqlite"],
              f"{list((self.data / 'account').iterdir())}")
        check(not self.file("mail", busy, ".sqlite").exists(), "an older mailbox than there was")


def tree(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


@suite.case
def all_comes_back_and_only_once(world):
    world.empty()
    status, shown = world.run()
    check(status == 0, shown)
    check(f"to be restored with its owner: {world.aliases[2].address}" in shown and
          "brought back: 2, there already: 0, to be restored with their owners: 1" in shown and
          "\n  start the service" in shown, shown)
    _, _, then = shown.partition("\nNext:\n")
    check(f"{world.aliases[2].address} (its log may have more than its full backup of 20" in shown and
          then.count("sealpost restore ") == 1 and
          f"\n    sealpost restore {shlex.quote(world.aliases[2].address)}\n" in then, shown)
    world.check_whole()
    before = tree(world.data)
    status, shown = world.run()
    check(status == 1 and "replaces nothing" in shown, shown)
    check(tree(world.data) == before, "something was changed")


@suite.case
def killed_and_refused_at_every_step(world):
    counts = {}
    with Faults(world.data) as faults:
        environment = {**faults.environment(), "LD_PRELOAD": str(library())}
        for kind, error in (("name", KILL), ("sync", KILL), ("write", KILL), ("name", errno.EIO),
                            ("sync", errno.EIO), ("write", errno.ENOSPC)):
            step = 0
            while True:
                step += 1 if suite.options.long else 3 if kind == "name" else 7
                world.empty()
                faults.arm(kind, error, after=step)
                status, shown = world.run(**environment)
                if faults.given() == 0:
                    break
                faults.disarm()
                if status == 0:  # tidying that failed, or a call that is repeated
                    check(error != KILL, f"{kind} {step}: killed, and all is well?")
                else:
                    check((world.data / "account" / "account.sqlite").exists() is False or
                          kind == "sync" or error == KILL, f"{kind} {step}: {shown}")
                    if not (world.data / "account" / "account.sqlite").exists():
                        status, shown = world.run()
                        check(status == 0, f"{kind} {step}: {shown}")
                world.check_whole()
                counts[kind, error] = counts.get((kind, error), 0) + 1
    check(all(counts[kind, KILL] > 1 for kind in ("name", "sync", "write")), f"{counts}")
    return f"{sum(counts.values())} steps"


@suite.case
def a_service_does_not_start_before_it_has_ended(world):
    with Faults(world.data) as faults:
        step = 0
        while not (world.data / "account" / "restoring.sqlite").exists():
            step += 1
            world.empty()
            faults.arm("name", KILL, after=step)
            shown = world.run(**faults.environment(), LD_PRELOAD=str(library()))
            check(faults.given() > 0, shown)
    subprocess.run([program(), "make-certificate", "--config", str(world.server.conf)], check=True,
                   capture_output=True, timeout=30)
    done = subprocess.run([program(), "serve", "--config", str(world.server.conf)], timeout=30,
                          capture_output=True, text=True, check=False)
    check(done.returncode != 0 and "restore-host has not ended" in done.stderr, done.stderr)
    check(not (world.data / "account" / "account.sqlite").exists(), "empty accounts")


@suite.case
def what_is_damaged_is_named_and_passed_over(world):
    waits, plain, _ = world.aliases
    drop = world.objects(waits, "drop")[-1]
    content, digest = world.place.get(drop)
    world.place.put(drop, content[:-1] + bytes([content[-1] ^ 1]), digest)
    newest = world.place.names("host/account/")[-1]
    # One without mailboxes, of a service that was started too early; and one that was altered.
    world.empty()
    world.server.prepared = False
    world.server.start()
    world.server.stop()
    early = newest.replace("host/account/2", "host/account/3")
    later = newest.replace("host/account/2", "host/account/9")
    accounts = (world.data / "account" / "account.sqlite").read_bytes()
    world.place.put(early, accounts, storage.digest_of(accounts))
    accounts, accounts_digest = world.place.get(newest)
    world.place.put(later, accounts[:-1], accounts_digest)
    world.empty()
    status, shown = world.run()
    world.place.put(drop, content, digest)
    for name in (early, later):
        world.place.delete(name)
        check(f"passed over: {name}" in shown, shown)
    check(status == 1 and f"damaged: {drop}" in shown and f"accounts: {newest}" in shown, shown)
    check(not world.file("drop", waits, ".drop.sqlite").exists(), "damaged, and taken")
    world.check_whole(damaged=[world.file("drop", waits, ".drop.sqlite")])


@suite.case
def what_is_there_stays(world):
    _, plain, _ = world.aliases
    world.empty()
    path = world.file("mail", plain, ".sqlite")
    path.parent.mkdir(mode=0o700, parents=True)
    path.write_bytes(b"somebody's")
    status, shown = world.run()
    check(status == 0 and "there already: 1" in shown, shown)
    check(path.read_bytes() == b"somebody's", "it was replaced")


@suite.case
def another_hosts_key(world):
    world.empty()
    (world.data / "host.key").write_bytes(os.urandom(32))
    status, shown = world.run()
    check(status == 1 and "no copy of an account database that this host key opens" in shown, shown)
    check(not list((world.data / "account").iterdir()), "something is left")


@suite.case
def from_a_server_that_fails_in_the_middle(world):
    """The last case: the service runs on what comes back."""
    bucket = storage.Bucket(world.s3, prefix="lost")
    for name in world.place.names(""):
        bucket.put(name, *world.place.get(name))
    world.server.settings.update({key: str(value) for key, value in bucket.settings.items()})
    world.server.write_config()
    world.empty()
    breaker = world.s3.breaker
    breaker.add("GET", "lost", "status", 403, times=10**6)
    status, shown = world.run()
    check(status == 1 and not list((world.data / "account").iterdir()), shown)
    breaker.reset()
    waits, plain, _ = world.aliases
    breaker.add("GET", f"{waits.mailbox}%2Fdrop", "swap", (waits.mailbox, plain.mailbox))
    status, shown = world.run()
    check(status == 0 and "drop boxes brought back: 0" in shown, f"what was not asked for: {shown}")
    world.empty()
    breaker.add("GET", "host/account", "status", 503, times=2)
    breaker.add("GET", "/full/", "cut_response", 5000, times=2)
    breaker.add("GET", "/drop/", "cut_response", 100, times=2)
    status, shown = world.run()
    check(status == 0, shown)
    check(not any(rule.times for rule in breaker.rules), "the server did not fail as it should")
    breaker.reset()
    world.check_whole()
    world.server.prepared = False
    world.server.start()
    for alias in world.aliases[:2]:
        with world.server.imap(alias) as client:
            client.select("INBOX")
            check(client.untagged_responses["UIDVALIDITY"][-1] != world.uidvalidity[alias.address],
                  "UIDs may come twice")
            _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            names = [part[1].decode().strip() for part in found if isinstance(part, tuple)]
            check(names == ["Subject: one"] + ["Subject: waits"] * (alias is world.aliases[0]), names)


def main():
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-host-") as folder:
        folder = pathlib.Path(folder)
        place = storage.Folder(folder / "backup")
        s3 = storage.Server(folder)
        try:
            with Server(settings={"backup": place.folder, "mailbox_linger": "300ms",
                                  "backup_interval": "1s", "backup_drop_after": "200ms"}) as server:
                world = World(server, place, s3)
                world.lose()
                suite.run(world)
        finally:
            s3.close()


if __name__ == "__main__":
    main()
