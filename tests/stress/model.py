"""What a mailbox must be, by the RFCs alone: folders, messages, and the changes that are under way.

Time is the driver's clock, which ticks with every command sent and every response read. A change is
a command with an interval: it may take effect at any moment between being sent and being answered.
So a message has a *set* of states that it may be in: one when all is quiet, several while changes to
it overlap. The rule that makes this sharp is that all sessions of a mailbox see one order of events:
what anybody has been told at moment t holds for every command that anybody sends after t.
"""

import collections

FOREVER = float("inf")
STORY = 40  # events of a message that a failure prints
# Where a change stands. UNKNOWN: its connection ended without an answer, so it may have happened;
# RESOLVED: the same, but it will not happen any more.
OPEN, DONE, FAILED, UNKNOWN, RESOLVED = "open", "done", "failed", "unknown", "resolved"


class Fault(Exception):
    """The server broke a rule; the words say which."""


def require(condition, words):
    if not condition:
        raise Fault(words)


class Change:
    """A command that changes something."""

    def __init__(self, sent, base_modseq):
        self.sent, self.done = sent, FOREVER
        self.state = OPEN
        self.base_modseq = base_modseq  # the folder's highest known one when it was sent

    def finish(self, state, now):
        """UNKNOWN: it is on its way, and may be done at any time until that is resolved."""
        self.state, self.done = state, FOREVER if state == UNKNOWN else now


class FlagChange(Change):
    """STORE, or the \\Seen of a FETCH."""

    def __init__(self, sent, base_modseq, how, flags, unchanged_since=None):
        super().__init__(sent, base_modseq)
        self.how, self.flags = how, frozenset(flags)
        self.unchanged_since = unchanged_since
        self.modified = set()  # the UIDs for which it failed (RFC 7162 §3.1.3)

    def apply(self, flags):
        if self.how == "=":
            return self.flags
        if flags is None:
            return None  # not known yet: still not known
        return flags | self.flags if self.how == "+" else flags - self.flags

    def must_apply(self, uid):
        return self.state == DONE and uid not in self.modified

    def may_apply(self, uid):
        return self.state != FAILED and uid not in self.modified


class Removal(Change):
    """EXPUNGE, CLOSE (uids: None), UID EXPUNGE, and the first half of MOVE."""

    def __init__(self, sent, base_modseq, uids=None, is_move=False):
        super().__init__(sent, base_modseq)
        self.uids, self.is_move = uids, is_move

    def may_cover(self, message):
        if self.state == FAILED or message.created_sent > self.done:
            return False
        if self.uids is not None and message.uid not in self.uids:
            return False
        # \Deleted only counts between its sending and its answer.
        return self.is_move or (message.deleted_last >= self.sent and
                                message.deleted_first <= self.done)

    def must_cover(self, message):
        """When it has just been answered OK: was the message surely its business all the time?"""
        if self.uids is not None and message.uid not in self.uids:
            return False
        if not message.is_stable_since(self.sent) or message.created_at >= self.sent:
            return False
        return self.is_move or all(flags is not None and "\\Deleted" in flags
                                   for flags in message.base)


class Creation(Change):
    """APPEND, delivery, or the second half of COPY and MOVE: `left` counts messages by token."""

    def __init__(self, sent, base_modseq, tokens, flags=None, sources=()):
        super().__init__(sent, base_modseq)
        self.left = {}
        for token in tokens:
            self.left[token] = self.left.get(token, 0) + 1
        self.flags = flags      # of APPEND; None: those of the source
        self.sources = sources  # messages
        self.may_be_moved = False  # by a RENAME of INBOX that went on at the same time
        self.min_uid = 0        # every UID below it was given away before

    def first_states(self, token):
        if self.flags is not None:
            return {frozenset(self.flags)}
        # The source's flags at some moment: exact when nothing happened to it meanwhile.
        sources = [each for each in self.sources if each.token == token]
        if len(sources) == 1 and sources[0].is_stable_since(self.sent):
            return set(sources[0].base)
        return {None}


class Message:
    def __init__(self, folder, uid, token, sent, now, states):
        self.folder, self.uid, self.token = folder, uid, token
        self.created_sent, self.created_at = sent, now
        self.is_explained = False  # an APPENDUID, COPYUID or acknowledged delivery named it
        self.base = set(states)    # flags, without \Recent; None: not known
        self.changes = []          # since base
        self.changed_at = now
        self.deleted_first = self.deleted_last = -1
        self.gone_at = None
        self.maybe_gone = False    # a finished EXPUNGE or a lost MOVE may have had it
        self.versions = {}         # MODSEQ -> flags
        self.top = 0               # highest MODSEQ that anybody was told
        self.top_is_exact = False
        self.was_exact = False     # top_is_exact before the first of `changes`
        self.story = collections.deque(maxlen=STORY)
        self.recent_of = None      # the session that has it as \Recent
        self.note_deleted(sent)

    def __repr__(self):
        return f"UID {self.uid} of {self.folder} ({self.token})"

    def is_stable_since(self, moment):
        return not self.changes and self.changed_at < moment

    def outcomes(self, everything=False):
        """The states after all changes; with `everything` also those on the way."""
        found, seen = set(), set()
        stack = [(flags, frozenset()) for flags in self.base]
        total = len(self.changes)
        while stack:
            flags, applied = stack.pop()
            if (flags, applied) in seen:
                continue
            seen.add((flags, applied))
            left = [i for i in range(total) if i not in applied]
            if everything or not any(self.changes[i].must_apply(self.uid) for i in left):
                found.add(flags)
            for i in left:
                change = self.changes[i]
                if not change.may_apply(self.uid):
                    continue
                # Whatever was answered before this one was sent comes first.
                if any(self.changes[j].done < change.sent and self.changes[j].must_apply(self.uid)
                       for j in left):
                    continue
                stack.append((change.apply(flags), applied | {i}))
        return found

    def add(self, change, now):
        if not self.changes:
            self.was_exact = self.top_is_exact
        self.changes.append(change)
        self.top_is_exact = False
        self.note_deleted(now)
        self.story.append((now, f"begins {change.how}{show(change.flags)}, "
                           f"{len(self.changes)} under way"))

    def settle(self, now):
        """One of its changes was answered: when none is under way, there is a new base."""
        if any(change.state in (OPEN, UNKNOWN) for change in self.changes):
            self.note_deleted(now)
            return
        if self.changes:
            self.base = self.outcomes()
            self.changes = []
            self.changed_at = now
            self.story.append((now, f"is {' or '.join(map(show, self.base))}"))
        self.note_deleted(now)

    def end(self, now):
        self.story.append((now, "is gone"))
        self.gone_at = self.changed_at = now
        self.changes = []

    def note_deleted(self, now):
        """Since when, and until when, it may have been \\Deleted."""
        states = self.outcomes(everything=True) if self.changes else self.base
        if any(flags is None or "\\Deleted" in flags for flags in states):
            if self.deleted_last != FOREVER:
                self.deleted_first = now if self.deleted_last < 0 else self.deleted_first
                self.deleted_last = FOREVER
        elif self.deleted_last == FOREVER:
            self.deleted_last = now

    def observe(self, flags, sent, now, words):
        """Somebody was told these flags in answer to a command sent at `sent`."""
        if not self.is_stable_since(sent) or self.folder.may_be_gone(self):
            return
        if None in self.base:
            self.base = {flags}
        require(flags in self.base,
                f"{words}: {self!r} has {show(flags)}, not {' or '.join(map(show, self.base))}")
        self.base = {flags}
        self.note_deleted(now)

    def told_version(self, modseq, flags, sent, now, words):
        """The same MODSEQ is the same state, whoever is told (RFC 7162 §3.1)."""
        require(self.versions.setdefault(modseq, flags) == flags,
                f"{words}: {self!r} had {show(self.versions[modseq])} at MODSEQ {modseq}, "
                f"now {show(flags)}")
        self.told_modseq(modseq, sent, now, words)

    def told_modseq(self, modseq, sent, now, words):
        if self.folder.may_be_gone(self):
            return  # being expunged is a change, too
        if self.top_is_exact:
            require(modseq <= self.top, f"{words}: MODSEQ of {self!r} went from {self.top} to "
                    f"{modseq} without a change")
        if self.is_stable_since(sent):
            require(modseq >= self.top,
                    f"{words}: MODSEQ of {self!r} is {modseq}, after {self.top}")
            self.top_is_exact = True
        if modseq > self.top:
            if self.changes and self.was_exact:
                lowest = min(change.base_modseq for change in self.changes)
                require(modseq > lowest, f"{words}: a change of {self!r} got MODSEQ {modseq}, but "
                        f"{lowest} was in use before it was sent (RFC 7162 §3.1)")
            self.top = modseq
            self.story.append((now, f"{words}: at MODSEQ {modseq}"))
        self.folder.told_modseq(modseq)


def show(flags):
    return "unknown flags" if flags is None else "(" + " ".join(sorted(flags)) + ")"


class Folder:
    def __init__(self, world, name):
        self.world, self.name = world, name
        self.uidvalidity = None    # nobody was told
        self.before_renaming = None
        self.messages = {}     # UID -> Message, gone ones too
        self.creations, self.removals = [], []
        self.min_uidnext = 1   # no new message gets a UID below it
        self.modseq = 0        # highest that anybody was told
        self.dying_since = None  # DELETE was sent
        self.may_be_remade = False  # and CREATE of the same name behind it
        self.deleted_at = None   # it was answered OK

    def __repr__(self):
        return self.name

    @property
    def is_dying(self):
        return self.dying_since is not None

    def told_modseq(self, modseq):
        self.modseq = max(self.modseq, modseq)

    def told_uidvalidity(self, value, words):
        if self.uidvalidity is None:
            used = self.world.uidvalidities.setdefault(self.name, set())
            greatest = max(used, default=0)
            require(value > greatest or value == self.before_renaming == greatest,
                    f"{words}: UIDVALIDITY of {self.name} is {value}, after {sorted(used)[-5:]} "
                    "(RFC 3501 §2.3.1.1)")
            used.add(value)
            self.uidvalidity = value
        require(value == self.uidvalidity,
                f"{words}: UIDVALIDITY of {self.name} is {value}, was {self.uidvalidity}")

    def renamed(self, name):
        """It keeps its UIDVALIDITY, unless a younger folder had the name, of which maybe nobody was told: then it
        gets a greater one."""
        self.name = name
        if self.uidvalidity is not None:
            self.before_renaming = self.uidvalidity
        self.uidvalidity = None

    def told_uidnext(self, value, least, words):
        require(value >= least, f"{words}: UIDNEXT of {self.name} is {value}, but {least - 1} was "
                "in use or excluded before")
        self.min_uidnext = max(self.min_uidnext, value)

    def alive(self):
        return [message for message in self.messages.values() if message.gone_at is None]

    # ---- messages come ----

    def begin(self, creation):
        creation.min_uid = self.min_uidnext
        self.creations.append(creation)

    def created(self, creation, uid, token, now, words):
        """APPENDUID or COPYUID: this UID is that message."""
        require(creation.left.get(token, 0) > 0 or uid in self.messages,
                f"{words}: more of {token} than were asked for")
        message = self.messages.get(uid)
        if message is None:
            require(uid >= creation.min_uid, f"{words}: UID {uid} is below {creation.min_uid}, "
                    "which was UIDNEXT before the command was sent")
            creation.left[token] -= 1
            message = self.add(creation, uid, token, now)
        else:
            require(not message.is_explained, f"{words}: UID {uid} was given away twice")
            require(message.token == token,
                    f"{words}: UID {uid} is {message.token} by FETCH, but {token} was stored")
            self.take(message, creation)
        message.is_explained = True
        return message

    def take(self, message, creation):
        """A FETCH saw it first and guessed which command made it: swap if it guessed wrong."""
        guessed = message.creation
        if guessed is not creation:
            guessed.left[message.token] = guessed.left.get(message.token, 0) + 1
            require(creation.left.get(message.token, 0) > 0,
                    f"{message!r} is one more than all commands made")
            creation.left[message.token] -= 1
            message.creation = creation

    def add(self, creation, uid, token, now, states=None):
        message = Message(self, uid, token, creation.sent, now,
                          states or creation.first_states(token))
        message.creation = creation
        message.maybe_gone = any(removal.may_cover(message) for removal in self.removals)
        self.messages[uid] = message
        self.min_uidnext = max(self.min_uidnext, uid + 1)
        return message

    def seen(self, uid, token, now, words):
        """A client fetched that UID and found this token."""
        message = self.messages.get(uid)
        if message is None:
            fitting = [each for each in self.creations
                       if each.left.get(token, 0) > 0 and each.state != FAILED and
                       uid >= each.min_uid]
            require(fitting, f"{words}: UID {uid} of {self.name} ({token}) came out of nowhere")
            # Its flags may have been changed already by somebody who saw it before us: not known.
            # Nor which of them made it, where no answer says so.
            states = set().union(*(each.first_states(token) for each in fitting))
            fitting[0].left[token] -= 1
            message = self.add(fitting[0], uid, token, now, states)
        require(message.token == token,
                f"{words}: UID {uid} of {self.name} is {token}, was {message.token}")
        return message

    # ---- messages go ----

    def removed(self, removal, state, now):
        """EXPUNGE was answered (DONE), or will not be (UNKNOWN, RESOLVED), or was refused."""
        removal.finish(state, now)
        for message in self.alive():
            if state == DONE and removal.must_cover(message):
                message.end(now)
            elif removal.may_cover(message):
                message.maybe_gone = True

    def may_be_gone(self, message):
        return (message.gone_at is not None or message.maybe_gone or
                any(each.state in (OPEN, UNKNOWN) and each.may_cover(message)
                    for each in self.removals))

    def was_removable(self, message):
        return any(each.may_cover(message) for each in self.removals)

    def told_gone(self, uid, now, words):
        """Somebody was told that it is expunged."""
        message = self.messages.get(uid)
        if message is None or message.gone_at is not None:
            return
        require(self.was_removable(message) or self.is_dying,
                f"{words}: {message!r} is gone, but nobody expunged it")
        message.end(now)

    def required(self, moment):
        """The messages that everyone who asks after `moment` must see."""
        return [message for message in self.messages.values()
                if message.gone_at is None and message.created_at < moment
                and not self.may_be_gone(message)]

    def delivered(self, moment):
        """How many more there are, acknowledged before it, whose UID nobody knows."""
        # A RENAME of INBOX takes them along, and others see it before it is answered.
        if any(each.state == OPEN and each.is_move and each.uids is None
               for each in self.removals):
            return 0
        return sum(sum(each.left.values()) for each in self.creations
                   if each.state == DONE and each.done < moment and not each.may_be_moved)

    def count_bounds(self, moment):
        """The least and the greatest number of messages since then."""
        most = sum(1 for message in self.messages.values()
                   if message.gone_at is None or message.gone_at >= moment)
        coming = sum(sum(each.left.values()) for each in self.creations if each.state != FAILED)
        return len(self.required(moment)) + self.delivered(moment), most + coming

    def forget_gone(self):
        """In a quiet moment, when every view agrees: nobody has them any more."""
        self.messages = {uid: m for uid, m in self.messages.items() if m.gone_at is None}

    def tidy(self):
        """In a quiet moment, after somebody looked: what is over is over."""
        self.removals = [each for each in self.removals if each.state in (OPEN, UNKNOWN)]
        self.creations = [each for each in self.creations
                          if each.state in (OPEN, UNKNOWN) or
                          (each.state == DONE and sum(each.left.values()) and
                           not each.may_be_moved)]
        for message in self.alive():
            message.maybe_gone = any(each.may_cover(message) for each in self.removals)
            if message.deleted_last != FOREVER:
                message.deleted_first = message.deleted_last = -1
