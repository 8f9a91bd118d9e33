#!/usr/bin/python3
"""Mail and accounts from end to end, as an administrator and an owner live through them."""

import contextlib
import imaplib
import os
import pathlib
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import mailbox_file, stock_shell  # noqa: E402
from lib.server import AdminError, Server, find_key, program  # noqa: E402
from lib.suite import Skip, Suite, check, until  # noqa: E402

suite = Suite(__doc__)


def send(server, recipients, subject="words", sender="a@example.org"):
    """{address: code} of what was refused; empty: all stored."""
    raw = f"From: {sender}\r\nSubject: {subject}\r\n\r\n{subject}\r\n".encode()
    with server.smtp() as client:
        try:
            refused = client.sendmail(sender, recipients, raw)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPResponseException as error:
            return {"data": error.smtp_code}
    return {address: code for address, (code, _) in refused.items()}


def subjects(server, alias, folder="INBOX"):
    with server.imap(alias) as client:
        answer, data = client.select(folder, readonly=True)
        check(answer == "OK", data)
        if data[0] == b"0":
            return []
        _, data = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [part[1].split(b":", 1)[1].strip().decode() for part in data
                if isinstance(part, tuple)]


def can_log_in(server, address, password):
    client = server.imap()
    try:
        client.login(address, password)
    except imaplib.IMAP4.error:
        client.shutdown()
        return False
    client.logout()
    return True


def secret_file(server, text):
    path = server.folder / "secret"
    path.write_text(text + "\n")
    return str(path)


@suite.case
def mail_for_an_absent_and_a_present_owner(server):
    alias = server.add_alias("first@life.test")
    check(send(server, [alias.address], "while away") == {}, "refused")
    check(subjects(server, alias) == ["while away"], subjects(server, alias))
    with server.imap(alias) as client:
        client.select("INBOX")
        check(send(server, [alias.address], "while here") == {}, "refused")
        client.noop()
        check(client.untagged_responses.get("EXISTS") is not None or
              client.select("INBOX")[1] == [b"2"], "the open session sees it")
    check(subjects(server, alias) == ["while away", "while here"], "both, in order")


@suite.case
def addresses_lead_to_mailboxes(server):
    alias = server.add_alias("many@life.test")
    server.admin("alias", "add", "other@life.test", "--to", alias.address)
    check(send(server, ["other@life.test"], "by another address") == {}, "another address")
    check(send(server, ["many+tag@life.test"], "with a tag") == {}, "plus-addressing")
    check(send(server, ["MANY@Life.Test"], "in capitals") == {}, "case")
    check(send(server, ["unknown@life.test"]) == {"unknown@life.test": 550}, "unknown")
    server.admin("domain", "catch-all", "life.test", alias.address)
    check(send(server, ["unknown@life.test"], "caught") == {}, "catch-all")
    server.admin("domain", "catch-all", "life.test", "--off")
    check(send(server, ["unknown@life.test"]) == {"unknown@life.test": 550}, "unknown again")
    got = subjects(server, alias)
    check(sorted(got) == sorted(["by another address", "with a tag", "in capitals", "caught"]), got)


@suite.case
def a_disabled_alias_takes_no_mail(server):
    alias = server.add_alias("off@life.test")
    server.admin("alias", "disable", alias.address)
    code = send(server, [alias.address]).get(alias.address)
    check(code in (550, 450, 554), f"mail to a disabled alias: {code}")
    check(can_log_in(server, alias.address, alias.password), "its owner still logs in")
    server.admin("alias", "enable", alias.address)
    check(send(server, [alias.address]) == {}, "enabled again")


@suite.case
def a_quota_is_kept(server):
    alias = server.add_alias("small@life.test", "--quota", "20K")
    for number in range(40):
        refused = send(server, [alias.address], f"number {number}")
        if refused:
            break
        with server.imap(alias) as client:
            client.append("INBOX", None, None, b"Subject: big\r\n\r\n" + b"y" * 3000 + b"\r\n")
    check(set(refused.values()) & {452, 552}, f"over quota: {refused}")
    with server.imap(alias) as client:
        answer, words = client.append("INBOX", None, None, b"Subject: z\r\n\r\n" + b"z" * 30000)
        check(answer == "NO" and b"OVERQUOTA" in words[0], f"{answer} {words}")
        client.select("INBOX")
        client.store("1:*", "+FLAGS", "(\\Deleted)")
        client.expunge()
    deadline = time.monotonic() + 5
    while send(server, [alias.address], "fits again"):
        check(time.monotonic() < deadline, "after deleting it is still refused")
        time.sleep(0.1)


@suite.case
def messages_are_limited(_):
    """mailbox_messages_max: kept for APPEND and for mail that comes in; what waits goes on waiting."""
    with Server(settings={"mailbox_messages_max": 2, "mailbox_linger": "0s"}) as server:
        server.add_domain("life.test")
        alias = server.add_alias("few@life.test")
        for number in range(3):
            check(send(server, [alias.address], f"waits {number}") == {}, "nobody is there to count")
        with server.imap(alias) as client:
            _, capabilities = client.capability()
            check(b"QUOTA=RES-MESSAGE" in capabilities[0], f"{capabilities}")
            _, (_, quotas) = client.getquotaroot("INBOX")
            check(b"MESSAGE 2 2" in quotas[0], f"{quotas}")
            answer, words = client.append("INBOX", None, None, b"Subject: one more\r\n\r\n")
            check(answer == "NO" and b"OVERQUOTA" in words[0], f"{answer} {words}")
            refused = send(server, [alias.address], "too many")
            check(set(refused.values()) & {452, 552}, f"over quota: {refused}")
            client.select("INBOX")
            client.store("1", "+FLAGS", "(\\Deleted)")
            client.expunge()
        deadline = time.monotonic() + 30
        while "waits 2" not in subjects(server, alias):
            check(time.monotonic() < deadline, "what waited never came")
            time.sleep(0.2)
        check("too many" not in subjects(server, alias), "what was refused is there")


def renewed_with(server, alias, secret):
    """None: the mailbox is still being re-encrypted for its last new password."""
    try:
        return server.admin("alias", "password", alias.address, "--old-password-file",
                            secret_file(server, secret))
    except AdminError as error:
        if "still being re-encrypted" in str(error):
            return None
        raise


@suite.case
def passwords_are_renewed(server):
    alias = server.add_alias("renew@life.test", "--recovery-key")
    check(alias.recovery, "no recovery key was shown")
    send(server, [alias.address], "from before")
    session = server.imap(alias)
    answer = server.admin("alias", "password", alias.address, "--old-password-file",
                          secret_file(server, alias.password))
    new = find_key(answer, "password")
    check(new and new != alias.password, f"no new password in {answer}")
    check(not can_log_in(server, alias.address, alias.password), "the old password still works")
    check(can_log_in(server, alias.address, new), "the new password does not work")
    try:
        session.noop()
        raise AssertionError("a session of the old password goes on")
    except (imaplib.IMAP4.abort, OSError):
        pass
    check(can_log_in(server, alias.address, new), "again")
    answer = until(lambda: renewed_with(server, alias, alias.recovery),
                   "the mailbox is still being re-encrypted")
    alias.password = find_key(answer, "password")
    check(not can_log_in(server, alias.address, new), "the second password still works")
    check("from before" in subjects(server, alias), "the mail is still there")
    try:
        server.admin("alias", "password", alias.address, "--old-password-file",
                     secret_file(server, "wrong"))
        raise AssertionError("a wrong old password was accepted")
    except AdminError as error:
        check(error.status != 0, error)


@suite.case
def a_login_from_before_the_new_password_comes_too_late(server):
    """It was let in with the old password and has not reached the mailbox yet when that password ends; then
    somebody with the new one makes the mailbox's process anew."""
    alias = server.add_alias("late@life.test")
    keeper, = server.processes("keeper")
    gate, *others = server.processes("gate")
    if not others:
        raise Skip("one gate only: nobody else could log in")
    with contextlib.ExitStack() as stack:
        def stop(process):
            os.kill(process.pid, signal.SIGSTOP)
            stack.callback(os.kill, process.pid, signal.SIGCONT)

        for each in others:  # so that it is this gate which takes the connection
            stop(each)
        late = stack.enter_context(socket.create_connection(("127.0.0.1", server.ports["imap"]), 30))
        check(late.recv(1000).startswith(b"* OK"), "no greeting")
        for each in others:
            os.kill(each.pid, signal.SIGCONT)
        stop(keeper)
        late.sendall(f"a LOGIN {alias.address} {alias.password}\r\n".encode())
        time.sleep(0.5)
        stop(gate)  # the keeper answers it, and it does not hear
        os.kill(keeper.pid, signal.SIGCONT)
        answer = server.admin("alias", "password", alias.address, "--old-password-file",
                              secret_file(server, alias.password))
        alias.password = find_key(answer, "password")
        with server.imap(alias) as client:
            os.kill(gate.pid, signal.SIGCONT)
            said = late.recv(4000)
            check(said and b"a OK" not in said, f"let in: {said}")
            check("or has ended since" in server.log(), f"it did not come as far: {said}")
            check(client.select("INBOX")[0] == "OK", "the session of the new one")


@suite.case
def app_passwords_have_a_scope(server):
    alias = server.add_alias("apps@life.test")
    answer = server.admin("alias", "app-password", "add", alias.address, "phone", "--scope", "imap",
                          "--password-file", secret_file(server, alias.password))
    phone = find_key(answer, "password")
    answer = server.admin("alias", "app-password", "add", alias.address, "scanner", "--scope",
                          "smtp", "--password-file", secret_file(server, alias.password))
    scanner = find_key(answer, "password")
    check(can_log_in(server, alias.address, phone), "the phone reads")
    check(not can_log_in(server, alias.address, scanner), "the scanner reads")
    alias.password, kept = scanner, alias.password
    with server.submission(alias) as client:
        client.sendmail(alias.address, [alias.address], b"Subject: scanned\r\n\r\nx\r\n")
    alias.password = phone
    try:
        server.submission(alias).close()
        raise AssertionError("the phone sends")
    except smtplib.SMTPAuthenticationError:
        pass
    check("scanned" in subjects(server, alias), "with the phone's password the mail is there")
    server.admin("alias", "app-password", "remove", alias.address, "phone", "--yes")
    check(not can_log_in(server, alias.address, phone), "a removed app password works")
    check(can_log_in(server, alias.address, kept), "the owner's password works")


@suite.case
def removing_asks_first_and_removes(server):
    alias = server.add_alias("gone@gone.test")
    send(server, [alias.address], "to be lost")
    check(subjects(server, alias) == ["to be lost"], "it is there")
    path = mailbox_file(server, alias)
    try:
        server.admin("alias", "remove", alias.address)
        raise AssertionError("removed without a question")
    except AdminError as error:
        check(error.status != 0, error)
    check(can_log_in(server, alias.address, alias.password), "it is still there")
    server.admin("alias", "remove", alias.address, "--yes")
    check(not can_log_in(server, alias.address, alias.password), "the login is gone")
    check(send(server, [alias.address]) == {alias.address: 550}, "the address is gone")
    deadline = time.monotonic() + 10
    while path.exists():
        check(time.monotonic() < deadline, f"{path} is still there")
        time.sleep(0.1)
    server.admin("domain", "remove", "gone.test", "--yes")


@suite.case
def the_file_opens_elsewhere(server):
    alias = server.add_alias("leave@life.test")
    send(server, [alias.address], "to take along")
    check(subjects(server, alias) == ["to take along"], "it is there")
    deadline = time.monotonic() + 15
    while server.processes("mailbox") and time.monotonic() < deadline:
        time.sleep(0.1)
    path = mailbox_file(server, alias)
    status, text = stock_shell(path, alias.password, "PRAGMA integrity_check")
    check(status == 0 and text.strip() == "ok", text)
    status, text = stock_shell(path, alias.password,
                               "SELECT name FROM sqlite_master WHERE type='table'")
    check(status == 0 and "message" in text, text)
    status, text = stock_shell(path, "not the password", "SELECT * FROM sqlite_master")
    check(status == 1, "it opens with another password")


@suite.case
def a_stop_and_a_start_lose_nothing(server):
    alias = server.add_alias("again@life.test")
    send(server, [alias.address], "one")
    with server.imap(alias) as client:
        client.append("INBOX", None, None, b"Subject: two\r\n\r\n\r\n")
    send(server, [alias.address], "three")
    server.stop()
    start = time.monotonic()
    server.start()
    took = time.monotonic() - start
    check(sorted(subjects(server, alias)) == ["one", "three", "two"], "not all is there")
    return f"started in {took:.2f} s"


@suite.case
def a_new_certificate_without_a_restart(server):
    def serial():
        return ssl.get_server_certificate(("127.0.0.1", server.ports["imaps"]))

    alias = server.add_alias("certificate@life.test")
    session = server.imap(alias, tls=True)
    before = serial()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=new.test",
                    "-keyout", server.data / "tls" / "key.pem", "-out",
                    server.data / "tls" / "certificate.pem"], check=True, capture_output=True)
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while serial() == before:
        check(time.monotonic() < deadline, "the old certificate is still shown")
        time.sleep(0.1)
    check(session.noop()[0] == "OK", "an open session goes on")
    session.logout()


@suite.case
def a_broken_configuration_is_explained(server):
    path = server.folder / "broken.conf"
    path.write_text('data = "/tmp"\n\nno_such_setting = 5\n')
    done = subprocess.run([program(), "check-config", "--config", path], capture_output=True,
                          text=True)
    check(done.returncode != 0, "it was accepted")
    check("broken.conf:3" in done.stdout + done.stderr, done.stdout + done.stderr)
    done = subprocess.run([program(), "check-config", "--config", server.conf],
                          capture_output=True, text=True)
    check(done.returncode == 0, done.stderr)


@suite.case
def what_comes_with_starttls_is_dropped(server):
    """RFC 3207 §4.2, RFC 9051 §6.2.1: it was not encrypted."""
    for port, before, line, after in (
            ("imap", b"", b"a STARTTLS\r\n", b"b CAPABILITY\r\n"),
            ("submission", b"EHLO x.test\r\n", b"STARTTLS\r\n", b"NOOP\r\n")):
        with socket.create_connection(("127.0.0.1", server.ports[port]), 10) as raw:
            raw.recv(4096)
            if before:
                raw.sendall(before)
                time.sleep(0.2)
                raw.recv(65536)
            raw.sendall(line + after)
            time.sleep(0.3)
            raw.recv(65536)
            try:
                with server.tls.wrap_socket(raw) as secure:
                    secure.settimeout(0.7)
                    try:
                        said = secure.recv(4096)
                    except (TimeoutError, ssl.SSLError):
                        said = b""
                    check(said == b"", f"{port}: answered {said!r} inside TLS")
            except (ssl.SSLError, OSError):
                pass  # refusing to go on is as good


def half_closed(server, words, tls, service="imap"):
    """All that is answered to a client that closes its half behind its words."""
    port = server.ports[service + "s" if tls else service]
    with socket.create_connection(("127.0.0.1", port), 20) as raw:
        heard = b""
        if not tls:
            raw.sendall(words)
            raw.shutdown(socket.SHUT_WR)
            while part := raw.recv(65536):
                heard += part
            return heard
        # ssl.SSLSocket cannot read on after its own close_notify; the object below it can.
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = server.tls.wrap_bio(coming, going)
        steps = [secure.do_handshake, lambda: secure.write(words), secure.unwrap]
        while True:
            try:
                if steps:
                    steps[0]()
                    steps.pop(0)
                    continue
                heard += secure.read(65536)
                continue
            except ssl.SSLWantReadError:
                if len(steps) == 1:
                    steps.pop()  # close_notify is on its way; the peer's is what we read towards
            except ssl.SSLZeroReturnError:
                return heard
            if going.pending:
                raw.sendall(going.read())
            part = raw.recv(65536)
            if not part:
                return heard
            coming.write(part)


@suite.case
def a_client_that_closes_its_half_is_answered(server):
    """printf 'a LOGIN ...' | nc -N: everything that was asked before the end is answered."""
    alias = server.add_alias("half@life.test")
    raw = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 64 * 1024 + b"\r\n"
    with server.imap(alias) as client:
        client.append("INBOX", None, None, raw)
    login = f"a LOGIN {alias.address} {alias.password}\r\n".encode()
    for tls in (False, True):
        heard = half_closed(server, login + b"b SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n"
                            b"d LOGOUT\r\n", tls)
        for tag in (b"a", b"b", b"c", b"d"):
            check(b"\r\n" + tag + b" OK" in heard, f"tls={tls}: no {tag} in {heard[-300:]}")
        check(raw in heard, f"tls={tls}: the message is not whole")
        heard = half_closed(server, login + b"b NOOP\r\n", tls)
        check(heard.endswith(b"\r\n") and b"\r\nb OK" in heard and b"BYE" not in heard,
              f"tls={tls}: without LOGOUT: {heard}")
        heard = half_closed(server, b"a NOOP\r\nb LOGIN x y\r\nc NOOP\r\n", tls)
        check(b"\r\nb NO" in heard and b"\r\nc OK" in heard, f"tls={tls}: no login: {heard}")
        heard = half_closed(server, f"USER {alias.address}\r\nPASS {alias.password}\r\n"
                            "RETR 1\r\nSTAT\r\n".encode(), tls, "pop3")
        check(raw in heard and b"\r\n+OK 1 " in heard[-100:], f"tls={tls}: POP3: {heard[-300:]}")


class Deflated:
    """The client's side of COMPRESS=DEFLATE (RFC 4978), on any stream."""

    def __init__(self, stream):
        self.stream = stream
        self.packer = zlib.compressobj(wbits=-15)
        self.unpacker = zlib.decompressobj(wbits=-15)
        self.plain = b""
        self.received = 0

    def pack(self, data):
        return self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)

    def read_until(self, end):
        while end not in self.plain:
            data = self.stream.recv(65536)
            check(data, f"the connection ended after {self.plain[-200:]!r}")
            self.received += len(data)
            self.plain += self.unpacker.decompress(data)
        answer, self.plain = self.plain.split(end, 1)
        return answer + end


@suite.case
def a_session_is_compressed(server):
    alias = server.add_alias("packed@example.org")
    text = b"".join(b"line %d of a message\r\n" % i for i in range(40000))
    with contextlib.closing(server.imap(alias, tls=True).sock) as stream:
        deflated = Deflated(stream)
        # What is pipelined behind the command is compressed already.
        stream.sendall(b"b COMPRESS DEFLATE\r\n" + deflated.pack(b"c SELECT INBOX\r\n"))
        head = b""
        while b"\r\n" not in head:
            head += stream.recv(1 if head.endswith(b"\r") else 2)
        check(head.startswith(b"b OK"), head)
        head, deflated.plain = head.split(b"\r\n", 1)
        deflated.plain = deflated.unpacker.decompress(deflated.plain)
        check(b"0 EXISTS" in deflated.read_until(b"c OK"), "nothing selected")
        deflated.read_until(b"\r\n")
        message = b"Subject: long\r\n\r\n" + text
        stream.sendall(deflated.pack(b"d APPEND INBOX {%d+}\r\n%s\r\n" % (len(message), message)))
        deflated.read_until(b"d OK")
        deflated.read_until(b"\r\n")
        deflated.received = 0
        stream.sendall(deflated.pack(b"e FETCH 1 BODY[]\r\n"))
        check(text in deflated.read_until(b"e OK"), "other bytes came back")
        check(deflated.received < len(message) / 4, f"{deflated.received} bytes: not compressed")
        deflated.read_until(b"\r\n")
        # A bomb: 60 MB of one command line in 60 kB. It is refused, the mailbox process lives.
        stream.sendall(deflated.pack(b"f NOOP " + bytes([32]) * 60_000_000))
        check(b"BYE" in deflated.read_until(b"\r\n"), "no BYE")
    check(subjects(server, alias) == ["long"], "the mailbox is not there")


@suite.case
def bare_line_ends_do_not_smuggle(server):
    alias = server.add_alias("smuggle@life.test")
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r"):
        with server.smtp() as client:
            client.ehlo()
            client.mail("a@example.org")
            client.rcpt(alias.address)
            client.docmd("DATA")
            client.sock.sendall(b"Subject: outer\r\n\r\nx" + end +
                                b"MAIL FROM:<b@example.org>\r\nRCPT TO:<" +
                                alias.address.encode() + b">\r\nDATA\r\nSubject: smuggled\r\n\r\n"
                                b"y\r\n.\r\n")
            try:
                client.getreply()
            except smtplib.SMTPServerDisconnected:
                pass
    check("smuggled" not in subjects(server, alias), "a second message came out of the first")


@suite.case
def hundred_thousand_aliases(server):
    """They cost no noticeable start-up time or memory."""
    count = 100_000 if suite.options.long else 20_000
    alias = server.add_alias("everyone@crowd.test")
    path = server.folder / "aliases"
    path.write_text("".join(f"a{n}@crowd.test {alias.address}\n" for n in range(count)))

    def restart():
        server.stop()
        start = time.monotonic()
        server.start()
        return time.monotonic() - start

    without = restart()
    server.admin("alias", "import", str(path), timeout=300)
    took = min(restart(), restart())
    check(took < 2 * without + 1, f"starting takes {took:.1f} s, without them {without:.1f}")
    check(send(server, [f"a{count - 1}@crowd.test"], "for the last") == {}, "the last one")
    check(subjects(server, alias) == ["for the last"], "it arrived")
    keeper = server.processes("keeper")[0]
    with open(f"/proc/{keeper.pid}/smaps_rollup", encoding="ascii") as file:
        pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    if "asan" not in program():
        check(pss < 40_000, f"the keeper uses {pss} KiB")
    return f"{count} aliases, started in {took:.2f} s, keeper {pss} KiB"


@contextlib.contextmanager
def lost(server, *roles):
    """These roles are gone, and come back when this is over: until then nobody starts them again."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        for role in roles:
            for process in server.processes(role):
                os.kill(process.pid, signal.SIGKILL)
        while any(server.processes(role) for role in roles):
            time.sleep(0.01)
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def ask_the_lost(server, alias):
    """Clients, each with a question for the role of its name; the questions are not answered yet."""
    clients = {"keeper": server.smtp(), "store": server.smtp(), "courier": server.submission(alias)}
    for role, recipient in (("store", alias.address), ("courier", "who@far.test")):
        client = clients[role]
        client.ehlo_or_helo_if_needed()
        client.mail(alias.address)
        check(client.rcpt(recipient)[0] == 250 and client.docmd("DATA")[0] == 354, role)
    clients["keeper"].ehlo()
    clients["keeper"].mail(alias.address)

    def ask():
        clients["keeper"].putcmd(f"RCPT TO:<{alias.address}>")
        for role in ("store", "courier"):
            clients[role].send(f"From: {alias.address}\r\nSubject: for the {role}\r\n\r\nx\r\n.\r\n")
    return clients, ask


@suite.case
def who_asks_a_role_that_was_killed_waits_for_the_next(server):
    """Neither a mail program nor another server is told to come back because of some tens of ms. One that
    does not wait leaves nothing behind."""
    alias = server.add_alias("patient@wait.test")
    clients, ask = ask_the_lost(server, alias)
    hasty, ask_hastily = ask_the_lost(server, alias)
    with lost(server, "keeper", "store", "sealer", "courier"):
        ask()
        ask_hastily()
        time.sleep(0.2)
        for client in hasty.values():
            client.close()
    answers = {role: client.getreply() for role, client in clients.items()}
    check(all(code == 250 for code, _ in answers.values()), answers)
    check(subjects(server, alias).count("for the store") >= 1, "it is not there")
    server.admin("queue", "delete", "all", "--yes")


@suite.case
def a_role_that_does_not_come_back_is_not_waited_for_long(server):
    """The store is there, but has nobody to seal what it gets for an absent owner."""
    alias = server.add_alias("impatient@wait.test")
    clients, ask = ask_the_lost(server, alias)
    with lost(server, "keeper", "sealer", "courier"):
        start = time.monotonic()
        ask()
        answers = {role: client.getreply() for role, client in clients.items()}
        waited = time.monotonic() - start
    check(all(code == 451 for code, _ in answers.values()), answers)
    check(waited > 2, f"given up after {waited:.1f} s")
    for client in clients.values():
        check(client.noop()[0] == 250, "the connection is of no use any more")
        client.quit()


def holder_of(server, client):
    """The smtp process that has this client."""
    local, remote = (f"0100007F:{port:04X}" for port in (client.sock.getpeername()[1],
                                                         client.sock.getsockname()[1]))
    inode = next(fields[9] for fields in map(str.split, pathlib.Path("/proc/net/tcp").open())
                 if fields[1:3] == [local, remote])
    return next(each for each in server.processes("smtp") if f"socket:[{inode}]" in
                [os.readlink(fd) for fd in pathlib.Path(f"/proc/{each.pid}/fd").iterdir()])


@suite.case
def a_process_that_comes_back_takes_nobodys_place(_):
    """Of smtp processes there are several: what one has asked is answered though another one is new."""
    with Server({"processes": 2}) as server:
        alias = server.add_alias("patient@place.test")
        with server.imap(alias), server.smtp() as client:
            client.ehlo()
            client.mail("a@example.org")
            client.rcpt(alias.address)
            check(client.docmd("DATA")[0] == 354, "no 354")
            mailbox = server.processes("mailbox")[0].pid
            os.kill(mailbox, signal.SIGSTOP)
            try:
                client.send(b"Subject: asked before\r\n\r\nhello\r\n.\r\n")
                time.sleep(0.5)  # until the mailbox's process has it
                others = {each.pid for each in server.processes("smtp")} - \
                    {holder_of(server, client).pid}
                for pid in others:
                    os.kill(pid, signal.SIGKILL)
                while len({each.pid for each in server.processes("smtp")} - others) < 2:
                    time.sleep(0.01)
                time.sleep(0.5)  # until it is connected
            finally:
                os.kill(mailbox, signal.SIGCONT)
            check(client.getreply()[0] == 250, "not taken")


@suite.case
def nothing_was_found_by_the_sanitizers(server):
    findings = server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    with Server() as running:
        suite.run(running)
