#!/usr/bin/python3
"""Sessions that sleep: no process of their mailbox runs, and their clients notice nothing. Very many of
them are hibernate_crowd.py's."""

import contextlib
import os
import pathlib
import random
import signal
import smtplib
import socket
import struct
import sys
import tempfile
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server, find_key, program  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402
from lib.talk import Talk  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from sleeping import SETTINGS, all_asleep, deliver, message  # noqa: E402

suite = Suite(__doc__)


def flag_lines(lines):
    return [line for line in lines if line.startswith("* ") and " FETCH (" in line]


@suite.case
def a_client_that_speaks_is_answered(server):
    alias = server.add_alias("speaks@sleep.test")
    for number in range(3):
        deliver(server, alias, f"speaks{number}")
    with Talk(server, alias) as client:
        all_asleep(server)  # authenticated, nothing selected
        client.do("SELECT INBOX")
        all_asleep(server)
        check(client.do("NOOP")[:-1] == [], "there was nothing to tell")
        all_asleep(server)
        check(len(flag_lines(client.do("FETCH 1:3 FLAGS"))) == 3, "three messages, by number")
        all_asleep(server)
        # Two commands in one packet, and one whose literal comes later.
        client.send("x NOOP\r\ny APPEND INBOX {6}\r\n")
        client.answer("x")
        check(client.line().startswith("+"), "the literal is asked for")
        client.send("a: b\r\n\r\n")
        lines = client.answer("y")
        check("* 4 EXISTS" in lines, lines)
        all_asleep(server)
        client.do("LOGOUT")


@suite.case
def a_compressed_session_sleeps_too(server):
    """RFC 4978: what the client says refers to what it said up to 32 KiB before, whoever reads it now."""
    chance = random.Random(suite.options.seed)
    alias = server.add_alias("compressed@sleep.test")
    with Talk(server, alias) as client, Talk(server, alias) as plain:
        plain.do("SELECT INBOX")
        all_asleep(server)
        client.compress()
        all_asleep(server)  # nothing was said yet
        client.do("SELECT INBOX")
        texts = []
        for number in range(6):
            # Nothing that could be said shorter, but by what was said before.
            size = chance.choice((100, 3000, 30000, 50000))
            texts.append(chance.randbytes(size).hex()[:size] if number % 3 == 0 else chance.choice(texts))
            all_asleep(server)
            body = f"Subject: {number}\r\n\r\n{texts[-1]}\r\n"
            client.send(f"x APPEND INBOX {{{len(body)}+}}\r\n{body}\r\n")
            check(f"* {number + 1} EXISTS" in client.answer("x"), "appended")
            all_asleep(server)
            check(client.do(f"UID SEARCH BODY {texts[-1][:60]}")[0].endswith(f" {number + 1}"), "found")
        tag = client.idle()
        for number in range(7, 9):
            all_asleep(server)
            deliver(server, alias, f"compressed{number}")
            check(client.until_exists() == number, "EXISTS")
        all_asleep(server)
        client.done(tag)
        check("* 8 EXISTS" in plain.do("NOOP"), "the other one")
        client.send("y LOGOUT\r\n")
        client.answer("y")


@suite.case
def mail_reaches_a_sleeper_in_idle(server):
    alias = server.add_alias("idle@sleep.test")
    with Talk(server, alias) as client:
        client.do("SELECT INBOX")
        tag = client.idle()
        for number in range(1, 6):
            all_asleep(server)
            deliver(server, alias, f"idle{number}")
            check(client.until_exists() == number, "EXISTS")
        client.done(tag)
        check(len(flag_lines(client.do("FETCH 1:* FLAGS"))) == 5, "all are there")


@suite.case
def mail_goes_in_though_nobody_wakes(server):
    alias = server.add_alias("quiet@sleep.test")
    with Talk(server, alias) as client:
        client.do("SELECT INBOX")
        all_asleep(server)
        deliver(server, alias, "quiet")
        drop = server.data / "drop" / alias.mailbox[-2:] / alias.mailbox
        check(not list(drop.glob("*.drop.sqlite")), "it was sealed, though a session lives")
        all_asleep(server)
        try:
            line = client.line(0.3)
            raise AssertionError(f"told unasked: {line}")
        except TimeoutError:
            pass
        check("* 1 EXISTS" in client.do("NOOP"), "told with the next command")


@suite.case
def what_others_do_is_told_with_the_right_numbers(server):
    alias = server.add_alias("others@sleep.test")
    for number in range(6):
        deliver(server, alias, f"others{number}")
    with Talk(server, alias) as sleeper, Talk(server, alias) as idler, \
            Talk(server, alias) as other:
        for client in (sleeper, idler, other):
            client.do("SELECT INBOX")
        tag = idler.idle()
        all_asleep(server)
        other.do("STORE 5 +FLAGS (\\Flagged)")
        check("* 5 FETCH" in idler.line(), "the one in IDLE hears of a flag")
        all_asleep(server)
        other.do("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
        seen = [idler.line(), idler.line()]
        check(all("Deleted" in line for line in seen), seen)
        all_asleep(server)
        other.do("EXPUNGE")
        check([idler.line(), idler.line()] == ["* 4 EXPUNGE", "* 2 EXPUNGE"], "expunged")
        all_asleep(server)
        # The old numbers hold until its next command may say EXPUNGE: 5 is the flagged one.
        lines = sleeper.do("FETCH 5 (UID FLAGS)")
        check(any("* 5 FETCH (UID 5 FLAGS" in line and "Flagged" in line for line in lines), lines)
        check(not any("EXPUNGE" in line for line in lines), lines)
        lines = sleeper.do("NOOP")
        check([line for line in lines if "EXPUNGE" in line] == ["* 4 EXPUNGE", "* 2 EXPUNGE"],
              lines)
        all_asleep(server)
        check("* 3 FETCH (UID 5 FLAGS" in "\n".join(sleeper.do("FETCH 3 (UID FLAGS)")), "after")
        idler.done(tag)
        lines = idler.do("UID SEARCH ALL")
        check("* SEARCH 1 3 5 6" in lines, lines)


@suite.case
def commands_at_the_moment_of_falling_asleep(server):
    """No byte is lost or doubled, whenever it comes, in whatever pieces."""
    rounds = 600 if suite.options.long else 60
    alias = server.add_alias("moment@sleep.test")
    chance = random.Random(suite.options.seed)
    slept = 0
    with Talk(server, alias) as client:
        client.do("SELECT INBOX")
        for number in range(rounds):
            time.sleep(chance.uniform(0.195, 0.215))
            slept += not server.processes("mailbox")
            text = "".join(f"m{number}.{n} NOOP\r\n" for n in range(chance.randint(1, 5)))
            cut = chance.randint(0, len(text))
            client.send(text[:cut])
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0, 0.01))
            client.send(text[cut:])
            for n in range(text.count("\r\n")):
                line = client.line()
                check(line == f"m{number}.{n} OK NOOP completed.", line)
            # A client that comes back at once is soon given four times as long; a new session is not.
            if number % 4 == 3:
                client.do("LOGOUT")
                client.close()
                client.__init__(server, alias)
                client.do("SELECT INBOX")
    return f"{rounds} rounds, in {slept} of them a process had ended already"


@suite.case
def mail_at_the_moment_of_falling_asleep(server):
    rounds = 100 if suite.options.long else 12
    alias = server.add_alias("mailmoment@sleep.test")
    chance = random.Random(suite.options.seed)
    with Talk(server, alias) as client, server.smtp() as smtp:
        client.do("SELECT INBOX")
        client.idle()
        for number in range(1, rounds + 1):
            smtp.sendmail("a@example.org", [alias.address], message(f"mailmoment{number}"))
            check(client.until_exists() == number, f"EXISTS {number}")
            # What the vault put off is done a second after the mail; then it may fall asleep.
            time.sleep(chance.uniform(1.0, 1.35))


@contextlib.contextmanager
def frozen(server, role):
    pids = [each.pid for each in server.processes(role)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@suite.case
def what_comes_between_offer_and_answer_is_not_lost(_):
    """The store, or the gate, stands still while a state is on its way through it: meanwhile the
    client speaks, or mail comes."""
    with Server(settings={**SETTINGS, "processes": 1}) as server:
        alias = server.add_alias("between@sleep.test")
        with Talk(server, alias) as client:
            client.do("SELECT INBOX")
            for role in ("store", "gate"):
                for number in range(4):
                    with frozen(server, role):
                        # Only now is the session silent for long enough to be offered.
                        time.sleep(0.35)
                        client.send(f"{role}{number} NOOP\r\n")
                        time.sleep(0.05)
                    lines = client.answer(f"{role}{number}")
                    check(lines[-1].split()[1] == "OK", lines)
            client.do("LOGOUT")
        # Another session: one that spoke soon after it had slept would be given more time.
        with Talk(server, alias) as client, server.smtp() as smtp:
            client.do("SELECT INBOX")
            tag = client.idle()
            for number in range(1, 4):
                with frozen(server, "gate"):
                    # After mail, what the vault put off comes first, a second later.
                    time.sleep(0.35 if number == 1 else 1.6)
                    smtp.sendmail("a@example.org", [alias.address], message(f"between{number}"))
                check(client.until_exists() == number, "EXISTS")
            client.done(tag)


@suite.case
def who_vanishes_before_it_is_offered_leaves_nothing(_):
    """The gate finds a client reset, and behind that the offer to let its session sleep."""
    with Server(settings={**SETTINGS, "processes": 1}) as server:
        alias = server.add_alias("vanish@sleep.test")
        for _ in range(5):
            client = Talk(server, alias, tls=False)
            client.do("SELECT INBOX")
            with frozen(server, "gate"):
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
                client.close()
                time.sleep(0.35)  # now the session is silent for long enough
            all_asleep(server)


@suite.case
def a_client_that_polls_stays_awake(_):
    """It came back soon after it fell asleep: it is given four times as long."""
    with Server(settings={**SETTINGS, "hibernate_after": "500ms"}) as server:
        alias = server.add_alias("polls@sleep.test")
        with Talk(server, alias) as client:
            client.do("SELECT INBOX")
            all_asleep(server)
            client.do("NOOP")
            before = server.processes("mailbox")[0].pid
            for _ in range(3):
                time.sleep(0.9)  # longer than hibernate_after, shorter than four times that
                client.do("NOOP")
            check([each.pid for each in server.processes("mailbox")] == [before],
                  "it was put to sleep between its polls")


@suite.case
def none_sleeps_when_told_so(_):
    with Server(settings={**SETTINGS, "hibernate_after": "0s"}) as server:
        alias = server.add_alias("never@sleep.test")
        with Talk(server, alias) as client:
            client.do("SELECT INBOX")
            before = server.processes("mailbox")[0].pid
            time.sleep(1)
            check([each.pid for each in server.processes("mailbox")] == [before], "it ended")


@suite.case
def one_busy_session_keeps_the_others_awake(_):
    with Server(settings={**SETTINGS, "hibernate_after": "1s"}) as server:
        alias = server.add_alias("busy@sleep.test")
        with Talk(server, alias) as silent, Talk(server, alias) as busy:
            silent.do("SELECT INBOX")
            silent.idle()
            busy.do("SELECT INBOX")
            # Where this machine itself stood still for long, the busy one was silent: once more.
            for _ in range(5):
                busy.do("NOOP")
                before = server.processes("mailbox")[0].pid
                begin = last = time.monotonic()
                longest = 0
                while last < begin + 3:
                    time.sleep(0.1)
                    busy.do("NOOP")
                    longest = max(longest, time.monotonic() - last)
                    last = time.monotonic()
                if longest < 0.9:
                    break
            check(longest < 0.9, "this machine is too busy to be the busy one")
            check([each.pid for each in server.processes("mailbox")] == [before], "it ended")
            busy.do("LOGOUT")
            all_asleep(server)
            deliver(server, alias, "busy")
            check(silent.until_exists() == 1, "EXISTS")


@suite.case
def a_sleeper_that_goes_is_away(server):
    alias = server.add_alias("goes@sleep.test")
    client = Talk(server, alias)
    client.do("SELECT INBOX")
    client.idle()
    all_asleep(server)
    client.close()
    drop = server.data / "drop" / alias.mailbox[-2:] / alias.mailbox

    def is_sealed():
        deliver(server, alias, f"goes{time.monotonic_ns()}")
        return bool(list(drop.glob("*.drop.sqlite")))

    until(is_sealed, "mail for an owner who is away is not sealed")
    all_asleep(server)
    with Talk(server, alias) as client:
        lines = client.do("SELECT INBOX")
        check(any(line.endswith("EXISTS") and line != "* 0 EXISTS" for line in lines), lines)


@suite.case
def a_new_password_ends_sleepers(server):
    alias = server.add_alias("renew@sleep.test")
    with Talk(server, alias) as idler, Talk(server, alias) as other:
        other.compress()
        idler.do("SELECT INBOX")
        idler.idle()
        all_asleep(server)
        path = server.folder / "secret"
        path.write_text(alias.password + "\n")
        answer = server.admin("alias", "password", alias.address, "--old-password-file", str(path))
        for client in (idler, other):
            bye = client.until_end()
            check(bye, "closed without BYE")
    alias.password = find_key(answer, "password")
    with Talk(server, alias) as client:
        client.do("SELECT INBOX")


@suite.case
def a_re_encryption_ends_no_session(server):
    """The file is under another key when they wake, and they showed who they are by the old one."""
    alias = server.add_alias("rekeyed@sleep.test")
    path = server.folder / "secret"
    path.write_text(alias.password + "\n")
    done = server.log().count("mailbox re-encrypted")
    answer = server.admin("alias", "password", alias.address, "--old-password-file", str(path))
    alias.password = find_key(answer, "password")
    with Talk(server, alias) as idler, Talk(server, alias) as other:
        other.compress(zlib.Z_PARTIAL_FLUSH)  # which leaves bits
        for client in (idler, other):
            client.do("SELECT INBOX")
        tag = idler.idle()
        until(lambda: server.log().count("mailbox re-encrypted") > done, "it is not re-encrypted")
        for number in range(1, 3):
            all_asleep(server)
            deliver(server, alias, f"rekeyed{number}")
            check(idler.until_exists() == number, "EXISTS")
        check("* 2 EXISTS" in other.do("NOOP"), "told with the next command")
        for command in ("CHECK", "SEARCH ALL", "STATUS INBOX (MESSAGES)"):
            all_asleep(server)
            other.do(command)
        idler.done(tag)


@suite.case
def a_removed_alias_ends_sleepers(server):
    alias = server.add_alias("removed@sleep.test")
    with Talk(server, alias) as client:
        client.do("SELECT INBOX")
        client.idle()
        all_asleep(server)
        server.admin("alias", "remove", alias.address, "--yes")
        check(client.until_end(), "closed without BYE")


@suite.case
def a_restore_ends_sleepers_in_idle(_):
    """As it ends those that are awake: what it shows is of another file. The others learn when they speak."""
    with tempfile.TemporaryDirectory(prefix="sealpost-kept-") as kept, \
            Server(settings={**SETTINGS, "backup": kept}) as server:
        alias = server.add_alias("restored@sleep.test")
        path = server.folder / "secret"
        path.write_text(alias.password + "\n")
        with Talk(server, alias) as idler, Talk(server, alias) as other:
            for client in (idler, other):
                client.do("SELECT INBOX")
            idler.idle()
            server.admin("backup", "now", alias.address, "--password-file", str(path))
            all_asleep(server)
            server.admin("restore", alias.address, "--password-file", str(path))
            check(idler.until_end(10), "closed without BYE")
            other.begin("NOOP")
            check(other.until_end(10), "closed without BYE")


@suite.case
def an_orderly_stop_says_bye(_):
    with Server(settings=SETTINGS) as server:
        alias = server.add_alias("stop@sleep.test")
        with Talk(server, alias) as client:
            client.do("SELECT INBOX")
            client.idle()
            all_asleep(server)
            start = time.monotonic()
            server.stop()
            took = time.monotonic() - start
            check(client.until_end(), "closed without BYE")
            check(took < 10, f"{took:.1f} s")


def kill(server, role):
    for each in server.processes(role):
        os.kill(each.pid, signal.SIGKILL)


@suite.case
def a_death_is_survived_or_told(_):
    """Each role is killed while a client sleeps: it goes on, or gets BYE; mail is never lost."""
    words = []
    for role, survives in (("nursery", True), ("sealer", True), ("smtp", True), ("keeper", False),
                           ("store", False), ("gate", False)):
        with Server(settings=SETTINGS) as server:
            alias = server.add_alias("death@sleep.test")
            client = Talk(server, alias)
            client.do("SELECT INBOX")
            client.idle()
            all_asleep(server)
            before = {each.pid for each in server.processes(role)}
            kill(server, role)
            until(lambda r=role, b=before: {e.pid for e in server.processes(r)} - b,
                  f"{role} does not come back")
            deadline = time.monotonic() + 20
            while True:  # until the part is connected again, mail is put off
                try:
                    deliver(server, alias, "death")
                    break
                except (smtplib.SMTPException, OSError):
                    check(time.monotonic() < deadline, f"no mail is taken after {role}'s death")
                    time.sleep(0.05)
            if survives:
                check(client.until_exists() == 1, f"{role}: EXISTS")
            else:
                bye = client.until_end()
                check(bye or role == "gate", f"{role}: closed without BYE")
                words.append(f"{role}: {bye}")
            client.close()
            with Talk(server, alias) as client:
                check("* 1 EXISTS" in client.do("SELECT INBOX"), f"{role}: the mail is there once")
    return "; ".join(words)


@suite.case
def bulk_downloads_make_room(_):
    """iOS's connections that load everything again wait while another client is being used."""
    bulk_id = 'ID ("name" "com.apple.email.maild" "event" "back-fill")'
    with Server(settings={**SETTINGS, "bulk_load_max": 1000000}) as server:
        alias = server.add_alias("bulk@sleep.test")
        with Talk(server, tls=True) as bulk, Talk(server) as late:
            bulk.do(bulk_id)  # before login, as iOS does it
            bulk.do(f"LOGIN {alias.address} {alias.password}")
            bulk.do("SELECT INBOX")  # nobody else is there
            all_asleep(server)  # it stays what it is
            with Talk(server, alias) as person:
                person.do("SELECT INBOX")
                tag = bulk.begin("STATUS INBOX (MESSAGES)")
                lines = bulk.answer(tag)
                check(lines[-1].startswith(f"{tag} NO [UNAVAILABLE]"), lines)
                bulk.do("NOOP")
                person.do("NOOP")
                late.do(f"LOGIN {alias.address} {alias.password}")
                late.do("SELECT INBOX")  # a person's too, so far
                late.do(bulk_id)
                tag = late.begin("SELECT INBOX")
                lines = late.answer(tag)
                check(lines[-1].startswith(f"{tag} NO [UNAVAILABLE]"), lines)
                person.do("LOGOUT")
            until(lambda: bulk.answer(bulk.begin("CHECK"))[-1].split()[1] == "OK",
                  "it waits though nobody else is there")


@suite.case
def who_is_awake_at_the_keepers_death_stays_awake(_):
    """Only its mailbox process has the key now: it could not be woken."""
    with Server(settings={**SETTINGS, "hibernate_after": "2s"}) as server:
        alias = server.add_alias("key@sleep.test")
        with Talk(server, alias) as client:
            client.do("SELECT INBOX")
            client.idle()
            before = {each.pid for each in server.processes("mailbox")}
            old = {each.pid for each in server.processes("keeper")}
            kill(server, "keeper")
            until(lambda: {each.pid for each in server.processes("keeper")} - old,
                  "the keeper does not come back")
            time.sleep(3.5)
            check({each.pid for each in server.processes("mailbox")} == before, "it ended")
            deliver(server, alias, "key")
            check(client.until_exists() == 1, "EXISTS")


@suite.case
def nothing_was_found_by_the_sanitizers(server):
    findings = server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    options = suite.parse()
    print(f"seed {options.seed}; {program()}")
    with Server(settings=SETTINGS) as running:
        suite.run(running)
