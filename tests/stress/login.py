"""Login, logout, and hanging up.

A client's profile names extensions; what of it the server announces (`capabilities` of the world) is
switched on behind the login, one command after the other.
"""

from stress.actions import quiet, require_ok
from stress.client import Command
from stress.model import UNKNOWN, require


def profile(number):
    """What the client of that number would use: every mixture is there among twenty."""
    words = set()
    if number % 4:
        words.add("CONDSTORE")
    if number % 2:
        words.add("QRESYNC")
    if number % 5 == 1:
        words.add("UIDONLY")
    if number % 3 == 1:
        words.add("COMPRESS=DEFLATE")
    if number % 10 in (0, 7):
        words.add("IMAP4REV2")
    return words


def log_in(client):
    """Connects, and says LOGIN at once."""
    alias = client.world.alias
    client.connect()

    def on_done(command, status_word, code):
        require_ok(command, status_word, code, client.epoch != client.world.epoch)
        if status_word == "OK":
            client.steps = [word for word in ("COMPRESS=DEFLATE", "QRESYNC", "UIDONLY", "IMAP4REV2")
                            if word in client.profile and word in client.world.capabilities]
            next_step(client)

    client.send(Command("LOGIN", f'LOGIN "{alias.address}" "{alias.password}"'.encode(), on_done))
    return True


def next_step(client):
    if not client.steps:
        client.is_ready = True
        return
    word = client.steps.pop(0)

    def on_compressed(command, status_word, code):
        require_ok(command, status_word, code, False)
        client.connection.start_compression()
        next_step(client)

    def on_enabled(command, status_word, code):
        require_ok(command, status_word, code, False)
        enabled = {each.decode().upper() for answer in command.answers for each in answer[1]}
        require(word in enabled, f"{client.name}: ENABLE {word}: {enabled}")
        client.is_qresync |= word == "QRESYNC"
        client.is_condstore |= word == "QRESYNC"
        client.is_uidonly |= word == "UIDONLY"
        client.is_rev2 |= word == "IMAP4REV2"
        next_step(client)

    if word == "COMPRESS=DEFLATE":
        client.send(Command("COMPRESS", b"COMPRESS DEFLATE", on_compressed))
    else:
        client.send(Command("ENABLE", b"ENABLE " + word.encode(), on_enabled))


def log_out(client):
    if not quiet(client):
        return False
    client.is_closing = True
    client.send(Command("LOGOUT", b"LOGOUT"))
    return True


def drop(client):
    """Hangs up, whatever is under way."""
    if not client.world.may_drop or any(each.name.split()[0] in
                                        ("CREATE", "DELETE", "RENAME")
                                        for each in client.outstanding):
        return False
    client.note(b"C: ", b"(hangs up)")
    client.abandon(UNKNOWN)
    return True
