"""Who guesses passwords, from one address or many, and who listens to how he is refused."""

import base64
import socket
import threading
import time

from attacks.pop3 import Pop3
from attacks.raw import Imap, Smtp, check, imap, median_ms, smtp, suite
from lib.server import AdminError, Server, find_key

WRONG = "x" * 32
FOREIGN = {"loopback_is_foreign": True, "connections_per_address_max": 1000}


def response(address, password):
    return base64.b64encode(b"\0" + address.encode() + b"\0" + password.encode())


def imap_login(server, address, password, source=None, tls=True, authenticate=False):
    """What the server says; "" when it closes without a word."""
    port = server.ports["imaps" if tls else "imap"]
    with Imap(port, server.tls if tls else None, source=source) as client:
        if client.greeting.startswith(b"* BYE"):
            return client.greeting
        if authenticate:
            return client.last(b"AUTHENTICATE PLAIN " + response(address, password))
        return client.last(b"LOGIN {%d+}\r\n%s {%d+}\r\n%s" % (
            len(address), address.encode(), len(password), password.encode()))


def smtp_login(server, address, password, source=None):
    with Smtp(server.ports["submissions"], server.tls, source=source) as client:
        client.ask(b"EHLO client.test")
        return b"%d %s" % client.ask(b"AUTH PLAIN " + response(address, password))


def pop3_login(server, address, password, source=None, authenticate=False):
    with Pop3(server.ports["pop3s"], server.tls, source=source) as client:
        if authenticate:
            return client.ask(b"AUTH PLAIN " + response(address, password))
        client.ask(b"USER " + address.encode())
        return client.ask(b"PASS " + password.encode())


def refused_in(server, ask, cases, rounds, out):
    """Medians in ms by case, and the words, into `out`."""
    times, words = {case: [] for case in cases}, {}
    for _ in range(rounds):
        for case, (address, password) in cases.items():
            start = time.perf_counter()
            words.setdefault(ask(server, address, password), []).append(case)
            times[case].append(time.perf_counter() - start)
    out.append(({case: median_ms(values) for case, values in times.items()}, words))


@suite.case
def refusals_do_not_tell(_):
    """The same words and, within 15 ms, the same time: by every way of logging in."""
    spreads = []
    ways = {"LOGIN": imap_login, "SMTP AUTH": smtp_login,
            "AUTHENTICATE": lambda *words: imap_login(*words, authenticate=True),
            "PASS": pop3_login, "AUTH": lambda *words: pop3_login(*words, authenticate=True)}
    with Server(settings={"failures_per_address": 1000000, "failures_per_account": 1000000}) as server:
        alias = server.add_alias("real@same.test")
        gone = server.add_alias("gone@same.test")
        server.admin("alias", "disable", gone.address)
        timed = {"wrong password": (alias.address, WRONG), "unknown alias": ("no@same.test", WRONG),
                 "unknown domain": ("no@elsewhere.test", WRONG)}
        others = {"no domain": ("no", WRONG), "raw key": (alias.address, "raw:" + "0" * 64),
                  "hex key": (alias.address, "x'" + "0" * 96 + "'"), "a short one": (alias.address, "1"),
                  "a long one": (alias.address, "y" * 200), "none": (alias.address, ""),
                  "somebody else's": (alias.address, gone.password)}
        rounds = 60 if suite.options.long else 20
        # A refusal waits most of its time: the ways are tried side by side.
        results = {name: [] for name in ways}
        threads = [threading.Thread(target=refused_in, args=(server, ask, timed, rounds, results[name]))
                   for name, ask in ways.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, ask in ways.items():
            check(results[name], f"{name}: no answer")
            refused_in(server, ask, others, 1, results[name])
            words = set(results[name][0][1]) | set(results[name][1][1])
            check(len(words) == 1, f"{name}: {[found[1] for found in results[name]]}")
            medians = results[name][0][0]
            spreads.append(max(medians.values()) - min(medians.values()))
            check(spreads[-1] < 15, f"{name}: {medians}")
        check(imap_login(server, alias.address, alias.password).startswith(b"OK"), "the right one")
    return f"within {max(spreads):.1f} ms"


@suite.case
def twenty_failures_from_an_address(_):
    with Server(settings=FOREIGN) as server:
        alias, other = server.add_alias("one@guess.test"), server.add_alias("two@guess.test")
        check(imap_login(server, alias.address, alias.password, "127.0.0.5").startswith(b"OK"),
              "the owner, from an address that is known from now on")
        # Over several names and all protocols, as a guesser does it.
        for number in range(20):
            ask = (smtp_login, imap_login, pop3_login)[number // 2 % 3]
            said = ask(server, ("one@guess.test", "no@guess.test", "x@y.test")[number % 3],
                       WRONG, "127.0.0.7")
            check(b"OK" != said[:2] and not said.startswith((b"235", b"+OK")), said)
        said = imap_login(server, other.address, other.password, "127.0.0.7")
        check(not said.startswith(b"OK"), "the right password is tried after 20 failures")
        said = smtp_login(server, other.address, other.password, "127.0.0.7")
        check(not said.startswith(b"235"), "at submission too")
        said = pop3_login(server, other.address, other.password, "127.0.0.7")
        check(said.startswith(b"-ERR [AUTH]"), "at POP3 too")
        check(imap_login(server, alias.address, alias.password, "127.0.0.5").startswith(b"OK"),
              "the owner, from the known address")
        check(imap_login(server, other.address, other.password, "127.0.0.8").startswith(b"OK"),
              "others are not touched")


@suite.case
def forty_failures_for_an_account(_):
    with Server(settings=FOREIGN) as server:
        alias = server.add_alias("target@guess.test")
        check(imap_login(server, alias.address, alias.password, "127.0.0.5").startswith(b"OK"), "known")
        for number in range(40):
            imap_login(server, alias.address, WRONG, f"127.0.1.{number // 4 + 1}")
        said = imap_login(server, alias.address, alias.password, "127.0.2.1")
        check(not said.startswith(b"OK"), "a new address gets in after 40 failures")
        check(imap_login(server, alias.address, alias.password, "127.0.0.5").startswith(b"OK"),
              "the owner, from the known address")


@suite.case
def pipelined_guesses_count(_):
    """Many guesses in one packet, in one connection, are no way round the limit."""
    with Server(settings=FOREIGN) as server:
        alias = server.add_alias("piped@guess.test")
        with Imap(server.ports["imaps"], server.tls, source="127.0.0.9") as client:
            guesses = b"".join(b"g%d LOGIN %s %s\r\n" % (number, alias.address.encode(), WRONG.encode())
                               for number in range(25))
            try:
                client.send(guesses + b"g LOGIN %s %s\r\n" % (alias.address.encode(),
                                                             alias.password.encode()))
            except OSError:
                pass
            client.socket.settimeout(15)
            try:
                found = client.answer(b"g")
            except TimeoutError:
                found = [b"", b""]
        check(not any(line.startswith(b"g OK") for line in found), "in after 25 wrong guesses")


@suite.case
def no_login_without_tls(_):
    with Server(settings={"plain_login_on_loopback": False}) as server:
        alias = server.add_alias("plain@tls.test")
        with imap(server) as client:
            check(b"LOGINDISABLED" in client.ask(b"CAPABILITY")[0], "LOGINDISABLED")
            for line in (b"LOGIN %s %s" % (alias.address.encode(), alias.password.encode()),
                         b"AUTHENTICATE PLAIN " + response(alias.address, alias.password)):
                check(client.last(line).startswith((b"NO", b"BAD")), "a login in clear")
            # Bytes behind STARTTLS in the same packet are not commands of the secure session.
            client.send(b"s STARTTLS\r\nevil LOGIN %s %s\r\n" % (alias.address.encode(),
                                                                alias.password.encode()))
            check(client.line().startswith(b"s OK"), "STARTTLS")
            client.buffer = b""
            client.start_tls(server.tls)
            said = client.ask(b"CAPABILITY")
            check(len(said) == 2 and b"LOGINDISABLED" not in said[0] and b"STARTTLS" not in said[0],
                  f"after STARTTLS: {said}")
            check(client.last(b"STARTTLS").startswith((b"BAD", b"NO")), "a second STARTTLS")
            client.login(alias)
        with smtp(server, "submission") as client:
            check(b"AUTH" not in client.ask(b"EHLO client.test")[1], "AUTH offered in clear")
            code, _ = client.ask(b"AUTH PLAIN " + response(alias.address, alias.password))
            check(code in (530, 538, 503, 502), f"AUTH in clear: {code}")


@suite.case
def app_passwords_open_what_they_are_for(server):
    alias = server.add_alias("apps@scope.test")

    def add(name, scope):
        path = server.folder / "secret"
        path.write_text(alias.password + "\n")
        return find_key(server.admin("alias", "app-password", "add", alias.address, name,
                                     "--scope", scope, "--password-file", str(path)), "password")

    try:
        reading, sending = add("phone", "imap"), add("printer", "smtp")
    except AdminError as error:
        raise AssertionError(str(error)) from None
    check(imap_login(server, alias.address, reading).startswith(b"OK"), "IMAP with its own")
    check(smtp_login(server, alias.address, sending).startswith(b"235"), "SMTP with its own")
    wrong = imap_login(server, alias.address, WRONG)
    check(imap_login(server, alias.address, sending) == wrong, "IMAP with the printer's")
    check(smtp_login(server, alias.address, reading) == smtp_login(server, alias.address, WRONG),
          "SMTP with the phone's")
    client = imap(server)
    check(client.last(b"LOGIN %s %s" % (alias.address.encode(), reading.encode())).startswith(b"OK"), "in")
    server.admin("alias", "app-password", "remove", alias.address, "phone", "--yes")
    check(imap_login(server, alias.address, reading) == wrong, "a revoked one")
    try:
        check(client.is_closed(8), "a session of the revoked one lives on")
    finally:
        client.socket.close()
    check(imap_login(server, alias.address, alias.password).startswith(b"OK"), "the mailbox's own")


@suite.case
def an_alias_goes_while_it_is_used(server):
    alias = server.add_alias("leaving@live.test")
    client = imap(server, alias)
    client.last(b"SELECT INBOX")
    server.admin("alias", "disable", alias.address)
    with smtp(server) as peer:
        peer.ask(b"EHLO client.test")
        peer.ask(b"MAIL FROM:<a@example.org>")
        code, _ = peer.ask(b"RCPT TO:<%s>" % alias.address.encode())
        check(code in (450, 550), f"mail for a disabled alias: {code}")
    server.admin("alias", "enable", alias.address)
    server.admin("alias", "remove", alias.address, "--yes")
    check(client.is_closed(8), "a session of a removed mailbox lives on")
    client.socket.close()
    said = imap_login(server, alias.address, alias.password)
    check(said == imap_login(server, "no@live.test", WRONG), f"a removed alias: {said}")
    left = [path for path in server.data.rglob("*") if alias.mailbox and alias.mailbox in path.name]
    check(not left, f"files of a removed mailbox: {left}")


@suite.case
def connections_are_limited(_):
    with Server(settings={"loopback_is_foreign": True, "connections_per_address_max": 10,
                          "processes": 1}) as server:
        for port, kind in (("imap", Imap), ("mx", Smtp)):
            clients = [kind(server.ports[port], source="127.0.0.3") for _ in range(10)]
            refused = kind(server.ports[port], source="127.0.0.3")
            check(refused.greeting.startswith((b"* BYE", b"421", b"554")) or refused.greeting == b"",
                  f"{port}: {refused.greeting}")
            beside = kind(server.ports[port], source="127.0.0.4")
            check(beside.greeting.startswith((b"* OK", b"220")), beside.greeting)
            refused.socket.close()
            clients.pop().socket.close()
            time.sleep(0.3)
            again = kind(server.ports[port], source="127.0.0.3")
            check(again.greeting.startswith((b"* OK", b"220")), "one went, one may come")
            for client in clients + [beside, again]:
                client.socket.close()


@suite.case
def slow_clients_before_login(_):
    """A byte a second does not keep a connection that does not log in."""
    with Server(settings={"login_timeout": "3s"}) as server:
        started = time.monotonic()
        clients = [(name, kind(server.ports[name]), time.monotonic())
                   for name, kind in (("imap", Imap), ("mx", Smtp), ("submission", Smtp))]
        ends = {}
        while len(ends) < len(clients) and time.monotonic() - started < 15:
            for name, client, start in clients:
                if name in ends:
                    continue
                try:
                    client.send(b"a")
                    client.socket.settimeout(0.1)
                    if not client.fill():
                        ends[name] = time.monotonic() - start
                except TimeoutError:
                    pass
                except OSError:
                    ends[name] = time.monotonic() - start
            time.sleep(0.2)
        check(len(ends) == 3 and max(ends.values()) < 8, ends)
        # A TLS handshake that never comes, or stops in the middle.
        for begin in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            with socket.create_connection(("127.0.0.1", server.ports["imaps"]), 10) as raw:
                raw.sendall(begin)
                raw.settimeout(10)
                try:
                    while raw.recv(100):
                        pass
                except ConnectionError:
                    pass
