#!/usr/bin/python3
"""Restoring what is under the password of another time."""

import dataclasses
import datetime
import imaplib
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import stock_shell  # noqa: E402
from lib.server import program  # noqa: E402
from lib.suite import check  # noqa: E402
from lib.terminal import Terminal  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import owners  # noqa: E402
from forging import redate  # noqa: E402
from owners import append, connect, now, show, subjects  # noqa: E402
import storage  # noqa: E402

suite = owners.suite(__doc__)


def refused(world, alias, password):
    try:
        world.server.imap(Owner(alias.address, password)).logout()
        return False
    except imaplib.IMAP4.error as error:
        return "AUTHENTICATIONFAILED" in str(error)


@dataclasses.dataclass
class Owner:
    address: str
    password: str


def an_hour_ago(world, alias):
    """Its full backup as one of the hour before: of each hour the newest is kept, and there will be another,
    under the new password, as soon as somebody looks. Its name."""
    folder = world.folder_of(alias) / "full"
    made, = (path.stem for path in folder.glob("*.json"))
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    stamp = when.strftime("%Y%m%dT%H%M%S.000Z")
    for kind in (".sqlite", ".json"):
        storage.move(folder / (made + kind), stamp + made[20:] + kind)
    redate(alias, folder / (stamp + made[20:] + ".json"), when.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
    return stamp + made[20:]


@suite.case
def a_backup_from_before_a_new_password(world):
    alias = world.server.add_alias("moved@example.test", "--recovery-key")
    with world.server.imap(alias) as client:
        append(client, "one", "two")
    world.back_up(alias)
    full = an_hour_ago(world, alias)
    world.wait_shipped(alias)
    before = now()
    old = world.new_password(alias)
    with world.server.imap(alias) as client:
        append(client, "three")
        world.wait_shipped(alias)
        for options in (("--at", before), ("--from", full)):
            for words in (("restore",), ("backup", "verify")):
                # It says what it needs: the password of which backup, of when.
                result = world.run(alias, *words, *options)
                check(result[0] == 6 and result[1]["needs"] == "backup-password", show(result))
                check(result[1]["time"] in result[1]["message"] and
                      result[1]["backup"] in result[1]["message"], show(result))
                check("--backup-password-file" in result[1]["hint"], show(result))
                for wrong in ("x" * 32, alias.password, alias.recovery):
                    result = world.run(alias, *words, *options, backup_password=wrong)
                    check(result[0] == 6 and "does not open with that password" in
                          result[1]["message"], show(result))
                if words != ("restore",):
                    result = world.run(alias, *words, *options, backup_password=old)
                    check(result[0] == 0, show(result))
        result = world.restore(alias, "--at", before, "--into-folder", "Then", backup_password=old)
        check(result[0] == 0 and subjects(client, "Then/INBOX") == ["one", "two"], show(result))
        result = world.restore(alias, "--from", full, "--into-folder", "Full", "--folder", "INBOX",
                               backup_password=old)
        check(result[0] == 0 and subjects(client, "Full") == ["one", "two"], show(result))
        # The newest is under the present password, and the other one is not in its way.
        result = world.run(alias, "backup", "verify", backup_password=old)
        check(result[0] == 0, show(result))
        check(subjects(client) == ["one", "two", "three"], "the live mailbox was touched")
    # The whole mailbox, asked for with the recovery key: it opens with the present password.
    result = world.restore(alias, "--at", before, password=alias.recovery, backup_password=old)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")
        append(client, "four")
    check(refused(world, alias, old), "the old password opens it again")
    world.wait_closed(alias)
    path = world.file_of(alias)
    status, text = stock_shell(path, alias.password, "PRAGMA integrity_check")
    check(status == 0 and text.strip() == "ok", f"elsewhere: {text}")
    check(stock_shell(path, old, "SELECT 1 FROM sqlite_master")[0] != 0, "under the old key")
    # What was restored is backed up under the present key, and has a next password.
    world.wait_shipped(alias)
    check(world.run(alias, "backup", "verify")[0] == 0, "its own log does not open")
    check(refused(world, alias, world.new_password(alias)), "the one before the last still opens")
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two", "four"], f"{subjects(client)}")
    left = [each.name for each in path.parent.iterdir() if ".restored" in each.name]
    check(not left, f"{left}")


@suite.case
def an_account_database_from_before_a_new_password(world):
    """A host that was lost: its accounts are an hour older than the mailbox. Its backups are under the newer
    password, and the mailbox opens with the older one again."""
    alias, server = world.alias(), world.server
    account = server.data / "account" / "account.sqlite"
    with server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
    server.stop()
    saved = account.read_bytes()
    server.start()
    old = world.new_password(alias)
    with server.imap(alias) as client:
        append(client, "two")
        world.wait_shipped(alias)
    server.stop()
    account.write_bytes(saved)
    shutil.rmtree(world.file_of(alias).parent)
    server.start()
    new, alias.password = alias.password, old
    result = world.run(alias, "backup", "verify")
    check(result[0] == 0 and "cannot be read" in result[1]["hint"], f"a loss: {show(result)}")
    result = world.restore(alias, backup_password=new)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")
    check(refused(world, alias, new), "the accounts do not know it")


@suite.case
def the_password_of_that_time_is_asked_for(world):
    """At a terminal: first the present one, then, when that does not open the backup, the other."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
    world.wait_shipped(alias)
    before = now()
    old = world.new_password(alias)
    with Terminal([program(), "restore", alias.address, "--at", before, "--config",
                   str(world.server.conf)]) as terminal:
        terminal.answer("Password or recovery key of the mailbox: ", alias.password)
        terminal.answer("Password of the mailbox when the backup was made: ", old)
        shown = terminal.end()
    check(terminal.status == 0 and "The mailbox is as it was at" in shown, shown)
    check("was not made under the mailbox's present password" in shown, shown)
    check(alias.password not in shown and old not in shown, "a password was shown")
    with connect(world, alias) as client:
        check(subjects(client) == ["one"], f"{subjects(client)}")


if __name__ == "__main__":
    owners.run(suite)
