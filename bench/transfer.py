"""Rows of bench/compare about leaving and arriving: `sealpost export` and `import` beside what Dovecot has for
it (`doveadm import` and `backup`) and mbsync, which many people move with.

Every row ends when the command does, and its processor time is that of the command and the server. Sealpost
has what it took in synced, 64 messages at a time, and what it wrote synced before it has its name; mbsync is
told to do the same (FSync), Dovecot is as it ships.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import load
from servers import Dovecot, Group, Sealpost, UNIX_ID, program

SERVERS = ("sealpost", "doveadm", "doveadm-sdbox", "mbsync")
TRANSFER = "transfer"
# As in bench/compare: name, what its rows begin with, whose columns.
GROUPS = ((TRANSFER, ("import", "export"), SERVERS),)


def write_maildir(folder, messages):
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    for number, raw in enumerate(messages):
        moment = 1_600_000_000 + number
        path = folder / "cur" / f"{moment}.M{number}P1.bench,S={len(raw)}:2,{'S' if number % 3 else ''}"
        path.write_bytes(raw)
        os.utime(path, (moment, moment))
    subprocess.run(["chown", "-R", f"{UNIX_ID}:{UNIX_ID}", folder], check=True)


def files_in(folder):
    return sum(1 for part in ("cur", "new") for path in folder.rglob(f"{part}/*") if path.is_file())


class Leaver:
    """One column: the same moves, each with its own program. `run.measure` is given the function."""

    def __init__(self, server, count):
        self.server, self.count = server, count

    def command(self, words, **options):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              preexec_fn=self.server.group.enter, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]} {words[1]}: {done.stdout[-300:]} {done.stderr[-500:]}")
        return done.stdout

    def check(self, found):
        if found != self.count:
            raise RuntimeError(f"{found} of {self.count} messages came")
        return self.count

    def held(self, user):
        return self.check(load.message_count(self.server, user))


class OfSealpost(Leaver):
    def call(self, verb, user, what, *options):
        address, password = self.server.user(user)
        return self.command([program(), verb, address, what, "--config", self.server.server.conf,
                             "--json", "--password-file", "-", *options], input=password + "\n")

    def password_file(self, name, password):
        path = self.server.folder / name
        path.write_text(password + "\n")
        return path

    def import_maildir(self, source):
        self.call("import", "maildir", source)
        return self.count

    def import_server(self, other):
        address, password = other.user("big")
        self.call("import", "fetched", f"imap://{address.replace('@', '%40')}@127.0.0.1:{other.imap_port}/",
                  "--server-password-file", self.password_file("other-password", password))
        return self.count

    def export_maildir(self):
        self.call("export", "maildir", self.server.folder / "out.tar", "--format", "maildir")
        return self.count

    def export_own(self, _):
        self.call("export", "maildir", self.server.folder / "own", "--format", "file")
        return self.count

    def import_own(self, elsewhere):
        self.call("import", "own", elsewhere, "--file-password-file",
                  self.password_file("own-password", self.server.user("maildir")[1]))
        return self.count

    def users(self):
        """Made beforehand."""
        for user in ("maildir", "fetched", "own"):
            self.server.user(user)

    def are_there(self):
        for user in ("maildir", "fetched", "own"):
            self.held(user)


class OfDoveadm(Leaver):
    def call(self, user, words, *settings):
        options = [word for setting in ("namespace/inbox/separator=/", *settings)
                   for word in ("-o", setting)]
        return self.command(["doveadm", "-c", self.server.conf, *options, words[0], "-u",
                             self.server.user(user)[0], *words[1:]])

    def import_maildir(self, source):
        self.call("maildir", ["import", f"maildir:{source}", "", "all"])
        return self.count

    def import_server(self, other):
        address, password = other.user("big")
        self.call("fetched", ["backup", "-R", "imapc:"], "imapc_host=127.0.0.1",
                  f"imapc_port={other.imap_port}", f"imapc_user={address}", f"imapc_password={password}",
                  "imapc_features=rfc822.size fetch-headers")
        return self.count

    def target(self, name):
        path = self.server.folder / name
        path.mkdir()
        os.chown(path, UNIX_ID, UNIX_ID)
        return path

    def export_maildir(self):
        self.call("maildir", ["backup", f"maildir:{self.target('out') / 'Maildir'}"])
        return self.count

    def export_own(self, _):
        self.call("maildir", ["backup", f"{self.own}:{self.target('own') / 'mail'}"])
        return self.count

    def import_own(self, elsewhere):
        self.call("own", ["import", f"{self.own}:{elsewhere / 'mail'}", "", "all"])
        return self.count

    @property
    def own(self):
        return "sdbox" if self.server.fast else "maildir"

    def users(self):
        pass

    def are_there(self):
        for user in ("maildir", "fetched", "own"):
            self.held(user)
        self.check(files_in(self.server.folder / "out"))


class OfMbsync(Leaver):
    """It moves between IMAP and a Maildir of its own."""

    def configure(self, name, host, maildir, is_pull):
        address, password = host.user("maildir" if host is self.server else "big")
        conf = self.server.folder / f"{name}.rc"
        conf.write_text(f"""
FSync yes

IMAPAccount far
Host 127.0.0.1
Port {host.imap_port}
User {address}
Pass {password}
SSLType None
AuthMechs LOGIN
PipelineDepth 50

IMAPStore far
Account far

MaildirStore near
Path {maildir.parent}/
Inbox {maildir}

Channel all
Far :far:
Near :near:
Patterns INBOX
Create Both
CopyArrivalDate yes
SyncState *
Sync {'PullNew' if is_pull else 'PushNew'}
""")
        return conf

    def move(self, name, host, maildir, is_pull):
        self.command(["mbsync", "-c", self.configure(name, host, maildir, is_pull), "all"])
        return self.count

    def import_maildir(self, source):
        # It writes its state beside the messages, and their names.
        copy = self.server.folder / "source"
        if not copy.exists():
            raise RuntimeError("the source was not copied")
        return self.move("push", self.server, copy, False)

    def import_server(self, other):
        return self.move("fetch", other, self.server.folder / "fetched" / "Maildir", True)

    def export_maildir(self):
        return self.move("pull", self.server, self.server.folder / "out" / "Maildir", True)

    def prepare(self, source):
        shutil.copytree(source, self.server.folder / "source")

    def users(self):
        for name in ("fetched", "out"):
            (self.server.folder / name).mkdir()

    def are_there(self):
        self.held("maildir")
        for name in ("fetched", "out"):
            self.check(files_in(self.server.folder / name))


def dovecot(name, folder, is_fast):
    """With a control group of its own, beside others of its kind."""
    server = Dovecot(folder, fast=is_fast, with_postfix=False)
    server.group.remove()
    server.name, server.group = name, Group(name)
    return server


def make(name, place_folder, count):
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=place_folder))
    shutil.rmtree(folder)
    if name == "sealpost":
        return OfSealpost(Sealpost(folder), count)
    server = dovecot(name, folder, name == "doveadm-sdbox")
    return (OfMbsync if name == "mbsync" else OfDoveadm)(server, count)


# Row, what does it, and what it is given: the Maildir, the other server, or where its own format was
# brought: on another file system, as from another host, where nothing can be linked instead of copied.
ROWS = (("import of a Maildir", "import_maildir", "source"),
        ("import from another server (IMAP)", "import_server", "other"),
        ("export to a Maildir", "export_maildir", None),
        ("export in its own format", "export_own", "elsewhere"),
        ("import of its own format", "import_own", "elsewhere"))


def bring(own, elsewhere):
    subprocess.run(["cp", "-a", own, elsewhere], check=True)
    os.sync()


def one_server(run, name, place, place_folder, source, other, count):
    leaver = make(name, place_folder, count)
    elsewhere = pathlib.Path(tempfile.gettempdir() if place == "tmpfs" else "/dev/shm",
                             f"bench-own-{name}-{os.getpid()}")
    try:
        measure_all(run, leaver, place, source, other, elsewhere)
    finally:
        subprocess.run(["rm", "-rf", elsewhere], check=True)


def measure_all(run, leaver, place, source, other, elsewhere):
    with leaver.server as server:
        leaver.users()
        if server.name == "mbsync":
            leaver.prepare(source)
        for row, function, given in ROWS:
            work = getattr(leaver, function, None)
            if work is None or not run.wanted(row):
                continue
            if function == "import_own":
                bring(server.folder / "own", elsewhere)
            arguments = {"source": [source], "other": [other], "elsewhere": [elsewhere],
                         None: []}[given]
            run.settle(server, place, f"what came before \"{row}\"")
            run.measure(server, place, row, lambda: work(*arguments))
        if all(run.wanted(row) for row, _, _ in ROWS):
            leaver.are_there()


def rows(run, names, place, place_folder, on_failure):
    """Of these servers. What fails is told, and the rest goes on."""
    group, subjects, columns = GROUPS[0]
    names = [name for name in columns if name in names]
    if not names or not run.wants_group(group, subjects):
        return
    run.group, run.table.columns = group, columns
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-source-", dir=place_folder))
    folder.chmod(0o755)
    other = dovecot("other", folder / "other", True)
    try:
        write_maildir(folder / "Maildir", run.corpus.messages)
        with other:
            other.user("big")
            load.append_pipelined(other, "big", run.corpus.messages, 1)
            for name in names:
                try:
                    one_server(run, name, place, place_folder, folder / "Maildir", other,
                               len(run.corpus.messages))
                except (RuntimeError, OSError, AssertionError, subprocess.SubprocessError) as error:
                    on_failure(f"{group}, {name}", place, re.sub(r"\s+", " ", str(error)) or error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
