#!/usr/bin/python3
"""What SIGHUP takes over beside the settings: the files that they name. Whom other servers' certificates
must lead back to, passwords, where webhooks may go; and files that are wrong are not taken."""

import base64
import http.server
import os
import pathlib
import signal
import smtplib
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "outbound"))
from lib import doh  # noqa: E402
from lib.authority import Authority  # noqa: E402
from lib.server import AdminError, Server, free_ports  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from sink import Sink  # noqa: E402

suite = Suite(__doc__)
LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0me\0second").decode()


class World:
    """A smarthost that wants TLS and a login; the files are at first another CA's, and an old password."""

    def __init__(self, folder):
        self.folder = folder
        self.right, self.wrong = Authority(folder / "right"), Authority(folder / "wrong")
        self.ca, self.dns_ca, self.password = folder / "ca", folder / "dns_ca", folder / "password"
        self.number = 0

    def reload(self, server, said="reloaded"):
        """Until master says so; what it did about it."""
        before = len(server.log())
        server.write_config()
        os.kill(server.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 20
        while True:
            new = server.log()[before:]
            for line in new.splitlines():
                if "not reloaded" in line or line.endswith("reloaded"):
                    check(said in line and ("not " in said or "not " not in line), new)
                    return new
            check(time.monotonic() < deadline, f"nothing is said of the reload: {new}")
            time.sleep(0.02)

    def submit(self):
        self.number += 1
        with self.server.submission(self.ann) as client:
            client.sendmail("ann@ours.test", [f"x{self.number}@far.test"],
                            f"From: ann@ours.test\r\nSubject: {self.number}\r\n\r\nhello\r\n")
        return f"x{self.number}@far.test"

    def submit_until_taken(self, seconds=20):
        """As mail programs do when they are told to try again: what was killed may not be back yet."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.submit()
            except smtplib.SMTPDataError as error:
                check(error.smtp_code == 451 and time.monotonic() < deadline, error)
            time.sleep(0.05)

    def wait_for_error(self, words, seconds=20):
        """Something waits in the queue because of this."""
        deadline = time.monotonic() + seconds
        while True:
            rows = self.server.admin("queue", "list") or []
            rows = rows if isinstance(rows, list) else [rows]
            if any(words in row["error"] for row in rows):
                return
            check(time.monotonic() < deadline, f"no {words!r}: {rows}")
            time.sleep(0.05)

    def wait_for_mail(self, recipient, seconds=20):
        deadline = time.monotonic() + seconds
        while not any(recipient in mail.recipients for mail in self.sink.mails):
            check(time.monotonic() < deadline, f"{recipient} does not get it: {self.server.log(3000)}")
            time.sleep(0.02)


@suite.case
def certificates_of_the_dns(world):
    def state():
        rows = world.server.admin("domain", "check", "ours.test")
        return next(row["state"] for row in rows if row["type"] == "MX")

    check(state() == "unknown", "the DNS was believed though nobody vouches for it")
    world.dns_ca.write_bytes(pathlib.Path(world.dns.settings["dns_upstream_ca"]).read_bytes())
    world.reload(world.server)
    deadline = time.monotonic() + 30
    while state() != "right":  # it was left alone for a moment
        check(time.monotonic() < deadline, world.server.log(3000))
        time.sleep(0.2)


@suite.case
def certificates_and_password_of_the_smarthost(world):
    """By its name, so after the DNS is there."""
    recipient = world.submit()
    world.wait_for_error("certificate")
    world.ca.write_bytes(world.right.ca.read_bytes())
    world.reload(world.server)
    world.wait_for_error("535")
    world.password.write_text("second\nand a line that is none of it\n")
    world.reload(world.server)
    world.wait_for_mail(recipient)


@suite.case
def files_that_are_wrong_are_not_taken(world):
    for path, text, words in ((world.password, "\n", "smarthost_password: the file is empty"),
                              (world.ca, "no certificate", "outgoing_ca: no certificate"),
                              (world.dns_ca, "nor here", "dns_upstream_ca: no certificate")):
        kept = path.read_bytes()
        path.write_text(text)
        said = world.reload(world.server, "not reloaded")
        check(words in said and "second" not in said, said)
        path.write_bytes(kept)
    world.password.rename(world.folder / "elsewhere")
    check("smarthost_password: " in world.reload(world.server, "not reloaded"), "which file?")
    # One that is started meanwhile goes on with what was right.
    for process in world.server.processes("courier"):
        os.kill(process.pid, signal.SIGKILL)
    world.wait_for_mail(world.submit_until_taken())
    (world.folder / "elsewhere").rename(world.password)


class Receiver(http.server.BaseHTTPRequestHandler):
    got = []

    def do_POST(self):
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@suite.case
def where_webhooks_may_go(world):
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_address[1]}/"
    try:
        world.server.admin("alias", "webhook", "add", "ann@ours.test", url)
        raise AssertionError("a webhook that nobody may call was taken")
    except AdminError as error:
        check("loopback" in str(error), error)
    world.server.settings["webhook_allow"] = ["127.0.0.0/8"]
    world.reload(world.server)
    world.server.admin("alias", "webhook", "add", "ann@ours.test", url)
    with world.server.smtp() as client:
        client.sendmail("who@far.test", ["ann@ours.test"], "Subject: posted\r\n\r\nhello\r\n")
    deadline = time.monotonic() + 20
    while not any(b"posted" in body for body in Receiver.got):
        check(time.monotonic() < deadline, world.server.log(3000))
        time.sleep(0.05)
    receiver.shutdown()


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def main():
    suite.parse()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-reload-"))
    for name in ("right", "wrong"):
        (folder / name).mkdir()
    world = World(folder)
    world.ca.write_bytes(world.wrong.ca.read_bytes())
    world.dns_ca.write_bytes(world.wrong.ca.read_bytes())
    world.password.write_text("first\n")
    port = free_ports(1)[0]
    replies = {"EHLO": lambda session, _: "250-sink\r\n250 AUTH PLAIN" if session.is_secure
               else session.hello(),
               "AUTH": lambda _, line: "235 in" if line == LOGIN else "535 5.7.8 no"}
    settings = {"queue_retry_first": "200ms", "queue_retry_most": "400ms", "processes": 1,
                "check_senders": False, "smarthost": f"localhost:{port}", "smarthost_user": "me",
                "hostname": "mx.ours.test", "smarthost_password": str(world.password),
                "outgoing_ca": str(world.ca), "outgoing_routes": []}
    zones = {"localhost": [["A", "127.0.0.1"]], "ours.test": [["MX", 10, "mx.ours.test"]]}
    with doh.start(zones) as world.dns, \
            Sink("127.0.0.1", port, replies=replies,
                 tls=world.right.context("localhost")) as world.sink:
        settings.update(world.dns.settings)
        settings["dns_upstream_ca"] = str(world.dns_ca)
        with Server(settings) as world.server:
            world.ann = world.server.add_alias("ann@ours.test")
            suite.run(world)


if __name__ == "__main__":
    main()
