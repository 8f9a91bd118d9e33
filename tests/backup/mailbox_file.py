#!/usr/bin/python3
"""The mailbox's own file: `sealpost export --format file` is opened by SQLite3 Multiple Ciphers as its
authors build it, with nothing but the password; `sealpost import` takes it in again, once, and refuses
what only looks like one. Kills in between leave no half of it.
"""

import base64
import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from leaving import World, digest, snapshot  # noqa: E402
from lib.server import AdminError, Server, build_folder, program  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

suite = Suite(__doc__)
GIVEN = "a long sentence with an ' in it"
zstd = ctypes.CDLL("libzstd.so.1")


def stock(path, password, *statements):
    """The rows of each statement; an AssertionError with its words when it does not open."""
    done = subprocess.run([build_folder() / "tests" / "lib" / "stock_shell", path, *statements],
                          input=password + "\n", capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"stock_shell: {done.stderr}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def opens(path, password):
    try:
        return stock(path, password, "PRAGMA integrity_check") == [["ok"]]
    except AssertionError:
        return False


def unpacked(kind, hexadecimal, length_max):
    data = bytes.fromhex(hexadecimal)
    if kind == "0":
        return data
    out = ctypes.create_string_buffer(length_max)
    made = zstd.ZSTD_decompress(out, ctypes.c_size_t(length_max), data, ctypes.c_size_t(len(data)))
    check(made <= length_max, f"zstd: {made} for {length_max}")
    return out.raw[:made]


def in_lines(data, length, line_end):
    text = base64.b64encode(data)
    if length == 0:
        return text
    return {1: b"\n", 2: b"\r\n"}[line_end].join(text[at:at + length]
                                                for at in range(0, len(text), length))


def read_by_stranger(path, password):
    """What docs/leaving.md says of the tables is enough to read the mail."""
    keywords = {int(bit): name for bit, name in stock(path, password, "SELECT bit, name FROM keyword")}
    keywords.update(enumerate((r"\Seen", r"\Answered", r"\Flagged", r"\Deleted", r"\Draft")))
    attachments, contents = {}, {}
    for key, kind, data in stock(path, password, "SELECT key, kind, bytes FROM attachment_part ORDER BY key"):
        attachments[int(key) >> 24] = attachments.get(int(key) >> 24, b"") + unpacked(kind, data, 1 << 20)
    for key, kind, length, attachment, line, end, data in stock(
            path, password, "SELECT key, kind, length, attachment_id, line_length, line_end, bytes "
            "FROM part ORDER BY key"):
        if kind in "01":
            part = unpacked(kind, data, int(length))
        elif kind == "2":
            part = attachments[int(attachment)]
        else:
            part = in_lines(attachments[int(attachment)], int(line or 0), int(end or 0))
        contents[int(key) >> 24] = contents.get(int(key) >> 24, b"") + part
    found = {}
    for name, uid, flags, date, content in stock(
            path, password, "SELECT f.name, m.key & 4294967295, m.flags, m.internal_date, m.content_id "
            "FROM message m JOIN folder f ON f.id = m.key >> 32 WHERE m.is_expunged = 0"):
        names = tuple(sorted(keywords[bit] for bit in range(63) if int(flags) >> bit & 1))
        moment = time.mktime(time.strptime(date[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        found.setdefault(name, []).append((int(uid), names, moment, digest(contents[int(content)])))
    return {name: sorted(rows) for name, rows in found.items()}


def secret(world, name, text):
    path = world.server.folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def left_behind(world):
    return [str(path) for path in (world.server.data / "mail").rglob("*.export*")]


def put_password(world):
    return secret(world, "given", GIVEN)


@suite.case
def the_password_opens_it_elsewhere(world):
    path, answer = world.export("mail.sqlite", "file")
    check(answer["messages"] == world.count and answer["bytes"] == path.stat().st_size, answer)
    check(path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode))
    check(read_by_stranger(path, world.source.password) == world.before, "it is another mailbox")
    kinds = {row[0] for row in stock(path, world.source.password, "SELECT DISTINCT kind FROM part")}
    check(kinds == {"0", "1", "2", "3"}, f"parts of the kinds {kinds} only")
    check(stock(path, world.source.password, "PRAGMA integrity_check", "PRAGMA journal_mode",
                "SELECT count(*) FROM lane_root") == [["ok"], ["delete"], ["0"]], "not as described")
    check(not list(path.parent.glob("mail.sqlite-*")), "opening it leaves files beside it")
    check(not opens(path, "x" * 32), "any password opens it")
    check(not left_behind(world), left_behind(world))
    head = path.read_bytes()
    check(b"Subject" not in head and b"example" not in head, "there is text in clear")


@suite.case
def a_copy_has_the_password_that_is_given(world):
    path, _ = world.export("given.sqlite", "file", "--new-password-file", put_password(world))
    check(read_by_stranger(path, GIVEN) == world.before, "it is another mailbox")
    check(not opens(path, world.source.password), "the mailbox's password opens it, too")
    first = (world.server.folder / "mail.sqlite").read_bytes()
    second = path.read_bytes()
    pages = {first[at:at + 64] for at in range(0, len(first), 4096)}
    check(first[:16] != second[:16], "the same salt")
    check(not any(second[at:at + 64] in pages for at in range(0, len(second), 4096)), "the same page")


@suite.case
def what_cannot_be_is_refused(world):
    folder = world.server.folder
    short, raw = secret(world, "short", "too short"), secret(world, "raw", "raw:" + "0" * 64)
    for words, said in (((folder / "a", "--format", "file", "--new-password-file", short), "12"),
                        ((folder / "a", "--format", "file", "--new-password-file", raw), "raw"),
                        ((folder / "a", "--format", "file", "--folder", "INBOX"), "--folder"),
                        ((folder / "a", "--format", "mbox", "--new-password-file",
                          put_password(world)), "--format file"),
                        ((folder / "a", "--format", "floppy"), "format")):
        code, out, err = world.run(world.source, "export", *words)
        check(code != 0 and said in out + err, f"{words}: {code} {out}{err}")
        check(not list(folder.glob("a*.part")) and not (folder / "a").exists(), "something was made")


@suite.case
def a_full_disk_is_told(world):
    line = [program(), "export", world.source.address, "-", "--format", "file", "--config",
            str(world.server.conf), "--password-file", str(secret(world, "own", world.source.password))]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    check(done.returncode != 0 and "no room" in done.stderr, f"{done.returncode} {done.stderr}")
    check(not left_behind(world), left_behind(world))


@suite.case
def a_full_disk_of_mailboxes_is_told_beforehand(_):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-small-"))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=0700", "tmpfs", folder],
                          capture_output=True, text=True)
    if done.returncode != 0:
        folder.rmdir()
        raise Skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    try:
        with Server(data=folder) as server:
            small = World(server, 20)
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            (folder / "filler").write_bytes(bytes(free - (10 << 20)))
            path = server.folder / "mail.sqlite"
            code, out, err = small.run(small.source, "export", path, "--format", "file")
            check(code != 0 and "the disk with the mailboxes needs" in out, f"{code} {out}{err}")
            check(not list(server.folder.glob("mail.sqlite*")) and not left_behind(small), "something is left")
            with server.imap(small.source) as client:
                check(snapshot(client) == small.before, "the mailbox differs")
            (folder / "filler").unlink()
            small.export("mail.sqlite", "file")
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@suite.case
def through_a_pipe(world):
    line = [program(), "export", world.source.address, "-", "--format", "file", "--config",
            str(world.server.conf), "--password-file", str(world.server.folder / "own")]
    done = subprocess.run(line, capture_output=True, timeout=120)
    check(done.returncode == 0, done.stderr)
    path = world.server.folder / "piped.sqlite"
    path.write_bytes(done.stdout)
    check(opens(path, world.source.password), "it is not whole")


@suite.case
def it_comes_back_once(world):
    path = world.server.folder / "mail.sqlite"
    own = secret(world, "own", world.source.password)
    alias = world.arrives(path, "--file-password-file", own)
    with world.server.imap(alias) as client:
        subscribed = b" ".join(client.lsub()[1])
    check(b"Work/Plans" in subscribed, subscribed)
    again = world.ok(alias, "import", path, "--file-password-file", own)
    check(again["messages"] == 0 and again["skipped"] == 0, again)
    # A later one, under another password: what is new since.
    with world.server.imap(world.source) as client:
        client.append("Work/Plans", r"(\Flagged $New)", None, b"Subject: later\r\n\r\nx\r\n")
        now = snapshot(client)
    later, _ = world.export("later.sqlite", "file", "--new-password-file", put_password(world))
    answer = world.ok(alias, "import", later, "--file-password-file", put_password(world))
    check(answer["messages"] == 1, answer)
    with world.server.imap(alias) as client:
        check(snapshot(client) == now, "it differs")
    below = world.ok(alias, "import", later, "--file-password-file", put_password(world), "--into", "Old")
    check(below["messages"] == world.count + 1, below)
    world.before = now
    world.count += 1
    os.replace(later, world.server.folder / "given.sqlite")
    world.export("mail.sqlite", "file", "--force")


def refused(world, alias, path, password, said, code=None):
    got, out, err = world.run(alias, "import", path, "--file-password-file",
                              secret(world, "tried", password))
    check(got != 0 and (code is None or got == code), f"{path.name}: exit {got} {out}{err}")
    check(re.search(said, out + err), f"{path.name}: not {said!r}: {out}{err}")
    check("Traceback" not in err and "assert" not in err, err)


@suite.case
def what_only_looks_like_one_is_refused(world):
    folder, password = world.server.folder, world.source.password
    whole = (folder / "mail.sqlite").read_bytes()
    alias = world.alias()
    with world.server.imap(alias) as client:
        before = snapshot(client)
    refused(world, alias, folder / "mail.sqlite", "x" * 32, "not the file's password")
    cut = folder / "cut.sqlite"
    cut.write_bytes(whole[:len(whole) // 2 // 4096 * 4096])
    refused(world, alias, cut, password, "damaged")
    cut.write_bytes(whole[:-1000])
    refused(world, alias, cut, password, "damaged")
    for page in (1, 2, len(whole) // 4096 // 2):
        changed = bytearray(whole)
        changed[page * 4096 + 500] ^= 1
        cut.write_bytes(changed)
        refused(world, alias, cut, password, "damaged")
    clear = folder / "clear.sqlite"
    subprocess.run([sys.executable, "-c", "import sqlite3, sys; "
                    "sqlite3.connect(sys.argv[1]).execute('CREATE TABLE folder (a)')", clear], check=True)
    refused(world, alias, clear, password, "not encrypted")
    for sql, said in (("CREATE TABLE extra (a)", "unknown table"),
                      ("CREATE TRIGGER extra AFTER INSERT ON folder BEGIN DELETE FROM folder; END",
                       "unknown trigger"),
                      ("PRAGMA user_version=999", "newer"), ("DROP TABLE message", "message"),
                      ("UPDATE message SET content_id=-1", "impossible"),
                      ("UPDATE part SET bytes=x'00'", "could not be read|damaged|length")):
        altered = folder / "altered.sqlite"
        shutil.copy(folder / "mail.sqlite", altered)
        stock(altered, password, sql)
        refused(world, alias, altered, password, said)
    beside = folder / "beside.sqlite"
    shutil.copy(folder / "mail.sqlite", beside)
    (folder / "beside.sqlite-wal").write_bytes(b"x" * 100)
    refused(world, alias, beside, password, "not in the file yet")
    with world.server.imap(alias) as client:
        check(snapshot(client) == before, "something was taken in")
    check((folder / "mail.sqlite").read_bytes() == whole, "it was written to")


@suite.case
def kills_leave_no_half(world):
    """The command or the mailbox's process, at any moment: the file is there whole, or not at all."""
    rounds, whole = 60 if suite.options.long else 12, 0
    rng = random.Random(suite.options.seed)
    own = str(secret(world, "own", world.source.password))
    began = time.monotonic()
    world.export("timed.sqlite", "file")
    took = time.monotonic() - began
    for number in range(rounds):
        path = world.server.folder / f"killed{number}.sqlite"
        command = subprocess.Popen([program(), "export", world.source.address, path, "--format", "file",
                                    "--config", str(world.server.conf), "--json", "--password-file", own],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(rng.uniform(0, took * 1.2))
        if number % 2 == 0:
            command.kill()
        else:
            for process in world.server.processes("mailbox"):
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        out, err = command.communicate(timeout=60)
        if path.exists():
            whole += 1
            check(opens(path, world.source.password), f"round {number}: half a file has the name")
        elif number % 2 != 0:
            check(command.returncode != 0 and out, f"round {number}: {command.returncode} {out}{err}")
            check(not path.with_suffix(".sqlite.part").exists(), f"round {number}: a part is left")
    with world.server.imap(world.source) as client:
        check(snapshot(client) == world.before, "the mailbox has lost something")
    world.export("after.sqlite", "file")
    check(opens(world.server.folder / "after.sqlite", world.source.password), "it does not go on")
    check(not left_behind(world), left_behind(world))
    return f"{whole} of {rounds} were whole"


def new_password(world):
    """Which is refused while the mailbox is being re-encrypted for the last one."""
    old = secret(world, "old", world.source.password)
    for _ in range(300):
        try:
            answer = world.server.admin("alias", "password", world.source.address, "--old-password-file",
                                        str(old))
            break
        except AdminError as error:
            check(error.status == 8, error)
            time.sleep(0.1)
    else:
        raise AssertionError("it is not re-encrypted to its end")
    return re.search(r'"password": "([A-Za-z0-9]{32})"', json.dumps(answer)).group(1)


@suite.case
def beside_a_new_password(world):
    """Whatever key the mailbox's file is under, the copy is under that of the password that is in force; and
    the file is not exchanged while it is being read."""
    rounds = 20 if suite.options.long else 8
    for number in range(rounds):
        world.source.password = new_password(world)
        time.sleep(0.01 * number)
        path, _ = world.export("fresh.sqlite", "file", "--force")
        check(read_by_stranger(path, world.source.password) == world.before,
              f"round {number}: the new password does not open it")
    return f"{rounds} passwords"


def add_attachments(world):
    """What is kept apart from its message, decoded or as it is."""
    noise = random.Random(1).randbytes(30_000)
    text = b"".join(b"a line of a log, number %d\r\n" % number for number in range(2000))
    with world.server.imap(world.source) as client:
        for kind, body in ((b"base64", base64.encodebytes(noise).replace(b"\n", b"\r\n")),
                           (b"base64", base64.encodebytes(noise)), (b"base64", base64.b64encode(noise)),
                           (b"8bit", text)):
            client.append("INBOX", r"(\Seen)", None, b"Subject: attached\r\nMIME-Version: 1.0\r\nContent-Type: "
                          b"multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: "
                          b"application/octet-stream\r\nContent-Disposition: attachment; filename=x\r\n"
                          b"Content-Transfer-Encoding: " + kind + b"\r\n\r\n" + body + b"\r\n--b--\r\n")
        world.before = snapshot(client)
    world.count += 4


def main():
    options = suite.parse()
    with Server() as server:
        world = World(server, 2000 if options.long else 200)
        add_attachments(world)
        suite.run(world)


if __name__ == "__main__":
    main()
