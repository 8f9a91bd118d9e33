#!/usr/bin/python3
"""Programs from Debian that fetch mail by POP3, over TLS, from a running server."""

import collections
import hashlib
import os
import pathlib
import poplib
import shutil
import ssl
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

suite = Suite(__doc__)
COUNT = 300
BODIES = (  # what a byte-stuffing or line-counting program may get wrong
    "Words.\r\n",
    ".\r\n..\r\n.hidden\r\n",
    "\r\n\r\nblank lines\r\n\r\n",
    "a long line " + "x" * 2000 + "\r\n",
    "".join(f"line {n} of many\r\n" for n in range(2000)),
    "trailing blanks  \t \r\n",
    "From here on: a line that mbox would change\r\n",
)


def messages():
    for number in range(COUNT):
        yield (f"Return-Path: <somebody@example.org>\r\nFrom: Somebody <somebody@example.org>\r\n"
               f"To: me@pop3.test\r\nSubject: message {number}\r\n"
               f"Message-ID: <{number}.{os.getpid()}@example.org>\r\n"
               f"Date: Mon, 06 Jul 2026 10:{number // 60:02d}:{number % 60:02d} +0000\r\n"
               f"\r\n{BODIES[number % len(BODIES)]}").encode()


def digests(texts):
    return collections.Counter(hashlib.sha256(text).hexdigest() for text in texts)


class World:
    """The server, and a folder for the programs' files."""

    def __init__(self, server):
        self.server = server
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-pop3-"))
        self.folder.chmod(0o711)
        self.port = server.ports["pop3s"]
        self.certificate = self.folder / "server.pem"
        self.certificate.write_text(ssl.get_server_certificate(("127.0.0.1", self.port)))

    def filled(self, name):
        """A new account with the messages in it, and what they should be."""
        alias = self.server.add_alias(f"{name}@pop3.test")
        with self.server.imap(alias) as client:
            for raw in messages():
                answer, data = client.append("INBOX", None, None, raw)
                check(answer == "OK", data)
        return alias, digests(messages())

    def left(self, alias):
        with self.server.imap(alias, tls=True) as client:
            return int(client.select("INBOX", readonly=True)[1][0])

    def file(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def maildir(self, name):
        path = self.folder / name
        for part in ("cur", "new", "tmp"):
            (path / part).mkdir(parents=True)
        return path


def program(name, *arguments, statuses=(0,), **options):
    if shutil.which(name) is None:
        raise Skip(f"{name} is not installed")
    done = subprocess.run([name, *arguments], capture_output=True, timeout=300,
                          stdin=subprocess.DEVNULL, **options)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    check(done.returncode in statuses, f"{name} ended with {done.returncode}: {text[-2000:]}")
    return text


def stored(maildir):
    """What the program stored, with the line ends that it took away."""
    return [path.read_bytes().replace(b"\n", b"\r\n") for path in maildir.rglob("*")
            if path.is_file() and path.parent.name in ("new", "cur")]


def fetch_three_times(world, alias, expected, fetch, maildir):
    """Keeping, then again: nothing is transferred; then deleting on the server."""
    fetch(keep=True)
    found = digests(stored(maildir))
    check(found == expected, f"{sum(found.values())} of {COUNT} came, "
          f"{sum((found & expected).values())} byte for byte")
    fetch(keep=True)
    check(sum(digests(stored(maildir)).values()) == COUNT, "a second run transferred again")
    check(world.left(alias) == COUNT, "something was deleted")
    fetch(keep=False)
    check(world.left(alias) == 0, f"{world.left(alias)} messages are left on the server")
    check(digests(stored(maildir)) == expected, "the last run changed what was there")
    fetch(keep=False)
    check(digests(stored(maildir)) == expected, "an empty mailbox gave something")


@suite.case
def poplib_fetches_and_deletes(world):
    alias, expected = world.filled("poplib")
    client = poplib.POP3_SSL("127.0.0.1", world.port, context=world.server.tls, timeout=60)
    client.user(alias.address)
    client.pass_(alias.password)
    count, octets = client.stat()
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    check(count == COUNT and sum(sizes) == octets, f"{count} messages, {octets} octets")
    texts = []
    for number in range(1, count + 1):
        _, lines, _ = client.retr(number)
        texts.append(b"\r\n".join(lines) + b"\r\n")
        check(len(texts[-1]) == sizes[number - 1], f"LIST and RETR of {number} do not agree")
        client.dele(number)
    check(digests(texts) == expected, "not byte for byte")
    check(len(set(client.uidl()[1])) == 0, "deleted messages have a unique-id")
    client.rset()
    before = client.uidl()[1]
    check(len({line.split()[1] for line in before}) == COUNT, "unique-ids are not unique")
    client.dele(1)
    client.quit()
    world.server.stop()
    world.server.start()
    client = poplib.POP3("127.0.0.1", world.server.ports["pop3"], timeout=60)
    check("STLS" in client.capa() and "USER" in client.capa(), client.capa())
    client.stls(world.server.tls)
    client.user(alias.address)
    client.pass_(alias.password)
    after = client.uidl()[1]
    check([line.split()[1] for line in after] == [line.split()[1] for line in before[1:]],
          "unique-ids did not survive a restart")
    client.quit()


@suite.case
def curl_fetches_and_deletes(world):
    alias, expected = world.filled("curl")
    login = ("curl", "-sS", "--cacert", str(world.certificate), "--user",
             f"{alias.address}:{alias.password}")
    url = f"pop3s://localhost:{world.port}/"
    listed = program(*login, url).splitlines()
    check(len(listed) == COUNT, f"{len(listed)} messages are listed")
    target = world.folder / "curl"
    target.mkdir()
    program(*login, f"{url}[1-{COUNT}]", "-o", f"{target}/#1")
    found = digests(path.read_bytes() for path in target.iterdir())
    check(found == expected, f"{sum((found & expected).values())} came byte for byte")
    check(len(program(*login, url, "-X", "UIDL").splitlines()) == COUNT, "UIDL")
    program(*login, f"{url}1", "-X", "DELE", "-I")
    check(world.left(alias) == COUNT - 1, "DELE and QUIT")
    # By SASL, and by STLS.
    text = program("curl", "-sS", "--ssl-reqd", "--cacert", str(world.certificate),
                   "--login-options", "AUTH=PLAIN", "--user", f"{alias.address}:{alias.password}",
                   f"pop3://localhost:{world.server.ports['pop3']}/1")
    check("message 1\r\n" in text or "message 1\n" in text, text[:500])


@suite.case
def mpop_fetches_and_deletes(world):
    alias, expected = world.filled("mpop")
    maildir = world.maildir("mpop")

    def fetch(keep):
        config = world.file("mpoprc", f"""
account default
host localhost
port {world.port}
tls on
tls_starttls off
tls_trust_file {world.certificate}
user {alias.address}
password {alias.password}
uidls_file {world.folder}/mpop-uidls
received_header off
keep {"on" if keep else "off"}
delivery maildir {maildir}
""")
        program("mpop", "-C", config)

    fetch_three_times(world, alias, expected, fetch, maildir)


@suite.case
def fetchmail_fetches_and_deletes(world):
    alias, expected = world.filled("fetchmail")
    maildir = world.maildir("fetchmail")
    store = world.file("store", f"""#!/bin/sh
cat >"{maildir}/new/$$.$(date +%N)"
""", 0o700)

    def fetch(keep):
        # fetchmail's own idea of a deleted message: `flush` deletes what it has seen before.
        config = world.file("fetchmailrc", f"""
set no bouncemail
poll localhost service {world.port} protocol pop3 uidl
  user "{alias.address}" password "{alias.password}"
  ssl sslcertck sslcertfile "{world.certificate}"
  {"keep" if keep else "nokeep flush"} norewrite pass8bits
  mda "{store}"
""")
        program("fetchmail", "-f", config, "--invisible", "--nosyslog", "-v", statuses=(0, 1),
                env={**os.environ, "FETCHMAILHOME": str(world.folder), "HOME": str(world.folder)})

    fetch_three_times(world, alias, expected, fetch, maildir)


@suite.case
def getmail_fetches_and_deletes(world):
    alias, expected = world.filled("getmail")
    maildir = world.maildir("getmail")
    home = world.folder / "getmail-home"
    home.mkdir()
    options = {}
    if os.geteuid() == 0:  # getmail refuses to store mail as root
        options = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    # getmail forks for each message and only then begins to listen for the child's end: one that
    # ends sooner is missed, and waited for for a minute. So the child waits until getmail sleeps.
    store = world.file("getmail-home/store", f"""#!/bin/sh
until grep -q '^State:.S' /proc/$PPID/status; do sleep 0.01; done
cat >"{maildir}/new/$$.$(date +%N)"
""", 0o700)

    def fetch(keep):
        world.file("getmail-home/getmailrc", f"""
[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {world.port}
ca_certs = {world.certificate}
username = {alias.address}
password = {alias.password}
[destination]
type = MDA_external
path = {store}
[options]
read_all = false
delete = {"false" if keep else "true"}
delivered_to = false
received = false
""")
        for path in (home, maildir, *home.rglob("*"), *maildir.iterdir()) if options else ():
            shutil.chown(path, options["user"], options["group"])
        program("getmail", f"--getmaildir={home}", **options)

    fetch_three_times(world, alias, expected, fetch, maildir)


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    findings = world.server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    with Server() as running:
        world = World(running)
        try:
            suite.run(world)
        finally:
            shutil.rmtree(world.folder, ignore_errors=True)
