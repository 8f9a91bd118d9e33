#!/usr/bin/python3
"""Who goes on while a backup is made or restored, and who is killed in the middle: commands, mailboxes'
processes, the archivist, the destination.
"""

import base64
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.suite import Skip, check, until  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import owners  # noqa: E402
from owners import append, connect, now, show, subjects  # noqa: E402
import storage  # noqa: E402

suite = owners.suite(__doc__)


@suite.case
def a_backup_that_is_asked_for_while_one_is_made(world):
    """It waits for that, and has what was committed since."""
    if world.s3 is not None:
        raise Skip("nothing of it depends on the destination")
    alias = world.alias()
    archivist, = world.server.processes("archivist")

    def made():
        return world.server.log().count(f"backup made mailbox={world.id_of(alias)}")

    with world.server.imap(alias) as client:
        append(client, "zero")
        world.back_up(alias)  # so that none is made by itself before the first one
        before = made()
        append(client, "one")
        world.wait_shipped(alias)
        os.kill(archivist.pid, signal.SIGSTOP)
        try:
            first = world.start(alias, "backup", "now")
            until(lambda: any(".copy (deleted)" in each
                              for process in world.server.processes("mailbox")
                              for each in descriptors(process.pid)), "no copy is made", 30)
            append(client, "two")
            others = [world.start(alias, "backup", "now") for _ in range(2)]
            time.sleep(1)
        finally:
            os.kill(archivist.pid, signal.SIGCONT)
        results = [world.finish(process) for process in (first, *others)]
        check(all(result[0] == 0 for result in results), results)
        # On a busy machine one of the others may come when the other's is made already.
        is_made = ["was made" in result[1]["message"] for result in results]
        check(is_made[0] and any(is_made[1:]), results)
    check(made() - before == 2, f"one behind the other, for both: {made() - before}")


@suite.case
def the_process_ends_while_the_archivist_is_stuck(world):
    """What its timers would do meanwhile is not done: the file is closed already."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
    world.wait_ended()
    archivist, = world.server.processes("archivist")
    with world.server.imap(alias) as client:
        os.kill(archivist.pid, signal.SIGSTOP)
        try:
            append(client, "two", "three")
            client.logout()
            time.sleep(5.5)
        finally:
            os.kill(archivist.pid, signal.SIGCONT)
    check("was ended by signal" not in world.server.log(), "a mailbox process crashed")
    world.wait_ended()
    world.check_restores(alias, "one", "two", "three")


@suite.case
def a_server_that_fails_in_the_middle(world):
    """S3: answers of 503, connections that break in an answer and in a request: gone on with."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    breaker, root = world.s3.breaker, world.id_of(alias)
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        breaker.add("PUT", root, "status", 503, times=3)
        breaker.add("PUT", f"{root}/log", "cut_request", 100, times=2)
        append(client, "three")
        world.wait_shipped(alias)
        world.back_up(alias)
    world.wait_ended()
    breaker.add("GET", f"{root}/log", "cut_response", 200, times=2)
    breaker.add("GET", f"{root}/base", "cut_response", 5000, times=2)
    breaker.add("GET", root, "status", 500, times=3)
    result = world.restore(alias)
    check(result[0] == 0, show(result))
    check(not any(rule.times for rule in breaker.rules), "the server did not fail as it should")
    breaker.reset()
    world.check_has(alias, "one", "two", "three")


@suite.case
def a_server_that_refuses(world):
    """S3: the mailbox is closed all the same when its owner goes, and is copied once, not over and over."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    breaker, root = world.s3.breaker, world.id_of(alias)
    breaker.add("PUT", root, "status", 403, times=10_000)
    for name in ("one", "two"):  # the second session's process knows of it
        with world.server.imap(alias) as client:
            append(client, name)
        world.wait_ended()
    copies = breaker.count("PUT", f"{root}/full/") + breaker.count("PUT", f"{root}/base/")
    check(copies == 1, f"{copies} copies were sent")
    breaker.reset()
    with world.server.imap(alias):
        world.back_up(alias)  # who asks for one does not wait
        world.wait_shipped(alias)
    world.check_restores(alias, "one", "two")


@suite.case
def a_server_that_is_none(world):
    """Something between says 200 to all that is put, and keeps nothing: nothing of it counts."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    breaker, root = world.s3.breaker, world.id_of(alias)
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        breaker.add("PUT", root, "status", 200)
        append(client, "two")
        world.wait_shipped(alias)
        check(not any(rule.times for rule in breaker.rules), "it was not asked")
        append(client, "three")
        world.wait_shipped(alias)
        result = world.run(alias, "backup", "verify")
        check(result[0] == 0, show(result))
    world.wait_ended()
    world.check_restores(alias, "one", "two", "three")


@suite.case
def a_server_that_refuses_before_a_new_password(world):
    """S3: what was put off is the old key's backup; the new key's is made before the process goes."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    breaker, full = world.s3.breaker, f"{world.id_of(alias)}/full/"
    breaker.add("PUT", full, "status", 403, times=10_000)
    with world.server.imap(alias) as client:
        append(client, "one")
        world.new_password(alias)
        check(breaker.count("PUT", full) > 0, "no backup was refused")
        breaker.reset()
    world.wait_ended()
    check(breaker.count("PUT", full) > 0, "no full backup under the new key")


@suite.case
def a_bucket_that_is_gone(world):
    """Told to whoever restores; mail goes on, and so do backups when it is there again."""
    if world.s3 is None:
        raise Skip("only on S3")
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one")
        world.wait_shipped(alias)
        world.place.bucket.remove()
        append(client, "two")
        result = world.restore(alias)
        check(result[0] != 0 and "NoSuchBucket" in json.dumps(result[1]), show(result))
        result = world.run(alias, "backup", "now")
        check(result[0] != 0 and "NoSuchBucket" in json.dumps(result[1]), show(result))
        check(subjects(client) == ["one", "two"], "the live mailbox was touched")
        world.s3.make_bucket("mail")
        append(client, "three")
    until(lambda: world.run(alias, "backup", "now")[0] == 0, "no backup when it is back", 60,
          pause=1)
    world.wait_ended()
    world.check_restores(alias, "one", "two", "three")


def make_large(world, alias, client):
    """So that what is done with its backup takes a while: 24 MB in another folder."""
    client.create("Large")
    for _ in range(24):
        raw = b"Subject: large\r\n\r\n" + base64.encodebytes(os.urandom(750000))
        status, answer = client.append("Large", None, None, raw.replace(b"\n", b"\r\n"))
        check(status == "OK", answer)
    world.wait_shipped(alias)


def descriptors(pid):
    """What a process has open."""
    try:
        return [os.readlink(each) for each in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it ended while we looked
        return []


def building(world):
    """Children that build a file from a backup, with that file open."""
    return [pid for pid in world.server.children_of_mailboxes()
            # One that was forked just now has all that its parent has, the loop among them.
            if any(".restored" in each for each in descriptors(pid)) and
            not any("eventpoll" in each for each in descriptors(pid))]


def stop_child(world, process):
    """Stops the command's child in the middle of its work; the child's process id."""
    deadline = time.monotonic() + 30
    while True:
        for pid in building(world):
            os.kill(pid, signal.SIGSTOP)
            return pid
        check(process.poll() is None, "the job was over before it could be seen")
        check(time.monotonic() < deadline, "no child to be seen")
        time.sleep(0.001)


@suite.case
def sessions_go_on_while_a_backup_is_built_and_checked(world):
    """Its child stands still; the mailbox's sessions and its mail do not."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        make_large(world, alias, client)
        for words, is_kept in ((("backup", "verify"), True),
                               (("restore", "--into-folder", "Back"), True),
                               (("restore",), False)):
            process = world.start(alias, *words)
            pid = stop_child(world, process)
            name = " ".join(words)
            append(client, name)
            check(subjects(client)[-1] == name, f"{words}: the session stands still")
            with world.server.smtp() as peer:
                peer.sendmail("a@example.org", [alias.address],
                              f"Subject: mail {name}\r\n\r\nmail\r\n")
            # A second one would write to the same file.
            result = world.run(alias, "backup", "verify")
            check(result[0] == 8, f"{words}: two at a time: {show(result)}")
            check(process.poll() is None, f"{words}: it does not wait for its child")
            os.kill(pid, signal.SIGCONT)
            result = world.finish(process)
            check(result[0] == 0, f"{words}: {show(result)}")
            if is_kept:
                check(subjects(client)[-2:] == [name, f"mail {name}"], f"{subjects(client)}")
    with connect(world, alias) as client:
        check(subjects(client)[:2] == ["one", "two"], f"{subjects(client)}")


def let_go(world, alias, generation):
    """As backup/prune.h does it: the manifest first, then the log, the copy last."""
    base = world.folder_of(alias) / "base"
    doomed = [base / f"{generation}.json",
              *sorted((world.folder_of(alias) / "log" / generation).glob("*.seg"))]
    for path in (*doomed, base / f"{generation}.sqlite"):
        if world.s3 is None:
            path.with_name(path.name + ".digest").unlink()
        path.unlink()


def with_one_generation(world):
    """A mailbox whose log has three messages, its full backup two, and the log's generation. A process
    that takes leave of a slow destination leaves the next one to begin another: then once more."""
    for _ in range(10):
        alias = world.alias()
        with world.server.imap(alias) as client:
            append(client, "one", "two")
            make_large(world, alias, client)
            world.back_up(alias)
            world.wait_shipped(alias, client)
            append(client, "three")
            world.wait_shipped(alias, client)
        generations = [each.stem for each in (world.folder_of(alias) / "base").glob("*.json")]
        if len(generations) == 1:
            return alias, generations[0]
    raise AssertionError(f"each had several generations:\n{world.server.log(3000)}")


@suite.case
def a_log_that_is_let_go_while_it_is_read(world):
    """What is there then is taken; where that has not the time that was asked for, it is told."""
    for with_full, words in ((True, ()), (True, ("--into-folder", "Back")), (True, ("--at",)),
                             (False, ()), (False, ("--at",))):
        alias, generation = with_one_generation(world)
        with world.server.imap(alias) as client:
            at = now()
            if not with_full:
                storage.remove_all(world.folder_of(alias) / "full")
            process = world.start(alias, "restore", *words, *([at] if words == ("--at",) else []))
            pid = stop_child(world, process)
            let_go(world, alias, generation)
            os.kill(pid, signal.SIGCONT)
            result = world.finish(process)
        name = f"{words}, full backup {with_full}"
        said = json.dumps(result[1])
        check((result[0] == 0) == with_full, f"{name}: {show(result)}")
        check(f"base/{generation} was removed" in said or f"base/{generation}, which has" in said,
              f"{name}: {show(result)}")
        with connect(world, alias) as client:
            folder = "Back/INBOX" if "--into-folder" in words else "INBOX"
            wanted = ["one", "two"] + ([] if with_full else ["three"])
            check(subjects(client, folder) == wanted, f"{name}: {subjects(client, folder)}")


@suite.case
def a_log_of_which_the_digests_are_gone(world):
    """In a folder each digest goes before its object: who reads in between takes it for damaged."""
    if world.s3 is not None:
        raise Skip("a bucket has no digests")
    alias, generation = with_one_generation(world)
    with world.server.imap(alias):
        process = world.start(alias, "restore")
        pid = stop_child(world, process)
        (world.folder_of(alias) / "base" / f"{generation}.json").unlink()
        for each in (world.folder_of(alias) / "log" / generation).glob("*.digest"):
            each.unlink()
        os.kill(pid, signal.SIGCONT)
        result = world.finish(process)
    check(result[0] == 0 and f"base/{generation} was removed" in json.dumps(result[1]), show(result))


@suite.case
def a_log_that_loses_its_end_while_it_is_read(world):
    """Its manifest is still there: then nothing was let go, and it is told as ever."""
    for _ in range(10):
        alias = world.alias()
        with world.server.imap(alias) as client:
            append(client, "one")
            make_large(world, alias, client)
            for name in ("two", "three", "four"):
                append(client, name)
                world.wait_shipped(alias)
        process = world.start(alias, "backup", "verify")
        pid = stop_child(world, process)
        sorted((world.folder_of(alias) / "log").rglob("*.seg"))[1].unlink()
        os.kill(pid, signal.SIGCONT)
        result = world.finish(process)
        if result[0] != 0:  # else the child had it already when it was stopped
            break
    check(result[0] != 0 and "it is missing, and later ones are there" in result[1]["message"],
          show(result))


@suite.case
def a_copy_that_is_let_go_while_it_is_asked_for(world):
    """Listed, and gone when it is fetched: once, and for good."""
    if world.s3 is None:
        raise Skip("in a folder nobody comes between")
    alias = world.alias()
    breaker = world.s3.breaker
    with world.server.imap(alias) as client:
        append(client, "one")
        world.back_up(alias)
        append(client, "two")
        world.wait_shipped(alias)
    base, = (world.folder_of(alias) / "base").glob("*.sqlite")
    breaker.add("GET", f"base/{base.name}", "status", 404)
    result = world.verify(alias)
    check(result[0] == 0, show(result))
    breaker.add("GET", f"base/{base.name}", "status", 404, times=100)
    result = world.verify(alias)
    check(result[0] != 0 and f"lists base/{base.name[:-7]}, and has not all of it" in
          result[1]["message"], show(result))
    breaker.reset()


@suite.case
def a_full_backup_that_is_let_go_when_it_is_taken(world):
    """It had more than the log, which is taken after all: of it nobody says that it was taken."""
    if world.s3 is None:
        raise Skip("in a folder nobody comes between")
    breaker = world.s3.breaker
    for _ in range(10):
        alias = world.alias()
        with world.server.imap(alias) as client:
            for name in ("one", "two", "three"):
                append(client, name)
                world.wait_shipped(alias)
            world.back_up(alias)
        world.wait_ended()  # behind the file's closing, too, something may be on its way
        first, *later = sorted((world.folder_of(alias) / "log").rglob("*.seg"))
        for path in later:
            path.unlink()
        full, = (each.stem for each in (world.folder_of(alias) / "full").glob("*.sqlite"))
        breaker.add("GET", f"full/{full}.sqlite", "status", 404)
        breaker.add("GET", f"full/{full}.json", None, None)  # the first time it is there
        breaker.add("GET", f"full/{full}.json", "status", 404, times=100)
        result = world.verify(alias, "--at", now())
        breaker.reset()
        # What the last process left to be done is committed by this one: then the log has a gap.
        if list((world.folder_of(alias) / "log").rglob("*.seg")) == [first]:
            break
    check(result[0] == 0 and f"full/{full} was removed" in result[1]["hint"], show(result))
    check("was taken" not in result[1]["hint"], show(result))


@suite.case
def who_is_killed_in_the_middle(world):
    """The child, the command, the mailbox's process: the mailbox is as it was, and a restore works."""
    alias = world.alias()
    with world.server.imap(alias) as client:
        append(client, "one", "two")
        make_large(world, alias, client)

    def rest():
        return [each.name for each in world.file_of(alias).parent.glob("*.restored*")]

    process = world.start(alias, "restore")
    os.kill(stop_child(world, process), signal.SIGKILL)
    result = world.finish(process)
    check(result[0] == 8 and "died" in result[1]["message"], show(result))
    until(lambda: not rest(), lambda: f"left by the child: {rest()}")

    process = world.start(alias, "restore")
    pid = stop_child(world, process)
    process.kill()
    process.communicate()
    until(lambda: "restore error=busy" in world.server.log(2000), "the job does not end", 30)
    result = world.run(alias, "backup", "verify")
    check(result[0] == 8, f"while the child of the last one may still write: {show(result)}")
    os.kill(pid, signal.SIGCONT)
    until(lambda: not building(world), "the child goes on though nobody waits for it", 30)
    check(not rest(), f"left by one that was given up: {rest()}")
    result = world.run(alias, "backup", "verify")
    check(result[0] == 0, show(result))

    process = world.start(alias, "restore")
    pid = stop_child(world, process)
    for each in world.server.processes("mailbox"):
        if each.pid != pid:
            os.kill(each.pid, signal.SIGKILL)
    result = world.finish(process)
    check(result[0] == 8 and "ended before it was done" in result[1]["message"], show(result))
    with connect(world, alias) as client:
        check(subjects(client) == ["one", "two"], f"{subjects(client)}")
        check(not rest(), f"left by the process: {rest()}")
    check(not list(world.file_of(alias).parent.glob("*.before-*")), "something was exchanged")
    check(world.restore(alias)[0] == 0, "no restore afterwards")


if __name__ == "__main__":
    owners.run(suite)
