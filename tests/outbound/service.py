#!/usr/bin/env python3
"""The same through the whole service, sandbox and queue included: what outlives a restart, what an
operator may set and ask for. The many ways in which a delivery can go are in outbound.py."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib.netns import Net  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from outbound import ALLOW, Policies, World  # noqa: E402
from sink import Sink  # noqa: E402

suite = Suite(__doc__)


class Service:
    """A Sealpost with one user, which may be stopped and started with other settings."""

    def __init__(self, world, **settings):
        self.world = world
        self.server = Server({"hostname": "mx.ours.test", "queue_retry_first": "5m",
                              "queue_retry_most": "5m", "outgoing_allow": ALLOW,
                              "outgoing_ca": str(world.authority.ca), "processes": 1,
                              "outgoing_connect_timeout": "2s", **world.dns.settings, **settings})
        self.number = 0

    def __enter__(self):
        self.server.__enter__()
        self.ann = self.server.add_alias("ann@sender.test")
        return self

    def __exit__(self, *words):
        found = self.server.sanitizer_findings()
        self.server.__exit__(*words)
        check(not found, f"{found}")

    def submit(self, to, headers=""):
        self.number += 1
        client = self.server.submission(self.ann)
        client.sendmail("ann@sender.test", [to], f"From: <ann@sender.test>\r\nTo: <{to}>\r\n"
                        f"Subject: number {self.number}\r\n{headers}\r\nhello\r\n".encode())
        client.quit()
        return f"Subject: number {self.number}\r\n".encode()

    def waits(self, to, words):
        """It is in the queue, for that reason."""
        deadline = time.monotonic() + 20
        while True:
            rows = self.server.admin("queue", "list")
            rows = rows if isinstance(rows, list) else rows.get("messages", rows)
            found = [row for row in rows if row.get("recipient") == to and words in
                     str(row.get("error", ""))]
            if found:
                return found[0]
            check(time.monotonic() < deadline, f"{to}: {rows}")
            time.sleep(0.1)


def arrived(sink, mark, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        for mail in sink.mails:
            if mark in mail.text:
                return mail
        check(time.monotonic() < deadline, f"{mark} did not come: {len(sink.mails)} others did")
        time.sleep(0.05)


@suite.case
def a_policy_outlives_a_restart(world):
    here = world.place()
    policies = Policies(world.authority.context("mta-sts.good.test"), world.place(), world.zones)
    world.domain("good.test", ("mx.good.test", 10, here))
    policies.publish("good.test", "enforce", "mx.good.test")
    tls = world.authority.context("mx.good.test")
    with Sink(here, tls=tls) as sink, Service(world) as service:
        check(arrived(sink, service.submit("x@good.test")).secure, "over TLS")
        service.server.stop()
        # The record is gone, and so is TLS: somebody stands in between.
        records = world.zones.pop("_mta-sts.good.test"), world.zones.pop("mta-sts.good.test")
        sink.tls = None
        service.server.start()
        mark = service.submit("y@good.test")
        service.waits("y@good.test", "TLS is required")
        check(not any(mark in mail.text for mail in sink.mails), "it went out in clear")
        # The sender may say that this one need not be protected (RFC 8689).
        free = service.submit("z@good.test", "TLS-Required: No\r\n")
        check(not arrived(sink, free).secure, "in clear, as was asked for")
        sink.tls = tls
        service.server.admin("queue", "retry", "all")
        check(arrived(sink, mark).secure, "over TLS again")
        world.zones["_mta-sts.good.test"], world.zones["mta-sts.good.test"] = records
    policies.stop()


@suite.case
def retry_means_now(world):
    here = world.place()
    world.domain("away.test", ("mx.away.test", 10, here))
    with Service(world) as service:
        mark = service.submit("x@away.test")
        service.waits("x@away.test", "no connection")
        with Sink(here) as sink:
            service.server.admin("queue", "retry", "all")
            arrived(sink, mark)


@suite.case
def a_reload_changes_the_way(world):
    here, other = world.place(), world.place()
    world.domain("moved.test", ("mx.moved.test", 10, here))
    with Sink(here) as first, Sink(other, 2525) as second, Service(world) as service:
        arrived(first, service.submit("x@moved.test"))
        text = service.server.conf.read_text()
        service.server.conf.write_text(text + f'outgoing_routes = {{"moved.test {other}:2525"}}\n')
        service.server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        arrived(second, service.submit("y@moved.test"))


@suite.case
def all_through_a_smarthost(world):
    here = world.place()
    world.zones["smart.ours.test"] = [["A", here]]
    password = world.folder / "smarthost.password"
    password.write_text("pw\n")
    login = {"EHLO": lambda session, _: session.hello() if not session.is_secure
             else "250-sink\r\n250 AUTH PLAIN", "AUTH": "235 in"}
    with Sink(here, 587, tls=world.authority.context("smart.ours.test"), replies=login) as sink, \
            Service(world, smarthost="smart.ours.test:587", smarthost_user="me",
                    smarthost_password=str(password)) as service:
        check(arrived(sink, service.submit("x@anywhere.test")).secure, "over TLS")
        check("AUTH PLAIN AG1lAHB3" in sink.said(), f"{sink.said()}")
        check("pw" not in service.server.log(), "the password is in the log")


def main():
    suite.parse()
    net = Net()
    world = World(net)
    try:
        suite.run(world)
    finally:
        world.stop()
        net.stop()


if __name__ == "__main__":
    main()
