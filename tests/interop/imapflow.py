"""imapflow (npm): a whole conversation, with all the extensions that it asks for."""

import json
import os
import pathlib

from interop.kit import message, program
from lib.server import PROJECT
from lib.suite import Skip, check

SCRIPT = pathlib.Path(__file__).with_name("imapflow_client.js")


def imapflow_converses(world):
    if not (PROJECT / "node_modules" / "imapflow").exists():
        raise Skip("node_modules has no imapflow: run ./check, which installs it")
    alias = world.server.add_alias("flow@clients.test")
    with world.server.imap(alias) as client:
        for number in range(20):
            client.append("INBOX", None, None, message(number, body="Some words.\r\n.\r\nMore."))
    environment = {**os.environ, "NODE_PATH": str(PROJECT / "node_modules"),
                   "PORT": str(world.server.ports["imaps"]), "ADDRESS": alias.address,
                   "PASSWORD": alias.password, "MX": str(world.server.ports["mx"])}
    text = program("node", str(SCRIPT), timeout=120, env=environment)
    facts = json.loads(text.strip().splitlines()[-1])
    check(facts["done"], text)
    return f"with {', '.join(facts['enabled'])}{', compressed' if facts['compressed'] else ''}"


CASES = (imapflow_converses,)
