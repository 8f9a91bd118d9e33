#!/usr/bin/python3
"""POP3 from end to end: beside IMAP, and through whatever ends a session."""

import imaplib
import os
import pathlib
import poplib
import random
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from attacks.pop3 import pop3  # noqa: E402
from lib.server import Server, find_key  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402

suite = Suite(__doc__)


def raw(subject):
    return f"From: a@example.org\r\nSubject: {subject}\r\n\r\nThe text of {subject}.\r\n".encode()


def send(server, alias, *names):
    with server.smtp() as client:
        for name in names:
            check(client.sendmail("a@example.org", [alias.address], raw(name)) == {}, "refused")


def fill(server, alias, count):
    with server.imap(alias) as client:
        for number in range(count):
            check(client.append("INBOX", None, None, raw(f"number {number}"))[0] == "OK", "append")


def count_of(server, alias):
    for attempt in range(100):
        try:
            with server.imap(alias) as client:
                return int(client.select("INBOX", readonly=True)[1][0])
        except imaplib.IMAP4.error as error:
            # A mailbox process was killed a moment ago, and the store has not heard of it yet.
            check("UNAVAILABLE" in str(error) or "BYE" in str(error), error)
            time.sleep(0.05)
    raise AssertionError("the mailbox stays unavailable")


def connect(server, alias, password=None):
    client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=server.tls, timeout=60)
    client.user(alias.address)
    client.pass_(password or alias.password)
    return client


def subjects(client):
    return [next(line[9:] for line in client.top(n + 1, 0)[1] if line.startswith(b"Subject: "))
            for n in range(client.stat()[0])]


@suite.case
def waiting_mail_is_there_at_login(server):
    alias = server.add_alias("waiting@pop3.test")
    send(server, alias, "while away", "this too")
    client = connect(server, alias)
    check(subjects(client) == [b"while away", b"this too"], "waiting mail")
    # What arrives now is for the next session.
    send(server, alias, "while here")
    check(client.stat()[0] == 2 and len(client.list()[1]) == 2, "the list changed in the session")
    client.quit()
    client = connect(server, alias)
    check(client.stat()[0] == 3, "the next session")
    client.quit()


@suite.case
def imap_and_pop3_at_once(server):
    alias = server.add_alias("both@pop3.test")
    fill(server, alias, 5)
    with server.imap(alias, tls=True) as client:
        client.select("INBOX")
        client.store("3", "+FLAGS", "(\\Flagged $Mine)")
        tag = client._new_tag()
        client.send(tag + b" IDLE\r\n")
        check(client.readline().startswith(b"+"), "IDLE")
        one, two = connect(server, alias), connect(server, alias)
        check(one.stat() == two.stat() and one.stat()[0] == 5, "both see all")
        one.retr(3)
        for number in (2, 3):
            one.dele(number)
        two.dele(3)
        two.dele(5)
        check(two.retr(2)[1], "what another session marked is there")
        one.quit()
        # IMAP hears of it while it idles.
        heard = [client.readline() for _ in range(2)]
        check(heard in ([b"* 2 EXPUNGE\r\n"] * 2, [b"* 3 EXPUNGE\r\n", b"* 2 EXPUNGE\r\n"]), heard)
        two.quit()
        check(client.readline() == b"* 3 EXPUNGE\r\n", "EXPUNGE of 5")
        client.send(b"DONE\r\n")
        check(client.readline().startswith(tag + b" OK"), "DONE")
        # And the other way.
        three = connect(server, alias)
        client.store("1", "+FLAGS", "(\\Deleted)")
        client.expunge()
        check(three.stat()[0] == 2, "a session's list stays")
        three.dele(1)
        three.dele(2)
        check(three.quit().startswith(b"+OK"), "what is gone is skipped")
        client.noop()
        check(client.select("INBOX")[1] == [b"0"], "all gone")


@suite.case
def flags_stay_as_they_are(server):
    alias = server.add_alias("flags@pop3.test")
    fill(server, alias, 1)
    client = connect(server, alias)
    client.retr(1)
    client.quit()
    with server.imap(alias) as client:
        client.select("INBOX")
        check(client.search(None, "UNSEEN")[1] == [b"1"], "reading by POP3 set a flag")


@suite.case
def only_quit_deletes(server):
    alias = server.add_alias("quit@pop3.test")
    fill(server, alias, 4)

    def closed(client):
        client.socket.close()

    def reset(client):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.close()

    def half_closed(client):
        client.socket.shutdown(socket.SHUT_WR)
        check(client.is_closed(), "the server goes on without a client")
        client.socket.close()

    def broken_off(client):
        client.send(b"QUI")
        client.socket.close()

    def too_bad(client):
        client.send(b"X\r\n" * 30)
        check(client.is_closed(), "the server goes on")
        client.socket.close()

    for leave in (closed, reset, half_closed, broken_off, too_bad):
        client = pop3(server, alias)
        for number in range(1, 5):
            check(client.ask(b"DELE %d" % number).startswith(b"+OK"), "DELE")
        leave(client)
        check(count_of(server, alias) == 4, f"{leave.__name__}: something was deleted")
    # What was asked for in full is answered to a client that sends no more, and done even if it
    # does not wait.
    client = pop3(server, alias)
    client.send(b"RETR 1\r\nDELE 1\r\nDELE 2\r\nQUIT\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    check(client.line().startswith(b"+OK") and client.lines(), "RETR")
    answers = [client.line() for _ in range(4)]
    check(all(answer.startswith(b"+OK") for answer in answers[:3]) and answers[3] == b"", answers)
    check(count_of(server, alias) == 2, "QUIT was not done")
    client = pop3(server, alias)
    client.send(b"DELE 1\r\nQUIT\r\n")
    client.socket.close()
    until(lambda: count_of(server, alias) == 1, "QUIT was not done")


@suite.case
def silence_ends_a_session_and_deletes_nothing(_):
    with Server(settings={"idle_timeout": "1s"}) as server:
        alias = server.add_alias("silent@pop3.test")
        fill(server, alias, 1)
        client = pop3(server, alias)
        check(client.ask(b"DELE 1").startswith(b"+OK"), "DELE")
        check(client.is_closed(20) and client.buffer == b"", f"it was told {client.buffer}")
        check(count_of(server, alias) == 1, "the timeout deleted")


@suite.case
def a_stop_of_the_service_deletes_nothing(_):
    with Server() as server:
        alias = server.add_alias("stop@pop3.test")
        fill(server, alias, 2)
        client, before = pop3(server, alias), pop3(server)
        check(client.ask(b"DELE 1").startswith(b"+OK"), "DELE")
        server.stop()
        check(client.is_closed() and client.buffer == b"", client.buffer)
        check(before.is_closed() and before.buffer == b"", before.buffer)
        server.start()
        check(count_of(server, alias) == 2, "the stop deleted")


@suite.case
def internationalized_mail_reaches_every_client(server):
    """RFC 6856: as it is in UTF-8 mode, as a surrogate otherwise; what is behind it is not lost."""
    alias = server.add_alias("eai@pop3.test")
    header = "From: Grün <grün@example.org>\r\nSubject: grüße\r\n"
    message = (header + "\r\nGrüße.\r\n").encode()
    with server.smtp() as client:
        client.ehlo()
        check(client.sendmail("grün@example.org", [alias.address], message,
                              mail_options=["SMTPUTF8", "BODY=8BITMIME"]) == {}, "refused")
    send(server, alias, "behind it")
    client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=server.tls, timeout=60)
    check("UTF8" in client.capa() and client.capa()["UTF8"] == [], client.capa())
    check(client.utf8().startswith(b"+OK"), "UTF8")
    client.user(alias.address)
    client.pass_(alias.password)
    _, lines, octets = client.retr(1)
    check(b"\r\n".join(lines).endswith(message.rstrip()), lines)
    check(client.list(1) == b"+OK 1 %d" % octets, (client.list(1), octets))
    client.quit()
    client = connect(server, alias)
    top, _, body = b"\r\n".join(client.retr(1)[1]).partition(b"\r\n\r\n")
    top.decode("ascii")
    check(b"\r\nSubject: =?UTF-8?B?Z3LDvMOfZQ==?=" in top, top)
    check(b"<invalid@internationalized-address.invalid>" in top, top)
    check(body == "Grüße.".encode(), body)
    check(b"Subject: behind it" in client.retr(2)[1], "the one behind it")
    client.quit()


@suite.case
def app_passwords_have_a_scope(server):
    alias = server.add_alias("scope@pop3.test")

    def may(address, password):
        client = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=server.tls, timeout=60)
        try:
            client.user(address)
            client.pass_(password)
        except poplib.error_proto as error:
            check(str(error) == "b'-ERR [AUTH] Authentication failed.'", error)
            client.close()
            return False
        client.quit()
        return True

    def made(name, scope):
        return find_key(server.admin("alias", "app-password", "add", alias.address, name, "--scope",
                                     scope, "--password-file", str(secret)), "password")

    secret = server.folder / "secret"
    secret.write_text(alias.password + "\n")

    phone, fetcher = made("phone", "imap,smtp"), made("fetcher", "pop3")
    check(not may(alias.address, phone), "a password for IMAP opens POP3")
    check(may(alias.address, fetcher), "a password for POP3 does not")
    with server.imap() as client:
        try:
            client.login(alias.address, fetcher)
            raise AssertionError("a password for POP3 opens IMAP")
        except imaplib.IMAP4.error:
            pass
    server.admin("alias", "app-password", "remove", alias.address, "fetcher", "--yes")
    check(not may(alias.address, fetcher), "a removed one")
    check(may(alias.address, alias.password), "the mailbox's own")


@suite.case
def no_login_without_tls(_):
    with Server(settings={"plain_login_on_loopback": False}) as server:
        alias = server.add_alias("tls@pop3.test")
        client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=60)
        check("USER" not in client.capa() and "SASL" not in client.capa(), client.capa())
        check("IMPLEMENTATION" not in client.capa(), client.capa())
        for refused in (lambda: client.user(alias.address),
                        lambda: client._shortcmd("AUTH PLAIN AGEAYg==")):
            try:
                refused()
                raise AssertionError("a login without TLS")
            except poplib.error_proto as error:
                check("Start TLS first" in str(error), error)
        client.stls(server.tls)
        check("USER" in client.capa() and "STLS" not in client.capa(), client.capa())
        client.user(alias.address)
        client.pass_(alias.password)
        client.quit()


@suite.case
def what_comes_with_stls_is_dropped(server):
    with pop3(server) as client:
        client.send(b"STLS\r\nUSER mallory\r\nNOOP\r\n")
        check(client.line().startswith(b"+OK"), "STLS")
        client.start_tls(server.tls)
        client.send(b"PASS x\r\n")
        said = client.line()
        check(said == b"-ERR Give the user name first.", said)


@suite.case
def a_killed_mailbox_process_deletes_all_or_nothing(server):
    """Around QUIT, whose answer is a promise."""
    rng = random.Random(suite.options.seed)
    rounds, count = (200 if suite.options.long else 25), 40
    results = {"all": 0, "none": 0, "answered": 0}
    alias = server.add_alias("killed@pop3.test")
    for _ in range(rounds):
        fill(server, alias, count - count_of(server, alias))
        client = pop3(server, alias)
        client.send(b"".join(b"DELE %d\r\n" % number for number in range(1, count + 1)))
        for _ in range(count):
            check(client.line().startswith(b"+OK"), "DELE")
        pids = [process.pid for process in server.processes("mailbox")]
        client.send(b"QUIT\r\n")
        # The commit takes about a millisecond; a sleep as short as that is not kept.
        until_ns = time.perf_counter_ns() + int(rng.choice((0, 3e5, 1e6, 3e6)) * rng.random())
        while time.perf_counter_ns() < until_ns:
            pass
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        said = client.line()
        client.socket.close()
        check(said in (b"", b"+OK Bye."), said)
        left = count_of(server, alias)
        check(left in (0, count), f"{left} of {count} are left")
        check(left == 0 or said == b"", "QUIT was answered, and nothing was deleted")
        results["all" if left == 0 else "none"] += 1
        results["answered"] += said != b""
    return ", ".join(f"{name} {number}" for name, number in results.items())


@suite.case
def nothing_was_found_by_the_sanitizers(server):
    findings = server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    with Server() as running:
        suite.run(running)
