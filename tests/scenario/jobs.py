#!/usr/bin/python3
"""What an owner has done in his mailbox's process: `alias check` as the first such job. Wrong
passwords, the command killed in the middle, the mailbox's process killed in the middle, damage that
is found, and how long a live session waits meanwhile.
"""

import base64
import imaplib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from crash.load import stock_shell  # noqa: E402
from lib.server import AdminError, Alias, Server, program  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)


class World:
    def __init__(self, server, alias, count):
        self.server = server
        self.alias = alias
        self.count = count

    def command(self, *words, json_output=True):
        return [program(), "alias", "check", self.alias.address, *words, "--config",
                str(self.server.conf), *(["--json"] if json_output else [])]

    def start(self, password=None, **options):
        """The command, running; its password is written already."""
        process = subprocess.Popen(self.command("--password-file", "-", **options),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        process.stdin.write((password or self.alias.password) + "\n")
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, password=None, **options):
        process = self.start(password, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def wait_for_child(self, process):
        deadline = time.monotonic() + 30
        while not self.server.children_of_mailboxes():
            check(process.poll() is None, "the job was over before it could be seen")
            check(time.monotonic() < deadline, "no child to be seen")
            time.sleep(0.001)
        return self.server.children_of_mailboxes()

    def wait_for_no_child(self):
        deadline = time.monotonic() + 10
        while self.server.children_of_mailboxes():
            check(time.monotonic() < deadline, f"left behind: {self.server.children_of_mailboxes()}")
            time.sleep(0.01)


def message(number, size):
    noise = base64.encodebytes(os.urandom(size)).decode().replace("\n", "\r\n")
    return (f"From: a@example.org\r\nTo: me@example.test\r\nSubject: {number}\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            f"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
            f"--b\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Transfer-Encoding: base64\r\n\r\n{noise}"
            f"--b--\r\n").encode()


@suite.case
def a_whole_mailbox_is_found_whole(world):
    code, out, err = world.run()
    check(code == 0, f"exit {code}: {err}")
    answer = json.loads(out)
    check(answer["status"] == "ok" and answer["messages"] == world.count, out)
    check(answer["contents"] == world.count and answer["attachments"] == world.count, out)
    check(err == "", f"with --json something was said: {err}")
    code, out, err = world.run(world.alias.recovery)
    check(code == 0, f"the recovery key: exit {code}: {err}")
    code, out, err = world.run(json_output=False)
    check(code == 0 and "The mailbox is whole." in out, out)
    check(f"messages: {world.count} of {world.count}" in err and "\r" not in err, err)
    return f"{world.count} messages"


@suite.case
def a_terminal_shows_a_bar(world):
    secret = world.server.folder / "password"
    secret.write_text(world.alias.password + "\n")
    secret.chmod(0o600)
    ours, theirs = pty.openpty()
    done = subprocess.Popen(world.command("--password-file", str(secret), json_output=False),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    done.communicate(timeout=60)
    check(done.returncode == 0, f"exit {done.returncode}")
    check(re.search(rb"\rmessages +\[#* *\] +\d+%  \d+/\d+", shown), shown[-300:])


@suite.case
def a_wrong_password_is_refused_and_counted(world):
    codes = [world.run("x" * 32)[0] for _ in range(4)]
    check(codes == [6, 6, 6, 7], f"{codes}")  # denied; then: too many
    code, out, _ = world.run()
    check(code == 7, "the right one was not throttled, as a login would be")
    try:
        world.server.admin("alias", "check", "nobody@example.test", "--password-file", "/dev/null")
    except AdminError as error:
        check(error.status in (2, 4), str(error))
    time.sleep(15.2)  # failures_window
    code, _, err = world.run()
    check(code == 0, f"after the window: exit {code}: {err}")


@suite.case
def a_command_that_is_killed_takes_its_job_along(world):
    for _ in range(5):
        process = world.start()
        world.wait_for_child(process)
        process.kill()
        process.communicate()
        world.wait_for_no_child()
    check(world.run()[0] == 0, "not afterwards")


@suite.case
def a_mailbox_process_that_is_killed_is_told(world):
    for _ in range(5):
        process = world.start()
        children = world.wait_for_child(process)
        for each in world.server.processes("mailbox"):
            if each.pid not in children:
                os.kill(each.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=30)
        check(process.returncode == 8, f"exit {process.returncode}: {out} {err}")
        check("ended before it was done" in out, out)
        world.wait_for_no_child()
    check(world.run()[0] == 0, "not afterwards")


@suite.case
def a_child_that_is_killed_is_a_failure(world):
    process = world.start()
    for pid in world.wait_for_child(process):
        os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    check(process.returncode == 8 and "died" in out, f"exit {process.returncode}: {out}")


@suite.case
def a_session_goes_on_meanwhile(world):
    """The session of the mailbox that is checked: how long its commands take."""
    with world.server.imap(world.alias) as client:
        client.select("INBOX")
        alone, beside = [], []
        for _ in range(200):
            began = time.perf_counter()
            client.noop()
            alone.append(time.perf_counter() - began)
        for _ in range(3):
            process = world.start()
            while process.poll() is None:
                began = time.perf_counter()
                client.noop()
                client.fetch("1", "(FLAGS)")
                beside.append(time.perf_counter() - began)
            check(process.returncode == 0, f"exit {process.returncode}")
    check(len(beside) > 10, f"only {len(beside)} commands")
    return (f"{len(beside)} commands, {max(beside) * 1000:.1f} ms at most "
            f"(alone {max(alone) * 1000:.1f})")


@suite.case
def damage_is_found_and_named(world):
    world.server.stop()
    path, = (world.server.data / "mail").glob("*/*/*.sqlite")
    whole = path.read_bytes()
    position = len(whole) * 2 // 3
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1:])
    world.server.start()
    code, out, err = world.run()
    check(code == 1 and json.loads(out)["status"] == "damaged", f"exit {code}: {out} {err}")
    world.server.stop()
    path.write_bytes(whole)
    world.server.start()
    check(world.run()[0] == 0, "whole again")
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


@suite.case
def a_mailbox_that_is_given_up(world):
    """Password and recovery key lost: empty, but what it held is kept, and opens with the old password."""
    server, old = world.server, world.alias
    path, = (server.data / "mail").glob("*/*/*.sqlite")
    done = subprocess.run([program(), "alias", "reset", old.address, "--config", str(server.conf)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    check(done.returncode == 2 and path.exists(), f"without a yes: exit {done.returncode}")
    answer = server.admin("alias", "reset", old.address, "--recovery-key", "--yes")
    new = Alias(old.address, answer)
    check(new.recovery and answer["kept_until"] > "2026", str(answer))
    with server.imap(new) as client:
        check(client.select("INBOX")[1] == [b"0"], "not empty")
    try:
        server.imap(old)
        check(False, "the old password still opens")
    except imaplib.IMAP4.error as error:
        check("AUTHENTICATIONFAILED" in str(error), str(error))
    status, text = stock_shell(path, old.password, "SELECT count(*) FROM message")
    check(status == 0 and int(text) == world.count, f"the old file: {text}")
    time.sleep(1.1)  # reset_keep
    server.stop()
    server.start()  # or within a minute
    deadline = time.monotonic() + 10
    while path.exists():
        check(time.monotonic() < deadline, "the old file stays")
        time.sleep(0.05)
    with server.imap(new) as client:
        check(client.select("INBOX")[0] == "OK", "the new mailbox went along")


def main():
    options = suite.parse()
    count = 1000 if options.long else 100
    with Server(settings={"failures_per_account": 3, "failures_per_address": 100,
                          "failures_window": "15s", "reset_keep": "1s"}) as server:
        alias = server.add_alias("me@example.test", "--recovery-key")
        with server.imap(alias) as client:
            for number in range(count):
                client.append("INBOX", None, None, message(number, 400000))
        suite.run(World(server, alias, count))


if __name__ == "__main__":
    main()
