"""offlineimap3: a Maildir and the mailbox follow each other, both ways."""

import os

from interop.kit import message, program
from lib.suite import check

COUNT = 300


def config_file(world, alias, maildir):
    return world.file("offlineimaprc", f"""
[general]
accounts = all
metadata = {world.folder}/offlineimap
ui = quiet
fsync = no

[Account all]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {maildir}

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {world.server.ports['imaps']}
remoteuser = {alias.address}
remotepass = {alias.password}
ssl = yes
sslcacertfile = {world.certificate()}
folderfilter = lambda name: name in ('INBOX', 'Work')
""")


def run(world, config):
    environment = {**os.environ, "HOME": str(world.folder)}
    program("offlineimap", "-c", config, "-o", timeout=300, env=environment)


def far(world, alias):
    """What every change to the mailbox changes."""
    with world.server.imap(alias, tls=True) as client:
        return [client.status(name, "(MESSAGES UIDNEXT HIGHESTMODSEQ)")[1]
                for name in ("INBOX", "Work")]


def offlineimap_follows_both_ways(world):
    alias = world.server.add_alias("offline@clients.test")
    with world.server.imap(alias) as client:
        client.create("Work")
        for number in range(COUNT):
            answer, data = client.append("INBOX" if number % 3 else "Work",
                                         "\\Seen" if number % 2 else None, None,
                                         message(number, body=f"Body {number}. " * (number % 30)))
            check(answer == "OK", data)
    maildir = world.folder / "offline"
    config = config_file(world, alias, maildir)
    run(world, config)

    def files():
        return sorted(path for path in maildir.rglob("*") if path.parent.name in ("cur", "new"))

    check(len(files()) == COUNT, f"{len(files())} of {COUNT} messages came")
    seen = sum(1 for path in files() if "S" in path.name.rpartition(",")[2])
    check(seen == COUNT // 2, f"{seen} messages are \\Seen, not {COUNT // 2}")
    before, state = files(), far(world, alias)
    run(world, config)
    check(files() == before, "a second run changed the Maildir")
    check(far(world, alias) == state, f"a second run changed the mailbox: {state}")

    # From here: a new message, a flag, a deletion. From there: the same.
    inbox = maildir / "INBOX"
    (inbox / "new" / "1.written.here").write_bytes(
        message(9000, subject="from the Maildir").replace(b"\r\n", b"\n"))
    flagged, gone = [path for path in files() if inbox in path.parents and "FMD5" in path.name][:2]
    stem, _, flags = flagged.name.partition(":2,")
    flagged.rename(inbox / "cur" / f"{stem}:2,{''.join(sorted({*flags, 'F'}))}")
    gone.unlink()
    with world.server.imap(alias, tls=True) as client:
        client.select("Work")
        client.store("1", "+FLAGS", "(\\Deleted)")
        client.store("2", "+FLAGS", "(\\Answered)")
        client.expunge()
        client.append("Work", None, None, message(9001, subject="from the server"))
    run(world, config)
    with world.server.imap(alias, tls=True) as client:
        client.select("INBOX")
        check(client.search(None, "SUBJECT", '"from the Maildir"')[1] != [b""],
              "the Maildir's message did not arrive")
        check(len(client.search(None, "FLAGGED")[1][0].split()) == 1, "the flag did not arrive")
        # One less, one more.
        check(len(client.search(None, "ALL")[1][0].split()) == COUNT * 2 // 3,
              "the deletion did not arrive")
    work = [path for path in files() if maildir / "Work" in path.parents]
    check(len(work) == COUNT // 3, f"Work has {len(work)} files")
    check(any(b"from the server" in path.read_bytes() for path in work), "the new one is not here")
    check(sum(1 for path in work if "R" in path.name.rpartition(",")[2]) == 1, "no answered one")
    before, state = files(), far(world, alias)
    run(world, config)
    check(files() == before and far(world, alias) == state, "a third run changed things")
    return f"{COUNT} messages"


CASES = (offlineimap_follows_both_ways,)
