"""imapfilter: rules that search, move, flag and delete."""

import os

from interop.kit import message, program
from lib.suite import check


def imapfilter_applies_rules(world):
    alias = world.server.add_alias("filter@clients.test")
    with world.server.imap(alias) as client:
        client.create("Lists")
        for number in range(40):
            subject = f"[list] number {number}" if number % 4 == 0 else f"number {number}"
            client.append("INBOX", "\\Seen" if number % 2 else None, None,
                          message(number, subject=subject, sender="boss@example.org"
                                  if number % 10 == 3 else "x@example.org"))
    config = world.file("imapfilter.lua", f"""
options.timeout = 60
options.subscribe = true
account = IMAP {{
    server = "localhost",
    port = {world.server.ports['imaps']},
    username = "{alias.address}",
    password = "{alias.password}",
    ssl = "auto",
}}
mailboxes, folders = account:list_all()
found = account.INBOX:contain_subject("[list]")
found:move_messages(account.Lists)
boss = account.INBOX:contain_from("boss@example.org") * account.INBOX:is_seen()
boss:mark_flagged()
boss:add_flags({{ "$Important" }})
old = account.INBOX:is_unseen() * account.INBOX:match_subject("number 3[0-9]$")
old:delete_messages()
account.INBOX:contain_subject("number 1 "):copy_messages(account.Lists)
bodies = account.INBOX:contain_body("Words")
print("bodies: " .. #bodies)
account:create_mailbox("Made")
print("exist: " .. account.INBOX:check_status())
""")
    environment = {**os.environ, "HOME": str(world.folder)}
    text = program("imapfilter", "-t", world.certificate(), "-c", config, timeout=120,
                   env=environment)
    with world.server.imap(alias, tls=True) as client:
        check(client.select("Lists")[1] == [b"10"], "the rule moved ten")
        found = client.search(None, "SUBJECT", "[list]")[1][0].split()
        check(len(found) == 10, f"{len(found)} of them with the right subject")
        client.select("INBOX")
        check(client.search(None, "SUBJECT", "[list]")[1] in ([b""], [None]), "some are left behind")
        expected = {number for number in range(40) if number % 10 == 3 and number % 2}
        check(len(client.search(None, "FLAGGED", "KEYWORD", "$Important")[1][0].split()) ==
              len(expected), "the flagged ones")
        # Unseen: 30, 34, 38, without those of the list: all even, not divisible by four.
        left = 30 - len([n for n in range(30, 40) if n % 2 == 0 and n % 4])
        _, data = client.search(None, "ALL")
        check(len(data[0].split()) == left, f"INBOX has {len(data[0].split())}, not {left}")
        check(f"bodies: {left}" in text, f"it said {text!r}")
        check(client.select("Made")[0] == "OK", "the mailbox was not made")


CASES = (imapfilter_applies_rules,)
