#!/usr/bin/python3
"""The recovery drills of docs/operating.md: its commands, as they stand there, at a terminal where the
owner types his password. Each section that has commands is a case, and in the end every command of the
page was run.

The test replaces what the page leaves to the reader (the data folder, a moment, …) by the page's own
variables, and `systemctl` by starting the service under test.
"""

import datetime
import imaplib
import os
import pathlib
import re
import shutil
import smtplib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import stock_shell  # noqa: E402
from lib.server import PROJECT, Alias, Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from lib.terminal import Terminal  # noqa: E402

suite = Suite(__doc__)
ADDRESS = "someone@example.org"
OWNER_ASKED = "Password or recovery key of the mailbox: "
THEN_ASKED = "Password of the mailbox when the backup was made: "


class Page:
    """docs/operating.md: the blocks of commands by section, and which of them were run."""

    def __init__(self):
        self.blocks = {}
        self.run = set()
        section = block = None
        for line in (PROJECT / "docs" / "operating.md").read_text().splitlines():
            if line.startswith("## "):
                section, block = line[3:], None
            elif section and line.startswith("    "):
                if block is None:
                    block = []
                    self.blocks.setdefault(section, []).append(block)
                block.append(line[4:])
            else:
                block = None

    def left(self):
        return [(section, number) for section, blocks in self.blocks.items()
                for number in range(len(blocks)) if (section, number) not in self.run]


class Host:
    """A service, its destination, and a safe place elsewhere."""

    def __init__(self, page, section, **settings):
        self.page, self.section = page, section
        self.server = Server(settings={"mailbox_linger": "300ms", "backup_drop_after": "200ms",
                                       **settings})
        for name in ("backup", "elsewhere", "bin"):
            (self.server.folder / name).mkdir()
        self.server.settings["backup"] = str(self.server.folder / "backup")
        (self.server.folder / "bin" / "sealpost").symlink_to(program())
        self.backup = self.server.folder / "backup"
        self.moment = None
        self.reply = b""

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        if error[0] is None:
            check(not self.server.sanitizer_findings(), self.server.sanitizer_findings())
        self.server.__exit__(*error)

    def shell(self, lines, answers):
        environment = {"PATH": f"{self.server.folder / 'bin'}:{os.environ['PATH']}",
                       "SEALPOST_CONFIG": str(self.server.conf), "DATA": str(self.server.data),
                       "OWNER": f"{os.getuid()}:{os.getgid()}",
                       "ELSEWHERE": str(self.server.folder / "elsewhere"),
                       "MOMENT": self.moment or "not set"}
        with Terminal(["bash", "-euc", "\n".join(lines)], environment) as terminal:
            for question, answer in answers:
                terminal.answer(question, answer)
            shown = terminal.end()
            check(terminal.status == 0, f"{lines}: exit {terminal.status}: {shown}")
        return shown

    def do(self, number, *answers):
        """The section's block of this number; what it showed."""
        lines, shown = [], ""
        for line in [*self.page.blocks[self.section][number], None]:
            if line is not None and not line.startswith("systemctl "):
                lines.append(line)
                continue
            if lines:
                shown += self.shell(lines, answers)
                lines, answers = [], ()
            if line == "systemctl start sealpost":
                check(self.server.conf.exists(), "no configuration")
                self.server.start()
            elif line is not None:
                raise AssertionError(f"what is {line!r}?")
        self.page.run.add((self.section, number))
        return shown

    # ---- mail ----

    def imap(self, alias):
        """A mailbox that was just restored: its old process may be ending."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return self.server.imap(alias)
            except (imaplib.IMAP4.abort, imaplib.IMAP4.error, OSError) as error:
                if "AUTHENTICATIONFAILED" in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def append(self, alias, *names):
        with self.imap(alias) as client:
            for name in names:
                status, answer = client.append("INBOX", None, None,
                                               f"Subject: {name}\r\n\r\n{name}\r\n".encode())
                check(status == "OK", answer)

    def subjects(self, alias, folder="INBOX"):
        with self.imap(alias) as client:
            status, _ = client.select(folder, readonly=True)
            if status != "OK":
                return None
            _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [part[1].decode().strip().removeprefix("Subject: ") for part in found
                if isinstance(part, tuple)]

    def mail(self, address, subject):
        """The reply's code, and its words in self.reply."""
        with self.server.smtp() as client:
            try:
                client.sendmail("a@example.net", [address], f"Subject: {subject}\r\n\r\nmail\r\n")
            except smtplib.SMTPRecipientsRefused as error:
                code, self.reply = error.recipients[address]
            except smtplib.SMTPResponseException as error:
                code, self.reply = error.smtp_code, error.smtp_error
            else:
                code, self.reply = 250, b""
        return code

    def mail_file(self, alias):
        name = alias.mailbox
        return self.server.data / "mail" / name[-2:] / name / f"{name}.sqlite"

    def shipped(self, alias):
        """Until the log of what was done is at the destination, and nothing more comes."""
        quiet = time.monotonic()
        last = None
        deadline = quiet + 60
        while time.monotonic() - quiet < 1.5 or not last:
            found = sorted((self.backup / alias.mailbox).rglob("*.seg"))
            if found != last:
                last, quiet = found, time.monotonic()
            check(time.monotonic() < deadline, "the log does not come to rest")
            time.sleep(0.1)

    def note_moment(self):
        self.moment = datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        time.sleep(0.3)

    def is_refused(self, alias, password):
        old = Alias(alias.address, {"password": password})
        try:
            self.server.imap(old).logout()
            return False
        except imaplib.IMAP4.error as error:
            return "AUTHENTICATIONFAILED" in str(error)


def shown_secret(shown, name):
    found = re.search(rf"^ *{name}:\s+([A-Za-z0-9]{{32}})\s*$", shown, re.MULTILINE)
    check(found, f"no {name} in {shown!r}")
    return found.group(1)


@suite.case
def look_before_you_need_it(page):
    with Host(page, "Look before you need it") as host:
        alias = host.server.add_alias(ADDRESS)
        host.append(alias, "one")
        shown = host.do(0, *[(OWNER_ASKED, alias.password)] * 2)
        check("The backup was made" in shown and "is whole, and reaches up to" in shown, shown)
        check(re.search(r"full/\d{8}T\d{6}", shown), shown)
        host.do(1)
        kept = host.server.folder / "elsewhere"
        check((kept / "host.key").read_bytes() == (host.server.data / "host.key").read_bytes() and
              (kept / "sealpost.conf").read_text() == host.server.conf.read_text(), "not kept")


@suite.case
def somebody_deleted_mail(page):
    with Host(page, "Somebody deleted mail") as host:
        alias = host.server.add_alias(ADDRESS)
        host.append(alias, "one", "two")
        host.shipped(alias)
        host.note_moment()
        with host.imap(alias) as client:
            client.select("INBOX")
            client.store("1", "+FLAGS", "\\Deleted")
            client.expunge()
        host.append(alias, "three")
        host.shipped(alias)
        host.do(0, (OWNER_ASKED, alias.password))
        check(host.subjects(alias, "Restored/INBOX") == ["one", "two"], "not beside the rest")
        check(host.subjects(alias) == ["two", "three"], "the mailbox itself")
        host.shipped(alias)
        shown = host.do(1, (OWNER_ASKED, alias.password))
        check(".before-" in shown, shown)
        check(host.subjects(alias) == ["one", "two"], f"{host.subjects(alias)}")


def new_password(host, alias):
    """As the owner has one made; the old one."""
    ended = host.server.log().count("mailbox re-encrypted")
    shown = host.shell([f"sealpost alias password {alias.address}"],
                       [(OWNER_ASKED, alias.password)])
    old, alias.password = alias.password, shown_secret(shown, "password")
    deadline = time.monotonic() + 60
    while host.server.log().count("mailbox re-encrypted") == ended:
        check(time.monotonic() < deadline, "it is not re-encrypted")
        time.sleep(0.05)
    return old


@suite.case
def the_backup_is_from_before_a_new_password(page):
    with Host(page, "The backup is from before a new password") as host:
        alias = host.server.add_alias(ADDRESS)
        host.append(alias, "one")
        host.shipped(alias)
        host.note_moment()
        old = new_password(host, alias)
        host.append(alias, "two")
        shown = host.do(0, (OWNER_ASKED, alias.password), (THEN_ASKED, old))
        check("opens with the password of that time" in shown, shown)
        check(host.subjects(alias) == ["one"], f"{host.subjects(alias)}")
        check(host.is_refused(alias, old), "the old password opens it")


def lose_mail_disk(host, damaged, without_drop):
    """One file is damaged, all others are gone, and one mailbox's drop box with them."""
    content = host.mail_file(damaged).read_bytes()
    shutil.rmtree(host.server.data / "mail")
    host.mail_file(damaged).parent.mkdir(mode=0o700, parents=True)
    host.mail_file(damaged).write_bytes(content[:24] + os.urandom(len(content) - 24))
    name = without_drop.mailbox
    shutil.rmtree(host.server.data / "drop" / name[-2:] / name)


@suite.case
def the_mail_disk_is_lost(page):
    with Host(page, "The mail disk is lost") as host:
        aliases = [host.server.add_alias(address)
                   for address in (ADDRESS, "damaged@example.org", "without@example.org")]
        for each in aliases:
            host.append(each, "one", "two")
        for each in aliases:
            host.shipped(each)
        host.server.stop()
        lose_mail_disk(host, aliases[1], aliases[2])
        shown = host.do(0)
        check(all(each.address in shown for each in aliases), shown)
        expected = {}
        for each in aliases:
            try:
                host.server.imap(each).select("INBOX")
                check(False, "there is a mailbox though its file is lost")
            except imaplib.IMAP4.error as error:
                check("AUTHENTICATIONFAILED" not in str(error), str(error))
            code = host.mail(each.address, "while it is away")
            check(code == 250 or 400 <= code < 500, f"refused for good: {code}")
            expected[each.address] = ["one", "two"] + ["while it is away"] * (code == 250)
        check(code == 451, f"taken, and kept where? {code} {host.reply}")
        for each in aliases:
            question = OWNER_ASKED, each.password
            shown = host.do(1, question) if each is aliases[0] else \
                host.shell([f"sealpost restore {each.address}"], [question])
            check("is as it was at" in shown and "later changes" not in shown, shown)
            check(host.subjects(each) == expected[each.address], f"{host.subjects(each)}")
            check(host.mail(each.address, "afterwards") == 250, "no mail afterwards")
            check(host.subjects(each) == [*expected[each.address], "afterwards"],
                  f"{host.subjects(each)}")


@suite.case
def the_host_is_lost(page):
    """Of three mailboxes: one's waiting mail was copied and is still waiting, another's was copied and then
    taken over by its owner, and the third's owner is at work."""
    with Host(page, "The host is lost", backup_interval="1s") as host:
        server = host.server
        busy = server.add_alias(ADDRESS, "--recovery-key")
        idle, other = (server.add_alias(f"{name}@example.org") for name in ("idle", "other"))
        made = time.time()
        for each in (busy, idle, other):
            host.append(each, "one", "two")
        for each in (busy, idle, other):
            host.shipped(each)
        deadline = time.monotonic() + 60
        while server.processes("mailbox"):
            check(time.monotonic() < deadline, "the mailboxes' processes do not end")
            time.sleep(0.1)
        for each in (busy, idle, other):
            check(host.mail(each.address, "waits") == 250, "no mail")
            while not list((host.backup / each.mailbox).glob("drop/*.drop.sqlite")):
                check(time.monotonic() < deadline, "waiting mail is not copied")
                time.sleep(0.1)
        check(host.subjects(other) == ["one", "two", "waits"], f"{host.subjects(other)}")
        host.shipped(other)
        while not any(each.stat().st_mtime > made for each in
                      (host.backup / "host" / "account").glob("*.sqlite")):
            check(time.monotonic() < deadline, "the account database is not copied")
            time.sleep(0.2)
        # At its end a full backup is made, as one of the other two; but this one does not end.
        working = server.imap(busy)
        working.append("INBOX", None, None, b"Subject: three\r\n\r\nthree\r\n")
        host.shipped(busy)
        host.section = "Look before you need it"
        host.do(1)
        host.section = "The host is lost"
        # Gone, at once and with everything.
        server.kill_all()
        shutil.rmtree(server.data)
        server.conf.unlink()
        shown = host.do(0)
        check(f"to be restored with its owner: {ADDRESS}" in shown and
              "files brought back: 2, there already: 0, to be restored with their owners: 1" in shown,
              shown)
        shown = host.do(1)
        check(all(each.address in shown for each in (busy, idle, other)), shown)
        for each in (idle, other):
            check(host.subjects(each) == ["one", "two", "waits"],
                  f"{each.address}: {host.subjects(each)}")
        code = host.mail(ADDRESS, "too early")
        check(400 <= code < 500, f"{code} {host.reply}")
        host.do(2, (OWNER_ASKED, busy.recovery))
        check(host.subjects(busy) == ["one", "two", "waits", "three"],
              f"what its owner has already comes again: {host.subjects(busy)}")
        for each in (busy, idle, other):
            check(host.mail(each.address, "afterwards") == 250, "no mail afterwards")
            check(host.subjects(each)[-1] == "afterwards", f"{host.subjects(each)}")


@suite.case
def the_password_is_lost_and_the_recovery_key_is_there(page):
    with Host(page, "The password is lost, the recovery key is there") as host:
        alias = host.server.add_alias(ADDRESS, "--recovery-key")
        host.append(alias, "one")
        host.shipped(alias)
        host.note_moment()
        host.append(alias, "two")
        host.do(0, (OWNER_ASKED, alias.recovery))
        shown = host.do(1, (OWNER_ASKED, alias.recovery))
        old, alias.password = alias.password, shown_secret(shown, "password")
        check(host.subjects(alias) == ["one", "two"], f"{host.subjects(alias)}")
        check(host.subjects(alias, "Restored/INBOX") == ["one"], "what was restored first")
        check(host.is_refused(alias, old), "the old password opens it")


@suite.case
def the_password_and_the_recovery_key_are_lost(page):
    with Host(page, "The password and the recovery key are lost") as host:
        old = host.server.add_alias(ADDRESS)
        host.append(old, "one")
        host.shipped(old)
        shown = host.do(0, ('Type "yes" to go on: ', "yes"))
        new = Alias(ADDRESS, {"password": shown_secret(shown, "password")})
        shown_secret(shown, "recovery.key")
        check(host.mail(ADDRESS, "new") == 250, "no mail")
        check(host.subjects(new) == ["new"], f"{host.subjects(new)}")
        check(host.is_refused(new, old.password), "the old password opens something")
        # It was found: the old file opens elsewhere, and so does what is in the backups.
        status, text = stock_shell(host.mail_file(old), old.password, "SELECT count(*) FROM message")
        check(status == 0 and text.strip() == "1", f"the old file: {text}")


@suite.case
def every_command_of_the_page_was_run(page):
    if not suite.options.only:
        check(not page.left(), f"not run: {page.left()}")
        return f"{len(page.run)} blocks"
    return "not all cases were"


if __name__ == "__main__":
    suite.parse()
    suite.run(Page())
