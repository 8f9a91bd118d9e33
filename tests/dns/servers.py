"""What the resolver's tests set it among: the kit that asks, servers that err, a Redis, unbound."""

import base64
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import doh  # noqa: E402
from lib.listener import Listener  # noqa: E402
from lib.server import free_ports, program  # noqa: E402
from lib.suite import check  # noqa: E402


class Kit:
    """dns_kit, a resolver and one who asks it."""

    def __init__(self, folder, **settings):
        self.conf = pathlib.Path(tempfile.mkstemp(prefix="kit-", suffix=".conf", dir=folder)[1])
        self.configure(**settings)
        kit = pathlib.Path(program()).resolve().parents[2] / "tests" / "dns" / "dns_kit"
        self.log = open(self.conf.with_suffix(".log"), "wb")
        self.process = subprocess.Popen([str(kit), str(self.conf)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)

    def configure(self, **settings):
        text = 'data = "/nonexistent"\nlog_level = debug\n'
        for name, value in settings.items():
            if isinstance(value, (list, tuple)):
                text += f"{name} = {{{', '.join(json.dumps(each) for each in value)}}}\n"
            else:
                text += f"{name} = {json.dumps(value)}\n"
        self.conf.write_text(text)

    def send(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the resolver ended:\n{self.said()[-3000:]}")
        return json.loads(line)

    def ask(self, name, kind="A", *more):
        self.send(" ".join(["ask", name, kind, *more]))
        return self.read()

    def said(self):
        self.log.flush()
        return self.conf.with_suffix(".log").read_text(errors="replace")

    def resolver(self):
        """The process id of the resolver."""
        out = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        return int(out.stdout.split()[0])

    def memory_kib(self):
        for line in pathlib.Path(f"/proc/{self.resolver()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "did not end"
        self.process.stdout.close()
        if kind is None:
            check(status == 0, f"the resolver ended with {status}:\n{self.said()[-3000:]}")
            for mark in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer"):
                check(mark not in self.said(), self.said()[-3000:])
        self.log.close()


class Faulty(Listener):
    """An HTTPS server (HTTP/1.1) that answers rightly and then spoils it as `manner` says."""

    def __init__(self, certificate, key, zones, manner, port=0):
        self.zones = zones
        self.manner = manner
        self.requests = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        # One whose URL has a query already.
        self.path = "/dns-query?key=1&" if manner == "an age" else "/dns-query?"
        super().__init__(port=port)
        self.url = f"https://{doh.NAME}:{self.port}{self.path.strip('?&')} 127.0.0.1"

    def serve(self, client):
        if self.manner == "no TLS":
            client.sendall(b"220 mail.test ESMTP\r\n")
            return
        if self.manner == "silent handshake":
            time.sleep(20)
            return
        with self.context.wrap_socket(client, server_side=True) as stream:
            while self.answer(stream):
                pass

    def answer(self, stream):
        data = b""
        while b"\r\n\r\n" not in data:
            more = stream.recv(65536)
            if not more:
                return False
            data += more
        # RFC 8484 §4.1: base64url without padding.
        method, target = data.split(b" ", 2)[:2]
        start = f"{self.path}dns=".encode()
        check(method == b"GET" and target.startswith(start), data[:200])
        text = target.removeprefix(start)
        check(b"=" not in text, target)
        question = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        self.requests += 1
        reply = bytearray(self.zones.answer(question))
        status, kind, more, manner = "200 OK", "application/dns-message", "", self.manner
        if manner == "slow":
            time.sleep(2)
        elif manner == "silent":
            time.sleep(20)
            return False
        elif manner == "drops the connection":
            return False
        elif manner == "wrong id":
            reply[0] ^= 1
        elif manner == "wrong question":
            reply[13] ^= 1
        elif manner == "a question":
            reply[2] &= 0x7f
        elif manner == "truncated":
            reply[2] |= 2
        elif manner == "cut short":
            reply = reply[:-3]
        elif manner == "garbage":
            reply = bytearray(os.urandom(200))
        elif manner == "empty":
            reply = bytearray()
        elif manner == "oversized":
            reply = reply + bytes(10 * 1024 * 1024)
        elif manner == "a page":
            kind, reply = "text/html", bytearray(b"<html>log in to this wireless network</html>")
        elif manner == "status 500":
            status = "500 Sorry"
        elif manner == "status 429":
            status = "429 Too many"
        elif manner == "a redirect":
            status, more = "302 Found", f"Location: https://{doh.NAME}:1/\r\n"
        elif manner == "endless headers":
            more = "X-Header: y\r\n" * 20000
        elif manner == "an age":
            more = "Age: 250\r\n"
        promised = len(reply) + (100 if manner == "breaks in the middle" else 0)
        stream.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}"
                       f"Content-Length: {promised}\r\n\r\n".encode() + bytes(reply))
        return manner != "breaks in the middle"

    def stop(self):
        self.listener.close()


class Redis:
    def __init__(self, folder):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="redis-", dir=folder))
        self.port = free_ports(1)[0]
        self.path = self.folder / "redis.sock"
        self.password = "correct horse"
        self.password_file = self.folder / "password"
        self.password_file.write_text(self.password + "\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket",
             str(self.path), "--save", "", "--appendonly", "no", "--dir", str(self.folder),
             "--requirepass", self.password],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if self.path.exists() and self.run("PING") == "PONG":
                return
            time.sleep(0.02)
        raise RuntimeError("redis-server does not start")

    def run(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), "-a", self.password, *words],
                              capture_output=True, text=True)
        return done.stdout.strip()

    def stop(self):
        self.process.kill()
        self.process.wait()


SIGNED = """$ORIGIN signed.test.
$TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
@ IN A 192.0.2.1
@ IN MX 10 mx
mx IN A 192.0.2.2
_25._tcp.mx IN TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
alias IN CNAME mx
"""


class Unbound:
    """A validating resolver with a signed zone, a spoiled copy of it, and an unsigned one."""

    def __init__(self, folder, certificate, key):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="unbound-", dir=folder))
        self.folder.chmod(0o755)
        doh_port, plain_port = free_ports(2)
        anchor = self.sign("signed.test", SIGNED)
        bogus = self.sign("bogus.test", SIGNED.replace("signed.test", "bogus.test"))
        path = self.folder / "bogus.test.zone.signed"
        path.write_text(path.read_text().replace("192.0.2.2", "192.0.2.66"))
        (self.folder / "plain.test.zone.signed").write_text(SIGNED.replace("signed.test",
                                                                            "plain.test"))
        zones = "".join(f"auth-zone:\n  name: {name}\n  zonefile: {self.folder}/{name}.zone.signed\n"
                        "  for-downstream: no\n  for-upstream: yes\n"
                        for name in ("signed.test", "bogus.test", "plain.test"))
        (self.folder / "unbound.conf").write_text(f"""
server:
  directory: "{self.folder}"
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  interface: 127.0.0.1@{plain_port}
  interface: 127.0.0.1@{doh_port}
  https-port: {doh_port}
  http-endpoint: "/dns-query"
  tls-service-key: "{key}"
  tls-service-pem: "{certificate}"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  local-zone: "test." nodefault
  module-config: "validator iterator"
  trust-anchor: "{anchor}"
  trust-anchor: "{bogus}"
{zones}
remote-control:
  control-enable: no
""")
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(["unbound", "-d", "-c", str(self.folder / "unbound.conf")],
                                        stdout=self.log, stderr=self.log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", doh_port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        if self.process.poll() is not None:
            raise RuntimeError("unbound does not start: " + (self.folder / "log").read_text())
        self.url = f"https://{doh.NAME}:{doh_port}/dns-query 127.0.0.1"

    def sign(self, name, text):
        """Signs with ldns; gives the key that it is to be trusted by."""
        zone = self.folder / f"{name}.zone"
        zone.write_text(text)
        key = subprocess.run(["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", "-r", "/dev/urandom",
                              name], cwd=self.folder, capture_output=True, text=True,
                             check=True).stdout.strip()
        subprocess.run(["ldns-signzone", "-f", f"{zone}.signed", str(zone), key], cwd=self.folder,
                       check=True, capture_output=True)
        return (self.folder / f"{key}.key").read_text().split(";")[0].strip().replace("\t", " ")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
