"""What the tests of sessions that sleep share: a service that puts them to sleep soon, and mail for it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.suite import check, until  # noqa: E402

SETTINGS = {"hibernate_after": "200ms", "mailbox_linger": "100ms"}


def all_asleep(server, seconds=20):
    until(lambda: not server.processes("mailbox"), "a mailbox process does not end", seconds)


def message(subject):
    return (f"From: a@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.org>\r\n"
            f"\r\n{subject}\r\n").encode()


def deliver(server, alias, subject):
    with server.smtp() as client:
        check(client.sendmail("a@example.org", [alias.address], message(subject)) == {}, subject)
