#!/usr/bin/env python3
"""Delivering to the world, with the real code (kit.c): Debian's Postfix, and servers that misbehave, on
addresses of a network namespace; DNS over HTTPS with zones of ours; policies over HTTPS."""

import contextlib
import json
import os
import pathlib
import queue
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import doh  # noqa: E402
from lib.authority import Authority  # noqa: E402
from lib.netns import Net  # noqa: E402
from lib.policies import Policies  # noqa: E402
from lib.postfix import Postfix  # noqa: E402
from lib.server import program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from signed import Signed  # noqa: E402
from sink import Sink, context, drip, hang_up  # noqa: E402

suite = Suite(__doc__)
MESSAGE = "From: a@ours.test\r\nTo: b@x.test\r\nSubject: hello\r\n\r\nHello.\r\n.dot\r\n"
# Of the build that is tried, with a sanitizer or without.
KIT = pathlib.Path(program()).parents[2] / "tests/outbound/outbound_kit"
ALLOW = ["198.18.0.0/15", "2001:2::/48"]


class Kit:
    """A running kit; `send` gives what became of each recipient."""

    def __init__(self, world, **settings):
        self.world = world
        self.policies = []
        self.ends = {}
        self.count = 0
        self.news = queue.Queue()
        self.settings = {"dns": world.dns.settings["dns_upstreams"][0],
                         "dns_ca": world.dns.settings["dns_upstream_ca"],
                         "web_ca": str(world.authority.ca), "ca_file": str(world.authority.ca),
                         "hostname": "mail.ours.test", "allow": ALLOW, "timeout_ms": 5000,
                         "connect_timeout_ms": 3000, "dead_ms": 60000, **settings}

    def __enter__(self):
        path = self.world.folder / f"kit-{id(self)}.json"
        path.write_text(json.dumps(self.settings))
        self.log = open(self.world.folder / "kit.log", "ab")
        self.process = subprocess.Popen([KIT, path],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def listen(self):
        for line in self.process.stdout:
            news = json.loads(line)
            if "policy" in news:
                self.policies.append(news["policy"])
            self.news.put(news)
        self.news.put(None)

    def begin(self, recipients, **order):
        if isinstance(recipients, str):
            recipients = [recipients]
        first = recipients[0] if isinstance(recipients[0], str) else recipients[0]["address"]
        self.count += 1
        order = {"id": self.count, "domain": first.rpartition("@")[2], "sender": "a@ours.test",
                 "message": MESSAGE, **order, "recipients": recipients}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.count

    def end(self, number, seconds=60):
        while number not in self.ends:
            news = self.news.get(timeout=seconds)
            if news is None:
                raise AssertionError(f"the kit ended: {self.process.wait(5)}")
            if "id" in news:
                self.ends[news["id"]] = news["results"]
        return self.ends[number]

    def send(self, recipients, seconds=60, **order):
        results = self.end(self.begin(recipients, **order), seconds)
        return results[0] if len(results) == 1 else results

    def memory(self):
        """The most that it ever had, in MiB."""
        for line in open(f"/proc/{self.process.pid}/status", encoding="ascii"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
        return 0

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.log.close()
        if kind is None:
            check(status == 0, f"the kit ended with {status}")


class World:
    def __init__(self, net):
        self.net = net
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-outbound-"))
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder)
        self.zones = {"ours.test": [["A", "198.18.0.1"]]}
        self.secure = set()
        self.dns = doh.start(self.zones, secure=self.secure)
        self.number = 9

    def place(self):
        """A new address of this host."""
        self.number += 1
        return self.net.also(self.number)

    def domain(self, name, *hosts, secure=False):
        """The domain's MX records; each host is (name, preference, address, …)."""
        self.zones[name] = [["MX", preference, host] for host, preference, *_ in hosts]
        for host, _, *addresses in hosts:
            self.zones[host] = [["AAAA" if ":" in each else "A", each] for each in addresses]
        if secure:
            self.secure.add(name)
            self.secure.update(host for host, *_ in hosts)
        return name

    def stop(self):
        self.dns.stop()
        os.environ.get("KEEP") or shutil.rmtree(self.folder, ignore_errors=True)


def expect(result, outcome, code=None, enhanced=None, words=None):
    check(result["outcome"] == outcome, f"wanted {outcome}: {result}")
    check(code is None or result["code"] == code, f"wanted {code}: {result}")
    check(enhanced is None or result["enhanced"] == enhanced, f"wanted {enhanced}: {result}")
    check(words is None or words in result["words"], f"wanted {words!r}: {result}")
    return result


# ---- Postfix ----

@suite.case
def postfix_takes_it_over_tls(world):
    peer = world.net.add(2)
    certificate, key = world.authority.make("mx.postfix.test")
    world.domain("postfix.test", ("mx.postfix.test", 10, peer.address6, peer.address), secure=True)
    world.zones["_25._tcp.mx.postfix.test"] = [world.authority.tlsa(certificate)]
    body = "\r\n".join([MESSAGE, ".", "..", "a" * 900, "\u00e4", "."] + ["line %d" % i for i in
                                                                      range(20000)]) + "\r\n"
    strict = "smtpd_relay_restrictions = reject_unauth_destination\n"
    with Postfix(peer, "mx.postfix.test", ["postfix.test"], certificate, key,
                 settings=strict) as postfix:
        with Kit(world) as kit:
            result = expect(kit.send("ann@postfix.test", message=body, is_8bit=True), "delivered", 250)
            check(result["tls"].startswith("TLSv1.3"), f"no TLS: {result}")
            check(result["passes_dsn"], f"Postfix offers DSN: {result}")
            kept = postfix.wait_for_mail("ann@postfix.test")[0]
            check(kept.endswith(body.encode().replace(b"\r\n", b"\n")), "it came otherwise")
            check(b"(using TLSv1.3" in kept, "Postfix saw no TLS")
            many = [kit.begin(f"u{i}@postfix.test") for i in range(50)]
            for number in many:
                expect(kit.end(number)[0], "delivered", 250)
            postfix.wait_for_mail(None, 51)
            check(expect(kit.send("x@elsewhere.test", via=f"{peer.address}:25"), "permanent")
                  ["enhanced"].startswith("5."), "relaying is refused for good")
        return "51 mails"


# ---- where to ----

@suite.case
def names_that_lead_nowhere(world):
    world.zones["null.test"] = [["MX", 0, "."]]
    world.zones["sick.test"] = [["SERVFAIL"]]
    world.domain("inward.test", ("mx.inward.test", 10, "127.0.0.1"))
    world.domain("nat.test", ("mx.nat.test", 10, "192.168.0.1", "::ffff:127.0.0.1"))
    world.zones["gone.test"] = [["MX", 10, "mx.gone.test"]]
    world.zones["nomail.test"] = [["TXT", "x"]]
    world.domain("loop.test", ("mx.loop.test", 20, world.place()), ("mail.ours.test", 10,
                                                                   "198.18.0.1"))
    world.domain("loop2.test", ("mx.loop2.test", 10, "198.18.0.1"))
    with Kit(world, own_addresses=["198.18.0.1"]) as kit:
        expect(kit.send("x@nowhere.test"), "permanent", 0, "5.1.2", "does not exist")
        expect(kit.send("x@null.test"), "permanent", 0, "5.1.10")
        expect(kit.send("x@sick.test"), "temporary", 0, "4.4.3")
        expect(kit.send("x@inward.test"), "permanent", 0, "5.4.4", "public")
        expect(kit.send("x@nat.test"), "permanent", 0, "5.4.4", "public")
        expect(kit.send("x@gone.test"), "permanent", 0, "5.4.4", "no address")
        expect(kit.send("x@nomail.test"), "permanent", 0, "5.4.4", "no address")
        expect(kit.send("x@loop.test"), "permanent", 0, "5.4.6")
        expect(kit.send("x@loop2.test"), "permanent", 0, "5.4.6")
        expect(kit.send("x@[127.0.0.1]"), "permanent", 0, "5.4.4", "public")
        expect(kit.send("x@[tag:y]"), "permanent", 0, "5.1.2")
        expect(kit.send("x@a..b"), "permanent", 0, "5.1.2")


@suite.case
def the_next_host_when_one_is_silent(world):
    dead, live, backup = world.place(), world.place(), world.place()
    world.domain("several.test", ("mx3.several.test", 30, backup), ("mx1.several.test", 10, dead),
                 ("mx2.several.test", 20, live, "2001:2::dead"))
    with Sink(live) as sink, Sink(backup) as last, Kit(world) as kit:
        result = expect(kit.send("x@several.test"), "delivered", 250)
        check(result["remote"] == "mx2.several.test", f"the second was next: {result}")
        check(sink.mails[0].text.decode() == MESSAGE, f"it came otherwise: {sink.mails[0].text}")
        sink.replies["MAIL"] = "452 4.3.1 full"
        result = expect(kit.send("y@several.test"), "delivered", 250)
        check(result["remote"] == "mx3.several.test", f"the third was next: {result}")
        check(len(last.mails) == 1, "the third has it")
        last.replies["GREETING"] = "554 5.7.1 no"
    with Kit(world) as kit:
        expect(kit.send("x@several.test"), "temporary", 0, "4.4.1", "no connection")
        expect(kit.send("y@several.test"), "temporary", 0, "4.4.1", "a moment ago")


@suite.case
def the_next_address_when_one_is_sick(world):
    sick, well = world.place(), world.place()
    world.domain("farm.test", ("mx.farm.test", 10, sick, well))
    wrong = world.authority.context("wrong.test")
    with Sink(sick) as bad, Sink(well, tls=world.authority.context("mx.farm.test")) as good:
        for replies, tls in (({"GREETING": "554 no"}, None), ({"GREETING": "421 busy"}, None),
                             ({"EHLO": hang_up}, None), ({"GREETING": drip("220 x", 1)}, None),
                             ({}, wrong), ({}, None)):
            bad.replies, bad.tls = replies, tls
            with Kit(world, timeout_ms=1000, tls_required=["farm.test"]) as kit:
                expect(kit.send("x@farm.test"), "delivered", 250)
        check(len(bad.sessions) == 6 and len(good.mails) == 6, "the first was asked each time")


@suite.case
def without_mx_the_domain_itself(world):
    here = world.place()
    world.zones["plain.test"] = [["A", here]]
    world.zones["xn--mnchen-3ya.test"] = [["A", here]]
    with Sink(here) as sink, Kit(world) as kit:
        expect(kit.send("x@plain.test"), "delivered")
        expect(kit.send(f"x@[{here}]"), "delivered")
        expect(kit.send("x@m\u00fcnchen.test"), "delivered")
        check(sink.mails[-1].recipients == ["x@xn--mnchen-3ya.test"], "in A-labels")
        expect(kit.send("\u00fc@m\u00fcnchen.test"), "permanent", 0, "5.6.7")


@suite.case
def routes_and_smarthost(world):
    route, smart, other = world.place(), world.place(), world.place()
    tls = world.authority.context("smart.ours.test")
    world.zones["smart.ours.test"] = [["A", smart]]
    login = {"EHLO": lambda session, _: session.hello().replace("250 STARTTLS", "250-STARTTLS\r\n"
             "250 SIZE 9999999") if not session.is_secure else "250-sink\r\n250 AUTH PLAIN",
             "AUTH": ["235 in", "535 5.7.8 no"]}
    with Sink(route, 2525) as routed, Sink(smart, 587, tls=tls, replies=login) as smarthost, \
            Sink(other) as sink:
        with Kit(world, routes=[f"*.route.test {route}:2525"], smarthost="smart.ours.test:587",
                 smarthost_user="me", smarthost_password="pw", allow=[], idle_ms=1) as kit:
            expect(kit.send("x@a.route.test"), "delivered")
            result = expect(kit.send("x@anywhere.test"), "delivered")
            check(result["tls"] != "" and len(smarthost.mails) == 1, f"with TLS: {result}")
            check("AUTH PLAIN AG1lAHB3" in smarthost.said(), smarthost.said())
            expect(kit.send("x@anywhere.test", via=f"{other}:25"), "permanent", 0, "5.4.4")
            time.sleep(0.2)
            expect(kit.send("x@anywhere.test"), "temporary", 535)
        check(len(routed.mails) == 1 and not sink.mails, "each where it belongs")
        smarthost.tls = world.authority.context("other.ours.test")
        with Kit(world, smarthost="smart.ours.test:587", smarthost_user="me",
                 smarthost_password="pw") as kit:
            expect(kit.send("x@anywhere.test"), "temporary", 0, "4.7.5", "hostname mismatch")
            expect(kit.send("x@anywhere.test", via=f"{other}:25"), "delivered")
    with Sink(smart, 465, tls=tls, implicit_tls=True) as smarthost:
        with Kit(world, smarthost="smart.ours.test:465") as kit:
            check(expect(kit.send("x@any.test"), "delivered")["tls"] != "", "port 465 is TLS")


# ---- what they answer ----

@suite.case
def each_recipient_for_itself(world):
    here = world.place()
    world.domain("mixed.test", ("mx.mixed.test", 10, here))

    def answer(_, line):
        return {"good": "250 ok", "bad": "550 5.1.1 no such user",
                "later": "451 4.7.1 greylisted"}[line.split("<")[1].split("@")[0]]
    with Sink(here, replies={"RCPT": answer}) as sink, Kit(world) as kit:
        good, bad, later = kit.send(["good@mixed.test", "bad@mixed.test", "later@mixed.test"])
        expect(good, "delivered", 250, "2.0.0")
        expect(bad, "permanent", 550, "5.1.1", "no such user")
        expect(later, "temporary", 451, "4.7.1", "greylisted")
        check(sink.mails[0].recipients == ["good@mixed.test"], "only for whom it was accepted")
        sink.replies["END"] = "550 5.7.1 spam"
        expect(kit.send("good@mixed.test"), "permanent", 550, "5.7.1")
        sink.replies["END"] = "451 4.3.0 later"
        expect(kit.send("good@mixed.test"), "temporary", 451, "4.3.0")
        sink.replies["MAIL"] = "553 5.1.8 who are you"
        expect(kit.send("good@mixed.test"), "permanent", 553, "5.1.8")


@suite.case
def too_many_recipients_in_several_mails(world):
    here = world.place()
    world.domain("few.test", ("mx.few.test", 10, here))
    state = {"count": 0}

    def limit(_, line):
        state["count"] += 1
        return "452 4.5.3 too many" if state["count"] > 4 else "250 ok"

    def begin(_, line):
        state["count"] = 0
        return "250 ok"
    with Sink(here, replies={"RCPT": limit, "MAIL": begin}) as sink, Kit(world) as kit:
        results = kit.send([f"u{i}@few.test" for i in range(10)])
        for result in results:
            expect(result, "delivered", 250)
        check([len(mail.recipients) for mail in sink.mails] == [4, 4, 2], "4 at a time")
        check(len(sink.sessions) == 1, "on one connection")


@suite.case
def what_the_sender_asked_for_is_passed_on(world):
    here, bare = world.place(), world.place()
    world.domain("dsn.test", ("mx.dsn.test", 10, here))
    world.domain("bare.test", ("mx.bare.test", 10, bare))
    order = {"ret": "HDRS", "envid": "id+2B", "is_8bit": True, "smtputf8": True,
             "message": "Subject: \u00e4\r\n\r\n\u00e4\r\n", "fields": "DKIM-Signature: x\r\n"}
    recipient = {"address": "x@dsn.test", "orcpt": "rfc822;o@dsn.test", "notify": "SUCCESS"}
    with Sink(here, extensions=("DSN", "8BITMIME", "SMTPUTF8", "SIZE 99999")) as sink, \
            Sink(bare, extensions=()) as plain, Kit(world) as kit:
        result = expect(kit.send([recipient], **order), "delivered")
        check(result["passes_dsn"], f"{result}")
        lines = sink.said()
        check("RCPT TO:<x@dsn.test> NOTIFY=SUCCESS ORCPT=rfc822;o@dsn.test" in lines, f"{lines}")
        check(any(line.endswith(" BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+2B") for line in lines),
              f"{lines}")
        check(sink.mails[0].text.startswith(b"DKIM-Signature: x\r\nSubject: "), "fields in front")
        expect(kit.send(["x@bare.test"], **order), "permanent", 0, "5.6.7")
        result = expect(kit.send([{**recipient, "address": "x@bare.test"}], ret="FULL"), "delivered")
        check(not result["passes_dsn"] and "RCPT TO:<x@bare.test>" in plain.said(), f"{result}")


# ---- what goes wrong ----

@suite.case
def connections_that_break(world):
    here = world.place()
    world.domain("broken.test", ("mx.broken.test", 10, here))
    cases = [("GREETING", hang_up, False), ("EHLO", hang_up, False), ("MAIL", hang_up, False),
             ("RCPT", hang_up, False), ("DATA", hang_up, False), ("END", hang_up, True)]
    with Sink(here) as sink, Kit(world) as kit:
        for verb, reply, is_uncertain in cases:
            sink.replies = {verb: reply}
            result = expect(kit.send("x@broken.test"), "temporary", 0, "4.4.2", "lost")
            check(result["uncertain"] == is_uncertain, f"{verb}: {result}")
        check(not sink.mails, "nothing was taken")

        def in_the_middle(session, _):
            session.say("354 go")
            session.socket.recv(100000)
            session.socket.shutdown(2)
        sink.replies = {"DATA": in_the_middle}
        result = expect(kit.send("x@broken.test", message=MESSAGE + ("x" * 70 + "\r\n") * 300000),
                        "temporary", 0, "4.4.2")
        check(not result["uncertain"], f"the text was not whole: {result}")
        check(len(sink.sessions) == len(cases) + 1, f"{len(sink.sessions)} connections")
        sink.replies = {}
        expect(kit.send("x@broken.test"), "delivered")


@suite.case
def replies_that_never_end(world):
    here = world.place()
    world.domain("endless.test", ("mx.endless.test", 10, here))

    def flood(session, _):
        with contextlib.suppress(OSError):
            for _ in range(160):
                session.socket.sendall(b"250-" + b"x" * 60 + b"\r\n" * 1000)
            session.socket.sendall(b"x" * 10_000_000)
        return None
    with Sink(here) as sink, Kit(world, dead_ms=1, messages_per_connection=1) as kit:
        before = kit.send("x@endless.test") and kit.memory()
        for verb in ("GREETING", "EHLO", "RCPT", "END"):
            sink.replies = {verb: flood}
            result = expect(kit.send("x@endless.test"), "temporary", 0, "4.5.0", "too long")
            check(result["uncertain"] == (verb == "END"), f"{verb}: {result}")
        for verb in ("GREETING", "EHLO", "MAIL", "END"):
            sink.replies = {verb: drip("250-" + "slowly" * 30, 0.3) if verb != "GREETING"
                            else drip("220-" + "slowly" * 30, 0.3)}
            kit2 = Kit(world, timeout_ms=1000)
            with kit2:
                start = time.monotonic()
                result = expect(kit2.send("x@endless.test"), "temporary", 0, "4.4.2", "time ran out")
                check(time.monotonic() - start < 30, f"{verb} took {time.monotonic() - start}")
        for garbage in (b"\0\1\2\xff" * 1000 + b"\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
            sink.replies = {"GREETING": lambda session, _, bytes=garbage: bytes}
            expect(kit.send("x@endless.test"), "temporary", 0, "4.5.0")
        grown = kit.memory() - before
        check(grown < 30, f"{grown} MiB more")  # a sanitizer's included
        return f"10 MB of reply, {grown} MiB of memory"


@suite.case
def greetings_that_refuse(world):
    here = world.place()
    world.domain("rude.test", ("mx.rude.test", 10, here))
    with Sink(here) as sink, Kit(world) as kit:
        for greeting, outcome, code, enhanced in (
                ("421 4.3.2 busy", "temporary", 421, "4.3.2"),
                ("554 5.7.1 blocked", "temporary", 554, "4.7.1"),
                ("521 no mail here", "permanent", 521, "5.0.0"),
                ("220", "delivered", 250, "2.0.0")):
            sink.replies = {"GREETING": greeting}
            expect(kit.send("x@rude.test"), outcome, code, enhanced)
        sink.replies = {"EHLO": "502 what"}
        expect(kit.send("y@rude.test"), "delivered")


# ---- connections that are kept ----

@suite.case
def connections_are_used_again(world):
    here = world.place()
    world.domain("busy.test", ("mx.busy.test", 10, here))
    slow = {"END": lambda session, _: (time.sleep(0.02), "250 ok")[1]}
    with Sink(here, replies=slow) as sink, \
            Kit(world, connections_per_destination=3, messages_per_connection=20) as kit:
        numbers = [kit.begin(f"u{i}@busy.test") for i in range(100)]
        for number in numbers:
            expect(kit.end(number)[0], "delivered", 250)
        check(sink.most_open <= 4, f"{sink.most_open} at once")  # a QUIT may be on its way
        check(max(session.mails for session in sink.sessions) <= 20, "20 for each connection")
        check(5 <= len(sink.sessions) <= 8, f"{len(sink.sessions)} connections for 100 mails")
        used = len(sink.sessions)
    # One that closes while it waits: the next mail does not suffer.
    with Sink(here) as sink, Kit(world, idle_ms=60000) as kit:
        expect(kit.send("x@busy.test"), "delivered")
        sink.sessions[0].socket.shutdown(2)
        expect(kit.send("y@busy.test"), "delivered")
        # It closes at MAIL only, which looks like that, too.
        sink.replies = {"MAIL": [None]}
        sink.replies = {"MAIL": lambda session, _: None if session.mails else "250 ok"}
        expect(kit.send("z@busy.test"), "delivered")
        check(len(sink.mails) == 3 and len(sink.sessions) == 3, f"{len(sink.sessions)}")
    with Sink(here) as sink, Kit(world, idle_ms=300) as kit:
        expect(kit.send("x@busy.test"), "delivered")
        time.sleep(0.8)
        check("QUIT" in sink.said(), "an idle connection ends with QUIT")
    with Sink(here) as sink, Kit(world, messages_per_minute=120) as kit:
        start = time.monotonic()
        for number in [kit.begin(f"u{i}@busy.test") for i in range(5)]:
            expect(kit.end(number)[0], "delivered")
        took = time.monotonic() - start
        check(1.9 < took < 6, f"5 mails at 2 a second took {took:.1f} s")
    return f"100 mails over {used} connections"


@suite.case
def a_server_that_takes_few_connections(world):
    here = world.place()
    world.domain("narrow.test", ("mx.narrow.test", 10, here))

    def greet(session, _):
        return "421 4.7.0 too many connections" if session.sink.open > 2 else "220 sink"
    slow = {"GREETING": greet, "END": lambda *_: (time.sleep(0.01), "250 ok")[1]}
    with Sink(here, replies=slow) as sink, \
            Kit(world, connections_per_destination=10, messages_per_connection=30) as kit:
        for number in [kit.begin(f"u{i}@narrow.test") for i in range(300)]:
            expect(kit.end(number)[0], "delivered", 250)
        refused = sum(not session.lines or session.lines[0] == "QUIT" for session in sink.sessions)
        check(len(sink.mails) == 300 and refused < 40, f"{refused} were refused")
        # Alone, it is told that the server is busy.
        sink.replies["GREETING"] = "421 4.7.0 too many connections"
        time.sleep(5.5)
        expect(kit.send("x@narrow.test"), "temporary", 421, "4.7.0")
        return f"300 mails, {refused} connections refused"


@suite.case
def a_destination_that_hangs_holds_up_no_other(world):
    stuck, here = world.place(), world.place()
    world.domain("stuck.test", ("mx.stuck.test", 10, stuck))
    world.domain("quick.test", ("mx.quick.test", 10, here))
    silent = {"GREETING": lambda *_: time.sleep(30)}
    with Sink(stuck, replies=silent) as hanging, Sink(here), \
            Kit(world, connections_max=8, connections_per_destination=3, timeout_ms=10000) as kit:
        stuck_ones = [kit.begin(f"u{i}@stuck.test") for i in range(20)]
        start = time.monotonic()
        for number in [kit.begin(f"u{i}@quick.test") for i in range(20)]:
            expect(kit.end(number)[0], "delivered")
        took = time.monotonic() - start
        check(took < 9, f"it took {took:.1f} s, as long as the others hang")
        for number in stuck_ones:
            expect(kit.end(number)[0], "temporary")
        check(len(hanging.sessions) == 3, f"{len(hanging.sessions)}: the others were spared")


# ---- TLS ----

@suite.case
def tls_where_it_works(world):
    here, bare = world.place(), world.place()
    world.domain("tls.test", ("mx.tls.test", 10, here))
    world.domain("must.test", ("mx.must.test", 10, here))
    world.domain("bare2.test", ("mx.bare2.test", 10, bare))
    with Sink(here, tls=world.authority.context("wrong.test", is_signed=False)) as sink, \
            Sink(bare), Kit(world, tls_required=["must.test", "bare2.test"], idle_ms=1) as kit:
        check(expect(kit.send("x@tls.test"), "delivered")["tls"] != "", "whoever it is")
        check(sink.sessions[0].server_name == "mx.tls.test", "SNI")
        expect(kit.send("x@must.test"), "temporary", 0, "4.7.5", "self-signed")
        expect(kit.send("x@bare2.test"), "temporary", 0, "4.7.4", "does not offer")
        # A handshake that cannot work: in clear, but only where TLS is not required.
        sink.tls.maximum_version = ssl.TLSVersion.TLSv1_1
        sink.tls.minimum_version = ssl.TLSVersion.TLSv1
        time.sleep(0.1)
        check(expect(kit.send("y@tls.test"), "delivered")["tls"] == "", "in clear")
        sink.replies["STARTTLS"] = "454 not now"
        time.sleep(0.1)
        check(expect(kit.send("z@tls.test"), "delivered")["tls"] == "", "in clear")
        expect(kit.send("y@must.test"), "temporary", 454, "4.7.4")
        sink.tls = world.authority.context("mx.must.test")
        sink.replies = {}
        check(expect(kit.send("z@must.test"), "delivered")["tls"] != "", "the right certificate")


def dane_domain(world, name, records, context_names=None, is_signed=False):
    """A domain with a sink that has a certificate; its chain's path."""
    here = world.place()
    host = f"mx.{name}"
    world.domain(name, (host, 10, here), secure=True)
    chain, key = world.authority.make(*(context_names or [host]), is_signed=is_signed)
    world.zones[f"_25._tcp.{host}"] = records(chain)
    return here, chain, context(chain, key)


@suite.case
def dane_is_kept(world):
    other, _ = world.authority.make("other.test", is_signed=False)
    tlsa = world.authority.tlsa
    cases = [
        ("ee.test", lambda chain: [tlsa(chain)], ["any.name.test"], False, None),
        ("two.test", lambda chain: [tlsa(other), tlsa(chain)], None, False, None),
        ("ta.test", lambda chain: [tlsa(chain, 2)], None, True, None),
        ("tadomain.test", lambda chain: [tlsa(chain, 2)], ["tadomain.test"], True, None),
        ("taname.test", lambda chain: [tlsa(chain, 2)], ["wrong.test"], True, "hostname mismatch"),
        ("wrong.test", lambda chain: [tlsa(other)], None, True, "no matching DANE TLSA records"),
        ("sicktlsa.test", lambda chain: [["SERVFAIL"]], None, True, "TLSA records could not"),
        ("unusable.test", lambda chain: [["TLSA", 1, 1, 1, "00" * 32]], ["x.test"], False, None),
    ]
    with Kit(world) as kit:
        for name, records, names, is_signed, problem in cases:
            here, _, tls = dane_domain(world, name, records, names, is_signed)
            with Sink(here, tls=tls) as sink:
                result = kit.send(f"x@{name}")
                if problem is None:
                    check(expect(result, "delivered")["tls"] != "", f"{name}: {result}")
                    # Nobody in between talks us out of it.
                    sink.tls = None
                else:
                    expect(result, "temporary", 0, "4.7.5", problem)
                    check(not sink.mails, f"{name}: it went out")
                    check(expect(kit.send(f"x@{name}", tls_optional=True), "delivered"), name)
        with Kit(world) as fresh:
            here = world.zones["mx.unusable.test"][0][1]
            with Sink(here):
                expect(fresh.send("x@unusable.test"), "temporary", 0, "4.7.4")
            # Records that are not secure are anybody's.
            here = world.place()
            world.domain("insecure.test", ("mx.insecure.test", 10, here))
            world.zones["_25._tcp.mx.insecure.test"] = [tlsa(other)]
            with Sink(here):
                expect(fresh.send("x@insecure.test"), "delivered")


@suite.case
def dane_at_the_end_of_aliases(world):
    """RFC 7672 §2.2.2: the records, and the name to prove, are those where the MX host's name leads."""
    tlsa = world.authority.tlsa

    def alias(name, here):
        world.domain(name, (f"mx.{name}", 10, here), secure=True)
        world.zones[f"mx.{name}"] = [["CNAME", f"host.{name}"]]
        world.zones[f"host.{name}"] = [["A", here]]

    with Kit(world) as kit:
        # Names are checked with a CA's record: only the end of the alias is in the certificate.
        here = world.place()
        alias("aliased.test", here)
        chain, key = world.authority.make("host.aliased.test")
        world.zones["_25._tcp.host.aliased.test"] = [tlsa(chain, 2)]
        world.zones["_25._tcp.mx.aliased.test"] = [["TLSA", 3, 1, 1, "00" * 32]]
        with Sink(here, tls=context(chain, key)):
            expect(kit.send("x@aliased.test"), "delivered")
        # Only the alias itself has records: they count.
        here = world.place()
        alias("atname.test", here)
        chain, key = world.authority.make("mx.atname.test")
        world.zones["_25._tcp.mx.atname.test"] = [tlsa(chain, 2)]
        with Sink(here, tls=context(chain, key)):
            expect(kit.send("x@atname.test"), "delivered")
        # What stands at the end is not what the server has: the alias's own do not save it.
        here = world.place()
        alias("liar.test", here)
        chain, key = world.authority.make("mx.liar.test")
        world.zones["_25._tcp.mx.liar.test"] = [tlsa(chain)]
        world.zones["_25._tcp.host.liar.test"] = [["TLSA", 3, 1, 1, "00" * 32]]
        with Sink(here, tls=context(chain, key)) as sink:
            expect(kit.send("x@liar.test"), "temporary", 0, "4.7.5", "no matching DANE TLSA records")
            check(not sink.mails, "it went out")


@suite.case
def dane_with_real_signatures(world):
    here = world.place()
    chain, key = world.authority.make("whatever.test", is_signed=False)
    _, usage, selector, matching, digest = world.authority.tlsa(chain)
    record = f"{usage} {selector} {matching} {digest}"
    zone = f"""
@ MX 10 mx
mx A {here}
_25._tcp.mx TLSA {record}
"""
    folder = world.folder / "signed"
    folder.mkdir()
    with Sink(here, tls=context(chain, key)) as sink:
        with Signed(folder, world.authority, {"signed.test": zone}) as names, \
                Kit(world, **names.settings) as kit:
            check(expect(kit.send("x@signed.test"), "delivered")["tls"] != "", "with DANE")
            expect(kit.send("x@absent.signed.test"), "permanent", 0, "5.1.2")
        sink.tls = world.authority.context("mx.signed.test")  # a good one, but not that one
        with Signed(folder, world.authority, {"signed.test": zone}) as names, \
                Kit(world, **names.settings) as kit:
            expect(kit.send("x@signed.test"), "temporary", 0, "4.7.5", "no matching DANE TLSA")
        # Somebody in between takes the TLSA record for another, or the address.
        spoilt = digest[:-8] + ("00000000" if digest[-8:] != "00000000" else "11111111")
        for old, new in ((digest, spoilt), (f"A\t{here}", f"A\t{world.place()}")):
            with Signed(folder, world.authority, {"signed.test": zone}, spoil=[(old, new)]) as names:
                text = (folder / "signed.test.zone.signed").read_text()
                check(new in text, f"nothing was spoilt: {text}")
                with Kit(world, **names.settings) as kit:
                    result = expect(kit.send("x@signed.test"), "temporary", 0)
                    check(result["enhanced"] in ("4.7.5", "4.4.3"), f"{result}")
        check(len(sink.mails) == 1, "nothing else went out")


@suite.case
def mta_sts_is_kept(world):
    here = world.place()
    policies = Policies(world.authority.context(
        *[f"mta-sts.{name}.test" for name in ("good", "bad", "test", "old", "none", "req")]),
        world.place(), world.zones)
    good = world.authority.context("mx.good.test", "mx.test.test")
    for name in ("good", "bad", "test", "old", "none"):
        world.domain(f"{name}.test", (f"mx.{name}.test", 10, here))
    policies.publish("good.test", "enforce", "*.good.test")
    policies.publish("bad.test", "enforce", "mx.elsewhere.test")
    policies.publish("test.test", "testing", "mx.elsewhere.test")
    policies.publish("none.test", "none")
    policies.publish("unsigned.test", "enforce", "mx.elsewhere.test")
    world.domain("unsigned.test", ("mx.unsigned.test", 10, here))
    with Sink(here, tls=good) as sink, Kit(world, idle_ms=1) as kit:
        result = expect(kit.send("x@good.test"), "delivered")
        check(result["tls"] != "", f"{result}")
        check(("mta-sts.good.test", "/.well-known/mta-sts.txt") in policies.asked,
              f"{policies.asked}")
        expect(kit.send("x@bad.test"), "temporary", 0, "4.7.5", "does not name it")
        expect(kit.send("x@bad.test", tls_optional=True), "delivered")
        expect(kit.send("x@test.test"), "delivered")
        expect(kit.send("x@none.test"), "delivered")
        # Its host has no certificate for the name: no policy at all (RFC 8461 §3.3).
        expect(kit.send("x@unsigned.test"), "delivered")
        kept = {policy[0]: policy for policy in kit.policies}
        check(set(kept) == {"good.test", "bad.test", "test.test", "none.test"}, f"{set(kept)}")
        asked = len(policies.asked)
        expect(kit.send("y@good.test"), "delivered")
        check(len(policies.asked) == asked, "the policy is asked for once")
        sink.tls = world.authority.context("mx.other.test")
        time.sleep(0.1)
        expect(kit.send("z@good.test"), "temporary", 0, "4.7.5", "hostname mismatch")
        sink.tls = None
        expect(kit.send("z@good.test"), "temporary", 0, "4.7.4", "does not offer")
        check(sum(mail.sender is not None for mail in sink.mails) == 6, f"{len(sink.mails)}")
    # After a restart, with the record gone and the policy's host away, it holds all the same.
    del world.zones["_mta-sts.good.test"], world.zones["mta-sts.good.test"]
    policies.status = 500
    with Sink(here) as sink, Kit(world, policies=list(kept.values())) as kit:
        expect(kit.send("x@good.test"), "temporary", 0, "4.7.4", "does not offer")
        expect(kit.send("x@bad.test"), "temporary", 0, "4.7.5")
        expired = [*kept["bad.test"][:3], 1]
    with Sink(here) as sink, Kit(world, policies=[expired]) as kit:
        expect(kit.send("x@bad.test"), "delivered")  # its host answers 500
        check(policies.asked[-1][0] == "mta-sts.bad.test", f"{policies.asked[-1]}")
    policies.status = 200
    # An old one is asked for again before it runs out; nobody waits for that.
    now = int(time.time() * 1000)
    policies.publish("old.test", "enforce", "mx.old.test", age=864000)
    known = ["old.test", "1", policies.texts["old.test"], now + 5 * 86400 * 1000]
    with Sink(here, tls=world.authority.context("mx.old.test")), \
            Kit(world, policies=[known]) as kit:
        expect(kit.send("x@old.test"), "delivered")
        for _ in range(100):
            if kit.policies:
                break
            time.sleep(0.05)
            kit.send("x@nowhere.test")
        check(kit.policies[0][0] == "old.test" and kit.policies[0][3] > now + 9 * 86400 * 1000,
              f"{kit.policies}")
        expect(kit.send("y@old.test"), "delivered")
        check(len(kit.policies) == 1, "once a day")
    policies.type = "text/html"
    with Sink(here) as sink, Kit(world) as kit:
        expect(kit.send("x@bad.test"), "delivered")
    policies.stop()


@suite.case
def requiretls_goes_all_the_way(world):
    tlsa = world.authority.tlsa
    here, _, tls = dane_domain(world, "req.test", lambda chain: [tlsa(chain)])
    plain = world.place()
    world.domain("noreq.test", ("mx.noreq.test", 10, plain))
    with Kit(world) as kit:
        with Sink(here, tls=tls, extensions=("REQUIRETLS",)) as sink:
            expect(kit.send("x@req.test", require_tls=True), "delivered")
            check("MAIL FROM:<a@ours.test> REQUIRETLS" in sink.said(), f"{sink.said()}")
        with Sink(plain, tls=world.authority.context("mx.noreq.test")):
            expect(kit.send("x@noreq.test", require_tls=True), "permanent", 0, "5.7.10")
    with Kit(world) as kit, Sink(here, tls=tls):
        expect(kit.send("x@req.test", require_tls=True), "permanent", 0, "5.7.30")
    with Kit(world) as kit, Sink(here):
        expect(kit.send("x@req.test", require_tls=True, tls_optional=True), "temporary", 0, "4.7.4")


def main():
    suite.parse()
    net = Net()
    world = World(net)
    try:
        suite.run(world)
    finally:
        world.stop()
        net.stop()


if __name__ == "__main__":
    main()
