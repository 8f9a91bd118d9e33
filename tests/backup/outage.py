#!/usr/bin/python3
"""A destination that hangs, takes a byte now and then, or refuses, on S3: what it may cost those who have
mailboxes here. Nobody's key stays in memory for its sake, nobody is copied in vain over and over, and
nothing is left on the disk.
"""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.suite import check, until  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import owners  # noqa: E402
from owners import append, show  # noqa: E402

suite = owners.suite(__doc__)
suite.parser.set_defaults(s3=True)


def copies_without_names(world):
    """Bytes of copies of mailboxes that somebody has open, whoever it is."""
    found = {}
    for process in world.server.processes():
        try:
            for each in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
                name = os.readlink(each)
                if name.endswith((".copy (deleted)", ".base (deleted)")):
                    found[name] = each.stat().st_blocks * 512
        except OSError:  # it ended, or closed it, while we looked
            pass
    return sum(found.values())


def copies_sent(world, alias):
    """How many copies of the mailbox were begun to be sent, whatever became of them."""
    root = world.id_of(alias)
    with world.s3.breaker.lock:
        return {found.group(1) for line in world.s3.breaker.seen
                if (found := re.match(rf"PUT /mail/host/{root}/((?:base|full)/[^?]*\.sqlite)", line))}


def fail(world, alias, action, *parts, value=None):
    """Whatever is put below these parts of the mailbox's objects."""
    for part in parts:
        world.s3.breaker.add("PUT", f"{world.id_of(alias)}/{part}", action, value, times=10_000)


def check_goes_on(world, alias, *names):
    """The destination is well again: nothing is lost."""
    with world.server.imap(alias) as client:
        append(client, names[-1])
        world.back_up(alias)
        world.wait_shipped(alias)
    world.wait_ended()
    result = world.verify(alias)
    check(result[0] == 0, show(result))
    world.check_restores(alias, *names)


@suite.case
def a_full_backup_that_is_not_taken_keeps_no_mailbox_open(world):
    for action in ("hang", "drip"):
        alias = world.alias()
        with world.server.imap(alias) as client:
            append(client, "one")
            world.wait_shipped(alias)
            fail(world, alias, action, "full/")
        world.wait_ended()
        check(len(copies_sent(world, alias)) == 2, f"{action}: {copies_sent(world, alias)}")
        check("backups are not waited for" in world.server.log(), f"{action}: it was not given up")
        check(copies_without_names(world) == 0, f"{action}: {copies_without_names(world)} bytes left")
        world.s3.breaker.reset()
        check_goes_on(world, alias, "one", "two")


@suite.case
def a_log_that_cannot_begin_keeps_no_mailbox_open(world):
    for action in ("hang", "drip"):
        alias = world.alias()
        fail(world, alias, action, "")
        with world.server.imap(alias) as client:
            append(client, "one")
            until(lambda: copies_sent(world, alias), "no log begins", 60)
        world.wait_ended()
        check(copies_without_names(world) == 0, f"{action}: {copies_without_names(world)} bytes left")
        world.s3.breaker.reset()
        check_goes_on(world, alias, "one", "two")


@suite.case
def a_new_password_does_not_wait_for_it(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        fail(world, alias, "drip", "full/")
        world.new_password(alias)
        check("no backup before re-encrypting" in world.server.log(), "it was backed up")
        until(lambda: copies_without_names(world) == 0, "the old key's backup is still there", 60)
    world.s3.breaker.reset()
    check_goes_on(world, alias, "one", "two")


if __name__ == "__main__":
    owners.run(suite)
