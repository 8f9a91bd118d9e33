"""SEARCH keys of the stress test, and which messages they must find (RFC 3501 §6.4.4).

A key is true, false, or None (cannot be known) for a message in a state. A message that is being
changed while the search runs may be found or not.
"""

import datetime

from stress.actions import certain, choose_number, require_ok, settable
from stress.client import Command
from stress.model import require, show
from stress.wire import set_numbers, set_text
from stress.world import SENDERS, WORDS

FLAGS = {"SEEN": "\\Seen", "FLAGGED": "\\Flagged", "ANSWERED": "\\Answered", "DRAFT": "\\Draft",
         "DELETED": "\\Deleted"}


class Key:
    def __init__(self, words, test):
        self.words, self.test = words, test


def flag_key(world):
    chance = world.chance
    if chance.random() < 0.3:
        word = chance.choice([each for each in settable(world, "+") if each[0] != "\\"])
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
        token = f"t{chance.randrange(len(world.contents) + 1)}"
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
        return flag_key(world)
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


# ---- the commands ----

def search(client):
    """SEARCH; with ESEARCH (RFC 4731) sometimes what RETURN asks for, in IMAP4rev2 always."""
    by_number = choose_number(client)
    key = random_key(client)
    options = []
    if "ESEARCH" in client.world.capabilities and client.world.chance.random() < 0.4:
        options = ["ALL", *(word for word in ("MIN", "MAX", "COUNT")
                            if client.world.chance.random() < 0.5)]
    prefix = b"" if by_number else b"UID "
    text = prefix + b"SEARCH " + (
        b"RETURN (%s) " % " ".join(options).encode() if options else b"") + key.words
    client.send(Command((prefix + b"SEARCH").decode(), text, on_search, is_fixed=by_number,
                        by_number=by_number, key=key, options=options))
    return True


def on_search(command, status, code):
    view, options = command.view, command.facts["options"]
    client = view.client
    require_ok(command, status, code, view.folder.is_dying)
    if status != "OK" or view.folder.is_dying:
        return
    word = b"ESEARCH" if options or client.is_rev2 else b"SEARCH"
    answers = [each[1] for each in command.answers if each[0] in (b"ESEARCH", b"SEARCH")]
    require([each[0] for each in command.answers if each[0] in (b"ESEARCH", b"SEARCH")] == [word],
            f"{view.words}: {command.text!r}: not one {word!r}")
    if word == b"ESEARCH":
        found = extended(view, command, answers[0], options or ["ALL"])
    else:
        found = {int(each) for each in answers[0] if not isinstance(each, list)}
        require(b"MODSEQ" not in command.text or not found or isinstance(answers[0][-1], list),
                f"{view.words}: SEARCH MODSEQ without MODSEQ (RFC 7162 §3.1.5)")
    verdict(view, command, command.facts["key"], uids_of(command, found))


def extended(view, command, items, options):
    """The fields of an ESEARCH response, which agree among themselves."""
    require(items[0] == [b"TAG", command.tag], f"{view.words}: ESEARCH {items[0]}, {command.tag!r}")
    rest = items[1:]
    require((rest[:1] == [b"UID"]) == (not command.by_number), f"{view.words}: ESEARCH {items}")
    rest = rest if command.by_number else rest[1:]
    fields = dict(zip((name.upper() for name in rest[::2]), rest[1::2]))
    found = set_numbers(fields[b"ALL"]) if b"ALL" in fields else []
    require(b"COUNT" not in fields or int(fields[b"COUNT"]) == len(found),
            f"{view.words}: ESEARCH {items}: not {len(found)}")
    for name, pick in ((b"MIN", min), (b"MAX", max)):
        require((name in fields) == (name.decode() in options and bool(found)),
                f"{view.words}: ESEARCH {items}: {name!r} for {options}")
        require(name not in fields or int(fields[name]) == pick(found),
                f"{view.words}: ESEARCH {items}: {name!r} is not {pick(found) if found else None}")
    require((b"COUNT" in fields) == ("COUNT" in options), f"{view.words}: ESEARCH {items}: COUNT")
    return set(found)


def uids_of(command, found):
    """Results as UIDs: numbers are those of the moment of the answer."""
    if not command.by_number:
        return found
    uids = command.facts["then"]
    require(all(1 <= number <= len(uids) for number in found),
            f"{command.view.words}: {command.text!r} found {sorted(found)[-5:]} of {len(uids)}")
    return {uids[number - 1] for number in found} - {None}


def save(client):
    """SEARCH RETURN (SAVE), and at once a FETCH of $ (RFC 5182 §2.1)."""
    if "SEARCHRES" not in client.world.capabilities:
        return False
    view = client.view
    key = random_key(client)

    def on_saved(command, status, code):
        require_ok(command, status, code, view.folder.is_dying)

    def on_fetched(command, status, code):
        require_ok(command, status, code, view.folder.is_dying)
        if status == "OK" and not view.folder.is_dying:
            # Untagged changes come as well: only who is missing can be judged.
            command.facts["then"] = [uid for uid in view.uids if uid is not None and (
                uid in command.told_uids or certain_to_match(view, key, uid, search_sent))]
            verdict(view, command, key, {uid for uid in command.facts["then"] if uid in
                                         command.told_uids or
                                         not certain_to_match(view, key, uid, search_sent)})

    search_sent = client.world.now
    view.facts["has_saved"] = True
    client.send(Command("UID SEARCH SAVE", b"UID SEARCH RETURN (SAVE) " + key.words, on_saved))
    client.send(Command("UID FETCH $", b"UID FETCH $ (UID)", on_fetched))
    return True


def certain_to_match(view, key, uid, sent):
    message = view.message(uid)
    return (message is not None and certain([message]) and message.is_stable_since(sent) and
            None not in message.base and
            {key.test(message, flags, view) for flags in message.base} == {True})


# What SORT (RFC 5256 §3) goes by; None: the model does not know.
ORDERS = {
    "ARRIVAL": lambda content: content.date,
    "DATE": lambda content: content.day,
    "SIZE": lambda content: content.size,
    "SUBJECT": lambda content: f"{content.token} {' '.join(content.words)}".upper(),
    "FROM": lambda content: content.sender.upper(),
}


def sort(client):
    if "SORT" not in client.world.capabilities:
        return False
    world, view = client.world, client.view
    by_number = choose_number(client)
    key = random_key(client)
    name = world.chance.choice(sorted(ORDERS))
    is_reversed = world.chance.random() < 0.4
    prefix = b"" if by_number else b"UID "
    text = b"%sSORT (%s%s) UTF-8 %s" % (prefix, b"REVERSE " if is_reversed else b"",
                                        name.encode(), key.words)

    def on_done(command, status, code):
        require_ok(command, status, code, view.folder.is_dying)
        if status != "OK" or view.folder.is_dying:
            return
        answers = [each[1] for each in command.answers if each[0] == b"SORT"]
        require(len(answers) == 1, f"{view.words}: {len(answers)} SORT responses")
        numbers = [int(each) for each in answers[0] if not isinstance(each, list)]
        require(len(set(numbers)) == len(numbers), f"{view.words}: SORT repeats {numbers}")
        found = uids_of(command, set(numbers))
        verdict(view, command, key, found)
        uids = numbers if not by_number else [command.facts["then"][n - 1] for n in numbers]
        check_order(view, command, name, is_reversed, uids)

    client.send(Command((prefix + b"SORT").decode(), text, on_done, is_fixed=by_number,
                        by_number=by_number))
    return True


def check_order(view, command, name, is_reversed, uids):
    rows = []
    for uid in uids:
        message = view.message(uid) if uid is not None else None
        value = ORDERS[name](view.client.world.contents[message.token]) if message else None
        if value is not None:
            rows.append((value, uid))
    for (one, first), (two, second) in zip(rows, rows[1:]):
        # Equal ones stay in the order of the mailbox, REVERSE or not.
        right = first < second if one == two else (one > two) == is_reversed
        require(right, f"{view.words}: {command.text!r}: UID {first} ({one}) stands before UID "
                f"{second} ({two})")
