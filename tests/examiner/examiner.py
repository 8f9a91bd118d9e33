#!/usr/bin/env python3
"""What a costly message costs the examiner: at most 2 s of processor time and 128 MiB beside the
message itself, whatever its nesting, parts, encodings, archives and signatures; and the same for its
JSON, of which little is in memory at once."""

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from suite import Suite, check  # noqa: E402

TRY = os.path.join(os.environ["SEALPOST_BUILD"], "tests", "examiner", "examiner_try")
MOST = 50 << 20  # message_size_max
HEADER = (b"From: Anna <anna@a.example>\r\nTo: me@here.example\r\nSubject: Lunch\r\n"
          b"Date: Thu, 26 Nov 2026 09:59:00 +0000\r\nMessage-ID: <1@a.example>\r\n"
          b"MIME-Version: 1.0\r\n")
suite = Suite(__doc__.split(":", maxsplit=1)[0])


def fill(start, piece, end=b"", size=MOST):
    return start + piece * ((size - len(start) - len(end)) // len(piece)) + end


def attached(content, name="a.zip", kind="application/octet-stream"):
    return (HEADER + f"Content-Type: {kind}; name={name}\r\n".encode() +
            b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content))


def multipart(parts, boundary=b"b"):
    return (HEADER + b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" +
            b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) +
            b"--" + boundary + b"--\r\n")


def nested(depth):
    text = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i)
                    for i in range(depth))
    return HEADER + text


def zipped(name, content, level=9):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def zip_in_zip(depth):
    data = zipped("a.txt", b"\0" * (50 << 20))
    for _ in range(depth):
        data = zipped("a.zip", data)
    return data


def many_files():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(30000):
            archive.writestr(f"{i}.txt", b"x")
    return out.getvalue()


def tar_bomb():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for i in range(3):
            entry = tarfile.TarInfo(f"{i}")
            entry.size = 100 << 20
            archive.addfile(entry, io.BytesIO(b"\0" * entry.size))
    return out.getvalue()


SIGNATURE = (b"DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=a%d.example; s=s;\r\n"
             b"\th=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n")

# name: how it is made
MESSAGES = {
    "plain text": lambda: fill(HEADER + b"\r\n", b"Words and more words, line by line.\r\n"),
    "no line end": lambda: fill(HEADER + b"\r\n", b"x"),
    "one word a line": lambda: fill(HEADER + b"\r\n", b"a\r\n"),
    "different words": lambda: HEADER + b"\r\n" + base64.encodebytes(os.urandom(37 << 20)),
    "empty lines at the end": lambda: fill(HEADER + b"\r\nx\r\n", b"\r\n"),
    "blanks": lambda: fill(HEADER + b"\r\n", b" \t"),
    "header fields": lambda: fill(HEADER, b"X-A: b\r\n", b"\r\n"),
    "one folded field": lambda: fill(HEADER + b"X-A: b", b"\r\n c", b"\r\n\r\n"),
    "Received fields": lambda: fill(HEADER, b"Received: from a by b; now\r\n", b"\r\n"),
    "Authentication-Results": lambda: fill(
        HEADER, b"Authentication-Results: here.example; dmarc=pass\r\n", b"\r\n"),
    "From addresses": lambda: fill(b"From: ", b"a@b.example, ", b"a@a.example\r\n" + HEADER + b"\r\n"),
    "From comments": lambda: fill(b"From: ", b"(", b"\r\n\r\nx"),
    "encoded words": lambda: fill(HEADER + b"X: ", b"=?utf-8?q?=41?= ", b"\r\n\r\n"),
    "Subject of encoded words": lambda: fill(b"Subject: ", b"=?utf-8?b?QQ==?= ", b"\r\n\r\n"),
    "DKIM signatures, eight different": lambda: fill(
        HEADER + b"".join(SIGNATURE.replace(b"; s=s", b"; l=%d; s=s" % (40000000 + i)) %
                          (b"relaxed/relaxed", i) for i in range(8)) + b"\r\n", b"a  b \t c \r\n"),
    "DKIM signatures, relaxed": lambda: fill(
        HEADER + b"".join(SIGNATURE % (b"relaxed/relaxed", i) for i in range(8)) + b"\r\n",
        b"a  b \t c \r\n"),
    "10,000 DKIM signatures": lambda: fill(
        HEADER + b"".join(SIGNATURE % (b"simple/simple", i) for i in range(10000)) + b"\r\n", b"ab\r\n"),
    "ARC sets": lambda: fill(HEADER + b"".join(
        b"ARC-Seal: i=%d; a=rsa-sha256; d=a.example; s=s; cv=none; b=AAAA\r\n" % i
        for i in range(1, 5000)) + b"\r\n", b"ab\r\n"),
    "10,000 parts": lambda: multipart([b"Content-Type: text/plain\r\n\r\n" + b"x y z " * 700] * 10000),
    "a million parts": lambda: multipart([b"\r\nx"] * 1000000),
    "10,000 HTML parts": lambda: multipart(
        [b"Content-Type: text/html\r\n\r\n<a href=http://a.example>http://b.example</a>" * 2] * 10000),
    "10,000 attachments": lambda: multipart(
        [b"Content-Type: application/zip; name=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
         base64.b64encode(zipped("a.txt", b"x" * 1000))] * 10000),
    "nesting": lambda: nested(100000),
    "messages in messages": lambda: HEADER + b"Content-Type: message/rfc822\r\n\r\n" * 100000,
    "base64": lambda: attached(os.urandom(36 << 20), "a.bin"),
    "base64 text": lambda: HEADER + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                   + base64.encodebytes(b"words of spam and ham " * (36 << 20 >> 5)),
    "quoted-printable": lambda: fill(HEADER + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                                     b"=41=42=43 =\r\n"),
    "UTF-16": lambda: fill(HEADER + b"Content-Type: text/plain; charset=utf-16\r\n\r\n", b"\xd8\x00"),
    "ISO-2022-JP": lambda: fill(HEADER + b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n",
                                b"\x1b$B$\"\x1b(B"),
    "HTML tags": lambda: fill(HEADER + b"Content-Type: text/html\r\n\r\n", b"<b>"),
    "HTML without end": lambda: fill(HEADER + b"Content-Type: text/html\r\n\r\n", b"<a href=\""),
    "HTML references": lambda: fill(HEADER + b"Content-Type: text/html\r\n\r\n", b"&#x41;&amp"),
    "HTML links": lambda: fill(HEADER + b"Content-Type: text/html\r\n\r\n",
                               b"<a href='https://xn--pypal-4ve.example/'>https://paypal.example</a>\n"),
    "links in text": lambda: fill(HEADER + b"\r\n", b"http://a.b.c.example/x?y=z "),
    "a zip of zeros": lambda: attached(zipped("a.txt", b"\0" * (300 << 20), 9)),
    "zip in zip in zip": lambda: attached(zip_in_zip(30)),
    "a zip of 30,000 files": lambda: attached(many_files()),
    "a tar of zeros": lambda: attached(tar_bomb(), "a.tar.gz"),
    "gzip in gzip": lambda: attached(gzip.compress(gzip.compress(b"\0" * (300 << 20))), "a.gz"),
    "xz": lambda: attached(lzma.compress(b"\0" * (300 << 20), preset=1), "a.xz"),
    "bzip2": lambda: attached(bz2.compress(b"\0" * (300 << 20)), "a.bz2"),
    "zip signatures everywhere": lambda: attached(b"PK\x03\x04" * (9 << 20), "a.zip"),
    "zip directory everywhere": lambda: attached(b"PK\x01\x02" * (9 << 20) + b"PK\x05\x06", "a.zip"),
    "random bytes": lambda: HEADER + b"\r\n" + os.urandom(45 << 20),
    "NUL": lambda: fill(b"", b"\0"),
}


class Trial:
    def __init__(self, folder):
        self.path = os.path.join(folder, "message")
        self.is_sanitized = "asan" in os.environ["SEALPOST_BUILD"]

    def put(self, message):
        """The message that is shown from here on."""
        with open(self.path, "wb") as file:
            file.write(message)

    def show(self, *options):
        done = subprocess.run([TRY, *options, self.path], capture_output=True, timeout=120)
        check(done.returncode == 0, f"{done.returncode}: {done.stderr.decode()[-500:]}")
        return json.loads(done.stdout)


# What is done with a message: how, and the most MiB that it may take.
WAYS = {"judging": ([], 128), "rendering": (["--render"], 64)}
MOST_CPU_MS = 2000


@suite.case
def judging_and_rendering_costly_messages(t):
    """What passed a limit is named, with the largest figures of all."""
    bad, worst = [], {way: [(0, ""), (0, "")] for way in WAYS}
    for name, make in MESSAGES.items():
        message = make()
        t.put(message)
        for way, (options, most_mib) in WAYS.items():
            found = t.show(*options)
            memory = found["grown_kb"] / 1024
            worst[way] = [max(worst[way][0], (found["cpu_ms"], name)),
                          max(worst[way][1], (round(memory), name))]
            if found["signal"] or found["cpu_ms"] > MOST_CPU_MS or memory > most_mib:
                bad.append(f"{way} {name} ({len(message) >> 20} MiB): {found}, {memory:.0f} MiB")
    check(not bad or t.is_sanitized, "\n".join(bad))
    return f"{len(MESSAGES)} messages; " + "; ".join(
        f"{way}: at most {cpu[0]} ms ({cpu[1]}) and {memory[0]} MiB ({memory[1]})"
        for way, (cpu, memory) in worst.items())


@suite.case
def ordinary_messages_in_a_row(t):
    message = HEADER + b"\r\n" + b"Shall we meet at noon, or later in the day? " * 50 + b"\r\n"
    t.put(message)
    found = t.show("--repeat", "3000")
    check(found["grown_kb"] < 4096, f"it grows: {found}")
    check(found["action"] == 0, found)
    return f"{found['cpu_ms'] / 3:.0f} ms of processor time for 1,000"


if __name__ == "__main__":
    suite.parse()
    with tempfile.TemporaryDirectory() as temporary:
        suite.run(Trial(temporary))
