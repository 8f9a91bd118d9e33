#!/usr/bin/python3
"""What strangers and clients may ask for: logins that are guessed, connections, sessions, silence."""

import imaplib
import os
import pathlib
import signal
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402

suite = Suite(__doc__)


def refused_time(server, address, password):
    client = server.imap(tls=True)
    start = time.perf_counter()
    try:
        client.login(address, password)
        raise AssertionError("a wrong password was accepted")
    except imaplib.IMAP4.error as error:
        took = (time.perf_counter() - start) * 1000
        words = str(error)
    client.shutdown()
    return took, words


@suite.case
def refusals_look_the_same():
    """The same words, and within 15 ms the same time."""
    with Server(settings={"failures_per_address": 100000, "failures_per_account": 100000,
                          "plain_login_on_loopback": False}) as server:
        alias = server.add_alias("real@same.test")
        cases = {"wrong password": (alias.address, "x" * 32),
                 "unknown alias": ("nobody@same.test", "x" * 32),
                 "unknown domain": ("nobody@elsewhere.test", "x" * 32),
                 "raw key": (alias.address, "raw:" + "0" * 64),
                 "hex key": (alias.address, "x'" + "0" * 64 + "'")}
        times, words = {name: [] for name in cases}, set()
        for _ in range(9):
            for name, (address, password) in cases.items():
                took, said = refused_time(server, address, password)
                times[name].append(took)
                words.add(said)
        check(len(words) == 1, words)
        medians = {name: statistics.median(values) for name, values in times.items()}
        spread = max(medians.values()) - min(medians.values())
        check(spread < 15, medians)
        return f"within {spread:.1f} ms"


@suite.case
def guessing_is_slowed_down():
    """At most 20 quick failures from an address; then not even the right password is tried."""
    with Server(settings={"loopback_is_foreign": True, "failures_window": "60s",
                          "connections_per_address_max": 1000}) as server:
        alias = server.add_alias("guessed@slow.test")
        start = time.monotonic()
        for number in range(25):
            client = server.imap(tls=True, timeout=60)
            try:
                client.login(alias.address, f"wrong{number}" + "x" * 26)
            except (imaplib.IMAP4.error, OSError):
                pass
            client.shutdown()
            if time.monotonic() - start > 20:
                break
        check(not tls_login(server, alias), "the right password is accepted after 25 failures")


def tls_login(server, alias):
    try:
        with server.imap(alias, tls=True, timeout=60) as client:
            return client.noop()[0] == "OK"
    except (imaplib.IMAP4.error, OSError):
        return False


def greetings(server, port, count, kept):
    """Opens so many connections; how many were greeted. `kept` holds them."""
    welcome = 0
    for _ in range(count):
        kept.append(socket.create_connection(("127.0.0.1", server.ports[port]), 20))
        welcome += kept[-1].recv(4096).startswith((b"* OK", b"220"))
    return welcome


@suite.case
def an_address_has_so_many_connections():
    """However the kernel deals them out to the processes of a role."""
    with Server(settings={"loopback_is_foreign": True, "connections_per_address_max": 10,
                          "processes": 2}) as server:
        for port, role in (("imap", "gate"), ("mx", "smtp")):
            one, two = (process.pid for process in server.processes(role))
            kept = []
            os.kill(one, signal.SIGSTOP)
            check(greetings(server, port, 6, kept) == 6, f"{role}: six are too many")
            os.kill(one, signal.SIGCONT)
            os.kill(two, signal.SIGSTOP)
            try:
                welcome = greetings(server, port, 6, kept)
            finally:
                os.kill(two, signal.SIGCONT)
            check(welcome == 4, f"{role}: {welcome} of six more, where four make ten")
            # A process that dies takes its connections along.
            os.kill(two, signal.SIGKILL)
            until(lambda p=port, k=kept: greetings(server, p, 1, k) > 0,
                  f"{role}: the dead ones still count", pause=0.1)
            for each in kept:
                each.close()


@suite.case
def a_mailbox_has_so_many_sessions():
    """One that is refused is told that it is not the password."""
    with Server(settings={"sessions_per_mailbox_max": 2}) as server:
        alias, other = server.add_alias("me@crowd.test"), server.add_alias("you@crowd.test")

        def refused():
            try:
                server.imap(alias).logout()
            except imaplib.IMAP4.error as error:
                return str(error)
            return ""

        with server.imap(alias), server.imap(alias) as second:
            check("[UNAVAILABLE]" in refused(), "a third session")
            server.imap(other).logout()
            second.logout()
            until(lambda: not refused(), "the one that ended still counts", pause=0.05)


@suite.case
def silent_clients_are_cut_off():
    with Server(settings={"login_timeout": "2s"}) as server:
        for port in ("imap", "mx", "submission"):
            with socket.create_connection(("127.0.0.1", server.ports[port]), 10) as raw:
                start = time.monotonic()
                raw.settimeout(15)
                try:
                    # A byte now and then does not help.
                    while True:
                        raw.settimeout(0.5)
                        try:
                            if raw.recv(4096) == b"":
                                break
                        except TimeoutError:
                            pass
                        raw.sendall(b"a")
                        check(time.monotonic() - start < 10, f"{port}: still there after 10 s")
                except (ConnectionError, BrokenPipeError):
                    pass


if __name__ == "__main__":
    suite.run()
