"""Files that are not what they were, and calls of the administrator's that make no sense."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time

from attacks.raw import check, imap, messages_in, smtp, suite
from lib.server import AdminError, Server, program


def mailbox_path(server, alias):
    found = list((server.data / "mail").rglob(alias.mailbox + ".sqlite"))
    check(len(found) == 1, f"{alias}: {found}")
    return found[0]


def is_accepted(server, alias, subject):
    with smtp(server) as peer:
        peer.begin([alias.address])
        peer.send(b"Subject: " + subject + b"\r\n\r\nx\r\n.\r\n")
        return peer.reply()[0] == 250


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir()) if path.is_file()}


def wait_until_closed(server, seconds=10):
    """No mailbox process has a file open."""
    deadline = time.monotonic() + seconds
    while server.processes("mailbox"):
        check(time.monotonic() < deadline, "a mailbox process stays")
        time.sleep(0.05)


def flipped(data):
    return bytes(byte ^ 0x55 if 4096 <= at < 8192 or at % 4096 == 2000 else byte
                 for at, byte in enumerate(data))


DAMAGES = {
    "flipped bytes": flipped,
    "the first page gone": lambda data: bytes(4096) + data[4096:],
    "cut in the middle": lambda data: data[:len(data) // 2 // 4096 * 4096],
    "cut within a page": lambda data: data[:5000],
    "noise": lambda data: hashlib.shake_128(b"noise").digest(len(data)),
    "empty": lambda data: b"",
}


@suite.case
def a_damaged_mailbox_concerns_nobody_else(_):
    with Server(settings={"mailbox_linger": "0s"}) as server:
        beside = server.add_alias("beside@damage.test")
        for number, (name, damage) in enumerate(DAMAGES.items()):
            alias = server.add_alias(f"d{number}@damage.test")
            with imap(server, alias) as client:
                for part in range(20):
                    client.append(b"Subject: kept %d\r\n\r\n" % part + os.urandom(1500).hex().encode())
                client.last(b"LOGOUT")
            wait_until_closed(server)
            path = mailbox_path(server, alias)
            whole = path.read_bytes()
            log_before = len(server.log())
            path.write_bytes(damage(whole))
            damaged = digests(path.parent)
            said = b""
            for _ in range(2):
                with imap(server) as client:
                    said = client.last(b"LOGIN %s %s" % (alias.address.encode(), alias.password.encode()))
                    if said.startswith(b"OK"):
                        # Damage that only shows when it is read.
                        client.ask(b"SELECT INBOX")
                        said = client.last(b"FETCH 1:* BODY.PEEK[]")
                check(said.startswith(b"NO") or said == b"", f"{name}: {said}")
            check(said != b"", f"{name}: closed without a word")
            check(is_accepted(server, alias, b"while damaged"), f"{name}: mail for it is refused")
            check(is_accepted(server, beside, b"beside %d" % number), f"{name}: mail for another is refused")
            check(len(messages_in(server, beside)) == number + 1, f"{name}: another mailbox")
            wait_until_closed(server)
            now = {file: digest for file, digest in digests(path.parent).items()
                   if file in damaged}
            check(now == damaged, f"{name}: touched: {now} was {damaged}")
            check(alias.mailbox in server.log()[log_before:] and
                  re.search(r"(error|warning).*" + alias.mailbox, server.log()[log_before:]),
                  f"{name}: not reported")
            for extra in path.parent.iterdir():
                if extra.name != path.name:
                    extra.unlink()
            path.write_bytes(whole)
            found = messages_in(server, alias)
            check(len(found) == 21, f"{name}: {len(found)} messages after the file is back")
            wait_until_closed(server)
        check(not server.sanitizer_findings(), server.sanitizer_findings())


@suite.case
def a_mailbox_file_that_is_gone(_):
    with Server(settings={"mailbox_linger": "0s"}) as server:
        alias = server.add_alias("gone@damage.test")
        wait_until_closed(server)
        path = mailbox_path(server, alias)
        whole = path.read_bytes()
        path.unlink()
        with imap(server) as client:
            said = client.last(b"LOGIN %s %s" % (alias.address.encode(), alias.password.encode()))
        check(said.startswith(b"NO"), said)
        check(not path.exists(), "a new file was made in its place")
        check(is_accepted(server, alias, b"x"), "its mail")
        wait_until_closed(server)
        path.write_bytes(whole)
        check(len(messages_in(server, alias)) == 1, "the mail that waited")


@suite.case
def senseless_commands(server):
    def status(*words, **options):
        done = subprocess.run([program(), *words, "--config", str(server.conf)], timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True, **options)
        check(done.returncode >= 0, f"{words}: died of signal {-done.returncode}")
        check(done.returncode == 0 or done.stderr, f"{words}: failed without a word")
        check(b"\0" not in done.stderr, words)
        return done.returncode

    server.add_domain("senseless.test")
    for words in ((), ("fly",), ("domain",), ("domain", "add"), ("domain", "add", "a", "b"),
                  ("domain", "add", "--colour", "x.test"), ("alias", "quota", "a@senseless.test"),
                  ("domain", "quota", "senseless.test", "many"), ("domain", "quota", "senseless.test", "-1"),
                  ("domain", "quota", "senseless.test", "99999999999999999999")):
        if words:
            check(status(*words) == 2, f"{words}")
    for name in ("", " ", ".", "..", "a..b", "-", "x" * 64 + ".test", "x" * 300, "a\nb.test", "a\tb.test",
                 "a b.test", "../../etc", "a/b.test", "a;b.test", "\x1b[31m.test", "ü" * 200,
                 "\udcff.test", "a@b.test", "*", "'; DROP TABLE domains; --"):
        check(status("domain", "add", name) in (2, 7), f"domain add {name!r}")
    for name in ("", "@", "a@", "@senseless.test", "a@@senseless.test", "a\n@senseless.test",
                 "a\x01@senseless.test", "x" * 65 + "@senseless.test", "a b@senseless.test",
                 "a@senseless.test\r\nRCPT", "\udcff@senseless.test", "<a@senseless.test>"):
        check(status("alias", "add", name) in (2, 7), f"alias add {name!r}")
    check(status("alias", "add", "x" * 100000 + "@senseless.test") in (2, 7), "100 KB of name")
    check(status("alias", "add", "a@missing.test") == 4, "a domain that is missing")
    check(status("domain", "add", "senseless.test") == 5, "a domain twice")
    check(status("alias", "remove", "nobody@senseless.test", "--yes") == 4, "an alias that is missing")
    check(status("domain", "remove", "senseless.test") != 0, "removal without a question answered")
    check(status("domain", "list") == 0, "alive")


@suite.case
def garbage_at_the_administrators_socket(server):
    path = str(server.data / "run" / "admin.sock")
    for junk in (b"\0", b"{}", b"\x93\x01\x02\x03", b"\xff" * 70000, b"\xdd\xff\xff\xff\xff",
                 b"\xdb\xff\xff\xff\xffabc", b"\x92" * 10000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
            raw.connect(path)
            raw.settimeout(5)
            try:
                raw.send(junk)
                raw.recv(65536)
            except (OSError, TimeoutError):
                pass
    server.admin("domain", "list")


@suite.case
def the_administrators_socket_knows_its_callers(server):
    path = server.data / "run" / "admin.sock"
    check(os.stat(path).st_mode & 0o077 == 0 or os.stat(path.parent).st_mode & 0o077 == 0, "open to all")
    for folder in (server.data, server.data / "mail", server.data / "account"):
        check(os.stat(folder).st_mode & 0o077 == 0, f"{folder.name} is open to others")
    check(os.stat(server.data / "host.key").st_mode & 0o077 == 0, "host.key is open to others")


@suite.case
def configuration_mistakes_are_named(server):
    def check_config(text, environment=None):
        file = server.folder / "wrong.conf"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run([program(), "check-config", "--config", str(file)], timeout=20,
                              capture_output=True, text=True, errors="replace",
                              env={**os.environ, **(environment or {})})
        return done.returncode, done.stdout + done.stderr, str(file)

    good = server.conf.read_text()
    count = len(good.splitlines())
    check(check_config(good)[0] == 0, check_config(good))
    for line in ("colour = red", "login_timeout = forever", "message_size_max = -1", "imap = {\"nowhere\"}",
                 "imap = {\"127.0.0.1:99999\"}", "plain_login_on_loopback = perhaps", "log_level = loud",
                 "processes = 100000", "recipients_max = 0", "= 5", "hostname = \"a b\"",
                 "message_size_max = 99999999999999999999", "data = \"relative\""):
        status, words, name = check_config(good + line + "\n")
        check(status != 0, f"{line}: accepted")
        check(re.search(re.escape(name) + r":\d+: ", words), f"{line}: no file and line: {words}")
        check(f":{count + 1}: " in words or f":{count + 2}: " in words, f"{line}: which line? {words}")
    for text in (b"\0\0\0", b"\xff\xfe", b"imap = {", b"data = \"", b"a" * 100000):
        status, words, _ = check_config(text)
        check(status != 0 and words, f"{text[:20]}: {status} {words}")
    # Every kind of setting from the environment.
    for name, value in (("SEALPOST_LOGIN_TIMEOUT", "5s"), ("SEALPOST_PLAIN_LOGIN_ON_LOOPBACK", "no"),
                        ("SEALPOST_MESSAGE_SIZE_MAX", "1M"), ("SEALPOST_LOG_LEVEL", "debug"),
                        ("SEALPOST_IMAP", "127.0.0.1:2143"), ("SEALPOST_PROCESSES", "2"),
                        ("SEALPOST_HOSTNAME", "mail.example.test")):
        check(check_config(good, {name: value})[0] == 0, f"{name}={value}: {check_config(good, {name: value})}")
        if name != "SEALPOST_HOSTNAME":
            status, words, _ = check_config(good, {name: "!"})
            check(status != 0 and name in words, f"{name}=!: {status} {words}")
    with Server(environment={"SEALPOST_MESSAGE_SIZE_MAX": "64K"}) as other, smtp(other) as client:
        check(b"SIZE 65536" in client.ask(b"EHLO client.test")[1], "the environment's setting counts")


@suite.case
def reloads_do_no_harm(_):
    with Server() as server:
        alias = server.add_alias("reload@life.test")
        living = imap(server, alias)
        good = server.conf.read_text()
        for text in (good + "colour = red\n", "", good.replace("data =", "date =")):
            server.conf.write_text(text)
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            check(living.last(b"NOOP").startswith(b"OK"), "a session ended by a broken configuration")
            check(imap(server, alias).last(b"NOOP").startswith(b"OK"), "no new sessions")
        check("colour" in server.log(), "the mistake is not in the log")
        server.conf.write_text(good)
        # A certificate that is none: the old one stays.
        certificate = server.data / "tls" / "certificate.pem"
        kept = certificate.read_bytes()
        certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        check(living.last(b"NOOP").startswith(b"OK"), "a session ended by a broken certificate")
        check(imap(server, alias, tls=True).last(b"NOOP").startswith(b"OK"), "no TLS any more")
        certificate.write_bytes(kept)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        check(imap(server, alias, tls=True).last(b"NOOP").startswith(b"OK"), "TLS after all")
        living.socket.close()


@suite.case
def the_log_tells_nothing(_):
    """At info level: no address, no subject, no password, whatever goes wrong."""
    for form in ("text", "json"):
        with Server(settings={"log_format": form}) as server:
            alias = server.add_alias("whisper@secret-domain.test")
            with imap(server, alias) as client:
                client.append(b"Subject: hush-subject\r\nFrom: friend@far.test\r\n\r\nhush-body\r\n")
                client.last(b"SELECT INBOX")
                client.last(b"CREATE hush-folder")
                client.last(b"SEARCH TEXT hush-search")
                client.last(b"FETCH 1 (hush-mistake)")
            with imap(server) as client:
                client.last(b"LOGIN whisper@secret-domain.test hush-password")
                client.last(b"LOGIN nobody@secret-domain.test hush-password")
            with smtp(server) as peer:
                peer.begin([alias.address], sender=b"friend@far.test")
                peer.send(b"Subject: hush-subject\r\n\r\nhush-body\r\n.\r\n")
                peer.reply()
                peer.ask(b"MAIL FROM:<friend@far.test>")
                peer.ask(b"RCPT TO:<nobody@secret-domain.test>")
                peer.ask(b"hush-command")
            try:
                server.admin("alias", "show", "nobody@secret-domain.test")
            except AdminError:
                pass
            for process in server.processes("mailbox"):
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.3)
            text = server.log()
            for word in ("hush", "whisper", "far.test", "friend", "nobody@", alias.password):
                found = [line for line in text.splitlines() if word in line]
                check(not found, f"{word} is in the log: {found[:2]}")
            if form == "json":
                for line in text.splitlines():
                    json.loads(line)


@suite.case
def addresses_lead_where_they_should(server):
    alias = server.add_alias("main@routes.test")
    server.admin("alias", "add", "second@routes.test", "--to", alias.address)
    server.admin("domain", "catch-all", "routes.test", alias.address)
    with smtp(server) as peer:
        peer.begin(["main@routes.test", "second@routes.test", "main+tag@routes.test",
                    "anybody@routes.test", "MAIN@ROUTES.TEST"])
        peer.send(b"Subject: once\r\n\r\nx\r\n.\r\n")
        check(peer.reply()[0] == 250, "stored")
    check(len(messages_in(server, alias)) == 1, "five addresses, one mailbox, one message")
