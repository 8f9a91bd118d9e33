"""Rows of bench/compare about mail that comes from strangers and mail that goes out, beside Postfix with what
Debian has for each (bench/mailhost.py), and about the DNS (bench/lookups.py).

SMTP with all checks: counted until the messages are stored. SMTP out: from the first command of the submission
until another server has all. Both have the same DNS, by way of a cache of their own."""

import pathlib
import shutil
import tempfile

import load
import lookups
from mailhost import Postfix, SealpostMail
from world import SENDERS, Sink, World, domain_of_destination, domain_of_sender, sink_port

SERVERS = ("sealpost", "postfix")
DNS_SERVERS = tuple(lookups.SERVERS)
CHECKED, OUT, DNS = "smtp-checked", "smtp-out", "dns"
# As in bench/compare: name, what its rows begin with, whose columns.
GROUPS = ((CHECKED, ("SMTP with all checks",), SERVERS), (OUT, ("SMTP out",), SERVERS),
          (DNS, ("DoH look-ups",), DNS_SERVERS))


def make_server(name, place_folder, world, is_out):
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=place_folder))
    shutil.rmtree(folder)
    kind = SealpostMail if name == "sealpost" else Postfix
    return kind(folder, world, is_out, sink_port())


def check_was_checked(server, user):
    """The figure is worth something only if all of it was done."""
    header = load.first_header(server, user)
    for word in (b"spf=pass", b"dkim=pass", b"dmarc=pass"):
        if word not in header:
            raise RuntimeError(f"a stored message does not say {word.decode()}: {header[:1500]!r}")


def checked_rows(run, world, server, place):
    senders = [f"a@{domain_of_sender(number)}" for number in range(SENDERS)]
    many = [f"many{number}" for number in range(20 if run.options.quick else 100)]
    for users, words in ((["one"], "one mailbox"), (many, f"{len(many)} mailboxes")):
        row = f"SMTP with all checks, {words}"
        if not run.wanted(row):
            continue
        messages = world.sign(run.corpus.messages[:run.small])
        addresses = [server.user(user)[0] for user in users]

        def work():
            load.send_all(lambda: load.Smtp(server), senders, addresses, messages)
            if server.name != "sealpost":
                run.wait_for_queue(server, users, len(messages))
            return len(messages)

        if run.measure(server, place, row, work) is not None:
            check_was_checked(server, users[0])


def out_rows(run, world, server, place):
    address = server.user("sender")[0]
    messages = [raw.replace(b"Return-Path: ", b"X-Was: ", 1)
                .replace(b"From: ", b"From: " + address.encode() + b"\r\nX-From: ", 1)
                for raw in run.corpus.messages[:run.small]]
    port, user = server.submission
    for count, words in ((1, "one destination"), (20, "20 destinations")):
        row = f"SMTP out, {words}"
        if not run.wanted(row):
            continue
        # Others for each row: the same message to the same address is known for a repetition.
        recipients = [f"row{count}@{domain_of_destination(number)}" for number in range(count)]
        sink = Sink(server.sink_port, world.folder)

        def work():
            load.send_all(lambda: load.Smtp(server, port, user), [address], recipients, messages)
            sink.wait(len(messages))
            return len(messages)

        try:
            run.measure(server, place, row, work)
        finally:
            sink.stop()


def dns_rows(run):
    figures = lookups.measure(1 if run.options.quick else 3,
                              lookups.QUICK_COUNTS if run.options.quick else lookups.COUNTS,
                              run.options.server or DNS_SERVERS)
    for what, servers in figures.items():
        for name, (rate, processor) in servers.items():
            run.table.put("–", f"DoH look-ups, {what}", name, rate, processor)


def rows(run, names, place, place_folder, titles):
    """All groups that are wanted, of these servers."""
    world = None
    try:
        for group, subjects, columns in GROUPS:
            if not run.wants_group(group, subjects):
                continue
            run.group, run.table.columns = group, columns
            if group == DNS:
                if place == "disk":
                    dns_rows(run)
                continue
            world = world or World()
            for name in [name for name in columns if name in names]:
                print(f"{titles[name]} on {place}", flush=True)
                with make_server(name, place_folder, world, group == OUT) as server:
                    (out_rows if group == OUT else checked_rows)(run, world, server, place)
    finally:
        if world is not None:
            world.stop()
