#!/usr/bin/python3
"""A day is over: the log of a mailbox begins a new generation, and the copy of the mailbox that it begins
with is long on its way. What is committed meanwhile is at the destination within a second all the same.
"""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from faults.faults import Faults, library  # noqa: E402
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from owners import World, append, connect, show, subjects  # noqa: E402

suite = Suite(__doc__)


def wait(condition, words):
    deadline = time.monotonic() + 90
    while not condition():
        check(time.monotonic() < deadline, words)
        time.sleep(0.1)


def restored(world, alias, folder):
    """Into this folder; its messages."""
    result = world.restore(alias, "--into-folder", folder, "--folder", "INBOX")
    check(result[0] == 0, show(result))
    with world.server.imap(alias) as client:
        return subjects(client, folder)


@suite.case
def the_log_goes_on_while_the_next_copy_is_on_its_way(server, faults, place):
    world = World(server, place)
    alias = world.alias()
    base = world.folder_of(alias) / "base"

    def generations():
        return list(base.glob("*.json"))

    with server.imap(alias) as client:
        append(client, "one")
        wait(generations, "no log begins")
        world.wait_shipped(alias)
        base.chmod(0o555)  # the next copy cannot be put there for now
        faults.set_clock(86400 + 60)
        names = ["one"]
        for name in ("two", "three", "four"):
            append(client, name)
            names.append(name)
            world.wait_shipped(alias)
            found = restored(world, alias, f"Behind-{name}")
            check(found == names, f"{found} of {names} while the copy is on its way")
        check("Permission denied" in server.log(), "the copy was not on its way")
        check(len(generations()) == 1, "another generation")
        base.chmod(0o755)
        wait(lambda: len(generations()) == 2, "the next generation does not begin")
        append(client, "five")
        names.append("five")
        world.wait_shipped(alias)
        check("goes on in a new generation" in server.log(), "it does not go on in it")
        check(restored(world, alias, "Next") == names, "something is missing")
        check(len(generations()) == 2, "a third generation")
        world.wait_shipped(alias)
    result = world.restore(alias)
    check(result[0] == 0 and "hint" not in result[1], f"a gap: {show(result)}")
    with connect(world, alias) as client:
        check(subjects(client) == names, subjects(client))


def main():
    suite.parse()
    with tempfile.TemporaryDirectory(prefix="sealpost-day-") as folder:
        server = Server(settings={"backup": folder, "mailbox_linger": "500ms"})
        server.data.mkdir()
        with Faults(server.data) as faults:
            server.preload = [library()]
            server.environment.update(faults.environment())
            with server:
                suite.run(server, faults, pathlib.Path(folder))


if __name__ == "__main__":
    main()
