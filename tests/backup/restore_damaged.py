#!/usr/bin/python3
"""Restoring from objects that were cut, altered or are missing, of another Sealpost, or dated by a clock
that was wrong: what is good is had, and what is not is told.
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.suite import check, until  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import owners  # noqa: E402
from forging import damage, make_old, redate  # noqa: E402
from owners import append, connect, show, subjects  # noqa: E402
import storage  # noqa: E402

suite = owners.suite(__doc__)


def four_segments(world):
    """A mailbox of four messages, each in a segment of the log of its own; the segments."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        for number in range(4):
            append(client, f"message {number}")
            world.wait_shipped(alias)
    world.wait_ended()
    return alias, sorted((world.folder_of(alias) / "log").rglob("*.seg"))


@suite.case
def objects_that_were_altered(world):
    alias, log = four_segments(world)
    base = sorted((world.folder_of(alias) / "base").glob("*.sqlite"))[0]
    words = []
    for path in (log[1], base):
        for how in ("cut", "altered", "forged"):
            digest = path.with_name(path.name + ".digest")
            old_digest = digest.read_bytes()
            whole = damage(path, how)
            result = world.restore(alias)
            check(result[0] != 0, f"{path.name} {how}: {show(result)}")
            words.append(result[1].get("message", ""))
            path.write_bytes(whole)
            digest.write_bytes(old_digest)
    check(any("segment 2" in each for each in words), f"{words}")
    whole = damage(log[1], "missing")
    result = world.run(alias, "backup", "verify")
    check(result[0] != 0 and "segment 2: it is missing" in result[1]["message"], show(result))
    log[1].write_bytes(whole)
    with world.server.imap(alias) as client:
        check(len(subjects(client)) == 4, "the live mailbox was touched")
    check(world.restore(alias)[0] == 0, "whole again")


@suite.case
def what_is_good_before_an_altered_segment(world):
    """The time that the refusal names can be had, as docs/operating.md says."""
    for how in ("missing", "cut", "forged"):
        alias, log = four_segments(world)
        damage(log[2], how)
        result = world.restore(alias)
        found = re.search(r"segment 3: .*good up to (\S+Z)", result[1].get("message", ""))
        check(result[0] != 0 and found, show(result))
        result = world.restore(alias, "--at", found.group(1))
        check(result[0] == 0, f"{how}, {found.group(1)}: {show(result)}")
        with connect(world, alias) as client:
            names = subjects(client)
            check(0 < len(names) < 4 and names == [f"message {n}" for n in range(len(names))], names)


@suite.case
def a_full_backup_that_has_more_than_the_log(world):
    for is_base_whole in (True, False):
        alias = world.alias()
        with world.server.imap(alias) as client:
            append(client, "one")
            world.wait_shipped(alias)
            append(client, "two", "three")
            world.back_up(alias)
        world.wait_ended()
        for path in sorted((world.folder_of(alias) / "log").rglob("*.seg"))[is_base_whole:]:
            path.unlink()
        full = sorted((world.folder_of(alias) / "full").glob("*.sqlite"))[-1].stem
        result = world.check_restores(alias, "one", "two", "three")
        check(not is_base_whole or full in result[1].get("hint", ""), show(result))


@suite.case
def another_backup_in_a_backups_place(world):
    """An older one under a newer one's name: its manifest is as good as ever."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.back_up(alias)
    folder = world.folder_of(alias) / "full"
    old = next(folder.glob("*.json")).stem
    new = "29991231T235959.000Z-99"
    for kind in (".sqlite", ".json"):
        storage.copy(folder / (old + kind), new + kind)
    for name, is_good in ((new, False), (old, True)):
        result = world.verify(alias, "--from", name)
        check((result[0] == 0) == is_good, show(result))
        check(is_good or "lies in its place" in result[1]["message"], show(result))


@suite.case
def older_backups(world):
    """Made when digests were BLAKE2b-256: verified and restored as ever, an altered one is not."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.back_up(alias)
        append(client, "two")
    world.wait_ended()
    folder = world.folder_of(alias)
    check(make_old(alias, folder) >= 5, "a base with its log, and a full backup, are five objects")
    name = next((folder / "full").glob("*.json")).stem
    for words in ((), ("--from", name)):
        result = world.verify(alias, *words)
        check(result[0] == 0, show(result))
    for path, words in ((folder / "full" / (name + ".sqlite"), ("--from", name)),
                        (next((folder / "base").glob("*.sqlite")), ())):
        whole = damage(path, "altered")
        result = world.verify(alias, *words)
        check(result[0] != 0 and "not the bytes that were put" in result[1]["message"], show(result))
        # By somebody who can write there, and gives it a digest that fits: the manifest has another.
        path.with_name(path.name + ".digest").write_text(
            storage.old_digest_of(path.read_bytes()) + "\n")
        result = world.verify(alias, *words)
        check(result[0] != 0 and "does not match its digest" in result[1]["message"], show(result))
        path.write_bytes(whole)
        path.with_name(path.name + ".digest").write_text(storage.old_digest_of(whole) + "\n")
    world.check_restores(alias, "one", "two")


@suite.case
def a_full_backup_of_a_clock_that_was_wrong(world):
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.back_up(alias)
        folder = world.folder_of(alias) / "full"
        old = next(folder.glob("*.json")).stem
        new = "29991231T235959.000Z" + old[20:]
        for kind in (".sqlite", ".json"):
            storage.move(folder / (old + kind), new + kind)
        redate(alias, folder / (new + ".json"), "2999-12-31T23:59:59.000Z")
        append(client, "two")
        world.back_up(alias)
    check(len(list(folder.glob("*.json"))) == 2, "one was removed")
    # The log begins after the backups.
    until(lambda: list((world.folder_of(alias) / "base").glob("*.json")), "no log begins", 30)
    world.wait_ended()
    for kind in ("base", "log"):
        storage.remove_all(world.folder_of(alias) / kind)
    world.check_restores(alias, "one", "two")


def two_generations(world):
    """A mailbox with two generations of its log, of which the second has more: their manifests."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
    world.server.stop()
    first = next((world.folder_of(alias) / "base").glob("*.json"))
    world.file_of(alias).with_suffix(".shipping").unlink()
    world.server.start()
    with world.server.imap(alias) as client:
        append(client, "two")
        world.wait_shipped(alias)
    second = until(lambda: [path for path in (world.folder_of(alias) / "base").glob("*.json")
                            if path != first], "no second generation", 30)
    return alias, first, second[0]


@suite.case
def a_clock_that_was_wrong_for_a_while(world):
    """The log that the wrong clock dated into the future is not the newest one."""
    alias, first, _ = two_generations(world)
    redate(alias, first, "2036-01-01T00:00:00.000Z")
    world.check_restores(alias, "one", "two")


@suite.case
def a_later_log_that_cannot_be_read_is_told(world):
    for how in ("altered", "forged"):
        alias, _, second = two_generations(world)
        damage(second, how)
        result = world.run(alias, "backup", "verify")
        check(result[0] == 0 and "cannot be read" in result[1].get("hint", ""), f"{how} {show(result)}")


@suite.case
def a_log_whose_end_was_cut_is_told(world):
    """A destination that gives an older state for the newest: the accounts know better."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        append(client, "two")
        world.wait_shipped(alias)
    world.server.stop()
    world.server.start()
    result = world.verify(alias)
    check(result[0] == 0 and "hint" not in result[1], show(result))
    world.server.stop()
    storage.remove_all(world.folder_of(alias) / "full")
    for path in sorted((world.folder_of(alias) / "log").rglob("*.seg"))[1:]:
        path.unlink()
    world.server.start()
    result = world.verify(alias)
    check(result[0] == 0 and "later changes" in result[1].get("hint", ""), show(result))


@suite.case
def a_log_that_was_just_beginning(world):
    """The destination has the base, and not yet the commits without which it is not whole: the full backup,
    or the log before it, is used, and the gap is told."""
    for _ in range(20):
        alias = world.alias()

        def fulls():
            return sorted((world.folder_of(alias) / "full").glob("*.json"))

        with world.server.imap(alias) as client:
            append(client, "one")
            world.back_up(alias)
            had = fulls()
            full = json.loads(had[-1].read_text())
            append(client, "two")
        world.wait_ended()
        manifest, = (world.folder_of(alias) / "base").glob("*.json")
        base = json.loads(manifest.read_text())
        # On a slow machine the mailbox makes another full one by itself, which has "two"; or the base was
        # begun before the first, and what was committed meanwhile is "one".
        if base["commits"] > 0 and base["time"] > full["time"] and len(fulls()) == len(had):
            break
    else:
        check(False, "no base was copied while something was committed")
    for path in (world.folder_of(alias) / "log").rglob("*.seg*"):
        path.unlink()
    result = world.run(alias, "backup", "verify")
    check(result[0] == 0 and "is in neither" in result[1]["hint"], show(result))
    result = world.restore(alias, "--into-folder", "Back", "--folder", "INBOX")
    check(result[0] == 0 and result[1]["messages"] == 1, show(result))
    # Without a full one there is nothing, and it says why. What the restore changed was logged, too.
    world.wait_ended()
    for path in (world.folder_of(alias) / "log").rglob("*.seg*"):
        path.unlink()
    for path in (world.folder_of(alias) / "full").glob("*"):
        path.unlink()
    result = world.run(alias, "backup", "verify")
    check(result[0] == 1 and "the base is not whole" in result[1]["message"], show(result))


if __name__ == "__main__":
    owners.run(suite)
