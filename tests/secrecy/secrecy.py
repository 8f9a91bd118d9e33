#!/usr/bin/python3
"""What the disk and the memory of the processes must not hold: passwords, keys, words of messages.

Every file that the service wrote, and /proc/<pid>/mem of its processes, are searched for the
passwords and keys of all mailboxes (raw, in hex, in base64) and for a word that every message holds
in its subject and body, in clear and in base64. The keeper may hold keys, a mailbox process what is
its own; half a minute after the last session nobody may hold anything.
"""

import base64
import hashlib
import importlib.util
import pathlib
import poplib
import secrets
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import mailbox_file, patiently, stock_shell  # noqa: E402
from lib.server import PROJECT, Server  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

# poplib's own limit would refuse a long line of base64.
poplib._MAXLINE = 1 << 20
suite = Suite(__doc__)
PAGE_TAIL = 32  # of each page: 16 bytes of nonce, 16 of authentication tag
ITERATIONS = 64007


def base64_forms(text):
    """How the bytes look inside a longer base64 text, whatever stands before them."""
    forms = []
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + text + b"\0\0")
        first = -(-shift * 8 // 6) if shift else 0
        last = (shift + len(text)) * 8 // 6
        forms.append(coded[first:last])
    return forms


class Secrets:
    """What to look for, by owner. The common word belongs to nobody and everybody."""

    def __init__(self):
        self.stem = "zqsecret" + secrets.token_hex(8)
        self.patterns = []  # (owner or None, what it is, bytes)
        for form in (self.stem.encode(), self.stem.upper().encode(),
                     *base64_forms(self.stem.encode())):
            self.patterns.append((None, "a word of a message", form))

    def add(self, server, alias):
        for form in (alias.password.encode(), *base64_forms(alias.password.encode())):
            self.patterns.append((alias.address, "the password", form))
        salt = mailbox_file(server, alias).read_bytes()[:16]
        key = hashlib.pbkdf2_hmac("sha256", alias.password.encode(), salt, ITERATIONS, 32)
        for form in (key, key.hex().encode(), key.hex().upper().encode()):
            self.patterns.append((alias.address, "the mailbox key", form))

    def word_of(self, alias):
        """In the messages of one owner only."""
        word = self.stem + secrets.token_hex(4)
        self.patterns.append((alias.address, "a word of a message", word.encode()))
        return word

    def found_in(self, data):
        return [(owner, what) for owner, what, form in self.patterns if form in data]


def message(word, number, size=400, sender=None):
    filler = "\r\n".join(secrets.token_hex(30) for _ in range(size // 62))
    return (f"From: {word} <{sender or word + '@example.org'}>\r\nSubject: {word} {number}\r\n"
            f"Message-ID: <{secrets.token_hex(8)}@example.org>\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n"
            f"--e\r\nContent-Type: text/plain\r\n\r\n{word}\r\n{filler}\r\n"
            f"--e\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            f"{base64.b64encode((word + ' ' + filler).encode()).decode()}\r\n--e--\r\n").encode()


class World:
    def __init__(self, server):
        self.server = server
        self.secrets = Secrets()
        self.here = [server.add_alias(f"here{n}@secret.test") for n in range(2)]
        self.away = [server.add_alias(f"away{n}@secret.test") for n in range(2)]
        self.words = {}
        for alias in self.here + self.away:
            self.secrets.add(server, alias)
            self.words[alias.address] = self.secrets.word_of(alias)
        self.sessions = []

    def open_sessions(self):
        self.sessions = [patiently(lambda: self.server.imap(alias, tls=True))
                         for alias in self.here]
        for session in self.sessions:
            session.select("INBOX")

    def close_sessions(self):
        for session in self.sessions:
            session.logout()
        self.sessions = []

    def use(self, count):
        """Mail for all, by every way in; searches, folders; right and wrong logins."""
        server = self.server
        with server.smtp() as client:
            for number in range(count):
                for alias in self.here + self.away:
                    client.sendmail(f"{self.words[alias.address]}@example.org", [alias.address],
                                    message(self.words[alias.address], number, 400 + 37 * number))
        with server.smtp() as client:
            client.starttls(context=server.tls)
            client.sendmail("a@example.org", [self.away[0].address],
                            message(self.words[self.away[0].address], 0, 200_000))
        for alias, session in zip(self.here, self.sessions):
            word = self.words[alias.address]
            session.create(f'"Folder {word}"')
            answer, data = session.xatom("SETMETADATA", "INBOX", f'(/private/comment "{word}")')
            check(answer == "OK", data)
            for number in range(count):
                answer, data = session.append("INBOX", f"({word})", None, message(word, number))
                check(answer == "OK", data)
            session.search(None, "BODY", word)
            session.search(None, "SUBJECT", word, "NOT", "TEXT", word + "x")
            session.fetch("1:*", "(FLAGS ENVELOPE BODYSTRUCTURE PREVIEW BODY.PEEK[])")
            session.copy("1:3", "Archive")
            with server.submission(alias) as client:
                client.sendmail(alias.address, [alias.address],
                                message(word, 0, sender=alias.address))
            client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=server.tls)
            client.user(alias.address)
            client.pass_(alias.password)
            for n in range(1, client.stat()[0] + 1):
                client.retr(n)
            client.dele(1)
            client.quit()
            for password in (alias.password[:-1], alias.password + "x"):
                client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=server.tls)
                client.user(alias.address)
                try:
                    client.pass_(password)
                    raise AssertionError("a wrong password was accepted")
                except poplib.error_proto:
                    pass
                client.close()
                client = server.imap(tls=True)
                try:
                    client.login(alias.address, password)
                    raise AssertionError("a wrong password was accepted")
                except client.error:
                    pass
                client.shutdown()


def files_below(folder):
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def scan_files(world):
    wrong, count, size = [], 0, 0
    for path in files_below(world.server.folder):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # removed meanwhile
        count += 1
        size += len(data)
        for owner, what in world.secrets.found_in(data):
            wrong.append(f"{path}: {what} of {owner}")
    check(not wrong, "; ".join(wrong[:8]))
    return count, size


def memory_of(pid):
    """All readable memory that is not a plain mapping of a program file."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split(maxsplit=5)
            name = fields[5].strip() if len(fields) > 5 else ""
            if not fields[1].startswith("r") or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            if fields[1].startswith("r-") and name.startswith("/"):
                continue
            first, last = (int(part, 16) for part in fields[0].split("-"))
            try:
                memory.seek(first)
                yield name, memory.read(last - first)
            except (OSError, ValueError, OverflowError):
                pass  # secret memory cannot be read by anybody: that is its purpose


def scan_processes(world, everything_forbidden=False):
    """What is found where it must not be. Gives the number of processes and bytes."""
    wrong, count, size = [], 0, 0
    for process in world.server.processes():
        owners = set()
        found = []
        try:
            for name, data in memory_of(process.pid):
                size += len(data)
                for owner, what in world.secrets.found_in(data):
                    found.append((owner, what, name))
                    if owner is not None:
                        owners.add(owner)
        except PermissionError:
            raise Skip("reading another process's memory is not permitted here") from None
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        count += 1
        allowed = not everything_forbidden and (
            process.role == "keeper" or (process.role == "mailbox" and len(owners) <= 1))
        if not allowed:
            wrong += [f"{process}: {what} of {owner} in {name or 'anonymous memory'}"
                      for owner, what, name in found]
        elif process.role == "keeper":
            wrong += [f"{process}: {what} of {owner}" for owner, what, name in found
                      if what == "a word of a message"]
    check(not wrong, f"{len(wrong)} found: " + "; ".join(sorted(set(wrong))[:12]))
    return count, size


@suite.case
def no_cores(world):
    for process in world.server.processes():
        with open(f"/proc/{process.pid}/limits", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("Max core file size"))
        check(line.split()[4] == "0", f"{process}: {line.strip()}")


@suite.case
def files_while_it_runs(world):
    world.open_sessions()
    world.use(30 if suite.options.long else 8)
    count, size = scan_files(world)
    return f"{count} files, {size >> 10} KiB"


@suite.case
def the_scan_would_find_it(world):
    """A check that cannot fail is none: what a client has in its own memory is found."""
    word = world.words[world.here[0].address]
    check(world.secrets.found_in(b"x" + base64.b64encode(b"ab" + word.encode()) + b"x"),
          "base64 is not found")
    child = subprocess.Popen([sys.executable, "-c", f"x = '{word}'; print(1, flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    try:
        found = any(world.secrets.found_in(data) for _, data in memory_of(child.pid))
    except PermissionError:
        raise Skip("reading another process's memory is not permitted here") from None
    finally:
        child.communicate(b"\n")
    check(found, "the word is not found in the memory of a process that has it")


@suite.case
def memory_with_sessions(world):
    time.sleep(1)
    count, size = scan_processes(world)
    return f"{count} processes, {size >> 20} MiB"


@suite.case
def memory_after_owners_came_back(world):
    for alias in world.away:
        with world.server.imap(alias, tls=True) as client:
            client.select("INBOX")
            client.fetch("1:*", "(BODY[])")
    world.use(3)
    time.sleep(1)
    count, size = scan_processes(world)
    return f"{count} processes, {size >> 20} MiB"


@suite.case
def memory_30_seconds_after_the_last_session(world):
    world.close_sessions()
    time.sleep(30)
    check(not world.server.processes("mailbox"),
          f"mailbox processes are left: {world.server.processes('mailbox')}")
    count, size = scan_processes(world, everything_forbidden=True)
    return f"{count} processes, {size >> 20} MiB"


@suite.case
def files_after_crashes(world):
    for number in range(10 if suite.options.long else 3):
        world.open_sessions()
        world.use(2)
        world.server.kill_all()
        scan_files(world)
        world.server.start()
    count, size = scan_files(world)
    return f"{count} files, {size >> 10} KiB"


def drop_records(data, mailbox):
    """The sealed records of a drop box, as whoever has the whole disk gets them: the box itself is
    encrypted with the host key, which is one of its files."""
    path = data / "drop" / mailbox[-2:] / mailbox / f"{mailbox}.drop.sqlite"
    check(path.exists(), f"no mail is waiting at {path}")
    root = opener().H((data / "host.key").read_bytes()[:32], b"drop-root", b"")
    key = opener().H(root, b"drop-key", mailbox.encode())
    salt = opener().H(root, b"drop-salt", mailbox.encode())[:16]
    status, text = stock_shell(path, "raw:" + key.hex() + salt.hex(),
                               "SELECT sealed FROM record ORDER BY lane, generation, boot, n")
    check(status == 0, text)
    return text.split()


def opener():
    spec = importlib.util.spec_from_file_location(
        "opener", PROJECT / "tests" / "dropbox" / "opener.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_opener(*arguments):
    done = subprocess.run([sys.executable, PROJECT / "tests" / "dropbox" / "opener.py", *arguments],
                          capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@suite.case
def the_disk_opens_no_waiting_mail(world):
    """Nor with X25519 broken: the opener is given the mailbox's X25519 secrets. With the lane roots,
    which only the mailbox holds, it opens every record."""
    server, owner = world.server, world.away[0]
    for number in range(3):
        with server.smtp() as client:
            client.sendmail("a@example.org", [owner.address], message("waiting", number))
    mailbox = mailbox_file(server, owner).stem
    server.stop()
    copy = server.folder / "copy"
    shutil.copytree(server.data, copy, ignore=lambda folder, names: [
        name for name in names if name.endswith((".sock", "-shm"))])
    server.start()
    records = drop_records(copy, mailbox)
    check(len(records) >= 3, f"{len(records)} records for 3 messages")
    disk = [f"file {path.read_bytes().hex()}" for path in
            sorted((copy / "drop" / mailbox[-2:] / mailbox / "lanes").iterdir())]
    disk.append(f"file {(copy / 'host.key').read_bytes().hex()}")
    status, text = stock_shell(copy / "mail" / mailbox[-2:] / mailbox / f"{mailbox}.sqlite",
                               owner.password,
                               "SELECT lane, generation, boot_key_1, x25519_secret FROM lane_root")
    check(status == 0 and text.strip(), text)
    roots = [line.split("\t") for line in text.splitlines()]
    disk += [f"secret {root[3]}" for root in roots]
    files = {"records": "\n".join(records), "disk": "\n".join(disk),
             "roots": "\n".join(" ".join(root) for root in roots)}
    for name, content in files.items():
        (copy / name).write_text(content + "\n")
    status, text = run_opener("attack", copy / "disk", copy / "records")
    check(status == 0 and text.strip() == "0", f"the disk opens waiting mail: {text}")
    status, text = run_opener("open", copy / "roots", copy / "records")
    check(status == 0 and len(text.splitlines()) == len(records), f"the owner's roots do not open it: {text}")
    shutil.rmtree(copy)
    return f"{len(records)} records, {len(disk)} things to try"


def page_tails(path):
    """(nonce, hash of the encrypted page) for each page of a database file or its log."""
    data = path.read_bytes()
    if path.name.endswith("-wal"):
        if len(data) < 32:
            return
        size = int.from_bytes(data[8:12], "big")
        at, step, skip = 32, size + 24, 24
    else:
        if len(data) < 512:
            return
        # These bytes of the header stay in clear in the format (SQLite3 Multiple Ciphers).
        size = int.from_bytes(data[16:18], "big") or 65536
        size = 65536 if size == 1 else size
        at, step, skip = 0, size, 0
    if size < 512 or size & (size - 1):
        return
    while at + step <= len(data):
        page = data[at + skip:at + step]
        at += step
        nonce = page[-PAGE_TAIL:-PAGE_TAIL + 16]
        if any(nonce):
            yield nonce, hashlib.blake2b(page, digest_size=16).digest()


class Nonces:
    """Every nonce ever seen, and the page it was seen with."""

    def __init__(self, folder):
        self.folder = folder
        self.seen = {}
        self.repeated = []

    def look(self):
        for path in files_below(self.folder):
            if not path.name.endswith((".sqlite", ".sqlite-wal")):
                continue
            try:
                for nonce, page in page_tails(path):
                    if self.seen.setdefault(nonce, page) != page:
                        self.repeated.append(path.name)
            except FileNotFoundError:
                pass


@suite.case
def no_nonce_twice(world):
    server = world.server
    total = 10_000
    owners = [server.add_alias(f"nonce{n}@secret.test") for n in range(20)]
    nonces = Nonces(server.data)
    done = 0
    while done < total:
        # New processes all the time: forked children must not repeat each other's nonces.
        clients = [patiently(lambda: server.imap(owner)) for owner in owners]
        for client in clients:
            raw = b"Subject: n\r\n\r\nwords\r\n"
            burst = 25
            client.sock.sendall((b"p APPEND INBOX {%d+}\r\n%s\r\n" % (len(raw), raw)) * burst)
        for client in clients:
            for _ in range(burst):
                line = client.file.readline()
                while not line.startswith(b"p "):
                    check(line, "the connection ended")
                    line = client.file.readline()
                check(b"p OK" in line, line)
            done += burst
        nonces.look()
        for client in clients:
            client.logout()
        nonces.look()
    check(not nonces.repeated, f"{len(nonces.repeated)} nonces occur twice, in "
          f"{sorted(set(nonces.repeated))[:5]}")
    check(len(nonces.seen) > total // 20, f"only {len(nonces.seen)} nonces were seen")
    return f"{done} writes, {len(nonces.seen)} nonces, none twice"


@suite.case
def rules_lie_sealed(world):
    """Targets, replies, lists and webhooks' secrets are the service's to read, not the disk's."""
    mark = "zqrule" + secrets.token_hex(8)
    address = world.here[0].address
    admin = world.server.admin
    admin("alias", "vacation", "on", address, "--subject", mark, "--text", f"{mark} is away")
    admin("alias", "forward", "add", address, f"{mark}@example.org")
    admin("deny", "add", f"{mark}.example", "--alias", address)
    secret = admin("alias", "webhook", "add", address, f"https://{mark}.example/")["secret"]
    forms = [form for text in (mark, secret) for form in (text.encode(), *base64_forms(text.encode()))]
    for path in files_below(world.server.folder):
        data = path.read_bytes()
        check(not any(form in data for form in forms), f"{path.name} has a rule in clear")


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    findings = world.server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    service = Server()
    (service.folder / "tmp").mkdir()
    service.environment["TMPDIR"] = str(service.folder / "tmp")
    with service:
        suite.run(World(service))
