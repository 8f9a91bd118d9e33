#!/usr/bin/python3
"""What is very much, but allowed: a message for 10,000 recipients, here and elsewhere, and aliases with as
many and as long targets as they may have. All that is acknowledged comes, and what is too much is told
in the protocol's words."""

import pathlib
import smtplib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import AdminError, Server  # noqa: E402
from lib.sink import Sink  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
MANY = 10000
TARGETS = 25  # of an alias
LONG = "x" * 380


class World:
    def __init__(self, server, sink):
        self.server, self.sink = server, sink
        self.ann = server.add_alias("ann@ours.test")
        self.number = 0

    def letter(self):
        self.number += 1
        return (f"From: ann@ours.test\r\nTo: many@ours.test\r\nSubject: number {self.number}\r\n"
                f"\r\nhello\r\n").encode()

    def rcpt_all(self, smtp, recipients):
        """All at once, as a pipelining client; how often each code came."""
        counts = {}
        for at in range(0, len(recipients), 500):
            part = recipients[at:at + 500]
            smtp.send("".join(f"RCPT TO:<{each}>\r\n" for each in part))
            for _ in part:
                code, words = smtp.getreply()
                key = (code, words.decode().split()[0])
                counts[key] = counts.get(key, 0) + 1
        return counts

    def send(self, smtp, recipients):
        smtp.ehlo()
        check(smtp.mail("ann@ours.test")[0] == 250, "MAIL")
        counts = self.rcpt_all(smtp, recipients)
        code, words = smtp.data(self.letter())
        return counts, code, words.decode()

    def stored(self):
        with self.server.imap(self.ann) as client:
            client.select("INBOX", readonly=True)
            found = client.search(None, "SUBJECT", f'"number {self.number}"')[1][0].split()
            return len(found)

    def wait_empty(self, seconds=300):
        deadline = time.monotonic() + seconds
        while self.server.admin("queue", "list"):
            check(time.monotonic() < deadline, f"the queue does not empty: {self.server.log(1500)}")
            time.sleep(0.2)


@suite.case
def more_recipients_than_are_allowed(world):
    """With the limit as it comes: the rest is for another message (RFC 5321 §4.5.3.1.10)."""
    with Server(settings={"processes": 1}) as server:
        other = World(server, None)
        server.admin("domain", "catch-all", "ours.test", "ann@ours.test")
        with server.smtp() as smtp:
            counts, code, words = other.send(smtp, [f"u{i}@ours.test" for i in range(MANY)])
            check(counts == {(250, "2.1.5"): 50, (452, "4.5.3"): MANY - 50}, counts)
            check(code == 250, words)
            check(other.stored() == 1, "it is not there")
            check(smtp.noop()[0] == 250, "the connection is of no use any more")


@suite.case
def ten_thousand_that_lead_to_one(world):
    world.server.admin("domain", "catch-all", "ours.test", "ann@ours.test")
    with world.server.smtp() as smtp:
        counts, code, words = world.send(smtp, [f"u{i}@ours.test" for i in range(MANY)])
        check(counts == {(250, "2.1.5"): MANY} and code == 250, f"{counts} {code} {words}")
        check(world.stored() == 1, f"{world.stored()} copies")
        # One more than that, and the same address again and again.
        smtp.ehlo()
        smtp.mail("ann@ours.test")
        counts = world.rcpt_all(smtp, ["ann@ours.test"] * (MANY + 1))
        check(counts == {(250, "2.1.5"): MANY, (452, "4.5.3"): 1}, counts)
        check(smtp.data(world.letter())[0] == 250 and world.stored() == 1, "not once")


@suite.case
def ten_thousand_on_another_server(world):
    recipients = [f"r{i}@far.test" for i in range(MANY)]
    before = len(world.sink.taken())
    with world.server.submission(world.ann, timeout=120) as smtp:
        counts, code, words = world.send(smtp, recipients)
    check(counts == {(250, "2.1.5"): MANY} and code == 250, f"{counts} {code} {words}")
    world.wait_empty()
    came = sorted(each for mail in world.sink.taken()[before:] for each in mail.recipients)
    check(came == sorted(recipients), f"{len(came)} of them, {len(set(came))} different")


@suite.case
def aliases_with_all_that_they_may_have(world):
    """Routes are JSON that travels through three roles, in frames of 128 KiB: for each recipient a
    tenth of one, for all of a message's what fits into a mebibyte."""
    server = world.server
    server.admin("alias", "add", "wide@ours.test", "--webhook", f"https://h0.test/{LONG}")
    for number in range(1, TARGETS):
        server.admin("alias", "webhook", "add", "wide@ours.test", f"https://h{number}.test/{LONG}")
    for url, words in ((f"https://one.more.test/{LONG}", str(TARGETS)),
                       (f"https://longer.test/{LONG * 2}", "")):
        try:
            server.admin("alias", "webhook", "add", "wide@ours.test", url)
            raise AssertionError("it was taken")
        except AdminError as error:
            check(error.status in (2, 5, 6) or words in str(error), error)
    with server.smtp() as smtp:
        smtp.ehlo()
        smtp.mail("ann@ours.test")
        counts = world.rcpt_all(smtp, [f"wide+t{i}@ours.test" for i in range(1000)])
        taken = counts.get((250, "2.1.5"), 0)
        check(set(counts) == {(250, "2.1.5"), (452, "4.5.3")} and taken > 20, counts)
        code, words = smtp.data(world.letter())
        check(code == 250, words)
    # Each of them is a row for each of its webhooks: none is lost on the way.
    rows = [row for row in server.admin("queue", "list", timeout=120) if row["recipient"].startswith("wide")]
    check(len(rows) == taken * TARGETS, f"{len(rows)} rows")
    server.admin("queue", "delete", "all", "--yes")
    return f"{taken} recipients with {TARGETS} targets each"


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def main():
    suite.parse()
    with Sink() as sink:
        settings = {"processes": 1, "recipients_max": MANY, "submission_per_user": 0,
                    "submission_per_domain": 0, "incoming_per_client": 0, "incoming_per_sender": 0,
                    "check_senders": False, "smarthost": f"127.0.0.1:{sink.port}"}
        with Server(settings) as server:
            suite.run(World(server, sink))


if __name__ == "__main__":
    main()
