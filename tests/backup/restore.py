#!/usr/bin/python3
"""Backups of a whole service, and what is restored from them: full ones, points in time before and
after a deletion, folders beside what is there, a disk that is lost, objects that were cut, altered or
are missing, wrong passwords. The drills of docs/operating.md are cases here. In a folder, or with --s3 on
a real S3 server (storage.py).
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server, program  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

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

    def run(self, alias, *words, password=None):
        """A command of an owner's: its exit code and answer."""
        done = subprocess.run(
            [program(), *words, alias.address, "--password-file", "-", "--json", "--config",
             str(self.server.conf)] if words[-1] in ("now", "verify", "restore") else
            [program(), *words, "--password-file", "-", "--json", "--config",
             str(self.server.conf)],
            input=(password or alias.password) + "\n", capture_output=True, text=True, timeout=120)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}, done.stderr

    def verify(self, alias, *options, password=None):
        return self.run(alias, "backup", "verify", alias.address, *options, password=password)

    def restore(self, alias, *options, password=None):
        return self.run(alias, "restore", alias.address, *options, password=password)

    def folder_of(self, alias):
        """The mailbox's objects: the youngest folder that has a log."""
        return self.place / self.id_of(alias)

    def file_of(self, alias):
        name = self.id_of(alias)
        return self.server.data / "mail" / name[-2:] / name / f"{name}.sqlite"

    def id_of(self, alias):
        return alias.mailbox

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
    check(result[0] == 0 and result[1]["bytes"] > 0, show(result))
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
        digest.write_text(hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest() + "\n")
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


def redate(world, alias, manifest, when):
    """A log's manifest as its own host would have written it, with its clock at another time."""
    file = manifest.with_suffix(".sqlite").read_bytes()
    key = hashlib.pbkdf2_hmac("sha256", alias.password.encode(), file[:16], 64007, 32) + file[:16]
    key = keyed(key, b"sealpost log shipping", b"")

    def mac(fields):
        ms = round(datetime.datetime.fromisoformat(fields["time"]).timestamp() * 1000)
        text = (f"{fields['mailbox']} {fields['generation'] or 'full'} {ms} {fields['size']} {fields['digest']} "
                f"{fields['epoch']} {fields['change_counter']} {fields['schema']} {fields['commits']}")
        return keyed(key, b"sealpost manifest", text.encode()).hex()

    fields = json.loads(manifest.read_text())
    check(mac(fields) == fields["mac"], "a mistake of this test")
    fields["time"] = when
    fields["mac"] = mac(fields)
    manifest.write_text(json.dumps(fields))
    manifest.with_name(manifest.name + ".digest").write_text(
        hashlib.blake2b(manifest.read_bytes(), digest_size=32).hexdigest() + "\n")


@suite.case
def a_full_backup_of_a_clock_that_was_wrong(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        check(world.run(alias, "backup", "now")[0] == 0, "backup")
        folder = world.folder_of(alias) / "full"
        old = next(folder.glob("*.json")).stem
        new = "29991231T235959.000Z" + old[20:]
        for path in list(folder.glob(old + "*")):
            path.rename(path.with_name(new + path.name.removeprefix(old)))
        redate(world, alias, folder / (new + ".json"), "2999-12-31T23:59:59.000Z")
        append(client, "two")
        check(world.run(alias, "backup", "now")[0] == 0, "backup")
    check(len(list(folder.glob("*.json"))) == 2, "one was removed")
    for kind in ("base", "log"):
        shutil.rmtree(world.folder_of(alias) / kind)
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
    redate(world, alias, first, "2036-01-01T00:00:00.000Z")
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


@suite.case
def drill_the_mail_disk_is_lost(world):
    aliases = [world.alias() for _ in range(2)]
    for alias in aliases:
        with world.server.imap(alias) as client:
            append(client, "one", "two", folder="INBOX")
    time.sleep(2)
    world.server.stop()
    shutil.rmtree(world.server.data / "mail" / world.id_of(aliases[0])[-2:])
    path = world.file_of(aliases[1])
    if path.exists():
        content = path.read_bytes()
        path.write_bytes(content[:24] + os.urandom(len(content) - 24))
    world.server.start()
    for alias in aliases:
        world.file_of(alias).parent.mkdir(parents=True, exist_ok=True)
        result = world.restore(alias)
        check(result[0] == 0, show(result))
        with connect(world, alias) as client:
            check(subjects(client) == ["one", "two"], f"{subjects(client)}")
            append(client, "three")
        check("hint" not in result[1], show(result))


def put_file(path, content):
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)


def newest(folder, pattern, since=0.0):
    """Waits for an object that came after that."""
    for _ in range(300):
        found = [path for path in sorted(folder.glob(pattern)) if path.stat().st_mtime >= since]
        if found:
            return found[-1].read_bytes()
        time.sleep(0.2)
    raise AssertionError(f"no {pattern}")


@suite.case
def drill_the_host_is_lost(world):
    """All but the destination and the host key; mail waited for its owner."""
    with tempfile.TemporaryDirectory(prefix="sealpost-backup-") as folder:
        place = pathlib.Path(folder)
        with Server(settings={"backup": folder, "mailbox_linger": "1s",
                              "backup_drop_after": "1s"}) as server:
            there = World(server, place)
            alias = server.add_alias("ann@example.test")
            with server.imap(alias) as client:
                append(client, "one", "two")
            there.wait_shipped(alias)
            time.sleep(2)  # its process has ended
            with server.smtp() as smtp:
                smtp.sendmail("you@example.org", [alias.address], b"Subject: waiting\r\n\r\n...\r\n")
            accounts = newest(place, "host/account/*.sqlite")
            waiting = newest(place, f"{alias.mailbox}/drop/*.sqlite")
            server.stop()
            host_key = (server.data / "host.key").read_bytes()
            shutil.rmtree(server.data)

            server.data.mkdir(mode=0o700)
            subprocess.run([program(), "make-certificate", "--config", str(server.conf)], check=True,
                           capture_output=True)
            put_file(server.data / "host.key", host_key)
            put_file(server.data / "account" / "account.sqlite", accounts)
            there.file_of(alias).parent.mkdir(mode=0o700, parents=True)
            server.start()
            try:  # its drop box is not there yet: sent back, it would be lost
                with server.smtp() as smtp:
                    smtp.sendmail("you@example.org", [alias.address], b"Subject: later\r\n\r\n...\r\n")
                raise AssertionError("taken, and kept where?")
            except smtplib.SMTPDataError as error:
                check(error.smtp_code == 451, f"{error}")
            server.stop()
            drop = server.data / "drop" / alias.mailbox[-2:] / alias.mailbox
            put_file(drop / f"{alias.mailbox}.drop.sqlite", waiting)
            server.start()
            result = there.restore(alias)
            check(result[0] == 0, show(result))
            with connect(there, alias) as client:
                check(subjects(client) == ["one", "two", "waiting"], f"{subjects(client)}")


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
