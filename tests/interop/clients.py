#!/usr/bin/python3
"""Real mail programs against a running server, over TLS: from Debian, and one from npm."""

import imaplib
import os
import pathlib
import ssl
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from interop import imapfilter, imapflow, offlineimap  # noqa: E402
from interop.kit import World, message, program, subjects  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)


@suite.case
def curl_sends(world):
    path = world.file("curl.eml", message(1, subject="sent by curl"))
    program("curl", "-sS", "--ssl-reqd", "--insecure", "--url",
            f"smtp://127.0.0.1:{world.server.ports['mx']}", "--mail-from", "a@example.org",
            "--mail-rcpt", world.alias.address, "-T", path)
    path = world.file("own.eml", message(2, subject="sent by curl", sender=world.alias.address))
    program("curl", "-sS", "--insecure", "--url",
            f"smtps://127.0.0.1:{world.server.ports['submissions']}", "--user",
            f"{world.alias.address}:{world.alias.password}", "--mail-from", world.alias.address,
            "--mail-rcpt", world.alias.address, "-T", path)
    with world.server.imap(world.alias, tls=True) as client:
        found = subjects(client).count("sent by curl")
    check(found == 2, f"{found} of the 2 messages are there")


@suite.case
def swaks_sends(world):
    program("swaks", "--server", "127.0.0.1", "--port", str(world.server.ports["mx"]), "--tls",
            "--from", "a@example.org", "--to", world.alias.address, "--header",
            "Subject: sent by swaks", "--body", "A few words.")
    for mechanism in ("PLAIN", "LOGIN"):
        program("swaks", "--server", "127.0.0.1", "--port", str(world.server.ports["submission"]),
                "--tls", "--auth", mechanism, "--auth-user", world.alias.address,
                "--auth-password", world.alias.password, "--from", world.alias.address, "--to",
                world.alias.address, "--header", "Subject: sent by swaks", "--body",
                f"With {mechanism}.")
    with world.server.imap(world.alias, tls=True) as client:
        found = subjects(client).count("sent by swaks")
    check(found == 3, f"{found} of the 3 messages are there")


@suite.case
def curl_reads(world):
    text = program("curl", "-sS", "--insecure", "--user",
                   f"{world.alias.address}:{world.alias.password}",
                   f"imaps://127.0.0.1:{world.server.ports['imaps']}/INBOX;MAILINDEX=1")
    check("sent by curl" in text, text)


def mbsync_config(world, alias, maildir):
    maildir.mkdir()
    certificate = world.certificate()
    return world.file("mbsyncrc", f"""
IMAPAccount sealpost
Host localhost
Port {world.server.ports['imaps']}
User {alias.address}
Pass {alias.password}
SSLType IMAPS
CertificateFile {certificate}

IMAPStore far
Account sealpost

MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX
SubFolders Verbatim

Channel mirror
Far :far:
Near :near:
Patterns *
Sync New ReNew Delete Flags
Create Both
Expunge Both
SyncState *
""")


def run_mbsync(config):
    program("mbsync", "-c", config, "-a", timeout=300)


def state_of(world, alias):
    """What every change to INBOX changes."""
    with world.server.imap(alias, tls=True) as client:
        return client.status("INBOX", "(MESSAGES UIDNEXT HIGHESTMODSEQ)")[1]


@suite.case
def mbsync_mirrors_both_ways(world):
    alias = world.server.add_alias("mirror@clients.test")
    count = 2000
    with world.server.imap(alias) as client:
        client.create("Work")
        for number in range(count):
            folder = "INBOX" if number % 4 else "Work"
            answer, data = client.append(folder, "\\Seen" if number % 3 == 0 else None, None,
                                         message(number, body=f"Body {number}. " * (number % 40)))
            check(answer == "OK", data)
    maildir = world.folder / "mirror"
    config = mbsync_config(world, alias, maildir)
    start = time.monotonic()
    run_mbsync(config)
    took = time.monotonic() - start
    files = lambda: [p for p in maildir.rglob("*") if p.is_file() and p.parent.name in ("cur", "new")]
    check(len(files()) == count, f"{len(files())} of {count} messages came")
    before = sorted(files())
    status = state_of(world, alias)
    run_mbsync(config)
    check(sorted(files()) == before, "a second run changed the Maildir")
    check(state_of(world, alias) == status, "a second run changed the mailbox")

    # The other direction: a new file, a flag, a deletion.
    target = maildir / "INBOX" / "cur"
    (target / "1.new.host:2,F").write_bytes(message(9000, subject="from the Maildir")
                                            .replace(b"\r\n", b"\n"))
    gone = sorted(p for p in (maildir / "INBOX" / "cur").iterdir())[3]
    gone.rename(gone.with_name(gone.name + "T") if ":2," in gone.name
                else gone.with_name(gone.name + ":2,T"))
    run_mbsync(config)
    with world.server.imap(alias, tls=True) as client:
        _, data = client.select("INBOX")
        check(int(data[0]) == count * 3 // 4, f"INBOX has {data[0]} messages")
        _, data = client.search(None, "FLAGGED", "SUBJECT", '"from the Maildir"')
        check(len(data[0].split()) == 1, "the Maildir's message did not arrive")
    before, status = sorted(files()), state_of(world, alias)
    run_mbsync(config)
    check(sorted(files()) == before, "a run with nothing to do changed the Maildir")
    check(state_of(world, alias) == status, "a run with nothing to do changed the mailbox")
    return f"{count} messages down in {took:.1f} s"


@suite.case
def mutt_reads(world):
    mailbox = world.folder / "copied"
    config = world.file("muttrc", f"""
set imap_user="{world.alias.address}"
set imap_pass="{world.alias.password}"
set folder="imaps://127.0.0.1:{world.server.ports['imaps']}/"
set spoolfile="+INBOX"
set certificate_file="{world.folder}/mutt.pem"
set ssl_verify_host=no
set ssl_usesystemcerts=no
set header_cache=""
set mbox_type=mbox
set confirmcreate=no
set confirmappend=no
set quit=yes
set sleep_time=0
set copy=no
set move=no
""")
    (world.folder / "mutt.pem").write_text(ssl.get_server_certificate(
        ("127.0.0.1", world.server.ports["imaps"])))
    # Tags everything, saves a copy of it to a file, and leaves.
    environment = {**os.environ, "TERM": "xterm", "HOME": str(world.folder), "LINES": "40",
                   "COLUMNS": "100"}
    done = subprocess.run(
        ["script", "-qec", f"mutt -n -F {config} -e 'push \"<tag-pattern>~A<enter>"
         f"<tag-prefix><copy-message>{mailbox}<enter><exit>\"'", "/dev/null"],
        capture_output=True, timeout=60, env=environment, stdin=subprocess.DEVNULL)
    text = mailbox.read_text("utf-8", "replace") if mailbox.exists() else ""
    check("sent by curl" in text and "sent by swaks" in text,
          f"mutt copied {len(text)} bytes; it said {done.stdout[-1500:]!r}")


@suite.case
def imaplib_converses(world):
    server, alias = world.server, world.server.add_alias("converse@clients.test")
    with server.imap() as client:  # STARTTLS
        check("LOGINDISABLED" in client.capabilities or server.settings.get(
            "plain_login_on_loopback", True), client.capabilities)
        client.starttls(server.tls)
        check("STARTTLS" not in client.capabilities, client.capabilities)
        client.login(alias.address, alias.password)
    with server.imap(alias, tls=True) as client:
        check(client.noop()[0] == "OK", "NOOP")
        _, folders = client.list()
        for use in (b"\\Sent", b"\\Drafts", b"\\Trash", b"\\Junk", b"\\Archive"):
            check(any(use in line for line in folders), f"no folder with {use}: {folders}")
        check(client.namespace()[0] == "OK", "NAMESPACE")
        check(client.create("Work/Plans")[0] == "OK", "CREATE")
        check(client.create("Work/Plans")[0] == "NO", "CREATE of what exists")
        check(client.subscribe("Work/Plans")[0] == "OK", "SUBSCRIBE")
        check(any(b"Work/Plans" in line for line in client.lsub()[1]), client.lsub())
        raw = message(1, body="A line.\r\n.A line with a dot.\r\n\r\nThe end.")
        answer, data = client.append("Work/Plans", "(\\Flagged $Label)",
                                     imaplib.Time2Internaldate(1_750_000_000), raw)
        check(answer == "OK" and b"APPENDUID" in data[0], data)
        check(client.append("Nowhere", None, None, raw)[0] == "NO", "APPEND to nowhere")
        check(client.select('"Work/Plans"')[1] == [b"1"], "SELECT")
        _, data = client.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY[])")
        check(data[0][1] == raw, "the bytes are not the same")
        check(b"$Label" in data[0][0] + data[1] and b"\\Flagged" in data[0][0] + data[1], data)
        check(f"RFC822.SIZE {len(raw)}".encode() in data[0][0] + data[1], data)
        check(client.store("1", "+FLAGS", "(\\Answered)")[0] == "OK", "STORE")
        check(client.search(None, "ANSWERED", "BODY", "dot")[1] == [b"1"], "SEARCH")
        check(client.search(None, "NOT", "ANSWERED")[1] in ([b""], [None]), "SEARCH NOT")
        check(client.uid("SEARCH", "SUBJECT", '"message 1"')[1] == [b"1"], "UID SEARCH")
        check(client.copy("1", "INBOX")[0] == "OK", "COPY")
        check(client.uid("MOVE", "1", "Archive")[0] == "OK", "MOVE")
        check(client.search(None, "ALL")[1] in ([b""], [None]), "the folder is empty")
        check(client.unselect()[0] == "OK", "UNSELECT")
        check(client.status("Archive", "(MESSAGES UNSEEN)")[1] == [b"Archive (MESSAGES 1 UNSEEN 0)"]
              or client.status("Archive", "(MESSAGES UNSEEN)")[1] ==
              [b'"Archive" (MESSAGES 1 UNSEEN 0)'], client.status("Archive", "(MESSAGES UNSEEN)"))
        client.select("Archive")
        client.fetch("1", "(BODY[])")
        check(b"\\Seen" in client.fetch("1", "(FLAGS)")[1][0], "BODY[] sets \\Seen")
        client.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        check(client.expunge()[1] == [b"1"], "EXPUNGE")
        check(client.close()[0] == "OK", "CLOSE")
        check(client.rename("Work/Plans", "Done")[0] == "OK", "RENAME")
        check(client.delete("Done")[0] == "OK", "DELETE")
        check(client.getquotaroot("INBOX")[0] == "OK", "GETQUOTAROOT")
        check(client.enable("CONDSTORE")[0] == "OK", "ENABLE")
        check(client.logout()[0] == "BYE", "LOGOUT")


@suite.case
def wrong_passwords_are_refused(world):
    for password in ("wrong", "raw:" + "0" * 64, "x'" + "0" * 64 + "'", "", "a" * 500, 'q"\\uote'):
        client = world.server.imap(tls=True)
        try:
            client.login(world.alias.address, password)
            raise AssertionError(f"logged in with {password!r}")
        except imaplib.IMAP4.error as error:
            check(b"AUTHENTICATIONFAILED" in str(error).encode() or "NO" in str(error)
                  or "ailed" in str(error), error)
        finally:
            client.shutdown()


@suite.case
def smtplib_converses(world):
    server, alias = world.server, world.alias
    with server.smtp() as client:
        client.ehlo()
        for name in ("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes",
                     "starttls", "chunking"):
            check(client.has_extn(name), f"no {name}")
        check(not client.has_extn("auth"), "AUTH on the port for incoming mail")
        check(client.starttls(context=server.tls)[0] == 220, "STARTTLS")
        client.ehlo()
        check(client.verify("me")[0] in (252, 502, 550), "VRFY")
        client.mail("a@example.org")
        check(client.rcpt("nobody@clients.test")[0] == 550, "an unknown recipient")
        check(client.rcpt("a@elsewhere.example")[0] in (550, 554), "relaying")
        check(client.rcpt(alias.address)[0] == 250, "a known one")
        check(client.data(message(77, subject="by smtplib", body=".\r\n..\r\nx"))[0] == 250, "DATA")
        check(client.rset()[0] == 250, "RSET")
    with server.submission(alias) as client:
        client.sendmail(alias.address, [alias.address],
                        message(78, subject="by smtplib", sender=alias.address))
    with server.submission(alias, tls=False) as client:
        client.mail("other@clients.test")
        code = client.rcpt(alias.address)[0]
        check(code >= 500, f"a sender that is not the login's: {code}")
    with server.imap(alias, tls=True) as client:
        check(subjects(client).count("by smtplib") == 2, "both messages")


@suite.case
def two_sessions_see_each_other(world):
    alias = world.server.add_alias("both@clients.test")
    one, two = world.server.imap(alias, tls=True), world.server.imap(alias, tls=True)
    one.select("INBOX")
    two.select("INBOX")
    tag = two._new_tag()
    two.send(tag + b" IDLE\r\n")
    check(two.readline().startswith(b"+"), "IDLE")
    start = time.monotonic()
    one.append("INBOX", None, None, message(1))
    line = two.readline()
    while b"EXISTS" not in line:
        line = two.readline()
    took = time.monotonic() - start
    check(line == b"* 1 EXISTS\r\n", line)
    with world.server.smtp() as client:
        client.sendmail("a@example.org", [alias.address], message(2))
    while b"* 2 EXISTS" not in line:
        line = two.readline()
    two.send(b"DONE\r\n")
    while not line.startswith(tag):
        line = two.readline()
    one.noop()
    one.store("1", "+FLAGS", "(\\Deleted \\Flagged)")
    two.noop()
    check(b"\\Flagged" in two.fetch("1", "(FLAGS)")[1][0], "the flag")
    one.expunge()
    two.untagged_responses.clear()
    two.noop()
    check(two.untagged_responses.get("EXPUNGE") == [b"1"], two.untagged_responses)
    for client in (one, two):
        client.logout()
    return f"EXISTS after {took * 1000:.1f} ms"


for case in (*offlineimap.CASES, *imapfilter.CASES, *imapflow.CASES):
    suite.case(case)


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    findings = world.server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    with Server() as running:
        suite.run(World(running))
