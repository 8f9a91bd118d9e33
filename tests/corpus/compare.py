#!/usr/bin/env python3
"""Compares what our message reader finds with what Python's email package finds.

    compare.py DESCRIBE      the program built from src/message/describe.c

Over the corpus (make.py) and the samples of Debian's libpython3-testsuite where they are installed.
The two must agree on every leaf: its type, its very bytes, and on the decoded subject and the
addresses of ordinary messages. Where they may differ is listed in EXCEPT, with the reason.
"""
import collections
import email
import email.header
import email.policy
import email.utils
import glob
import os
import subprocess
import sys
import tempfile

import make

COUNT = 400
SAMPLES = "/usr/lib/python3*/test/test_email/data/msg_*.txt"

# Name of the case or sample: why Python's reading is not ours.
EXCEPT = {
    "nested multiparts 100": "ours stops at MESSAGE_DEPTH_MAX",
    "nested multiparts 20000": "Python's reader recurses",
    "nested messages 100": "ours stops at MESSAGE_DEPTH_MAX",
    "nested messages 20000": "Python's reader recurses",
    "20000 parts": "ours stops at MESSAGE_PARTS_MAX",
    "boundary that looks closed": "Python takes the boundary for a closing one",
    "base64 inner message": "Python reads the encoded text as a message",
    "fields without colon": "Python ends the header there",
    "no header": "Python needs no empty line before a body",
    "one byte": "Python needs no empty line before a body",
    "bare CR": "Python takes a bare CR for a line end",
    "mixed line ends": "Python takes a bare CR for a line end",
    "smuggling": "Python takes a bare CR for a line end",
    "same boundary in all levels": "Python lets the outer multipart have the boundary",
    "empty parts": "Python leaves out parts without any line",
    "long boundary": "Python strips the last line break of a multipart that is not closed",
    "white space fields": "Python ends the header at the name with a blank",
    "msg_15.txt": "the same boundary in two levels",
    "msg_16.txt": "Python reads message/delivery-status as messages",
    "msg_19.txt": "no header, and Python needs no empty line before a body",
    "msg_35.txt": "no empty line after the header",
    "msg_36.txt": "Python reads message/external-body as a message",
    "msg_37.txt": "Python leaves out parts without any line",
    "msg_38.txt": "the same boundary in two levels",
    "msg_39.txt": "the same boundary in two levels",
    "msg_42.txt": "a multipart that is closed before it began; ours shows the text",
    "msg_43.txt": "Python reads message/delivery-status as messages",
}

Leaf = collections.namedtuple("Leaf", "type body")


def ours(describe, paths):
    """For each path: leaves, subject, from, to."""
    run = subprocess.run([describe], input="\n".join(paths) + "\n", text=True, check=True,
                         stdout=subprocess.PIPE)
    lines = iter(run.stdout.split("\n"))
    for path in paths:
        with open(path, "rb") as file:
            raw = file.read()
        leaves = []
        for _ in range(int(next(lines))):
            kind, name, _, _, start, length, _ = next(lines).split(" ")
            if kind == "0":
                leaves.append(Leaf(name, raw[int(start):int(start) + int(length)]))
        yield leaves, *(bytes.fromhex(next(lines)).decode("utf-8") for _ in range(3))


def theirs(raw):
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    leaves = []
    for part in message.walk():
        if part.is_multipart():
            continue
        payload = part._payload  # get_payload would decode 8bit
        kind = part.get_content_type()
        if kind.startswith("multipart/"):  # no boundary occurs
            kind = "text/plain"
        leaves.append(Leaf(kind, payload.encode("ascii", "surrogateescape")))
    return message, leaves


def decoded(value):
    return str(email.header.make_header(email.header.decode_header(value)))


def same_subject(message, subject):
    """Python unfolds with the line break left in, and drops blanks around encoded words."""
    value = "".join(str(message.get("subject", "")).splitlines())
    return decoded(value).replace(" ", "") == subject.replace(" ", "")


def same_addresses(message, name, text):
    expected = [a for _, a in email.utils.getaddresses(message.get_all(name, []))]
    return all(a.replace('"', "") in text for a in expected)


def inputs(folder):
    for case in make.cases(COUNT):
        path = os.path.join(folder, "%06d" % case.index)
        with open(path, "wb") as file:
            file.write(case.raw)
        yield case.name, path
    for sample in sorted(glob.glob(SAMPLES)):
        with open(sample, "rb") as file:
            raw = file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        path = os.path.join(folder, os.path.basename(sample))
        with open(path, "wb") as file:
            file.write(raw)
        yield os.path.basename(sample), path


def differences(name, path, found):
    leaves, subject, sender, to = found
    with open(path, "rb") as file:
        message, expected = theirs(file.read())
    if len(leaves) != len(expected):
        yield "%d leaves, Python has %d" % (len(leaves), len(expected))
        return
    for k, (mine, other) in enumerate(zip(leaves, expected)):
        if mine.type != other.type:
            yield "leaf %d: %s, Python has %s" % (k, mine.type, other.type)
        if mine.body != other.body:
            yield "leaf %d: %r…, Python has %r…" % (k, mine.body[-80:], other.body[-80:])
    if name == "ordinary":
        if not same_subject(message, subject):
            yield "subject %r, Python has %r" % (subject, message["subject"])
        if not same_addresses(message, "from", sender) or not same_addresses(message, "to", to):
            yield "addresses %r %r" % (sender, to)


def main():
    bad = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        named = [(n, p) for n, p in inputs(folder) if n not in EXCEPT]
        results = ours(sys.argv[1], [p for _, p in named])
        for (name, path), found in zip(named, results):
            compared += 1
            for words in differences(name, path, found):
                bad += 1
                print("%s (%s): %s" % (name, os.path.basename(path), words))
    print("%d messages compared, %d differences" % (compared, bad))
    return 1 if bad or compared < COUNT // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
