"""The servers that bench/compare measures, each in a folder of its own, on loopback, on free ports,
with all its processes in one control group, so that processor time and memory are counted whole.

    with Dovecot(folder, fast=False) as server:
        server.users(20); server.imap_port; server.cpu_seconds() ...
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests"))
from lib.server import LISTENERS, Server, free_ports, program  # noqa: E402

GROUPS_V1 = pathlib.Path("/sys/fs/cgroup/cpuacct")
UNIX_ID = 5000  # the owner of Dovecot's mail; needs no account


class Group:
    """A control group. Where the machine has none, /proc is added up instead."""

    def __init__(self, name):
        self.path = None
        self.is_v1 = (GROUPS_V1 / "cgroup.procs").exists()
        root = GROUPS_V1 if self.is_v1 else pathlib.Path("/sys/fs/cgroup")
        try:
            path = root / f"bench-{name}-{os.getpid()}"
            path.mkdir(exist_ok=True)
            self.path = path
        except OSError:
            pass

    def enter(self):
        """For preexec_fn: this process, and all that it starts, belong to the group."""
        if self.path is not None:
            (self.path / "cgroup.procs").write_text("0")

    def processes(self):
        if self.path is None:
            return []
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def cpu_seconds(self):
        if self.path is None:
            return float("nan")
        if self.is_v1:
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        for line in (self.path / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec"):
                return int(line.split()[1]) / 1e6
        return float("nan")

    def pss_bytes(self):
        """Each process's share of what it uses, added up: shared pages count once."""
        total = 0
        for pid in self.processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                    for line in file:
                        if line.startswith("Pss:"):
                            total += int(line.split()[1]) * 1024
            except OSError:
                pass
        return total

    def remove(self):
        if self.path is None:
            return
        for _ in range(100):
            left = self.processes()
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        try:
            self.path.rmdir()
        except OSError:
            pass


class Measured:
    """What the three have in common. `users` maps a name to a password."""

    name = ""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.group = Group(self.name.replace(" ", "-"))
        self.passwords = {}
        self.smtp_port = None
        self.is_filled = False  # the user "big" has the corpus

    def cpu_seconds(self):
        return self.group.cpu_seconds()

    def pss_bytes(self):
        return self.group.pss_bytes()

    def process_count(self):
        return len(self.group.processes())

    def wait_until_quiet(self, seconds=120):
        """Until it uses less than a fiftieth of a core for two seconds (what it put off is done), at
        most so long; the processor time that this took."""
        first = last = self.cpu_seconds()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(2)
            now = self.cpu_seconds()
            if now - last < 0.04:
                break
            last = now
        return self.cpu_seconds() - first

    def wait_until_settled(self, seconds):
        """Until no process has ended for 70 s, longer than any of them waits with sessions that are
        silent, or with a process that has none (Dovecot: 60 s); at most so long."""
        deadline = time.monotonic() + seconds
        count, since = self.process_count(), time.monotonic()
        while time.monotonic() < min(deadline, since + 70):
            time.sleep(0.5)
            if self.process_count() != count:
                count, since = self.process_count(), time.monotonic()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def forget_files(self):
        """What the kernel keeps in memory of the server's files is dropped (the clean pages)."""
        os.sync()
        for path in self.folder.rglob("*"):
            if not path.is_file() or path.is_symlink():
                continue
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    def run(self, command, log, **options):
        with open(log, "ab") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                    start_new_session=True, preexec_fn=self.group.enter, **options)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                    "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
                   check=True, capture_output=True)


class Dovecot(Measured):
    """With Postfix in front of it, delivering over LMTP, when `with_postfix`."""

    def __init__(self, folder, fast=False, with_postfix=True, with_index=False):
        self.name = "dovecot-fts" if with_index else "dovecot-fast" if fast else "dovecot"
        super().__init__(folder)
        self.fast = fast
        self.with_index = with_index  # dovecot-fts-xapian
        self.with_postfix = with_postfix
        self.imap_port, self.imaps_port, self.smtp_port = free_ports(3)
        self.pop3_port, self.pop3s_port = free_ports(2)
        self.processes = []

    def user(self, name):
        """Any name is a user: as many as one likes, at no cost."""
        self.passwords[name] = "the-same-for-all"
        return f"{name}@bench.test", self.passwords[name]

    def dovecot_config(self):
        reused = """
service imap-login {
  service_count = 0
  client_limit = 4000
  process_min_avail = 2
  process_limit = 2
  vsz_limit = 1G
}
service imap {
  service_count = 100000
  process_min_avail = 10
  process_limit = 4096
}
service pop3-login {
  service_count = 0
}
service pop3 {
  service_count = 100000
  process_min_avail = 2
}
service lmtp {
  process_min_avail = 2
  service_count = 0
}
service auth {
  client_limit = 20000
}
service anvil {
  client_limit = 20000
}
imap_hibernate_timeout = 15 secs
service imap {
  unix_listener imap-master {
    mode = 0666
  }
}
service imap-hibernate {
  client_limit = 20000
  unix_listener imap-hibernate {
    mode = 0666
  }
}
"""
        # As Debian ships it, but for limits that 2,000 sessions from one address would meet.
        shipped = """
service imap-login {
  process_limit = 4096
}
service imap {
  process_limit = 4096
}
service auth {
  client_limit = 20000
}
service anvil {
  client_limit = 20000
}
"""
        # Words and parts of words from three letters on, as its manual has it; all by the index. The
        # plugin (1.5.5) makes some seven messages a second so, whatever vsz_limit and lowmemory say:
        # it commits once, and three quarters of its time are strcmp in the sorted list of parts, into
        # which each new one is inserted from the front. A shorter `full` makes it 7.7.
        index = """
mail_plugins = fts fts_xapian
plugin {
  fts = xapian
  fts_xapian = partial=3 full=20
  fts_autoindex = no
  fts_enforced = yes
}
service indexer-worker {
  vsz_limit = 2G
}
"""
        location = "sdbox:~/sdbox" if self.fast else "maildir:~/Maildir"
        return f"""
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/dovecot.log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{self.folder}/certificate.pem
ssl_key = <{self.folder}/key.pem
disable_plaintext_auth = no
mail_location = {location}
mail_uid = {UNIX_ID}
mail_gid = {UNIX_ID}
first_valid_uid = {UNIX_ID}
mail_max_userip_connections = 10000
auth_mechanisms = plain login
passdb {{
  driver = static
  args = password=the-same-for-all
}}
userdb {{
  driver = static
  args = uid={UNIX_ID} gid={UNIX_ID} home={self.folder}/mail/%n
}}
namespace inbox {{
  inbox = yes
  mailbox Drafts {{
    special_use = \\Drafts
  }}
  mailbox Junk {{
    special_use = \\Junk
  }}
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Trash {{
    special_use = \\Trash
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {self.imap_port}
  }}
  inet_listener imaps {{
    port = {self.imaps_port}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3_port}
  }}
  inet_listener pop3s {{
    port = {self.pop3s_port}
    ssl = yes
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
{reused if self.fast else shipped}
{index if self.with_index else ""}
"""

    def postfix_config(self):
        conf = self.folder / "postfix"
        conf.mkdir()
        for name in ("queue", "postfix-data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "postfix-data", "postfix")
        (conf / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self.folder}/queue
data_directory = {self.folder}/postfix-data
maillog_file = {self.folder}/postfix.log
maillog_file_prefixes = {self.folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:all
virtual_transport = lmtp:unix:{self.folder}/run/lmtp
message_size_limit = 52428800
""")
        shipped = pathlib.Path("/usr/share/postfix/master.cf.dist")
        if not shipped.exists():
            shipped = pathlib.Path("/etc/postfix/master.cf")
        lines = []
        for line in shipped.read_text().splitlines():
            fields = line.split()
            if fields[:2] == ["smtp", "inet"]:
                fields[0] = f"127.0.0.1:{self.smtp_port}"
                line = " ".join(fields)
            # Nothing is chrooted: the LMTP socket is elsewhere.
            if len(fields) >= 8 and not line.startswith(("#", " ", "\t")):
                fields[4] = "n"
                line = " ".join(fields)
            lines.append(line)
        (conf / "master.cf").write_text("\n".join(lines) + "\n")
        return conf

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.folder, 0o755)
        for name in ("mail", "state", "run"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "mail", UNIX_ID, UNIX_ID)
        make_certificate(self.folder)
        self.conf.write_text(self.dovecot_config())
        self.start_dovecot()
        if self.with_postfix:
            conf = self.postfix_config()
            self.processes.append(self.run(["postfix", "-c", conf, "start-fg"],
                                           self.folder / "postfix.out"))
        wait_for(self.imap_port, self.processes, self.folder)
        if self.with_postfix:
            wait_for(self.smtp_port, self.processes, self.folder)

    @property
    def conf(self):
        return self.folder / "dovecot.conf"

    def start_dovecot(self):
        self.processes.insert(0, self.run(["dovecot", "-F", "-c", self.conf],
                                          self.folder / "dovecot.out"))

    def restart(self):
        """Dovecot alone; its files are forgotten in between."""
        process = self.processes.pop(0)
        process.terminate()
        process.wait(20)
        self.forget_files()
        self.start_dovecot()
        wait_for(self.imap_port, self.processes, self.folder)

    def make_index(self, user):
        """False: there is nothing to make."""
        if self.with_index:
            subprocess.run(["doveadm", "-c", self.conf, "index", "-u", self.user(user)[0], "INBOX"],
                           check=True, capture_output=True, timeout=3 * 3600)
        return self.with_index

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self.group.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(port, processes, folder):
    import socket
    for _ in range(200):
        for process in processes:
            if process.poll() is not None:
                logs = "\n".join(p.read_text(errors="replace")[-2000:]
                                 for p in folder.glob("*.out")) + "\n".join(
                    p.read_text(errors="replace")[-2000:] for p in folder.glob("*.log"))
                raise RuntimeError(f"a server ended while starting:\n{logs}")
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as sock:
                sock.settimeout(5)
                if sock.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"nothing answers on port {port}")


class Sealpost(Measured):
    name = "sealpost"

    def __init__(self, folder, settings=None):
        super().__init__(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.server = Server(base=self.folder,
                             settings={"connections_max": 20000, "log_level": "warning",
                                       "connections_per_address_max": 20000, **(settings or {})})
        self.imap_port = self.server.ports["imap"]
        self.imaps_port = self.server.ports["imaps"]
        self.pop3_port = self.server.ports["pop3"]
        self.pop3s_port = self.server.ports["pop3s"]
        self.smtp_port = self.server.ports["mx"]

    def user(self, name):
        if name not in self.passwords:
            self.passwords[name] = self.server.add_alias(f"{name}@bench.test").password
        return f"{name}@bench.test", self.passwords[name]

    def restart(self):
        self.server.stop()
        self.forget_files()
        self.start()

    def make_index(self, user):
        """It is made with the messages."""
        return False

    def start(self):
        group = self.group
        popen = subprocess.Popen

        def grouped(command, **options):
            if "serve" in command:
                options["preexec_fn"] = group.enter
            return popen(command, **options)

        subprocess.Popen = grouped
        try:
            self.server.start()
        finally:
            subprocess.Popen = popen

    def stop(self):
        try:
            self.server.stop()
        finally:
            self.server.remove()
            self.group.remove()
            shutil.rmtree(self.folder, ignore_errors=True)
