"""Search keys at random (RFC 3501 §6.4.4), each with its meaning."""

import datetime
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from queries.casemap import folded
from queries.messages import ARRIVED_FROM, SENT_FROM, WORDS, day_text

FLAGS = {"SEEN": "\\Seen", "FLAGGED": "\\Flagged", "DELETED": "\\Deleted", "ANSWERED": "\\Answered"}
TEXTS = ("SUBJECT", "FROM", "TO", "CC", "BODY", "BODY")
# What PCRE2 and Python's re take for the same.
PATTERNS = ("^plan", "b.t", "a+l", "(alpha|beta) (the|of)", "\\bplan\\b", "^$", "\\d\\d\\.", "[^ -~]",
            "re *:", "x.y", "^the", "of$")
WORD = re.compile("[A-Za-z0-9\u0080-\U0010ffff]+")
REMEMBERED = 12
DEEP = 4  # of a tree


class Key(NamedTuple):
    text: str
    test: Callable  # whether a message, with its message sequence number, is found


ALL = Key("ALL", lambda message, number: True)


def literal(text):
    """LITERAL+ (RFC 7888 §4): nothing in it needs an escape."""
    return f"{{{len(text.encode())}+}}\r\n{text}"


def comparing(mine, how, asked):
    return {"ON": mine == asked, "BEFORE": mine < asked, "SINCE": mine >= asked}[how]


class Keys:
    """For a folder's messages: most of what is asked for is found in some of them."""

    def __init__(self, chance: random.Random, remembered, messages, saved=None):
        """saved: the UIDs that $ stands for; None: numbers and $ have no meaning in what is asked
        (RFC 7377 §2.1)."""
        self.chance, self.remembered, self.messages, self.saved = chance, remembered, messages, saved

    def tree(self, depth=0):
        which = self.chance.random() if depth < DEEP else 1
        if which < 0.2:
            one, other = self.tree(depth + 1), self.tree(depth + 1)
            return Key(f"OR {one.text} {other.text}", lambda *each: one.test(*each) or other.test(*each))
        if which < 0.35:
            inner = self.tree(depth + 1)
            return Key(f"NOT {inner.text}", lambda *each: not inner.test(*each))
        if which < 0.5:
            keys = [self.tree(depth + 1) for _ in range(self.chance.choice((1, 2, 3)))]
            return Key(f"({' '.join(key.text for key in keys)})",
                       lambda *each: all(key.test(*each) for key in keys))
        return self.leaf()

    def leaf(self):
        kinds = [Keys.text] * 5 + [Keys.flag, Keys.keyword, Keys.sent, Keys.arrived, Keys.size, Keys.header]
        if self.messages:
            kinds += [Keys.fuzzy, Keys.pattern]
            if self.saved is not None:
                kinds += [Keys.numbers, Keys.numbers_to_last, Keys.uids, Keys.uids_to_last, Keys.uid_bound,
                          Keys.result]
        return self.chance.choice(kinds)(self)

    # ---- texts ----

    def some_text(self, name):
        return self.chance.choice(self.messages).texts[name] if self.messages else ""

    def text(self):
        """What is asked again is answered from what the index remembers of the first time."""
        chance = self.chance
        if chance.random() < 0.5:
            name, part = chance.choice(self.remembered)
        else:
            name = chance.choice(TEXTS)
            whole = (self.some_text(name) if chance.random() < 0.7 else "") or chance.choice(WORDS)
            at = chance.randrange(len(whole))
            part = whole[at:at + chance.choice((1, 2, 4, 8))]
            self.remembered.append((name, part))
            del self.remembered[:-REMEMBERED]
        wanted = folded(part)
        return Key(f"{name} {literal(part)}", lambda message, number: wanted in folded(message.texts[name]))

    def fuzzy(self):
        """RFC 6203; here a text is found that has all the words, in any order."""
        chance = self.chance
        name = chance.choice(("SUBJECT", "BODY", "FROM"))
        words = [word[chance.randrange(len(word)):][:5] for word in WORD.findall(self.some_text(name))]
        if not words:
            return ALL
        words = chance.sample(words, min(3, len(words)))
        asked = chance.choice((" ", ", ", "--")).join(words)
        return Key(f"FUZZY {name} {literal(asked)}", lambda message, number:
                   all(folded(word) in folded(message.texts[name]) for word in words))

    def pattern(self):
        """REGEX (docs/xregex.md) looks at a body with its line ends, the other keys at its words."""
        name, pattern = self.chance.choice(("SUBJECT", "BODY", "FROM")), self.chance.choice(PATTERNS)
        compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
        return Key(f"REGEX {name} {literal(pattern)}", lambda message, number: compiled.search(
            message.lines if name == "BODY" else message.texts[name]) is not None)

    def header(self):
        chance = self.chance
        name = chance.choice(("Message-ID", "References", "Subject", "X-None", "Date"))
        part = chance.choice(("", "", "i1", "x", f"i{chance.randrange(1, 300)}@", "ghost", "2015", "Jan",
                              "dup@x", "<"))
        wanted = folded(part)
        return Key(f'HEADER {name} "{part}"', lambda message, number:
                   any(wanted in folded(text) for text in message.field(name)))

    # ---- flags, dates, sizes ----

    def flag(self):
        name, flag = self.chance.choice(list(FLAGS.items()))
        if self.chance.random() < 0.5:
            return Key(name, lambda message, number: flag in message.flags)
        return Key(f"UN{name}", lambda message, number: flag not in message.flags)

    def keyword(self):
        word = self.chance.choice(("$a", "$b", "nokw"))
        if self.chance.random() < 0.5:
            return Key(f"KEYWORD {word}", lambda message, number: word in message.flags)
        return Key(f"UNKEYWORD {word}", lambda message, number: word not in message.flags)

    def sent(self):
        days = self.chance.choice((0, 1, 30, self.chance.randrange(800)))
        day = SENT_FROM.date() + datetime.timedelta(days)
        how = self.chance.choice(("ON", "BEFORE", "SINCE"))
        return Key(f"SENT{how} {day_text(day)}", lambda message, number:
                   message.sent_day is not None and comparing(message.sent_day, how, day))

    def arrived(self):
        day = ARRIVED_FROM.date() + datetime.timedelta(self.chance.randrange(-1, 31))
        how = self.chance.choice(("ON", "BEFORE", "SINCE"))
        return Key(f"{how} {day_text(day)}", lambda message, number: comparing(message.arrived_day, how, day))

    def size(self):
        limit = self.chance.choice((0, 1, 100, 200, 250, 300, 400, 5000))
        if self.chance.random() < 0.5:
            return Key(f"LARGER {limit}", lambda message, number: message.size > limit)
        return Key(f"SMALLER {limit}", lambda message, number: message.size < limit)

    # ---- numbers, UIDs and $ ----

    def numbers(self):
        one, other = (self.chance.randint(1, len(self.messages)) for _ in range(2))
        return Key(f"{one}:{other}", lambda message, number: min(one, other) <= number <= max(one, other))

    def numbers_to_last(self):
        """* is the last, also where the other one lies behind it (RFC 3501 §9, seq-range)."""
        last = len(self.messages)
        first = self.chance.choice((1, last, last + 5, max(1, last - 3)))
        return Key(f"{first}:*", lambda message, number: number >= min(first, last))

    def uids(self):
        count = min(len(self.messages), self.chance.randint(1, 5))
        uids = sorted(message.uid for message in self.chance.sample(self.messages, count))
        return Key(f"UID {','.join(map(str, uids))}", lambda message, number: message.uid in uids)

    def uids_to_last(self):
        first = self.chance.choice(self.messages).uid + self.chance.choice((0, 1, 100_000))
        last = self.messages[-1].uid
        return Key(f"UID {first}:*", lambda message, number: message.uid >= min(first, last))

    def uid_bound(self):
        """RFC 9738 §3."""
        uid = self.chance.choice(self.messages).uid
        if self.chance.random() < 0.5:
            return Key(f"UIDAFTER {uid}", lambda message, number: message.uid > uid)
        return Key(f"UIDBEFORE {uid}", lambda message, number: message.uid < uid)

    def result(self):
        """RFC 5182."""
        saved = self.saved
        return Key("$", lambda message, number: message.uid in saved)
