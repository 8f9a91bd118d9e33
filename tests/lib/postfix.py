"""Debian's Postfix as another mail server: on a host of lib/netns.py, in a temporary folder.

    with Postfix(host, "mx.other.test", ["other.test"], certificate, key) as postfix:
        postfix.mail("ann@other.test")      # what came for her
        postfix.send("ann@other.test", ["me@ours.test"], message)

What it receives for its domains lies in Maildirs; everything else it relays, asking no DNS, to the
hosts that `routes` names by domain: {"ours.test": "198.18.0.1"}.
"""

import pathlib
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time

UNIX_ID = 5000  # owns the Maildirs; no such account is needed
SHIPPED = ("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf")


class Postfix:
    def __init__(self, host, name, domains, certificate=None, key=None, routes=None, settings=""):
        self.host = host
        self.name = name
        self.domains = domains
        self.certificate, self.key = certificate, key
        self.routes = routes or {}
        self.settings = settings
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postfix-"))
        self.folder.chmod(0o755)
        self.process = None

    def write(self):
        folder, conf = self.folder, self.folder / "conf"
        conf.mkdir()
        for name, owner in (("queue", "root"), ("state", "postfix"), ("mail", None)):
            (folder / name).mkdir()
            shutil.chown(folder / name, owner or UNIX_ID)
        (conf / "transport").write_text("".join(
            f"{domain} smtp:[{address}]\n" for domain, address in self.routes.items()))
        tls = ""
        if self.certificate:
            tls = f"""
smtpd_tls_cert_file = {self.certificate}
smtpd_tls_key_file = {self.key}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
"""
        (conf / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/state
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = {self.host.address}, [{self.host.address6}]
inet_protocols = all
smtp_bind_address = {self.host.address}
myhostname = {self.name}
mydestination =
mynetworks = 198.18.0.0/24, [2001:2::]/64
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {', '.join(self.domains)}
virtual_mailbox_maps = static:all/
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{UNIX_ID}
virtual_gid_maps = static:{UNIX_ID}
virtual_mailbox_limit = 0
message_size_limit = 52428800
transport_maps = texthash:{conf}/transport
disable_dns_lookups = yes
smtp_tls_security_level = may
smtputf8_enable = yes
minimal_backoff_time = 2s
maximal_backoff_time = 5s
queue_run_delay = 2s
{tls}{self.settings}
""")
        # One mailbox for all that comes: a test looks for its own by recipient.
        lines = []
        shipped = next(path for path in map(pathlib.Path, SHIPPED) if path.exists())
        for line in shipped.read_text().splitlines():
            fields = line.split()
            if len(fields) >= 8 and not line.startswith(("#", " ", "\t")):
                fields[4] = "n"  # nothing is chrooted
                line = " ".join(fields)
            lines.append(line)
        (conf / "master.cf").write_text("\n".join(lines) + "\n")

    def start(self):
        self.write()
        self.out = open(self.folder / "out", "wb")
        self.process = self.host.popen(["postfix", "-c", self.folder / "conf", "start-fg"],
                                       stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((self.host.address, 25), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"Postfix does not start: {self.log()}") from None
                time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            self.host.run(["postfix", "-c", self.folder / "conf", "stop"], capture_output=True)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
            self.out.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        return "".join(path.read_text(errors="replace")[-4000:]
                       for path in (self.folder / "log", self.folder / "out") if path.exists())

    def mail(self, recipient=None):
        """The messages that came, as bytes; those for one recipient when given."""
        found = []
        for folder in ("new", "cur"):
            for path in sorted((self.folder / "mail" / "all" / folder).glob("*")):
                data = path.read_bytes()
                mark = f"\nDelivered-To: {recipient}\n".encode()
                if recipient is None or mark in b"\n" + data:
                    found.append(data)
        return found

    def wait_for_mail(self, recipient, count=1, seconds=30):
        deadline = time.monotonic() + seconds
        while len(found := self.mail(recipient)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} messages for {recipient} came: "
                                     f"{self.log()}")
            time.sleep(0.05)
        return found

    def send(self, sender, recipients, message, options=()):
        """Into its queue, as a client of its own network."""
        with smtplib.SMTP(self.host.address, 25, local_hostname="client.test", timeout=30) as client:
            client.sendmail(sender, recipients, message, mail_options=options)

    def queued(self):
        """What still waits: postqueue's JSON lines, as text."""
        done = self.host.run(["postqueue", "-c", self.folder / "conf", "-j"], capture_output=True,
                             text=True)
        return done.stdout
