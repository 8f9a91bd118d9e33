#!/usr/bin/env python3
"""The scanner's process with the real clamd and rspamd of Debian, and with daemons that misbehave.

clamd gets a signature database of our own, of one line: no virus is downloaded, none is kept here.
"""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from listener import Listener  # noqa: E402
from server import free_ports  # noqa: E402
from suite import Skip, Suite, check  # noqa: E402

TRY = os.path.join(os.environ["SEALPOST_BUILD"], "tests", "scanner", "scanner_try")
HEADER = (b"From: Anna <anna@a.example>\r\nTo: me@here.example\r\nSubject: Lunch\r\n"
          b"Date: Thu, 26 Nov 2026 09:59:00 +0000\r\nMessage-ID: <1@a.example>\r\n"
          b"MIME-Version: 1.0\r\n")
CLEAN = HEADER + b"\r\nShall we meet at noon?\r\n"
# The files that every scanner knows for tests, put together here, so that this file is none of them.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
suite = Suite(__doc__.split("\n\n", maxsplit=1)[0])


def with_attachment(content):
    return (HEADER + b"Content-Type: application/octet-stream; name=a.bin\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content))


class Scanner:
    """Runs the process and keeps the daemons' folders."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def scan(self, messages, clamd="", rspamd="", client="192.0.2.1", fails=False):
        files = []
        for message in messages:
            self.count += 1
            files.append(self.path(f"message{self.count}"))
            with open(files[-1], "wb") as file:
                file.write(message)
        settings = f'data = "{self.folder}"\nlog_level = warning\nclamd = "{clamd}"\n' \
                   f'rspamd = "{rspamd}"\n'
        done = subprocess.run([TRY, settings, client, "a.example", "anna@a.example", *files],
                              capture_output=True, timeout=120)
        check(done.returncode == 0, f"{done.returncode}: {done.stderr.decode()}")
        self.log = done.stderr.decode()
        check(fails or "warning" not in self.log, self.log)
        for file in files:
            os.unlink(file)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def one(self, message=CLEAN, **options):
        return self.scan([message], **options)[0]


class Daemon:
    """A program that runs while the case does; ready when its port or socket answers."""

    def __init__(self, arguments, address, seconds=300, **options):
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, **options)
        end = time.monotonic() + seconds
        while True:
            try:
                if isinstance(address, str):
                    with socket.socket(socket.AF_UNIX) as s:
                        s.connect(address)
                else:
                    socket.create_connection(address, 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"{arguments[0]} does not start") from None
                time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Fake(Listener):
    """A scanner of a few lines, and how a configuration names it."""

    def __init__(self, serve, path=None):
        super().__init__(serve, path=path)
        self.address = path or f"127.0.0.1:{self.port}"


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(min(size - len(data), 1 << 20))
        if not more:
            raise OSError("ended")
        data += more
    return data


def read_stream(connection):
    """What a clamd reads: the command, and the chunks up to the empty one."""
    check(read_exactly(connection, 10) == b"zINSTREAM\0", "no zINSTREAM")
    data = []
    while True:
        (size,) = struct.unpack(">I", read_exactly(connection, 4))
        if size == 0:
            return b"".join(data)
        data.append(read_exactly(connection, size))


def read_request(connection):
    """What an rspamd reads: head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise OSError("ended")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name.lower() == b"content-length":
            body += read_exactly(connection, int(value) - len(body))
    return head, body


def reply(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


# ---- The real ones ----

def clamd(scanner, tcp=None):
    program = shutil.which("clamd") or "/usr/sbin/clamd"
    if not os.path.exists(program):
        raise Skip("clamd is not installed")
    os.makedirs(scanner.path("clamdb"), exist_ok=True)
    with open(scanner.path("clamdb", "own.ndb"), "w", encoding="ascii") as file:
        file.write(f"Own.Test.Eicar:0:*:{EICAR.hex()}\n")
    path = scanner.path("clamd.sock")
    with open(scanner.path("clamd.conf"), "w", encoding="ascii") as file:
        file.write(f"DatabaseDirectory {scanner.path('clamdb')}\nForeground yes\n"
                   f"StreamMaxLength 2M\nLogFile {scanner.path('clamd.log')}\n"
                   f"TemporaryDirectory {scanner.folder}\n")
        file.write(f"TCPSocket {tcp}\nTCPAddr 127.0.0.1\n" if tcp else f"LocalSocket {path}\n")
    return Daemon([program, "-c", scanner.path("clamd.conf")], ("127.0.0.1", tcp) if tcp else path)


@suite.case
def clamd_finds_what_it_knows(scanner):
    path = scanner.path("clamd.sock")
    with clamd(scanner):
        for message in (with_attachment(EICAR), HEADER + b"\r\n" + EICAR + b"\r\n"):
            found = scanner.one(message, clamd=path)
            check(found["is_virus"] and found["name"].startswith("Own.Test.Eicar") and
                  found["is_complete"], found)
        for message in (CLEAN, b"", with_attachment(os.urandom(500000)), with_attachment(EICAR[1:])):
            found = scanner.one(message, clamd=path)
            check(not found["is_virus"] and found["is_complete"] and found["score"] == 0, found)
        # Larger than its StreamMaxLength: it answers before it has read all.
        found = scanner.one(CLEAN + b"x" * (8 << 20), clamd=path, fails=True)
        check(not found["is_complete"] and not found["is_virus"], found)
        check("larger than it takes" in scanner.log or "closed" in scanner.log, scanner.log)
        many = scanner.scan([CLEAN, with_attachment(EICAR)] * 15, clamd=path)
        check([one["is_virus"] for one in many] == [False, True] * 15, many)


@suite.case
def clamd_over_tcp(scanner):
    port = free_ports(1)[0]
    with clamd(scanner, tcp=port):
        check(scanner.one(with_attachment(EICAR), clamd=f"127.0.0.1:{port}")["is_virus"], "missed")
        check(not scanner.one(CLEAN, clamd=f"127.0.0.1:{port}")["is_virus"], "not a virus")


def rspamd(scanner, port):
    if not shutil.which("rspamd"):
        raise Skip("rspamd is not installed")
    conf, (controller, proxy) = scanner.path("rspamd"), free_ports(2)
    shutil.copytree("/etc/rspamd", conf)
    for name in ("local.d", "override.d", "db", "run", "log"):
        os.makedirs(os.path.join(conf, name), exist_ok=True)
    settings = {
        "worker-normal.inc": f'bind_socket = "127.0.0.1:{port}";\ncount = 1;\n',
        "worker-controller.inc": f'bind_socket = "127.0.0.1:{controller}";\n',
        "worker-proxy.inc": f'bind_socket = "127.0.0.1:{proxy}";\n',
        "options.inc": 'dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }\n'
                       'local_addrs = [];\n',
        "logging.inc": f'type = "file"; filename = "{conf}/log/rspamd.log"; level = "warning";\n',
        "fuzzy_check.conf": "enabled = false;\n", "redis.conf": "",
    }
    for name, text in settings.items():
        with open(os.path.join(conf, "override.d", name), "w", encoding="ascii") as file:
            file.write(text)
    subprocess.run(["chown", "-R", "_rspamd:_rspamd", conf], check=True)
    os.chmod(scanner.folder, 0o755)
    places = [f"--var={name}={conf}{rest}" for name, rest in
              (("CONFDIR", ""), ("LOCAL_CONFDIR", ""), ("DBDIR", "/db"), ("RUNDIR", "/run"),
               ("LOGDIR", "/log"))]
    return Daemon(["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", f"{conf}/rspamd.conf",
                   *places], ("127.0.0.1", port))


@suite.case
def rspamd_gives_its_score(scanner):
    port = free_ports(1)[0]
    with rspamd(scanner, port):
        place = f"127.0.0.1:{port}"
        gtube = HEADER + b"\r\n" + GTUBE + b"\r\n"
        found = scanner.one(gtube, rspamd=place)
        check(found["is_complete"] and found["score"] == 15000, found)
        clean = scanner.one(CLEAN, rspamd=place)
        check(clean["is_complete"] and clean["score"] < 10000 and clean["symbols"], clean)
        many = scanner.scan([CLEAN, gtube] * 4, rspamd=place)
        check([one["score"] >= 15000 for one in many] == [False, True] * 4, many)
        return f"an ordinary message {clean['score'] / 1000}: {clean['symbols']}"


@suite.case
def both_at_once(scanner):
    with Fake(lambda c: (read_stream(c), c.sendall(b"stream: OK\0"))) as one, \
            Fake(lambda c: (read_request(c), c.sendall(
                reply(b'{"score":3,"action":"no action","symbols":{"A":{"score":3}}}')))) as two:
        found = scanner.one(clamd=one.address, rspamd=two.address)
    check(found["is_complete"] and found["score"] == 3000 and found["symbols"] == "A", found)


# ---- What goes over the wire ----

@suite.case
def nobody_is_configured(scanner):
    found = scanner.one()
    check(found["is_complete"] and not found["is_virus"] and found["took_ms"] < 1000, found)


@suite.case
def the_message_arrives_whole(scanner):
    seen = []
    def as_clamd(connection):
        seen.append(read_stream(connection))
        connection.sendall(b"stream: OK\0")
    def as_rspamd(connection):
        seen.append(read_request(connection))
        connection.sendall(reply(b'{"score":0,"action":"no action"}'))
    for size in (0, 1, 262144, 262145, 20 << 20):
        message = os.urandom(size)
        with Fake(as_clamd, scanner.path("fake.sock")) as one, Fake(as_rspamd) as two:
            check(scanner.one(message, clamd=one.address, rspamd=two.address)["is_complete"], size)
        os.unlink(scanner.path("fake.sock"))
        bodies = [item if isinstance(item, bytes) else item[1] for item in seen]
        check(bodies == [message, message], f"{size}: {[len(body) for body in bodies]}")
        head = next(item[0] for item in seen if isinstance(item, tuple))
        for line in (b"POST /checkv2 HTTP/1.1", b"IP: 192.0.2.1", b"Helo: a.example",
                     b"Hostname: a.example",
                     b"From: anna@a.example"):
            check(line in head.split(b"\r\n"), head)
        seen.clear()


# ---- Bad ones ----

BAD_CLAMD = {
    "closes": lambda c: None,
    "closes behind the stream": read_stream,
    "garbage": lambda c: (read_stream(c), c.sendall(os.urandom(500) + b"\0")),
    "another protocol": lambda c: c.sendall(b"220 mail ESMTP\r\n"),
    "no end": lambda c: (read_stream(c), c.sendall(b"stream: OK")),
    "an endless reply": lambda c: [c.sendall(b"x" * 65536) for _ in range(1000)],
    "a name with a line end": lambda c: (read_stream(c), c.sendall(b"stream: A\r\nB FOUND\0")),
    "an error": lambda c: (read_stream(c), c.sendall(b"Can't allocate memory ERROR\0")),
}
BAD_RSPAMD = {
    "closes": lambda c: None,
    "closes behind the request": read_request,
    "no HTTP": lambda c: (read_request(c), c.sendall(b"stream: OK\0")),
    "an error": lambda c: (read_request(c), c.sendall(reply(b'{"error":"x"}', b"500 Oops"))),
    "no JSON": lambda c: (read_request(c), c.sendall(reply(b"<html>"))),
    "a list": lambda c: (read_request(c), c.sendall(reply(b"[" * 100000))),
    "no score": lambda c: (read_request(c), c.sendall(reply(b'{"action":"x"}'))),
    "too much": lambda c: (read_request(c), c.sendall(reply(
        b'{"score":1,"action":"x","a":"' + b"x" * (2 << 20) + b'"}'))),
    "without end": lambda c: (read_request(c), c.sendall(b"HTTP/1.1 200 OK\r\n\r\n"),
                              [c.sendall(b" " * 65536) for _ in range(1000)]),
}


@suite.case
def a_clamd_that_misbehaves(scanner):
    for name, serve in BAD_CLAMD.items():
        with Fake(serve) as fake:
            found = scanner.one(clamd=fake.address, fails=True)
        check(not found["is_complete"] and not found["is_virus"] and found["took_ms"] < 7000,
              f"{name}: {found}")
        check("not scanned" in scanner.log, f"{name}: {scanner.log}")


@suite.case
def an_rspamd_that_misbehaves(scanner):
    for name, serve in BAD_RSPAMD.items():
        with Fake(serve) as fake:
            found = scanner.one(rspamd=fake.address, fails=True)
        check(not found["is_complete"] and found["score"] == 0 and found["took_ms"] < 7000,
              f"{name}: {found}")


@suite.case
def one_is_away_the_other_counts(scanner):
    with Fake(lambda c: (read_stream(c), c.sendall(b"stream: Eicar FOUND\0"))) as fake:
        found = scanner.one(clamd=fake.address, rspamd=f"127.0.0.1:{free_ports(1)[0]}", fails=True)
    check(found["is_virus"] and found["name"] == "Eicar" and not found["is_complete"], found)
    found = scanner.one(clamd=scanner.path("nowhere.sock"), fails=True)
    check(not found["is_complete"] and found["took_ms"] < 1000, found)


@suite.case
def silent_ones_are_not_waited_for(scanner):
    with Fake(lambda c: time.sleep(30)) as one, Fake(lambda c: time.sleep(30)) as two:
        found = scanner.scan([CLEAN, CLEAN + b"x" * (8 << 20)], clamd=one.address,
                             rspamd=two.address, fails=True)
    for each in found:
        check(not each["is_complete"] and 5000 < each["took_ms"] < 7000, each)


@suite.case
def one_warning_for_many_messages(scanner):
    found = scanner.scan([CLEAN] * 40, clamd=scanner.path("nowhere.sock"), fails=True)
    check(not any(each["is_complete"] for each in found), found)
    check(scanner.log.count("not scanned") == 1, scanner.log)


if __name__ == "__main__":
    suite.parse()
    with tempfile.TemporaryDirectory() as temporary:
        suite.run(Scanner(temporary))
