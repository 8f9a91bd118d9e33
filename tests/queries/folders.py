"""The model of one mailbox: its folders, the sessions that look into them, and what changes there."""

import re
import time

from lib.suite import check
from lib.talk import Ended, Talk
from queries.keys import literal
from queries.messages import Maker
from stress.wire import set_numbers, set_text

INBOX = "INBOX"
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "$a", "$b")
CROWD = 200  # in INBOX, above which it is not renamed any more
SHOWN = 1000  # of a command that was not answered


class Session(Talk):
    """saved: the UIDs that its $ stands for; those that are gone are left in it and find nothing."""

    def __init__(self, server, alias, is_rev2):
        super().__init__(server, alias, tls=False, timeout=120)
        self.folder, self.saved = None, frozenset()
        if is_rev2:
            self.do("ENABLE IMAP4rev2")

    def do(self, command):
        try:
            return super().do(command)
        except (Ended, TimeoutError) as error:
            raise AssertionError(f"{command[:SHOWN]!r}: {error}") from error

    def select(self, name):
        """RFC 5182 §2.1: $ is empty then."""
        self.do(f"SELECT {name}")
        self.folder, self.saved = name, frozenset()


class Mailbox:
    """folders: by name, the messages in the order of their UIDs."""

    def __init__(self, server, alias, chance):
        self.server, self.alias, self.chance = server, alias, chance
        self.maker = Maker(chance)
        self.folders = {INBOX: [], "A": [], "B": []}
        self.names = 0  # that were given to folders
        self.sessions = []
        for _ in range(2):
            self.connect()
        for name in ("A", "B"):
            self.sessions[0].do(f"CREATE {name}")
        for session in self.sessions:
            session.select(self.some_name())

    def close(self):
        for session in self.sessions:
            session.close()

    def connect(self):
        self.sessions.append(Session(self.server, self.alias, is_rev2=self.chance.random() < 0.4))
        return self.sessions[-1]

    def some_name(self):
        return self.chance.choice(list(self.folders))

    def some_session(self):
        return self.chance.choice(self.sessions)

    def new_name(self):
        self.names += 1
        return f"N{self.names}"

    def append(self, name, count):
        """All in one command (RFC 3502)."""
        made = [self.maker.message() for _ in range(count)]
        words = []
        for message in made:
            message.flags = {flag for flag in ("\\Seen", "\\Flagged", "$a") if self.chance.random() < 0.3}
            words.append(f"({' '.join(sorted(message.flags))}) \"{message.arrived_text}\" "
                         f"{literal(message.raw.decode())}")
        done = self.some_session().do(f"APPEND {name} {' '.join(words)}")[-1]
        uids = set_numbers(re.search(r"APPENDUID \d+ (\S+)\]", done)[1].encode())
        for message, uid in zip(made, uids, strict=True):
            message.uid = uid
        self.folders[name] += made

    def change(self):
        """Something that a session does, in the folder that it has selected or to another."""
        change = self.chance.choices(list(CHANGES), list(CHANGES.values()))[0]
        change(self, self.some_session())

    # ---- changes ----

    def append_somewhere(self, session):
        self.append(self.some_name(), self.chance.choice((1, 1, 1, 2, 5)))

    def pick(self, session, counts):
        """Some messages of the session's folder, which it then has heard of."""
        messages = self.folders[session.folder]
        session.do("NOOP")
        picked = self.chance.sample(messages, min(len(messages), self.chance.choice(counts)))
        return sorted(picked, key=lambda message: message.uid)

    def store(self, session):
        picked = self.pick(session, (1, 3, 10))
        flag, sign = self.chance.choice(FLAGS), self.chance.choice("+-")
        if picked:
            session.do(f"UID STORE {set_of(picked)} {sign}FLAGS.SILENT ({flag})")
        for message in picked:
            message.flags = message.flags | {flag} if sign == "+" else message.flags - {flag}

    def expunge(self, session):
        messages = self.folders[session.folder]
        if len(messages) > 5:
            session.do("EXPUNGE")
            messages[:] = [message for message in messages if "\\Deleted" not in message.flags]

    def copy(self, session):
        self.copy_or_move(session, "COPY")

    def move(self, session):
        moved = self.copy_or_move(session, "MOVE")
        messages = self.folders[session.folder]
        messages[:] = [message for message in messages if message not in moved]

    def copy_or_move(self, session, command):
        """Those that were copied, which COPYUID names with their new UIDs (RFC 4315 §3)."""
        picked = {message.uid: message for message in self.pick(session, (1, 3, 8))}
        name = self.some_name()
        if not picked:
            return []
        lines = session.do(f"UID {command} {set_of(picked.values())} {name}")
        told = re.search(r"COPYUID \d+ (\S+) (\S+)\]", " ".join(lines))
        check(told is not None, f"{command} without COPYUID: {lines}")
        old, new = (set_numbers(each.encode()) for each in told.groups())
        check(old == sorted(picked), f"COPYUID {told[0]} for {sorted(picked)}")
        copies = [picked[before].copied(after) for before, after in zip(old, new, strict=True)]
        self.folders[name] += copies
        return list(picked.values())

    def rename(self, session):
        old = self.chance.choice([name for name in self.folders if name != INBOX])
        new = self.new_name()
        session.do(f"RENAME {old} {new}")
        self.folders[new] = self.folders.pop(old)
        for each in self.sessions:
            if each.folder == old:
                each.select(new)

    def rename_inbox(self, session):
        """RFC 3501 §6.3.5: its messages move; they have new UIDs then, in their old order."""
        messages = self.folders[INBOX]
        if len(messages) > CROWD:
            return
        new = self.new_name()
        session.do(f"RENAME INBOX {new}")
        self.folders[new], self.folders[INBOX] = messages, []
        for each in self.sessions:
            each.select(new)
        uids = numbers_found(session.do("UID SEARCH ALL"))
        check(len(uids) == len(messages), f"RENAME INBOX moved {len(messages)}, UIDs {uids} are there")
        self.folders[new] = [message.copied(uid) for message, uid in zip(messages, uids)]
        self.append(INBOX, 10)

    def reconnect(self, session):
        self.sessions.remove(session)
        session.close()
        self.connect().select(self.some_name())

    def select(self, session):
        session.select(self.some_name())

    def wait(self, session):
        """Until the index has caught up with what came, or half way there."""
        time.sleep(self.chance.choice((0.02, 0.1, 0.4)))

    def idle(self, session):
        session.done(session.idle())


# What is done between the queries, and how often.
CHANGES = {Mailbox.append_somewhere: 12, Mailbox.store: 8, Mailbox.expunge: 4, Mailbox.copy: 4,
           Mailbox.move: 4, Mailbox.rename: 2, Mailbox.rename_inbox: 1, Mailbox.reconnect: 4,
           Mailbox.select: 4, Mailbox.wait: 2, Mailbox.idle: 1}


def set_of(messages):
    return set_text(message.uid for message in messages).decode()


def numbers_found(lines):
    """What SEARCH found, as IMAP4rev1 and as IMAP4rev2 say it (RFC 9051 §7.3.4)."""
    for line in lines:
        if line.startswith("* SEARCH"):
            return [int(number) for number in line.split()[2:]]
        if line.startswith("* ESEARCH"):
            found = re.search(r" ALL ([\d:,]+)", line)
            return set_numbers(found[1].encode()) if found else []
    raise AssertionError(f"no answer to SEARCH: {lines}")
