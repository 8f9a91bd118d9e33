#!/usr/bin/python3
"""What becomes of mail on its way in: judged, filed, refused, passed on, put off.

The DNS is a server of the test's own, and loopback counts as foreign, so that its clients are looked
up as any stranger's are.
"""

import email
import os
import pathlib
import signal
import smtplib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib import doh  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
ELF = "f0VMRgIBAQAAAAAAAAAAAAIAPgABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
ZONES = {
    "1.0.0.127.in-addr.arpa": [["PTR", "mx.peer.example"]],
    "mx.peer.example": [["A", "127.0.0.1"]],
    "peer.example": [["MX", 10, "mx.peer.example"], ["TXT", "v=spf1 ip4:127.0.0.1 -all"]],
    "strict.example": [["MX", 10, "mx.strict.example"], ["TXT", "v=spf1 -all"]],
    "_dmarc.strict.example": [["TXT", "v=DMARC1; p=reject"]],
    "none.example": [["MX", 0, "."]],
    "1.0.0.127.bl.example": [["A", "127.0.0.2"]],
    "1.0.0.127.minor.example": [["A", "127.0.0.2"]],
    "sick.example": [["SERVFAIL"]],
    "_dmarc.sick.example": [["SERVFAIL"]],
    # Its mail may come from here, and what goes to it waits.
    "told.example": [["MX", 10, "mx.told.example"], ["TXT", "v=spf1 ip4:127.0.0.1 -all"]],
    "mx.told.example": [["SERVFAIL"]],
    # An answer that is missing, of each kind.
    "spfless.example": [["SERVFAIL"]], "_dmarc.spfless.example": [["A", "192.0.2.1"]],
    "openspf.example": [["SERVFAIL"]], "_dmarc.openspf.example": [["TXT", "v=DMARC1; p=none"]],
    "shutspf.example": [["SERVFAIL"]], "_dmarc.shutspf.example": [["TXT", "v=DMARC1; p=reject"]],
    "nopolicy.example": [["TXT", "v=spf1 ip4:127.0.0.1 -all"]],
    "_dmarc.nopolicy.example": [["SERVFAIL"]],
    "blocked.example": [["A", "192.0.2.80"]],
    "unheard.example": [["A", "192.0.2.81"]],
    "good.example": [["A", "192.0.2.82"]],
}
# What a filtering resolver says: one host is blocked, one it hides, one it does not answer for now.
FILTERED = {
    "blocked.example": [["A", "0.0.0.0"]],
    "www.blocked.example": [["CNAME", "blocked.example"]],
    "good.example": [["A", "192.0.2.82"]],
    "sick.example": [["SERVFAIL"]],
    "silent.example": [["TIMEOUT"]],
}


def message(subject, sender="ann@peer.example", fields="", body="hello"):
    return (f"From: {sender}\r\nTo: bob@demo.test\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject.replace(' ', '.')}@peer.example>\r\n"
            f"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n{fields}\r\n{body}\r\n").encode()


def send(server, raw, recipients=("bob@demo.test",), sender="ann@peer.example", client=None):
    """The final answer: (code, words)."""
    with client or server.smtp() as smtp:
        smtp.ehlo()
        code, words = smtp.mail(sender)
        if code != 250:
            return code, words.decode()
        for recipient in recipients:
            code, words = smtp.rcpt(recipient)
            if code != 250:
                return code, words.decode()
        code, words = smtp.data(raw)
        return code, words.decode()


def fetch(server, alias, folder="INBOX"):
    """All of a folder as (flags, message)."""
    with server.imap(alias) as client:
        answer, data = client.select(folder, readonly=True)
        check(answer == "OK", data)
        if data[0] == b"0":
            return []
        _, data = client.fetch("1:*", "(FLAGS BODY.PEEK[])")
        return [(part[0], email.message_from_bytes(part[1])) for part in data
                if isinstance(part, tuple)]


def find(server, alias, subject, folder="INBOX"):
    found = [one for one in fetch(server, alias, folder) if one[1]["Subject"] == subject]
    check(len(found) == 1, f"{subject!r} is {len(found)} times in {folder}")
    return found[0]


@suite.case
def what_is_found_out_stands_above_received(server, bob):
    raw = message("an honest one", fields="Authentication-Results: localhost; dmarc=pass\r\n"
                                          "Authentication-Results: other.example; dmarc=pass\r\n")
    check(send(server, raw)[0] == 250, "refused")
    mail = find(server, bob, "an honest one")[1]
    names = [name for name, _ in mail.items()]
    check(names[:2] == ["Return-Path", "Authentication-Results"], names)
    check(names.index("Received") > names.index("X-Spam-Status"), names)
    results = mail.get_all("Authentication-Results")
    check(len(results) == 2 and "spf=pass" in results[0] and results[0].startswith("localhost"),
          results)
    check(results[1].startswith("other.example"), "the forged one stays, or the other went")
    check("(mx.peer.example [127.0.0.1])" in mail["Received"], mail["Received"])


@suite.case
def what_harms_is_refused_with_the_reason(server, bob):
    program = message("a program", fields="MIME-Version: 1.0\r\nContent-Type: application/pdf; "
                      "name=invoice.pdf\r\nContent-Transfer-Encoding: base64\r\n", body=ELF)
    code, words = send(server, program)
    check(code == 550 and words.startswith("5.7.1 ") and "program" in words, words)
    code, words = send(server, message("gtube", body=GTUBE))
    check(code == 550 and "spam" in words, words)
    forged = message("forged", sender="ann@strict.example")
    code, words = send(server, forged, sender="ann@strict.example")
    check(code == 550 and words.startswith("5.7.26 ") and "strict.example" in words, words)
    code, words = send(server, message("x", sender="ann@sick.example"), sender="ann@sick.example")
    check(code == 451, words)
    check(fetch(server, bob, "Junk") == [], "something was stored")


@suite.case
def who_is_allowed_gets_through(server, bob):
    server.admin("allow", "add", "friend@peer.example", "--alias", "bob@demo.test")
    code, words = send(server, message("from a friend", "friend@peer.example", body=GTUBE),
                       sender="friend@peer.example")
    check(code == 250, words)
    find(server, bob, "from a friend")
    server.admin("alias", "add", "carol@demo.test")
    code, words = send(server, message("to both", "friend@peer.example", body=GTUBE),
                       recipients=("carol@demo.test", "bob@demo.test"),
                       sender="friend@peer.example")
    check(code == 250, words)
    find(server, bob, "to both")
    check("to both" not in str(fetch(server, bob, "Junk")), "in Junk as well")


@suite.case
def senders_that_cannot_be_are_refused(server, bob):
    code, words = send(server, message("x"), sender="ann@none.example")
    check(code == 550 and words.startswith("5.7.27 "), words)
    code, words = send(server, message("x"), sender="ann@missing.example")
    check(code == 550 and words.startswith("5.1.8 "), words)
    check(send(server, message("a bounce"), sender="")[0] == 250, "the null sender")


@suite.case
def clients_on_block_lists_are_refused(server, bob):
    """At so many points; with fewer they are points against the message; unless they are exempt."""
    lists = {**server.settings, "dnsbl": ["bl.example 3", "minor.example 1.5"]}
    for settings, expected in (({"dnsbl_refuse": 4}, "5.7.1 Your address is on block lists"),
                               ({"dnsbl_refuse": 5}, "2.0.0 "),
                               ({"dnsbl_refuse": 4, "trusted_clients": ["127.0.0.0/8"]}, "2.0.0 ")):
        with Server(settings={**lists, **settings}) as other:
            alias = other.add_alias("bob@demo.test")
            code, words = send(other, message("listed"))
            check(words.startswith(expected), f"{settings}: {code} {words}")
            if code == 250:
                folders = fetch(other, alias) + fetch(other, alias, "Junk")
                listed = "DNSBL" in str(folders[0][1]["X-Spam-Report"]).upper()
                check(len(folders) == 1 and listed != ("trusted_clients" in settings),
                      folders[0][1].as_string())


@suite.case
def links_are_asked_of_the_filtering_resolver(server, bob):
    """With a resolver of its own, whose answers are kept apart from the others'."""
    def reasons(server, alias, host):
        check(send(server, message(f"see {host}", body=f"http://{host}/offer"))[0] == 250, host)
        folders = fetch(server, alias) + fetch(server, alias, "Junk")
        return next(str(mail["X-Spam-Report"]) for _, mail in folders
                    if mail["Subject"] == f"see {host}")

    with doh.start(ZONES) as names, doh.start(FILTERED) as filtering:
        authority = names.folder / "both.pem"
        authority.write_bytes(b"".join(path.read_bytes()
                                       for path in (names.certificate, filtering.certificate)))
        settings = {**names.settings, "loopback_is_foreign": True,
                    "dns_filter_upstreams": filtering.settings["dns_upstreams"],
                    "dns_upstream_ca": str(authority)}
        with Server(settings=settings) as other:
            alias = other.add_alias("bob@demo.test")
            # As a sender's domain the general resolver knows it, and nothing is wrong with it.
            check(send(other, message("from there", "ann@blocked.example"),
                       sender="ann@blocked.example")[0] == 250, "the sender was refused")
            find(other, alias, "from there")
            for host, sign in (("blocked.example", "LINK_BLOCKED"),
                               ("www.blocked.example", "LINK_BLOCKED"),
                               ("unheard.example", "LINK_NO_HOST"), ("good.example", None),
                               ("sick.example", None), ("silent.example", None)):
                start = time.monotonic()
                found = reasons(other, alias, host)
                for each in ("LINK_BLOCKED", "LINK_NO_HOST"):
                    check((each in found) == (each == sign), f"{host}: {found}")
                # The examiner's own patience is 5 s; a filter that is silent puts nothing off.
                check(time.monotonic() - start < 15, f"{host} kept us waiting")
            find(other, alias, "see blocked.example", "Junk")
            find(other, alias, "see good.example")
            check(filtering.asked[("blocked.example", "A")] > 0, filtering.asked)
            check(not any(name in ("unheard.example", "good.example") for name, _ in names.asked),
                  f"a link was asked of the general resolver: {names.asked}")
            check(not other.sanitizer_findings(), other.sanitizer_findings())
        # The same mail where none is configured: links are nobody's business.
        with Server(settings={**names.settings, "loopback_is_foreign": True}) as other:
            alias = other.add_alias("bob@demo.test")
            check("LINK_" not in reasons(other, alias, "blocked.example"), "without a filter")


@suite.case
def an_alias_that_is_off_answers_as_set(server, bob):
    for code in ("250", "421", "550"):
        alias = server.add_alias(f"off{code}@demo.test")
        server.admin("alias", "disable", alias.address, "--answer", code)
        found, words = send(server, message(f"off {code}"), recipients=(alias.address,))
        check(found == int(code), f"{code}: {found} {words}")
        check(fetch(server, alias) == [], "it was stored")


@suite.case
def our_users_are_not_told_of(server, bob):
    raw = (b"From: bob@demo.test\r\nTo: dan@demo.test\r\nBcc: bob@demo.test\r\nSubject: private\r\n"
           b"X-Originating-IP: [10.1.2.3]\r\nX-Sealpost-Copy: Sent\r\n\r\nhello\r\n")
    dan = server.add_alias("dan@demo.test")
    for _ in range(2):  # the second time it is a retransmission: nothing is there twice
        with server.submission(bob) as smtp:
            smtp.ehlo("bobs-laptop.lan")
            smtp.sendmail(bob.address, [dan.address, bob.address], raw)
    for alias in (dan, bob):
        flags, mail = find(server, alias, "private")
        text = mail.as_string()
        check(b"\\Seen" not in flags, "marked read")
        for secret in ("bobs-laptop", "127.0.0.1", "10.1.2.3", "Bcc", "X-Sealpost"):
            check(secret not in text, f"{secret} is in what {alias} got:\n{text}")
        check(mail["Date"] and mail["Message-ID"] and mail["Received"].startswith("by localhost"),
              text)
    flags, mail = find(server, bob, "private", "Sent")
    check(b"\\Seen" in flags, "the copy is not marked read")
    check(mail["Bcc"] == "bob@demo.test", "the copy lost its Bcc")


@suite.case
def a_copy_waits_with_other_mail(server, bob):
    """The author sends without an open mailbox: the copy goes through the drop box."""
    eve = server.add_alias("eve@demo.test")
    time.sleep(0.3)
    raw = b"From: eve@demo.test\r\nTo: dan@demo.test\r\nSubject: later\r\nX-Sealpost-Copy: Sent\r\n\r\nx\r\n"
    with server.submission(eve) as smtp:
        smtp.sendmail(eve.address, ["dan@demo.test"], raw)
    flags, _ = find(server, eve, "later", "Sent")
    check(b"\\Seen" in flags, "not marked read")


@suite.case
def what_goes_elsewhere_is_queued(server, bob):
    """And what arrives for an alias that sends on, once for each place that it goes to."""
    def queued():
        return sorted(item["recipient"] for item in server.admin("queue", "list") or [])

    check(queued() == [], "there is something in the queue")
    raw = b"From: bob@demo.test\r\nTo: x@sick.example\r\nSubject: out\r\n\r\nhello\r\n"
    for _ in range(2):  # again: a retransmission
        with server.submission(bob) as smtp:
            smtp.ehlo()
            smtp.sendmail(bob.address, ["x@sick.example", "dan@demo.test"], raw,
                          mail_options=["RET=HDRS", "ENVID=7"], rcpt_options=["NOTIFY=FAILURE"])
    check(queued() == ["x@sick.example"], queued())
    server.admin("alias", "forward", "add", "carol@demo.test", "y@sick.example")
    check(send(server, message("passed on"), recipients=("carol@demo.test",))[0] == 250, "refused")
    check(queued() == ["x@sick.example", "y@sick.example"], queued())
    server.admin("alias", "store", "off", "carol@demo.test")
    spammy = message("URGENT WINNER", fields="X-Mailer: x\r\n", body=GTUBE)
    check(send(server, spammy, recipients=("carol@demo.test",))[0] == 550, "junk was taken")
    server.admin("queue", "delete", "all", "--yes")


@suite.case
def junk_for_several_goes_where_each_can_have_it(server, bob):
    """One reply for all (RFC 5321): who has a Junk folder gets it, and an alias that only forwards keeps
    no one from it. What it did not get its sender hears, if SPF knows him."""
    def queued():
        return sorted((item["sender"], item["recipient"]) for item in server.admin("queue", "list") or [])

    def junk(subject, sender):
        # Ten points and more, less than 15.
        return message(subject, sender, fields="MIME-Version: 1.0\r\nContent-Type: text/html\r\n",
                       body='<a href="http://192.0.2.7/x">www.bank.example</a> '
                            '<input type="password">')

    server.admin("queue", "delete", "all", "--yes")
    server.admin("alias", "add", "only@demo.test", "--forward", "z@sick.example")
    check(send(server, junk("for one", "ann@told.example"), sender="ann@told.example",
                recipients=("only@demo.test",))[0] == 550,
          "junk was taken for nobody")
    for order in (("only@demo.test", "bob@demo.test"), ("bob@demo.test", "only@demo.test")):
        code, words = send(server, junk(f"for both {order[0]}", "ann@told.example"),
                           sender="ann@told.example", recipients=order)
        check(code == 250, words)
        find(server, bob, f"for both {order[0]}", "Junk")
        # The report waits for its server; nothing else does.
        check(all(item == ("", "ann@told.example") for item in queued()), queued())
    check(len(queued()) == 2, queued())
    server.admin("queue", "delete", "all", "--yes")
    # No SPF for him: he may be anybody.
    code, words = send(server, junk("of somebody", "eve@blocked.example"), sender="eve@blocked.example",
                       recipients=("only@demo.test", "bob@demo.test"))
    check(code == 250, words)
    find(server, bob, "of somebody", "Junk")
    check(queued() == [], queued())
    check("held_back=1" in server.log(), "the log does not say it")


@suite.case
def lost_examiners_lose_no_mail(server, bob):
    """They are killed again and again while mail comes in: each message is taken or put off."""
    stop = threading.Event()

    def kill():
        while not stop.is_set():
            for process in server.processes("examiner"):
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.15)

    before = len(fetch(server, bob))
    killer = threading.Thread(target=kill)
    killer.start()
    taken = deferred = 0
    try:
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            code, words = send(server, message(f"under fire {taken + deferred}"))
            check(code in (250, 451), words)
            taken += code == 250
            deferred += code == 451
    finally:
        stop.set()
        killer.join()
    deadline = time.monotonic() + 30
    while send(server, message("after fire"))[0] != 250:
        check(time.monotonic() < deadline, "no examiner comes back")
        time.sleep(0.2)
    found = len(fetch(server, bob)) - before - 1
    check(found == taken, f"{taken} were taken, {found} are there")
    return f"{taken} taken, {deferred} put off"


@suite.case
def one_clients_flood_does_not_delay_another(server, bob):
    stop = threading.Event()

    def flood():
        number = 0
        with server.smtp() as smtp:
            while not stop.is_set():
                number += 1
                try:
                    smtp.sendmail("ann@peer.example", ["bob@demo.test"],
                                  message(f"flood {threading.get_ident()} {number}"))
                except (smtplib.SMTPException, OSError):
                    break

    threads = [threading.Thread(target=flood) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        times = []
        for number in range(10):
            client = smtplib.SMTP(local_hostname="client.test", timeout=30,
                                  source_address=("127.0.0.2", 0))
            client.connect("127.0.0.1", server.ports["mx"])
            start = time.monotonic()
            code, words = send(server, message(f"single {number}"), client=client)
            times.append(time.monotonic() - start)
            check(code == 250, words)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    check(max(times) < 5, times)
    return f"{sorted(times)[5] * 1000:.0f} ms beside twelve that flood"


@suite.case
def what_the_dns_does_not_answer_decides_nothing(server, bob):
    """Each kind of question by itself (docs/spam.md); then no DNS at all, and its return."""
    for domain, expected, words in (
            ("spfless.example", 250, ""),  # SPF fails to be read, and there is no policy
            ("openspf.example", 250, ""),  # nor one that asks for anything
            ("shutspf.example", 451, "4.7.1 "),  # one that may ask to refuse it
            ("nopolicy.example", 250, ""),  # the policy cannot be read, but SPF has passed
            ("sick.example", 451, "4.7.1 ")):  # neither can be read
        sender = f"ann@{domain}"
        code, said = send(server, message(f"with {domain}", sender), sender=sender)
        check(code == expected and words in said, f"{domain}: {code} {said}")
    settings = {"loopback_is_foreign": True}  # and no DNS is there
    with Server(settings=settings) as other:
        alias = other.add_alias("bob@demo.test")
        for sender in ("ann@peer.example", ""):
            code, said = send(other, message("from the world"), sender=sender)
            check(code == 451 and said.startswith("4.7.1 "), f"{sender}: {code} {said}")
        check(fetch(other, alias) == [], "it was stored")
        with other.submission(alias) as smtp:  # our own users are nobody's guess
            smtp.sendmail(alias.address, [alias.address],
                          message("from ourselves", alias.address))
        find(other, alias, "from ourselves")
        other.settings["trusted_clients"] = ["127.0.0.0/8"]
        other.write_config()
        os.kill(other.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while send(other, message("from a friend"))[0] != 250:
            check(time.monotonic() < deadline, "who is trusted is put off")
        del other.settings["trusted_clients"]
        with doh.start(ZONES) as names:  # it is back, and the same mail comes again
            other.settings.update(names.settings)
            other.stop()
            other.start()
            check(send(other, message("from the world"))[0] == 250, "still put off")
            find(other, alias, "from the world")


@suite.case
def the_resolver_may_be_away(server, bob):
    """Nothing is known then, and nobody waits long; DMARC needs it, so such mail is put off."""
    start = time.monotonic()
    for process in server.processes("resolver"):
        os.kill(process.pid, signal.SIGKILL)
    code, words = send(server, message("without names"))
    check(code in (250, 451), words)
    check(time.monotonic() - start < 15, "it took too long")


@suite.case
def nothing_was_found_by_the_sanitizers(server, bob):
    check(not server.sanitizer_findings(), "\n".join(server.sanitizer_findings()))


def main():
    suite.parse()
    with doh.start(ZONES) as names:
        settings = {**names.settings, "loopback_is_foreign": True,
                    "connections_per_address_max": 1000, "incoming_per_client": 0,
                    "incoming_per_sender": 0}
        with Server(settings=settings) as server:
            suite.run(server, server.add_alias("bob@demo.test"))


if __name__ == "__main__":
    main()
