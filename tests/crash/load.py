"""The load of the crash tests: deliveries, appends and logins by several clients at once, a ledger of
what was acknowledged, and the check that all of it is there exactly once.

A delivery that got no answer, or a temporary one, is sent again byte for byte, as a mail server
does; the service has to notice. An APPEND that got no answer may be there or not, and is not sent
again: no mail program would.
"""

import imaplib
import pathlib
import poplib
import random
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import build_folder  # noqa: E402
from lib.suite import check  # noqa: E402

MARK = re.compile(rb"marker-([0-9a-f]{16})")
poplib._MAXLINE = 1 << 20
GONE = (OSError, EOFError, smtplib.SMTPServerDisconnected, imaplib.IMAP4.abort, ssl.SSLError)


class Ledger:
    """What every mailbox must hold: marker -> [fewest, most] copies."""

    def __init__(self):
        self.lock = threading.Lock()
        self.boxes = {}
        self.problems = []
        self.counts = {"delivered": 0, "sent again": 0, "appended": 0, "logins": 0, "removed": 0,
                       "temporary": 0}

    def count(self, name, number=1):
        with self.lock:
            self.counts[name] += number

    def expect(self, address, marker, fewest, most):
        with self.lock:
            self.boxes.setdefault(address, {})[marker] = [fewest, most]

    def problem(self, words):
        with self.lock:
            self.problems.append(words)

    def expected(self, address):
        with self.lock:
            return {marker: tuple(range_) for marker, range_ in
                    self.boxes.get(address, {}).items()}

    def summary(self):
        return ", ".join(f"{number} {name}" for name, number in self.counts.items() if number)


class Load:
    """Client threads against a server that comes and goes."""

    def __init__(self, server, present, absent, seed, deliverers=2, appenders=1, pause=0.0,
                 sizes=(200, 3000, 60000)):
        self.server = server
        self.present = present  # aliases with a session open most of the time
        self.absent = absent    # and those who log in now and then
        self.ledger = Ledger()
        self.sizes = sizes
        self.pause = pause
        self.seed = seed
        self.stopping = threading.Event()
        self.threads = []
        self.jobs = ([(self.deliver, n) for n in range(deliverers)] +
                     [(self.append, n) for n in range(appenders)] +
                     [(self.watch, n) for n in range(len(present))] + [(self.visit, 0)])

    def start(self):
        self.stopping.clear()
        self.threads = [threading.Thread(target=self.guard, args=(job, number), daemon=True)
                        for job, number in self.jobs]
        for thread in self.threads:
            thread.start()

    def stop(self, seconds=90):
        """Ends the clients once each has finished what it is at."""
        self.stopping.set()
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        left = [thread.name for thread in self.threads if thread.is_alive()]
        check(not left, f"clients hang: {left}")

    def guard(self, job, number):
        try:
            job(random.Random(f"{self.seed} {job.__name__} {number} {time.time_ns()}"), number)
        except Exception as error:  # a client that dies would make the test say nothing
            self.ledger.problem(f"{job.__name__}: {type(error).__name__}: {error}")

    def message(self, chance, marker):
        size = chance.choice(self.sizes)
        body = "\r\n".join("".join(chance.choices("abcdefgh ", k=70)) for _ in range(size // 72))
        return (f"From: a@example.org\r\nSubject: marker-{marker}\r\n"
                f"Message-ID: <{marker}@example.org>\r\n\r\n{body}\r\n").encode()

    # ---- the clients ----

    def deliver(self, chance, _):
        client = None
        while not self.stopping.is_set():
            marker = f"{chance.getrandbits(64):016x}"
            owners = [chance.choice(self.present + self.absent)]
            if chance.random() < 0.25:
                owners = [chance.choice(self.present), chance.choice(self.absent)]
            raw = self.message(chance, marker)
            for owner in owners:
                self.ledger.expect(owner.address, marker, 0, 1)
            attempts = 0
            # What was begun is sent until it is answered, also while stopping.
            while attempts < 400:
                attempts += 1
                try:
                    if client is None:
                        client = self.server.smtp(timeout=20)
                    refused = client.sendmail("a@example.org",
                                              [owner.address for owner in owners], raw)
                    owners_left = [o for o in owners if o.address in refused]
                    for owner in owners:
                        if owner not in owners_left:
                            self.ledger.expect(owner.address, marker, 1, 1)
                            self.ledger.count("delivered")
                    if any(code >= 500 for code, _ in refused.values()):
                        self.ledger.problem(f"refused for good: {refused}")
                        break
                    owners = owners_left
                    if not owners:
                        break
                except smtplib.SMTPResponseException as error:
                    if error.smtp_code >= 500:
                        self.ledger.problem(f"refused for good: {error}")
                        break
                    self.ledger.count("temporary")
                    client = self.drop(client)
                except smtplib.SMTPRecipientsRefused as error:
                    if any(code >= 500 for code, _ in error.recipients.values()):
                        self.ledger.problem(f"refused for good: {error.recipients}")
                        break
                    self.ledger.count("temporary")
                    client = self.drop(client)
                except GONE:
                    client = self.drop(client)
                self.ledger.count("sent again")
                if self.stopping.is_set() and self.server.process is None:
                    break  # nobody is coming back to answer
                time.sleep(0.03)
            if self.pause:
                time.sleep(self.pause)
        self.drop(client)

    def append(self, chance, _):
        client = owner = None
        while not self.stopping.is_set():
            marker = f"{chance.getrandbits(64):016x}"
            if client is not None and chance.random() < 0.05:
                client = self.drop(client)
            try:
                if client is None:
                    owner = chance.choice(self.present + self.absent)
                    client = self.server.imap(owner, timeout=20)
                raw = self.message(chance, marker)
                self.ledger.expect(owner.address, marker, 0, 1)
                answer, data = client.append("INBOX", None, None, raw)
                if answer == "OK":
                    self.ledger.expect(owner.address, marker, 1, 1)
                    self.ledger.count("appended")
                else:
                    self.ledger.expect(owner.address, marker, 0, 0)
                    self.ledger.count("temporary")
                    time.sleep(0.03)
            except GONE:
                client = self.drop(client)
                time.sleep(0.03)
            except imaplib.IMAP4.error as error:
                self.login_error(error)
                client = self.drop(client)
            if self.pause:
                time.sleep(self.pause)
        self.drop(client)

    def login_error(self, error):
        """While a part restarts a login may be put off, but the password is never called wrong."""
        if "AUTHENTICATIONFAILED" in str(error) or "[AUTH]" in str(error):
            self.ledger.problem(f"the right password was refused: {error}")
        time.sleep(0.03)

    def watch(self, chance, number):
        """A session that stays open, so that its owner is present."""
        client = None
        while not self.stopping.is_set():
            try:
                if client is None:
                    client = self.server.imap(self.present[number], timeout=20)
                    client.select("INBOX")
                    self.ledger.count("logins")
                client.noop()
                time.sleep(chance.uniform(0.05, 0.3))
            except GONE:
                client = self.drop(client)
                time.sleep(0.03)
            except imaplib.IMAP4.error as error:
                self.login_error(error)
                client = self.drop(client)
        self.drop(client)

    def visit(self, chance, _):
        """Owners who come, look and leave: their drop boxes are emptied."""
        while not self.stopping.is_set():
            client = None
            if chance.random() < 0.3:
                self.fetch(chance.choice(self.absent))
                time.sleep(chance.uniform(0.05, 0.6))
                continue
            try:
                client = self.server.imap(chance.choice(self.absent), timeout=20)
                client.select("INBOX")
                self.ledger.count("logins")
                time.sleep(chance.uniform(0, 0.1))
                client.logout()
                client = None
            except GONE:
                pass
            except imaplib.IMAP4.error as error:
                self.login_error(error)
            self.drop(client)
            time.sleep(chance.uniform(0.05, 0.6))

    def fetch(self, owner):
        """The same by POP3; what is marked and not followed by QUIT stays."""
        client = None
        try:
            client = poplib.POP3_SSL("127.0.0.1", self.server.ports["pop3s"],
                                     context=self.server.tls, timeout=20)
            client.user(owner.address)
            client.pass_(owner.password)
            self.ledger.count("logins")
            for number in range(1, min(client.stat()[0], 5) + 1):
                client.retr(number)
                client.dele(number)
        except GONE:
            pass
        except poplib.error_proto as error:
            self.login_error(error)
        if client is not None:
            client.close()

    @staticmethod
    def drop(client):
        """Closes without a word."""
        if client is not None:
            try:
                if isinstance(client, smtplib.SMTP):
                    client.close()
                else:
                    client.shutdown()
            except (OSError, imaplib.IMAP4.error):
                pass

    # ---- the check ----

    def verify(self, remove=False):
        """Every acknowledged message is there once. With `remove`, the mailboxes are then emptied,
        and must stay so."""
        wrong = list(self.ledger.problems)
        for owner in self.present + self.absent:
            wrong += self.verify_box(owner, remove)
        check(not wrong, f"{len(wrong)} wrong: " + "; ".join(wrong[:8]))

    def verify_box(self, owner, remove):
        wrong = []
        # Right after a restart a part may still be on its way up.
        client = patiently(lambda: self.server.imap(owner, timeout=60))
        try:
            answer, data = client.select("INBOX")
            if answer != "OK":
                return [f"{owner}: SELECT: {data}"]
            found, data_count = {}, data[0]
            if int(data[0]):
                answer, data = client.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
                for part in data:
                    if not isinstance(part, tuple):
                        continue
                    mark = MARK.search(part[1])
                    if mark is None:
                        wrong.append(f"{owner}: a message that nobody sent: {part[1][:200]!r}")
                        continue
                    marker = mark.group(1).decode()
                    found[marker] = found.get(marker, 0) + 1
            expected = self.ledger.expected(owner.address)
            for marker, (fewest, most) in expected.items():
                copies = found.pop(marker, 0)
                if copies < fewest:
                    wrong.append(f"{owner}: acknowledged, {copies} times there: {marker}")
                if copies > most:
                    wrong.append(f"{owner}: {copies} times there: {marker}")
            for marker in found:
                wrong.append(f"{owner}: not in the ledger: {marker}")
            if remove and not wrong and int(data_count):
                self.remove(client, owner, expected)
            client.logout()
        finally:
            self.drop(client)
        return wrong

    def remove(self, client, owner, expected):
        client.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")
        answer, data = client.expunge()
        check(answer == "OK", f"EXPUNGE: {data}")
        with self.ledger.lock:
            # Those that were never acknowledged may still be sent again; the others are done.
            self.ledger.boxes[owner.address] = {}
        self.ledger.count("removed", len(expected))


def patiently(action, seconds=30):
    """Repeats what fails for lack of a service, until it comes up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except (*GONE, imaplib.IMAP4.error, smtplib.SMTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def stock_shell(path, password, *sql):
    """Opens a mailbox file with an unmodified SQLite3 Multiple Ciphers; (status, output)."""
    done = subprocess.run([build_folder() / "tests" / "lib" / "stock_shell", str(path), *sql],
                          input=password.encode() + b"\n", capture_output=True, timeout=300)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).decode()


def mailbox_file(server, alias):
    """The file of an alias: by the id, if the service told it, else by whose password opens it."""
    files = sorted((server.data / "mail").glob("*/*/*.sqlite"))
    for path in files:
        if alias.mailbox and path.stem == alias.mailbox:
            return path
    for path in files:
        if stock_shell(path, alias.password, "SELECT count(*) FROM sqlite_master")[0] == 0:
            alias.mailbox = path.stem
            return path
    raise AssertionError(f"no file in {server.data}/mail opens with the password of {alias}")


def check_files(server, aliases):
    """integrity_check of every mailbox by an independent program. The service is stopped."""
    for alias in aliases:
        path = mailbox_file(server, alias)
        status, text = stock_shell(path, alias.password, "PRAGMA integrity_check",
                                   "PRAGMA foreign_key_check")
        check(status == 0 and text.strip() == "ok", f"{path}: {text}")
    return len(aliases)
