"""A running Sealpost in a temporary folder, for the tests.

    with Server() as server:
        alias = server.add_alias("me@example.test")
        with server.imap(alias) as imap: ...

The program is the environment's SEALPOST_PROGRAM, else the one in build/. Everything is on loopback,
on ports that were free. Processes are found by their session id, which survives the death of the
master, so that kill_all() leaves none behind.
"""

import fcntl
import imaplib
import json
import os
import pathlib
import random
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
LISTENERS = ("imap", "imaps", "pop3", "pop3s", "mx", "submission", "submissions")
ROLES = ("master", "keeper", "gate", "store", "nursery", "mailbox", "sealer", "smtp",
         "resolver", "examiner", "scanner", "courier", "archivist")
# imaplib's own limit is meant for terminals; a FETCH line of a real mailbox is longer.
imaplib._MAXLINE = 100 << 20


def program():
    """The path of the sealpost under test."""
    given = os.environ.get("SEALPOST_PROGRAM")
    if given:
        return str(pathlib.Path(given).resolve())
    for place in ("build/sealpost", "build/src/sealpost", "build/src/role/sealpost",
                  "build/src/cli/sealpost"):
        if (PROJECT / place).exists():
            return str(PROJECT / place)
    raise FileNotFoundError("no sealpost in build/: run ./check, or set SEALPOST_PROGRAM")


def build_folder():
    """Where meson put the test libraries (interposition, stock shell)."""
    return pathlib.Path(os.environ.get("SEALPOST_BUILD", PROJECT / "build")).resolve()


_ports = None  # the file whose bytes stand for ports: each is locked by the process that may use it
_own_ports = set()  # a process's own locks do not keep it out


def free_ports(count):
    """Below those that the kernel gives to outgoing connections: one of these, made between our looking
    and the server's listening, would have the port. No other process gets them from here while this one
    lives, not between a server's end and its next start either."""
    global _ports
    if _ports is None:  # one for all runs on this machine, whatever their TMPDIR
        _ports = open(f"/tmp/sealpost-ports-{os.getuid()}", "ab")  # noqa: SIM115
    found = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10000, 32000)
        if port not in _own_ports and _take_port(port):
            _own_ports.add(port)
            found.append(port)
    return found


def _take_port(port):
    """Nobody else has it, of our processes or of others."""
    try:
        fcntl.lockf(_ports, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            fcntl.lockf(_ports, fcntl.LOCK_UN, 1, port)
            return False


class AdminError(Exception):
    def __init__(self, arguments, status, text):
        super().__init__(f"sealpost {' '.join(arguments)}: exit {status}: {text.strip()}")
        self.status = status


class Alias:
    """An address with its password, as shown once when it was made."""

    def __init__(self, address, answer):
        self.address = address
        self.password = find_key(answer, "password")
        self.recovery = find_key(answer, "recovery_key")
        self.mailbox = find_key(answer, "mailbox") or find_key(answer, "id")
        if not self.password:
            raise AssertionError(f"no password in the answer for {address}: {answer}")

    def __repr__(self):
        return self.address


def find_key(value, key):
    """The first value of that key anywhere in a JSON answer."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            found = find_key(each, key)
            if found is not None:
                return found
    return None


class Process:
    """One process of the service, as /proc shows it."""

    def __init__(self, pid, name, words):
        self.pid = pid
        self.words = words
        # A role names its process after itself; the master keeps the program's name.
        self.role = name if name in ROLES else "master"

    def __repr__(self):
        return f"{self.role}({self.pid})"


def processes_of_session(session):
    """All live processes of a session, zombies left out."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[3]) != session or fields[0] in (b"Z", b"X"):
                continue
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                comm = file.read().strip()
        except (OSError, IndexError, ValueError):
            continue  # it ended while we looked
        found.append(Process(int(entry), comm, words))
    return found


class Server:
    def __init__(self, settings=None, environment=None, preload=None, base=None, keep=False,
                 data=None, listen=None):
        """settings: of the configuration, by name; preload: libraries for LD_PRELOAD; listen: more
        addresses of a listener, by its name."""
        self.listen = dict(listen or {})
        self.keep = keep or bool(os.environ.get("SEALPOST_KEEP"))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-", dir=base))
        self.data = pathlib.Path(data) if data else self.folder / "data"
        self.certificate = self.data / "tls" / "certificate.pem"
        self.conf = self.folder / "sealpost.conf"
        self.log_path = self.folder / "log"
        self.environment = dict(environment or {})
        self.preload = list(preload or [])
        self.settings = dict(settings or {})
        self.process = None
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        self.prepared = False

    # ---- life ----

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self.remove()

    def write_config(self):
        self.data.mkdir(mode=0o700, exist_ok=True)
        lines = {"data": str(self.data), "hostname": "localhost",
                 "plain_login_on_loopback": True,
                 "admin_socket": str(self.data / "run" / "admin.sock"),
                 # There is no DNS unless a test brings its own (doh.py): what is asked fails at once.
                 "dns_upstreams": ["https://nowhere.test:9/dns-query 127.0.0.1"],
                 # Nor anybody whom the system's 140 authorities vouch for: to read them, in three
                 # processes, is half of what a start costs.
                 "outgoing_ca": str(self.certificate), "dns_upstream_ca": str(self.certificate)}
        lines.update(self.settings)
        text = ""
        for name in LISTENERS:
            places = [f"127.0.0.1:{self.ports[name]}", *self.listen.get(name, [])]
            text += f"{name} = {{{', '.join(f'{chr(34)}{place}{chr(34)}' for place in places)}}}\n"
        for name, value in lines.items():
            if value is None:  # the program's own default
                continue
            if isinstance(value, bool):
                text += f"{name} = {'yes' if value else 'no'}\n"
            elif isinstance(value, int):
                text += f"{name} = {value}\n"
            elif isinstance(value, (list, tuple)):
                text += f"{name} = {{{', '.join(f'{chr(34)}{each}{chr(34)}' for each in value)}}}\n"
            else:
                text += f'{name} = "{value}"\n'
        self.conf.write_text(text)

    def prepare(self):
        self.write_config()
        if not self.prepared and not self.certificate.exists():
            subprocess.run([program(), "make-certificate", "--config", str(self.conf)], check=True,
                           stdout=subprocess.DEVNULL, timeout=60)
        self.prepared = True

    def start(self, wait=True):
        self.prepare()
        environment = {**os.environ, **self.environment}
        if self.preload:
            environment["LD_PRELOAD"] = ":".join(str(path) for path in self.preload)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [program(), "serve", "--config", str(self.conf)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=environment, start_new_session=True)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds=30):
        """Until every listener answers and the administrator's socket does."""
        deadline = time.monotonic() + seconds
        pending = ["imap", "mx", "submission"]
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"serve ended with {self.process.returncode}:\n{self.log(4000)}")
            try:
                while pending:
                    with socket.create_connection(("127.0.0.1", self.ports[pending[0]]), 5) as s:
                        s.settimeout(5)
                        if not s.recv(1):
                            raise OSError("closed without a greeting")
                    pending.pop(0)
                self.admin("domain", "list")
                return
            except (OSError, AdminError) as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not ready after {seconds} s ({error}):\n"
                                       f"{self.log(4000)}") from None
                time.sleep(0.05)

    def stop(self, seconds=20):
        """Orderly; raises when it does not end, or ends badly."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_session(process)
            raise RuntimeError(f"the master did not end within {seconds} s of SIGTERM:\n"
                               f"{self.log(4000)}") from None
        left = self.kill_session(process)
        if left:
            raise RuntimeError(f"processes outlived the master: {left}")
        if status not in (0, -signal.SIGTERM):
            raise RuntimeError(f"serve ended with {status}:\n{self.log(4000)}")

    def kill_session(self, process):
        """SIGKILL to everything that is left; returns what was."""
        first = []
        for _ in range(200):
            left = processes_of_session(process.pid)
            first = first or left
            if not left:
                break
            for each in left:
                try:
                    os.kill(each.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.poll()
            time.sleep(0.01)
        process.wait(10)
        return first

    def kill_all(self):
        """The whole tree at once, as when the machine stops."""
        if self.process is not None:
            process, self.process = self.process, None
            self.kill_session(process)

    def remove(self):
        self.kill_all()
        if self.keep:
            print(f"kept: {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- looking ----

    def processes(self, role=None):
        if self.process is None:
            return []
        found = processes_of_session(self.process.pid)
        for each in found:
            if each.pid == self.process.pid:
                each.role = "master"
        return [each for each in found if role is None or each.role == role]

    def children_of_mailboxes(self):
        """Processes of mailboxes whose parent is one, too."""
        mailboxes = {each.pid for each in self.processes("mailbox")}
        found = []
        for pid in mailboxes:
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) in mailboxes:
                found.append(pid)
        return found

    def log(self, last_bytes=None):
        try:
            data = self.log_path.read_bytes()
        except FileNotFoundError:
            return ""
        return data[-last_bytes if last_bytes else 0:].decode("utf-8", "replace")

    def sanitizer_findings(self):
        """Lines of the log that a sanitizer or an assertion wrote."""
        marks = ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer",
                 "Assertion", "assertion", "SUMMARY: ")
        return [line for line in self.log().splitlines() if any(mark in line for mark in marks)]

    # ---- administration ----

    def admin(self, *arguments, timeout=60):
        """A subcommand with --json; its answer. AdminError when it fails."""
        done = subprocess.run([program(), *arguments, "--config", str(self.conf), "--json"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                              text=True)
        if done.returncode != 0:
            raise AdminError(arguments, done.returncode, done.stderr or done.stdout)
        text = done.stdout.strip()
        if not text:
            return None
        try:
            return json.loads(text)
        except json.JSONDecodeError:  # one object a line
            return [json.loads(line) for line in text.splitlines() if line.strip()]

    def add_domain(self, name):
        return self.admin("domain", "add", name)

    def add_alias(self, address, *options):
        """Makes the domain too, if it is missing."""
        domain = address.rpartition("@")[2]
        try:
            self.add_domain(domain)
        except AdminError:
            pass  # there already; what is really wrong shows in the next line
        return Alias(address, self.admin("alias", "add", address, *options))

    # ---- clients ----

    def imap(self, alias=None, tls=False, timeout=30):
        """A connection of imaplib, logged in when an alias is given."""
        if tls:
            client = imaplib.IMAP4_SSL("127.0.0.1", self.ports["imaps"], ssl_context=self.tls,
                                       timeout=timeout)
        else:
            client = imaplib.IMAP4("127.0.0.1", self.ports["imap"], timeout=timeout)
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if alias is not None:
            client.login(alias.address, alias.password)
        return client

    def smtp(self, timeout=30):
        """Incoming mail, as from another server."""
        return smtplib.SMTP("127.0.0.1", self.ports["mx"], local_hostname="client.test",
                            timeout=timeout)

    def submission(self, alias, tls=True, timeout=30):
        if tls:
            client = smtplib.SMTP_SSL("127.0.0.1", self.ports["submissions"], context=self.tls,
                                      local_hostname="client.test", timeout=timeout)
        else:
            client = smtplib.SMTP("127.0.0.1", self.ports["submission"],
                                  local_hostname="client.test", timeout=timeout)
            client.starttls(context=self.tls)
        client.login(alias.address, alias.password)
        return client
