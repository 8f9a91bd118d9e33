#!/usr/bin/python3
"""A day is over.

The log of a mailbox begins a new generation, and the copy of the mailbox that it begins with is long on
its way. What is committed meanwhile is at the destination within a second all the same. And what is due
behind a day, done when a mailbox is opened, is not in a restore's way.
"""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from faults.faults import Faults, library  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check, until  # noqa: E402
from owners import World, append, connect, show, subjects  # noqa: E402

suite = Suite(__doc__)


def restored(world, alias, folder):
    """Into this folder; its messages. Or what is said instead."""
    result = world.restore(alias, "--into-folder", folder, "--folder", "INBOX")
    if result[0] != 0:
        return show(result)
    with world.server.imap(alias) as client:
        return subjects(client, folder)


def wait_until_restored(world, alias, folder, names):
    """It comes to the destination in its own time."""
    found = []

    def has_all():
        found.append(restored(world, alias, f"{folder}-{len(found)}"))
        return found[-1] == names

    until(has_all, found, pause=0.2)  # tells what was found instead


@suite.case
def the_log_goes_on_while_the_next_copy_is_on_its_way(world, server, faults):
    alias = world.alias()
    base = world.folder_of(alias) / "base"

    def generations():
        return list(base.glob("*.json"))

    with server.imap(alias) as client:
        append(client, "one")
        until(generations, "no log begins", 90)
        wait_until_restored(world, alias, "First", ["one"])
        base.chmod(0o555)  # the next copy cannot be put there for now
        faults.set_clock(86400 + 60)
        names = ["one"]
        for name in ("two", "three", "four"):
            append(client, name)
            names.append(name)
            wait_until_restored(world, alias, f"Behind-{name}", names)
        until(lambda: "Permission denied" in server.log(), "the copy was not on its way", 90)
        check(len(generations()) == 1, "another generation")
        base.chmod(0o755)
        # A minute later; a session that is silent may sleep, and its process end.
        until(lambda: client.noop() and len(generations()) == 2,
              "the next generation does not begin", 120)
        append(client, "five")
        names.append("five")
        wait_until_restored(world, alias, "Next", names)
        check("goes on in a new generation" in server.log(), "it does not go on in it")
        check(len(generations()) == 2, "a third generation")
    world.wait_ended()  # with all of it at the destination
    result = world.restore(alias)
    check(result[0] == 0 and "hint" not in result[1], f"a gap: {show(result)}")
    with connect(world, alias) as client:
        check(subjects(client) == names, subjects(client))


@suite.case
def new_keys_of_the_drop_box_are_no_later_change(world, server, faults):
    """They are due when a mailbox is opened; but not for a restore."""
    for day in range(2, 7):
        alias = world.alias()
        with server.imap(alias) as client:
            append(client, "one")
            world.wait_shipped(alias)
        world.wait_ended()
        faults.set_clock(day * 86400)
        result = world.run(alias, "alias", "check")  # opens it, and leaves it open for a moment
        check(result[0] == 0, show(result))
        time.sleep(0.1)  # so that what is due behind a login would be done
        result = world.restore(alias)
        check(result[0] == 0 and "hint" not in result[1], show(result))


def main():
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-day-") as folder:
        server = Server(settings={"backup": folder, "mailbox_linger": "500ms"})
        server.data.mkdir()
        with Faults(server.data) as faults:
            server.preload = [library()]
            server.environment.update(faults.environment())
            with server:
                suite.run(World(server, pathlib.Path(folder)), server, faults)


if __name__ == "__main__":
    main()
