"""A hostile IMAP client, before and after its login."""

import time

from attacks.raw import (Neighbour, Turns, Watch, check, forget_peak, imap, is_sanitized, memory_kib,
                         messages_in, peak_kib, suite, wait_until)
from lib.server import Server
from lib.suite import Skip

MEGABYTE = 1 << 20


def is_alive(client):
    return client.last(b"NOOP").startswith(b"OK")


def lines_before_login():
    return {
        "a NUL": b"a LOGIN \0 b\r\n",
        "bad UTF-8": b"a LOGIN \xff\xfe\xc0\x80 \"\xc3\x28\"\r\n",
        "an open quote": b"a LOGIN \"me you\r\n",
        "a wrong escape": b"a LOGIN \"m\\e\" x\r\n",
        "no tag": b" LOGIN a b\r\n",
        "only a tag": b"a\r\n",
        "an empty line": b"\r\n",
        "an unknown command": b"a FLY\r\n",
        "a command of after": b"a SELECT INBOX\r\n",
        "a tag with a plus": b"a+ NOOP\r\n",
        "a literal's size that overflows": b"a LOGIN {99999999999999999999999}\r\n",
        "a negative literal": b"a LOGIN {-1}\r\n",
        "a huge literal": b"a LOGIN {4294967296}\r\n",
        "a large literal": b"a LOGIN {100000000}\r\n",
        "words behind a literal": b"a LOGIN {3} x\r\n",
        "bad base64": b"a AUTHENTICATE PLAIN !!!!\r\n",
        "base64 of nothing": b"a AUTHENTICATE PLAIN =\r\n",
        "base64 without NULs": b"a AUTHENTICATE PLAIN YWJj\r\n",
        "an unknown mechanism": b"a AUTHENTICATE NTLM\r\n",
        "too many words": b"a LOGIN a b c\r\n",
        "words where none belong": b"a CAPABILITY now\r\n",
    }


@suite.case
def malformed_commands_before_login(server):
    for name, line in lines_before_login().items():
        with imap(server) as client:
            client.send(line)
            client.send(b"z NOOP\r\n")
            said = client.line()
            check(b"BAD" in said or b"NO" in said or said.startswith(b"* BYE"), f"{name}: {said}")
            # Either the session goes on, or it was ended in words.
            rest = client.answer(b"z") if not said.startswith((b"z ", b"* BYE")) else [said]
            check(rest[-1] == b"" or rest[-1].startswith((b"z OK", b"* BYE", b"z BAD")),
                  f"{name}: {rest}")


@suite.case
def lines_and_literals_without_an_end_before_login(server):
    with Watch(server, "gate", "mailbox") as watch:
        for begin in (b"a LOGIN ", b"", b"a LOGIN \"", b"a AUTHENTICATE PLAIN "):
            with imap(server) as client:
                try:
                    client.send(begin)
                    for _ in range(64):
                        client.send(b"x" * MEGABYTE)
                except OSError:
                    pass  # cut off: as it should be
                else:
                    client.send(b"\r\n")
                    said = client.line()
                    check(b"BAD" in said or b"BYE" in said, said)
        # A literal that is announced non-synchronising, and comes.
        with imap(server) as client:
            try:
                client.send(b"a LOGIN {50000000+}\r\n")
                for _ in range(50):
                    client.send(b"x" * 1000000)
                client.send(b" b\r\n")
            except OSError:
                pass
            said = client.line()
            check(b"BAD" in said or b"BYE" in said or said == b"", said)
        # One after the other, each allowed by itself.
        with imap(server) as client:
            try:
                client.send(b"a LOGIN {1000+}\r\n" + b"x" * 1000)
                for _ in range(20000):
                    client.send(b" {1000+}\r\n" + b"x" * 1000)
                client.send(b"\r\n")
            except OSError:
                pass
            said = client.line()
            check(b"BAD" in said or b"NO" in said or b"BYE" in said or said == b"", said)
    watch.check(4096)


@suite.case
def garbage_is_answered_and_bounded(server):
    alias = server.add_alias("garbage@imap.test")
    with Watch(server, "gate", "mailbox") as watch:
        for logged_in in (False, True):
            with imap(server, alias if logged_in else None) as client:
                client.socket.settimeout(5)
                try:
                    for number in range(400):
                        client.send(bytes((number * 7 + i * 31) % 256 for i in range(997)) + b"\r\n")
                except OSError:
                    pass
                client.is_closed(1)
                check(b"BAD" in client.buffer or b"BYE" in client.buffer, client.buffer[:200])
        # 20,000 commands at once, answers read late.
        with imap(server, alias) as client:
            client.socket.settimeout(30)
            blob = b"".join(b"n%d NOOP\r\n" % number for number in range(20000))
            client.send(blob)
            time.sleep(0.5)
            client.send(b"end NOOP\r\n")
            check(client.answer(b"end")[-1] != b"", "closed")
    watch.check(16384)


def lines_after_login():
    deep = 20000
    return {
        "a NUL": b"SELECT \0",
        "an open quote": b"SELECT \"INBOX",
        "bad UTF-8 in a name": b"SELECT \"\xff\xfe\"",
        "bad UTF-7 in a name": b"CREATE \"a&!\"",
        "a name that climbs": b"SELECT \"../../etc/passwd\"",
        "deep search": b"SEARCH " + b"(" * deep + b"ALL" + b")" * deep,
        "deep NOT": b"SEARCH " + b"NOT " * deep + b"ALL",
        "deep OR": b"SEARCH " + b"OR ALL " * deep + b"ALL",
        "an open parenthesis": b"SEARCH (ALL",
        "an unknown key": b"SEARCH COLOUR red",
        "an unknown charset": b"SEARCH CHARSET KLINGON TEXT x",
        "bad UTF-8 to search": b"SEARCH CHARSET UTF-8 TEXT \"\xff\xfe\"",
        "a wrong date": b"SEARCH SINCE 99-Foo-2020",
        "sequence zero": b"FETCH 0 FLAGS",
        "a number too large": b"FETCH 4294967296 FLAGS",
        "a set of commas": b"FETCH ,,, FLAGS",
        "a broken set": b"FETCH 1:2:3 FLAGS",
        "a broken section": b"FETCH 1 BODY[1.2.MIME",
        "part zero": b"FETCH 1 BODY[0]",
        "a part too deep": b"FETCH 1 BODY[" + b"1." * 5000 + b"1]",
        "a broken partial": b"FETCH 1 BODY[]<5>",
        "an empty partial": b"FETCH 1 BODY[]<0.0>",
        "an unknown item": b"FETCH 1 COLOUR",
        "unknown flags": b"STORE 1 FLAGS (\\Nonsense \\*)",
        "a flag list that stays open": b"STORE 1 FLAGS (\\Seen",
        "STORE without flags": b"STORE 1 FLAGS",
        "a date in the future of nowhere": b"APPEND INBOX \"32-Foo-2020 00:00:00 +0000\" {1+}\r\nx",
        "RENAME to nothing": b"RENAME INBOX \"\"",
        "DELETE INBOX": b"DELETE INBOX",
        "CREATE with an empty step": b"CREATE a//b",
        "a second LOGIN": b"LOGIN a b",
        "STARTTLS now": b"STARTTLS",
        "an unknown command": b"XYZZY",
    }


@suite.case
def malformed_commands_after_login(server):
    alias = server.add_alias("malformed@imap.test")
    with imap(server, alias) as client:
        check(client.append(b"Subject: a\r\n\r\nb\r\n").startswith(b"OK"), "append")
        client.last(b"SELECT INBOX")
    with Watch(server, "gate", "mailbox") as watch:
        for name, line in lines_after_login().items():
            with imap(server, alias) as client:
                client.last(b"SELECT INBOX")
                said = client.last(line)
                check(said.startswith((b"BAD", b"NO")) or said == b"", f"{name}: {said[:200]}")
                if said != b"":
                    check(is_alive(client), f"{name}: not alive after it")
    watch.check(16384)
    check(len(messages_in(server, alias)) == 1, "one message as before")


@suite.case
def huge_sets_are_bounded(server):
    alias = server.add_alias("sets@imap.test")
    with imap(server, alias) as client:
        for _ in range(3):
            client.append(b"Subject: a\r\n\r\nb\r\n")
        client.last(b"SELECT INBOX")
        turns = Turns(server, alias)
        for line in (b"FETCH 1:4294967295 UID", b"UID FETCH 4294967295:1 FLAGS",
                     b"SEARCH 1:*", b"UID SEARCH UID 1:4294967295",
                     b"UID FETCH " + b",".join(b"%d" % n for n in range(1, 1500)) + b" UID"):
            mark = turns.mark()
            said = client.last(line)
            check(said.startswith((b"OK", b"BAD", b"NO")), said)
            check(turns.since(mark) < 2, f"{line[:40]} took too long")
        # A set of a hundred thousand pieces: an answer, not a hang.
        mark = turns.mark()
        said = client.last(b"UID FETCH " + b",".join(b"%d" % (2 * n) for n in range(1, 100000)) +
                           b" UID")
        check(said.startswith((b"OK", b"BAD", b"NO", b"")), said[:100])
        check(turns.since(mark) < 5, "took too long")


@suite.case
def literals_are_refused_before_they_come(server):
    alias = server.add_alias("literals@imap.test")
    with Watch(server, "gate", "mailbox") as watch:
        with imap(server, alias) as client:
            for size in (b"52428801", b"4294967295", b"99999999999999999999"):
                client.send(b"a APPEND INBOX {%s}\r\n" % size)
                said = client.line()
                check(said.startswith((b"a NO", b"a BAD")), f"{size}: {said}")
            check(is_alive(client), "alive")
        # Announced as coming anyway: swallowed or cut, never kept.
        with imap(server, alias) as client:
            client.send(b"a APPEND INBOX {200000000+}\r\n")
            try:
                for _ in range(200):
                    client.send(b"x" * 1000000)
                client.send(b"\r\n")
            except OSError:
                pass
            said = client.line()
            check(b"NO" in said or b"BAD" in said or b"BYE" in said or said == b"", said)
        # Literals where names belong, many of them.
        with imap(server, alias) as client:
            for size in (b"1000000", b"10000000"):
                client.send(b"a SELECT {%s}\r\n" % size)
                said = client.line()
                check(said.startswith((b"a NO", b"a BAD")), f"{size}: {said}")
        with imap(server, alias) as client:
            client.last(b"SELECT INBOX")
            try:
                client.send(b"a SEARCH")
                for _ in range(3000):
                    client.send(b" TEXT {8000+}\r\n" + b"y" * 8000)
                client.send(b"\r\n")
            except OSError:
                pass
            said = client.line()
            check(b"BAD" in said or b"NO" in said or b"BYE" in said or said == b"", said)
    watch.check(24576)
    check(messages_in(server, alias) == [], "nothing was stored")


@suite.case
def an_append_that_breaks_off_leaves_nothing(server):
    alias = server.add_alias("half@imap.test")
    with imap(server, alias) as client:
        client.send(b"a APPEND INBOX {1000}\r\n")
        check(client.line().startswith(b"+"), "continuation")
        client.send(b"x" * 500)
    time.sleep(0.2)
    check(messages_in(server, alias) == [], "half a message")


class Index:
    """Seen from outside: the memory that filling it takes in the mailbox process of a client."""

    def __init__(self, server, alias):
        others = {process.pid for process in server.processes("mailbox")}
        self.client = imap(server, alias, timeout=120)
        self.process, = (process for process in server.processes("mailbox")
                         if process.pid not in others)
        self.before = memory_kib(self.process)

    def add(self, message):
        """Until it is indexed, which begins a second behind the arrival; how much that took."""
        low = self.before + 6 * 1024
        check(self.client.append(message).startswith(b"OK"), "append")
        forget_peak(self.process)
        check(self.wait_until(lambda: peak_kib(self.process) > low), "nothing was indexed")
        check(self.wait_until(lambda: memory_kib(self.process) < low),
              f"{memory_kib(self.process) - self.before} KiB are kept")
        return peak_kib(self.process) - self.before

    def wait_until(self, is_so):
        """The client asks meanwhile, so that its session does not sleep and take the process along."""
        return wait_until(lambda: is_alive(self.client) and is_so())


@suite.case
def a_reader_that_stops_is_bounded(server):
    alias = server.add_alias("stopped@imap.test")
    other = server.add_alias("beside@imap.test")
    body = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 4 * 1024 * 16 * 20 + b"\r\n"
    index = Index(server, alias)
    if is_sanitized():
        check(index.client.append(body).startswith(b"OK"), "append")
    else:
        index.add(body)
    index.client.socket.close()
    # Bounded whatever the message's size: 20 MB of it, ten times over.
    with Watch(server, "gate", "mailbox") as watch, Neighbour(server, other) as far, \
            Neighbour(server, alias) as near:
        stopped = []
        for _ in range(5):
            client = imap(server, alias)
            client.last(b"SELECT INBOX")
            client.send(b"".join(b"f%d FETCH 1 BODY.PEEK[]\r\n" % n for n in range(10)))
            stopped.append(client)
        time.sleep(3)
        for client in stopped:
            client.socket.close()
    watch.check(24 * 1024)
    return f"neighbours waited at most {far.check()} and {near.check()}"


@suite.case
def indexing_large_messages_is_bounded(server):
    """And what it took is given back, though the session goes on."""
    if is_sanitized():
        raise Skip("the sanitizers' own memory says nothing")
    alias = server.add_alias("indexed@imap.test")
    fillers = {
        b"text/plain": b"0123456789abcdef" * 4 + b"\r\n",
        b"text/html; charset=gb18030": b"\xb0\xa1\xb0\xa2\r\n",
    }
    peaks = []
    index = Index(server, alias)
    for kind, filler in fillers.items():
        peaks.append(index.add(b"Content-Type: " + kind + b"\r\n\r\n" +
                               filler * (40 * MEGABYTE // len(filler))))
        check(peaks[-1] <= 48 * 1024, f"{kind}: indexing took {peaks[-1]} KiB")
    index.client.socket.close()
    return f"it took {peaks} KiB"


@suite.case
def searching_costly_text_delays_nobody(server):
    """Marks that have to be put in order, and letters of another charset: seconds of work."""
    alias = server.add_alias("costly@imap.test")
    texts = {b"utf-8": b"\xcc\x81\xcc\xa3\xcd\x85", b"gb18030": b"\xb0\xa1\xb0\xa2"}
    with imap(server, alias, timeout=120) as client:
        for charset, unit in texts.items():
            message = (b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n" +
                       unit * (12 * MEGABYTE // len(unit)) + b"\r\n")
            check(client.append(message).startswith(b"OK"), "append")
        client.last(b"SELECT INBOX")
        with Neighbour(server, alias) as near:
            said = client.ask(b"SEARCH TEXT \"no such words\"")
            check(said[-1].startswith(b"OK") and b"* SEARCH" in said, said)
        asked = len(near.waits)
    check(asked > 20, f"the neighbour was answered {asked} times meanwhile")
    return f"neighbours waited at most {near.check()}"


@suite.case
def a_byte_a_time_delays_nobody(server):
    alias = server.add_alias("slow@imap.test")
    with Neighbour(server, alias) as near:
        with imap(server, alias) as client:
            for byte in b"s NOOP\r\n":
                client.send(bytes([byte]))
                time.sleep(0.1)
            check(client.answer(b"s")[-1].startswith(b"s OK"), "an answer in the end")
    return near.check()


@suite.case
def twentyfive_sessions_on_one_mailbox(server):
    alias = server.add_alias("many@imap.test")
    clients = [imap(server, alias) for _ in range(25)]
    for client in clients:
        client.last(b"SELECT INBOX")
        client.send(b"i IDLE\r\n")
        check(client.line().startswith(b"+"), "IDLE")
    with imap(server, alias) as client:
        client.append(b"Subject: to all\r\n\r\nb\r\n")
    for client in clients:
        check(client.line() == b"* 1 EXISTS", "EXISTS for each")
        client.socket.close()


LARGEST = 50 * MEGABYTE


def begin_message(client):
    """Whether the server says to go on, in its words."""
    client.send(b"m APPEND INBOX {%d}\r\n" % LARGEST)
    return client.line()


@suite.case
def messages_that_do_not_come_on_give_their_room_back(_):
    """Five hold all the room that a mailbox has for messages (imap/room.h), and stop."""
    with Server(settings={"append_timeout": "3s"}) as server:
        alias = server.add_alias("stalled@imap.test")
        stalled = [imap(server, alias) for _ in range(5)]
        with imap(server, alias) as late:
            for client in stalled:
                said = begin_message(client)
                check(said.startswith(b"+"), said)
            said = begin_message(late)
            check(said.startswith(b"m NO [UNAVAILABLE]"), said)
            for client in stalled:
                client.send(b"a few bytes do not help")
            for client in stalled:
                said = client.line()
                check(said == b"* BYE Your message did not come on.", said)
                client.socket.close()
            said = begin_message(late)
            check(said.startswith(b"+"), said)


@suite.case
def a_message_that_comes_slowly_arrives(_):
    """In more time than the time-out, but it comes on."""
    piece = b"slow \r\n" * (10 * 1024)
    with Server(settings={"append_timeout": "8s"}) as server:
        with imap(server, server.add_alias("slow@imap.test")) as client:
            client.send(b"m APPEND INBOX {%d}\r\n" % (6 * len(piece)))
            check(client.line().startswith(b"+"), "it was not told to go on")
            for _ in range(6):
                client.send(piece)
                time.sleep(2)
            client.send(b"\r\n")
            said = client.answer(b"m")[-1]
            check(said.startswith(b"m OK"), said)
