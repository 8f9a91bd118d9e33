#!/usr/bin/python3
"""Backups of a whole service, and what is restored from them: full ones, points in time before and
after a deletion, folders beside what is there, a disk that is lost, objects that were cut, altered or
are missing, wrong passwords, passwords of another time; who is killed meanwhile, and who goes on. In a
folder, or with --s3 on a real S3 server (storage.py). The drills of docs/operating.md are
tests/backup/drills.py.
"""

import base64
import dataclasses
import datetime
import hashlib
import imaplib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import stock_shell  # noqa: E402
from lib.server import Server, program  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402
from lib.terminal import Terminal  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import storage  # noqa: E402

suite = Suite(__doc__)
suite.parser.add_argument("--s3", action="store_true", help="on S3 instead of in a folder")


class World:
    def __init__(self, server, place, s3=None):
        self.server = server
        self.place = place
        self.s3 = s3  # the server; None: in a folder
        self.count = 0

    def alias(self):
        self.count += 1
        return self.server.add_alias(f"user{self.count}@example.test")

    def command(self, alias, *words, backup_password=None):
        """`words`: a command without its alias, then its options."""
        count = 2 if words[0] == "backup" else 1
        return [program(), *words[:count], alias.address, *words[count:], "--password-file", "-",
                *(["--backup-password-file", "-"] if backup_password else []),
                "--json", "--config", str(self.server.conf)]

    def start(self, alias, *words, password=None, backup_password=None):
        """The command, running; its passwords are written already."""
        process = subprocess.Popen(self.command(alias, *words, backup_password=backup_password),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        for each in (password or alias.password, backup_password):
            process.stdin.write(f"{each}\n" if each else "")
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def finish(process):
        """Its exit code, answer and what it said."""
        out, err = process.communicate(timeout=120)
        return process.returncode, json.loads(out) if out.strip() else {}, err

    def run(self, alias, *words, **passwords):
        return self.finish(self.start(alias, *words, **passwords))

    def restore(self, alias, *options, **passwords):
        return self.run(alias, "restore", *options, **passwords)

    def verify(self, alias, *options, **passwords):
        return self.run(alias, "backup", "verify", *options, **passwords)

    def new_password(self, alias):
        """The old one; the file is under the new one's key when this returns."""
        ended = self.server.log().count("mailbox re-encrypted")
        done = subprocess.run([program(), "alias", "password", alias.address, "--json",
                               "--old-password-file", "-", "--config", str(self.server.conf)],
                              input=alias.password + "\n", capture_output=True, text=True,
                              timeout=60)
        check(done.returncode == 0, f"no new password: {done.stdout}{done.stderr}")
        old, alias.password = alias.password, json.loads(done.stdout)["password"]
        deadline = time.monotonic() + 60
        while self.server.log().count("mailbox re-encrypted") == ended:
            check(time.monotonic() < deadline, "it is not re-encrypted")
            time.sleep(0.05)
        return old

    def folder_of(self, alias):
        """The mailbox's objects: the youngest folder that has a log."""
        return self.place / self.id_of(alias)

    def file_of(self, alias):
        name = self.id_of(alias)
        return self.server.data / "mail" / name[-2:] / name / f"{name}.sqlite"

    def id_of(self, alias):
        return alias.mailbox

    def wait_closed(self, alias):
        """Until no process has the file any more."""
        deadline = time.monotonic() + 30
        while self.file_of(alias).with_suffix(".sqlite-wal").exists():
            check(time.monotonic() < deadline, "it stays open")
            time.sleep(0.05)

    def wait_shipped(self, alias):
        """Until what was done so far is at the destination."""
        time.sleep(1.5)


def subjects(client, folder="INBOX"):
    status, _ = client.select(folder, readonly=True)
    if status != "OK":
        return None
    _, found = client.search(None, "ALL")
    result = []
    for number in found[0].split():
        _, parts = client.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        result.append(parts[0][1].decode().strip().removeprefix("Subject: "))
    return result


def append(client, *names, folder="INBOX"):
    for name in names:
        status, answer = client.append(folder, None, None,
                                       f"Subject: {name}\r\n\r\nText of {name}.\r\n".encode())
        check(status == "OK", answer)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def connect(world, alias):
    """A mailbox that was just restored: its old process may be ending."""
    for _ in range(50):
        try:
            return world.server.imap(alias)
        except Exception:  # noqa: BLE001
            time.sleep(0.1)
    return world.server.imap(alias)


def show(result):
    return f"exit {result[0]}: {result[1]} {result[2]}"


@suite.case
def a_backup_when_asked_for_and_none_when_nothing_changed(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two")
    result = world.run(alias, "backup", "now")
    check(result[0] == 0, show(result))
    fulls = sorted((world.folder_of(alias) / "full").glob("*.sqlite"))
    check(len(fulls) == 1, f"{fulls}")
    manifest = json.loads(fulls[0].with_suffix(".json").read_text())
    check(manifest["verified"] is True and manifest["size"] == fulls[0].stat().st_size, manifest)
    result = world.run(alias, "backup", "now")
    check(result[0] == 0 and "Nothing has changed" in result[1]["message"], show(result))
    check(len(list((world.folder_of(alias) / "full").glob("*.sqlite"))) == 1, "a second one")
    result = world.run(alias, "backup", "verify")
    check(result[0] == 0, show(result))


@suite.case
def a_backup_that_is_asked_for_while_one_is_made(world):
    """It waits for that, and has what was committed since."""
    if world.s3 is not None:
        raise Skip("nothing of it depends on the destination")
    alias = world.alias()
    archivist, = world.server.processes("archivist")
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        os.kill(archivist.pid, signal.SIGSTOP)
        try:
            first = world.start(alias, "backup", "now")
            deadline = time.monotonic() + 30
            while not any(".copy (deleted)" in each for process in world.server.processes("mailbox")
                          for each in descriptors(process.pid)):
                check(time.monotonic() < deadline, "no copy is made")
                time.sleep(0.01)
            append(client, "two")
            others = [world.start(alias, "backup", "now") for _ in range(2)]
            time.sleep(0.3)
        finally:
            os.kill(archivist.pid, signal.SIGCONT)
        for process in (first, *others):
            result = world.finish(process)
            check(result[0] == 0 and "was made" in result[1]["message"], show(result))
    made = world.server.log().count(f"backup made mailbox={world.id_of(alias)}")
    check(made == 2, f"one behind the other, for both: {made}")


@suite.case
def what_is_committed_is_there_within_a_second(world):
    if world.s3 is not None:
        raise Skip("of a folder, that is looked at without a server")
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "first")
        time.sleep(2)
        log = world.folder_of(alias) / "log"
        worst = 0
        for number in range(5):
            before = sum(each.stat().st_size for each in log.rglob("*.seg"))
            start = time.monotonic()
            append(client, f"message {number}")
            while sum(each.stat().st_size for each in log.rglob("*.seg")) == before:
                check(time.monotonic() - start < 5, "not shipped")
                time.sleep(0.01)
            worst = max(worst, time.monotonic() - start)
            time.sleep(0.4)
    check(worst < 1, f"{worst:.2f} s")
    return f"at most {worst * 1000:.0f} ms"


@suite.case
def what_was_done_just_before_the_service_stops(world):
    """The mailbox's process ends with the last of its log shipped, whatever else was due just then."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "first")
        world.wait_shipped(alias)
    for number in range(3):
        with world.server.imap(alias) as client:
            append(client, f"message {number}")
        last = now()
        world.server.stop()
        world.server.start()
        check("was ended by signal" not in world.server.log(), "a mailbox process crashed")
        result = world.run(alias, "backup", "verify")
        check(result[0] == 0 and result[1]["time"][:19] >= last[:19], f"{last}: {show(result)}")


@suite.case
def points_in_time_before_and_after_a_deletion(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two", "three")
        time.sleep(0.8)
        before = now()
        time.sleep(0.2)
        client.select("INBOX")
        client.store("2", "+FLAGS", "\\Deleted")
        client.expunge()
        time.sleep(0.2)
        after = now()
        time.sleep(0.2)
        append(client, "four")
        _, validity = client.response("UIDVALIDITY")
        world.wait_shipped(alias)
    result = world.restore(alias, "--at", before)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        found = subjects(client)
        check(found == ["one", "two", "three"], f"{found}")
        _, new_validity = client.response("UIDVALIDITY")
        check(new_validity != validity, "clients would mix the two up")
    time.sleep(1.5)
    result = world.restore(alias, "--at", after)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "three"], f"{subjects(client)}")
        append(client, "life goes on")
        check(subjects(client)[-1] == "life goes on", "no new mail")
    kept = list(world.file_of(alias).parent.glob("*.before-*"))
    check(len(kept) == 2, f"{kept}")


@suite.case
def folders_beside_what_is_there(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        append(client, "sent", folder="Sent")
        client.select("INBOX")
        client.store("1", "+FLAGS", "(\\Flagged $Important)")
    check(world.run(alias, "backup", "now")[0] == 0, "backup")
    full = sorted((world.folder_of(alias) / "full").glob("*.sqlite"))[-1].stem
    with world.server.imap(alias) as client:
        client.select("INBOX")
        client.store("1", "+FLAGS", "\\Deleted")
        client.expunge()
        append(client, "three")
        result = world.restore(alias, "--from", full, "--into-folder", "Back")
        check(result[0] == 0 and result[1]["messages"] == 3, show(result))
        check(subjects(client, "Back/INBOX") == ["one", "two"], f"{subjects(client, 'Back/INBOX')}")
        check(subjects(client, "Back/Sent") == ["sent"], "sent")
        check(subjects(client) == ["two", "three"], "the mailbox itself is as it was")
        client.select("Back/INBOX", readonly=True)
        _, flags = client.fetch("1", "(FLAGS)")
        check(b"\\Flagged" in flags[0] and b"$Important" in flags[0], flags)
        result = world.restore(alias, "--from", full, "--into-folder", "Only", "--folder", "INBOX",
                               "--skip-duplicates")
        check(result[0] == 0 and result[1]["messages"] == 1 and result[1]["skipped"] == 1,
              show(result))
        check(subjects(client, "Only") == ["one"], "only what is missing")
        result = world.restore(alias, "--into-folder", "X", "--folder", "No such")
        check(result[0] != 0, show(result))


@suite.case
def a_wrong_password(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
    world.wait_shipped(alias)
    result = world.restore(alias, password="x" * 32)
    check(result[0] != 0 and "password" in result[1].get("message", result[2]), show(result))
    with world.server.imap(alias) as client:
        check(subjects(client) == ["one"], "as it was")


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


@suite.case
def a_backup_from_before_a_new_password(world):
    alias = world.server.add_alias("moved@example.test", "--recovery-key")
    with world.server.imap(alias) as client:
        append(client, "one", "two")
    check(world.run(alias, "backup", "now")[0] == 0, "backup")
    world.wait_shipped(alias)
    before = now()
    old = world.new_password(alias)
    # One is made before the file is re-encrypted.
    full = sorted((world.folder_of(alias) / "full").glob("*.sqlite"))[-1].stem
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


def damage(path, how):
    digest = path.with_name(path.name + ".digest")
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(whole[:-50])
    else:
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
    if how == "forged":  # by somebody who can write there: his digest fits
        digest.write_text(storage.digest_of(path.read_bytes()) + "\n")
    return whole


@suite.case
def objects_that_were_altered(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        for number in range(4):
            append(client, f"message {number}")
            time.sleep(0.6)
    world.wait_shipped(alias)
    log = sorted((world.folder_of(alias) / "log").rglob("*.seg"))
    base = sorted((world.folder_of(alias) / "base").glob("*.sqlite"))[0]
    words = []
    for path in (log[1], base):
        for how in ("cut", "altered", "forged"):
            digest = path.with_name(path.name + ".digest")
            old_digest = digest.read_bytes()
            whole = damage(path, how)
            result = world.restore(alias)
            check(result[0] != 0, f"{path.name} {how}: {show(result)}")
            words.append(result[1].get("message", ""))
            path.write_bytes(whole)
            digest.write_bytes(old_digest)
    check(any("segment 2" in each for each in words), f"{words}")
    whole = damage(log[1], "missing")
    result = world.run(alias, "backup", "verify")
    check(result[0] != 0 and "segment 2: it is missing" in result[1]["message"], show(result))
    log[1].write_bytes(whole)
    with world.server.imap(alias) as client:
        check(len(subjects(client)) == 4, "the live mailbox was touched")
    check(world.restore(alias)[0] == 0, "whole again")


@suite.case
def one_full_backup_in_an_interval(world):
    """However often the mailbox's process ends and another begins: it is noted when the last one was."""
    alias = world.alias()
    seen = []
    for number in range(3):
        with world.server.imap(alias) as client:
            append(client, f"message {number}")
        time.sleep(3)  # its process has ended
        seen.append([each.name for each in (world.folder_of(alias) / "full").glob("*.sqlite")])
    check(len(seen[0]) == 1 and seen[1:] == [seen[0], seen[0]], f"{seen}")


@suite.case
def the_process_ends_while_the_archivist_is_stuck(world):
    """What its timers would do meanwhile is not done: the file is closed already."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
    time.sleep(1)
    archivist, = world.server.processes("archivist")
    with world.server.imap(alias) as client:
        os.kill(archivist.pid, signal.SIGSTOP)
        try:
            append(client, "two", "three")
            client.logout()
            time.sleep(5.5)
        finally:
            os.kill(archivist.pid, signal.SIGCONT)
    check("was ended by signal" not in world.server.log(), "a mailbox process crashed")
    time.sleep(3)  # the process ends, and is not there for a job any more
    result = world.restore(alias)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two", "three"], f"{subjects(client)}")


@suite.case
def a_server_that_fails_in_the_middle(world):
    """S3: answers of 503, connections that break in an answer and in a request: gone on with."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    breaker, root = world.s3.breaker, world.id_of(alias)
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        breaker.add("PUT", root, "status", 503, times=3)
        breaker.add("PUT", f"{root}/log", "cut_request", 100, times=2)
        append(client, "three")
        time.sleep(4)
        check(world.run(alias, "backup", "now")[0] == 0, "no backup")
    time.sleep(3)
    breaker.add("GET", f"{root}/log", "cut_response", 200, times=2)
    breaker.add("GET", f"{root}/base", "cut_response", 5000, times=2)
    breaker.add("GET", root, "status", 500, times=3)
    result = world.restore(alias)
    check(result[0] == 0, show(result))
    check(not any(rule.times for rule in breaker.rules), "the server did not fail as it should")
    breaker.reset()
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two", "three"], f"{subjects(client)}")


@suite.case
def a_bucket_that_is_gone(world):
    """Told to whoever restores; mail goes on, and so do backups when it is there again."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        world.place.bucket.remove()
        append(client, "two")
        result = world.restore(alias)
        check(result[0] != 0 and "NoSuchBucket" in json.dumps(result[1]), show(result))
        result = world.run(alias, "backup", "now")
        check(result[0] != 0 and "NoSuchBucket" in json.dumps(result[1]), show(result))
        check(subjects(client) == ["one", "two"], "the live mailbox was touched")
        world.s3.make_bucket("mail")
        append(client, "three")
    deadline = time.monotonic() + 60
    while world.run(alias, "backup", "now")[0] != 0:
        check(time.monotonic() < deadline, "no backup when it is back")
        time.sleep(1)
    time.sleep(3)
    result = world.restore(alias)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two", "three"], f"{subjects(client)}")


@suite.case
def what_is_good_before_an_altered_segment(world):
    """The time that the refusal names can be had, as docs/operating.md says."""
    for how in ("missing", "cut", "forged"):
        alias = world.alias()
        with world.server.imap(alias) as client:
            for number in range(4):
                append(client, f"message {number}")
                time.sleep(0.6)
        world.wait_shipped(alias)
        log = sorted((world.folder_of(alias) / "log").rglob("*.seg"))
        damage(log[2], how)
        result = world.restore(alias)
        found = re.search(r"segment 3: .*good up to (\S+Z)", result[1].get("message", ""))
        check(result[0] != 0 and found, show(result))
        result = world.restore(alias, "--at", found.group(1))
        check(result[0] == 0, f"{how}, {found.group(1)}: {show(result)}")
        with connect(world, alias) as client:
            names = subjects(client)
            check(0 < len(names) < 4 and names == [f"message {n}" for n in range(len(names))], names)


@suite.case
def a_full_backup_that_has_more_than_the_log(world):
    for is_base_whole in (True, False):
        alias = world.alias()
        with world.server.imap(alias) as client:
            append(client, "one")
            world.wait_shipped(alias)
            append(client, "two", "three")
            check(world.run(alias, "backup", "now")[0] == 0, "backup")
            world.wait_shipped(alias)
        for path in sorted((world.folder_of(alias) / "log").rglob("*.seg"))[is_base_whole:]:
            path.unlink()
        full = sorted((world.folder_of(alias) / "full").glob("*.sqlite"))[-1].stem
        result = world.restore(alias)
        check(result[0] == 0, show(result))
        check(not is_base_whole or full in result[1].get("hint", ""), show(result))
        with connect(world, alias) as client:
            check(subjects(client) == ["one", "two", "three"], f"{subjects(client)}")


@suite.case
def another_backup_in_a_backups_place(world):
    """An older one under a newer one's name: its manifest is as good as ever."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        check(world.run(alias, "backup", "now")[0] == 0, "backup")
    folder = world.folder_of(alias) / "full"
    old = next(folder.glob("*.json")).stem
    new = "29991231T235959.000Z-99"
    for kind in (".sqlite", ".json"):
        storage.copy(folder / (old + kind), new + kind)
    for name, is_good in ((new, False), (old, True)):
        result = world.verify(alias, "--from", name)
        check((result[0] == 0) == is_good, show(result))
        check(is_good or "lies in its place" in result[1]["message"], show(result))


def keyed(key, label, data):
    """crypt_hash of src/secret/crypt.h."""
    return hashlib.blake2b(len(label).to_bytes(8, "little") + label + data, key=key,
                           digest_size=32).digest()


def rewrite(alias, manifest, change):
    """A manifest as its own host would have written it, after change(fields)."""
    file = manifest.with_suffix(".sqlite").read_bytes()
    key = hashlib.pbkdf2_hmac("sha256", alias.password.encode(), file[:16], 64007, 32) + file[:16]
    key = keyed(key, b"sealpost log shipping", b"")

    def mac(fields):
        ms = round(datetime.datetime.fromisoformat(fields["time"]).timestamp() * 1000)
        digest = f"sha256:{fields['sha256']}" if "sha256" in fields else fields["digest"]
        text = (f"{fields['mailbox']} {fields['generation'] or 'full'} {ms} {fields['size']} {digest} "
                f"{fields['epoch']} {fields['change_counter']} {fields['schema']} {fields['commits']}")
        return keyed(key, b"sealpost manifest", text.encode()).hex()

    fields = json.loads(manifest.read_text())
    check(mac(fields) == fields["mac"], "a mistake of this test")
    change(fields)
    fields["mac"] = mac(fields)
    manifest.write_text(json.dumps(fields))
    manifest.with_name(manifest.name + ".digest").write_text(
        storage.digest_of(manifest.read_bytes()) + "\n")


def redate(alias, manifest, when):
    """The same with its host's clock at another time."""
    rewrite(alias, manifest, lambda fields: fields.update(time=when))


def make_old(alias, folder):
    """All of a mailbox's objects as they were put when their digests were BLAKE2b-256."""
    def change(fields):
        del fields["sha256"]
        file = manifest.with_suffix(".sqlite").read_bytes()
        fields["digest"] = storage.old_digest_of(file)

    for manifest in folder.rglob("*.json"):
        rewrite(alias, manifest, change)
    count = 0
    for kind in ("*.json", "*.sqlite", "*.seg"):
        for path in folder.rglob(kind):
            path.with_name(path.name + ".digest").write_text(
                storage.old_digest_of(path.read_bytes()) + "\n")
            count += 1
    return count


@suite.case
def older_backups(world):
    """Made when digests were BLAKE2b-256: verified and restored as ever, an altered one is not."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        check(world.run(alias, "backup", "now")[0] == 0, "backup")
        append(client, "two")
    world.wait_shipped(alias)
    folder = world.folder_of(alias)
    check(make_old(alias, folder) >= 5, "a base with its log, and a full backup, are five objects")
    name = next((folder / "full").glob("*.json")).stem
    for words in ((), ("--from", name)):
        result = world.verify(alias, *words)
        check(result[0] == 0, show(result))
    for path, words in ((folder / "full" / (name + ".sqlite"), ("--from", name)),
                        (next((folder / "base").glob("*.sqlite")), ())):
        whole = damage(path, "altered")
        result = world.verify(alias, *words)
        check(result[0] != 0 and "not the bytes that were put" in result[1]["message"], show(result))
        # By somebody who can write there, and gives it a digest that fits: the manifest has another.
        path.with_name(path.name + ".digest").write_text(
            storage.old_digest_of(path.read_bytes()) + "\n")
        result = world.verify(alias, *words)
        check(result[0] != 0 and "does not match its digest" in result[1]["message"], show(result))
        path.write_bytes(whole)
        path.with_name(path.name + ".digest").write_text(storage.old_digest_of(whole) + "\n")
    check(world.restore(alias)[0] == 0, "not restored")
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")


@suite.case
def a_full_backup_of_a_clock_that_was_wrong(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        check(world.run(alias, "backup", "now")[0] == 0, "backup")
        folder = world.folder_of(alias) / "full"
        old = next(folder.glob("*.json")).stem
        new = "29991231T235959.000Z" + old[20:]
        for kind in (".sqlite", ".json"):
            storage.move(folder / (old + kind), new + kind)
        redate(alias, folder / (new + ".json"), "2999-12-31T23:59:59.000Z")
        append(client, "two")
        check(world.run(alias, "backup", "now")[0] == 0, "backup")
    check(len(list(folder.glob("*.json"))) == 2, "one was removed")
    deadline = time.monotonic() + 30
    while not list((world.folder_of(alias) / "base").glob("*.json")):  # it begins after the backups
        check(time.monotonic() < deadline, "no log begins")
        time.sleep(0.05)
    world.wait_shipped(alias)
    for kind in ("base", "log"):
        storage.remove_all(world.folder_of(alias) / kind)
    result = world.restore(alias)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")


def two_generations(world):
    """A mailbox with two generations of its log, of which the second has more: their manifests."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
    world.server.stop()
    first = next((world.folder_of(alias) / "base").glob("*.json"))
    world.file_of(alias).with_suffix(".shipping").unlink()
    world.server.start()
    with world.server.imap(alias) as client:
        append(client, "two")
        world.wait_shipped(alias)
    second = [path for path in (world.folder_of(alias) / "base").glob("*.json") if path != first]
    check(len(second) == 1, f"{second}")
    return alias, first, second[0]


@suite.case
def a_clock_that_was_wrong_for_a_while(world):
    """The log that the wrong clock dated into the future is not the newest one."""
    alias, first, _ = two_generations(world)
    redate(alias, first, "2036-01-01T00:00:00.000Z")
    result = world.restore(alias)
    check(result[0] == 0, show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")


@suite.case
def a_later_log_that_cannot_be_read_is_told(world):
    for how in ("altered", "forged"):
        alias, _, second = two_generations(world)
        damage(second, how)
        result = world.run(alias, "backup", "verify")
        check(result[0] == 0 and "cannot be read" in result[1].get("hint", ""), f"{how} {show(result)}")


@suite.case
def a_log_whose_end_was_cut_is_told(world):
    """A destination that gives an older state for the newest: the accounts know better."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        append(client, "two")
        world.wait_shipped(alias)
    world.server.stop()
    world.server.start()
    result = world.verify(alias)
    check(result[0] == 0 and "hint" not in result[1], show(result))
    world.server.stop()
    storage.remove_all(world.folder_of(alias) / "full")
    for path in sorted((world.folder_of(alias) / "log").rglob("*.seg"))[1:]:
        path.unlink()
    world.server.start()
    result = world.verify(alias)
    check(result[0] == 0 and "later changes" in result[1].get("hint", ""), show(result))


@suite.case
def a_stop_ships_the_last_commit(world):
    """Else each start would begin with all of the mailbox again."""
    alias = world.alias()
    for number in range(4):
        with world.server.imap(alias) as client:
            append(client, "one")
            world.wait_shipped(alias)
            append(client, "the last")
            world.server.stop()
        bases = list((world.folder_of(alias) / "base").glob("*.json"))
        check(len(bases) == 1, f"{len(bases)} bases after {number + 1} stops")
        check("ended by signal" not in world.server.log(20000), "a process died")
        world.server.start()
    with world.server.imap(alias) as client:
        world.wait_shipped(alias)
    bases = list((world.folder_of(alias) / "base").glob("*.json"))
    check(len(bases) == 1, f"{len(bases)} bases")


@suite.case
def what_a_killed_restore_left_goes(world):
    alias = world.alias()
    left = world.file_of(alias).with_suffix(".restored")
    with world.server.imap(alias) as client:
        append(client, "one")
    world.server.stop()
    left.write_bytes(b"x" * 100)
    world.server.start()
    with world.server.imap(alias) as client:
        check(subjects(client) == ["one"], "as it was")
    check(not left.exists(), "it stays for ever")


def make_large(world, alias, client):
    """So that what is done with its backup takes a while: 24 MB in another folder."""
    client.create("Large")
    for _ in range(24):
        raw = b"Subject: large\r\n\r\n" + base64.encodebytes(os.urandom(750000))
        status, answer = client.append("Large", None, None, raw.replace(b"\n", b"\r\n"))
        check(status == "OK", answer)
    world.wait_shipped(alias)


@suite.case
def a_log_that_was_just_beginning(world):
    """The destination has the base, and not yet the commits without which it is not whole: the full backup,
    or the log before it, is used, and the gap is told."""
    for _ in range(20):
        alias = world.alias()
        with world.server.imap(alias) as client:
            append(client, "one")
            check(world.run(alias, "backup", "now")[0] == 0, "backup")
            append(client, "two")
            world.wait_shipped(alias)
        manifest, = (world.folder_of(alias) / "base").glob("*.json")
        if json.loads(manifest.read_text())["commits"] > 0:
            break
    else:
        check(False, "no base was copied while something was committed")
    for path in (world.folder_of(alias) / "log").rglob("*.seg*"):
        path.unlink()
    result = world.run(alias, "backup", "verify")
    check(result[0] == 0 and "is in neither" in result[1]["hint"], show(result))
    result = world.restore(alias, "--into-folder", "Back", "--folder", "INBOX")
    check(result[0] == 0 and result[1]["messages"] == 1, show(result))
    # Without a full one there is nothing, and it says why. What the restore changed was logged, too.
    world.wait_shipped(alias)
    for path in (world.folder_of(alias) / "log").rglob("*.seg*"):
        path.unlink()
    for path in (world.folder_of(alias) / "full").glob("*"):
        path.unlink()
    result = world.run(alias, "backup", "verify")
    check(result[0] == 1 and "the base is not whole" in result[1]["message"], show(result))


def descriptors(pid):
    """What a process has open."""
    try:
        return [os.readlink(each) for each in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it ended while we looked
        return []


def building(world):
    """Children that build a file from a backup, with that file open."""
    return [pid for pid in world.server.children_of_mailboxes()
            # One that was forked just now has all that its parent has, the loop among them.
            if any(".restored" in each for each in descriptors(pid)) and
            not any("eventpoll" in each for each in descriptors(pid))]


def stop_child(world, process):
    """Stops the command's child in the middle of its work; the child's process id."""
    deadline = time.monotonic() + 30
    while True:
        for pid in building(world):
            os.kill(pid, signal.SIGSTOP)
            return pid
        check(process.poll() is None, "the job was over before it could be seen")
        check(time.monotonic() < deadline, "no child to be seen")
        time.sleep(0.001)


@suite.case
def sessions_go_on_while_a_backup_is_built_and_checked(world):
    """Its child stands still; the mailbox's sessions and its mail do not."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        make_large(world, alias, client)
        for words, is_kept in ((("backup", "verify"), True),
                               (("restore", "--into-folder", "Back"), True),
                               (("restore",), False)):
            process = world.start(alias, *words)
            pid = stop_child(world, process)
            name = " ".join(words)
            append(client, name)
            check(subjects(client)[-1] == name, f"{words}: the session stands still")
            with world.server.smtp() as peer:
                peer.sendmail("a@example.org", [alias.address],
                              f"Subject: mail {name}\r\n\r\nmail\r\n")
            # A second one would write to the same file.
            result = world.run(alias, "backup", "verify")
            check(result[0] == 8, f"{words}: two at a time: {show(result)}")
            check(process.poll() is None, f"{words}: it does not wait for its child")
            os.kill(pid, signal.SIGCONT)
            result = world.finish(process)
            check(result[0] == 0, f"{words}: {show(result)}")
            if is_kept:
                check(subjects(client)[-2:] == [name, f"mail {name}"], f"{subjects(client)}")
    with connect(world, alias) as client:
        check(subjects(client)[:2] == ["one", "two"], f"{subjects(client)}")


@suite.case
def who_is_killed_in_the_middle(world):
    """The child, the command, the mailbox's process: the mailbox is as it was, and a restore works."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        make_large(world, alias, client)

    def rest():
        return [each.name for each in world.file_of(alias).parent.glob("*.restored*")]

    process = world.start(alias, "restore")
    os.kill(stop_child(world, process), signal.SIGKILL)
    result = world.finish(process)
    check(result[0] == 8 and "died" in result[1]["message"], show(result))
    check(not rest(), f"left by the child: {rest()}")

    process = world.start(alias, "restore")
    pid = stop_child(world, process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while "restore error=busy" not in world.server.log(2000):  # the job's end
        check(time.monotonic() < deadline, world.server.log(2000))
        time.sleep(0.02)
    result = world.run(alias, "backup", "verify")
    check(result[0] == 8, f"while the child of the last one may still write: {show(result)}")
    os.kill(pid, signal.SIGCONT)
    while building(world):
        check(time.monotonic() < deadline, "the child goes on though nobody waits for it")
        time.sleep(0.02)
    check(not rest(), f"left by one that was given up: {rest()}")
    result = world.run(alias, "backup", "verify")
    check(result[0] == 0, show(result))

    process = world.start(alias, "restore")
    pid = stop_child(world, process)
    for each in world.server.processes("mailbox"):
        if each.pid != pid:
            os.kill(each.pid, signal.SIGKILL)
    result = world.finish(process)
    check(result[0] == 8 and "ended before it was done" in result[1]["message"], show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")
        check(not rest(), f"left by the process: {rest()}")
    check(not list(world.file_of(alias).parent.glob("*.before-*")), "something was exchanged")
    check(world.restore(alias)[0] == 0, "no restore afterwards")


@suite.case
def what_a_restore_replaced_goes_after_a_time(world):
    """Though nobody logs in; what somebody named otherwise, and the mailbox itself, stay."""
    with tempfile.TemporaryDirectory(prefix="sealpost-backup-") as folder:
        with Server(settings={"backup": folder, "mailbox_linger": "200ms",
                              "restore_keep": "4s"}) as server:
            other = World(server, pathlib.Path(folder))
            alias = other.alias()
            with server.imap(alias) as client:
                append(client, "one")
            other.wait_shipped(alias)
            result = other.restore(alias)
            check(result[0] == 0, show(result))
            mailbox = other.file_of(alias).parent
            kept = mailbox / result[1]["kept"]
            stamp = datetime.datetime.strptime(kept.name.rpartition("before-")[2],
                                               "%Y-%m-%dT%H%M%S.%fZ")
            shutil.copy(kept, mailbox / f"{kept.name}.mine")
            shutil.copy(kept, f"{kept}-wal")
            while kept.exists() or pathlib.Path(f"{kept}-wal").exists():
                age = datetime.datetime.utcnow() - stamp
                check(age.total_seconds() < 60, "it stays")
                time.sleep(0.02)
            age = (datetime.datetime.utcnow() - stamp).total_seconds()
            check(age >= 4, f"it went after {age} s")
            check((mailbox / f"{kept.name}.mine").exists(), "another file went along")
            with connect(other, alias) as client:
                check(subjects(client) == ["one"], "the mailbox itself")
            check(not server.sanitizer_findings(), server.sanitizer_findings())


@suite.case
def nobody_crashed(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())
    ended = [line for line in world.server.log().splitlines()
             if "ended by signal" in line and "signal 9 " not in line]
    check(not ended, ended)


def main():
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-backup-") as folder:
        s3 = storage.Server(folder) if suite.options.s3 else None
        bucket = None if s3 is None else storage.Bucket(s3, prefix="host")
        settings = {"backup": folder} if bucket is None else bucket.settings
        place = pathlib.Path(folder) if bucket is None else storage.BucketPath(bucket)
        try:
            with Server(settings={**settings, "mailbox_linger": "500ms", "failures_per_account": 100,
                                  "failures_per_address": 1000}) as server:
                suite.run(World(server, place, s3))
        finally:
            if s3 is not None:
                s3.close()


if __name__ == "__main__":
    main()
