#!/usr/bin/python3
"""The K-th write, sync, open or descriptor fails, once or for as long as the test lasts.

For each: mail for a present owner, for an absent one, and an APPEND. What is acknowledged is there
once, all else gets a temporary answer; no role dies, and as soon as the fault is gone, everything
works again without a restart.
"""

import errno
import imaplib
import os
import pathlib
import random
import smtplib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import GONE, Load, check_files, patiently  # noqa: E402
from faults.faults import SHORT, Faults, library  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
FAULTS = (("write", errno.ENOSPC), ("write", errno.EIO), ("write", SHORT), ("sync", errno.EIO),
          ("open", errno.EMFILE), ("truncate", errno.ENOSPC), ("name", errno.EIO),
          ("descriptor", errno.EMFILE))


def marker(chance):
    return f"{chance.getrandbits(64):016x}"


class Bench:
    """One present owner, one absent, and what must be in their mailboxes."""

    def __init__(self, server, faults, chance):
        self.server, self.faults, self.chance = server, faults, chance
        self.here = server.add_alias("here@calls.test")
        self.away = server.add_alias("away@calls.test")
        self.load = Load(server, [self.here], [self.away], 0, sizes=(300, 6000))
        self.session = None
        self.kind = None  # of the calls that fail at present

    def connect(self):
        """Keeps the present owner present."""
        try:
            if self.session is not None:
                self.session.noop()
                return
        except (*GONE, imaplib.IMAP4.error):
            Load.drop(self.session)
            self.session = None
        try:
            self.session = self.server.imap(self.here, timeout=2.5)
            self.session.select("INBOX")
        except (*GONE, imaplib.IMAP4.error) as error:
            if "AUTHENTICATIONFAILED" in str(error):
                raise AssertionError(f"the right password was refused: {error}") from None
            Load.drop(self.session)
            self.session = None

    def send(self, owner):
        """True: acknowledged. A permanent refusal is an error."""
        mark = marker(self.chance)
        raw = self.load.message(self.chance, mark)
        ledger = self.load.ledger
        ledger.expect(owner.address, mark, 0, 1)
        try:
            with self.server.smtp(timeout=2.5) as client:
                client.sendmail("a@example.org", [owner.address], raw)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            check(all(400 <= code < 500 for code in codes), f"refused for good: {error.recipients}")
            ledger.expect(owner.address, mark, 0, 0)
            return False
        except smtplib.SMTPResponseException as error:
            check(error.smtp_code == -1 or 400 <= error.smtp_code < 500,
                  f"refused for good: {error}")
            # "Not stored" has to be true: the peer may bounce it.
            if error.smtp_code != -1:
                ledger.expect(owner.address, mark, 0, 1)
            return False
        except GONE:
            return False
        ledger.expect(owner.address, mark, 1, 1)
        return True

    def append(self):
        mark = marker(self.chance)
        ledger = self.load.ledger
        try:
            if self.session is None:
                return False
            ledger.expect(self.here.address, mark, 0, 1)
            answer, _ = self.session.append("INBOX", None, None,
                                            self.load.message(self.chance, mark))
        except (*GONE, imaplib.IMAP4.error):
            return False
        # Whether a commit whose sync failed is on the disk cannot be known: NO, and perhaps there.
        least = 1 if answer == "OK" else 0
        most = 1 if answer == "OK" or self.kind == "sync" else 0
        ledger.expect(self.here.address, mark, least, most)
        return answer == "OK"

    def visit(self):
        try:
            client = self.server.imap(self.away, timeout=2.5)
            client.select("INBOX")
            client.logout()
        except GONE:
            pass
        except imaplib.IMAP4.error as error:
            check("AUTHENTICATIONFAILED" not in str(error),
                  f"the right password was refused: {error}")

    def works(self):
        """Everything is acknowledged again, soon after the fault is gone."""
        deadline = time.monotonic() + 20
        while True:
            self.connect()
            if self.send(self.here) and self.send(self.away) and self.append():
                return
            check(time.monotonic() < deadline, "20 s after the fault it still does not work:\n" +
                  self.server.log(3000))
            time.sleep(0.2)

    def roles(self):
        return {each.pid: each.role for each in self.server.processes() if each.role != "mailbox"}


@suite.case
def calls_fail(server, faults):
    chance = random.Random(suite.options.seed)
    bench = Bench(server, faults, chance)
    numbers = range(1, 61) if suite.options.long else (1, 2, 4, 9, 25)
    tried = hit = 0
    bench.works()
    before = bench.roles()
    for kind, error in FAULTS:
        start = time.monotonic()
        for after in numbers:
            for lasting in (False, True):
                what = (f"{kind} number {after} fails with "
                        f"{errno.errorcode[error] if error else 'a short count'}"
                        f"{' for good' if lasting else ''}")
                bench.kind = kind
                faults.arm(kind, error, after=after, lasting=lasting)
                try:
                    # The K-th call takes several rounds to come: a commit makes one write.
                    for _ in range(2 + after // (2 if suite.options.long else 3)):
                        bench.connect()
                        bench.send(bench.here)
                        bench.send(bench.away)
                        bench.append()
                        bench.visit()
                        bench.send(bench.away)
                        if faults.given():
                            break
                    tried += 1
                    hit += 1 if faults.given() else 0
                    faults.disarm()
                    bench.works()
                except AssertionError as failure:
                    raise AssertionError(f"{what}: {failure}") from None
                finally:
                    faults.disarm()
                now = bench.roles()
                check(now == before, f"{what}: roles ended and were restarted: "
                      f"{sorted(set(before.items()) ^ set(now.items()))}\n{server.log(3000)}")
        print(f"      {kind}, {errno.errorcode.get(error, 'short')}: "
              f"{time.monotonic() - start:.0f} s", flush=True)
        try:
            bench.load.verify(remove=True)
        except AssertionError as failure:
            raise AssertionError(f"after all with {kind} {error}: {failure}") from None
    check(hit * 2 > tried, f"only {hit} of {tried} faults were met")
    server.stop()
    check_files(server, [bench.here, bench.away])
    return f"{tried} faults armed, {hit} met, {bench.load.ledger.summary()}"


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}")
    service = Server()
    service.data.mkdir()
    with Faults(service.data) as page:
        service.preload = [library()]
        service.environment.update(page.environment())
        with service:
            suite.run(service, page)
