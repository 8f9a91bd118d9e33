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
        for each in pathlib.Path(f"/proc/{process.pid}/fd").glob("*"):
            try:
                name = os.readlink(each)
                if name.endswith((".copy (deleted)", ".base (deleted)")):
                    found[name] = each.stat().st_blocks * 512
            except OSError:  # it was closed while we looked
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
        words = f"backups are not waited for mailbox={world.id_of(alias)}"
        check(words in world.server.log(), f"{action}: it was not given up")
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


def check_few_copies(world, alias, most):
    """Three sessions in which something is changed, while the destination is away."""
    for _ in range(3):
        with world.server.imap(alias) as client:
            append(client, "in vain")
        world.wait_ended()
    found = copies_sent(world, alias)
    check(len(found) <= most, f"{len(found)} copies were made: {found}")
    check(copies_without_names(world) == 0, f"{copies_without_names(world)} bytes left")


@suite.case
def sessions_make_no_copy_for_one_that_refuses(world):
    """The first finds out, where lists are answered; later ones know of it."""
    alias = world.alias()
    fail(world, alias, "status", "", value=403)
    check_few_copies(world, alias, 1)
    world.s3.breaker.reset()
    check_goes_on(world, alias, *["in vain"] * 3, "then")


@suite.case
def sessions_make_no_copy_for_one_that_is_away(world):
    for status in (503, 404):  # or whose bucket is gone
        alias = world.alias()
        for method in ("PUT", "GET"):
            world.s3.breaker.add(method, "", "status", status, times=10_000)
        check_few_copies(world, alias, 0)
        world.s3.breaker.reset()
        check_goes_on(world, alias, *["in vain"] * 3, "then")


@suite.case
def no_full_backup_begins_where_the_log_is_refused(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        fail(world, alias, "status", "log/", value=403)
        append(client, "two")
        words = f"the log was not taken mailbox={world.id_of(alias)}"
        until(lambda: words in world.server.log(), "the log is taken", 60)
    world.wait_ended()
    found = {name for name in copies_sent(world, alias) if name.startswith("full/")}
    check(not found, f"a full backup for one that refuses the log: {found}")
    world.s3.breaker.reset()
    check_goes_on(world, alias, "one", "two", "three")


@suite.case
def an_open_mailbox_keeps_no_copy_that_was_refused(world):
    alias = world.alias()
    fail(world, alias, "status", "", value=403)
    with world.server.imap(alias) as client:
        append(client, "one")
        until(lambda: copies_sent(world, alias), "no log begins", 60)
        # A session that is silent may sleep, and its process end.
        until(lambda: client.noop() and copies_without_names(world) == 0, "it is kept", 60)
        append(client, "two")
    world.wait_ended()
    world.s3.breaker.reset()
    check_goes_on(world, alias, "one", "two", "three")


if __name__ == "__main__":
    owners.run(suite)
