"""One client of the stress test: what it sent, what it was answered, and what it believes.

Responses that come before the tagged answer of the oldest unanswered command belong to that command.
The client keeps the rules of RFC 3501 §5.5 itself: it sends nothing with message numbers behind a
command that may bring EXPUNGE.
"""

import collections

from stress.model import OPEN, RESOLVED, UNKNOWN, Fault, require
from stress.wire import Closed, Connection, Text, Tokens, set_numbers

SHOWN = 400  # bytes of an exchange that a failure prints


class Command:
    """`is_fixed`: no EXPUNGE may come while it runs (RFC 3501 §7.4.1)."""

    def __init__(self, name, text, on_done=None, is_fixed=False, by_number=False, changes=(),
                 follow=None, names=(), **facts):
        self.name, self.text, self.on_done = name, text, on_done
        self.is_fixed, self.by_number = is_fixed, by_number
        self.changes = changes    # of the model, closed when the connection is lost
        self.names = names        # of the folders that it says
        self.follow = follow      # what is sent on "+"
        self.facts = facts
        self.tag, self.sent, self.view = None, None, None
        self.answers = []         # untagged responses that only this command can use
        self.told_flags = set()   # UIDs whose FLAGS came meanwhile
        self.told_uids = set()    # UIDs of FETCH responses
        self.was_begun = False    # "+" came


class Client:
    def __init__(self, world, name, profile):
        self.world, self.name = world, name
        self.profile = profile  # the extensions that it would use: words, see login.py
        self.is_condstore = self.is_qresync = self.is_uidonly = self.is_rev2 = False
        self.connection, self.log = None, ()
        self.outstanding = collections.deque()
        self.view = None
        self.is_closing = False    # EOF may come: LOGOUT, BYE
        self.is_ready = False      # logged in
        self.is_idling = False
        self.steps = []            # of login, yet to be taken
        self.epoch = 0
        self.tags = 0
        self.known_flags = set()   # as FLAGS told, for whatever was selected then
        self.remembered = {}       # folder -> what SELECT (QRESYNC) builds on

    # ---- out ----

    def connect(self):
        self.connection = Connection(self.world.server.ports["imap"], self.name)
        self.log = self.connection.log  # outlives it
        self.is_condstore = self.is_qresync = self.is_uidonly = self.is_rev2 = False
        self.outstanding.clear()
        self.view, self.is_closing, self.is_ready, self.is_idling = None, False, False, False
        self.epoch = self.world.epoch
        self.world.register(self)
        self.is_greeted = False

    def send(self, command):
        self.tags += 1
        command.tag = b"%s%d" % (self.name.encode(), self.tags)
        command.sent = self.world.tick()
        if command.view is None:
            command.view = self.view
        self.outstanding.append(command)
        self.world.users.update(command.names)
        self.world.counts[command.name] += 1
        data = command.tag + b" " + command.text + b"\r\n"
        self.note(b"C: ", command.tag + b" LOGIN" if command.name == "LOGIN" else data)
        self.connection.send(data)

    def raw(self, data):
        self.world.tick()
        self.note(b"C: ", data)
        self.connection.send(data)

    def note(self, side, data):
        text = data if len(data) <= SHOWN else data[:SHOWN] + b"... (%d)" % len(data)
        self.connection.log.append((self.world.now, side + text.strip()))
        self.world.history.append((self.world.now, self.name, side + text.strip()))

    # ---- in ----

    def on_readable(self):
        """All that has come; False: the connection is over."""
        try:
            self.connection.receive()
            is_open = True
        except Closed:
            is_open = False
        while True:
            data = self.connection.response()
            if data is None:
                break
            self.world.tick()
            self.note(b"S: ", data)
            self.on_response(data)
        if not is_open:
            self.lost()
        return is_open

    def lost(self):
        """The connection is over: what was not answered may have been done, or not."""
        allowed = self.is_closing or self.epoch != self.world.epoch
        require(allowed, f"{self.name}: the server closed the connection")
        # A killed process does nothing more; one that we hung up on may still read our commands.
        self.abandon(RESOLVED if self.epoch != self.world.epoch else UNKNOWN)

    def abandon(self, state):
        for command in self.outstanding:
            self.world.leave_names(command.names, state)
            for change in command.changes:
                if change.state == OPEN:
                    self.world.close_change(change, state)
            if "on_lost" in command.facts:
                command.facts["on_lost"]()
        self.outstanding.clear()
        self.remember()
        self.world.unregister(self)
        self.connection.close()
        self.connection, self.view, self.is_ready, self.is_idling = None, None, False, False

    def remember(self):
        """For SELECT (QRESYNC …), should there be a next time."""
        view = self.view
        if self.is_qresync and view is not None and view.is_open and \
                view.facts.get("HIGHESTMODSEQ") and not view.folder.is_dying:
            self.remembered[view.folder] = view

    def on_response(self, data):
        if not self.is_greeted:
            require(data.startswith(b"* OK"), f"{self.name}: greeting {data[:100]!r}")
            self.is_greeted = True
            return
        if data.startswith(b"+"):
            self.on_continuation()
        elif data.startswith(b"* "):
            self.on_untagged(Tokens(data[2:]), data)
        else:
            self.on_tagged(data)

    def on_continuation(self):
        require(self.outstanding, f"{self.name}: + without a command")
        command = self.outstanding[0]
        require(command.follow is not None, f"{self.name}: + to {command.name}")
        command.was_begun = True
        if command.name == "IDLE":
            self.is_idling = True
            if command.facts.get("ends"):
                self.raw(b"DONE\r\n")
        else:
            self.raw(command.follow)

    def on_tagged(self, data):
        tag, _, rest = data.partition(b" ")
        require(self.outstanding, f"{self.name}: a tagged answer to nothing: {data[:100]!r}")
        command = self.outstanding[0]
        require(tag == command.tag, f"{self.name}: {tag!r} is answered, before {command.tag!r}")
        status, _, words = rest.partition(b" ")
        require(status in (b"OK", b"NO", b"BAD"), f"{self.name}: {data[:100]!r}")
        self.outstanding.popleft()
        self.world.users.subtract(command.names)
        if status == b"BAD":
            require(command.view is not None and command.view is not self.view and
                    command.view.folder.is_dying,
                    f"{self.name}: {command.name} is BAD: {words[:200]!r}")
            for change in command.changes:
                self.world.close_change(change, RESOLVED)
            return
        code = self.code_of(words)
        if code and code[0] == b"HIGHESTMODSEQ" and command.view is not None:
            self.told_highest(command.view, int(code[1]))
        if code and code[0] == b"CAPABILITY":
            self.world.capabilities.update(word.decode().upper() for word in code[1:])
        if command.name == "IDLE":
            self.is_idling = False
        if command.on_done is not None:
            command.on_done(command, status.decode(), code)
        view = self.view
        sent = command.facts.get("done_sent", command.sent)
        if view is not None and command.view is view and view.folder.deleted_at is not None and \
                command.name not in ("SELECT", "EXAMINE", "LOGOUT", "CLOSE", "UNSELECT"):
            require(self.is_closing or view.folder.deleted_at >= sent,
                    f"{view.words}: the folder was deleted, and {command.name} goes on")
        if view is not None and command.view is view and view.is_open and \
                command.name not in ("SELECT", "EXAMINE", "LOGOUT"):
            view.check(sent, not command.is_fixed)

    @staticmethod
    def code_of(words):
        if not words.startswith(b"["):
            return []
        return Tokens(words[1:words.index(b"]")]).all()

    def told_highest(self, view, modseq):
        require(modseq >= view.facts.get("HIGHESTMODSEQ", 0),
                f"{view.words}: HIGHESTMODSEQ went down to {modseq}")
        view.facts["HIGHESTMODSEQ"] = modseq
        view.folder.told_modseq(modseq)

    def on_untagged(self, tokens, data):
        first = tokens.one()
        command = self.outstanding[0] if self.outstanding else None
        word = first.upper()
        if word in (b"OK", b"NO", b"BAD", b"PREAUTH"):
            self.on_status(tokens.rest(), command)
        elif word == b"BYE":
            self.on_bye(command)
        elif first.isdigit():
            self.on_numbered(int(first), tokens.one().upper(), tokens, command)
        elif word == b"VANISHED":
            self.on_vanished(tokens.all(), command)
        elif word == b"FLAGS":
            self.known_flags = {canonical(bytes(each).decode()) for each in tokens.one()}
        elif word == b"CAPABILITY":
            pass
        else:
            require(command is not None, f"{self.name}: {word!r} without a command")
            if self.view is not None:
                command.facts["then"] = list(self.view.uids)  # EXPUNGE may follow
            command.answers.append((word, tokens.all()))

    def on_bye(self, command):
        view = self.view
        allowed = (self.epoch != self.world.epoch or
                   (command is not None and command.name == "LOGOUT") or
                   (view is not None and view.folder.is_dying))
        require(allowed, f"{self.name}: BYE")
        self.is_closing = True

    def on_status(self, text, command):
        code = self.code_of(text)
        if not code:
            return
        name, view = code[0].upper(), self.view
        if name == b"COPYUID":
            require(command is not None and "MOVE" in command.name, f"{self.name}: untagged COPYUID")
            command.answers.append((name, code))
            return
        if name == b"APPENDUID":
            require(command is not None and "REPLACE" in command.name,
                    f"{self.name}: untagged APPENDUID")
            command.answers.append((name, code))
            return
        if command is not None and command.name in ("SELECT", "EXAMINE"):
            if name == b"CLOSED":
                self.remember()
                self.view = None
                return
            view = command.facts["new_view"]
        if view is None:
            return
        if name == b"CLOSED":
            # RFC 7162 §3.2.11, RFC 2180 §3: by DELETE; what stands behind it in a pipeline fails.
            require(view.folder.is_dying, f"{view.words}: CLOSED")
            self.view = None
        if name == b"HIGHESTMODSEQ":
            self.told_highest(view, int(code[1]))
        elif name == b"UIDVALIDITY":
            view.folder.told_uidvalidity(int(code[1]), view.words)
        elif name == b"UIDNEXT":
            view.folder.told_uidnext(int(code[1]), command.facts["least_uidnext"], view.words)

    def responding_view(self, command, what):
        """The view that an untagged response is about: that of a SELECT under way, or ours."""
        if command is not None and command.name in ("SELECT", "EXAMINE"):
            return command.facts["new_view"]
        require(self.view is not None, f"{self.name}: {what} while nothing is selected")
        return self.view

    def on_numbered(self, number, word, tokens, command):
        view = self.responding_view(command, word.decode())
        now = self.world.now
        # State as of when the command had been read, or older: outside of commands as of nothing.
        sent = command.sent if command is not None else -1
        if word == b"EXISTS":
            view.on_exists(number)
        elif word == b"RECENT":
            require(not self.is_rev2, f"{view.words}: RECENT in IMAP4rev2")
            view.on_recent(number)
        elif word == b"EXPUNGE":
            require(not self.is_qresync and not self.is_uidonly,
                    f"{view.words}: EXPUNGE where VANISHED is due (RFC 7162 §3.2.10)")
            self.check_expunge_allowed(command, "EXPUNGE")
            view.on_expunge(number, now)
        elif word == b"FETCH":
            require(not self.is_uidonly, f"{view.words}: FETCH under UIDONLY (RFC 9586 §3.3)")
            items = fetch_items(tokens.one())
            self.check_modseq(command, items)
            uid = view.on_fetch(number, items, sent, now)
            self.after_fetch(command, number, uid, items)
        elif word == b"UIDFETCH":
            require(self.is_uidonly, f"{view.words}: UIDFETCH without UIDONLY")
            items = fetch_items(tokens.one())
            self.check_modseq(command, items)
            uid = view.on_uid_fetch(number, items, sent, now)
            self.after_fetch(command, None, uid, items)
        else:
            raise Fault(f"{self.name}: an unknown response: {number} {word!r}")

    def check_modseq(self, command, items):
        """RFC 7162 §3.1: flags are told with MODSEQ, unless they are what FETCH was asked for."""
        asked = command is not None and "FETCH" in command.name
        require(not self.is_condstore or asked or "MODSEQ" in items,
                f"{self.name}: an untagged FETCH without MODSEQ")
        require(not self.is_qresync or asked or "UID" in items or self.is_uidonly,
                f"{self.name}: an untagged FETCH without UID (RFC 7162 §3.2.4)")

    def after_fetch(self, command, number, uid, items):
        untold = items.get("FLAGS", set()) - self.known_flags - {"\\Recent"}
        require(not untold, f"{self.name}: {sorted(untold)} before FLAGS said so (RFC 3501 §7.2.6)")
        if command is None:
            return
        if uid is not None:
            command.told_uids.add(uid)
            if "FLAGS" in items:
                command.told_flags.add(uid)
        command.answers.append((b"FETCH", number, uid, items))

    def check_expunge_allowed(self, command, what):
        require(command is not None, f"{self.name}: {what} while no command is in progress")
        require(not command.is_fixed,
                f"{self.name}: {what} during {command.name} (RFC 3501 §7.4.1)")
        require(command.name != "IDLE" or command.was_begun,
                f"{self.name}: {what} before IDLE was confirmed")

    def on_vanished(self, items, command):
        require(self.is_qresync or self.is_uidonly, f"{self.name}: VANISHED without QRESYNC")
        view = self.responding_view(command, "VANISHED")
        if isinstance(items[0], list):
            require([each.upper() for each in items[0]] == [b"EARLIER"], f"VANISHED {items[0]}")
            require(command is not None and (command.facts.get("wants_vanished")),
                    f"{view.words}: VANISHED (EARLIER) that was not asked for")
            command.answers.append((b"VANISHED", set_numbers(items[1])))
            return
        self.check_expunge_allowed(command, "VANISHED")
        view.on_vanished(set_numbers(items[0]), self.world.now)


def fetch_items(pairs):
    """A FETCH response as a dict: UID, MODSEQ as numbers, FLAGS as a frozenset of text."""
    items = {}
    for name, value in zip(pairs[::2], pairs[1::2]):
        name = name.decode().upper()
        if name == "UID":
            value = int(value)
        elif name == "MODSEQ":
            value = int(value[0])
        elif name == "RFC822.SIZE":
            value = int(value)
        elif name == "FLAGS":
            value = frozenset(canonical(flag.decode()) for flag in value)
        elif isinstance(value, Text):
            value = bytes(value)
        items[name] = value
    return items


def canonical(flag):
    """System flags in one spelling; keywords as they are (the server keeps their case)."""
    return "\\" + flag[1:].capitalize() if flag.startswith("\\") else flag
