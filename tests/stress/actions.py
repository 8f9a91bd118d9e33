"""The commands on messages that a client can send, and what their answers must be.

Each action takes the client and gives False when it cannot be done now. None looks at the server's
code: what is expected comes from the model and the RFC named beside the check.
"""

from stress.client import Command
from stress.model import DONE, FAILED, OPEN, RESOLVED, require
from stress.wire import set_numbers, set_text

SETTABLE = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Work", "$Later")
STORES_A_TAG = 8  # then there is another one: in all many more than a mailbox has keywords
CROWD = 120   # messages of a folder above which nobody adds to it
OVERLAPS = 3  # changes of one message under way at a time
LOOK = "UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)]"


def settable(world, how):
    """What a STORE may name: besides, tags of now, or to take away, those of before."""
    newest = world.stores // STORES_A_TAG
    tags = range(max(newest - (20 if how == "-" else 1), 0), newest + 1)
    return SETTABLE + tuple(f"tag{number}" for number in tags)


def quiet(client):
    return not client.outstanding


def can_use_numbers(client):
    """RFC 3501 §5.5: not behind a command that may bring EXPUNGE; UIDONLY has none at all."""
    return not client.is_uidonly and all(each.is_fixed for each in client.outstanding)


def known(client, free=True):
    """The messages in view that the model knows; with `free` those that may be changed."""
    view = client.view
    found = []
    for uid in view.uids:
        message = view.message(uid) if uid is not None else None
        if message is None or message.gone_at is not None:
            continue
        if not free or (len(message.changes) < OVERLAPS and
                        all(change.state == OPEN or change.state == DONE
                            for change in message.changes)):
            found.append(message)
    return found


def some(client, most=5, free=True):
    messages = known(client, free)
    if not messages:
        return []
    chance = client.world.chance
    return sorted(chance.sample(messages, min(len(messages), chance.randint(1, most))),
                  key=lambda message: message.uid)


def set_of(client, messages, by_number):
    """The set as numbers or as UIDs; the command's prefix."""
    if by_number:
        numbers = [client.view.uids.index(message.uid) + 1 for message in messages]
        return b"", set_text(numbers)
    return b"UID ", set_text(message.uid for message in messages)


def choose_number(client):
    return can_use_numbers(client) and client.world.chance.random() < 0.5


def certain(messages):
    """Those that cannot have been expunged meanwhile."""
    return [message for message in messages
            if message.gone_at is None and not message.folder.may_be_gone(message)
            and not message.folder.is_dying]


def certain_but_for(removal, messages):
    """Those that nobody but this command can have removed."""
    return [message for message in messages
            if message.gone_at is None and not message.maybe_gone and not message.folder.is_dying
            and not any(each is not removal and each.may_cover(message)
                        for each in message.folder.removals)]


def require_told(command, messages, told, what):
    missing = [message for message in certain(messages) if message.uid not in told]
    require(not missing, f"{command.view.words}: {command.name} said nothing about {what} of "
            f"{missing[:5]}")


def require_ok(command, status, code, excused):
    require(status == "OK" or excused, f"{command.tag!r} {command.name}: {status} {code}")


# ---- looking ----

def look(client):
    """Fetches what makes the new messages known."""
    view = client.view
    numbers = view.unknown_numbers()
    if not numbers or any(each.name.endswith("LOOK") for each in client.outstanding):
        return False
    items = LOOK + (" MODSEQ" if client.is_condstore else "")
    if choose_number(client):
        text = b"FETCH %s (%s)" % (set_text(numbers), items.encode())
        client.send(Command("FETCH LOOK", text, on_look, is_fixed=True, by_number=True,
                            numbers=numbers))
    else:
        first = max((uid for uid in view.uids[:numbers[0] - 1] if uid is not None), default=0) + 1
        text = b"UID FETCH %d:* (%s)" % (first, items.encode())
        client.send(Command("UID FETCH LOOK", text, on_look, numbers=[]))
    return True


def on_look(command, status, code):
    view = command.view
    require_ok(command, status, code, True)
    looked_at = set()
    for _, _, uid, items in fetched(command):
        note_content(view, uid, items)
        looked_at.add(uid)
    if command.facts["numbers"] and status == "OK" and not view.folder.is_dying:
        for number in command.facts["numbers"]:
            if number <= len(view.uids):
                uid = view.uids[number - 1]
                message = view.message(uid) if uid is not None else None
                require(uid in looked_at or (message is None and view.folder.removals) or
                        (message is not None and not certain([message])),
                        f"{view.words}: FETCH said nothing about number {number}")


def fetched(command):
    return [answer for answer in command.answers if answer[0] == b"FETCH"]


def note_content(view, uid, items):
    """A FETCH answer with the subject: which message is it?"""
    subject = items.get("BODY[HEADER.FIELDS (SUBJECT)]")
    if subject is None:
        return None
    require(subject.startswith(b"Subject: t"), f"{view.words}: subject {subject!r} of UID {uid}")
    token = subject.split()[1].decode()
    world = view.client.world
    message = view.folder.seen(uid, token, world.now, view.words)
    world.check_content(view.words, token, items)
    if "FLAGS" in items and "MODSEQ" in items and message.gone_at is None:
        message.told_version(items["MODSEQ"], items["FLAGS"] - {"\\Recent"}, -1, world.now,
                             view.words)
    return message


def fetch_flags(client):
    messages = known(client, free=False) if client.world.chance.random() < 0.2 else \
        some(client, 8, free=False)
    if not messages:
        return False
    by_number = choose_number(client)
    prefix, text = set_of(client, messages, by_number)
    items = b"(UID FLAGS MODSEQ)" if client.is_condstore else b"(FLAGS UID)"

    def on_done(command, status, code):
        require_ok(command, status, code, len(certain(messages)) < len(messages))
        require_told(command, messages, command.told_flags, "the flags")

    client.send(Command((prefix + b"FETCH").decode(), prefix + b"FETCH " + text + b" " + items,
                        on_done, is_fixed=by_number, by_number=by_number))
    return True


def fetch_body(client):
    """The same bytes; BODY[] without PEEK sets \\Seen (RFC 3501 §6.4.5)."""
    messages = some(client, 2)
    if not messages:
        return False
    world, view = client.world, client.view
    sets_seen = world.chance.random() < 0.4
    by_number = choose_number(client)
    prefix, text = set_of(client, messages, by_number)
    changes = ()
    if sets_seen and not view.is_read_only:
        changes = (world.begin_flags(view.folder, messages, "+", ("\\Seen",)),)

    def on_done(command, status, code):
        require_ok(command, status, code, len(certain(messages)) < len(messages))
        for change in changes:
            world.close_change(change, DONE if status == "OK" else RESOLVED)
        got = set()
        for _, _, uid, items in fetched(command):
            message = view.message(uid) if uid is not None else None
            if message is not None and "BODY[]" in items:
                got.add(uid)
                world.check_content(view.words, message.token, items)
        require_told(command, messages, got, "the body")

    part = b"BODY[]" if sets_seen else b"BODY.PEEK[]"
    client.send(Command((prefix + b"FETCH").decode(), b"%sFETCH %s (UID %s)" % (prefix, text, part),
                        on_done, is_fixed=by_number, by_number=by_number, changes=changes))
    return True


def fetch_changed(client):
    """CHANGEDSINCE (RFC 7162 §3.1.4.1): all that changed, and nothing else."""
    view, world = client.view, client.world
    if not client.is_condstore or not view.modseqs:
        return False
    since = world.chance.choice(sorted(view.modseqs.values()))
    by_number = choose_number(client)
    must, must_not = [], []
    for message in known(client, free=False):
        if message.changes:
            continue
        if message.top > since:
            must.append(message)
        elif message.top_is_exact and view.modseqs.get(message.uid) == message.top and \
                view.known.get(message.uid) == message.base:
            must_not.append((message, message.changed_at))

    def on_done(command, status, code):
        require_ok(command, status, code, True)
        if status == "OK":
            require_told(command, must, command.told_uids, f"the change after {since}")
        for message, changed_at in must_not:
            require(message.uid not in command.told_uids or message.changes or
                    message.changed_at != changed_at or view.folder.may_be_gone(message),
                    f"{view.words}: {message!r} is at MODSEQ {message.top}, but CHANGEDSINCE "
                    f"{since} lists it")
        for answer in command.answers:
            if answer[0] == b"VANISHED":
                there = [m for m in map(view.message, answer[1])
                         if m is not None and m in certain([m]) and not view.folder.was_removable(m)]
                require(not there, f"{view.words}: VANISHED (EARLIER) names {there[:5]}")

    wants_vanished = False
    if by_number:
        text = b"FETCH 1:* (UID FLAGS) (CHANGEDSINCE %d)" % since
        if not view.uids:
            return False
    else:
        wants_vanished = client.is_qresync and world.chance.random() < 0.5
        text = b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d%s)" % (
            since, b" VANISHED" if wants_vanished else b"")
    client.send(Command("FETCH" if by_number else "UID FETCH", text, on_done, is_fixed=by_number,
                        by_number=by_number, wants_vanished=wants_vanished))
    return True


def noop(client):
    client.send(Command(client.world.chance.choice(("NOOP", "CHECK")), b"NOOP"))
    return True


def idle(client):
    if not quiet(client):
        return False
    client.send(Command("IDLE", b"IDLE", follow=b""))
    return True


# ---- changing ----

def store(client):
    view, world = client.view, client.world
    chance = world.chance
    if view.is_read_only:
        return False
    messages = some(client, 6)
    if not messages:
        return False
    by_number = choose_number(client)
    prefix, text = set_of(client, messages, by_number)
    how = chance.choice(("+", "+", "-", "-", "="))
    flags = chance.sample(settable(world, how), chance.randint(0 if how == "=" else 1, 3))
    world.stores += 1
    crowded = len(view.uids) > CROWD / 2
    if chance.random() < (0.5 if crowded else 0.15):
        how, flags = chance.choice("+++=-"), ["\\Deleted"]
    since = None
    if client.is_condstore and view.modseqs and chance.random() < 0.3:
        # Old enough to fail for some, new enough to succeed for others.
        since = chance.choice(sorted(view.modseqs.values())[-8:])
    is_silent = chance.random() < 0.4
    change = world.begin_flags(view.folder, messages, how, flags, since)
    words = b"%sSTORE %s %s%sFLAGS%s (%s)" % (
        prefix, text, b"(UNCHANGEDSINCE %d) " % since if since is not None else b"",
        b"" if how == "=" else how.encode(), b".SILENT" if is_silent else b"",
        " ".join(flags).encode())
    client.send(Command((prefix + b"STORE").decode(), words, on_store, is_fixed=by_number,
                        by_number=by_number, changes=(change,), messages=messages,
                        is_silent=is_silent))
    return True


def on_store(command, status, code):
    view, change, messages = command.view, command.changes[0], command.facts["messages"]
    world = view.client.world
    if status == "NO" and code and code[0] == b"LIMIT":
        # Messages have as many keywords as there can be: nothing was done.
        require(any(flag.startswith("tag") for flag in change.flags) and change.how != "-",
                f"{view.words}: no room for {sorted(change.flags)}")
        world.counts["STORE without room for a keyword"] += 1
        world.close_change(change, FAILED)
        return
    require_ok(command, status, code, len(certain(messages)) < len(messages))
    if code and code[0] == b"MODIFIED":
        require(change.unchanged_since is not None, f"{view.words}: MODIFIED without UNCHANGEDSINCE")
        numbers = set_numbers(code[1])
        change.modified = {view.uids[number - 1] for number in numbers} if command.by_number \
            else set(numbers)
        wanted = {message.uid for message in messages}
        require(change.modified <= wanted, f"{view.words}: MODIFIED {code[1]} for {wanted}")
    for message in messages:
        check_condition(view, command, change, message)
    # On NO some were expunged, and the others may have been changed or not (RFC 2180 §4.2).
    world.close_change(change, DONE if status == "OK" else RESOLVED)
    stored = [message for message in messages if message.uid not in change.modified]
    if status == "OK" and (not command.facts["is_silent"] or view.client.is_condstore):
        told = command.told_uids if command.facts["is_silent"] else command.told_flags
        if command.by_number and not view.client.is_condstore:
            told = told | {view.uids[each[1] - 1] for each in fetched(command) if each[1]}
        require_told(command, stored, told, "what it stored")
    for message in stored:
        if command.facts["is_silent"] or status != "OK":
            view.silent_store(message.uid, change, message.uid in command.told_flags)


def check_condition(view, command, change, message):
    """UNCHANGEDSINCE (RFC 7162 §3.1.3), where nobody else was at the message."""
    if change.unchanged_since is None or message.gone_at is not None:
        return
    top, is_exact = change.before[message.uid]
    if not is_exact or len(message.changes) != 1 or message.folder.may_be_gone(message):
        return
    failed = message.uid in change.modified
    require(failed == (top > change.unchanged_since),
            f"{view.words}: {message!r} is at MODSEQ {top}: UNCHANGEDSINCE "
            f"{change.unchanged_since} {'failed' if failed else 'succeeded'}")


def expunge(client):
    view, world = client.view, client.world
    if view.is_read_only or view.folder.is_dying:
        return False
    if world.chance.random() < 0.5:
        removal = world.begin_removal(view.folder)
        client.send(Command("EXPUNGE", b"EXPUNGE", on_expunge, changes=(removal,)))
        return True
    messages = some(client, 20, free=False)
    if not messages:
        return False
    removal = world.begin_removal(view.folder, {message.uid for message in messages})
    client.send(Command("UID EXPUNGE", b"UID EXPUNGE " + set_text(removal.uids), on_expunge,
                        changes=(removal,)))
    return True


def on_expunge(command, status, code):
    view, removal = command.view, command.changes[0]
    require_ok(command, status, code, view.folder.is_dying)
    view.folder.removed(removal, DONE if status == "OK" else RESOLVED, view.client.world.now)
    if command.name != "CLOSE":
        left = [uid for uid in view.known_uids() if view.message(uid) is not None and
                view.message(uid).gone_at == view.client.world.now]
        require(not left or view.folder.is_dying,
                f"{view.words}: {left[:10]} were \\Deleted, and EXPUNGE did not announce them")


def copy(client):
    return copy_or_move(client, False)


def move(client):
    return not client.view.is_read_only and copy_or_move(client, True)


def copy_or_move(client, is_move):
    view, world = client.view, client.world
    chance = world.chance
    name = chance.choice(world.usable_names())
    target = world.folders[name]
    if view.folder.is_dying or len(target.alive()) > CROWD:
        return False
    if is_move and target is view.folder:
        return False
    messages = some(client, 4, free=False)
    if not messages:
        return False
    by_number = choose_number(client)
    prefix, text = set_of(client, messages, by_number)
    creation = world.begin_creation(target, [message.token for message in messages],
                                    sources=messages)
    changes = (creation,)
    if is_move:
        removal = world.begin_removal(view.folder, {m.uid for m in messages}, is_move=True)
        changes = (creation, removal)
    verb = b"MOVE" if is_move else b"COPY"
    client.send(Command((prefix + verb).decode(),
                        b"%s%s %s %s" % (prefix, verb, text, name.encode()), on_copy,
                        by_number=by_number, changes=changes, names=(name,), target=target,
                        messages=messages))
    return True


def on_copy(command, status, code):
    """COPYUID pairs old and new (RFC 4315 §3); MOVE gives it untagged (RFC 6851 §4.3)."""
    view, target, messages = command.view, command.facts["target"], command.facts["messages"]
    world, creation = view.client.world, command.changes[0]
    is_move = len(command.changes) > 1
    for answer in command.answers:
        if answer[0] == b"COPYUID":
            code = answer[1]
    sure = certain_but_for(command.changes[1], messages) if is_move else certain(messages)
    require_ok(command, status, code, len(sure) < len(messages))
    moved = []
    if code and code[0] == b"COPYUID":
        target.told_uidvalidity(int(code[1]), view.words)
        old, new = set_numbers(code[2]), set_numbers(code[3])
        require(len(old) == len(new), f"{view.words}: {code}")
        require(new == sorted(new), f"{view.words}: new UIDs out of order: {code}")
        by_uid = {message.uid: message for message in messages}
        for source, uid in zip(old, new):
            require(source in by_uid, f"{view.words}: COPYUID {code}: {source} was not asked for")
            target.created(creation, uid, by_uid[source].token, world.now, view.words)
            moved.append(by_uid[source])
        require(not command.by_number or len(moved) == len(messages),
                f"{view.words}: {command.name} by number left out some: {code}")
    elif status == "OK":
        require(not certain(messages) or view.folder.is_dying, f"{view.words}: no COPYUID: {code}")
    creation.finish(DONE if moved else FAILED, world.now)
    creation.left.clear()
    if is_move:
        left_behind = [m for m in messages if m not in moved]
        for message in moved:
            view.folder.told_gone(message.uid, world.now, view.words)
            require(message.uid not in view.uids or view.folder.is_dying,
                    f"{view.words}: {message!r} was moved, and no EXPUNGE says so")
        removal = command.changes[1]
        removal.uids = {message.uid for message in moved}
        removal.finish(DONE, world.now)
    else:
        left_behind = [m for m in messages if m not in moved]
    if status == "OK":
        require(not certain(left_behind), f"{view.words}: {command.name} left out "
                f"{certain(left_behind)[:5]}")
