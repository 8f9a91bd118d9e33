#!/usr/bin/python3
"""Another server is taken over only when it is who it says: `sealpost import` from Debian's Dovecot with
TLS from the first byte and by STARTTLS. Whose certificate leads nowhere hears no password; who takes
STARTTLS away neither. All over an address that is not this machine's own loopback.
"""

import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from leaving import Dovecot, snapshot  # noqa: E402
from lib.netns import Net  # noqa: E402
from lib.server import Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
PASSWORD = b"secret"
COUNT = 30


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Tap:
    """Between the command and a server: keeps what the command sends, and may alter it."""

    def __init__(self, address, port, alter=lambda data: data):
        self.target, self.alter = (address, port), alter
        self.seen = b""
        self.socket = socket.create_server((address, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.socket.accept()
            server = socket.create_connection(self.target)
            threading.Thread(target=self.carry, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, False), daemon=True).start()

    def carry(self, one, other, is_command):
        try:
            while data := one.recv(65536):
                if is_command:
                    self.seen += data
                    data = self.alter(data)
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class World:
    def __init__(self, server, address):
        self.server, self.address = server, address
        self.folder = server.folder
        self.number = 0
        self.secret = self.folder / "server-password"
        self.secret.write_text("secret\n")
        self.secret.chmod(0o600)
        self.maildir = self.folder / "mail" / "Maildir"
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        for number in range(COUNT):
            (self.maildir / "cur" / f"{1_600_000_000 + number}.M{number}.host:2,S").write_bytes(
                f"Subject: {number}\r\n\r\n{'text ' * number}\r\n".encode())
        self.ca = self.folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=an authority",
                "-keyout", self.folder / "ca.key", "-out", self.ca)
        self.good = self.certificate("good", f"IP:{address},DNS:mail.test")
        self.wrong = self.certificate("wrong", "DNS:elsewhere.test")
        self.own = self.folder / "own.pem", self.folder / "own.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=itself",
                "-addext", f"subjectAltName=IP:{address}", "-keyout", self.own[1], "-out", self.own[0])

    def certificate(self, name, names):
        request, made, key = (self.folder / f"{name}.{end}" for end in ("csr", "pem", "key"))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext",
                f"subjectAltName={names}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key",
                "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", made)
        return made, key

    def dovecot(self, certificate):
        self.number += 1
        return Dovecot(self.folder / f"dovecot{self.number}", self.maildir, self.address, certificate)

    def take(self, scheme, port, *options, conf=None):
        """What the command says, and the mailbox that it filled."""
        self.number += 1
        alias = self.server.add_alias(f"user{self.number}@example.test")
        done = subprocess.run([program(), "import", alias.address,
                               f"{scheme}://someone@{self.address}:{port}/", "--config",
                               str(conf or self.server.conf), "--json", "--password-file", "-",
                               "--server-password-file", str(self.secret), *map(str, options)],
                              input=alias.password + "\n", capture_output=True, text=True, timeout=120)
        return done, alias

    def comes(self, scheme, port, *options, expected, conf=None):
        done, alias = self.take(scheme, port, *options, conf=conf)
        check(done.returncode == 0, f"{scheme}: {done.stdout}{done.stderr}")
        check(json.loads(done.stdout)["messages"] == COUNT, done.stdout)
        with self.server.imap(alias) as client:
            check(snapshot(client) == expected, "it is not what the server has")

    def is_refused(self, scheme, port, *options, said, tap=None):
        done, alias = self.take(scheme, port, *options)
        text = done.stdout + done.stderr
        check(done.returncode != 0, f"{scheme}: {text}")
        for words in said:
            check(words in text, f"{scheme}: {words!r} is not said: {text}")
        with self.server.imap(alias) as client:
            check(not snapshot(client), "something came")
        if tap is not None:
            check(PASSWORD not in tap.seen and b"LOGIN" not in tap.seen, tap.seen)
            check(tap.seen, "the command did not come by here")


@suite.case
def with_its_authority_named_it_is_taken_over(world):
    with world.dovecot(world.good) as dovecot:
        with dovecot.client() as client:
            expected = snapshot(client)
        check(sum(map(len, expected.values())) == COUNT, expected)
        for scheme, port in (("imaps", dovecot.tls_port), ("imap", dovecot.port)):
            tap = Tap(world.address, port)
            world.comes(scheme, tap.port, "--server-ca-file", world.ca, expected=expected)
            check(PASSWORD not in tap.seen and b"LOGIN" not in tap.seen, "the password is in clear")
            check((b"STARTTLS" in tap.seen) == (scheme == "imap"), tap.seen[:60])
        conf = world.folder / "with-ca.conf"
        conf.write_text(re.sub(r"(?m)^outgoing_ca = .*$", f'outgoing_ca = "{world.ca}"',
                               world.server.conf.read_text()))
        for scheme, port in (("imaps", dovecot.tls_port), ("imap", dovecot.port)):
            world.comes(scheme, port, expected=expected, conf=conf)


@suite.case
def without_its_authority_it_is_refused(world):
    with world.dovecot(world.good) as dovecot:
        dovecot.client().logout()
        for scheme, port in (("imaps", dovecot.tls_port), ("imap", dovecot.port)):
            tap = Tap(world.address, port)
            world.is_refused(scheme, tap.port, tap=tap,
                             said=("certificate is not believed", "--server-ca-file"))
        world.is_refused("imaps", dovecot.tls_port, "--server-ca-file", world.secret,
                         said=("no certificates can be read",))


@suite.case
def one_that_signed_its_own_is_refused_until_it_is_named(world):
    with world.dovecot(world.own) as dovecot:
        with dovecot.client() as client:
            expected = snapshot(client)
        for scheme, port in (("imaps", dovecot.tls_port), ("imap", dovecot.port)):
            tap = Tap(world.address, port)
            world.is_refused(scheme, tap.port, tap=tap, said=("self-signed", "no password was sent"))
            world.comes(scheme, port, "--server-ca-file", world.own[0], expected=expected)


@suite.case
def one_with_anothers_name_is_refused(world):
    with world.dovecot(world.wrong) as dovecot:
        dovecot.client().logout()
        for scheme, port in (("imaps", dovecot.tls_port), ("imap", dovecot.port)):
            tap = Tap(world.address, port)
            world.is_refused(scheme, tap.port, "--server-ca-file", world.ca, tap=tap,
                             said=("mismatch",))


@suite.case
def who_takes_starttls_away_hears_no_password(world):
    with world.dovecot(world.good) as dovecot:
        dovecot.client().logout()
        tap = Tap(world.address, dovecot.port, lambda data: data.replace(b"STARTTLS", b"STARTTXX"))
        world.is_refused("imap", tap.port, "--server-ca-file", world.ca, tap=tap,
                         said=("does not offer TLS", "no password"))
    with world.dovecot(None) as dovecot:  # it has none at all
        dovecot.client().logout()
        tap = Tap(world.address, dovecot.port)
        world.is_refused("imap", tap.port, tap=tap, said=("does not offer TLS",))


@suite.case
def what_was_said_before_tls_is_forgotten(world):
    """RFC 9051 §11.1: an answer to LOGIN that came in clear behind that to STARTTLS counts for nothing."""
    listener = socket.create_server((world.address, 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*world.good)
    heard = []

    def serve():
        client, _ = listener.accept()
        client.sendall(b"* OK ready\r\n")
        tag = client.recv(1000).split()[0]
        client.sendall(tag + b" OK begin\r\ns2 OK logged in\r\n")
        client = context.wrap_socket(client, server_side=True)
        line = client.recv(1000)
        heard.append(line)
        client.sendall(line.split()[0] + b" NO never\r\n")
        heard.append(client.recv(1000))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    world.is_refused("imap", listener.getsockname()[1], "--server-ca-file", world.ca,
                     said=("refuses name or password",))
    server.join(60)
    check(len(heard) == 2 and heard[0].startswith(b"s2 LOGIN") and heard[1] == b"", heard)


def main():
    suite.parse()
    net = Net()
    try:
        with Server() as server:
            suite.run(World(server, net.address))
    finally:
        net.stop()


if __name__ == "__main__":
    main()
