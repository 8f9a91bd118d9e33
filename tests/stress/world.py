"""What the parts of the stress test share: the clock, the folders, what was ever sent."""

import collections
import datetime
import selectors

from stress.model import UNKNOWN, Creation, FlagChange, Folder, Removal, require

MAIN = ("INBOX", "Work")
CHURN = ("Box0", "Box1", "Box2", "Box3")
WORDS = ("amber", "basalt", "cobalt", "dune", "ember", "fjord", "garnet", "heath")
SENDERS = ("ada", "bela", "cyril", "dora")


class Content:
    """A message that was sent, by its token: the first word of its subject."""

    def __init__(self, token, chance, date=None):
        self.token, self.date = token, date  # date: INTERNALDATE, where we chose it
        self.words = chance.sample(WORDS, 2)
        self.sender = chance.choice(SENDERS)
        self.day = datetime.date(2025, chance.randint(1, 12), chance.randint(1, 28))
        self.filling = "x" * chance.choice((0, 10, 300, 2000))
        self.raw = (f"From: {self.sender}@example.org\r\nTo: me@stress.test\r\n"
                    f"Subject: {token} {' '.join(self.words)}\r\n"
                    f"Date: {self.day.strftime('%a, %d %b %Y')} 10:00:00 +0000\r\n"
                    f"Message-ID: <{token}@stress.test>\r\n\r\n"
                    f"The body of {token}.\r\n{self.filling}\r\n").encode()
        self.size = len(self.raw) if date is not None else None  # delivery adds trace fields


class World:
    def __init__(self, server, alias, chance):
        self.server, self.alias, self.chance = server, alias, chance
        self.now = 0
        self.epoch = 0        # counts the kills of the mailbox process
        self.history = collections.deque(maxlen=400)  # everybody's last exchanges
        self.selector = selectors.DefaultSelector()
        self.uidvalidities = {}  # name -> all that it ever had
        self.folders = {name: Folder(self, name) for name in MAIN}
        self.folders.update({name: None for name in CHURN})
        self.busy = set()     # names that a folder command is at
        self.users = collections.Counter()  # name -> commands under way that say it
        self.name_changed = collections.Counter()  # name -> when its folder came or went
        self.lost_names = set()  # a folder command's connection was lost: ask LIST
        self.lost_renames = []   # ... of RENAME: from, to
        self.lost_folders = {}   # ... and what RENAME of INBOX would have made
        self.may_drop = True
        self.capabilities = set()  # as LOGIN's OK names them
        self.contents = {}
        self.unknown = []        # changes whose connection we dropped
        self.unknown_names = []  # and the folders that their commands say
        self.counts = collections.Counter()  # of commands, by name
        self.stores = 0

    def tick(self):
        self.now += 1
        return self.now

    def register(self, client):
        self.selector.register(client.connection.sock, selectors.EVENT_READ, client)

    def unregister(self, client):
        self.selector.unregister(client.connection.sock)

    def new_content(self, date=None):
        token = f"t{len(self.contents)}"
        self.contents[token] = Content(token, self.chance, date)
        return self.contents[token]

    def usable_names(self):
        return [name for name, folder in self.folders.items()
                if folder is not None and name not in self.busy and not folder.is_dying]

    # ---- changes end ----

    def leave_names(self, names, state):
        """A command that named them is over; or, UNKNOWN, on its way: they still mean the same to it."""
        if state == UNKNOWN:
            self.unknown_names.extend(names)
        else:
            self.users.subtract(names)

    def close_change(self, change, state):
        """A connection ended with it unanswered."""
        if state == UNKNOWN:
            self.unknown.append(change)
        if isinstance(change, Removal):
            change.folder.removed(change, state, self.now)
            return
        change.finish(state, self.now)
        if isinstance(change, FlagChange):
            for message in change.targets:
                message.settle(self.now)

    def begin_flags(self, folder, targets, how, flags, unchanged_since=None):
        change = FlagChange(self.now, folder.modseq, how, flags, unchanged_since)
        change.targets = targets
        change.before = {m.uid: (m.top, m.top_is_exact and not m.changes) for m in targets}
        for message in targets:
            message.add(change, self.now)
        return change

    def begin_removal(self, folder, uids=None, is_move=False):
        removal = Removal(self.now, folder.modseq, uids, is_move)
        removal.folder = folder
        folder.removals.append(removal)
        return removal

    def begin_creation(self, folder, tokens, flags=None, sources=()):
        creation = Creation(self.now, folder.modseq, tokens, flags, sources)
        folder.begin(creation)
        return creation

    def resolve_unknown(self, state):
        """Long after a drop: what was on its way has arrived, or never will."""
        self.users.subtract(self.unknown_names)
        self.unknown_names = []
        changes, self.unknown = self.unknown, []
        for change in changes:
            self.close_change(change, state)

    # ---- what a message must look like ----

    def check_content(self, words, token, items):
        content = self.contents.get(token)
        require(content is not None, f"{words}: a message nobody sent: {token}")
        if content.size is not None and "RFC822.SIZE" in items:
            require(items["RFC822.SIZE"] == content.size,
                    f"{words}: {token} has size {items['RFC822.SIZE']}, was {content.size}")
        if content.date is not None and "INTERNALDATE" in items:
            expected = content.date.strftime("%d-%b-%Y %H:%M:%S +0000")
            got = items["INTERNALDATE"].decode().strip()
            require(got.rjust(26, "0") == expected,
                    f"{words}: {token} has INTERNALDATE {got}, was {expected}")
        if "BODY[]" in items and content.size is not None:
            require(items["BODY[]"] == content.raw, f"{words}: other bytes of {token}")


