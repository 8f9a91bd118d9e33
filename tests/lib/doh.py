"""A DNS over HTTPS server with zones of one's own, on loopback: Debian's dnsdist speaks HTTPS and
HTTP/2, a thread of this process knows the answers. The zones may be changed while it runs.

    zones = {"example.test": [["MX", 10, "mx.example.test"], ["TXT", "v=spf1 -all"]],
             "mx.example.test": [["A", "192.0.2.1"]],
             "www.example.test": [["CNAME", "example.test"]],
             "slow.test": [["TIMEOUT"]],           # no answer
             "sick.test": [["SERVFAIL"]]}          # or REFUSED
    with doh.start(zones, secure={"example.test"}) as server:
        Server(settings={**server.settings, ...})

A name that is not in `zones` does not exist, unless something below it does. Types: A, AAAA, TXT (one
or several strings), MX, PTR, NS, CNAME, SRV (priority, weight, port, target), TLSA (usage, selector,
matching, hex data), SOA. `secure`: names whose answers have the AD bit, with all that is below them.
TTLs are `ttl` seconds; negative answers have a SOA of the zone `soa`, with `negative_ttl`.
`asked` counts the questions that came, by (name, type).
"""

import collections
import ipaddress
import pathlib
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28,
         "SRV": 33, "TLSA": 52}
NAME = "doh.test"  # in the certificate and the URL


def pack_name(name):
    """Labels; a dot inside one is written as \\."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    name = name.rstrip(".")
    if not name:
        return b"\0"
    out = b""
    for label in name.replace("\\.", "\1").split("."):
        label = label.replace("\1", ".").encode("utf-8")
        if not 0 < len(label) < 64:
            raise ValueError(f"a label of {len(label)} bytes in {name!r}")
        out += bytes([len(label)]) + label
    return out + b"\0"


def pack_text(text):
    data = text.encode("utf-8") if isinstance(text, str) else text
    parts = [data[at:at + 255] for at in range(0, len(data), 255)] or [b""]
    return b"".join(bytes([len(part)]) + part for part in parts)


def pack_data(kind, values):
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(values[0]).packed
    if kind == "TXT":
        return b"".join(pack_text(each) for each in values)
    if kind == "MX":
        return struct.pack(">H", int(values[0])) + pack_name(values[1])
    if kind == "SRV":
        return struct.pack(">HHH", *(int(each) for each in values[:3])) + pack_name(values[3])
    if kind == "TLSA":
        return bytes(int(each) for each in values[:3]) + bytes.fromhex(values[3])
    return pack_name(values[0])


def read_name(message, at):
    labels = []
    while message[at] != 0:
        labels.append(message[at + 1:at + 1 + message[at]])
        at += 1 + message[at]
    return b".".join(labels).decode("latin-1").lower(), at + 1


class Zones:
    """Answers as a recursive resolver would give them."""

    def __init__(self, records, secure=(), ttl=300, negative_ttl=60, soa="test"):
        self.records = records
        self.secure = secure
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.soa = soa
        self.asked = collections.Counter()

    def find(self, name):
        for key, records in self.records.items():
            if key.lower().rstrip(".") == name:
                return records
        return None

    def is_secure(self, name):
        return any(name == each or name.endswith("." + each) for each in self.secure)

    def answer(self, message):
        """The response, or None for no answer at all."""
        name, at = read_name(message, 12)
        number = struct.unpack_from(">H", message, at)[0]
        question = message[12:at + 4]
        self.asked[(name, next((k for k, v in TYPES.items() if v == number), number))] += 1
        owner, answers, code, secure = name, [], 0, self.is_secure(name)
        for _ in range(20):
            records = self.find(owner)
            if records is None:
                below = any(key.lower().rstrip(".").endswith("." + owner) for key in self.records)
                code = 0 if below else 3
                break
            kinds = {record[0] for record in records}
            if "TIMEOUT" in kinds:
                return None
            if kinds & {"SERVFAIL", "REFUSED"}:
                return self.pack(message, question, 2 if "SERVFAIL" in kinds else 5, [], False)
            aliases = [record for record in records if record[0] == "CNAME"]
            follow = aliases and number != TYPES["CNAME"]
            for record in aliases if follow else records:
                if follow or TYPES.get(record[0]) == number:
                    answers.append((owner, TYPES[record[0]], pack_data(record[0], record[1:])))
            if not follow:
                break
            owner = aliases[0][1].lower().rstrip(".")
            secure = secure and self.is_secure(owner)
        return self.pack(message, question, code, answers, secure)

    def pack(self, message, question, code, answers, secure):
        negative = code == 3 or (code == 0 and not any(each[1] != 5 for each in answers))
        flags = 0x8180 | code | (0x20 if secure else 0)
        body = b""
        for owner, number, data in answers:
            body += pack_name(owner) + struct.pack(">HHIH", number, 1, self.ttl, len(data)) + data
        if negative and self.soa is not None:
            data = pack_name("ns." + self.soa) + pack_name("hostmaster." + self.soa)
            data += struct.pack(">IIIII", 1, 3600, 600, 86400, self.negative_ttl)
            body += pack_name(self.soa) + struct.pack(">HHIH", 6, 1, self.negative_ttl, len(data))
            body += data
        head = message[:2] + struct.pack(">HHHHH", flags, 1, len(answers),
                                         1 if negative and self.soa is not None else 0, 0)
        return head + question + body


class Backend:
    """UDP and TCP on one port; each question in a thread, so that a silent one delays no other."""

    def __init__(self, answer):
        owner = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                reply = owner.answer(self.request[0])
                if reply is None:
                    return
                if len(reply) > 1232:  # cut: TC, the question, nothing else
                    question = self.request[0][12:]
                    end = question.index(b"\0") + 5
                    reply = (reply[:2] + struct.pack(">H", 0x8380) +
                             struct.pack(">HHHH", 1, 0, 0, 0) + question[:end])
                self.request[1].sendto(reply, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while True:
                    head = self.rfile.read(2)
                    if len(head) < 2:
                        return
                    message = self.rfile.read(struct.unpack(">H", head)[0])
                    reply = owner.answer(message)
                    if reply is not None:
                        self.wfile.write(struct.pack(">H", len(reply)) + reply)

        class Datagrams(socketserver.ThreadingUDPServer):
            daemon_threads = True
            max_packet_size = 65535

        class Streams(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self.answer = answer
        for _ in range(50):
            self.tcp = Streams(("127.0.0.1", 0), Tcp)
            self.port = self.tcp.server_address[1]
            try:
                self.udp = Datagrams(("127.0.0.1", self.port), Udp)
                break
            except OSError:  # somebody has the same port for UDP
                self.tcp.server_close()
        else:
            raise RuntimeError("no port that is free for UDP and TCP")
        self.udp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for server in (self.tcp, self.udp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        for server in (self.tcp, self.udp):
            server.shutdown()
            server.server_close()


def make_certificate(folder, name=NAME):
    """Self-signed, so it is its own CA; gives the paths of certificate and key."""
    certificate, key = folder / "doh.pem", folder / "doh.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


class Doh:
    """dnsdist before a backend. `settings` is what a Sealpost needs to ask it."""

    def __init__(self, zones, secure=(), ttl=300, negative_ttl=60, soa="test",
                 address="127.0.0.1"):
        self.zones = Zones(zones, secure, ttl, negative_ttl, soa)
        self.asked = self.zones.asked
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-doh-"))
        self.address = address
        self.backend = None
        self.process = None
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        self.certificate, key = make_certificate(self.folder)
        self.backend = Backend(self.zones.answer)
        for _ in range(10):
            with socket.socket() as one, socket.socket() as two:
                one.bind((self.address, 0))
                two.bind((self.address, 0))
                self.port, plain = one.getsockname()[1], two.getsockname()[1]
            (self.folder / "dnsdist.conf").write_text(f"""
setLocal("{self.address}:{plain}")
setACL({{"0.0.0.0/0", "::/0"}})
setSecurityPollSuffix("")
addDOHLocal("{self.address}:{self.port}", "{self.certificate}", "{key}", "/dns-query",
            {{idleTimeout=60}})
newServer({{address="127.0.0.1:{self.backend.port}", name="zones"}})
getServer(0):setUp()
""")
            self.log = open(self.folder / "log", "wb")
            self.process = subprocess.Popen(
                ["dnsdist", "--supervised", "--disable-syslog", "-C",
                 str(self.folder / "dnsdist.conf")],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
            if self.wait():
                break
        else:
            raise RuntimeError("dnsdist does not start: " +
                               (self.folder / "log").read_text(errors="replace")[-2000:])
        self.plain_port = plain  # plain DNS, for a list resolver
        self.settings = {
            "dns_upstreams": [f"https://{NAME}:{self.port}/dns-query {self.address}"],
            "dns_upstream_ca": str(self.certificate),
            "dns_list_resolver": [f"127.0.0.1:{self.backend.port}"],
        }

    def wait(self):
        """True when it takes connections; False when it ended (a port was taken meanwhile)."""
        for _ in range(200):
            if self.process.poll() is not None:
                return False
            try:
                socket.create_connection((self.address, self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
            self.log.close()
        if self.backend is not None:
            self.backend.stop()
            self.backend = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start(zones, **options):
    return Doh(zones, **options)
