"""The tests that Debian's python3-dkim brings for its own verifiers, with `sealpost probe` in their
place.

Those tests sign with that package, change things, and know what must come out; they ask for keys
through a function, from which a zone is made.
"""

import io
import re
import unittest

import dkim
from dkim.tests import test_arc, test_dkim, test_dkim_ed25519, test_dkim_rsavariants

MODULES = (test_dkim, test_dkim_ed25519, test_dkim_rsavariants, test_arc)
FIELDS = (b"dkim-signature", b"arc-message-signature", b"arc-seal")
# Tests of what the package's own functions do, not of what a message is.
NOT_OURS = {"test_validate_signature_fields"}


def crlf(message):
    return re.sub(rb"\r?\n", b"\r\n", message)


def key_names(message):
    """The names under which the signatures of a message have their keys."""
    header = re.sub(rb"\r\n[ \t]+", b" ", crlf(message).split(b"\r\n\r\n", 1)[0])
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() not in FIELDS:
            continue
        tags = dict((part.split(b"=", 1)[0].strip(), part.split(b"=", 1)[1].strip())
                    for part in value.split(b";") if b"=" in part)
        if b"s" in tags and b"d" in tags:
            yield tags[b"s"] + b"._domainkey." + tags[b"d"] + b"."


def zone_for(message, dnsfunc):
    zone = {}
    for name in key_names(message):
        try:
            record = dnsfunc(name, timeout=5)
        except AssertionError:  # the test's function has no such name
            continue
        if record:
            text = record.decode("latin-1") if isinstance(record, bytes) else record
            zone[name.decode("latin-1")] = [["TXT", text.strip("\n")]]
    return zone


class Asked:
    """Takes the place of the package's verifiers for a while."""

    def __init__(self, probe):
        self.probe = probe
        self.questions = 0

    def answer(self, message, dnsfunc):
        self.questions += 1
        return self.probe.message(crlf(message), zone_for(message, dnsfunc))

    def verifies(self, message, dnsfunc, index=0, minkey=1024):
        """As the package says it, which knows no "policy": l= may leave text unsigned, and whoever
        calls says how short a key may be."""
        signatures = self.answer(message, dnsfunc)["dkim"]
        if index >= len(signatures):
            return False
        signature = signatures[index]
        reason = signature.get("reason", "")
        return (signature["result"] == "pass" or reason.startswith("l= ")
                or (minkey < 1024 and reason == "key too short"))

    def verify(self, message, logger=None, dnsfunc=None, minkey=1024, **_):
        return self.verifies(message, dnsfunc, minkey=minkey)

    def verify_object(self, dkim_object, idx=0, dnsfunc=None):
        message = (b"".join(name + b":" + value for name, value in dkim_object.headers) + b"\r\n"
                   + dkim_object.body)
        signatures = [value for name, value in dkim_object.headers
                      if name.strip().lower() == b"dkim-signature"]
        if idx >= len(signatures):
            return False
        names = re.search(rb"\bh=([^;]*)", signatures[idx])
        dkim_object.include_headers = tuple(name.strip().lower() for name in names[1].split(b":"))
        return self.verifies(message, dnsfunc, idx)

    def arc_verify(self, message, logger=None, dnsfunc=None, **_):
        return self.answer(message, dnsfunc)["arc"].encode(), [], ""


def run(probe):
    """(tests run, questions asked, what failed)"""
    asked = Asked(probe)
    saved = dkim.verify, dkim.DKIM.verify, dkim.arc_verify
    dkim.verify, dkim.arc_verify = asked.verify, asked.arc_verify
    dkim.DKIM.verify = lambda self, idx=0, dnsfunc=None: asked.verify_object(self, idx, dnsfunc)
    try:
        tests = unittest.TestSuite()
        for module in MODULES:
            for case in unittest.defaultTestLoader.loadTestsFromModule(module):
                tests.addTests(test for test in case
                               if "SignAndVerify" in test.id()
                               and test.id().rsplit(".", 1)[1] not in NOT_OURS)
        result = unittest.TextTestRunner(stream=io.StringIO()).run(tests)
    finally:
        dkim.verify, dkim.DKIM.verify, dkim.arc_verify = saved
    bad = [f"{test.id()}: {words.strip().splitlines()[-1]}"
           for test, words in result.failures + result.errors]
    return result.testsRun, asked.questions, bad
