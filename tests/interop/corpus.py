#!/usr/bin/python3
"""Bytes come back as they came: a corpus with the nasty cases, in by SMTP and by APPEND, out by FETCH.

By SMTP the service puts its own trace fields in front; behind them everything is compared. The samples
that come with Debian's libpython3-testsuite are sent as they are, but for line ends.
"""

import glob
import hashlib
import itertools
import importlib.util
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import PROJECT, Server  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

suite = Suite(__doc__)
# What comes in front of the message as it was sent (RFC 5321 §4.4).
TRACE = re.compile(rb"\A(?:(?:Return-Path|Received|Delivered-To|Authentication-Results|X-Spam-\w+):"
                   rb"[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)")


def crlf(raw):
    return re.sub(rb"\r\n|\r|\n", b"\r\n", raw)


def generated(count, seed, only_smtp=False):
    """The messages of tests/corpus/make.py; those that SMTP can carry unchanged, if so wanted."""
    path = PROJECT / "tests" / "corpus" / "make.py"
    if not path.exists():
        raise Skip("tests/corpus/make.py is not there")
    spec = importlib.util.spec_from_file_location("corpus_make", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [case.raw for case in module.cases(count, seed) if case.is_smtp or not only_smtp]


def samples():
    found = []
    for path in sorted(glob.glob("/usr/lib/python3*/test/test_email/data/*.txt")):
        found.append(crlf(pathlib.Path(path).read_bytes()))
    if not found:
        raise Skip("libpython3.11-testsuite is not installed")
    return found


class Appender:
    """APPEND with non-synchronising literals, many on their way at once."""

    def __init__(self, server, alias):
        self.client = server.imap(alias)
        self.sock = self.client.sock
        self.file = self.client.file

    def run(self, messages, window=64):
        waiting = 0
        for number, raw in enumerate(messages):
            form = b"~" if b"\0" in raw else b""  # what has a NUL is a literal8
            self.sock.sendall(b"p%d APPEND INBOX %s{%d+}\r\n" % (number, form, len(raw)) + raw + b"\r\n")
            waiting += 1
            if waiting >= window:
                self.answer()
                waiting -= 1
        for _ in range(waiting):
            self.answer()

    def answer(self):
        while True:
            line = self.file.readline()
            check(line, "the connection ended")
            if line.startswith(b"p"):
                check(b" OK " in line, line)
                return


def fetch_all(server, alias, folder="INBOX"):
    """All messages in the order of their UIDs."""
    with server.imap(alias, timeout=120) as client:
        count = int(client.select(folder, readonly=True)[1][0])
        for first in range(1, count + 1, 200):
            _, data = client.fetch(f"{first}:{min(count, first + 199)}", "(BODY.PEEK[])")
            for part in data:
                if isinstance(part, tuple):
                    yield part[1]


def compare(sent, got):
    """By hash, in order."""
    wrong = []
    count = 0
    for number, raw in enumerate(got):
        count += 1
        if number >= len(sent) or hashlib.sha256(raw).digest() != sent[number]:
            wrong.append(number + 1)
    check(count == len(sent), f"{count} of {len(sent)} messages came back")
    check(not wrong, f"{len(wrong)} messages changed, the first ones: {wrong[:10]}")


def digests(messages):
    return [hashlib.sha256(raw).digest() for raw in messages]


def send_all(server, alias, messages):
    """In order, over one connection. Gives the hashes of those that SMTP can carry."""
    sent, refused = [], 0
    client = server.smtp(timeout=120)
    client.ehlo()
    for raw in messages:
        # Lines of more than 998 bytes may be refused in DATA; BDAT carries them (RFC 3030).
        size = len(raw)
        client.putcmd("mail", f"FROM:<a@example.org> SIZE={size} BODY=8BITMIME")
        check(client.getreply()[0] == 250, "MAIL")
        client.putcmd("rcpt", f"TO:<{alias.address}>")
        check(client.getreply()[0] == 250, "RCPT")
        client.sock.sendall(b"BDAT %d LAST\r\n" % size + raw)
        code, words = client.getreply()
        if code == 250:
            sent.append(raw)
        else:
            refused += 1
            check(500 <= code < 600, f"{code} {words}")
            client.rset()
    client.quit()
    return sent, refused


def without_trace(raw):
    """Only what we added: one block of trace fields, its last one the Received line."""
    while True:
        found = TRACE.match(raw)
        if found is None:
            return raw
        raw = raw[found.end():]


def by_append(server, name, messages):
    alias = server.add_alias(f"{name}@corpus.test")
    Appender(server, alias).run(messages)
    compare(digests(messages), fetch_all(server, alias))


def by_smtp(server, name, messages):
    alias = server.add_alias(f"{name}@corpus.test")
    server.admin("alias", "junk", "off", alias.address)  # all into one folder
    # Owner away: the drop box, and then the mailbox.
    sent, refused = send_all(server, alias, messages)
    check(len(sent) > len(messages) // 2, f"{refused} of {len(messages)} were refused")
    # A few look like spam: those come back from Junk.
    junk = [without_trace(raw) for raw in fetch_all(server, alias, "Junk")]
    in_junk = set(digests(junk))
    expected = digests([without_trace(raw) for raw in sent])
    check(len(junk) <= len(sent) // 20 + 1, f"{len(junk)} of {len(sent)} messages in Junk")
    compare([each for each in expected if each not in in_junk]
            + [each for each in expected if each in in_junk],
            itertools.chain((without_trace(raw) for raw in fetch_all(server, alias)), junk))
    return refused


@suite.case
def python_samples_by_append(server):
    messages = samples()
    by_append(server, "samples-append", messages)
    return f"{len(messages)} messages"


@suite.case
def python_samples_by_smtp(server):
    messages = samples()
    refused = by_smtp(server, "samples-smtp", messages)
    return f"{len(messages)} messages, {refused} refused"


@suite.case
def corpus_by_append(server):
    count = 10010
    start = time.monotonic()
    # An empty literal is no message (in MULTIAPPEND it cancels): refused, and that is all.
    messages = [raw for raw in generated(count, 1) if raw]
    by_append(server, "append", messages)
    return f"{len(messages)} messages, {sum(map(len, messages)) >> 20} MB"


@suite.case
def corpus_by_smtp(server):
    messages = generated(10150 if suite.options.long else 2000, 2, only_smtp=True)
    # The same bytes again within a day are a retransmission, and are not stored twice.
    messages = list(dict.fromkeys(messages))
    refused = by_smtp(server, "smtp", messages)
    return f"{len(messages)} messages, {refused} refused"


@suite.case
def nothing_was_found_by_the_sanitizers(server):
    findings = server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    with Server() as running:
        suite.run(running)
