#!/usr/bin/python3
"""The wall clock jumps, by a day and back: what waits in the queue goes out when it was meant to, once;
greylisting lets in who comes back; nobody's session notices. See lib/clock_shift.c."""

import pathlib
import struct
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server, build_folder, find_key  # noqa: E402
from lib.sink import Sink  # noqa: E402
from lib.suite import Suite, check  # noqa: E402

suite = Suite(__doc__)
DAY = 24 * 3600


class World:
    def __init__(self, folder):
        self.shift_file = folder / "shift"
        self.shift(0)
        self.replies = {}

    def shift(self, seconds):
        """The clock of the service, from now on."""
        data = struct.pack("=q", seconds * 1000)
        if self.shift_file.exists():  # in place: it is mapped
            with open(self.shift_file, "r+b") as file:
                file.write(data)
        else:
            self.shift_file.write_bytes(data)

    def judge(self, step, address):
        return self.replies.get((step, address.partition("@")[0]))

    def submit(self, name):
        with self.server.submission(self.ann) as client:
            client.sendmail("ann@ours.test", [f"{name}@far.test"],
                            f"From: ann@ours.test\r\nSubject: {name}\r\n\r\nhello\r\n")

    def wait_until_tried(self, name):
        """Until its next attempt has a time, not only until the server at the other end was asked."""
        deadline = time.monotonic() + 10
        while True:
            rows = self.server.admin("queue", "list")
            rows = rows if isinstance(rows, list) else [rows]
            if find_key([row for row in rows if f"{name}@far.test" in str(row)], "attempts"):
                return
            check(time.monotonic() < deadline, "it was not tried")
            time.sleep(0.02)

    def wait_for(self, name, seconds):
        deadline = time.monotonic() + seconds
        while not [m for m in self.sink.taken() if f"{name}@far.test" in m.recipients]:
            check(time.monotonic() < deadline,
                  f"{name} does not go out: {self.server.admin('queue', 'list')} "
                  f"{self.server.log(1500)}")
            time.sleep(0.05)

    def rcpt(self):
        with self.server.smtp() as smtp:
            smtp.ehlo()
            smtp.mail("who@from.test")
            return smtp.rcpt("ann@ours.test")[0]


@suite.case
def what_waits_is_not_put_off_by_a_day(world):
    """Set back while it waits for its second attempt, which is due in seconds; and set forward."""
    for name, shift in (("back", -DAY), ("forth", 0), ("ahead", DAY), ("home", 0)):
        world.replies["rcpt", name] = "451 4.2.0 later"
        world.submit(name)
        world.wait_until_tried(name)
        world.shift(shift)
        del world.replies["rcpt", name]
        world.wait_for(name, 20)
    counts = [sum(f"{name}@far.test" in m.recipients for m in world.sink.taken())
              for name in ("back", "forth", "ahead", "home")]
    check(counts == [1, 1, 1, 1], f"not once each: {counts}")
    check("the clock was set back by 86" in world.server.log(), "nothing is said of it")


@suite.case
def a_stop_does_not_hide_it(world):
    """Set back by a day while the service is down: what waits is found out soon after the start."""
    world.shift(DAY)
    world.replies["rcpt", "down"] = "451 4.2.0 later"
    world.submit("down")
    world.wait_until_tried("down")
    world.server.stop()
    world.shift(0)
    del world.replies["rcpt", "down"]
    world.server.start()
    world.wait_for("down", 30)


@suite.case
def who_comes_back_is_let_in(world):
    """Greylisting, with a service of its own."""
    settings = {"greylist": True, "greylist_delay": "1s", "loopback_is_foreign": True,
                "check_senders": False}
    with Server(settings, preload=world.preload, environment=world.environment) as server:
        world.server, kept = server, world.server
        try:
            server.add_alias("ann@ours.test")
            world.shift(0)
            check(world.rcpt() == 451, "let in at once")
            world.shift(-DAY)  # it came before its first attempt: it is a first one
            check(world.rcpt() == 451, "a time to come counts")
            time.sleep(1.2)
            check(world.rcpt() == 250, "the clock that went back keeps it out")
            for shift in (DAY, 0, -2 * DAY):
                world.shift(shift)
                check(world.rcpt() == 250, f"not known any more at {shift}")
        finally:
            world.server = kept
            world.shift(0)


def main():
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-clock-") as folder:
        world = World(pathlib.Path(folder))
        world.preload = [build_folder() / "tests" / "lib" / "clock_shift.so"]
        world.environment = {"CLOCK_SHIFT": str(world.shift_file)}
        with Sink(judge=world.judge) as world.sink:
            settings = {"queue_retry_first": "3s", "queue_retry_most": "3s", "processes": 1,
                        "check_senders": False, "smarthost": f"127.0.0.1:{world.sink.port}"}
            with Server(settings, preload=world.preload,
                        environment=world.environment) as world.server:
                world.ann = world.server.add_alias("ann@ours.test")
                suite.run(world)


if __name__ == "__main__":
    main()
