#!/usr/bin/python3
"""What was expunged comes back: by UID EXPUNGE, CLOSE, POP3's QUIT, REPLACE and the deletion of a folder,
listed and restored by its owner, seen at once by who is logged in, after kills and power-less moments
too. No search, list or quota of IMAP knows of it meanwhile, and it goes when its time is over or there is
too much of it.
"""

import imaplib
import json
import os
import pathlib
import poplib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
DATE = '"17-Jul-1996 02:44:25 -0700"'


class World:
    def __init__(self, server, alias, many):
        self.server = server
        self.alias = alias
        self.many = many

    def run(self, what, *words, alias=None, password=None):
        alias = alias or self.alias
        done = subprocess.run(
            [program(), "alias", "undelete", what, alias.address, *words, "--password-file", "-",
             "--config", str(self.server.conf), "--json"],
            input=(password or alias.password) + "\n", capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def listed(self, *words, alias=None):
        code, out, err = self.run("list", *words, alias=alias)
        check(code == 0, f"exit {code}: {out} {err}")
        return json.loads(out)

    def subjects(self, *words):
        return [each["subject"] for each in self.listed(*words)]

    def restore(self, *words, alias=None):
        code, out, err = self.run("restore", *words, alias=alias)
        check(code == 0, f"exit {code}: {out} {err}")
        return json.loads(out)["restored"]


def message(subject, size=0):
    return (f"From: Ann <ann@example.org>\r\nTo: me@example.test\r\nSubject: {subject}\r\n\r\n"
            f"The text of {subject}.\r\n{'x' * size}\r\n").encode()


def ok(answer):
    check(answer[0] == "OK", f"{answer}")
    return answer[1]


def add(client, folder, subject, flags="", size=0):
    ok(client.append(folder, flags, DATE, message(subject, size)))


def expunge(client, folder, query="ALL"):
    ok(client.select(folder))
    uids = ok(client.uid("SEARCH", query))[0].decode().replace(" ", ",")
    ok(client.uid("STORE", uids, "+FLAGS", "(\\Deleted)"))
    ok(client.uid("EXPUNGE", uids))


def fetched(client, folder):
    ok(client.select(folder))
    data = ok(client.fetch("1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])"))
    return [(each[0].decode(), each[1]) for each in data if isinstance(each, tuple)]


@suite.case
def there_and_back(world):
    with world.server.imap(world.alias) as client:
        add(client, "INBOX", "first", "(\\Seen \\Flagged Important)")
        add(client, "INBOX", "stays")
        expunge(client, "INBOX", 'SUBJECT "first"')
        check(ok(client.search(None, "ALL"))[0] == b"1", "it is still there")
        check(ok(client.search(None, "TEXT", "first"))[0] in (b"", None), "a search names it")
        items = world.listed()
        check(len(items) == 1 and items[0]["subject"] == "first", f"{items}")
        check(items[0]["folder"] == "INBOX" and items[0]["date"].startswith("1996-07-17T09:44:25"),
              f"{items}")
        check(world.restore() == 1, "not one")
        ok(client.noop())
        check(client.response("EXISTS")[1][-1] == b"2", "who is logged in was not told")
        rows = fetched(client, "INBOX")
        check(rows[1][1] == message("first"), f"other bytes: {rows[1]}")
        for each in ("UID 3", "\\Seen", "\\Flagged", "Important", "17-Jul-1996 02:44:25 -0700"):
            check(each in rows[1][0], f"{each} is not in {rows[1][0]}")
        check("\\Deleted" not in rows[1][0], rows[1][0])
        check(ok(client.search(None, "TEXT", "first"))[0] == b"2", "a search does not find it")
        expunge(client, "INBOX")
    check(world.restore() == 2 and world.restore() == 0, "restored twice")


@suite.case
def every_way_of_expunging(world):
    with world.server.imap(world.alias) as client:
        expunge(client, "INBOX")
        check(world.restore("--subject", "nothing like it") == 0, "a filter that lets all through")
        for folder in ("Work", "Work/Deep"):
            ok(client.create(folder))
            add(client, folder, f"in {folder}")
        ok(client.delete("Work/Deep"))
        ok(client.delete("Work"))
        add(client, "INBOX", "closed")
        add(client, "INBOX", "moved")
        ok(client.select("INBOX"))
        ok(client.uid("MOVE", "*", "Archive"))
        ok(client.store("1", "+FLAGS", "(\\Deleted)"))
        ok(client.close())
        add(client, "INBOX", "by POP3")
    pop = poplib.POP3_SSL("127.0.0.1", world.server.ports["pop3s"], context=world.server.tls,
                          timeout=30)
    pop.user(world.alias.address)
    pop.pass_(world.alias.password)
    pop.dele(1)
    pop.quit()
    found = world.subjects()
    for subject in ("in Work", "in Work/Deep", "closed", "by POP3"):
        check(subject in found, f"{subject} is not in {found}")
    check("moved" not in found, "what was moved is elsewhere")
    check(set(world.subjects("--folder", "Work")) == {"in Work", "in Work/Deep"}, "the folder")
    check(world.restore("--folder", "Work") == 2, "not both")
    with world.server.imap(world.alias) as client:
        check(fetched(client, "Work/Deep")[0][1] == message("in Work/Deep"), "not its folder")
        check(fetched(client, "Work")[0][1] == message("in Work"), "not its folder")
    check(world.restore("--since", "2999-01-01") == 0, "since")
    code, out, _ = world.run("restore", "--since", "yesterday")
    check(code == 2 or json.loads(out)["status"] == "invalid", out)
    check(world.restore("--since", "2020-01-01") >= 2, "since")
    code, out, _ = world.run("list", password="x" * 32)
    check(code != 0 and "in Work" not in out, "a wrong password lists")


@suite.case
def names_that_a_terminal_would_obey(world):
    with world.server.imap(world.alias) as client:
        expunge(client, "INBOX")
        add(client, "INBOX", "=?utf-8?Q?bad=1B[2J=C2=9Bname?=")
        expunge(client, "INBOX")
    subject, = world.subjects("--subject", "bad")
    check(all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in subject), repr(subject))


@suite.case
def many_and_a_kill_in_the_middle(world):
    """The mailbox process killed while it brings back: nothing twice, nothing lost."""
    alias = world.server.add_alias("many@example.test")
    with world.server.imap(alias) as client:
        for number in range(world.many):
            add(client, "INBOX", f"m{number:05}")
        began = time.monotonic()
        expunge(client, "INBOX")
        took = time.monotonic() - began
    items = world.listed(alias=alias)
    check(len(items) == world.many, f"{len(items)} listed")
    check(len({each["subject"] for each in items}) == world.many, "pages overlap")
    for _ in range(3):
        process = subprocess.Popen(
            [program(), "alias", "undelete", "restore", alias.address, "--password-file", "-",
             "--config", str(world.server.conf), "--json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdin.write(alias.password + "\n")
        process.stdin.close()
        process.stdin = None
        time.sleep(0.05)
        for each in world.server.processes("mailbox"):
            os.kill(each.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        with world.server.imap(alias) as client:
            here = len(fetched(client, "INBOX")) if ok(client.select("INBOX"))[0] != b"0" else 0
        check(here + len(world.listed(alias=alias)) == world.many, f"{here} and the rest")
    world.restore(alias=alias)
    with world.server.imap(alias) as client:
        bodies = sorted(each[1] for each in fetched(client, "INBOX"))
    check(bodies == sorted(message(f"m{n:05}") for n in range(world.many)), "not all, once")
    return f"{world.many} messages, expunged in {took * 1000:.0f} ms"


@suite.case
def the_quota_and_the_limit(world):
    """Hidden mail is not used quota; half the quota of it is kept; no room: what fits comes back."""
    alias = world.server.add_alias("small@example.test", "--quota", "1M")
    with world.server.imap(alias) as client:
        for number in range(8):
            add(client, "INBOX", f"q{number}", size=200 * 1024)
            expunge(client, "INBOX")
        for number in range(4):
            add(client, "INBOX", f"live{number}", size=200 * 1024)  # there is room for all of it
    kept, deadline = [], time.monotonic() + 20
    while len(kept) != 2:
        check(time.monotonic() < deadline, f"{kept} are kept")
        time.sleep(1.2)
        kept = [each["subject"] for each in world.listed("--subject", "q", alias=alias)]
    check(kept == ["q6", "q7"], f"{kept}: not the newest")
    code, out, _ = world.run("restore", "--subject", "q", alias=alias)
    answer = json.loads(out)
    check(code != 0 and answer["status"] == "limit" and answer["restored"] == 1, out)
    check([each["subject"] for each in world.listed("--subject", "q", alias=alias)] == ["q7"], "both")


@suite.case
def time_is_over(world):
    server = world.server
    server.stop()
    server.settings["undelete_keep"] = "1s"
    server.start()
    with server.imap(world.alias) as client:
        add(client, "INBOX", "brief")
        expunge(client, "INBOX", 'SUBJECT "brief"')
    time.sleep(1.2)
    deadline = time.monotonic() + 20
    while world.subjects():
        check(time.monotonic() < deadline, "it is kept for ever")
        with server.imap(world.alias) as client:
            add(client, "Archive", "nudge")
            ok(client.noop())
            time.sleep(1.5)
    check(not server.sanitizer_findings(), server.sanitizer_findings())


def main():
    imaplib.Commands.setdefault("MOVE", ("SELECTED",))
    options = suite.parse()
    with Server() as server:
        alias = server.add_alias("me@example.test")
        suite.run(World(server, alias, 5000 if options.long else 1000))


if __name__ == "__main__":
    main()
