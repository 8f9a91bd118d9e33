#!/usr/bin/python3
"""Sealpost and Postfix write to each other: two hosts with addresses of their own, a DNS of their own.

What Sealpost sends is judged by others (Postfix's Received fields, python3-dkim), what it receives is
sent by Postfix. Needs the right to make network namespaces.
"""

import email
import email.policy
import pathlib
import re
import smtplib
import subprocess
import sys
import tempfile
import time

import dkim

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib import doh  # noqa: E402
from lib.authority import Authority  # noqa: E402
from lib.netns import Net  # noqa: E402
from lib.policies import Policies  # noqa: E402
from lib.postfix import Postfix  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
SELECTOR = b"peer"


def tlsa_of(certificate):
    """The DANE-EE record of its key: 3 1 1."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"],
                         check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                         capture_output=True).stdout
    return subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, check=True,
                          capture_output=True).stdout.split()[0].decode()


def make_key(folder):
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", folder / "dkim.pem", "2048"],
                   check=True, capture_output=True)
    der = subprocess.run(["openssl", "rsa", "-in", folder / "dkim.pem", "-pubout", "-outform", "PEM"],
                         check=True, capture_output=True).stdout.decode()
    return ((folder / "dkim.pem").read_bytes(),
            "v=DKIM1; k=rsa; p=" + "".join(der.strip().splitlines()[1:-1]))


def zones_of(net, peer, key_record, tlsa):
    zones = {
        "mx.ours.test": [["A", net.address], ["AAAA", net.address6]],
        # With SPF for its own name: its bounces, whose sender is null, are judged by that (RFC 7208 §2.4).
        "mx.other.test": [["A", peer.address], ["TXT", "v=spf1 a -all"]],
        "other.test": [["MX", 10, "mx.other.test"], ["TXT", f"v=spf1 ip4:{peer.address} -all"]],
        f"{SELECTOR.decode()}._domainkey.other.test": [["TXT", key_record]],
        "_dmarc.other.test": [["TXT", "v=DMARC1; p=reject"]],
        # Others whose mail Postfix sends although it may not.
        "strict.test": [["MX", 10, "mx.other.test"], ["TXT", "v=spf1 ip4:198.18.0.99 -all"]],
        "_dmarc.strict.test": [["TXT", "v=DMARC1; p=reject"]],
        "soft.test": [["MX", 10, "mx.other.test"], ["TXT", "v=spf1 ip4:198.18.0.99 -all"]],
        "_dmarc.soft.test": [["TXT", "v=DMARC1; p=quarantine"]],
        # The same host by IPv6 alone, and with DANE, right and wrong.
        "mx.six.test": [["AAAA", peer.address6]], "six.test": [["MX", 5, "mx.six.test"]],
        "mx.dane.test": [["A", peer.address]], "dane.test": [["MX", 5, "mx.dane.test"]],
        "_25._tcp.mx.dane.test": [["TLSA", 3, 1, 1, tlsa]],
        "mx.bad.test": [["A", peer.address]], "bad.test": [["MX", 5, "mx.bad.test"]],
        "_25._tcp.mx.bad.test": [["TLSA", 3, 1, 1, "00" * 32]],
    }
    for host in (net, peer):
        digits = host.address.split(".")
        name = ".".join(reversed(digits)) + ".in-addr.arpa"
        zones[name] = [["PTR", "mx.ours.test" if host is net else "mx.other.test"]]
    return zones


class World:
    def __init__(self, server, postfix, dns, key, peer):
        self.server, self.postfix, self.dns, self.key = server, postfix, dns, key
        self.peer = peer
        self.bob = server.add_alias("bob@ours.test")
        for record in server.admin("domain", "dns", "ours.test")["records"]:
            if record["type"] == "TXT":
                dns.zones.records.setdefault(record["name"], []).append(["TXT", record["value"]])
            elif record["type"] == "MX":
                dns.zones.records.setdefault(record["name"], []).append(
                    ["MX", *record["value"].split()])
        self.number = 0

    def txt(self, name, timeout=None):
        """For python3-dkim: the record from our zones."""
        name = name.decode() if isinstance(name, bytes) else name
        for kind, *values in self.dns.zones.find(name.rstrip(".").lower()) or []:
            if kind == "TXT":
                return "".join(values).encode()
        return None

    def letter(self, sender, to, extra="", body="hello"):
        self.number += 1
        return (f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: number {self.number}\r\n"
                f"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{self.number}@{sender}>\r\n"
                f"{extra}\r\n{body}\r\n").encode()

    def submit(self, to, sender="bob@ours.test", **options):
        client = self.server.submission(self.bob)
        raw = self.letter(sender, to, **options)
        client.sendmail(sender, [to], raw)
        client.quit()
        return f"number {self.number}"

    def sign(self, raw, domain):
        return dkim.sign(raw, SELECTOR, domain.encode(), self.key,
                         include_headers=[b"from", b"to", b"subject", b"date"]) + raw

    def folder(self, alias, subject, folder="INBOX", seconds=20):
        """The message with that subject, when it has come."""
        deadline = time.monotonic() + seconds
        client = self.server.imap(alias)
        try:
            while True:
                client.select(folder)
                found = client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
                if found:
                    raw = client.fetch(found[-1], "(BODY.PEEK[])")[1][0][1]
                    return email.message_from_bytes(raw, policy=email.policy.default), raw
                check(time.monotonic() < deadline,
                      f"no {subject!r} in {folder}: {self.server.log(1500)} {self.postfix.log()}")
                client.noop()
                time.sleep(0.1)
        finally:
            client.logout()

    def at_postfix(self, recipient, subject, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            for raw in self.postfix.mail(recipient):
                if f"\nSubject: {subject}\n".encode() in raw:
                    return raw
            check(time.monotonic() < deadline,
                  f"{subject!r} did not come to {recipient}: {self.server.log(2000)}")
            time.sleep(0.1)


def delivered_part(raw):
    """What Sealpost sent, with CRLF: without what Postfix put before it."""
    fields, at = raw.replace(b"\r\n", b"\n"), 0
    while re.match(rb"(Return-Path|X-Original-To|Delivered-To):", fields[at:]):
        at = fields.index(b"\n", at) + 1
    check(fields[at:].startswith(b"Received:"), fields[:300])
    end = re.compile(rb"\n(?![ \t])").search(fields, at).end()
    return fields[end:].replace(b"\n", b"\r\n"), fields[at:end].decode()


def results_of(message):
    return re.sub(r"\s+", " ", str(message["Authentication-Results"]))


@suite.case
def out_encrypted_signed_and_discreet(world):
    subject = world.submit("ann@other.test")
    raw = world.at_postfix("ann@other.test", subject)
    sent, received = delivered_part(raw)
    check("TLSv1.3" in received, f"not encrypted: {received}")
    signatures = len(re.findall(rb"(?mi)^DKIM-Signature:", sent))
    check(signatures == 2, f"{signatures} signatures")
    verifier = dkim.DKIM(sent)
    for index in range(2):
        check(verifier.verify(idx=index, dnsfunc=world.txt), f"signature {index} does not verify")
    head = sent.partition(b"\r\n\r\n")[0].lower()
    for word in (b"127.0.0.1", b"client.test", b"localhost"):
        check(word not in head, f"{word!r} is told: {head.decode()}")
    return received.split("(using", 1)[-1].split("\n")[0].strip()


@suite.case
def out_over_ipv6(world):
    subject = world.submit("ann@six.test")
    _, received = delivered_part(world.at_postfix("ann@six.test", subject))
    check("IPv6:2001:2::1" in received, received)


@suite.case
def out_with_dane_and_not_without_its_key(world):
    subject = world.submit("ann@dane.test")
    world.at_postfix("ann@dane.test", subject)
    wrong = world.submit("ann@bad.test")
    time.sleep(2)
    check(not any(wrong.encode() in raw for raw in world.postfix.mail("ann@bad.test")),
          "it went to a host with another key")
    rows = world.server.admin("queue", "list")
    check("ann@bad.test" in str(rows), f"it does not wait: {rows}")


@suite.case
def out_refused_comes_back(world):
    subject = world.submit("gone@other.test")
    report, _ = world.folder(world.bob, "not delivered")
    check(report.get_content_type() == "multipart/report", report.get_content_type())
    check(subject in report.as_string() and "5.1.1" in report.as_string(), report.as_string()[:2000])


@suite.case
def out_while_the_peer_is_away(world):
    world.peer.cut()
    subject = world.submit("ann@other.test", body="patience")
    time.sleep(1.5)
    world.peer.join()
    world.at_postfix("ann@other.test", subject, seconds=60)


@suite.case
def in_authenticated(world):
    raw = world.sign(world.letter("carl@other.test", "bob@ours.test"), "other.test")
    world.postfix.send("carl@other.test", ["bob@ours.test"], raw)
    message, stored = world.folder(world.bob, f"number {world.number}")
    results = results_of(message)
    for word in ("spf=pass", "dkim=pass", "dmarc=pass"):
        check(word in results, results)
    check("TLS" in str(message.get_all("Received")[0]), message.get_all("Received")[0])
    check(stored.endswith(b"\r\n\r\nhello\r\n"), "the body was changed")
    return results


@suite.case
def in_forged_is_refused_or_junk(world):
    world.postfix.send("boss@strict.test", ["bob@ours.test"],
                       world.letter("boss@strict.test", "bob@ours.test"))
    deadline = time.monotonic() + 20
    while "5.7.26" not in world.postfix.log() and "550" not in world.postfix.log():
        check(time.monotonic() < deadline, f"not refused: {world.postfix.log()}")
        time.sleep(0.1)
    world.postfix.send("boss@soft.test", ["bob@ours.test"],
                       world.letter("boss@soft.test", "bob@ours.test",
                                    extra="Authentication-Results: mx.ours.test; dmarc=pass\r\n"))
    message, _ = world.folder(world.bob, f"number {world.number}", "Junk")
    check("dmarc=fail" in results_of(message), results_of(message))
    check("dmarc=pass" not in str(message.items()), "the forged field is there still")
    check(message["X-Spam-Status"], "no reasons")


@suite.case
def forwarded_and_its_bounce(world):
    world.server.admin("alias", "add", "fwd@ours.test", "--forward", "dora@other.test")
    raw = world.sign(world.letter("carl@other.test", "fwd@ours.test"), "other.test")
    world.postfix.send("carl@other.test", ["fwd@ours.test"], raw)
    subject = f"number {world.number}"
    arrived = world.at_postfix("dora@other.test", subject)
    sender = re.search(rb"(?m)^Return-Path: <(.*)>", arrived)[1].decode()
    check(sender.lower().startswith("srs0=") and sender.endswith("@ours.test"), sender)
    sent, _ = delivered_part(arrived)
    check(dkim.verify(sent, dnsfunc=world.txt), "its signature does not verify any more")
    # The bounce comes from Dora's server, to that address.
    bounce = world.letter("postmaster@other.test", sender, body="could not be delivered")
    world.postfix.send("", [sender], world.sign(bounce, "other.test"))
    back = world.at_postfix("carl@other.test", f"number {world.number}")
    check(b"Return-Path: <>" in back, "it came back with a sender")
    # An invented address of that kind is no way through us.
    forged = sender.replace("carl", "eve")
    with smtplib.SMTP(world.server_address, 25, timeout=30) as client:
        client.ehlo("mx.other.test")
        client.mail("")
        code, words = client.rcpt(forged)
        check(code // 100 == 5, (code, words))
    return sender


@suite.case
def a_loop_through_another_server_ends(world):
    """An alias here leads to one there, and that one back. Signed, it comes back and is known by its
    Delivered-To; unsigned, DMARC refuses what comes back. Either way its sender hears of it once, no
    queue keeps it, and a mailbox on the way has it."""
    world.server.admin("alias", "add", "loop@ours.test", "--forward", "loop@other.test")
    keeps = world.server.add_alias("keeps@ours.test")
    world.server.admin("alias", "forward", "add", "keeps@ours.test", "keeps@other.test")

    def told(subject):
        """Reports to Carl about that message."""
        return [raw for raw in world.postfix.mail("carl@other.test")
                if b"Return-Path: <>" in raw and f"Subject: {subject}".encode() in raw]

    def has_rest():
        """What earlier cases left there is not ours."""
        left = world.postfix.queued() + str(world.server.admin("queue", "list"))
        return any(each in left for each in ("loop@", "keeps@", "carl@"))

    for to, is_signed, words in (("loop", True, b"5.4.6"), ("loop", False, b"5.7.26"),
                                 ("keeps", True, b"5.4.6")):
        raw = world.letter("carl@other.test", f"{to}@ours.test")
        subject = f"number {world.number}"
        before = world.server.log().count("message stored")
        world.postfix.send("carl@other.test", [f"{to}@ours.test"],
                           world.sign(raw, "other.test") if is_signed else raw)
        deadline = time.monotonic() + 60
        while not told(subject) or has_rest():
            check(time.monotonic() < deadline, f"{to} {is_signed}: {len(told(subject))} reports, "
                  f"left {has_rest()}: {world.server.log(2000)} {world.postfix.log()}")
            time.sleep(0.2)
        check(len(told(subject)) == 1 and words in told(subject)[0], told(subject))
        if to == "keeps":
            world.folder(keeps, subject)
        # It came, came back, and that was all: not until somebody counts too many hops.
        visits = world.server.log().count("message stored") - before
        check(visits <= 2, f"{to}: it was here {visits} times")


@suite.case
def what_domain_check_says(world):
    states = {(row["type"], row["name"]): row["state"]
              for row in world.server.admin("domain", "check", "ours.test")}
    for name in ("ours.test", "_dmarc.ours.test"):
        check(states[("TXT", name)] == "right", states)
    check(states[("MX", "ours.test")] == "right", states)
    check(all(state == "right" for (_, name), state in states.items() if "_domainkey" in name),
          states)
    return f"{len(states)} records"


@suite.case
def what_domain_check_follows(world):
    """SPF to whatever it leads to, and the MTA-STS policy to where it stands."""
    zones = world.dns.zones.records
    policies = Policies(world.authority.context(*[f"mta-sts.{name}.test" for name in
                                                  ("include", "foreign", "stale")]),
                        world.net.also(77), zones)
    # Name, SPF record, what is said of it; the policy's mode, its mx, what is said of that.
    cases = [
        ("include", "v=spf1 include:nested.test -all", "right", "", "enforce", "mx.ours.test",
         "right", ""),
        ("foreign", "v=spf1 include:_spf.foreign.test -all", "wrong", world.net.address, "enforce",
         "mx.elsewhere.test", "wrong", "does not name mx.ours.test"),
        ("redirect", "v=spf1 redirect=nested.test", "right", "", None, None, "missing",
         "no address"),
        # Its host has a certificate for other names only.
        ("unsigned", "v=spf1 mx include:gone.test -all", "right", "", "testing", "mx.ours.test",
         "wrong", "certificate"),
        # Nobody listens there, or the DNS is sick: nobody knows.
        ("silent", "v=spf1 include:nested.test -all", "right", "", None, None, "unknown",
         "could not be asked for"),
        ("sick", "v=spf1 include:nested.test -all", "right", "", None, None, "unknown",
         "DNS did not tell"),
        ("stale", "v=spf1 include:gone.test mx -all", "wrong", "cannot evaluate", "testing", "*.ours.test",
         "right", "testing"),
    ]
    zones["nested.test"] = [["TXT", "v=spf1 a:mx.ours.test -all"]]
    zones["mta-sts.silent.test"] = [["A", world.net.address]]
    zones["mta-sts.sick.test"] = [["SERVFAIL"]]
    zones["_spf.foreign.test"] = [["TXT", "v=spf1 ip4:198.51.100.0/24 -all"]]
    try:
        for name, record, *_, in cases:
            zones[f"{name}.test"] = [["MX", 10, "mx.ours.test"], ["TXT", record]]
        for name, _, _, _, mode, host, *_ in cases:
            if mode:
                policies.publish(f"{name}.test", mode, host)
        for name, record, state, why, _, _, policy, policy_why in cases:
            domain = f"{name}.test"
            world.server.add_domain(domain)
            rows = {(row["type"], row["name"]): (row["state"], row["why"])
                    for row in world.server.admin("domain", "check", domain)}
            found = rows[("TXT", domain)]
            check(found[0] == state and why in found[1], f"{record}: {found}")
            found = rows[("HTTPS", f"https://mta-sts.{domain}/.well-known/mta-sts.txt")]
            check(found[0] == policy and policy_why in found[1], f"{domain}: {found}")
    finally:
        policies.stop()
    check(("mta-sts.include.test", "/.well-known/mta-sts.txt") in policies.asked, policies.asked)
    return f"{len(cases)} domains"


@suite.case
def a_smarthost_is_in_the_record(world):
    """With a service of its own: what is to be published, and what is said of what is."""
    zones = world.dns.zones.records
    zones["out.provider.test"] = [["A", "198.18.0.88"]]
    zones["lists.provider.test"] = [["TXT", "v=spf1 ip4:198.18.0.88 -all"]]
    zones["through.test"] = [["MX", 10, "mx.ours.test"], ["TXT", "v=spf1 mx -all"]]
    zones["listed.test"] = [["MX", 10, "mx.ours.test"],
                            ["TXT", "v=spf1 include:lists.provider.test -all"]]
    settings = {**world.server.settings, "smarthost": "out.provider.test:587"}
    with Server(settings) as server:
        for domain, state in (("through.test", "wrong"), ("listed.test", "right")):
            server.add_domain(domain)
            found = next(row for row in server.admin("domain", "check", domain)
                         if row["type"] == "TXT" and row["name"] == domain)
            check(found["state"] == state, found)
        records = server.admin("domain", "dns", "through.test")["records"]
        published = [record["value"] for record in records if record["value"].startswith("v=spf1")]
        check(published == ["v=spf1 mx a:out.provider.test ~all"], published)
        check(not server.sanitizer_findings(), server.sanitizer_findings())


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def main():
    suite.parse()
    net = Net()
    peer = net.add(2)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-world-"))
    folder.chmod(0o755)
    authority = Authority(folder)
    certificate, certificate_key = authority.make("mx.other.test")
    key, record = make_key(folder)
    zones = zones_of(net, peer, record, tlsa_of(certificate))
    (folder / "aliases").write_text("loop@other.test loop@ours.test\n"
                                    "keeps@other.test keeps@ours.test\n")
    (folder / "access").write_text("gone@other.test REJECT 5.1.1 nobody of that name\n")
    settings = {"hostname": "mx.ours.test", "queue_retry_first": "300ms", "queue_retry_most": "1s",
                "outgoing_allow": ["198.18.0.0/15", "2001:2::/48"], "outgoing_ca": str(authority.ca),
                "outgoing_connect_timeout": "2s", "processes": 1}
    with doh.start(zones, secure={"dane.test", "bad.test"}) as dns, \
            Postfix(peer, "mx.other.test",
                    ["other.test", "six.test", "dane.test", "bad.test"],
                    certificate, certificate_key, routes={"ours.test": net.address},
                    settings="smtpd_recipient_restrictions = "
                             f"check_recipient_access texthash:{folder}/access, permit\n"
                             f"virtual_alias_maps = texthash:{folder}/aliases\n") as postfix, \
            Server({**settings, **dns.settings},
                   listen={"mx": [f"{net.address}:25", f"[{net.address6}]:25"]}) as server:
        world = World(server, postfix, dns, key, peer)
        world.server_address = net.address
        world.net, world.authority = net, authority
        suite.run(world)


main()
