#!/usr/bin/python3
"""What an administrator sets for domains and aliases, from the command line to what a peer is told:
records to publish and whether they are there, regular expressions, lists, TLS, limits, greylisting.

The DNS is a server of the test's own; loopback counts as foreign.
"""

import os
import pathlib
import signal
import smtplib
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib import doh  # noqa: E402
from lib.server import AdminError, Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
HOST = "mx.demo.test"
PEER = {
    "1.0.0.127.in-addr.arpa": [["PTR", "mx.peer.example"]],
    "mx.peer.example": [["A", "127.0.0.1"]],
    "peer.example": [["MX", 10, "mx.peer.example"], ["TXT", "v=spf1 ip4:127.0.0.1 -all"]],
}


class World:
    """The service, its DNS zones, and one user."""

    def __init__(self, server, zones, bob):
        self.server = server
        self.zones = zones
        self.bob = bob
        self.admin = server.admin

    def rcpt(self, address, sender="ann@peer.example", tls=False):
        """What RCPT is answered: (code, words)."""
        with self.server.smtp() as smtp:
            if tls:
                smtp.starttls(context=self.server.tls)
            smtp.ehlo()
            code, words = smtp.mail(sender)
            if code == 250:
                code, words = smtp.rcpt(address)
            return code, words.decode()

    def send(self, address, subject):
        raw = (f"From: ann@peer.example\r\nTo: {address}\r\nSubject: {subject}\r\n"
               f"Message-ID: <{subject.replace(' ', '.')}@peer.example>\r\n"
               f"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n\r\nhello\r\n")
        with self.server.smtp() as smtp:
            smtp.sendmail("ann@peer.example", [address], raw)

    def subjects(self, alias):
        with self.server.imap(alias) as client:
            _, data = client.select("INBOX", readonly=True)
            if data[0] == b"0":
                return []
            _, data = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            return [part[1].decode().partition(": ")[2].strip() for part in data
                    if isinstance(part, tuple)]

    def wait_for(self, alias, subject, seconds=10):
        deadline = time.monotonic() + seconds
        while subject not in self.subjects(alias):
            check(time.monotonic() < deadline, f"{subject!r} does not arrive")
            time.sleep(0.1)

    def states(self, domain="demo.test"):
        """The state of each record, and why, by (type, name). The MTA-STS policy is postfix.py's: it needs
        a host that may be reached."""
        return {(item["type"], item["name"]): (item["state"], item["why"])
                for item in self.admin("domain", "check", domain) if item["type"] != "HTTPS"}


def read_zone(text):
    """The records of a zone file's fragment as ldns, which is not ours, understands them."""
    with tempfile.NamedTemporaryFile("w", suffix=".zone") as file:
        file.write("demo.test. 3600 IN SOA ns.demo.test. h.demo.test. 1 3600 600 86400 60\n" + text + "\n")
        file.flush()
        done = subprocess.run(["ldns-read-zone", file.name], capture_output=True, text=True,
                              check=True)
    records = {}
    for line in done.stdout.splitlines():
        name, _, _, kind, data = line.split(None, 4)
        if kind == "SOA":
            continue
        if kind == "TXT":
            values = ["".join(data.split('"')[1::2])]
        else:
            values = data.split()
        records.setdefault(name.rstrip("."), []).append([kind, *values])
    return records


@suite.case
def what_is_published_is_found_right(world):
    answer = world.admin("domain", "dns", "demo.test")
    records = read_zone(answer["message"])
    check(len(records) == 9, f"{len(records)} names: {sorted(records)}")
    check(all(len(string) <= 255 for string in answer["message"].split('"')[1::2]), "a long string")
    before = world.states()
    check({state for state, _ in before.values()} == {"missing"}, before)
    world.zones.update(records)
    world.zones[HOST] = [["A", "192.0.2.1"]]
    world.zones["mta-sts.demo.test"] = [["CNAME", HOST]]
    time.sleep(1.2)  # that there was nothing is known for a second
    states = world.states()
    check({state for state, _ in states.values()} == {"right"}, states)
    return f"{len(states)} records"


@suite.case
def what_is_wrong_is_said_with_the_reason(world):
    selector = next(name for name in world.zones if "_domainkey" in name and name[0] == "r")
    for name, records, kind, state, part in (
            ("demo.test", [["MX", 5, "mx.other.test"]], "MX", "wrong", "other hosts"),
            ("demo.test", [["MX", 0, "."]], "MX", "wrong", "null MX"),
            ("demo.test", [["TXT", "v=spf1 -all"], ["TXT", "v=spf1 mx -all"]], "TXT", "wrong",
             "several"),
            (selector, [["TXT", "v=DKIM1; k=rsa; p=MIIBIjANBgkq"]], "TXT", "wrong", "another key"),
            ("_dmarc.demo.test", [], "TXT", "missing", ""),
            ("_imaps._tcp.demo.test", [["SRV", 0, 0, 0, "."]], "SRV", "wrong", "no such service"),
            ("_smtp._tls.demo.test", [["SERVFAIL"]], "TXT", "unknown", "did not answer")):
        kept = world.zones[name]
        world.zones[name] = records
        time.sleep(1.2)
        found = world.states()[(kind, name)]
        world.zones[name] = kept
        check(found[0] == state and part in found[1], f"{name}: {found}")


@suite.case
def new_keys_are_published_before_they_sign(world):
    old = {name for name in world.zones if "_domainkey" in name}
    world.admin("domain", "dkim", "rotate", "demo.test")
    both = read_zone(world.admin("domain", "dns", "demo.test")["message"])
    new = {name for name in both if "_domainkey" in name} - old
    check(len(new) == 2, new)
    world.zones.update({name: both[name] for name in new})
    world.admin("domain", "dkim", "use", "demo.test")
    time.sleep(1.2)
    states = world.states()
    check(all(states[("TXT", name)][0] == "right" for name in old | new), states)


@suite.case
def a_regular_expression_leads_to_mailboxes(world):
    carol = world.server.add_alias("carol@demo.test")
    world.admin("alias", "add", "/^team-(.+)$/@demo.test", "--forward", "$1@")
    world.admin("alias", "add", "/^(?:boss|chief)$/@demo.test", "--to", "bob@demo.test")
    world.send("team-carol@demo.test", "for carol")
    world.wait_for(carol, "for carol")
    world.send("Chief+x@demo.test", "for the chief")
    world.wait_for(world.bob, "for the chief")
    check(world.rcpt("team-@demo.test")[0] == 550, "an empty group")
    check(world.rcpt('"team-a b"@demo.test')[0] == 550, "no address of a target")
    try:
        world.admin("alias", "add", "/^(/@demo.test", "--forward", "x@peer.example")
        check(False, "a broken expression was taken")
    except AdminError as error:
        check(error.status == 2, error)


@suite.case
def postmaster_is_reached_past_everything(world):
    world.admin("deny", "add", "peer.example")
    try:
        code, words = world.rcpt("bob@demo.test")
        check(code == 550 and words.startswith("5.7.1 "), words)
        for address in ("postmaster@demo.test", "Abuse@demo.test", "postmaster"):
            check(world.rcpt(address)[0] == 250, address)
        world.admin("allow", "add", "ann@peer.example", "--domain", "demo.test")
        check(world.rcpt("bob@demo.test")[0] == 250, "the nearer list does not decide")
        check(world.rcpt("bob@demo.test", "eve@peer.example")[0] == 550, "let in with her")
    finally:
        world.admin("deny", "remove", "peer.example")
        world.admin("allow", "remove", "ann@peer.example", "--domain", "demo.test")
    check(world.rcpt("bob@demo.test", "eve@peer.example")[0] == 250, "still refused")


@suite.case
def a_domain_may_ask_for_tls(world):
    world.admin("domain", "require-tls", "demo.test")
    try:
        check(world.rcpt("bob@demo.test")[0] == 550, "taken in clear")
        check(world.rcpt("bob@demo.test", tls=True)[0] == 250, "refused though encrypted")
    finally:
        world.admin("domain", "require-tls", "demo.test", "--off")


@suite.case
def a_day_has_an_end(world):
    """Also when the service dies in between. Recipients of a message that did not come to be do not count."""
    def submit(recipients, sends=False):
        with world.server.submission(world.bob) as smtp:
            smtp.ehlo()
            check(smtp.mail("bob@demo.test")[0] == 250, "MAIL")
            answers = [smtp.rcpt(recipient) for recipient in recipients]
            if sends:
                check(smtp.data(b"From: bob@demo.test\r\n\r\nx\r\n")[0] == 250, "DATA")
            return answers

    def sent():
        return world.admin("user", "limit", "default")["sent_today"]

    def leave():
        """Before the keeper, which counts it, has answered."""
        with world.server.submission(world.bob) as smtp:
            smtp.ehlo()
            check(smtp.mail("bob@demo.test")[0] == 250, "MAIL")
            keeper, = world.server.processes("keeper")
            os.kill(keeper.pid, signal.SIGSTOP)
            try:
                smtp.putcmd("RCPT", "TO:<x@far.test>")
                time.sleep(0.3)
                smtp.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                smtp.close()
                time.sleep(0.3)
            finally:
                os.kill(keeper.pid, signal.SIGCONT)

    world.admin("user", "limit", "default", "3")
    leave()
    for sends in (False, True):
        answers = submit([f"x{i}@far.test" for i in range(4)], sends)
        check([code for code, _ in answers] == [250, 250, 250, 450], answers)
        deadline = time.monotonic() + 10
        while sent() != (3 if sends else 0):
            check(time.monotonic() < deadline, f"{sent()} are counted, a message: {sends}")
            time.sleep(0.05)
    time.sleep(0.7)  # bookkeeping is on the disk within half a second
    world.server.kill_all()
    world.server.start()
    answers = submit(["x@far.test", "bob@demo.test"])
    check([code for code, _ in answers] == [450, 250], answers)
    world.admin("user", "limit", "default", "none")
    check(submit(["x@far.test"])[0][0] == 250, "refused without a limit")


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


@suite.case
def who_is_not_known_is_asked_to_come_back(world):
    """With a service of its own, since nobody else would like it."""
    settings = {"greylist": True, "greylist_delay": "1s", "loopback_is_foreign": True}
    with Server(settings=settings) as server:
        other = World(server, {}, server.add_alias("bob@demo.test"))
        code, words = other.rcpt("bob@demo.test")
        check(code == 451 and "reylist" in words, words)
        check(other.rcpt("postmaster@demo.test")[0] == 250, "postmaster waits")
        time.sleep(1.2)
        check(other.rcpt("bob@demo.test")[0] == 250, "still not known")
        check(other.rcpt("bob@demo.test", "")[0] == 250, "known for one sender only")
        check(not server.sanitizer_findings(), server.sanitizer_findings())


def main():
    suite.parse()
    zones = dict(PEER)
    with doh.start(zones, ttl=1, negative_ttl=1) as dns:
        settings = {**dns.settings, "hostname": HOST, "loopback_is_foreign": True,
                    "dns_list_resolver": []}
        with Server(settings=settings) as server:
            world = World(server, zones, server.add_alias("bob@demo.test"))
            suite.run(world)


if __name__ == "__main__":
    main()
