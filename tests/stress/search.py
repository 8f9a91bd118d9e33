"""SEARCH keys of the stress test, and which messages they must find (RFC 3501 §6.4.4).

A key is true, false, or None (cannot be known) for a message in a state. A message that is being
changed while the search runs may be found or not.
"""

import datetime

from stress.model import require, show
from stress.wire import set_text
from stress.world import SENDERS, WORDS

FLAGS = {"SEEN": "\\Seen", "FLAGGED": "\\Flagged", "ANSWERED": "\\Answered", "DRAFT": "\\Draft",
         "DELETED": "\\Deleted"}


class Key:
    def __init__(self, words, test):
        self.words, self.test = words, test

    def text(self, client):
        return self.words


def flag_key(chance):
    if chance.random() < 0.3:
        word = chance.choice(("$Work", "$Later"))
        if chance.random() < 0.5:
            return Key(b"KEYWORD " + word.encode(), lambda m, f, v: word in f)
        return Key(b"UNKEYWORD " + word.encode(), lambda m, f, v: word not in f)
    word, flag = chance.choice(sorted(FLAGS.items()))
    if chance.random() < 0.5:
        return Key(word.encode(), lambda m, f, v: flag in f)
    return Key(b"UN" + word.encode(), lambda m, f, v: flag not in f)


def content_key(chance, world):
    which = chance.randrange(5)
    if which == 0:
        word = chance.choice(WORDS)
        part = word[:chance.randint(2, len(word))] if chance.random() < 0.5 else word.upper()
        return Key(b"SUBJECT " + part.encode(), lambda m, f, v: part.lower() in
                   f"{m.token} {' '.join(world.contents[m.token].words)}")
    if which == 1:
        sender = chance.choice(SENDERS)
        return Key(b"FROM " + sender.encode(),
                   lambda m, f, v: world.contents[m.token].sender == sender)
    if which == 2:
        token = chance.choice(sorted(world.contents)) if world.contents else "t0"
        return Key(b'BODY "body of %s."' % token.encode(), lambda m, f, v: m.token == token)
    day = datetime.date(2025, chance.randint(1, 12), chance.randint(1, 28))
    text = day.strftime("%d-%b-%Y").encode()
    if which == 3:
        how = chance.choice((b"SENTSINCE", b"SENTBEFORE", b"SENTON"))
        return Key(how + b" " + text, lambda m, f, v: compare(how[4:],
                                                              world.contents[m.token].day, day))
    day = day.replace(year=2024)
    text = day.strftime("%d-%b-%Y").encode()
    how = chance.choice((b"SINCE", b"BEFORE", b"ON"))

    def by_date(message, flags, view):
        date = world.contents[message.token].date
        # Delivered today, whatever the copies' dates: not one of 2024.
        return compare(how, date.date() if date else datetime.date(2026, 1, 1), day)

    return Key(how + b" " + text, by_date)


def compare(how, mine, asked):
    return {b"SINCE": mine >= asked, b"BEFORE": mine < asked, b"ON": mine == asked}[how]


def size_key(chance, world):
    limit = chance.choice((300, 500, 1000, 2200))
    is_larger = chance.random() < 0.5

    def test(message, flags, view):
        size = world.contents[message.token].size
        if size is None:
            return None
        return size > limit if is_larger else size < limit

    return Key(b"%s %d" % (b"LARGER" if is_larger else b"SMALLER", limit), test)


def set_key(chance, client):
    view = client.view
    uids = [uid for uid in view.uids if uid is not None and uid in view.folder.messages]
    if not uids:
        return Key(b"ALL", lambda m, f, v: True)
    chosen = set(chance.sample(uids, min(len(uids), chance.randint(1, 20))))
    return Key(b"UID " + set_text(chosen), lambda m, f, v: m.uid in chosen)


def modseq_key(chance, view):
    asked = chance.choice(sorted(view.modseqs.values()))

    def test(message, flags, view):
        if message.top >= asked:
            return True
        return False if message.top_is_exact else None

    return Key(b"MODSEQ %d" % asked, test)


def random_key(client, depth=0):
    world, view = client.world, client.view
    chance = world.chance
    which = chance.random()
    if depth < 2 and which < 0.15:
        left, right = random_key(client, depth + 1), random_key(client, depth + 1)
        return Key(b"OR (%s) (%s)" % (left.words, right.words),
                   lambda m, f, v: either(left.test(m, f, v), right.test(m, f, v)))
    if depth < 2 and which < 0.3:
        left, right = random_key(client, depth + 1), random_key(client, depth + 1)
        return Key(left.words + b" " + right.words,
                   lambda m, f, v: both(left.test(m, f, v), right.test(m, f, v)))
    if depth < 3 and which < 0.4:
        inner = random_key(client, depth + 1)
        return Key(b"NOT (%s)" % inner.words, lambda m, f, v: opposite(inner.test(m, f, v)))
    if which < 0.6:
        return flag_key(chance)
    if which < 0.8:
        return content_key(chance, world)
    if which < 0.85:
        return size_key(chance, world)
    if which < 0.92 and client.is_condstore and view.modseqs:
        return modseq_key(chance, view)
    return set_key(chance, client)


def either(left, right):
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def both(left, right):
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def opposite(value):
    return None if value is None else not value


def verdict(view, command, key, found):
    """`found`: UIDs. Every message in view that was quiet meanwhile is judged."""
    uids = command.facts["then"]
    for uid in uids:
        message = view.message(uid) if uid is not None else None
        if message is None or message.gone_at is not None or \
                view.folder.may_be_gone(message) or \
                not message.is_stable_since(command.sent) or None in message.base:
            continue
        answers = {key.test(message, flags, view) for flags in message.base}
        if answers == {True}:
            require(uid in found, f"{view.words}: {command.text!r} does not find {message!r}, which "
                    f"has {' or '.join(map(show, message.base))}, MODSEQ {message.top}")
        elif answers == {False}:
            require(uid not in found, f"{view.words}: {command.text!r} finds {message!r}, which "
                    f"has {' or '.join(map(show, message.base))}, MODSEQ {message.top}")
    for uid in found:
        require(uid in uids or None in uids,
                f"{view.words}: {command.text!r} finds UID {uid}, which is not in its view")
