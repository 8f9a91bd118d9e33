"""A hostile peer or mail program that speaks SMTP."""

import base64
import time

from attacks.raw import Neighbour, Watch, check, imap, messages_in, smtp, suite
from lib.server import Server

MEGABYTE = 1 << 20
MESSAGE = b"From: a@example.org\r\nSubject: s\r\n\r\nwords\r\n"


def plain(alias, password=None):
    return base64.b64encode(b"\0" + alias.address.encode() + b"\0" +
                            (password or alias.password).encode())


@suite.case
def malformed_smtp_commands(server):
    alias = server.add_alias("lines@smtp.test")
    address = alias.address.encode()
    lines = {
        b"EHLO": 501, b"EHLO ": 501, b"XYZZY": 500, b"": 500, b"EHLO \xff\xfe": 501,
        b"EHLO a\0b": 500, b"MAIL FROM:<a@b.test>": 503, b"RCPT TO:<%s>" % address: 503,
        b"DATA": 503, b"BDAT 5 LAST": 503, b"HELP": 214, b"VRFY a": 252, b"EXPN a": 502,
    }
    for line, expected in lines.items():
        with smtp(server) as client:
            if line.startswith(b"BDAT"):
                line += b"\r\n123"  # its chunk, which is swallowed: five bytes with the line's end
            code = client.code(line)
            check(code // 100 == expected // 100 or 500 <= code < 600, f"{line}: {code}")
            check(client.code(b"NOOP") == 250, f"{line}: alive")
    senders = [b"FROM:<a@b", b"FROM:a@b.test>", b"FROM:<a@b.test", b"FROM:<a@@b.test>",
               b"FROM:<a\0@b.test>", b"FROM:<\xff@b.test>", b"FROM:<" + b"a" * 500 + b"@b.test>",
               b"FROM:<a@" + b"b" * 300 + b".test>", b"FROM: <a@b.test> SIZE=x",
               b"FROM:<a@b.test> SIZE=99999999999999999999999", b"FROM:<a@b.test> SIZE=-1",
               b"FROM:<a@b.test> BODY=9BIT", b"FROM:<a@b.test> COLOUR=red", b"TO:<a@b.test>",
               b"FROM:<\"a@b.test>", b"FROM:<a b@c.test>", b"FROM:<a@b.test> SIZE=1 SIZE=2"]
    for sender in senders:
        with smtp(server) as client:
            check(client.code(b"EHLO client.test") == 250, "EHLO")
            code, words = client.ask(b"MAIL " + sender)
            check(500 <= code < 560, f"MAIL {sender[:60]}: {code} {words}")
    with smtp(server) as client:
        check(client.code(b"EHLO client.test") == 250, "EHLO")
        check(client.code(b"MAIL FROM:<a@b.test>") == 250, "a right one after it")
        check(client.code(b"MAIL FROM:<a@b.test>") == 503, "nested MAIL")
        for to in (b"TO:", b"TO:<>", b"TO:<%s" % address, b"FROM:<%s>" % address,
                   b"TO:<a\0@smtp.test>", b"TO:<nobody@smtp.test>", b"TO:<a@elsewhere.test>",
                   b"TO:<%s> X=1" % address, b"TO:<@a.test,@b.test:x@y.test>"):
            code, words = client.ask(b"RCPT " + to)
            check(500 <= code < 560, f"RCPT {to[:60]}: {code} {words}")
        check(client.code(b"DATA") in (503, 554), "DATA without recipients")


@suite.case
def recipients_are_refused_at_rcpt(server):
    alias = server.add_alias("known@smtp.test")
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.ask(b"MAIL FROM:<a@example.org>")
        check(client.ask(b"RCPT TO:<nobody@smtp.test>")[0] == 550, "unknown alias")
        check(client.ask(b"RCPT TO:<a@elsewhere.test>")[0] in (550, 554), "unknown domain: relaying")
        check(client.ask(b"RCPT TO:<known%elsewhere.test@smtp.test>")[0] == 550, "percent hack")
        check(client.ask(b"RCPT TO:<known+tag@smtp.test>")[0] == 250, "plus-addressing")
        check(client.ask(b"RCPT TO:<KNOWN@SMTP.TEST>")[0] == 250, "case")
        check(client.ask(b"RCPT TO:<%s>" % alias.address.encode())[0] == 250, "itself")
        client.ask(b"DATA")
        client.send(MESSAGE + b".\r\n")
        check(client.reply()[0] == 250, "stored")
    check(len(messages_in(server, alias)) == 1, "three addresses of one mailbox: one message")


@suite.case
def limits_of_a_message(server):
    alias = server.add_alias("limits@smtp.test")
    address = alias.address.encode()
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        code, _ = client.ask(b"MAIL FROM:<a@example.org> SIZE=52428801")
        check(code == 552, f"SIZE above the limit: {code}")
        client.ask(b"MAIL FROM:<a@example.org>")
        codes = [client.code(b"RCPT TO:<limits+%d@smtp.test>" % number) for number in range(51)]
        check(codes == [250] * 50 + [452], f"50 recipients: {codes[-3:]}")
        client.ask(b"RSET")
    hops = b"Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
    for count, expected in ((25, 250), (26, 554)):
        with smtp(server) as client:
            client.begin([alias.address])
            client.send(hops * count + MESSAGE + b".\r\n")
            code, words = client.reply()
            check(code == expected, f"{count} hops: {code} {words}")
    check(len(messages_in(server, alias)) == 1, "one of two")
    # Too large without saying so: read to its end, then refused; memory stays bounded.
    with Watch(server, "smtp", "store", "sealer") as watch, smtp(server) as client:
        client.begin([alias.address])
        try:
            client.send(MESSAGE)
            for _ in range(80):
                client.send((b"x" * 998 + b"\r\n") * 1000)
            client.send(b".\r\n")
            code, words = client.reply()
        except OSError:
            code, words = 552, b"cut off"
        check(code == 552, f"80 MB: {code} {words}")
    watch.check(100 * 1024)
    check(len(messages_in(server, alias)) == 1, "still one")
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.ask(b"MAIL FROM:<a@example.org>")
        client.ask(b"RCPT TO:<%s>" % address)
        client.send(b"BDAT 60000000 LAST\r\n")
        for _ in range(60):
            client.send(b"x" * 1000000)
        code, words = client.reply()
        check(code == 552, f"BDAT above the limit: {code} {words}")
        check(client.code(b"NOOP") == 250, "in step")


@suite.case
def lines_without_an_end_to_smtp(server):
    with Watch(server, "smtp") as watch:
        for begin in (b"", b"EHLO ", b"MAIL FROM:<"):
            with smtp(server) as client:
                try:
                    client.send(begin)
                    for _ in range(32):
                        client.send(b"x" * MEGABYTE)
                    client.send(b"\r\n")
                except OSError:
                    continue
                code, words = client.reply()
                check(code == 0 or 400 <= code < 600, f"{code} {words}")
    watch.check(4096)


@suite.case
def pipelined_garbage_to_smtp(server):
    for port in ("mx", "submission"):
        with smtp(server, port) as client:
            client.socket.settimeout(5)
            try:
                for number in range(300):
                    client.send(bytes((number * 7 + i * 31) % 256 for i in range(499)) + b"\r\n")
            except OSError:
                pass
            client.is_closed(1)
            check(client.buffer == b"" or client.buffer[:1] in b"45", client.buffer[:100])
    # An HTTP request is not a mail; a client that talks like that is soon sent away.
    with smtp(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nQUIT\r\n")
        check(client.reply()[0] in (500, 502, 554, 221, 421), "HTTP")


@suite.case
def no_smuggling(server):
    alias = server.add_alias("smuggled@smtp.test")
    ends = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r",
            b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n .\r\n"]
    inner = (b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<" + alias.address.encode() +
             b">\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n")
    for end in ends:
        with smtp(server) as client:
            client.begin([alias.address])
            client.send(b"Subject: outer\r\n\r\nbody" + end + inner)
            client.socket.settimeout(0.7)
            codes = []
            try:
                while True:
                    code, words = client.reply()
                    codes.append(code)
                    if code == 0:
                        break
            except (TimeoutError, OSError):
                pass
            check(codes and codes[0] in (0, 250, 500, 501, 550, 554, 421), f"{end}: {codes}")
    for message in messages_in(server, alias):
        head = message.split(b"\r\n\r\n", 1)[0]
        check(b"Subject: smuggled" not in head, f"a smuggled message: {message[-200:]}")
        check(b"evil@example.org" not in head, "its envelope")


@suite.case
def bare_line_ends_in_bdat(server):
    alias = server.add_alias("bdat@smtp.test")
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.ask(b"MAIL FROM:<a@example.org>")
        client.ask(b"RCPT TO:<%s>" % alias.address.encode())
        data = b"Subject: x\n\nbody\n.\nMAIL FROM:<b@example.org>\n"
        client.send(b"BDAT %d LAST\r\n" % len(data) + data)
        code, words = client.reply()
        check(code == 250 or 500 <= code < 560, f"{code} {words}")
        check(client.code(b"NOOP") == 250, "in step with its client")
    stored = messages_in(server, alias)
    check(len(stored) == (1 if code == 250 else 0), "stored if and only if acknowledged")
    if stored:
        check(stored[0].endswith(data), "byte for byte")
    # A chunk that never comes leaves nothing.
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.ask(b"MAIL FROM:<a@example.org>")
        client.ask(b"RCPT TO:<%s>" % alias.address.encode())
        client.send(b"BDAT 1000 LAST\r\nSubject: half\r\n")
    time.sleep(0.2)
    check(len(messages_in(server, alias)) == len(stored), "half a message")


@suite.case
def commands_behind_data_are_not_taken_early(server):
    alias = server.add_alias("injected@smtp.test")
    # RFC 2920: DATA is the last of a group; what comes in the same packet is content, at most.
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<" + alias.address.encode() +
                    b">\r\nDATA\r\nSubject: one\r\n\r\nx\r\n.\r\nNOOP\r\n")
        codes = [client.reply()[0] for _ in range(5)]
        check(codes[:3] == [250, 250, 354] and codes[3] in (250, 503, 554), codes)
        check(client.code(b"NOOP") == 250, "in step")
    # All recipients refused: DATA is refused, and the content's lines are commands, not mail.
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody@smtp.test>\r\nDATA\r\n")
        codes = [client.reply()[0] for _ in range(3)]
        check(codes[:2] == [250, 550] and codes[2] in (503, 554), codes)
    # The connection ends in the content: nothing is stored.
    before = len(messages_in(server, alias))
    with smtp(server) as client:
        client.begin([alias.address])
        client.send(b"Subject: half\r\n\r\nhalf")
    time.sleep(0.2)
    check(len(messages_in(server, alias)) == before, "half a message")


@suite.case
def nothing_injected_before_tls_is_taken(server):
    alias = server.add_alias("starttls@smtp.test")
    for port in ("mx", "submission"):
        with smtp(server, port) as client:
            check(b"STARTTLS" in client.ask(b"EHLO client.test")[1], "STARTTLS offered")
            client.send(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@example.org>\r\n")
            check(client.reply()[0] == 220, "STARTTLS")
            client.buffer = b""
            client.start_tls(server.tls)
            client.socket.settimeout(1)
            try:
                check(client.fill() is False, f"{port}: an answer to what came before TLS")
            except TimeoutError:
                pass
            client.socket.settimeout(20)
            check(b"STARTTLS" not in client.ask(b"EHLO client.test")[1], "once only")
            check(client.code(b"STARTTLS") in (502, 503, 554), "a second STARTTLS")
            code = client.code(b"RCPT TO:<%s>" % alias.address.encode())
            check(code in (503, 530), f"{port}: state survived STARTTLS: {code}")


@suite.case
def only_submission_logs_in(server):
    alias = server.add_alias("auth@smtp.test")
    with smtp(server) as client:
        check(b"AUTH" not in client.ask(b"EHLO client.test")[1], "AUTH offered by the MX")
        code, words = client.ask(b"AUTH PLAIN " + plain(alias))
        check(500 <= code < 560 and code != 535, f"AUTH at the MX: {code} {words}")
    with smtp(server, "submissions") as client:
        client.ask(b"EHLO client.test")
        check(client.code(b"MAIL FROM:<%s>" % alias.address.encode()) == 530, "mail without login")
        check(client.code(b"AUTH PLAIN ====") == 501, "bad base64")
        check(client.code(b"AUTH PLAIN") == 334, "a challenge")
        check(client.code(b"*") == 501, "given up")
        check(client.code(b"AUTH CRAM-MD5") == 504, "an unknown mechanism")
        check(client.code(b"AUTH LOGIN") == 334, "LOGIN")
        check(client.code(b"x" * 20000) in (500, 501, 535, 0), "an endless answer")


@suite.case
def submission_sends_as_its_owner_only(server):
    alias = server.add_alias("owner@smtp.test")
    other = server.add_alias("victim@smtp.test")
    mine, theirs = alias.address.encode(), other.address.encode()
    with smtp(server, "submissions") as client:
        client.ask(b"EHLO client.test")
        check(client.code(b"AUTH PLAIN " + plain(alias)) == 235, "login")
        check(client.code(b"AUTH PLAIN " + plain(alias)) == 503, "a second login")
        for sender in (theirs, b"a@elsewhere.test", b"nobody@smtp.test"):
            code, words = client.ask(b"MAIL FROM:<%s>" % sender)
            check(code in (550, 553, 554), f"as {sender}: {code} {words}")
        code = client.code(b"MAIL FROM:<>")
        check(code in (250, 550, 553, 554), f"the null sender: {code}")
        client.ask(b"RSET")
        check(client.code(b"MAIL FROM:<%s>" % mine) == 250, "as itself")
        check(client.code(b"RCPT TO:<a@elsewhere.test>") == 250, "remote")
        client.ask(b"RSET")
        check(client.code(b"MAIL FROM:<%s>" % mine) == 250, "as itself")
        check(client.code(b"RCPT TO:<%s>" % theirs) == 250, "local")
        headers = {
            "another's From": b"From: <%s>\r\n" % theirs,
            "two From fields": b"From: <%s>\r\nFrom: <%s>\r\n" % (mine, theirs),
            "two in one From": b"From: <%s>, <%s>\r\n" % (mine, theirs),
            "a foreign From": b"From: <a@elsewhere.test>\r\n",
            "another's in a comment's shade": b"From: (<%s>) <%s>\r\n" % (mine, theirs),
            "a folded one": b"From:\r\n <%s>\r\n" % theirs,
            "a field in capitals": b"FROM: <%s>\r\n" % theirs,
            "another's with a space before the colon": b"From : <%s>\r\n" % theirs,
        }
        for name, header in headers.items():
            client.ask(b"RSET")
            client.ask(b"MAIL FROM:<%s>" % mine)
            client.ask(b"RCPT TO:<%s>" % theirs)
            check(client.code(b"DATA") == 354, "DATA")
            client.send(header + b"Subject: x\r\n\r\nx\r\n.\r\n")
            code, words = client.reply()
            check(500 <= code < 560, f"{name}: {code} {words}")
    check(messages_in(server, other) == [], "nothing arrived")


@suite.case
def a_full_mailbox_is_refused_at_rcpt(server):
    alias = server.add_alias("full@smtp.test")
    server.admin("alias", "quota", alias.address, "100K")
    with imap(server, alias) as client:
        said = client.append(b"Subject: x\r\n\r\n" + b"x" * 200000)
        check(said.startswith(b"NO [OVERQUOTA]"), f"APPEND over quota: {said}")
        noise = base64.b64encode(bytes((i * i * 7 + i // 3) % 251 for i in range(60000)))
        check(client.append(b"Subject: x\r\n\r\n" + noise).startswith(b"OK"), "one that fits")
        said = client.append(b"Subject: x\r\n\r\n" + b"y" * 60000)
        check(said.startswith(b"NO [OVERQUOTA]"), f"the second: {said}")
    time.sleep(0.3)  # the keeper hears of it a moment later
    with smtp(server) as client:
        client.ask(b"EHLO client.test")
        client.ask(b"MAIL FROM:<a@example.org> SIZE=90000")
        code, words = client.ask(b"RCPT TO:<%s>" % alias.address.encode())
        check(code in (452, 552), f"over quota by SIZE: {code} {words}")
    check(len(messages_in(server, alias)) == 1, "all as before")


def nested(depth):
    out = [b"Subject: nested\r\n"]
    for level in range(depth):
        out.append(b"Content-Type: multipart/mixed; boundary=\"b%d\"\r\n\r\n--b%d\r\n" %
                   (level, level))
    return b"".join(out) + b"\r\nx\r\n"


def rfc822(depth):
    return b"Subject: m\r\nContent-Type: message/rfc822\r\n\r\n" * depth + b"Subject: x\r\n\r\nx\r\n"


def many_parts(count):
    return (b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
            b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * count + b"--b--\r\n")


def broken_messages():
    return {
        "100,000 nestings": nested(100000),
        "20,000 messages in messages": rfc822(20000),
        "10,000 parts": many_parts(10000),
        "a header field of 4 MB": b"Subject: " + b"x" * 4 * MEGABYTE + b"\r\n\r\nbody\r\n",
        "a folded one of 2 MB": b"Subject: a\r\n" + b" xxxxxxx\r\n" * 200000 + b"\r\nbody\r\n",
        "100,000 fields": b"".join(b"X-%d: y\r\n" % n for n in range(100000)) + b"\r\nbody\r\n",
        "50,000 addresses": b"To: " + b",\r\n ".join(b"\"n%d\" <a%d@b.test>" % (n, n)
                                                      for n in range(50000)) + b"\r\n\r\nx\r\n",
        "comments in comments": b"To: " + b"(" * 100000 + b"\r\n\r\nx\r\n",
        "groups in groups": b"To: " + b"a:" * 50000 + b"\r\n\r\nx\r\n",
        "encoded words without end": b"Subject: " + b"=?utf-8?B?" * 50000 + b"\r\n\r\nx\r\n",
        "100,000 parameters": b"Content-Type: text/plain" +
                              b"".join(b";\r\n p*%d=x" % n for n in range(100000)) + b"\r\n\r\nx\r\n",
        "a boundary of 100 KB": b"Content-Type: multipart/mixed; boundary=\"" + b"b" * 100000 +
                                b"\"\r\n\r\n--" + b"b" * 100000 + b"\r\n\r\nx\r\n",
        "an empty boundary": b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx\r\n--\r\n",
        "boundaries that never end": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
                                     b"--b" * 500000,
        "no header": b"\r\nbody only\r\n",
        "no end of line": b"Subject: x",
        "NUL bytes": b"Subject: a\0b\r\n\r\n" + b"\0" * 10000 + b"\r\n",
        "bytes of all kinds": b"Subject: \xff\xfe\x80\r\n\r\n" + bytes(range(14, 256)) * 100 + b"\r\n",
        "base64 that is none": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A!@" * 20000 + b"\r\n",
        "quoted-printable that is none": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
                                         b"=ZZ=\r\n=" * 20000 + b"\r\n",
        "markup without end": b"Content-Type: text/html\r\n\r\n" + b"<div " * 200000 + b"\r\n",
        "lines of 10 MB": b"Subject: x\r\n\r\n" + b"y" * 10 * MEGABYTE + b"\r\n",
    }


@suite.case
def broken_mime_delays_nobody(_):
    """By APPEND and by SMTP; fetched whole and in structure, searched, and back byte for byte."""
    worst = []
    with Server() as server:
        alias, other = server.add_alias("broken@mime.test"), server.add_alias("far@mime.test")
        with Watch(server, "gate", "mailbox", "smtp", "store", "sealer") as watch, \
                Neighbour(server, other) as far, Neighbour(server, alias) as near, \
                imap(server, alias, timeout=60) as client:
            client.last(b"SELECT INBOX")
            for name, message in broken_messages().items():
                before = len(near.waits)
                start = time.monotonic()
                said = client.append(message)
                check(said.startswith(b"OK"), f"{name}: APPEND: {said}")
                client.last(b"NOOP")
                back = client.ask(b"FETCH * (BODY.PEEK[])")
                check(message in back, f"{name}: not byte for byte")
                for line in (b"FETCH * (ENVELOPE BODYSTRUCTURE BODY)", b"FETCH * BODY.PEEK[1.1.1.MIME]",
                             b"FETCH * BODY.PEEK[HEADER.FIELDS (TO X-99)]", b"SEARCH TEXT \"word of\"",
                             b"FETCH * BODY.PEEK[TEXT]<100.50>"):
                    said = client.last(line)
                    check(said.startswith(b"OK"), f"{name}: {line}: {said}")
                wait = max(near.waits[before:], default=0)
                worst.append((wait, time.monotonic() - start, name))
            for name, message in broken_messages().items():
                if b"\0" in message or not message.endswith(b"\r\n"):
                    continue
                with smtp(server, timeout=60) as peer:
                    peer.begin([alias.address])
                    peer.send(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
                    code, words = peer.reply()
                    check(code == 250 or 500 <= code < 560, f"{name}: {code} {words}")
            far.check()
            worst.sort(reverse=True)
            near.check()
        watch.check(250 * 1024)
        check(not server.sanitizer_findings(), server.sanitizer_findings())
    return f"{worst[0][2]}: the same mailbox waited {worst[0][0]:.2f} s, another {max(far.waits):.2f} s"
