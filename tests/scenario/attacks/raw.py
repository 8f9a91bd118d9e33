"""Bytes to and from a server, exactly as given: what a client library would not send."""

import os
import re
import socket
import ssl
import statistics
import threading
import time

from lib.server import program
from lib.suite import Suite, check

suite = Suite("What bad input gets: clear errors, and nobody else notices.")


class Raw:
    """One connection."""

    def __init__(self, port, tls=None, source=None, timeout=20):
        self.plain = socket.create_connection(
            ("127.0.0.1", port), timeout, source_address=(source, 0) if source else None)
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.plain
        if tls is not None:
            self.start_tls(tls)
        self.buffer = b""
        self.greeting = self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def start_tls(self, tls):
        self.socket = tls.wrap_socket(self.socket)

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        """More bytes; False at the end of the stream."""
        try:
            got = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            got = b""
        self.buffer += got
        return bool(got)

    def line(self):
        """One line without its end; b"" when the server has closed."""
        while b"\n" not in self.buffer:
            if not self.fill():
                return b""
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def exactly(self, count):
        while len(self.buffer) < count:
            check(self.fill(), "the server closed in the middle of a literal")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def is_closed(self, seconds=10):
        """Does the server end the connection within that time?"""
        self.socket.settimeout(seconds)
        try:
            while self.fill():
                pass
            return True
        except (TimeoutError, socket.timeout):
            return False
        finally:
            try:
                self.socket.settimeout(20)
            except OSError:
                pass


class Imap(Raw):
    counter = 0

    def answer(self, tag):
        """All up to the tagged line; that one is the last. Literals are elements of their own."""
        found = []
        while True:
            line = self.line()
            if line == b"":
                found.append(b"")
                return found
            found.append(line)
            literal = re.search(rb"\{(\d+)\}$", line)
            if literal:
                found.append(self.exactly(int(literal.group(1))))
            elif line.startswith(tag + b" "):
                return found

    def ask(self, command):
        """A whole command without its tag; the answer as from answer(), without the tag."""
        Imap.counter += 1
        tag = b"t%d" % Imap.counter
        self.send(tag + b" " + command + b"\r\n")
        found = self.answer(tag)
        found[-1] = found[-1][len(tag) + 1:]
        return found

    def last(self, command):
        return self.ask(command)[-1]

    def login(self, alias):
        said = self.last(b"LOGIN %s %s" % (alias.address.encode(), alias.password.encode()))
        check(said.startswith(b"OK"), f"login: {said}")
        return self

    def append(self, message, folder=b"INBOX"):
        form = b"~" if b"\0" in message else b""  # what has a NUL is a literal8
        return self.last(b"APPEND %s %s{%d+}\r\n%s" % (folder, form, len(message), message))


class Smtp(Raw):
    def reply(self):
        """(code, words) of one reply; code 0: closed."""
        words = []
        while True:
            line = self.line()
            if line == b"":
                return 0, b""
            words.append(line[4:])
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(words)

    def ask(self, line):
        self.send(line + b"\r\n")
        return self.reply()

    def code(self, line):
        return self.ask(line)[0]

    def begin(self, recipients, sender=b"a@example.org"):
        """Up to DATA's 354."""
        check(self.code(b"EHLO client.test") == 250, "EHLO")
        check(self.code(b"MAIL FROM:<%s>" % sender) == 250, "MAIL")
        for recipient in recipients:
            code, words = self.ask(b"RCPT TO:<%s>" % recipient.encode())
            check(code == 250, f"RCPT: {code} {words}")
        check(self.code(b"DATA") == 354, "DATA")
        return self


def imap(server, alias=None, tls=False, **options):
    client = Imap(server.ports["imaps" if tls else "imap"], server.tls if tls else None, **options)
    return client.login(alias) if alias else client


def smtp(server, port="mx", **options):
    return Smtp(server.ports[port], server.tls if port == "submissions" else None, **options)


def messages_in(server, alias, folder=b"INBOX"):
    """Every message's bytes."""
    with imap(server, alias) as client:
        said = client.ask(b"EXAMINE " + folder)
        if b"* 0 EXISTS" in said:
            return []
        found = client.ask(b"FETCH 1:* BODY.PEEK[]")
        return [found[i + 1] for i, part in enumerate(found)
                if part.startswith(b"* ") and b"BODY[] {" in part]


def memory_kib(process):
    """Private memory that cannot be given back."""
    with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as file:
        found = re.search(r"RssAnon:\s+(\d+)", file.read())
    return int(found.group(1)) if found else 0


def forget_peak(process):
    """The kernel counts the most memory anew from here."""
    with open(f"/proc/{process.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_kib(process):
    """The most memory since forget_peak, however short it was."""
    with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as file:
        text = file.read()
    peak, files = (int(re.search(name + r":\s+(\d+)", text).group(1))
                   for name in ("VmHWM", "RssFile"))
    return peak - files


def is_sanitized():
    with open(program(), "rb") as file:
        return b"__asan_init" in file.read()


def wait_until(is_so, seconds=30):
    """Did it become true within that time?"""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class Watch:
    """While it is open: the most memory of any process of these roles."""

    def __init__(self, server, *roles):
        self.server = server
        self.roles = roles
        self.peak = {}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def look(self):
        for process in self.server.processes():
            if process.role not in self.roles:
                continue
            try:
                now = memory_kib(process)
            except OSError:
                continue
            self.peak[process.role] = max(self.peak.get(process.role, 0), now)

    def run(self):
        while not self.stopping.wait(0.1):
            self.look()

    def __enter__(self):
        self.look()
        self.before = dict(self.peak)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def check(self, most_kib):
        """None of them grew by more. The sanitizers' own memory says nothing."""
        if is_sanitized():
            return
        for role, peak in self.peak.items():
            grown = peak - self.before.get(role, 0)
            check(grown <= most_kib, f"{role} grew by {grown} KiB")


class Turns:
    """How long those who serve one client, and its own thread, were ready to run while the processors did
    something else: that is the machine's doing, and not the server's."""

    def __init__(self, server, alias):
        processes = server.processes()
        self.server = server
        self.serving = [process.pid for process in processes if process.role == "gate"
                        or process.role == "mailbox" and self.has_file(process.pid, alias.mailbox)]
        check(len(self.serving) > 1, "nobody serves the neighbour")
        self.all, self.looked = [process.pid for process in processes], time.monotonic()

    @staticmethod
    def has_file(pid, mailbox):
        try:
            return any(mailbox in os.readlink(entry) for entry in os.scandir(f"/proc/{pid}/fd"))
        except OSError:
            return False  # it has ended

    @staticmethod
    def sum_of(processes, column):
        """Of /proc/PID/schedstat, in seconds: 0, on a processor; 1, waiting for one."""
        total = 0
        for process in processes:
            try:
                with open(f"/proc/{process}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[column])
            except (OSError, IndexError):
                pass  # it has ended, or this system does not tell
        return total / 1e9

    def mark(self):
        """The beginning of a wait."""
        now = time.monotonic()
        if now - self.looked > 1:
            self.all, self.looked = [process.pid for process in self.server.processes()], now
        return (time.monotonic(), self.sum_of((*self.serving, "thread-self"), 1),
                self.sum_of(self.all, 0), self.all)

    def since(self, mark):
        """How long that wait was. What the server's own processes ran meanwhile is its doing, too."""
        began, lost, ran, processes = mark
        took = time.monotonic() - began
        lost = self.sum_of((*self.serving, "thread-self"), 1) - lost
        ran = self.sum_of(processes, 0) - ran
        return took - min(took, max(0, lost - max(0, ran)))


class Neighbour:
    """Another client that asks all the time; how long the server ever let it wait for an answer."""

    def __init__(self, server, alias):
        self.client = imap(server, alias, timeout=60)
        self.client.last(b"SELECT INBOX")
        self.turns = Turns(server, alias)
        self.waits = []
        self.error = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.stopping.wait(0.02):
                mark = self.turns.mark()
                said = self.client.last(b"NOOP")
                self.waits.append(self.turns.since(mark))
                check(said.startswith(b"OK"), said)
        except Exception as error:  # told by the thread that opened it
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        self.client.socket.close()

    def check(self, seconds=1.0):
        check(self.error is None, f"the neighbour: {self.error}")
        check(self.waits and max(self.waits) < seconds,
              f"the neighbour waited {max(self.waits, default=0):.2f} s")
        return f"{max(self.waits) * 1000:.0f} ms"


def median_ms(values):
    return statistics.median(values) * 1000
