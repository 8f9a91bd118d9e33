"""A service with backups, for the tests of restoring: in a folder, or with --s3 on a real S3 server
(storage.py), whose cases each take a mailbox of their own.

    suite = owners.suite(__doc__)

    @suite.case
    def a_case(world): ...

    owners.run(suite)
"""

import datetime
import imaplib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server, program  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import shipped  # noqa: E402
import storage  # noqa: E402


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
        count = 2 if words[0] in ("alias", "backup") else 1
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

    def check_has(self, alias, *names):
        """A mailbox that was just restored: the subjects of what its INBOX has."""
        with connect(self, alias) as client:
            check(subjects(client) == list(names), f"{subjects(client)}")

    def check_restores(self, alias, *names):
        """From the newest that there is; what came of the command."""
        result = self.restore(alias)
        check(result[0] == 0, show(result))
        self.check_has(alias, *names)
        return result

    def verify(self, alias, *options, **passwords):
        return self.run(alias, "backup", "verify", *options, **passwords)

    def back_up(self, alias):
        result = self.run(alias, "backup", "now")
        check(result[0] == 0, show(result))

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

    def wait_ended(self):
        """Until no mailbox has a process any more."""
        until(lambda: not self.server.processes("mailbox"), "a mailbox's process does not end", 120, 0.05)

    def wait_shipped(self, alias, client=None):
        """Until what was done so far is at the destination. `client`: its session is kept awake; else it may
        sleep, and the mailbox's process end, with the last of the log for the next one to send."""
        until(lambda: (client is None or client.noop()) and
              shipped.is_shipped(self.file_of(alias), lambda: self.server.processes("mailbox")),
              "what was committed does not come to the destination", 120, 0.05)


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


def suite(description):
    made = Suite(description)
    made.parser.add_argument("--s3", action="store_true", help="on S3 instead of in a folder")
    return made


def nobody_crashed(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())
    ended = [line for line in world.server.log().splitlines()
             if "ended by signal" in line and "signal 9 " not in line]
    check(not ended, ended)


def run(suite):
    """Its cases, each with the world; and in the end that nobody crashed."""
    suite.case(nobody_crashed)
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-backup-") as folder:
        s3 = storage.Server(folder) if suite.options.s3 else None
        if s3 is not None:
            suite.behind_each = s3.breaker.reset
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
