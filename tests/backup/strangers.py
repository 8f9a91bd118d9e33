#!/usr/bin/python3
"""Mail from places that are not what they should be: servers that lie, keep something back or answer
out of turn, archives and folders that were made to do harm. What is taken in is told rightly, what is
not is told at all, and the mailbox goes on.
"""

import imaplib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.listener import Listener  # noqa: E402
from lib.server import Server, program  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

suite = Suite(__doc__)
imaplib._MAXLINE = 100_000_000


def message(words, size=0):
    return f"Subject: {words}\r\n\r\n{'x' * 60}\r\n{('y' * 70 + chr(13) + chr(10)) * (size // 72)}".encode()


class Folder:
    def __init__(self, name, messages, attributes="", uidnext=None, is_refused=False):
        """messages: {uid: (flags, raw)}; raw None: the server answers NIL."""
        self.name, self.messages, self.attributes = name, messages, attributes
        self.uidnext = uidnext or max(messages, default=0) + 1
        self.is_refused = is_refused


class Imap(Listener):
    """A server that says what it is told to. `is_backwards`: messages in descending order;
    `is_silent`: it says nothing behind its greeting."""

    def __init__(self, folders, is_backwards=False, is_silent=False):
        self.folders = {folder.name: folder for folder in folders}
        self.is_backwards, self.is_silent = is_backwards, is_silent
        super().__init__()

    def serve(self, client):
        folder = None
        with client.makefile("rwb") as stream:
            stream.write(b"* OK here\r\n")
            stream.flush()
            for line in stream:
                if self.is_silent:
                    continue
                tag, command = line.decode().rstrip("\r\n").split(" ", 1)
                status = "OK"
                if command.startswith("LIST"):
                    for each in self.folders.values():
                        stream.write(f'* LIST ({each.attributes}) "/" "{each.name}"\r\n'.encode())
                elif command.startswith("EXAMINE"):
                    folder = self.folders[command[9:-1]]
                    if folder.is_refused:
                        status = "NO [NOPERM]"
                    else:
                        stream.write(f"* {len(folder.messages)} EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n"
                                     f"* OK [UIDNEXT {folder.uidnext}] .\r\n".encode())
                elif command.startswith("UID SEARCH"):
                    stream.write(f"* SEARCH {' '.join(map(str, folder.messages))}\r\n".encode())
                elif command.startswith("UID FETCH"):
                    self.fetch(stream, folder, command)
                stream.write(f"{tag} {status} done\r\n".encode())
                stream.flush()

    def fetch(self, stream, folder, command):
        words = command.split(" ", 3)
        uids = sorted(map(int, words[2].split(",")), reverse=self.is_backwards)
        for uid in uids:
            if uid not in folder.messages:
                continue
            flags, raw = folder.messages[uid]
            if "BODY" not in words[3]:
                stream.write(f"* 1 FETCH (UID {uid} RFC822.SIZE {len(raw or b'12345')})\r\n".encode())
                continue
            body = b"NIL" if raw is None else b"{%d}\r\n%s" % (len(raw), raw)
            stream.write(b"* 1 FETCH (UID %d FLAGS (%s) INTERNALDATE \"22-Nov-2026 05:00:00 +0000\" "
                         b"BODY[] %s)\r\n" % (uid, flags, body))


class World:
    def __init__(self, server):
        self.server = server
        self.number = 0
        self.secret = self.file("server-password", b"secret\n")

    def file(self, name, content):
        path = self.server.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path

    def alias(self):
        self.number += 1
        return self.server.add_alias(f"user{self.number}@example.test")

    def start(self, alias, *words):
        line = [program(), "import", alias.address, *map(str, words), "--config",
                str(self.server.conf), "--json", "--password-file",
                self.file("own-password", alias.password.encode() + b"\n"), "--server-password-file",
                self.secret]
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def run(self, alias, *words):
        process = self.start(alias, *words)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def take(self, alias, imap, folder=""):
        return self.run(alias, f"imap://someone@127.0.0.1:{imap.port}/{folder}")

    def mail(self, alias, folder="INBOX"):
        """{uid: (flags, raw)}; None: there is no such folder."""
        with self.server.imap(alias) as client:
            if client.select(f'"{folder}"', readonly=True)[0] != "OK":
                return None
            found = {}
            for part in client.uid("fetch", "1:*", "(UID FLAGS BODY.PEEK[])")[1]:
                if isinstance(part, tuple):
                    uid, flags = re.search(rb"UID (\d+) FLAGS \(([^)]*)\)", part[0]).groups()
                    flags = b" ".join(flag for flag in flags.split() if flag != rb"\Recent")
                    found[int(uid)] = (flags, part[1])
        return found

    def subjects(self, alias, folder="INBOX"):
        return sorted(re.match(rb"Subject: (.*?)\r?\n", raw).group(1).decode()
                      for _, raw in (self.mail(alias, folder) or {}).values())

    def takes_mail(self, alias):
        before = len(self.mail(alias))
        with self.server.imap(alias) as client:
            status, words = client.append("INBOX", None, None, message("afterwards"))
        check(status == "OK" and len(self.mail(alias)) == before + 1, f"no mail any more: {words}")


@suite.case
def a_folder_that_is_not_given_is_told(world):
    alias = world.alias()
    with Imap([Folder("A", {1: (b"", message("a"))}), Folder("Secret", {}, is_refused=True),
               Folder("Z", {5: (b"", message("z1")), 6: (b"", message("z2"))})]) as imap:
        code, out, err = world.take(alias, imap)
    check(code != 0, f"as if all had come: {out}{err}")
    check('"Secret"' in err and "did not give: 1" in err, err)
    check(world.subjects(alias, "A") == ["a"] and world.subjects(alias, "Z") == ["z1", "z2"],
          "the others did not come")


@suite.case
def what_is_archived_elsewhere_is_not_forgotten(world):
    """Gmail: what its owner archived is in no folder but the view of all."""
    alias = world.alias()
    everything = {1: (b"", message("in")), 2: (b"", message("archived"))}
    with Imap([Folder("INBOX", {1: (b"", message("in"))}),
               Folder("[Gmail]/All Mail", everything, "\\All")]) as imap:
        code, out, err = world.take(alias, imap)
        check(code == 0 and '"[Gmail]/All Mail"' in err, f"nothing was said of it: {code} {out}{err}")
        check(world.subjects(alias) == ["in"] and
              world.mail(alias, "[Gmail]/All Mail") is None, "it came twice")
        code, out, err = world.take(alias, imap, "[Gmail]/All%20Mail")
        check(code == 0, f"{code} {out}{err}")
    check(world.subjects(alias, "[Gmail]/All Mail") == ["archived", "in"], "it did not come")


@suite.case
def a_message_that_the_server_lost_is_no_message(world):
    alias = world.alias()
    with Imap([Folder("INBOX", {1: (b"", message("one")), 2: (b"", None),
                                3: (b"", message("three"))}),
               Folder("Z", {1: (b"", message("z"))})]) as imap:
        code, out, err = world.take(alias, imap)
    check(code != 0 and 'not give: 1, the first with UID 2 in "INBOX"' in err,
          f"as if it had come: {code} {out}{err}")
    check(world.subjects(alias) == ["one", "three"], world.mail(alias))
    check(world.subjects(alias, "Z") == ["z"], "it keeps others back")


@suite.case
def messages_that_come_out_of_turn_keep_their_uids(world):
    """And what is remembered of the last one is true, should it end in between."""
    alias = world.alias()
    messages = {uid: (b"\\Seen", message(str(uid))) for uid in range(3, 400, 3)}
    with Imap([Folder("INBOX", messages)], is_backwards=True) as imap:
        code, out, err = world.take(alias, imap)
    check(code == 0, f"{code} {out}{err}")
    check(world.mail(alias) == messages, f"{list(world.mail(alias))[:5]}")


@suite.case
def names_of_flags_stay_in_their_list(world):
    alias = world.alias()
    evil = b'$Fine "two words" {8}\r\na)\r\n* BY "quo\\"te" \\Seen'
    with Imap([Folder("INBOX", {1: (evil, message("one"))})]) as imap:
        code, out, err = world.take(alias, imap)
    check(code == 0, f"{code} {out}{err}")
    check(world.mail(alias)[1][0].split() == [rb"\Seen", b"$Fine"], world.mail(alias)[1][0])
    archive = world.server.folder / "flags.tar"
    index = json.dumps({"folder": "INBOX"}) + "\n" + json.dumps(
        {"file": "0000000002.eml", "flags": ["$Other", "b)\r\n* 1 EXPUNGE"], "size": 70,
         "date": "2026-11-22T05:00:00.000Z"}) + "\n"
    with tarfile.open(archive, "w") as tar:
        for name, content in (("INBOX/sealpost-index.jsonl", index.encode()),
                              ("INBOX/0000000002.eml", message("two"))):
            put(tar, name, content)
    code, out, err = world.run(alias, archive)
    check(code == 0, f"{code} {out}{err}")
    with world.server.imap(alias) as client:
        _, lines = client.select("INBOX")
        check(lines == [b"2"], lines)
        (flags,) = client.response("FLAGS")[1]
    check(b"EXPUNGE" not in flags and b"words" not in flags and b"$Other" in flags, flags)


@suite.case
def uids_are_not_used_up(world):
    alias = world.alias()
    with Imap([Folder("INBOX", {4294967294: (b"", message("last"))},
                      uidnext=4294967295)]) as imap:
        code, out, err = world.take(alias, imap)
    check(code == 0 and world.subjects(alias) == ["last"], f"{code} {out}{err}")
    world.takes_mail(alias)


def put(tar, name, content):
    import io
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@suite.case
def names_of_folders_that_nobody_may_have(world):
    alias = world.alias()
    archive = world.server.folder / "names.tar"
    deep = "/".join(f"d{level}" for level in range(50))
    names = ["line\u2028end", "c1\u0085", "../..", deep, "x" * 1500, "a" * 250 + "/" + "b" * 240]
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for number, name in enumerate(names):
            put(tar, f"{name}/{number}.eml", message(f"number {number}"))
    for options in ((), ("--into", "Below")):
        code, out, err = world.run(alias, archive, *options)
        check(code == 0 and json.loads(out)["messages"] == len(names), f"{code} {out}{err}")
    check(world.subjects(alias, "line_end") == ["number 0"], "not where it was looked for")


@suite.case
def no_folder_is_missed_in_silence(world):
    alias = world.alias()
    place = world.server.folder / "deep"
    deep = place.joinpath(*["d"] * 60)
    deep.mkdir(parents=True)
    (deep / "1.eml").write_bytes(message("deep"))
    (place / "1.eml").write_bytes(message("flat"))
    code, out, err = world.run(alias, place)
    check(code != 0 and "too many levels" in err, f"as if all had come: {code} {out}{err}")


def feed_of(process):
    """The process of the command that reads."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        check(process.poll() is None, "the command has ended")
        time.sleep(0.01)
    raise AssertionError("no process that reads")


@suite.case
def a_link_that_takes_the_place_of_a_folder_leads_nowhere(world):
    """Whoever imports for another (root) reads nothing but what lies in that folder."""
    alias = world.alias()
    place, secret = world.server.folder / "links", world.server.folder / "not-his"
    for folder in (place / "z", secret):
        folder.mkdir(parents=True)
        (folder / "1.eml").write_bytes(message("his" if folder != secret else "not his"))
    count = 3000
    with open(place / "a.mbox", "wb") as mbox:
        for number in range(count):
            mbox.write(b"From a Sun Nov 22 05:00:00 2026\n" + message(str(number), 5000) + b"\n")
    process = world.start(alias, place)
    feed = feed_of(process)
    with world.server.imap(alias) as client:
        deadline = time.monotonic() + 60
        while True:
            check(time.monotonic() < deadline, "nothing comes")
            status, answer = client.status("a", "(MESSAGES)")
            if status == "OK" and int(re.search(rb"MESSAGES (\d+)", answer[0]).group(1)) > 0:
                break
            check(process.poll() is None, "the command has ended")
            time.sleep(0.005)
        os.kill(feed, signal.SIGSTOP)
    (place / "z").rename(world.server.folder / "z")
    (place / "z").symlink_to(secret)
    os.kill(feed, signal.SIGCONT)
    out, err = process.communicate(timeout=120)
    check(len(world.mail(alias, "a")) == count, f"{out}{err}")
    check(world.subjects(alias, "z") == [], f"it followed the link: {world.subjects(alias, 'z')}")


@suite.case
def who_reads_has_nothing_to_give_away(world):
    """The process that parses what strangers wrote: no password of the mailbox, no way to the service."""
    alias = world.alias()
    with Imap([], is_silent=True) as imap:
        process = world.start(alias, f"imap://someone@127.0.0.1:{imap.port}/")
        feed = feed_of(process)
        deadline = time.monotonic() + 30
        while not any(f":{imap.port:04X}" in line for line in
                      pathlib.Path(f"/proc/{feed}/net/tcp").read_text().splitlines()):
            check(time.monotonic() < deadline, "it does not connect")
            time.sleep(0.01)
        time.sleep(0.2)
        status = pathlib.Path(f"/proc/{feed}/status").read_text()
        sockets = {os.readlink(link) for link in pathlib.Path(f"/proc/{feed}/fd").iterdir()}
        own = {os.readlink(link) for link in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()}
        shared = [each for each in sockets & own if each.startswith("socket:")]
        found = alias.password.encode() in memory_of(feed)
        process.kill()
        process.communicate()
    filters = int(re.search(r"^Seccomp_filters:\s+(\d+)", status, re.MULTILINE).group(1))
    own_filters = int(re.search(r"^Seccomp_filters:\s+(\d+)", pathlib.Path(
        "/proc/self/status").read_text(), re.MULTILINE).group(1))
    check(filters > own_filters, f"it is not confined: {status}")
    # Nothing but the right to read what is somebody else's, where root imports it (Landlock says what).
    caps = int(re.search(r"^CapEff:\s+([0-9a-f]+)", status, re.MULTILINE).group(1), 16)
    check(caps & ~(1 << 2) == 0, f"capabilities: {status}")
    check(not shared, f"it shares sockets with the command: {shared}")
    check(not found, "it has the mailbox's password in memory")


@suite.case
def root_takes_over_what_is_somebody_elses(world):
    """His home is closed to all others: read by the process that is confined, a file at a time."""
    if os.getuid() != 0:
        raise Skip("needs root")
    alias = world.alias()
    home = world.server.folder / "home"
    for name in ("cur", "new", "tmp"):
        (home / "Maildir" / name).mkdir(parents=True)
    (home / "Maildir" / "cur" / "1:2,S").write_bytes(message("his"))
    (home / "Maildir" / "cur" / "1:2,S").chmod(0o600)
    for path in (home, home / "Maildir", *(home / "Maildir").iterdir()):
        path.chmod(0o700)
        os.chown(path, 4321, 4321)
    os.chown(home / "Maildir" / "cur" / "1:2,S", 4321, 4321)
    code, out, err = world.run(alias, home / "Maildir")
    check(code == 0, f"{out}{err}")
    check(world.subjects(alias, "INBOX") == ["his"], world.subjects(alias, "INBOX"))


def memory_of(pid):
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if "w" not in line.split()[1]:
                continue
            try:
                memory.seek(start)
                parts.append(memory.read(end - start))
            except (OSError, ValueError, OverflowError):
                pass
    return b"".join(parts)


def main():
    suite.parse()
    with Server() as server:
        suite.run(World(server))


if __name__ == "__main__":
    main()
