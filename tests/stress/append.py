"""Storing messages: APPEND of one or several (RFC 3502), and REPLACE (RFC 8508)."""

import datetime

from stress.actions import (CROWD, SETTABLE, certain_but_for, choose_number, require_ok, set_of,
                            some)
from stress.client import Command
from stress.model import DONE, FAILED, require
from stress.wire import set_numbers
from stress.world import CHURN


class Draft:
    """A message to be stored: its words in the command, and what the model expects of it."""

    def __init__(self, world):
        chance = world.chance
        date = datetime.datetime(2024, chance.randint(1, 12), chance.randint(1, 28),
                                 chance.randint(0, 23), chance.randint(0, 59),
                                 chance.randint(0, 59))
        self.content = world.new_content(date)
        self.flags = frozenset(chance.sample(SETTABLE + ("\\Deleted",), chance.choice((0, 0, 1, 2))))
        self.creation = None
        self.text = b"(%s) \"%s\" {%d+}\r\n%s" % (
            " ".join(self.flags).encode(), date.strftime("%d-%b-%Y %H:%M:%S +0000").encode(),
            len(self.content.raw), self.content.raw)

    def begin(self, folder):
        self.creation = folder.world.begin_creation(folder, [self.content.token], self.flags)

    def stored(self, folder, uid, words):
        folder.created(self.creation, uid, self.content.token, folder.world.now, words)
        self.creation.finish(DONE, folder.world.now)


def target(client, may_be_missing):
    """A folder's name that is not in the hands of CREATE and its like; None: none fits."""
    world, chance = client.world, client.world.chance
    missing = [name for name in CHURN if world.folders[name] is None and name not in world.busy]
    if may_be_missing and missing and chance.random() < 0.1:
        return chance.choice(missing)
    names = world.usable_names()
    name = client.view.folder.name if client.view is not None and chance.random() < 0.6 else \
        chance.choice(names)
    return name if name in names and len(world.folders[name].alive()) <= CROWD else None


def append(client):
    world, chance = client.world, client.world.chance
    name = target(client, True)
    if name is None:
        return False
    folder = world.folders[name]
    several = "MULTIAPPEND" in world.capabilities and chance.random() < 0.2
    drafts = [Draft(world) for _ in range(chance.randint(2, 4) if several else 1)]
    for draft in drafts if folder is not None else ():
        draft.begin(folder)

    def on_done(command, status, code):
        if folder is None:
            # RFC 3501 §6.3.11.
            require(status == "NO" and code == [b"TRYCREATE"],
                    f"{client.name}: APPEND to {name}, which is not there: {status} {code}")
            return
        require_ok(command, status, code, False)
        require(code and code[0] == b"APPENDUID", f"{client.name}: APPEND: OK {code}")
        folder.told_uidvalidity(int(code[1]), client.name)
        uids = set_numbers(code[2])
        require(len(uids) == len(drafts) and uids == sorted(uids),
                f"{client.name}: {len(drafts)} messages got {code} (RFC 4315 §3)")
        for draft, uid in zip(drafts, uids):
            draft.stored(folder, uid, client.name)

    text = b"APPEND %s %s" % (name.encode(), b" ".join(draft.text for draft in drafts))
    client.send(Command("APPEND", text, on_done, names=(name,),
                        changes=tuple(draft.creation for draft in drafts if draft.creation)))
    return True


def replace(client):
    """One message for another, which may be in another folder (RFC 8508 §3)."""
    view, world = client.view, client.world
    if "REPLACE" not in world.capabilities or view.is_read_only or view.folder.is_dying:
        return False
    name = target(client, False)
    messages = some(client, 1, free=False)
    if name is None or not messages:
        return False
    folder, message, draft = world.folders[name], messages[0], Draft(world)
    draft.begin(folder)
    removal = world.begin_removal(view.folder, {message.uid}, is_move=True)
    by_number = choose_number(client)
    prefix, text = set_of(client, messages, by_number)

    def on_done(command, status, code):
        require_ok(command, status, code, not certain_but_for(removal, messages))
        for answer in command.answers:
            if answer[0] == b"APPENDUID":
                code = answer[1]
        if status != "OK":
            draft.creation.finish(FAILED, world.now)
            view.folder.removed(removal, FAILED, world.now)
            return
        require(code and code[0] == b"APPENDUID", f"{view.words}: REPLACE: OK {code}")
        folder.told_uidvalidity(int(code[1]), view.words)
        draft.stored(folder, int(code[2]), view.words)
        removal.finish(DONE, world.now)
        view.folder.told_gone(message.uid, world.now, view.words)
        require(message.uid not in view.uids or view.folder.is_dying,
                f"{view.words}: {message!r} was replaced, and no EXPUNGE says so")

    client.send(Command((prefix + b"REPLACE").decode(), b"%sREPLACE %s %s %s" % (
        prefix, text, name.encode(), draft.text), on_done, by_number=by_number, names=(name,),
        changes=(draft.creation, removal)))
    return True
