"""The commands on folders, and what their answers must be."""

from stress.actions import certain_but_for, look, on_expunge, quiet, require_ok
from stress.client import Command
from stress.model import DONE, FAILED, RESOLVED, Folder, require
from stress.view import View
from stress.wire import set_text
from stress.world import CHURN, MAIN


def select(client):
    world = client.world
    if not quiet(client):
        return False
    names = world.usable_names()
    chance = world.chance
    name = chance.choice(names) if chance.random() < 0.35 else \
        "INBOX" if chance.random() < 0.75 else "Work"
    open_folder(client, name, chance.random() < 0.12)
    return True


def open_folder(client, name, is_read_only):
    folder = client.world.folders[name]
    view = View(client, folder, is_read_only, client.world.now)
    verb = "EXAMINE" if is_read_only else "SELECT"
    text = f"{verb} {name}"
    old, is_limited = None, False
    if client.is_qresync and folder.uidvalidity is not None and client.world.chance.random() < 0.9:
        old = client.remembered.get(folder)
    if old is not None:
        words = resynchronise(client, old)
        is_limited = words.count(" ") > 2  # there is more than UIDVALIDITY and MODSEQ
        text += f" ({words})"
        client.world.counts["resynchronisations"] += 1
        if not old.folder.modseq > old.facts["HIGHESTMODSEQ"]:
            client.world.counts["... with nothing new"] += 1
    elif "CONDSTORE" in client.profile and not client.is_condstore:
        text += " (CONDSTORE)"
        client.is_condstore = True
    client.send(Command(verb, text.encode(), on_select, names=(name,), new_view=view,
                        old_view=old, is_limited=is_limited, wants_vanished=old is not None,
                        least_uidnext=folder.min_uidnext, modseq=folder.modseq))


def resynchronise(client, old):
    """The parameter of RFC 7162 §3.2.5: the least, with known UIDs, or with numbers, too."""
    chance = client.world.chance
    words = f"{old.folder.uidvalidity} {old.facts['HIGHESTMODSEQ']}"
    uids = old.known_uids()
    if uids and chance.random() < 0.5:
        words += " " + set_text(uids).decode()
        if not client.is_uidonly and None not in old.uids and chance.random() < 0.5:
            numbers = sorted(chance.sample(range(1, len(uids) + 1), min(3, len(uids))))
            words += " (%s %s)" % (",".join(map(str, numbers)),
                                   ",".join(str(uids[number - 1]) for number in numbers))
    return f"QRESYNC ({words})"


def on_select(command, status, code):
    view = command.facts["new_view"]
    client = view.client
    require_ok(command, status, code, view.folder.is_dying)
    client.view = None
    if status != "OK":
        return
    require(code == [b"READ-ONLY" if view.is_read_only else b"READ-WRITE"],
            f"{view.words}: {command.name}: {code}")
    least, most = view.folder.count_bounds(command.sent)
    require(least <= len(view.uids) <= most or view.folder.is_dying,
            f"{view.words}: {len(view.uids)} EXISTS, but there are {least} to {most}")
    require(view.facts.get("HIGHESTMODSEQ", 0) >= command.facts["modseq"],
            f"{view.words}: HIGHESTMODSEQ {view.facts.get('HIGHESTMODSEQ')}, but "
            f"{command.facts['modseq']} was in use")
    view.is_open = True
    client.view = view
    old = command.facts["old_view"]
    if old is not None:
        vanished = {uid for word, uids in (a[:2] for a in command.answers if a[0] == b"VANISHED")
                    for uid in uids}
        view.resume(old, vanished, command.facts["is_limited"], client.world.now)
        view.check(command.sent, True)
    look(client)


def leave(client):
    """CLOSE or UNSELECT."""
    view, world = client.view, client.world
    if not quiet(client):
        return False
    if world.chance.random() < 0.5:
        client.send(Command("UNSELECT", b"UNSELECT", on_left))
        return True
    removal = world.begin_removal(view.folder)
    if view.is_read_only:
        removal.finish(FAILED, world.now)  # RFC 3501 §6.4.2: no messages are removed

    def on_done(command, status, code):
        if not view.is_read_only:
            on_expunge(command, status, code)
        on_left(command, status, code)

    client.send(Command("CLOSE", b"CLOSE", on_done, changes=(removal,)))
    return True


def on_left(command, status, code):
    require_ok(command, status, code, False)
    command.view.client.remember()
    command.view.client.view = None


def status(client):
    world = client.world
    names = world.usable_names()
    name = world.chance.choice(names)
    folder = world.folders[name]
    items = "MESSAGES UNSEEN UIDNEXT UIDVALIDITY" + (
        " HIGHESTMODSEQ" if client.is_condstore else "")
    client.send(Command("STATUS", f"STATUS {name} ({items})".encode(), on_status, names=(name,),
                        folder=folder, least_uidnext=folder.min_uidnext, modseq=folder.modseq))
    return True


def on_status(command, status_word, code):
    folder = command.facts["folder"]
    require_ok(command, status_word, code, folder.is_dying)
    answers = [items for word, items in
               (a[:2] for a in command.answers if a[0] == b"STATUS")]
    if folder.is_dying:
        return
    require(len(answers) == 1, f"STATUS {folder}: {answers}")
    told = {name.decode(): int(value) for name, value in
            zip(answers[0][1][::2], answers[0][1][1::2])}
    words = f"STATUS {folder}"
    folder.told_uidvalidity(told["UIDVALIDITY"], words)
    folder.told_uidnext(told["UIDNEXT"], command.facts["least_uidnext"], words)
    if "HIGHESTMODSEQ" in told:
        require(told["HIGHESTMODSEQ"] >= command.facts["modseq"],
                f"{words}: HIGHESTMODSEQ {told['HIGHESTMODSEQ']} < {command.facts['modseq']}")
        folder.told_modseq(told["HIGHESTMODSEQ"])
    least, most = folder.count_bounds(command.sent)
    require(least <= told["MESSAGES"] <= most,
            f"{words}: {told['MESSAGES']} messages, but there are {least} to {most}")
    required = [m for m in folder.required(command.sent) if m.is_stable_since(command.sent)
                and None not in m.base]
    unseen = sum(1 for m in required if all("\\Seen" not in flags for flags in m.base))
    seen = sum(1 for m in required if all("\\Seen" in flags for flags in m.base))
    require(unseen <= told["UNSEEN"] <= most - seen,
            f"{words}: {told['UNSEEN']} unseen, but there are {unseen} to {most - seen}")


def churn(client):
    """CREATE, DELETE or RENAME of a folder that nobody mentions right now."""
    world = client.world
    chance = world.chance
    free = [name for name in CHURN if name not in world.busy and not world.users[name]]
    if not free or not quiet(client):
        return False
    name = chance.choice(free)
    verb = chance.choice(("CREATE", "DELETE", "RENAME"))
    names = [name]
    text = f"{verb} {name}"
    if verb == "RENAME":
        others = [other for other in free if other != name]
        if not others:
            return False
        names.append(chance.choice(others))
        text += f" {names[1]}"
    if verb == "DELETE" and world.folders[name] is not None:
        world.folders[name].dying_since = world.now
    world.busy.update(names)
    client.send(Command(verb, text.encode(), on_churn, names=tuple(names),
                        client=client, on_lost=lambda: unfinished(world, names)))
    return True


def make_anew(client):
    """DELETE, and CREATE of the same name behind it: another folder (RFC 3501 §2.3.1.1)."""
    world = client.world
    free = [name for name in CHURN if name not in world.busy and not world.users[name]
            and world.folders[name] is not None and world.folders[name].uidvalidity is not None]
    if not free or not quiet(client):
        return False
    name = world.chance.choice(free)
    world.folders[name].dying_since = world.now
    world.folders[name].may_be_remade = True
    world.busy.add(name)

    def keep_busy(command, status, code):
        on_churn(command, status, code)
        world.busy.add(name)  # CREATE is on its way

    def on_status(command, status, code):
        require_ok(command, status, code, False)
        items = [answer[1][1] for answer in command.answers if answer[0] == b"STATUS"]
        world.folders[name].told_uidvalidity(int(items[0][1]), client.name)

    facts = {"names": (name,), "client": client, "on_lost": lambda: unfinished(world, [name])}
    client.send(Command("DELETE", f"DELETE {name}".encode(), keep_busy, **facts))
    client.send(Command("CREATE", f"CREATE {name}".encode(), on_churn, **facts))
    client.send(Command("STATUS", f"STATUS {name} (UIDVALIDITY)".encode(), on_status, names=(name,)))
    return True


def rename_inbox(client):
    """RENAME of INBOX moves its messages; INBOX stays, empty (RFC 3501 §6.3.5)."""
    world = client.world
    free = [name for name in CHURN if name not in world.busy and not world.users[name]
            and world.folders[name] is None]
    if not free or not quiet(client):
        return False
    name, inbox = world.chance.choice(free), world.folders["INBOX"]
    removal = world.begin_removal(inbox, is_move=True)
    world.busy.add(name)

    def moved(is_done):
        """What the new folder has: for sure, when it was answered, and perhaps."""
        folder = Folder(world, name)
        here = [message for message in inbox.messages.values()
                if message.gone_at is None or message.gone_at >= removal.sent]
        sure = [message for message in certain_but_for(removal, here)
                if message.created_at < removal.sent] if is_done else []
        creation = world.begin_creation(folder, [message.token for message in sure], sources=sure)
        creation.sent = removal.sent
        # Who came or went meanwhile is here or there: nobody can say yet.
        perhaps = [message.token for message in here if message not in sure]
        for each in inbox.creations:
            perhaps += [token for token, count in each.left.items() for _ in range(count)]
            each.may_be_moved = True
        world.begin_creation(folder, perhaps).finish(RESOLVED, world.now)
        return folder, creation

    def on_done(command, status, code):
        world.busy.discard(name)
        world.name_changed[name] = world.now
        require_ok(command, status, code, False)
        world.folders[name], creation = moved(True)
        inbox.removed(removal, DONE, world.now)
        creation.finish(DONE, world.now)

    def on_lost():
        world.lost_folders[name], creation = moved(False)
        creation.finish(RESOLVED, world.now)
        unfinished(world, [name])

    client.send(Command("RENAME INBOX", f"RENAME INBOX {name}".encode(), on_done, names=(name,),
                        changes=(removal,), on_lost=on_lost))
    return True


def on_churn(command, status, code):
    names, client = command.names, command.facts["client"]
    world = client.world
    world.busy.difference_update(names)
    folder = world.folders[names[0]]
    expected = {"CREATE": folder is None, "DELETE": folder is not None,
                "RENAME": folder is not None and world.folders[names[-1]] is None}[command.name]
    require((status == "OK") == expected,
            f"{client.name}: {command.text!r}: {status} {code}; there are "
            f"{[n for n in world.folders if world.folders[n] is not None]}")
    for name in names:
        world.name_changed[name] = world.now
    if status != "OK":
        return
    if command.name == "CREATE":
        world.folders[names[0]] = Folder(world, names[0])
    elif command.name == "DELETE":
        world.folders[names[0]] = None
        folder.deleted_at = world.now
        if client.view is not None and client.view.folder is folder:
            client.view = None  # RFC 2180 §3.4; "* OK [CLOSED]" says so
    else:
        world.folders[names[0]] = None
        world.folders[names[1]] = folder
        folder.renamed(names[1])


def unfinished(world, names):
    """The connection was lost in the middle: stays busy until the next checkpoint asks LIST."""
    world.lost_names.update(names)
    if len(names) == 2:
        world.lost_renames.append(names)


def list_folders(client):
    world = client.world
    sent = world.now

    def on_done(command, status_word, code):
        require_ok(command, status_word, code, False)
        listed = {answer[1][2].decode() for answer in command.answers if answer[0] == b"LIST"
                  and b"\\Noselect" not in answer[1][0]}
        for name in MAIN + CHURN:
            if name in command.facts["busy"] or name in world.busy or \
                    world.name_changed[name] >= sent:
                continue
            require((name in listed) == (world.folders[name] is not None),
                    f"{client.name}: LIST {'has' if name in listed else 'lacks'} {name}")

    client.send(Command("LIST", b'LIST "" *', on_done, busy=set(world.busy)))
    return True
