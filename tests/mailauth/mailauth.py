#!/usr/bin/python3
"""SPF, DKIM, DMARC and ARC from outside, through `sealpost probe`: the published suites, and
signatures made here and checked by independent programs, and the other way round."""

import pathlib
import subprocess
import sys
import tempfile
import time

import dkim

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import build_folder  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

import dkimpy  # noqa: E402
import spf  # noqa: E402
from probe import Probe  # noqa: E402

suite = Suite(__doc__)
HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path(dkim.__file__).parent / "tests" / "data"
NOW = 1795000000

# RFC 8463 appendix A.2 and RFC 6376 appendix C.
RFC_KEYS = {
    "brisbane._domainkey.football.example.com": [
        ["TXT", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]],
    "test._domainkey.football.example.com": [
        ["TXT", "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id"
                "Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lx"
                "j+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"]],
    "brisbane._domainkey.example.com": [
        ["TXT", "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLn"
                "Qg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rca"
                "c2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"]],
}


def results(answer):
    return [signature["result"] for signature in answer["dkim"]]


@suite.case
def the_spf_suite_of_rfc_7208(probe):
    count, failures = spf.run(probe, "rfc7208-tests.yml")
    check(not failures, "\n".join(failures))
    check(count == 203, f"{count} cases, not 203")
    return f"{count} cases run, {count} passed"


@suite.case
def the_spf_suite_of_rfc_4408(probe):
    """RFC 7208's forerunner: what it asks for still holds."""
    count, failures = spf.run(probe, "rfc4408-tests.yml")
    check(not failures, "\n".join(failures))
    return f"{count} cases run, {count} passed"


@suite.case
def the_signed_messages_of_the_rfcs(probe):
    """RFC 6376 appendix A.2, RFC 8463 appendix A.3, and what python3-dkim has of them."""
    count = 0
    for path, expected in ((HERE / "vectors/rfc8463.eml", ["pass", "pass"]),
                           (HERE / "vectors/rfc6376.eml", ["pass"]),
                           (DATA / "rfc6376.signed.msg", ["pass", "pass"]),
                           (DATA / "rfc6376.signed.rsa.msg", ["pass"])):
        message = path.read_bytes()
        answer = probe.message(message, RFC_KEYS)
        check(results(answer) == expected, f"{path.name}: {answer}")
        spoiled = probe.message(message.replace(b"We lost", b"We won "), RFC_KEYS)
        check("pass" not in results(spoiled), f"{path.name}, changed: {spoiled}")
        count += len(expected)
    return f"{count} signatures, {count} verified"


@suite.case
def the_tests_of_python3_dkim(probe):
    count, questions, failures = dkimpy.run(probe)
    check(not failures, "\n".join(failures))
    check(count >= 40, f"only {count} tests were found")
    return f"{count} tests run, {count} passed, {questions} messages"


def bodies():
    yield b""
    yield b"Hi.\r\n"
    yield b"no end"
    yield b"\r\n\r\n lines  with \t blanks \t\r\n\r\nand empty ones\r\n\r\n\r\n"
    yield b"8-bit: \xc3\xa4\xff\x80\r\n.dots\r\n..\r\n"
    yield b"x" * 100000 + b"\r\n" + b"y \r\n" * 5000


def messages():
    for body in bodies():
        yield (b"Received: from a.test\r\n\tby b.test; now\r\nFrom:  Ann <ann@a.test>\r\n"
               b"To: bob@b.test,\r\n carl@c.test\r\nSubject: A \t folded\r\n  subject \r\n"
               b"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\nCc:\r\nMessage-ID: <1@a.test>\r\n"
               b"\r\n" + body)


@suite.case
def what_python3_dkim_signs(probe):
    """In every canonicalization and algorithm; changed, it must fail."""
    rsa, ed25519 = (DATA / "2048_testkey.key").read_bytes(), (DATA / "ed25519test.key").read_bytes()
    zone = {
        "r._domainkey.a.test": [["TXT", (DATA / "2048_testkey_wo_markers.pub.txt").read_text()]],
        "e._domainkey.a.test": [["TXT", (DATA / "ed25519test.dns").read_text()]],
    }
    count = 0
    for message in messages():
        for header in (b"simple", b"relaxed"):
            for body in (b"simple", b"relaxed"):
                for selector, key, algorithm in ((b"r", rsa, b"rsa-sha256"),
                                                 (b"e", ed25519, b"ed25519-sha256")):
                    field = dkim.sign(message, selector, b"a.test", key,
                                      canonicalize=(header, body), signature_algorithm=algorithm)
                    answer = probe.message(field + message, zone)
                    check(results(answer) == ["pass"], f"{header}/{body} {algorithm}: {answer}")
                    for change in ((b"Ann", b"Anm"), (b"bob@", b"rob@"),
                                   (b"\r\n\r\n", b"\r\n\r\n!")):
                        answer = probe.message(field + message.replace(*change, 1), zone)
                        check(results(answer) == ["fail"], f"changed {change}: {answer}")
                    count += 1
    return f"{count} messages verified, each refused in 3 changed forms"


def sign_here(algorithm, message, now=NOW, domain="a.test", selector="s1"):
    """(the record, the field)"""
    tool = build_folder() / "src" / "mailauth" / "mailauth_sign_tool"
    output = subprocess.run([tool, algorithm, domain, selector, str(now)], input=message,
                            capture_output=True, check=True).stdout
    record, field = output.split(b"\n", 1)
    return record.decode(), field


@suite.case
def what_is_signed_here(probe):
    """Taken by python3-dkim, by OpenDKIM, and by ourselves; refused by each when it was changed."""
    count = 0
    for algorithm in ("rsa", "ed25519"):
        for message in messages():
            record, field = sign_here(algorithm, message, int(time.time()))
            signed, spoiled = field + message, field + message.replace(b"Ann", b"Anm")
            zone = {"s1._domainkey.a.test": [["TXT", record]]}
            answer = probe.message(signed, zone, int(time.time()))
            check(results(answer) == ["pass"], f"by ourselves: {answer}")

            def key(name, timeout=5, record=record):
                return record if name == b"s1._domainkey.a.test." else None

            check(dkim.verify(signed, dnsfunc=key), f"python3-dkim refuses {signed!r:.400}")
            check(not dkim.verify(spoiled, dnsfunc=key), "python3-dkim takes a changed one")
            check(opendkim(signed, record), f"{algorithm}: OpenDKIM refuses {signed!r:.400}")
            check(not opendkim(spoiled, record), "OpenDKIM takes a changed one")
            count += 1
    return f"{count} messages"


def opendkim(message, record):
    """Does OpenDKIM's verifier take this message, given the key's record?"""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        # Its test mode loses a last line that is not ended, and finds nothing signed then.
        (path / "message").write_bytes(message if message.endswith(b"\n") else message + b"\r\n")
        (path / "keys").write_text(f"s1._domainkey.a.test {record}\n")
        (path / "conf").write_text(f"Mode v\nTestDNSData file:{path}/keys\nSyslog no\nUserID root\n"
                                   f"Socket local:{path}/socket\nRequireSafeKeys no\n")
        program = subprocess.run(["/usr/sbin/opendkim", "-x", path / "conf", "-t", path / "message",
                                  "-v"], capture_output=True, timeout=30)
        words = (program.stdout + program.stderr).decode(errors="replace")
    check(" verification " in words, f"OpenDKIM said {words!r}")
    return " succeeded" in words


@suite.case
def what_opendkim_testmsg_signs(probe):
    """Debian's still signs with SHA-1, which nobody may take any more (RFC 8301 section 3.1)."""
    count = 0
    record = (DATA / "2048_testkey_wo_markers.pub.txt").read_text()
    zone = {"r._domainkey.a.test": [["TXT", record]]}
    for message in messages():
        signed = subprocess.run(["opendkim-testmsg", "-C", "-d", "a.test", "-s", "r",
                                 "-k", DATA / "2048_testkey.key"], input=message,
                                capture_output=True, check=True).stdout
        check(b"a=rsa-sha1" in signed, f"{signed!r:.300}")
        answer = probe.message(signed, zone, int(time.time()))
        check(results(answer) == ["permerror"], f"{answer}")
        count += 1
    return f"{count} messages, all refused"


if __name__ == "__main__":
    import rules
    rules.add_to(suite)
    with Probe() as the_probe:
        suite.run(the_probe)
