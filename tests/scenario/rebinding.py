#!/usr/bin/python3
"""A webhook's name that leads somewhere else each time it is asked for: to a receiver that may be called,
and to a service on loopback that must not be. Nobody gets there: not between two attempts, not with
both addresses at once, not by a redirect, and not while the name changes all the time."""

import http.server
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib import doh  # noqa: E402
from lib.server import Server, free_ports  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
OURS, INSIDE = "127.0.0.2", "127.0.0.1"  # the first is allowed


class Receiver:
    """Answers with `status`, a redirect to `location` if that is set; counts what came."""

    def __init__(self, address, port):
        owner = self
        self.status, self.location, self.calls = 200, None, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                owner.calls += 1
                self.send_response(302 if owner.location else owner.status)
                if owner.location:
                    self.send_header("Location", owner.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class World:
    def __init__(self, server, zones, port, ours, inside):
        self.server, self.zones, self.port = server, zones, port
        self.ours, self.inside = ours, inside
        self.number = 0

    def hook(self, name):
        """An alias that posts there; it stores, too, so that nobody has to be told of failures."""
        alias = self.server.add_alias(f"{name}@ours.test")
        self.server.admin("alias", "webhook", "add", alias.address,
                          f"http://{name}.test:{self.port}/")

    def arrive(self, name):
        self.number += 1
        with self.server.smtp() as smtp:
            smtp.sendmail("who@from.test", [f"{name}@ours.test"],
                          f"From: who@from.test\r\nSubject: {self.number}\r\n\r\nhello\r\n")

    def wait_empty(self, seconds=30):
        deadline = time.monotonic() + seconds
        while self.server.admin("queue", "list"):
            check(time.monotonic() < deadline, f"the queue has {self.server.admin('queue', 'list')}")
            time.sleep(0.05)

    def nobody_was_inside(self):
        check(self.inside.calls == 0, f"{self.inside.calls} calls came to {INSIDE}")


@suite.case
def between_two_attempts(world):
    world.zones["first.test"] = [["A", OURS]]
    world.hook("first")
    world.ours.status = 503
    before = world.ours.calls
    world.arrive("first")
    deadline = time.monotonic() + 20
    while world.ours.calls == before:
        check(time.monotonic() < deadline, world.server.log(2000))
        time.sleep(0.02)
    world.zones["first.test"] = [["A", INSIDE]]
    world.wait_empty()  # given up for good
    world.ours.status = 200
    world.nobody_was_inside()
    check("loopback" in world.server.log(), "nobody says why")


@suite.case
def with_both_addresses(world):
    before = world.ours.calls
    for name, records in (("both", [["A", OURS], ["A", INSIDE]]), ("after", [["A", INSIDE], ["A", OURS]]),
                          ("six", [["A", OURS], ["AAAA", "::1"]]),
                          ("mapped", [["A", OURS], ["AAAA", "::ffff:127.0.0.1"]]),
                          ("alias", [["CNAME", "both.test"]])):
        world.zones[f"{name}.test"] = records
        world.hook(name)
        world.arrive(name)
    world.wait_empty()
    world.nobody_was_inside()
    check(world.ours.calls == before, "one of several addresses was picked")


@suite.case
def by_a_redirect(world):
    world.zones["good.test"] = [["A", OURS]]
    world.zones["bad.test"] = [["A", INSIDE]]
    world.hook("good")
    for location in (f"http://bad.test:{world.port}/", f"http://{INSIDE}:{world.port}/",
                     f"http://0x7f.1:{world.port}/", f"http://[::ffff:127.0.0.1]:{world.port}/"):
        world.ours.location = location
        before = world.ours.calls
        world.arrive("good")
        world.wait_empty()
        check(world.ours.calls == before + 1, f"{location}: {world.ours.calls - before} calls")
        world.nobody_was_inside()
    world.ours.location = None


@suite.case
def while_it_changes_all_the_time(world):
    """Answers hold for no time at all: each attempt, each of its questions, may get another."""
    stop = threading.Event()
    world.zones["flip.test"] = [["A", OURS]]
    world.hook("flip")

    def flip():
        turn = 0
        while not stop.wait(0.004):
            turn += 1
            world.zones["flip.test"] = [["A", INSIDE if turn % 2 else OURS]]

    flipping = threading.Thread(target=flip)
    before = world.ours.calls
    flipping.start()
    try:
        for _ in range(60):
            world.arrive("flip")
        world.wait_empty(60)
    finally:
        stop.set()
        flipping.join()
    world.nobody_was_inside()
    called = world.ours.calls - before
    check(0 < called < 60, f"{called} of 60: it did not change")
    return f"{called} of 60 were posted, the others refused"


@suite.case
def nothing_was_found_by_the_sanitizers(world):
    check(not world.server.sanitizer_findings(), world.server.sanitizer_findings())


def main():
    suite.parse()
    port = free_ports(1)[0]
    ours, inside = Receiver(OURS, port), Receiver(INSIDE, port)
    zones = {}
    with doh.start(zones, ttl=0, negative_ttl=0) as names:
        settings = {**names.settings, "processes": 1, "check_senders": False, "webhook_http": True,
                    "webhook_allow": [f"{OURS}/32"], "queue_retry_first": "200ms",
                    "queue_retry_most": "400ms", "log_level": "debug"}
        with Server(settings) as server:
            suite.run(World(server, zones, port, ours, inside))


if __name__ == "__main__":
    main()
