#!/usr/bin/python3
"""Leaving and arriving: every form of `sealpost export` is read by others (Python's mailbox, tarfile
and zipfile; Debian's Dovecot, over IMAP) and taken in again by `sealpost import`: counts, hashes,
flags, keywords and dates are equal. What others write is taken in, too.
"""

import hashlib
import imaplib
import json
import mailbox
import os
import pathlib
import poplib
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.relay import Relay  # noqa: E402
from lib.server import Server, free_ports, program  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402

suite = Suite(__doc__)
imaplib._MAXLINE = 100_000_000

FOLDERS = ["INBOX", "Work", "Work/Plans", "Sent"]
FLAGS = [r"(\Seen)", r"(\Seen \Answered)", r"(\Flagged $Forwarded)", "()", r"(\Draft Later)",
         r"(\Seen $Label1 $Forwarded)"]


def digest(raw):
    return hashlib.sha256(raw).hexdigest()


def quoted(name):
    return '"' + name + '"'


def fill(server, alias, count):
    with server.imap(alias) as client:
        for name in FOLDERS:
            client.create(quoted(name))
            client.subscribe(quoted(name))
        for number in range(count):
            body = "".join(f"From line {i} of {number}\r\n>From {i}\r\n" for i in range(number % 5))
            raw = (f"From: a@example.org\r\nTo: me@example.test\r\nSubject: {number}\r\n"
                   f"Message-ID: <{number}@example.org>\r\n\r\n{body}{'x' * (number % 70)}\r\n"
                   ).encode()
            date = time.strftime('"%d-%b-%Y %H:%M:%S +0100"',
                                 time.gmtime(1_600_000_000 + number * 86_461))
            client.append(quoted(FOLDERS[number % len(FOLDERS)]), FLAGS[number % len(FLAGS)],
                          date, raw)


def snapshot(client, with_uids=True):
    """{folder: [(uid, flags, moment, hash)]} of a mailbox, over IMAP."""
    found = {}
    for line in client.list()[1]:
        level, name = re.search(rb'\) "(.)" "?([^"]+)"?$', line).groups()
        status, (answer,) = client.select(quoted(name.decode()), readonly=True)
        name = name.replace(level, b"/").decode()
        if status != "OK" or answer == b"0":
            continue
        rows = []
        for part in client.uid("fetch", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if not isinstance(part, tuple):
                continue
            head = part[0].decode()
            flags = re.search(r"FLAGS \(([^)]*)\)", head).group(1).split()
            moment = time.mktime(imaplib.Internaldate2tuple(part[0]))
            rows.append((int(re.search(r"UID (\d+)", head).group(1)) if with_uids else 0,
                         tuple(sorted(f for f in flags if f != r"\Recent")), moment,
                         digest(part[1])))
        found[name] = sorted(rows)
    return found


def held(client):
    """How many messages all folders have."""
    total = 0
    for line in client.list()[1]:
        name = re.search(rb'\) "." ("[^"]+"|\S+)$', line).group(1).decode()
        status, answer = client.status(name, "(MESSAGES)")
        total += int(re.search(rb"MESSAGES (\d+)", answer[0]).group(1)) if status == "OK" else 0
    return total


class World:
    def __init__(self, server, count):
        self.server = server
        self.count = count
        self.number = 0
        self.source = self.alias()
        fill(server, self.source, count)
        with server.imap(self.source) as client:
            self.before = snapshot(client)
        check(sum(map(len, self.before.values())) == count, "it is not filled")

    def alias(self):
        self.number += 1
        return self.server.add_alias(f"user{self.number}@example.test")

    def run(self, alias, *words):
        # "command ALIAS …"
        line = [program(), words[0], alias.address, *map(str, words[1:]), "--config",
                str(self.server.conf), "--json", "--password-file", "-"]
        done = subprocess.run(line, input=alias.password + "\n", capture_output=True, text=True,
                              timeout=300)
        return done.returncode, done.stdout, done.stderr

    def ok(self, *words):
        code, out, err = self.run(*words)
        check(code == 0, f"{words[1:]}: exit {code}: {out}{err}")
        return json.loads(out)

    def export(self, name, form, *options):
        path = self.server.folder / name
        answer = self.ok(self.source, "export", path, "--format", form, *options)
        return path, answer

    def arrives(self, path, *options, expected=None):
        """Imported into a new mailbox, it is what it was."""
        alias = self.alias()
        answer = self.ok(alias, "import", path, *options)
        with self.server.imap(alias) as client:
            after = snapshot(client, with_uids=expected is None)
        expected = expected or self.before
        for name in expected:
            check(after.get(name) == expected[name],
                  f"{name}: {len(after.get(name, []))} of {len(expected[name])} messages, first "
                  f"{after.get(name, [])[:2]} for {expected[name][:2]}")
        check(set(after) == set(expected), f"folders: {sorted(after)}")
        check(answer["messages"] == sum(map(len, expected.values())), answer)
        return alias


def hashes(rows):
    return sorted(row[3] for row in rows)


@suite.case
def mbox_is_what_python_reads(world):
    path, answer = world.export("mail-mbox.tar", "mbox")
    check(answer["messages"] == world.count, answer)
    folder = world.server.folder / "mbox"
    with tarfile.open(path) as archive:
        archive.extractall(folder)
    for name, rows in world.before.items():
        box = mailbox.mbox(folder / f"{name}.mbox", create=False)
        found = []
        for key in box.keys():
            text = box.get_bytes(key)
            check(text.startswith(b"X-Sealpost-Export: "), text[:80])
            ours = int(re.match(rb"X-Sealpost-Export: 1 lines=(\d+)", text).group(1))
            head, raw = text.split(b"\n", ours)[:ours], text.split(b"\n", ours)[ours]
            raw = re.sub(rb"(?m)^>(>*From )", rb"\1", raw)
            status = box[key].get_flags()
            flags = {r"\Seen"} if "R" in status else set()
            flags |= {full for letter, full in (("A", r"\Answered"), ("F", r"\Flagged"),
                                                ("T", r"\Draft"), ("D", r"\Deleted"))
                      if letter in status}
            flags |= set(box[key].get("X-Keywords", "").split())
            moment = time.mktime(time.strptime(box[key].get_from().split(" ", 1)[1],
                                               "%a %b %d %H:%M:%S %Y")) - time.timezone
            found.append((int(box[key]["X-UID"]), tuple(sorted(flags)), moment, digest(raw)))
            check(len(head) == ours, head)
        check(sorted(found) == rows, f"{name}: {sorted(found)[:2]} for {rows[:2]}")
    return f"{world.count} messages"


@suite.case
def mbox_comes_back(world):
    world.arrives(world.server.folder / "mail-mbox.tar")



def unique_ids(world, alias):
    """What POP3 says, in the order of INBOX."""
    client = poplib.POP3_SSL("127.0.0.1", world.server.ports["pop3s"], context=world.server.tls, timeout=60)
    return unique_ids_of(client, alias.address, alias.password)


def unique_ids_of(client, name, password):
    client.user(name)
    client.pass_(password)
    found = [line.split()[1].decode() for line in client.uidl()[1]]
    client.quit()
    return found


def small_maildir(path, lists):
    """Messages 1 to 5, and what other servers say of them."""
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True)
    for number in range(1, 6):
        (path / "cur" / f"{number}.host:2,S").write_bytes(b"Subject: %d\r\n\r\n" % number)
    for name, text in lists.items():
        (path / name).write_text(text)
    return path


@suite.case
def unique_ids_of_other_servers_come_along(world):
    """A POP3 client that leaves its mail on the server finds none that it does not know."""
    rows = (
        ({"dovecot-uidlist": "3 V1763787600 N9 G1\n1 Pold-1 :1.host\n2 P :2.host\n3 :3.host\n"
                             "4 :4.host\n26 :5.host\n"}, (),
         ["old-1", "2.host", "0000000369214350", "0000000469214350", "0000001a69214350"]),
        ({"dovecot-uidlist": "3 V1763787600 N9 G1\n" +
                             "".join(f"{n} {'Pold ' * (n == 1)}:{n}.host\n" for n in range(1, 6))},
         ("--uidl", "%v-%u"), ["old", *(f"1763787600-{n}" for n in range(2, 6))]),
        ({"courierpop3dsizelist": "/3 9 1763787600\n" +
                                  "".join(f"{n}.host 20 {n + 2}:1763787600:0\n" for n in range(1, 6))}, (),
         [f"UID{n + 2}-1763787600" for n in range(1, 6)]),
    )
    for number, (lists, options, expected) in enumerate(rows):
        path = small_maildir(world.server.folder / f"other{number}", lists)
        alias = world.alias()
        world.ok(alias, "import", path, *options)
        check(unique_ids(world, alias) == expected, unique_ids(world, alias))
        # Through every form of our own, also where UIDs are not kept; and none is given twice.
        for form in ("file", "maildir", "mbox", "eml", "zip") if number == 0 else ():
            gone = world.server.folder / f"ids{number}.{form}"
            world.ok(alias, "export", gone, "--format", form)
            other = world.alias()
            with world.server.imap(other) as client:
                check(client.append("INBOX", None, None, b"Subject: x\r\n\r\n")[0] == "OK", "append")
            secret = world.server.folder / "ids-password"
            secret.write_text(alias.password + "\n")
            more = ("--file-password-file", secret) if form == "file" else ()
            world.ok(other, "import", gone, *more)
            found = unique_ids(world, other)
            check(sorted(found[1:]) == sorted(expected), f"{form}: {found}")
            if form != "maildir":
                continue
            world.ok(other, "import", gone)
            twice = unique_ids(world, other)
            check(twice[:6] == found and len(set(twice)) == 11, twice)
    before = unique_ids(world, world.source)
    world.server.stop()
    world.server.start()
    check(unique_ids(world, world.source) == before and len(set(before)) == len(before), "after a start")
    code, out, err = world.run(world.alias(), "import", path, "--uidl", "courier")
    check(code != 0 and "--uidl" in out + err, f"{code}: {out}{err}")


@suite.case
def one_folder_is_one_mbox(world):
    path, answer = world.export("plans.mbox", "mbox", "--folder", "Work/Plans")
    check(path.read_bytes().startswith(b"From "), "no mbox")
    check(len(mailbox.mbox(path)) == len(world.before["Work/Plans"]) == answer["messages"], answer)
    alias = world.alias()
    world.ok(alias, "import", path)
    with world.server.imap(alias) as client:
        check(snapshot(client)["INBOX"] == world.before["Work/Plans"], "it is another")
    code, out, err = world.run(world.source, "export", world.server.folder / "x", "--folder", "No")
    check(code == 4 and not (world.server.folder / "x").exists(), f"{code} {out}")


@suite.case
def maildir_comes_back(world):
    path, _ = world.export("mail-maildir.tar", "maildir")
    world.arrives(path)
    folder = world.server.folder / "maildir"
    with tarfile.open(path) as archive:
        archive.extractall(folder)
    box = mailbox.Maildir(folder / "Maildir", create=False)
    check(hashes(world.before["INBOX"]) == sorted(digest(box.get_bytes(k)) for k in box.keys()),
          "Python reads something else")
    check(sorted(box.list_folders()) == ["Archive", "Drafts", "Junk", "Sent", "Trash", "Work",
                                         "Work.Plans"], box.list_folders())
    world.arrives(folder / "Maildir")  # as a folder
    subprocess.run(["gzip", "-k", path], check=True)
    world.arrives(pathlib.Path(f"{path}.gz"))


@suite.case
def dovecot_reads_the_maildir_and_what_it_keeps_comes_back(world):
    if not pathlib.Path("/usr/sbin/dovecot").exists():
        raise Skip("no Dovecot here")
    folder = world.server.folder / "maildir"
    # Without our index: what Dovecot itself understands.
    for index in folder.rglob("sealpost-index.jsonl"):
        index.unlink()
    with Dovecot(world.server.folder / "dovecot", folder / "Maildir") as dovecot:
        with dovecot.client() as client:
            seen = snapshot(client)
            for name, rows in world.before.items():
                check(seen.get(name) == rows, f"{name}: {seen.get(name, [])[:2]} for {rows[:2]}")
            client.select("INBOX")
            client.append("INBOX", r"(\Seen Later)", None, b"Subject: new\r\n\r\nfrom there\r\n")
            client.store("1", "+FLAGS", r"(\Flagged $New)")
        with dovecot.client() as client:
            seen = snapshot(client)
        ids = dovecot.has_pop3 and unique_ids_of(poplib.POP3("127.0.0.1", dovecot.pop3_port), "x", "secret")
    archive = world.server.folder / "dovecot.tar"
    subprocess.run(["tar", "-C", folder, "-cf", archive, "Maildir"], check=True)
    alias = world.arrives(archive, expected={name: sorted((0, *row[1:]) for row in rows)
                                             for name, rows in seen.items()})
    if ids:
        check(sorted(unique_ids(world, alias)) == sorted(ids), f"{unique_ids(world, alias)} for {ids}")
        # Ours, which it was told, and one that it made.
        check(set(unique_ids(world, world.source)) < set(ids) and len(set(ids)) == len(ids), ids)
    return f"{sum(map(len, seen.values()))} messages"


class Dovecot:
    """Debian's, serving one Maildir. With a certificate (its and its key's file) it has TLS, too."""

    def __init__(self, folder, maildir, address="127.0.0.1", certificate=None):
        folder.mkdir()
        self.address = address
        self.port, self.tls_port, self.pop3_port = free_ports(3)
        self.has_pop3 = pathlib.Path("/usr/lib/dovecot/pop3").exists()
        pop3 = f"""
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {self.pop3_port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
""" if self.has_pop3 else ""
        tls = "ssl = no"
        if certificate is not None:
            tls = f"ssl = yes\nssl_cert = <{certificate[0]}\nssl_key = <{certificate[1]}"
        for part in (folder, *folder.parents):
            if part != pathlib.Path("/"):
                part.chmod(part.stat().st_mode | 0o011)
        subprocess.run(["chown", "-R", "8:8", maildir], check=True)
        self.out = open(folder / "out", "w")
        conf = folder / "dovecot.conf"
        conf.write_text(f"""
protocols = imap {"pop3" if self.has_pop3 else ""}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = {address}
{tls}
disable_plaintext_auth = no
mail_save_crlf = yes
first_valid_uid = 8
mail_location = maildir:{maildir}
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=8 gid=8 home={folder}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = {self.tls_port if certificate else 0}
    ssl = yes
  }}
}}
{pop3}
service anvil {{
  chroot =
}}
""")
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", conf], stdout=self.out,
                                        stderr=self.out)
        self.log = folder / "log"

    def client(self):
        for _ in range(100):
            try:
                client = imaplib.IMAP4(self.address, self.port, timeout=30)
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise AssertionError("Dovecot does not answer")
        client.login("someone", "secret")
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.out.close()


@suite.case
def eml_comes_back_from_tar_and_zip(world):
    path, _ = world.export("mail-eml.tar", "eml")
    with tarfile.open(path) as archive:
        found = sorted(digest(archive.extractfile(member).read()) for member in archive
                       if member.name.endswith(".eml"))
    check(found == sorted(row[3] for rows in world.before.values() for row in rows), "tar")
    world.arrives(path)
    path, _ = world.export("mail.zip", "zip")
    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, "the zip is damaged")
        found = sorted(digest(archive.read(name)) for name in archive.namelist()
                       if name.endswith(".eml"))
    check(found == sorted(row[3] for rows in world.before.values() for row in rows), "zip")
    world.arrives(path)


@suite.case
def an_import_can_be_repeated(world):
    alias = world.arrives(world.server.folder / "mail-eml.tar")
    again = world.ok(alias, "import", world.server.folder / "mail.zip", "--skip-duplicates")
    check(again["messages"] == 0 and again["skipped"] == world.count, again)
    below = world.ok(alias, "import", world.server.folder / "mail.zip", "--into", "Old")
    with world.server.imap(alias) as client:
        after = snapshot(client, with_uids=False)
    check(below["messages"] == world.count and
          hashes(after["Old/Work/Plans"]) == hashes(world.before["Work/Plans"]), sorted(after))


@suite.case
def what_is_no_mail_is_refused(world):
    alias = world.alias()
    for name, content in (("noise", os.urandom(100_000)), ("text", b"Hello\n" * 1000),
                          ("cut.tar", (world.server.folder / "mail-eml.tar").read_bytes()[:30_000])):
        path = world.server.folder / name
        path.write_bytes(content)
        code, out, err = world.run(alias, "import", path)
        check(code != 0 and json.loads(out)["status"] != "ok", f"{name}: {code} {out} {err}")
    evil = world.server.folder / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        for name in ("../../evil.eml", "/etc/evil.eml"):
            info = tarfile.TarInfo(name)
            archive.addfile(info)
        link = tarfile.TarInfo("link.eml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    answer = world.ok(alias, "import", evil)
    check(answer["messages"] == 2, answer)
    code, out, err = world.run(type(alias)(alias.address, {"password": "x" * 32}), "import", evil)
    check(code == 6, f"a wrong password: {code} {out}")


@suite.case
def a_dovecot_is_taken_over_imap_in_two_goes(world):
    if not pathlib.Path("/usr/sbin/dovecot").exists():
        raise Skip("no Dovecot here")
    count = 20_000 if suite.options.long else 2_000
    root = world.server.folder / "remote"
    for name in ("", ".Sent Items", ".Lists.All"):
        for part in ("cur", "new", "tmp"):
            (root / "Maildir" / name / part).mkdir(parents=True)
    for number in range(count):
        folder = ("", ".Sent Items", ".Lists.All")[number % 3]
        path = (root / "Maildir" / folder / "cur" /
                f"{1_600_000_000 + number}.M{number}P1.host:2,{('', 'S', 'FS', 'RS', 'D')[number % 5]}")
        path.write_bytes(f"Subject: {number}\r\nMessage-ID: <{number}@remote>\r\n\r\n"
                         f"{'text ' * (number % 300)}\r\n".encode())
        os.utime(path, (1_600_000_000 + number,) * 2)
    secret = world.server.folder / "server-password"
    secret.write_text("secret\n")
    alias = world.alias()
    own = world.server.folder / "own-password"
    own.write_text(alias.password + "\n")
    for path in (secret, own):
        path.chmod(0o600)
    with Dovecot(world.server.folder / "dovecot-remote", root / "Maildir") as dovecot:
        with dovecot.client() as client:
            client.subscribe('"Lists.All"')
            remote = snapshot(client)
        # What it gives stops in the middle, so that the first go cannot come to its end.
        relay = Relay(dovecot.port, allowance=count * 400)
        url = f"imap://someone@127.0.0.1:{relay.port}/"
        line = [program(), "import", alias.address, url, "--config", str(world.server.conf),
                "--json", "--password-file", str(own), "--server-password-file", str(secret)]
        first = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        with world.server.imap(alias) as client:
            while time.monotonic() < deadline and first.poll() is None:
                if held(client) > 100:
                    break
                time.sleep(0.05)
            first.kill()
            first.wait()
            time.sleep(1)
            stopped = sum(map(len, snapshot(client).values()))
        check(100 < stopped < count,
              f"stopped behind {stopped} of {count}: {first.communicate()}")
        relay.lift()
        began = time.monotonic()
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
        rate = (count - stopped) / (time.monotonic() - began)
        check(done.returncode == 0, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        check(answer["messages"] == count - stopped, f"{stopped} of {count}, then {answer}")
        with world.server.imap(alias) as client:
            after = snapshot(client)
            expected = dict(remote)
            expected["Sent"] = expected.pop("Sent Items")
            for name, rows in expected.items():
                check(after.get(name) == rows,
                      f"{name}: {after.get(name, [])[:2]} for {rows[:2]}")
            subscribed = b"".join(client.lsub()[1])
            check(b"Lists/All" in subscribed, subscribed)
        # Nothing new: nothing is taken. Then one.
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
        check(json.loads(done.stdout)["messages"] == 0, done.stdout)
        with dovecot.client() as client:
            client.append("INBOX", r"(\Seen)", None, b"Subject: later\r\n\r\nx\r\n")
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
        check(json.loads(done.stdout)["messages"] == 1, done.stdout)
        secret.write_text("wrong\n")
        done = subprocess.run(line, capture_output=True, text=True, timeout=300)
        check(done.returncode != 0 and "refuses" in done.stderr, done.stdout + done.stderr)
    return f"{count} messages, stopped behind {stopped}; {rate:.0f} a second"


def main():
    options = suite.parse()
    with Server() as server:
        suite.run(World(server, 3000 if options.long else 200))


if __name__ == "__main__":
    main()
