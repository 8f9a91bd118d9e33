"""Rules of DKIM, DMARC, ARC and Authentication-Results, one case for each: what they are for is
mail that somebody made up or changed."""

import base64
import hashlib
import pathlib
import re
import subprocess
import time

import dkim
from dkim import HashThrough
from dkim.crypto import RSASSA_PKCS1_v1_5_sign, parse_pem_private_key

from lib.server import program
from lib.suite import check

DATA = pathlib.Path(dkim.__file__).parent / "tests" / "data"
NOW = 1795000000
KEY = (DATA / "2048_testkey.key").read_bytes()
RECORD = (DATA / "2048_testkey_wo_markers.pub.txt").read_text().strip()
SHORT_KEY = (DATA / "test.private").read_bytes()  # 1024 bits
SHORT_RECORD = (DATA / "test.txt").read_text().strip()
MESSAGE = (b"From: Ann <ann@a.test>\r\nTo: bob@b.test\r\nSubject: Words\r\n"
           b"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n\r\nHello.\r\n")
cases = []


def case(function):
    cases.append(function)
    return function


def add_to(suite):
    for function in cases:
        suite.case(function)


def key_zone(domain="a.test", record=RECORD, selector="s", **more):
    return {f"{selector}._domainkey.{domain}": [["TXT", record]], **more}


def sign(message=MESSAGE, domain=b"a.test", key=KEY, **options):
    return dkim.sign(message, b"s", domain, key, **options)


def relaxed(name, value):
    return name.lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()


def resign(tags, message=MESSAGE, domain=b"a.test", names=(b"from", b"to", b"subject", b"date")):
    """A relaxed signature with tags that no program writes; the body is in that form already."""
    header, body = message.split(b"\r\n\r\n", 1)
    lines = re.split(rb"\r\n(?![ \t])", header)
    fields = [(line.split(b":", 1)[0], line.split(b":", 1)[1]) for line in lines]
    limit = int(tags[b"l"]) if b"l" in tags else len(body)
    digest = hashlib.sha256(body[:limit]).digest()
    said = {b"v": b"1", b"a": b"rsa-sha256", b"c": b"relaxed/relaxed", b"d": domain, b"s": b"s",
            b"h": b":".join(names), b"bh": base64.b64encode(digest), **tags, b"b": b""}
    text = b"; ".join(name + b"=" + value for name, value in said.items() if value is not None)
    hashed = HashThrough(hashlib.sha256())
    for name in names:
        at = [i for i, field in enumerate(fields) if field[0].lower() == name]
        if at:
            hashed.update(relaxed(*fields.pop(at[-1])) + b"\r\n")
    hashed.update(relaxed(b"dkim-signature", text))
    signature = RSASSA_PKCS1_v1_5_sign(hashed, parse_pem_private_key(KEY))
    return b"DKIM-Signature: " + text + base64.b64encode(signature) + b"\r\n"


def one(answer):
    check(len(answer["dkim"]) == 1, answer)
    return answer["dkim"][0]["result"]


@case
def tags_of_a_signature(probe):
    def result(tags, message=MESSAGE, zone=None, now=NOW, **options):
        field = resign(tags, message, **options)
        return one(probe.message(field + message, zone or key_zone(), now))

    table = (
        ("as it should be", {}, "pass"),
        ("an unknown tag", {b"z": b"x|y"}, "pass"),
        ("the identity is in the domain", {b"i": b"ann@a.test"}, "pass"),
        ("the identity is below the domain", {b"i": b"@x.a.test"}, "pass"),
        ("the identity is elsewhere", {b"i": b"@b.test"}, "permerror"),
        ("the identity only ends alike", {b"i": b"@ba.test"}, "permerror"),
        ("another version", {b"v": b"2"}, "permerror"),
        ("no version", {b"v": None}, "permerror"),
        ("no algorithm", {b"a": None}, "permerror"),
        ("an unknown algorithm", {b"a": b"rsa-sha512"}, "permerror"),
        ("no selector", {b"s": None}, "permerror"),
        ("no domain", {b"d": None}, "permerror"),
        ("no body hash", {b"bh": None}, "permerror"),
        ("a query method among others", {b"q": b"x:dns/txt"}, "pass"),
        ("another query method", {b"q": b"dns/other"}, "permerror"),
        ("a canonicalization that is none", {b"c": b"loose/relaxed"}, "permerror"),
        ("still valid", {b"t": b"%d" % (NOW - 10), b"x": b"%d" % (NOW + 10)}, "pass"),
        ("expired", {b"t": b"%d" % (NOW - 20), b"x": b"%d" % (NOW - 10)}, "fail"),
        ("expires before it was made", {b"t": b"%d" % (NOW + 20), b"x": b"%d" % (NOW + 10)},
         "permerror"),
        ("a time that is none", {b"t": b"yesterday"}, "permerror"),
        ("l= of all of the body", {b"l": b"8"}, "pass"),
        ("l= of some of the body", {b"l": b"5"}, "policy"),
        ("l= of none of the body", {b"l": b"0"}, "policy"),
        ("l= of more than the body", {b"l": b"9"}, "fail"),
        ("l= beyond numbers", {b"l": b"9" * 70}, "fail"),
        ("l= that is no number", {b"l": b"-1"}, "permerror"),
    )
    for words, tags, expected in table:
        got = result(tags)
        check(got == expected, f"{words}: {got}, not {expected}")
    check(result({}, names=(b"to", b"subject")) == "permerror", "From is not signed")
    check(result({}, zone=key_zone(record=RECORD.replace("v=DKIM1;", "v=DKIM1; t=s;"))) == "pass",
          "t=s and no identity")
    return f"{len(table) + 2} signatures"


@case
def a_message_without_an_envelope(probe):
    """Suites of DKIM and DMARC have none."""
    zone = key_zone(**{"_dmarc.a.test": [["TXT", "v=DMARC1; p=reject"]]})
    encoded = base64.b64encode(sign() + MESSAGE).decode()
    answer = probe.ask(op="message", message=encoded, zone=zone, now=NOW)
    check(one(answer) == "pass" and answer["dmarc"] == "pass" and answer["spf"] == "none", answer)


@case
def records_of_a_key(probe):
    data = RECORD.split("p=")[1]
    table = (
        ("as published", [RECORD], "pass"),
        ("without a version", [f"k=rsa; p={data}"], "pass"),
        ("only the key", [f"p={data}"], "pass"),
        ("white space in the key", [f"v=DKIM1; p={data[:70]} {data[70:]} ;"], "pass"),
        ("for email", [f"v=DKIM1; s=email; p={data}"], "pass"),
        ("for others", [f"v=DKIM1; s=tlsrpt; p={data}"], "permerror"),
        ("of two hashes", [f"v=DKIM1; h=sha1:sha256; p={data}"], "pass"),
        ("of SHA-1 only", [f"v=DKIM1; h=sha1; p={data}"], "permerror"),
        ("of another algorithm", [f"v=DKIM1; k=ed25519; p={data}"], "permerror"),
        ("in test mode", [f"v=DKIM1; t=y; p={data}"], "pass"),
        ("another version", [f"v=DKIM2; p={data}"], "permerror"),
        ("a version that is not first", [f"p={data}; v=DKIM1"], "permerror"),
        ("revoked", ["v=DKIM1; p="], "permerror"),
        ("no key in it", ["v=DKIM1; p=AAAA"], "permerror"),
        ("no base64", ["v=DKIM1; p=!"], "permerror"),
        ("a tag twice", [f"v=DKIM1; p={data}; p={data}"], "permerror"),
        ("none", [], "permerror"),
        ("something else", ["v=spf1 -all"], "permerror"),
        ("the second one", ["v=spf1 -all", RECORD], "pass"),
        ("another one first", [SHORT_RECORD, RECORD], "pass"),
    )
    field = sign()
    for words, records, expected in table:
        zone = {"s._domainkey.a.test": [["TXT", record] for record in records]}
        got = one(probe.message(field + MESSAGE, zone))
        check(got == expected, f"{words}: {got}, not {expected}")
    check(one(probe.message(field + MESSAGE, {})) == "permerror", "no such name")
    late = {"s._domainkey.a.test": [["TIMEOUT"]]}
    check(one(probe.message(field + MESSAGE, late)) == "temperror", "no answer")
    alias = {"s._domainkey.a.test": [["CNAME", "k.b.test"]], "k.b.test": [["TXT", RECORD]]}
    check(one(probe.message(field + MESSAGE, alias)) == "pass", "an alias")
    below = resign({b"i": b"@x.a.test"})
    exact = key_zone(record=f"v=DKIM1; t=y:s; p={data}")
    check(one(probe.message(below + MESSAGE, exact)) == "permerror", "t=s and an identity below")
    return f"{len(table) + 4} records"


@case
def short_keys_and_many_signatures(probe):
    openssl = ["openssl", "rsa", "-pubout", "-outform", "DER"]
    key = subprocess.run(["openssl", "genrsa", "-traditional", "512"], capture_output=True,
                         check=True).stdout
    public = subprocess.run(openssl, input=key, capture_output=True, check=True).stdout
    record = "k=rsa; p=" + base64.b64encode(public).decode()
    zone = key_zone(record=record, **{"_dmarc.a.test": [["TXT", "v=DMARC1; p=reject"]]})
    answer = probe.message(sign(key=key) + MESSAGE, zone)
    check(one(answer) == "policy" and answer["dmarc"] == "fail", answer)
    answer = probe.message(sign(key=SHORT_KEY) + MESSAGE, key_zone(record=SHORT_RECORD))
    check(one(answer) == "pass", f"1024 bits: {answer}")
    good, bad = sign(), sign().replace(b"bh=", b"bh=A")
    dmarc = {"_dmarc.a.test": [["TXT", "v=DMARC1; p=reject"]]}
    for count, passes in ((7, True), (8, False), (1000, False)):
        answer = probe.message(bad * count + good + MESSAGE, key_zone(**dmarc))
        check(len(answer["dkim"]) == 8, answer)
        check((answer["dmarc"] == "pass") == passes, answer)
    return None


@case
def alignment_and_policy(probe):
    """(From, d= or None, envelope sender's domain or None, records, dmarc, policy)"""
    spf = {domain: [["TXT", "v=spf1 ip4:192.0.2.1 -all"]]
           for domain in ("a.test", "m.a.test", "b.test", "c.co.uk")}
    table = (
        ("no policy", "a.test", "a.test", "a.test", {}, "none", "none"),
        ("by DKIM", "a.test", "a.test", None, {"a.test": "p=reject"}, "pass", "reject"),
        ("by SPF", "a.test", None, "a.test", {"a.test": "p=reject"}, "pass", "reject"),
        ("by neither", "a.test", None, None, {"a.test": "p=reject"}, "fail", "reject"),
        ("of somebody else", "a.test", "b.test", "b.test", {"a.test": "p=quarantine"}, "fail",
         "quarantine"),
        ("of one below", "a.test", "m.a.test", None, {"a.test": "p=reject"}, "pass", "reject"),
        ("of one above", "m.a.test", "a.test", None, {"a.test": "p=reject"}, "pass", "reject"),
        ("below, strict", "a.test", "m.a.test", None, {"a.test": "p=reject; adkim=s"}, "fail",
         "reject"),
        ("below by SPF, strict", "a.test", None, "m.a.test", {"a.test": "p=reject; aspf=s"}, "fail",
         "reject"),
        ("strict of the other kind", "a.test", None, "m.a.test", {"a.test": "p=reject; adkim=s"},
         "pass", "reject"),
        ("strict and the same", "a.test", "a.test", None, {"a.test": "p=reject; adkim=s; aspf=s"},
         "pass", "reject"),
        ("a suffix is nobody's", "x.co.uk", None, "c.co.uk", {"x.co.uk": "p=reject"}, "fail",
         "reject"),
        ("a domain of a suffix", "x.c.co.uk", None, "c.co.uk", {"c.co.uk": "p=reject"}, "pass",
         "reject"),
        ("sp for those below", "m.a.test", None, None, {"a.test": "p=none; sp=reject"}, "fail",
         "reject"),
        ("p where there is no sp", "m.a.test", None, None, {"a.test": "p=quarantine"}, "fail",
         "quarantine"),
        ("sp is not for the domain", "a.test", None, None, {"a.test": "p=none; sp=reject"}, "fail",
         "none"),
        ("its own record first", "m.a.test", None, None,
         {"m.a.test": "p=none", "a.test": "p=reject; sp=reject"}, "fail", "none"),
        ("np for those that are not", "no.a.test", None, None,
         {"a.test": "p=none; sp=none; np=reject"}, "fail", "reject"),
        ("np is not for those that are", "m.a.test", None, None,
         {"a.test": "p=none; sp=quarantine; np=reject"}, "fail", "quarantine"),
        ("pct=0", "a.test", None, None, {"a.test": "p=reject; pct=0"}, "fail", "quarantine"),
        ("pct=100", "a.test", None, None, {"a.test": "p=reject; pct=100"}, "fail", "reject"),
        ("t=y", "a.test", None, None, {"a.test": "p=quarantine; t=y"}, "fail", "none"),
        ("white space", "a.test", None, None, {"a.test": " p = reject ; "}, "fail", "reject"),
        ("in upper case", "A.Test", None, None, {"a.test": "p=REJECT"}, "fail", "reject"),
        ("p that is none, but rua", "a.test", None, None,
         {"a.test": "p=block; rua=mailto:x@a.test"}, "fail", "none"),
        ("p that is none", "a.test", None, None, {"a.test": "p=block"}, "permerror", "none"),
        ("no p", "a.test", None, None, {"a.test": "sp=reject"}, "permerror", "none"),
        ("psd", "a.example", None, None, {"example": "p=reject; psd=y; sp=quarantine"}, "fail",
         "quarantine"),
        ("a suffix without psd", "a.example", None, None, {"example": "p=reject"}, "none", "none"),
    )
    for words, author, signer, sender, records, dmarc, policy in table:
        message = MESSAGE.replace(b"ann@a.test", b"ann@" + author.encode())
        zone = dict(spf)
        for domain, record in records.items():
            zone[f"_dmarc.{domain}"] = [["TXT", "v=DMARC1; " + record]]
        if signer:
            message = sign(message, signer.encode()) + message
            zone.update(key_zone(signer))
        answer = probe.message(message, zone, mailfrom=f"x@{sender or 'nowhere.test'}")
        check((answer["dmarc"], answer["policy"]) == (dmarc, policy), f"{words}: {answer}")
    return f"{len(table)} messages"


@case
def records_of_dmarc(probe):
    table = (
        ([["TXT", "v=DMARC1; p=reject"], ["TXT", "v=spf1 -all"]], "fail"),
        ([["TXT", "v=DMARC1; p=reject"], ["TXT", "v=DMARC1; p=none"]], "none"),
        ([["TXT", "v=DMARC2; p=reject"]], "none"),
        ([["TXT", "p=reject; v=DMARC1"]], "none"),
        ([["TXT", "v=DMARC1;p=reject;"]], "fail"),
        ([["TXT", "v=DMARC1"]], "permerror"),
        ([["TXT", "v=DMARC1; p", "=reject"]], "fail"),
        ([["TIMEOUT"]], "temperror"),
    )
    for rows, expected in table:
        answer = probe.message(MESSAGE, {"_dmarc.a.test": rows})
        check(answer["dmarc"] == expected, f"{rows}: {answer}")
    reject = {"_dmarc.a.test": [["TXT", "v=DMARC1; p=reject"]]}
    late = {"s._domainkey.a.test": [["TIMEOUT"]], **reject}
    check(probe.message(sign() + MESSAGE, late)["dmarc"] == "temperror", "a key that is late")
    late = {"a.test": [["TIMEOUT"]], **reject}
    check(probe.message(MESSAGE, late, mailfrom="x@a.test")["dmarc"] == "temperror", "a late SPF")
    return f"{len(table) + 2} zones"


@case
def several_authors(probe):
    zone = key_zone(**{"_dmarc.a.test": [["TXT", "v=DMARC1; p=reject"]],
                       "_dmarc.b.test": [["TXT", "v=DMARC1; p=quarantine"]]})
    field, rest = sign(), MESSAGE.split(b"\r\n", 1)[1]
    check(probe.message(field + MESSAGE, zone)["dmarc"] == "pass", "one author")
    quoted = MESSAGE.replace(b"Ann <", b'"x@c.test, y@c.test" <')
    check(probe.message(quoted, zone)["policy"] == "reject", "commas in quotes are none")
    for words, changed, policy in (
            ("a second field", b"From: eve@b.test\r\n" + MESSAGE, "reject"),
            ("a second field, below",
             MESSAGE.replace(b"\r\n\r\n", b"\r\nFrom: eve@b.test\r\n\r\n", 1), "reject"),
            ("a second address", b"From: ann@a.test, eve@b.test\r\n" + rest, "reject"),
            ("two of one domain", b"From: eve@a.test, ann@a.test\r\n" + rest, "reject"),
            ("a group", b"From: us: ann@a.test;\r\n" + rest, "reject"),
            ("an address without a domain", b"From: ann@a.test, eve\r\n" + rest, "reject"),
            ("an address before it", b"From: eve@b.test <ann@a.test>\r\n" + rest, None)):
        answer = probe.message(field + changed, zone)
        check(answer["dmarc"] != "pass", f"{words}: {answer}")
        check(policy is None or answer["policy"] == policy, f"{words}: {answer}")
    # One who signed anew what has two authors is right about all of it, and no author all the same.
    twice = b"From: eve@b.test\r\n" + MESSAGE
    answer = probe.message(resign({}, twice, names=(b"from", b"from", b"to")) + twice, zone)
    check(one(answer) == "policy" and answer["dmarc"] == "fail", answer)
    answer = probe.message(rest, zone)
    check(answer["dmarc"] == "none", f"no author: {answer}")
    answer = probe.message(b"X: y\r\n" * 20000 + MESSAGE, zone)
    check(answer["dmarc"] not in ("pass", "none"), f"20,000 fields: {answer}")
    return None


def seal(message, domain=b"f.test", key=KEY, authserv=b"f.test", state=b"pass"):
    """One more set on a message that has an Authentication-Results field of the forwarder's."""
    results = (b"Authentication-Results: " + authserv + b"; arc=" + state + b"; spf=pass\r\n")
    fields = dkim.arc_sign(results + message, b"s", domain, key, authserv)
    return b"".join(fields) + message


def chain_zone():
    return {f"s._domainkey.{name}.test": [["TXT", RECORD]] for name in "fgh"}


def chain(count, message=MESSAGE):
    for i in range(count):
        name = b"fgh"[i % 3:i % 3 + 1] + b".test"
        message = seal(message, name, authserv=name, state=b"pass" if i else b"none")
    return message


def reseal(message, text):
    """The first seal's text replaced, signed anew."""
    fields = re.findall(rb"(ARC-[^:]*):((?:[^\r]|\r\n[ \t])*)\r\n", message)
    named = {name.lower(): (name, value) for name, value in fields}
    hashed = HashThrough(hashlib.sha256())
    for name in (b"arc-authentication-results", b"arc-message-signature"):
        hashed.update(relaxed(*named[name]) + b"\r\n")
    hashed.update(relaxed(b"arc-seal", text + b" b="))
    signature = RSASSA_PKCS1_v1_5_sign(hashed, parse_pem_private_key(KEY))
    old = b"ARC-Seal:" + named[b"arc-seal"][1]
    return message.replace(old, b"ARC-Seal: " + text + b" b=" + base64.b64encode(signature))


@case
def tags_of_a_seal(probe):
    table = (
        (b"i=1; cv=none; a=rsa-sha256; d=f.test; s=s; t=1;", "pass"),
        (b"i=1; a=rsa-sha256; cv=none; d=f.test; s=s; x=y;", "pass"),
        (b"i=1; cv=none; a=rsa-sha256; d=f.test; s=s; h=from;", "fail"),
        (b"i=1; cv=pass; a=rsa-sha256; d=f.test; s=s;", "fail"),
        (b"i=1; cv=fail; a=rsa-sha256; d=f.test; s=s;", "fail"),
        (b"i=1; a=rsa-sha256; d=f.test; s=s;", "fail"),
        (b"i=1; cv=none; a=rsa-sha1; d=f.test; s=s;", "fail"),
        (b"i=1; cv=none; d=f.test; s=s;", "fail"),
        (b"i=1; cv=none; a=rsa-sha256; s=s;", "fail"),
        (b"i=1; cv=none; a=rsa-sha256; d=f.test;", "fail"),
        (b"i=1; cv=none; a=rsa-sha256; d=f.test; s=s; t=now;", "fail"),
        (b"i=1; i=1; cv=none; a=rsa-sha256; d=f.test; s=s;", "fail"),
    )
    for text, expected in table:
        answer = probe.message(reseal(chain(1), text), chain_zone())
        check(answer["arc"] == expected, f"{text}: {answer}")
    return f"{len(table)} seals"


@case
def chains_of_forwarders(probe):
    zone = chain_zone()
    check(probe.message(MESSAGE, zone)["arc"] == "none", "no chain")
    for count in (1, 2, 3, 10, 50):
        sealed = chain(count)
        answer = probe.message(sealed, zone, now=int(time.time()), authserv="us.test")
        check(answer["arc"] == "pass", f"{count} sets: {answer}")
        check(f"sealed by {'fgh'[(count - 1) % 3]}.test" in answer["field"], answer)
        check(dkim.arc_verify(sealed, dnsfunc=lambda name, timeout=5: RECORD)[0] == b"pass",
              "python3-dkim agrees")
    return None


@case
def chains_that_are_broken(probe):
    zone, two = chain_zone(), chain(2)
    seals = re.findall(rb"ARC-Seal:(?:[^\r]|\r\n[ \t])*\r\n", two)
    sets = re.findall(rb"ARC-(?:[^\r]|\r\n[ \t])*\r\n", two)
    check(len(seals) == 2 and len(sets) == 6, two)
    table = (
        ("the body was changed", two.replace(b"Hello", b"Hallo")),
        ("the subject was changed", two.replace(b"Words", b"Swords")),
        ("a seal is missing", two.replace(seals[0], b"")),
        ("the first seal is missing", two.replace(seals[1], b"")),
        ("a seal twice", seals[0] + two),
        ("a set is missing", two.replace(sets[3], b"").replace(sets[4], b"").replace(sets[5], b"")),
        ("results were changed", two.replace(b"spf=pass", b"spf=fail", 1)),
        ("the first results were changed", b"spf=fail".join(two.rsplit(b"spf=pass", 1))),
        ("the chain was broken before", two.replace(b"cv=pass", b"cv=fail")),
        ("a first set that passes", two.replace(b"cv=none", b"cv=pass")),
        ("an instance that is none", two.replace(b"i=2", b"i=x")),
        ("instance 0", two.replace(b"i=1", b"i=0")),
        ("instance 51", two.replace(b"i=2", b"i=51")),
    )
    for words, message in table:
        check(message != two, words)
        answer = probe.message(message, zone)
        check(answer["arc"] == "fail", f"{words}: {answer}")
    check(probe.message(two, {})["arc"] == "fail", "no keys")
    late = {**zone, "s._domainkey.f.test": [["TIMEOUT"]]}
    check(probe.message(two, late)["arc"] == "fail", "late")
    moved = b"".join(sets[::-1]) + two.split(sets[5], 1)[1]
    check(probe.message(moved, zone)["arc"] == "pass", "the order of the fields does not count")
    return f"{len(table) + 3} messages"


@case
def forged_results_are_removed(probe):
    ours = "mx.us.test"
    table = (
        (b"Authentication-Results: mx.us.test; spf=pass\r\n", True),
        (b"authentication-results:\r\n MX.us.Test;\r\n\tdkim=pass header.d=x\r\n", True),
        (b"Authentication-Results : mx.us.test 1; none\r\n", True),
        (b"Authentication-Results: (a (nested) comment) mx.us.test (x); spf=pass\r\n", True),
        (b'Authentication-Results: "mx.us.test"; spf=pass\r\n', True),
        (b'Authentication-Results: "mx\\.us.test"; spf=pass\r\n', True),
        (b"Authentication-Results: mx.us.test\r\n", True),
        (b"Authentication-Results: ;mx.us.test; spf=pass\r\n", True),
        (b"Authentication-Results: mx.us.test.evil.test; spf=pass\r\n", False),
        (b"Authentication-Results: mx.them.test; spf=pass\r\n", False),
        (b"ARC-Authentication-Results: i=1; mx.us.test; spf=pass\r\n", False),
        (b"X-Authentication-Results: mx.us.test; spf=pass\r\n", False),
    )
    for field, is_removed in table:
        message = b"X: 1\r\n" + field + MESSAGE
        answer = probe.message(message, {}, authserv=ours)
        expected = [[6, len(field)]] if is_removed else []
        check(answer["removals"] == expected, f"{field}: {answer}")
    many = b"X: 1\r\n" + b"Authentication-Results: mx.us.test; x=pass\r\nY: 2\r\n" * 200 + MESSAGE
    kept = bytearray(many)
    for start, length in reversed(probe.message(many, {}, authserv=ours)["removals"]):
        del kept[start:start + length]
    check(b"Authentication-Results" not in kept and b"From: Ann" in kept, kept)
    return f"{len(table) + 1} messages"


@case
def our_results_hold_what_the_peer_wrote(probe):
    """Nothing of the peer's gets out of its place in the field."""
    message = (b"DKIM-Signature: v=1; d=x\"; spf=pass; s=a b\r\n" + MESSAGE)
    answer = probe.message(message, {}, authserv="us.test", helo="h\r\nX: y",
                           mailfrom="x@y\"; dkim=pass \xe4")
    field = answer["field"]
    check(field.startswith("Authentication-Results: us.test;\r\n\tspf=none"), field)
    check(field.endswith("\r\n"), field)
    check(re.sub(r"\r\n\t", " ", field).count("\r\n") == 1, field)
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', field)
    check("pass" not in outside, field)
    zone = key_zone(**{"_dmarc.a.test": [["TXT", "v=DMARC1; p=none"]]})
    answer = probe.message(sign() + MESSAGE, zone, authserv="us.test", mailfrom="x@a.test")
    expected = ("Authentication-Results: us.test;\r\n\tspf=none smtp.mailfrom=a.test;\r\n"
                "\tdkim=pass header.d=a.test header.s=s;\r\n"
                "\tdmarc=pass (p=none) header.from=a.test\r\n")
    check(answer["field"] == expected, answer["field"])


@case
def lines_that_are_wrong(probe):
    table = (b"{", b"[]", b"1", b"{}", b'{"op": 1}', b'{"op": "x", "zone": {}}',
             b'{"op": "spf", "ip": "1.2.3.4", "helo": "a", "mailfrom": ""}',
             b'{"op": "spf", "ip": 1, "helo": "a", "mailfrom": "", "zone": {}}',
             b'{"op": "spf", "ip": "1.2.3.4", "helo": "a", "mailfrom": "", "zone": []}',
             b'{"op": "spf", "ip": "1.2.3.4", "helo": "a", "mailfrom": "", "zone": {"a": 1}}',
             b'{"op": "spf", "ip": "1.2.3.4", "zone": {"a": [["A", "1.2.3"]]}}',
             b'{"op": "spf", "ip": "1.2.3.4", "zone": {"a": [["MX", 70000, "a"]]}}',
             b'{"op": "message", "zone": {}, "message": "!"}',
             b'{"op": "message", "zone": {}, "message": 1}',
             b'{"op": "message", "zone": {}, "message": "", "now": "x"}',
             b"[" * 100000, b'"' + b"\xff" * 100)
    for line in table:
        check("error" in probe.line(line), line[:100])
    check("too long" in probe.line(b"x" * (97 << 20))["error"], "97 MiB")
    check(probe.spf("x", "a.test", "", {}) == {"spf": "none"}, "not an address")
    check(probe.line(b'{"op":"message","zone":{}}')["dkim"] == [], "an empty message")
    return f"{len(table) + 3} lines"


@case
def costly_messages(probe):
    """Many signatures, names, fields, a large body: each a second or two of processor time at most,
    ten times that where a sanitizer watches."""
    limit_s, slowest, which = 20.0 if "asan" in program() else 2.0, 0.0, ""
    names = b":".join([b"from"] + [b"x%d" % i for i in range(100000)])
    body = b"a b \t c  \r\n" * 2000000
    table = (
        ("eight signatures of 100,000 names",
         resign({}, names=(b"from",)).replace(b"h=from", b"h=" + names) * 8 + MESSAGE),
        ("16,000 fields, all signed eight times",
         sign().replace(b"h=", b"h=" + b"x:" * 16000) * 8 + b"X: y\r\n" * 16000 + MESSAGE),
        ("20 MB of body, eight lengths",
         b"".join(sign().replace(b"c=relaxed/simple", b"c=relaxed/relaxed; l=%d" % (i * 1000000))
                  for i in range(8)) + MESSAGE + body),
        ("10,000 signatures", sign() * 10000 + MESSAGE),
        ("a From of 200,000 addresses",
         MESSAGE.replace(b"Ann <ann@a.test>", b"a@b.test," * 200000)),
        ("10,000 From fields", b"From: a@b.test\r\n" * 10000 + MESSAGE),
        ("fifty sets of 100 kB", chain(3).replace(b"spf=pass", b"spf=pass" + b" x=y" * 25000)),
        ("a signature of 5 MB", b"DKIM-Signature: " + b"a=b;" * 1250000 + b"\r\n" + MESSAGE),
        ("one line of 20 MB", MESSAGE + b"x" * 20000000),
    )
    for words, message in table:
        before = probe.processor_seconds()
        answer = probe.message(message, {**chain_zone(), **key_zone()})
        used = probe.processor_seconds() - before
        check("dmarc" in answer, f"{words}: {answer}")
        check(used < limit_s, f"{words}: {used:.1f} s")
        if used > slowest:
            slowest, which = used, words
    return f"{len(table)} messages, the slowest in {slowest:.2f} s ({which})"
