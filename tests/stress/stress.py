#!/usr/bin/python3
"""Random commands from 20 clients on one mailbox, each one's view checked after every response.

One driver sends and reads for all of them, so that only the server's timing is not in the seed's
hands. The model is in model.py, what a client may be told in view.py, the commands in actions.py.
Every few hundred commands all is drained: a fresh client looks at everything, and every view must be
the same; now and then the mailbox process is killed under load, and all that was acknowledged, or
told to anybody, must be there afterwards.
"""

import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server  # noqa: E402
from lib.suite import Suite, check  # noqa: E402
from stress import actions, append, folders, login, search  # noqa: E402
from stress.client import Client, Command  # noqa: E402
from stress.model import DONE, FAILED, RESOLVED, Fault, Folder, require  # noqa: E402
from stress.smtp import Sender  # noqa: E402
from stress.world import MAIN, World  # noqa: E402

CLIENTS = 20
PERIOD = 600       # commands between two checkpoints
KILL_EVERY = 4     # checkpoints
DOZE_EVERY = 5
PATIENCE = 180     # seconds for what must come at all; a process may finish its index for two minutes
SETTLING = ("SELECT", "EXAMINE", "CLOSE", "UNSELECT", "LOGOUT", "LOGIN", "IDLE", "CREATE", "DELETE",
            "RENAME", "RENAME INBOX", "ENABLE", "COMPRESS")  # nothing is sent behind these
# What a client with a selected folder does, and how often.
BUSINESS = ((actions.store, 24), (actions.fetch_flags, 12), (search.search, 12),
            (actions.noop, 8), (append.append, 8), (append.replace, 2), (actions.copy, 6),
            (actions.move, 5), (search.save, 3), (search.sort, 4), (actions.expunge, 5),
            (actions.fetch_changed, 6), (actions.fetch_body, 4), (folders.status, 5),
            (actions.idle, 3), (folders.leave, 2), (folders.select, 3), (folders.churn, 3),
            (folders.make_anew, 1), (folders.rename_inbox, 0.15), (folders.list_folders, 1),
            (login.log_out, 0.7), (login.drop, 0.5))
BETWEEN = ((folders.select, 10), (append.append, 1), (folders.status, 1), (folders.churn, 1),
           (folders.list_folders, 1), (login.log_out, 0.2))

suite = Suite(__doc__)
suite.parser.add_argument("--seconds", type=int, default=None, help="60; with --long 3600")
suite.parser.add_argument("--clients", type=int, default=CLIENTS)


class Driver:
    def __init__(self, server, alias, seed, clients):
        self.chance = random.Random(seed)
        self.world = World(server, alias, self.chance)
        self.clients = [Client(self.world, f"c{number}", login.profile(number))
                        for number in range(clients)]
        self.fresh = Client(self.world, "fresh", {"CONDSTORE"})
        self.sender = Sender(self.world)
        self.culprit = None  # whose response showed the fault
        self.sent = self.checkpoints = self.kills = self.dozes = 0

    # ---- the loop ----

    def pump(self, seconds):
        """Reads what came; waits for that long when nothing did."""
        for key, _ in self.world.selector.select(seconds):
            self.culprit = key.data
            key.data.connection.flush()
            key.data.on_readable()
        for client in self.everyone():
            if client.connection is not None and client.connection.output:
                client.connection.flush()

    def everyone(self):
        return [*self.clients, self.fresh, self.sender]

    def until(self, condition, words):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            require(time.monotonic() < deadline, f"nothing in {PATIENCE} s: {words}")
            self.pump(0.2)

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        since_checkpoint = 0
        while time.monotonic() < deadline:
            self.world.may_drop = since_checkpoint < PERIOD / 2
            did = self.act()
            since_checkpoint += did
            self.sent += did
            self.pump(0 if did else 0.02)
            if since_checkpoint >= PERIOD:
                if self.checkpoints % KILL_EVERY == KILL_EVERY - 1:
                    self.kill()
                self.checkpoint()
                since_checkpoint = 0
                if self.checkpoints % DOZE_EVERY == 1:
                    self.doze()
        self.checkpoint()

    def act(self):
        """One client does one thing; False: nobody could."""
        if self.sender.is_free() and self.chance.random() < 0.03 and \
                len(self.world.folders["INBOX"].alive()) <= actions.CROWD:
            self.culprit = self.sender
            self.sender.deliver(self.world.folders["INBOX"])
            return True
        for client in self.chance.sample(self.clients, min(4, len(self.clients))):
            self.culprit = client
            if self.one(client):
                return True
        return False

    def one(self, client):
        if client.connection is None:
            return login.log_in(client)
        if client.is_idling:
            return self.chance.random() < 0.1 and self.wake(client)
        last = client.outstanding[-1].name if client.outstanding else None
        if not client.is_ready or client.is_closing or \
                any(each.name in SETTLING for each in client.outstanding):
            return False
        if last is not None and (len(client.outstanding) > 3 or self.chance.random() < 0.6):
            return False
        if client.view is None:
            return self.choose(client, BETWEEN) if last is None else False
        if client.view.unknown_numbers() and self.chance.random() < 0.4 and actions.look(client):
            return True
        return self.choose(client, BUSINESS)

    def choose(self, client, table):
        action = self.chance.choices([row[0] for row in table], [row[1] for row in table])[0]
        return action(client)

    def wake(self, client):
        command = client.outstanding[0]
        if "done_sent" in command.facts:
            return False
        command.facts["done_sent"] = self.world.now
        client.raw(b"DONE\r\n")
        return True

    # ---- the quiet moments ----

    def drain(self, watchers):
        """Everything is answered, but for the IDLE of the watchers."""
        def is_quiet():
            for client in self.clients:
                if client.is_idling and client not in watchers and not client.is_closing:
                    self.wake(client)
            return self.sender.is_free() and all(
                not client.outstanding or (client in watchers and client.is_idling)
                for client in self.clients)
        self.until(is_quiet, "answers to " + ", ".join(
            f"{client.name} {[each.name for each in client.outstanding]}"
            for client in self.clients if client.outstanding))

    def checkpoint(self):
        self.checkpoints += 1
        watchers = [client for client in self.clients
                    if client.is_idling and "done_sent" not in client.outstanding[0].facts
                    and self.chance.random() < 0.7]
        self.drain(watchers)
        self.world.resolve_unknown(RESOLVED)
        self.look_afresh()
        self.compare_counters()
        awake = [client for client in self.clients if client.is_ready and not client.outstanding
                 and client.view is not None]
        for client in awake:
            self.culprit = client
            client.send(Command("NOOP", b"NOOP"))
        self.drain(watchers)
        for client in awake:
            self.culprit = client
            if client.view is not None and not client.view.folder.is_dying:
                client.view.check_exactly(self.world.now)
        self.wait_for_watchers(watchers)
        for client in watchers:
            if client.is_idling:
                self.wake(client)
        self.drain([])
        for folder in self.world.folders.values():
            if folder is not None:
                folder.forget_gone()

    def wait_for_watchers(self, watchers):
        """IDLE tells everything without being asked (RFC 2177 §3)."""
        deadline = time.monotonic() + PATIENCE
        for client in watchers:
            while client.is_idling:
                try:
                    require(client.view.folder.deleted_at is None,
                            f"{client.view.words}: IDLE goes on in a deleted folder")
                    client.view.check_exactly(self.world.now)
                    break
                except Fault:
                    self.culprit = client
                    if time.monotonic() > deadline:
                        raise
                self.pump(0.2)

    def ask(self, client, command):
        """Sends it and waits for the answer."""
        self.culprit = client
        client.send(command)
        self.until(lambda: not client.outstanding or client.connection is None, command.name)

    def log_out_fresh(self):
        if self.fresh.connection is not None:
            self.fresh.is_closing = True
            self.ask(self.fresh, Command("LOGOUT", b"LOGOUT"))
            self.until(lambda: self.fresh.connection is None, "the end after LOGOUT")

    def log_in_fresh(self):
        self.log_out_fresh()
        self.culprit = self.fresh
        login.log_in(self.fresh)
        self.until(lambda: self.fresh.is_ready, "login")

    def look_afresh(self):
        """A new session sees the truth; the model must agree."""
        self.log_in_fresh()
        for name, folder in self.world.folders.items():
            if folder is None:
                continue
            folders.open_folder(self.fresh, name, True)
            self.until(lambda: not self.fresh.outstanding, f"EXAMINE {name}")
            view = self.fresh.view
            self.culprit = self.fresh
            self.compare(folder, view)
            folder.tidy()
            if view.uids:
                # Once more: now all messages are known, and their flags can be judged.
                self.ask(self.fresh, Command("UID FETCH", b"UID FETCH 1:* (FLAGS MODSEQ)"))
            require(all(None not in message.base for message in folder.alive()),
                    f"{folder}: flags that are not told")

    def compare(self, folder, view):
        require(None not in view.uids, f"fresh in {folder}: {view.uids} after FETCH of all")
        present = set(view.uids)
        for message in folder.alive():
            if message.uid in present:
                message.maybe_gone = False
                require(message.creation.state != FAILED,
                        f"{message!r} is there, although its command was answered NO")
                continue
            require(message.maybe_gone, f"fresh in {folder}: {message!r} is lost")
            message.end(self.world.now)
        for uid in present:
            message = folder.messages.get(uid)
            require(message is not None and message.gone_at is None,
                    f"fresh in {folder}: UID {uid} is there, but was gone")
        for creation in folder.creations:
            require(creation.state != DONE or not any(creation.left.values()) or
                    creation.may_be_moved,
                    f"fresh in {folder}: {creation.left} was acknowledged, and is lost")

    def compare_counters(self):
        for name, folder in self.world.folders.items():
            if folder is None:
                continue
            told = {}

            def on_done(command, status, code):
                folders.on_status(command, status, code)
                items = command.answers[0][1][1]
                told.update(zip(items[::2], items[1::2]))

            self.ask(self.fresh, Command(
                "STATUS", f"STATUS {name} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)".encode(), on_done,
                names=(name,), folder=folder, least_uidnext=folder.min_uidnext, modseq=0))
            alive = folder.alive()
            unseen = sum(1 for message in alive if all("\\Seen" not in f for f in message.base))
            require(int(told[b"MESSAGES"]) == len(alive) and int(told[b"UNSEEN"]) == unseen,
                    f"STATUS {name}: {told}, but there are {len(alive)} messages, {unseen} unseen")

    # ---- hibernation ----

    def doze(self):
        """
        Everybody is silent until the mailbox process has ended, half of them in IDLE. Then mail comes:
        who is in IDLE hears of it, and all go on where they were.
        """
        self.dozes += 1
        self.log_out_fresh()
        inbox = self.world.folders["INBOX"]
        for client in self.clients:
            if client.is_ready and self.is_costly(client):
                login.log_out(client)
        self.until(lambda: all(client.connection is None or not client.is_closing
                               for client in self.clients), "the end after LOGOUT")
        for client in self.clients:
            if client.is_ready and client.view is not None and self.chance.random() < 0.5:
                client.send(Command("IDLE", b"IDLE", follow=b""))
        watchers = [client for client in self.clients if client.outstanding]
        self.until(lambda: all(client.is_idling for client in watchers), "the answers to IDLE")
        self.until(lambda: not self.world.server.processes("mailbox"), "the mailbox process's end")
        counts = {client: len(client.view.uids) for client in watchers
                  if client.view.folder is inbox}
        while self.sender.connection is None:
            self.sender.deliver(inbox)
            self.until(self.sender.is_free, "the greeting for incoming mail")
        self.sender.deliver(inbox)
        self.until(self.sender.is_free, "the answer to a delivery")
        require(self.sender.creation.state == DONE, "a delivery to a sleeping mailbox was refused")
        self.until(lambda: all(client.view is not None and len(client.view.uids) == count + 1
                               for client, count in counts.items()), "EXISTS in IDLE")
        self.checkpoint()

    @staticmethod
    def is_costly(client):
        """Has it state that a server need not keep for a sleeper?"""
        return client.view is not None and "has_saved" in client.view.facts

    # ---- kill ----

    def kill(self):
        """The mailbox process dies in the middle of it all; nothing acknowledged is lost."""
        self.kills += 1
        for client in self.clients:
            # Who is still logging in would be let into the next process.
            if client.connection is not None and not client.is_ready:
                client.abandon(RESOLVED)
        self.world.epoch += 1
        for process in self.world.server.processes("mailbox"):
            os.kill(process.pid, signal.SIGKILL)
            self.until(lambda: not os.path.exists(f"/proc/{process.pid}"), "its death")
        self.see_who_survived()
        self.until(self.sender.is_free, "the answer to a delivery")
        # Who had \Recent need not survive (RFC 3501 §2.3.2).
        for folder in self.world.folders.values():
            for message in folder.messages.values() if folder is not None else ():
                message.recent_of = None
        self.log_in_fresh()
        self.find_lost_names()

    def see_who_survived(self):
        """A session that hibernated had no process, and goes on in the next one; all others end."""
        asked = {}
        for client in [*self.clients, self.fresh]:
            if client.connection is None:
                continue
            if client.is_idling:
                self.wake(client)
                asked[client] = client.outstanding[-1]
            else:
                client.send(Command("NOOP", b"NOOP"))
                asked[client] = client.outstanding[-1]
        self.until(lambda: all(client.connection is None or command not in client.outstanding
                               for client, command in asked.items()), "the end of sessions")
        for client in asked:
            if client.connection is not None:
                client.epoch = self.world.epoch
                self.world.counts["sessions that outlived their process"] += 1

    def find_lost_names(self):
        """What became of the folder commands that were under way."""
        listed = set()

        def on_done(command, status, code):
            listed.update(answer[1][2].decode() for answer in command.answers)

        self.ask(self.fresh, Command("LIST", b'LIST "" *', on_done))
        world = self.world
        for name in MAIN:
            require(name in listed, f"{name} is gone after a kill")
        lost = {name for name in world.lost_names}
        for source, name in world.lost_renames:
            there = [each for each in (source, name) if each in listed]
            had = [each for each in (source, name) if world.folders[each] is not None]
            require(there == had or (had == [source] and there == [name]),
                    f"RENAME {source} {name} when there was {had}, and a kill, left {there}")
            if there != had:
                world.folders[name], world.folders[source] = world.folders[source], None
                world.folders[name].renamed(name)
        for name in lost:
            if name in listed and world.folders[name] is None:
                world.folders[name] = world.lost_folders.get(name) or Folder(world, name)
            elif name not in listed:
                world.folders[name] = None
            elif world.folders[name].is_dying:
                self.find_remade(name)
            world.name_changed[name] = world.now
        world.busy.difference_update(lost)
        world.lost_names.clear()
        world.lost_renames.clear()
        world.lost_folders.clear()

    def find_remade(self, name):
        """The name is there: neither DELETE nor CREATE was done, or both, and then it is another
        folder."""
        folder, told = self.world.folders[name], {}

        def on_done(command, status, code):
            items = [answer[1][1] for answer in command.answers if answer[0] == b"STATUS"]
            told["UIDVALIDITY"] = int(items[0][1])

        self.ask(self.fresh, Command("STATUS", f"STATUS {name} (UIDVALIDITY)".encode(), on_done))
        folder.dying_since = None
        if folder.may_be_remade and told["UIDVALIDITY"] != folder.uidvalidity:
            folder = self.world.folders[name] = Folder(self.world, name)
        folder.may_be_remade = False
        folder.told_uidvalidity(told["UIDVALIDITY"], f"{name} after a kill")

    # ---- the end ----

    def finish(self):
        for client in self.everyone():
            if client.connection is not None:
                client.connection.close()

    def print_fault(self, fault):
        print(f"fault: {fault}")
        print(f"after {self.sent} commands, {self.checkpoints} checkpoints, {self.kills} kills")
        for folder in self.world.folders.values():
            for message in folder.messages.values() if folder is not None else ():
                if repr(message) in str(fault):
                    print(f"{message!r}, gone at {message.gone_at}:")
                    for now, text in message.story:
                        print(f"  {now:7} {text}")
        if self.culprit is not None:
            print(f"the last exchanges of {self.culprit.name}:")
            for now, text in self.culprit.log:
                print(f"  {now:7} {text.decode('utf-8', 'replace')}")
        print("everybody's last exchanges:")
        for now, name, text in self.world.history:
            print(f"  {now:7} {name:6} {text.decode('utf-8', 'replace')[:160]}")


@suite.case
def every_view_agrees_with_the_model(server):
    options = suite.options
    seconds = options.seconds or (3600 if options.long else 60)
    print(f"--seed {options.seed}", flush=True)
    alias = server.add_alias("me@stress.test")
    with server.imap(alias) as client:
        for name in MAIN[1:]:
            check(client.create(name)[0] == "OK", f"CREATE {name}")
    driver = Driver(server, alias, options.seed, options.clients)
    try:
        driver.run(seconds)
    except (Fault, ValueError, OSError) as fault:
        driver.print_fault(fault)
        raise
    finally:
        driver.finish()
    counts = ", ".join(f"{name} {count}" for name, count in driver.world.counts.most_common())
    return (f"{driver.sent} commands ({counts}), {driver.checkpoints} checkpoints, "
            f"{driver.kills} kills, {driver.dozes} sleeps, {len(driver.world.contents)} messages")


@suite.case
def nothing_was_found_by_the_sanitizers(server):
    findings = server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    # Sessions sleep soon.
    with Server(settings={"connections_per_address_max": 1000, "hibernate_after": "1s"}) as running:
        suite.run(running)
