#!/usr/bin/python3
"""A mailbox owner's own bucket, beside the host's folder, on a real S3 server behind a proxy that breaks
things: what comes there, what is read from there, and that nothing of it is in the host's way.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lib import doh  # noqa: E402
from lib.authority import Authority  # noqa: E402
from lib.server import AdminError, Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
import storage  # noqa: E402
from s3_server import KEY_ID, SECRET  # noqa: E402

suite = Suite(__doc__)
# In zones: addresses that are not public, of which the operator allows one by its host's name.
ZONES = {"own.test": [["A", "127.0.0.1"]], "inner.test": [["A", "10.0.0.5"]],
         "mixed.test": [["A", "192.0.78.9"], ["A", "127.0.0.1"]]}


class World:
    def __init__(self, server, host, s3):
        self.server, self.host, self.s3 = server, host, s3
        self.count = 0

    def alias(self):
        self.count += 1
        alias = self.server.add_alias(f"user{self.count}@example.test")
        alias.bucket = storage.Bucket(self.s3, prefix=f"owner{self.count}")
        return alias

    def set(self, alias, place=None, secret=SECRET, key_id=KEY_ID):
        """Exit code and what was said."""
        return self.command("backup", "destination", "set", alias.address,
                            place or self.url(alias), "--key-id", key_id, "--secret-file", "-",
                            secret=secret)

    def url(self, alias):
        return self.s3.url(prefix=alias.bucket.prefix, host="own.test")

    def command(self, *words, secret=""):
        done = subprocess.run([program(), *words, "--config", str(self.server.conf), "--json"],
                              input=secret + "\n", capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def now(self, alias):
        return self.command("backup", "now", alias.address, "--password-file", "-",
                            secret=alias.password)

    def show(self, alias):
        return self.server.admin("backup", "destination", "show", alias.address)

    def list(self, alias):
        rows = self.server.admin("backup", "list", alias.address)
        return rows.get("items", [rows]) if isinstance(rows, dict) else rows

    def objects(self, place, alias):
        return {name: place.size(name) for name in place.names(alias.mailbox + "/")}

    def wait(self, condition, words, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            check(time.monotonic() < deadline, f"{words}: {self.server.log(1500)}")
            time.sleep(0.2)

    def kill_archivist(self):
        """Until there is another: the one killed is among the processes for a while, and the next one may be
        late, as cases before have killed it, too."""
        killed, = self.server.processes("archivist")
        os.kill(killed.pid, 9)
        self.wait(lambda: any(process.pid != killed.pid for process in self.server.processes("archivist")),
                  "no archivist")

    def wait_same(self, alias, seconds=60):
        """Until both have the same objects, byte for byte in the end."""
        def is_same():
            here = self.host.names(alias.mailbox + "/")
            return here and here == alias.bucket.names(alias.mailbox + "/")
        self.wait(is_same, "the two are not the same", seconds)
        for name in self.host.names(alias.mailbox + "/"):
            check(self.host.get(name) == alias.bucket.get(name), f"{name} differs")

    def away(self, alias, status):
        """Its bucket answers so, whatever is asked."""
        for method in ("PUT", "GET", "POST", "DELETE"):
            for needle in (f"/{alias.bucket.prefix}", f"%2F{alias.mailbox}",
                           f"prefix={alias.bucket.prefix}"):
                self.s3.breaker.add(method, needle, "status", status, times=10**6)

    def with_mail(self, alias, *subjects):
        with self.server.imap(alias) as client:
            for subject in subjects:
                status, _ = client.append("INBOX", None, None,
                                          f"Subject: {subject}\r\n\r\n{subject}\r\n".encode())
                check(status == "OK", status)
            time.sleep(1.5)

    def subjects(self, alias):
        deadline = time.monotonic() + 10
        while True:
            try:
                with self.server.imap(alias) as client:
                    client.select("INBOX", readonly=True)
                    _, data = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
                break
            except OSError:
                check(time.monotonic() < deadline, "no login")
        return [part[1].decode().strip().removeprefix("Subject: ") for part in data
                if isinstance(part, tuple)]


@suite.case
def a_wrong_one_is_told_and_not_kept(world):
    alias = world.alias()
    for place, secret, words in (
            (None, "wrong", "SignatureDoesNotMatch"),
            (world.s3.url("missing", host="own.test"), SECRET, "NoSuchBucket"),
            (world.s3.url(host="nowhere.test"), SECRET, "no address"),
            ("s3:https://own.test:1/mail", SECRET, "cannot be used"),
            ("/a/folder", SECRET, "it is not S3"),
            ("s3:ftp://own.test/mail", SECRET, "is no destination")):
        code, said = world.set(alias, place, secret)
        check(code != 0 and words in said, f"{place}: {code} {said}")
    code, said = world.command("backup", "destination", "show", alias.address)
    check(code == 4 and "no destination of its own" in said, said)
    check(world.server.admin("backup", "status")["own_destinations"] == 0, "one was kept")


@suite.case
def never_an_address_that_is_not_public(world):
    alias = world.alias()
    port = world.s3.breaker.own_port
    before = len(world.s3.breaker.seen)
    for host in ("127.0.0.1", "2130706433", "0x7f.1", "017700000001", "[::1]", "[::ffff:127.0.0.1]",
                 "[64:ff9b::7f00:1]", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254",
                 "100.64.0.1", "[fe80::1]", "[fd00::1]", "0.0.0.0", "inner.test", "mixed.test",
                 "localhost"):
        code, said = world.set(alias, f"s3:https://{host}:{port}/mail/x")
        check(code != 0 and ("the target is" in said or "no address" in said), f"{host}: {said}")
    check(len(world.s3.breaker.seen) == before, "it was connected to")


@suite.case
def what_was_there_and_what_comes_is_copied(world):
    alias = world.alias()
    world.with_mail(alias, "before")
    check(world.now(alias)[0] == 0, "no backup")
    code, said = world.set(alias)
    check(code == 0, said)
    check(SECRET not in said, "the secret is shown")
    world.wait_same(alias)
    world.with_mail(alias, "behind")
    check(world.now(alias)[0] == 0, "no backup")
    time.sleep(3)  # its process has ended
    with world.server.smtp() as smtp:
        smtp.sendmail("you@example.org", [alias.address], b"Subject: sealed\r\n\r\nText\r\n")
    world.wait(lambda: world.host.names(alias.mailbox + "/drop/"), "no backup of waiting mail")
    world.wait_same(alias)
    kinds = {name.split("/")[1] for name in alias.bucket.names(alias.mailbox)}
    check(kinds == {"full", "base", "log", "drop"}, kinds)
    shown = world.show(alias)
    check(shown["state"] == "up to date" and shown["key_id"] == KEY_ID and SECRET not in str(shown),
          shown)
    status = world.server.admin("backup", "status")
    check((status["own_destinations"], status["own_destinations_failing"]) == (1, 0), status)


@suite.case
def one_that_is_away_is_in_nobodys_way(world):
    alias, other = world.alias(), world.alias()
    check(world.set(alias)[0] == 0, "not set")
    world.with_mail(alias, "one")
    world.wait_same(alias)
    for kind, status in (("away", 503), ("revoked", 403)):
        world.away(alias, status)
        began = time.monotonic()
        world.with_mail(alias, kind)
        code, said = world.now(alias)
        check(code == 0, said)
        check(time.monotonic() - began < 20, "the host's waited for the owner's")
        world.wait(lambda: world.show(alias)["state"] == "failing", "it is not told")
        shown = world.show(alias)
        check(str(status) in shown["reason"], shown)
        status_now = world.server.admin("backup", "status")
        check(status_now["own_destinations_failing"] == 1 and status_now["failures"] == 0, status_now)
        check("an owner's backup destination failed" in world.server.log(), "the log says nothing")
        # The list is the host's meanwhile; another mailbox hears nothing of it.
        check("full" in {row["kind"] for row in world.list(alias)}, world.list(alias))
        world.with_mail(other, "unconcerned")
        check(world.now(other)[0] == 0, "another's backup")
        world.s3.breaker.reset()
        world.wait_same(alias, 120)
        world.wait(lambda: world.show(alias)["state"] == "up to date", "still failing")


@suite.case
def nobody_asks_it_whether_the_host_answers(world):
    """Before a copy is made, the host's destination is asked for a list; an owner's that hangs is not waited
    for, and one that answers is no answer of the host's."""
    alias = world.alias()
    check(world.set(alias)[0] == 0, "not set")
    for needle in (f"{alias.bucket.prefix}%2F", f"prefix={alias.bucket.prefix}"):
        world.s3.breaker.add("GET", needle, "hang", None, times=10**6)
    with world.server.imap(alias) as client:
        client.append("INBOX", None, None, b"Subject: one\r\n\r\none\r\n")
        world.wait(lambda: any(name.endswith(".json") for name in world.host.names(f"{alias.mailbox}/base/")),
                   "no log begins")
    with world.s3.breaker.lock:
        asked = [line for line in world.s3.breaker.seen if f"{alias.mailbox}%2Fnone" in line]
    world.s3.breaker.reset()
    check(not asked, asked)


@suite.case
def what_goes_while_it_is_away_goes_there_later(world):
    """Also when the archivist was started anew meanwhile."""
    alias = world.alias()
    world.with_mail(alias, "one")
    check(world.now(alias)[0] == 0, "no backup")
    full = alias.mailbox + "/full/"
    newest = world.host.names(full)[-1].rpartition(".")[0]
    old = [f"{full}20260101T00000{number}.000Z-1" for number in range(3)]
    for name in old:
        for kind in (".sqlite", ".json"):
            storage.copy(world.host.folder / (newest + kind), name.rpartition("/")[2] + kind)
    check(world.set(alias)[0] == 0, "not set")
    world.wait_same(alias)
    world.away(alias, 503)
    world.with_mail(alias, "two")
    check(world.now(alias)[0] == 0, "no backup")
    going = {name + kind for name in old[:2] for kind in (".sqlite", ".json")}
    world.wait(lambda: not going & set(world.host.names(full)), "the host keeps them")
    check(going <= set(alias.bucket.names(full)), "it is not away")
    world.kill_archivist()
    world.s3.breaker.reset()
    world.wait_same(alias, 120)
    check(old[2] + ".json" in alias.bucket.names(full), "what is kept went, too")


@suite.case
def a_host_that_lost_them_restores_from_there(world):
    alias = world.alias()
    check(world.set(alias)[0] == 0, "not set")
    world.with_mail(alias, "one", "two")
    check(world.now(alias)[0] == 0, "no backup")
    world.with_mail(alias, "three")
    time.sleep(3)  # its process has ended
    world.wait_same(alias)
    kept = world.objects(alias.bucket, alias)
    # One object of the host's is damaged, then all are lost.
    name = next(name for name in world.host.names(alias.mailbox) if name.endswith(".seg"))
    content, digest = world.host.get(name)
    world.host.put(name, content[:-3] + b"???", digest)
    code, said = world.command("backup", "verify", alias.address, "--password-file", "-",
                               secret=alias.password)
    check(code == 0, said)
    shutil.rmtree(world.host.folder / alias.mailbox)
    rows = world.list(alias)
    check({row["kind"] for row in rows} >= {"full", "log"}, rows)
    code, said = world.command("restore", alias.address, "--password-file", "-",
                               secret=alias.password)
    check(code == 0, said)
    check(world.subjects(alias) == ["one", "two", "three"], world.subjects(alias))
    check(set(kept) <= set(world.objects(alias.bucket, alias)), "an empty host emptied the bucket")


@suite.case
def killed_in_the_middle(world):
    alias = world.alias()
    world.with_mail(alias, "before")
    check(world.set(alias)[0] == 0, "not set")
    for number in range(6):
        world.with_mail(alias, f"mail {number}")
        for role in ("archivist", "keeper") if number % 3 == 2 else ("archivist",):
            for process in world.server.processes(role):
                os.kill(process.pid, 9)
        time.sleep(0.3)
    world.with_mail(alias, "behind")
    world.wait_same(alias, 120)
    check(world.show(alias)["state"] in ("up to date", "copying"), world.show(alias))


@suite.case
def the_secret_is_nowhere(world):
    check(SECRET not in world.server.log(), "in the log")
    for path in world.server.data.rglob("*"):
        if path.is_file():
            check(SECRET.encode() not in path.read_bytes(), path)
    # Nor in the memory that processes give up to a core dump: they are not dumpable (secrecy.py).


@suite.case
def what_was_taken_off_stays_there(world):
    alias = world.alias()
    check(world.set(alias)[0] == 0, "not set")
    world.with_mail(alias, "one")
    world.wait_same(alias)
    world.server.admin("backup", "destination", "remove", alias.address)
    kept = world.objects(alias.bucket, alias)
    world.with_mail(alias, "two")
    more = set(world.objects(alias.bucket, alias)) - set(kept)
    check(world.objects(alias.bucket, alias) == kept, f"something more came: {more}")
    code, _ = world.command("backup", "destination", "remove", alias.address)
    check(code == 4, code)


@suite.case
def a_removed_mailbox_leaves_nothing_there(world):
    """Neither what no list of objects shows, nor what its server puts there long after nobody waits for
    that any more."""
    alias, lost = world.alias(), world.alias()
    full = f"{alias.bucket.prefix}/{alias.mailbox}/full/"
    check(world.set(alias)[0] == 0, "not set")
    world.s3.breaker.add("PUT", full, "late", 80)
    world.with_mail(alias, "late")
    check(world.now(alias)[0] == 0, "no backup")
    world.wait(lambda: world.s3.breaker.count("PUT", full), "it is not copied")
    time.sleep(1)  # its bytes are there
    began = time.monotonic()
    world.kill_archivist()
    status, _, body = world.s3.curl("POST", f"/mail/{full}a.sqlite?uploads=")
    check(status == 200, body)
    for each in (alias, lost):
        check(each is alias or world.set(each)[0] == 0, "not set")
        world.with_mail(each, "one", "two")
        code, said = world.now(each)
        check(code == 0, said)
        world.wait_same(each)
    world.server.admin("alias", "remove", alias.address, "--yes")
    world.wait(lambda: not alias.bucket.names("") and not world.host.names(alias.mailbox),
               "something is left")
    check(time.monotonic() - began < 60, "too late to see what comes later")
    world.wait(lambda: full not in world.s3.curl("GET", "/mail?uploads=")[2].decode(),
               "an upload is left")
    # Where nobody lets us in any more, the host's go all the same.
    for method in ("PUT", "GET", "POST", "DELETE"):
        world.s3.breaker.add(method, lost.bucket.prefix, "status", 403, times=10**6)
    world.server.admin("alias", "remove", lost.address, "--yes")
    world.wait(lambda: not world.host.names(lost.mailbox), "the host's are left", 90)
    world.wait(lambda: alias.bucket.names(""), "what was late did not come", 150)
    world.wait(lambda: not alias.bucket.names(""), "what came late is left", 90)
    check("on their way still" in world.server.log(), "it was not waited for")
    check(f"mailbox={lost.mailbox}" in world.server.log(), "nothing is said of them")
    world.s3.breaker.reset()
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def reload(server, said="reloaded"):
    """What master says of it."""
    before = len(server.log())
    server.write_config()
    os.kill(server.process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while not any("not reloaded" in line or line.endswith("reloaded")
                  for line in server.log()[before:].splitlines()):
        check(time.monotonic() < deadline, f"nothing is said of it: {server.log()[before:]}")
        time.sleep(0.02)
    new = server.log()[before:]
    check(said in new and ("not " in said or "not reloaded" not in new), new)


@suite.case
def what_a_reload_takes_over(world):
    """Whom to trust, the key, and where owners' buckets may be; nothing of it when one file is wrong."""
    ca, secret = world.s3.folder / "ca", world.s3.folder / "key"
    other = world.s3.folder / "other"
    other.mkdir()
    ca.write_bytes(Authority(other).ca.read_bytes())
    secret.write_text("wrong\n")
    place = storage.Bucket(world.s3, prefix="host")
    settings = {**world.server.settings, "backup": world.s3.url(prefix="host", host="own.test"),
                "backup_key_id": "test:nobody", "backup_key_file": secret, "backup_ca": ca,
                "backup_own_allow": []}
    with Server(settings=settings) as server:
        other = World(server, place, world.s3)
        alias = other.alias()
        code, said = other.now(alias)
        check(code != 0 and "certificate" in said, said)
        ca.write_bytes(world.s3.certificate.read_bytes())
        reload(server)
        code, said = other.now(alias)
        check(code != 0 and "SignatureDoesNotMatch" in said, said)
        secret.write_text(f"{SECRET}\nand a line that is none of it\n")
        reload(server)
        code, said = other.now(alias)
        check(code != 0 and "SignatureDoesNotMatch" in said, said)
        server.settings["backup_key_id"] = KEY_ID
        reload(server)
        check(other.now(alias)[0] == 0 and place.names(alias.mailbox), "no backup")
        code, said = other.set(alias)
        check(code != 0 and "loopback" in said, said)
        server.settings["backup_own_allow"] = ["own.test"]
        reload(server)
        check(other.set(alias)[0] == 0, "its owner's bucket is not allowed")
        for path, text, words in ((secret, "\n", "backup_key_file: the file is empty"),
                                  (ca, "nothing\n", "backup_ca: no certificate")):
            kept = path.read_bytes()
            path.write_text(text)
            reload(server, "not reloaded")
            check(words in server.log(2000), server.log(2000))
            path.write_bytes(kept)
        check(other.now(alias)[0] == 0, "what was right is gone")
        check(not server.sanitizer_findings(), server.sanitizer_findings())


def main():
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-bucket-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        s3 = storage.Server(folder, ("own.test", "inner.test", "mixed.test", "nowhere.test"))
        host = storage.Folder(folder / "host")
        host.folder.chmod(0o777)
        try:
            with doh.start(ZONES) as names, Server(settings={
                    **names.settings, "backup": host.folder, "backup_ca": s3.certificate,
                    "backup_own_allow": "own.test", "backup_drop_after": "1s",
                    "mailbox_linger": "1s"}) as server:
                suite.run(World(server, host, s3))
        finally:
            s3.close()


if __name__ == "__main__":
    main()
