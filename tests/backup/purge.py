#!/usr/bin/python3
"""What is removed leaves nothing: no file of the mailbox, no drop box, no object where backups are kept,
and no row of what is still to go. Through aliases, domains and accounts; at once or after days; with a
service that is killed in the middle and a destination that is away for a while.
"""

import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import storage  # noqa: E402

suite = Suite(__doc__)
OBJECTS = 200


class World:
    def __init__(self, server, backups):
        self.server = server
        self.backups = backups
        self.bystander = self.add("stays@example.test")

    def add(self, address):
        """A mailbox with mail in it and with backups; its id."""
        before = set(self.ids())
        self.server.add_alias(address)
        new, = set(self.ids()) - before
        for number in range(OBJECTS):
            kind = ("full", "base", "log/20261126T100000.000Z", "drop")[number % 4]
            place = self.backups / new / kind / f"20261126T100000.{number:03}Z-1.bin"
            place.parent.mkdir(parents=True, exist_ok=True)
            for folder in [place.parent, *place.parent.parents]:
                if folder == self.backups:
                    break
                folder.chmod(0o777)  # the roles are another user when this is root
            place.write_bytes(os.urandom(64))
            digest = storage.digest_of(place.read_bytes())
            place.with_name(place.name + ".digest").write_text(digest + "\n")
        return new

    def ids(self):
        return [each.name for each in (self.server.data / "mail").glob("*/*") if each.is_dir()]

    def found(self, mailbox):
        """Everything on the disk that has the mailbox's id in its path."""
        places = [self.server.data, self.backups]
        try:
            return self.look(mailbox, places)
        except FileNotFoundError:  # went while it was looked at
            return [mailbox]

    @staticmethod
    def look(mailbox, places):
        return [path for place in places for path in place.rglob("*")
                if mailbox in str(path.relative_to(place))]

    def objects(self, mailbox):
        return [path for path in (self.backups / mailbox).rglob("*") if path.is_file()]

    def waiting(self):
        return self.server.admin("status")["removed_with_backups"]

    def wait_until_gone(self, mailbox, seconds=30):
        deadline = time.monotonic() + seconds
        while self.found(mailbox):
            check(time.monotonic() < deadline, f"still there: {self.found(mailbox)[:5]}")
            time.sleep(0.1)
        check(len(self.objects(self.bystander)) >= 2 * OBJECTS, "another's backups went along")


@suite.case
def an_alias(world):
    mailbox = world.add("a@example.test")
    check(len(world.objects(mailbox)) >= 2 * OBJECTS, "no backups to begin with")
    world.server.admin("alias", "remove", "a@example.test", "--yes")
    world.wait_until_gone(mailbox)


@suite.case
def a_domain_and_an_account(world):
    server = world.server
    server.admin("user", "add", "leaver")
    server.admin("domain", "add", "leaver.test", "--user", "leaver")
    server.admin("domain", "add", "other.test", "--user", "leaver")
    one, two = world.add("a@leaver.test"), world.add("b@other.test")
    server.admin("domain", "remove", "leaver.test", "--yes")
    world.wait_until_gone(one)
    check(world.objects(two), "the other domain's went along")
    server.admin("user", "remove", "leaver", "--yes")
    world.wait_until_gone(two)


@suite.case
def after_days(world):
    mailbox = world.add("later@example.test")
    world.server.admin("alias", "remove", "later@example.test", "--yes", "--keep-backups", "30")
    time.sleep(3)
    check(len(world.objects(mailbox)) >= 2 * OBJECTS, "they went at once")
    check(mailbox not in world.ids(), "its file stays, too")
    shutil.rmtree(world.backups / mailbox)


@suite.case
def killed_in_the_middle(world):
    mailbox = world.add("killed@example.test")
    world.server.admin("alias", "remove", "killed@example.test", "--yes")
    for role in ("archivist", "keeper", "archivist"):
        for process in world.server.processes(role):
            os.kill(process.pid, 9)
        time.sleep(0.3)
    world.wait_until_gone(mailbox, 60)


@suite.case
def all_of_it_killed(world):
    mailbox = world.add("all@example.test")
    world.server.admin("alias", "remove", "all@example.test", "--yes")
    world.server.kill_all()
    world.server.start()
    world.wait_until_gone(mailbox, 60)


@suite.case
def no_row_is_left(world):
    """After the second look: but for the one of thirty days."""
    deadline = time.monotonic() + 120
    while world.waiting() > 1:
        check(time.monotonic() < deadline, f"{world.waiting()} rows")
        time.sleep(1)
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def main():
    suite.parse()
    with Server() as server:
        backups = server.folder / "backups"
        backups.mkdir()
        backups.chmod(0o777)
        server.settings["backup"] = str(backups)
        server.stop()
        server.start()
        suite.run(World(server, backups))


if __name__ == "__main__":
    main()
