"""A hostile POP3 client, before and after its login."""

import time

from attacks.raw import Neighbour, Raw, Watch, check, imap, messages_in, suite
from lib.server import Server

MEGABYTE = 1 << 20


class Pop3(Raw):
    def ask(self, command):
        """The first line of the answer; b"" when the server has closed."""
        self.send(command + b"\r\n")
        return self.line()

    def lines(self):
        """The rest of a multi-line answer, up to its dot."""
        while b"\r\n.\r\n" not in b"\r\n" + self.buffer:
            check(self.fill(), "closed within an answer")
        text, _, self.buffer = (b"\r\n" + self.buffer).partition(b"\r\n.\r\n")
        return text.split(b"\r\n")[1:]

    def login(self, alias):
        check(self.ask(b"USER " + alias.address.encode()).startswith(b"+OK"), "USER")
        said = self.ask(b"PASS " + alias.password.encode())
        check(said.startswith(b"+OK"), f"login: {said}")
        return self


def pop3(server, alias=None, tls=False, **options):
    client = Pop3(server.ports["pop3s" if tls else "pop3"], server.tls if tls else None, **options)
    return client.login(alias) if alias else client


def fill(server, alias, *messages):
    with imap(server, alias) as client:
        for message in messages:
            check(client.append(message).startswith(b"OK"), "append")


def lines_before_login():
    return {
        "a NUL": b"USER me\0you",
        "a NUL in the name": b"US\0ER me",
        "bad UTF-8": b"USER \xff\xfe\xc0\x80",
        "an empty line": b"",
        "an unknown command": b"FLY",
        "a command of IMAP": b"a LOGIN b c",
        "a command of after": b"RETR 1",
        "a space first": b" USER me",
        "no name": b"USER",
        "no password": b"PASS",
        "PASS without USER": b"PASS x",
        "bad base64": b"AUTH PLAIN !!!!",
        "base64 of nothing": b"AUTH PLAIN =",
        "base64 without NULs": b"AUTH PLAIN YWJj",
        "an unknown mechanism": b"AUTH NTLM",
        "no mechanism": b"AUTH",
        "APOP": b"APOP me c4c9334bac560ecc979e58001b3e22fb",
        "words where none belong": b"CAPA now",
        "a long argument": b"NOOP " + b"x" * 4000,
    }


@suite.case
def malformed_pop3_before_login(server):
    for name, line in lines_before_login().items():
        with pop3(server) as client:
            said = client.ask(line)
            check(said.startswith((b"-ERR", b"+OK Send")), f"{name}: {said}")
            check(client.ask(b"CAPA").startswith(b"+OK"), f"{name}: not alive after it")


@suite.case
def malformed_pop3_after_login(server):
    alias = server.add_alias("malformed@pop3.test")
    fill(server, alias, b"Subject: a\r\n\r\nb\r\n")
    with Watch(server, "gate", "mailbox") as watch:
        for line in (b"RETR", b"RETR 0", b"RETR 2", b"RETR -1", b"RETR 4294967297", b"RETR 1 1",
                     b"RETR 1\0", b"RETR " + b"9" * 4000, b"TOP 1", b"TOP 1 x", b"TOP 1 -1",
                     b"LIST x", b"LIST 99", b"UIDL 0", b"DELE", b"DELE 1 2", b"STAT now",
                     b"USER me", b"PASS x", b"AUTH PLAIN AAAA", b"STLS", b"XYZZY", b"LAST", b"\0"):
            with pop3(server, alias) as client:
                said = client.ask(line)
                check(said.startswith(b"-ERR"), f"{line[:40]}: {said[:200]}")
                check(client.ask(b"NOOP").startswith(b"+OK"), f"{line[:40]}: not alive after it")
    watch.check(8192)
    check(len(messages_in(server, alias)) == 1, "one message as before")


@suite.case
def pop3_lines_without_an_end(server):
    alias = server.add_alias("endless@pop3.test")
    with Watch(server, "gate", "mailbox") as watch:
        for logged_in in (None, alias):
            for begin in (b"USER ", b"", b"RETR ", b"AUTH PLAIN "):
                with pop3(server, logged_in) as client:
                    try:
                        client.send(begin)
                        for _ in range(64):
                            client.send(b"x" * MEGABYTE)
                    except OSError:
                        pass  # cut off: as it should be
                    said = client.line()
                    check(said.startswith(b"-ERR") or said == b"", said[:200])
                    check(client.is_closed(), "the connection goes on")
    watch.check(4096)


@suite.case
def pop3_garbage_is_answered_and_ended(server):
    alias = server.add_alias("garbage@pop3.test")
    with Watch(server, "gate", "mailbox") as watch:
        for logged_in in (None, alias):
            with pop3(server, logged_in) as client:
                try:
                    for number in range(400):
                        client.send(bytes((number * 7 + i * 31) % 256 for i in range(997)) + b"\r\n")
                except OSError:
                    pass
                check(client.is_closed(), "too many bad commands do not end it")
                check(b"-ERR" in client.buffer or client.buffer == b"", client.buffer[:200])
        # 20,000 commands at once, answers read late.
        with pop3(server, alias) as client:
            client.send(b"NOOP\r\n" * 20000 + b"STAT\r\n")
            answers = [client.line() for _ in range(20001)]
            check(answers[-1] == b"+OK 0 0" and all(a.startswith(b"+OK") for a in answers),
                  "an answer to each")
    watch.check(8192)


@suite.case
def a_pop3_reader_that_stops_is_bounded(server):
    alias = server.add_alias("stopped@pop3.test")
    other = server.add_alias("beside@pop3.test")
    fill(server, alias,
         b"Subject: large\r\n\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * 16 * 1024 * 20)
    # What arriving costs, the indexing that is put off included, is not measured here.
    for _ in range(300):
        if not server.processes("mailbox"):
            break
        time.sleep(0.1)
    check(not server.processes("mailbox"), "mailbox processes stay after their last session")
    # Bounded whatever the message's size: 20 MB of it, ten times over, for each of five.
    with Watch(server, "gate", "mailbox") as watch, Neighbour(server, other) as far, \
            Neighbour(server, alias) as near:
        stopped = []
        for _ in range(5):
            client = pop3(server, alias)
            client.send(b"RETR 1\r\n" * 10)
            stopped.append(client)
        # Until each has given what the buffers hold: the answers have begun.
        for client in stopped:
            check(client.line().startswith(b"+OK"), "RETR")
        time.sleep(2)
        for client in stopped:
            client.socket.close()
    watch.check(24 * 1024)
    return f"neighbours waited at most {far.check()} and {near.check()}"


@suite.case
def a_byte_a_time_gains_no_time(_):
    with Server(settings={"login_timeout": "2s"}) as server:
        alias = server.add_alias("slow@pop3.test")
        with pop3(server) as client, pop3(server) as silent:
            cut = False
            try:
                for _ in range(200):
                    client.send(b"x")
                    client.socket.settimeout(0.1)
                    try:
                        cut = cut or not client.fill()
                    except TimeoutError:
                        continue
                    if cut:
                        break
            except OSError:
                cut = True
            check(cut, "a byte a time keeps a connection open")
            # Nothing is said: no answer is due (RFC 1939 section 3).
            check(silent.is_closed() and silent.buffer == b"", silent.buffer)
        # Once logged in, slowness is no fault.
        with pop3(server, alias) as client:
            for byte in b"STAT\r\n":
                client.send(bytes([byte]))
                time.sleep(0.5)
            check(client.line() == b"+OK 0 0", "an answer in the end")


@suite.case
def pop3_connections_are_counted(_):
    settings = {"loopback_is_foreign": True, "connections_per_address_max": 3, "processes": 1}
    with Server(settings=settings) as server:
        with imap(server), pop3(server), pop3(server):
            with pop3(server) as client:
                check(client.greeting.startswith(b"-ERR [SYS/TEMP]"), client.greeting)
                check(client.is_closed(), "the connection goes on")
            with pop3(server, source="127.0.0.2") as client:
                check(client.greeting.startswith(b"+OK"), client.greeting)
