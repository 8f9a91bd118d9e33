#!/usr/bin/python3
"""A full disk, a clock that jumps, processes that stand still or start again."""

import imaplib
import os
import pathlib
import random
import signal
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import GONE, Load, check_files  # noqa: E402
from faults.faults import Faults, library  # noqa: E402
from lib.server import AdminError, Server  # noqa: E402
from lib.suite import Skip, Suite, check, until  # noqa: E402

suite = Suite(__doc__)


def raw_message(subject, size=0):
    """Random bytes in base64, so that compressing does not help."""
    body = os.urandom(size).hex()
    lines = "\r\n".join(body[i:i + 72] for i in range(0, len(body), 72))
    return f"From: a@example.org\r\nSubject: {subject}\r\n\r\n{lines}\r\n".encode()


def send(server, alias, raw):
    """The reply's code; 250: stored."""
    try:
        with server.smtp() as client:
            client.sendmail("a@example.org", [alias.address], raw)
        return 250
    except smtplib.SMTPRecipientsRefused as error:
        return next(iter(error.recipients.values()))[0]
    except smtplib.SMTPResponseException as error:
        return error.smtp_code


def count(client):
    return int(client.select("INBOX")[1][0])


def fill(folder):
    """Takes the last free bytes of a small file system."""
    path = folder / "filler"
    size = 1 << 20
    with open(path, "ab", buffering=0) as file:
        while size >= 512:
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
            size //= 2
    return path


@suite.case
def a_full_disk():
    server = Server()
    server.data.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs",
                           server.data], capture_output=True, text=True)
    if done.returncode != 0:
        server.remove()
        raise Skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    try:
        with server:
            here, away = server.add_alias("here@full.test"), server.add_alias("away@full.test")
            session = server.imap(here)
            check(send(server, away, raw_message("waits")) == 250, "there is room")
            stored = 0
            while send(server, here, raw_message("fills", 200_000)) == 250:
                stored += 1
                check(stored < 200, "24 MB hold 80 MB")
            filler = fill(server.data)
            for owner in (here, away):
                code = send(server, owner, raw_message("too much", 200_000))
                check(code in (452, 451, 431), f"mail to {owner} on a full disk got {code}")
            answer, words = session.append("INBOX", None, None, raw_message("too much", 200_000))
            check(answer == "NO" and (b"OVERQUOTA" in words[0] or b"UNAVAILABLE" in words[0]),
                  f"APPEND on a full disk: {answer} {words}")
            check(count(session) == stored, f"{count(session)} of {stored} messages are there")
            for number in (1, stored // 2, stored):
                _, data = session.fetch(str(number), "(BODY.PEEK[])")
                check(b"fills" in data[0][1], f"message {number} is not readable")
            again = server.imap(here)
            check(count(again) == stored, "a new session sees them too")
            again.logout()
            # Room again, by an administrator or by the owner: everything works, nothing restarted.
            filler.unlink()
            subprocess.run(["mount", "-o", "remount,size=96m", server.data], check=True)
            deadline = time.monotonic() + 20
            while send(server, here, raw_message("fits")) != 250:
                check(time.monotonic() < deadline, "with room again mail is still refused")
                time.sleep(0.2)
            check(send(server, away, raw_message("fits")) == 250, "the absent owner's is refused")
            with server.imap(away) as client:
                check(count(client) == 2, f"{count(client)} of the absent owner's 2")
            with server.imap(here) as client:
                check(count(client) == stored + 1, f"{count(client)} of {stored + 1}")
            server.stop()
            check_files(server, [here, away])
    finally:
        server.kill_all()
        subprocess.run(["umount", "-l", server.data], capture_output=True)
        server.remove()
    return f"{stored} messages until it was full"


@suite.case
def a_clock_that_jumps():
    server = Server()
    server.data.mkdir()
    with Faults(server.data) as faults:
        server.preload = [library()]
        server.environment.update(faults.environment())
        with server:
            here, away = server.add_alias("here@clock.test"), server.add_alias("away@clock.test")
            session = server.imap(here)
            expected = 0
            for days in (0, 1, -1, 400, -400, 20000, 0):
                faults.set_clock(days * 86400)
                for owner in (here, away):
                    raw = raw_message(f"{expected}: {days} days off for {owner}")
                    check(send(server, owner, raw) == 250, f"{days} days off: mail to {owner}")
                expected += 1
                check(session.noop()[0] == "OK", f"{days} days off: the session ended")
                check(count(session) == expected, f"{days} days off: {count(session)} messages")
                with server.imap(away) as client:
                    check(count(client) == expected, f"{days} days off: the absent owner's")
            _, data = session.uid("SEARCH", "ALL")
            uids = [int(uid) for uid in data[0].split()]
            check(uids == sorted(set(uids)) and len(uids) == expected, uids)


@suite.case
def processes_that_stand_still():
    """Each in turn; afterwards everything is there, and meanwhile others are served."""
    seconds = 10 if suite.options.long else 2
    with Server() as server:
        present = [server.add_alias(f"present{n}@still.test") for n in range(2)]
        absent = [server.add_alias(f"absent{n}@still.test") for n in range(2)]
        load = Load(server, present, absent, suite.options.seed, pause=0.02)
        load.start()
        time.sleep(1)
        roles = {}
        for process in server.processes():
            roles.setdefault(process.role, process)
        for role, process in sorted(roles.items()):
            try:
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(seconds)
            except ProcessLookupError:
                continue
            finally:
                try:
                    os.kill(process.pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            time.sleep(0.3)
        load.stop()
        load.verify()
        return f"{len(roles)} roles for {seconds} s each, {load.ledger.summary()}"


@suite.case
def a_stopped_mailbox_holds_nobody_else_up():
    with Server() as server:
        one, two = server.add_alias("one@still.test"), server.add_alias("two@still.test")
        # Those that made the files end behind the answers to `alias add`.
        until(lambda: not server.processes("mailbox"), "a new mailbox's process stays")
        held = server.imap(one)
        mailboxes = server.processes("mailbox")
        check(len(mailboxes) == 1, f"one session, but {mailboxes}")
        os.kill(mailboxes[0].pid, signal.SIGSTOP)
        worst = 0.0
        try:
            for number in range(20):
                start = time.monotonic()
                check(send(server, two, raw_message(f"number {number}")) == 250, "mail to another")
                with server.imap(two) as client:
                    check(count(client) == number + 1, "another's mailbox")
                worst = max(worst, time.monotonic() - start)
        finally:
            os.kill(mailboxes[0].pid, signal.SIGCONT)
        check(worst < 1.0, f"a neighbour waited {worst:.2f} s")
        check(held.noop()[0] == "OK", "the one that stood still goes on")
        return f"a neighbour waited {worst * 1000:.0f} ms at most"


def kill_role(server, role):
    """Kills it, and waits for its successor's process."""
    before = {process.pid for process in server.processes(role)}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: {process.pid for process in server.processes(role)} - before,
          f"no new {role} came")


@suite.case
def a_session_that_outlives_the_keeper():
    """Its usage and quota are the new keeper's; when its process dies too, it is told so."""
    with Server() as server:
        alias = server.add_alias("stays@keeper.test", "--quota", "1M")
        session = server.imap(alias)
        check(session.append("INBOX", None, None, raw_message("before"))[0] == "OK", "before")
        kill_role(server, "keeper")
        check(session.append("INBOX", None, None, raw_message("after", 20_000))[0] == "OK",
              "the session does not go on")

        def shown(key):
            try:
                return server.admin("alias", "show", alias.address)[key]
            except AdminError:
                return 0  # the keeper is not there yet

        until(lambda: shown("messages") == 2 and shown("used") > 20_000,
              "the new keeper does not hear of the usage")
        server.admin("alias", "quota", alias.address, "1K")
        until(lambda: session.append("INBOX", None, None, raw_message("much", 2000))[0] == "NO",
              "the new quota does not reach the mailbox")
        stored = count(session)
        server.admin("alias", "quota", alias.address, "1M")
        # The keeper has no key for it now: the session cannot go on, and says so.
        os.kill(server.processes("mailbox")[0].pid, signal.SIGKILL)
        heard = session.sock.recv(4096)
        check(heard.startswith(b"* BYE [UNAVAILABLE]"), heard)
        until(lambda: send(server, alias, raw_message("sealed")) == 250, "mail is refused")
        with server.imap(alias) as client:
            check(count(client) == stored + 1, f"{count(client)} of {stored + 1} messages")


@suite.case
def logins_while_a_role_starts_again():
    """They wait for it, and are not refused."""
    rounds = 5  # each restart in a row comes later than the one before (role/backoff.h)
    with Server() as server:
        alias = server.add_alias("patient@restart.test")
        server.imap(alias).logout()
        worst = 0.0
        for _ in range(rounds):
            for role in ("store", "keeper"):
                for process in server.processes(role):
                    os.kill(process.pid, signal.SIGKILL)
                start = time.monotonic()
                with server.imap(alias) as client:
                    check(client.noop()[0] == "OK", "it is not served")
                worst = max(worst, time.monotonic() - start)
        return f"{2 * rounds} logins, the longest took {worst * 1000:.0f} ms"


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}")
    suite.run()
