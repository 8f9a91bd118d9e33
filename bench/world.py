"""The other side of bench/flow.py: domains that send (SPF, DKIM, DMARC), messages that they signed, domains
that mail goes to, a DNS that knows all of them, and a server that takes everything."""

import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import dkim

import load

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
from lib import doh  # noqa: E402
from lib.server import free_ports  # noqa: E402

SENDERS, DESTINATIONS = 50, 20
SELECTOR = "bench"
LEARNED = 250  # of each kind; rspamd's classifier wants 200


def domain_of_sender(number):
    return f"sender{number % SENDERS}.test"


def domain_of_destination(number):
    return f"destination{number % DESTINATIONS}.test"


def wait_for_connect(port, process, address="127.0.0.1"):
    for _ in range(400):
        if process.poll() is not None:
            break
        try:
            socket.create_connection((address, port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} does not start")


class World:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-world-"))
        self.folder.chmod(0o755)
        self.key = self.folder / "dkim.key"
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", self.key, "2048"], check=True,
                       capture_output=True)
        self.key.chmod(0o644)
        self.doh = doh.start(self.zones(), ttl=3600, negative_ttl=3600)
        self.signed = []

    def zones(self):
        public = subprocess.run(["openssl", "rsa", "-in", self.key, "-pubout"], check=True,
                                capture_output=True, text=True).stdout
        public = "".join(line for line in public.splitlines() if "-" not in line)
        zones = {"1.0.0.127.in-addr.arpa": [["PTR", "client.test"]],
                 "client.test": [["A", "127.0.0.1"], ["TXT", "v=spf1 a -all"]]}
        for number in range(SENDERS):
            name = domain_of_sender(number)
            zones[name] = [["MX", 10, f"mx.{name}"],
                           ["TXT", f"v=spf1 ip4:192.0.2.0/24 include:spf.{name} -all"]]
            zones[f"spf.{name}"] = [["TXT", "v=spf1 ip4:127.0.0.0/8 -all"]]
            zones[f"mx.{name}"] = [["A", "192.0.2.9"]]
            zones[f"_dmarc.{name}"] = [["TXT", "v=DMARC1; p=reject"]]
            zones[f"{SELECTOR}._domainkey.{name}"] = [["TXT", f"v=DKIM1; k=rsa; p={public}"]]
        for number in range(DESTINATIONS):
            name = domain_of_destination(number)
            zones[name] = [["MX", 10, f"mx.{name}"]]
            zones[f"mx.{name}"] = [["A", "127.0.0.1"]]
        return zones

    @staticmethod
    def destinations():
        return [domain_of_destination(number) for number in range(DESTINATIONS)]

    def sign(self, messages):
        """As each one's sender sends it."""
        key = self.key.read_bytes()
        while len(self.signed) < len(messages):
            number = len(self.signed)
            domain = domain_of_sender(number).encode()
            raw = re.sub(rb"(From: .*<sender\d+)@example.org", rb"\1@" + domain,
                         messages[number], count=1)
            raw = raw.replace(b"Return-Path: ", b"X-Was: ", 1)
            head = dkim.sign(raw, SELECTOR.encode(), domain, key,
                             canonicalize=(b"relaxed", b"relaxed"))
            self.signed.append(head + raw)
        return self.signed[:len(messages)]

    def learned(self, kind):
        """A folder of messages of that kind: words of another vocabulary are spam."""
        folder = self.folder / kind
        if not folder.exists():
            folder.mkdir()
            messages = load.Corpus(LEARNED, seed=2 if kind == "ham" else 3).messages
            for number, raw in enumerate(messages):
                (folder / f"{number}.eml").write_bytes(raw)
        return folder

    def stop(self):
        self.doh.stop()
        subprocess.run(["rm", "-rf", self.folder], check=True)


class Sink:
    """Postfix's smtp-sink, which counts what it takes."""

    def __init__(self, port, folder):
        self.log = folder / f"sink-{time.monotonic_ns()}"
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(["smtp-sink", "-c", "-u", "postfix", "-m", "1000",
                                             f"127.0.0.1:{port}", "1000"], stdout=file,
                                            stderr=file, stdin=subprocess.DEVNULL)
        wait_for_connect(port, self.process)

    def count(self):
        with open(self.log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - 200))
            found = re.findall(rb"mesg=(\d+)\r", file.read())
        return int(found[-1]) if found else 0

    def wait(self, expected, seconds=120):
        deadline = time.monotonic() + seconds
        while self.count() < expected:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"only {self.count()} of {expected} messages came to the sink")
            time.sleep(0.005)

    def stop(self):
        self.process.kill()
        self.process.wait()


def resolver(folder, backend, address):
    """The command of an unbound for the other server: it keeps answers, and asks the same DNS."""
    conf = folder / "unbound.conf"
    conf.write_text(f"""
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  logfile: "{folder}/unbound.out"
  num-threads: 1
  interface: {address}@53
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." transparent
  local-zone: "127.in-addr.arpa." transparent
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{backend}
remote-control:
  control-enable: no
""")
    return ["unbound", "-d", "-c", str(conf)]


def sink_port():
    return free_ports(1)[0]
