"""The peers of bench/flow.py, as bench/servers.py has them: Debian's Postfix before Dovecot's LMTP, with
rspamd as its milter for mail that comes in and opendkim for mail that goes out, and with an unbound that
keeps DNS answers; and a Sealpost that is set up for the same."""

import os
import shutil
import subprocess
import time

from servers import Dovecot, Sealpost, free_ports, program, wait_for
from world import LEARNED, SELECTOR, resolver, wait_for_connect

DNS_ADDRESS = "127.53.0.1"  # of the unbound; Postfix asks port 53 only


class Postfix(Dovecot):
    """`is_out`: mail goes out to the sink, signed; else it comes in and is looked at."""

    def __init__(self, folder, world, is_out, sink_port):
        super().__init__(folder)
        self.name = "postfix"
        self.world, self.is_out, self.sink_port = world, is_out, sink_port
        # Over a local socket: over TCP each message waited for acknowledgements that were delayed.
        self.milter = self.folder / "milter.sock"
        self.controller_port, self.redis_port = free_ports(2)

    @property
    def submission(self):
        """Nobody logs in: the client is in mynetworks."""
        return self.smtp_port, None

    def postfix_config(self):
        conf = super().postfix_config()
        text = (conf / "main.cf").read_text()
        milter = f"smtpd_milters = unix:{self.milter}\n"
        milter += "milter_default_action = tempfail\n"
        if self.is_out:
            transports = "".join(f"{name} smtp:{name}:{self.sink_port}\n"
                                 for name in self.world.destinations())
            (conf / "transport").write_text(transports)
            text = text.replace("virtual_mailbox_domains = static:all",
                                "virtual_mailbox_domains = bench.test")
            text += f"transport_maps = texthash:{conf}/transport\n"
        else:
            # The client is a stranger, and its sender's domain is looked up, as with us.
            text = text.replace("mynetworks = 127.0.0.0/8", "mynetworks = 192.0.2.255/32")
            text += "smtpd_sender_restrictions = reject_unknown_sender_domain\n"
        (conf / "main.cf").write_text(text + milter)
        return conf

    def start_postfix(self, conf):
        """In a mount namespace, where the system's resolver is the unbound."""
        resolv = self.folder / "resolv.conf"
        resolv.write_text(f"nameserver {DNS_ADDRESS}\n")
        script = 'mount --bind "$1" /etc/resolv.conf && exec postfix -c "$2" start-fg'
        return self.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                         resolv, conf], self.folder / "postfix.out")

    def start(self):
        self.with_postfix = False
        super().start()
        dns = self.run(resolver(self.folder, self.world.doh.backend.port, DNS_ADDRESS),
                       self.folder / "unbound.out")
        self.processes.append(dns)
        wait_for_connect(53, dns, DNS_ADDRESS)
        (self.start_opendkim if self.is_out else self.start_rspamd)()
        self.processes.append(self.start_postfix(self.postfix_config()))
        wait_for(self.smtp_port, self.processes, self.folder)

    def wait_for_milter(self, process):
        for _ in range(400):
            if process.poll() is None and self.milter.exists():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{process.args[0]} does not start")

    def start_opendkim(self):
        conf = self.folder / "opendkim.conf"
        conf.write_text(f"""
Syslog no
Background no
UMask 000
Mode s
Canonicalization relaxed/relaxed
Domain bench.test
Selector {SELECTOR}
KeyFile {self.world.key}
RequireSafeKeys no
InternalHosts 127.0.0.0/8
Socket local:{self.milter}
PidFile {self.folder}/opendkim.pid
""")
        milter = self.run(["opendkim", "-f", "-x", conf], self.folder / "opendkim.out")
        self.processes.append(milter)
        self.wait_for_milter(milter)

    def start_rspamd(self):
        """As shipped, the proxy scanning by itself in as many processes as there are cores; its words
        (Bayes) in a Redis, taught the same messages; without what asks the Internet."""
        conf = self.folder / "rspamd"
        shutil.copytree("/etc/rspamd", conf)
        for name in ("local.d", "override.d", "db", "run", "log"):
            os.makedirs(conf / name, exist_ok=True)
        off = "enabled = false;\n"
        settings = {
            "options.inc": f'dns {{ nameserver = ["{DNS_ADDRESS}:53"]; }}\nlocal_addrs = [];\n'
                           "check_local = true;\n",
            "worker-normal.inc": off,
            "worker-controller.inc": f'bind_socket = "127.0.0.1:{self.controller_port}";\n',
            "worker-proxy.inc": f'bind_socket = "{self.milter} mode=0666";\n'
                                f"count = {os.cpu_count()};\n"
                                'upstream "local" { self_scan = yes; }\n',
            "classifier-bayes.conf": f'servers = "127.0.0.1:{self.redis_port}";\n',
            "milter_headers.conf": 'use = ["authentication-results", "x-spam-status"];\n'
                                   "skip_local = false;\n",
            "actions.conf": "reject = 1000;\ngreylist = null;\n",
            "logging.inc": f'type = "file"; filename = "{conf}/log/rspamd.log";\n',
            "fuzzy_check.conf": off, "rbl.conf": off, "asn.conf": off, "redis.conf": "",
        }
        for name, text in settings.items():
            (conf / "override.d" / name).write_text(text)
        subprocess.run(["chown", "-R", "_rspamd:_rspamd", conf], check=True)
        redis = self.run(["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1",
                          "--save", "", "--dir", self.folder], self.folder / "redis.out")
        self.processes.append(redis)
        wait_for_connect(self.redis_port, redis)
        places = [f"--var={name}={conf}{rest}" for name, rest in
                  (("CONFDIR", ""), ("LOCAL_CONFDIR", ""), ("DBDIR", "/db"), ("RUNDIR", "/run"),
                   ("LOGDIR", "/log"))]
        milter = self.run(["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c",
                           conf / "rspamd.conf", *places], self.folder / "rspamd.out")
        self.processes.append(milter)
        self.wait_for_milter(milter)
        wait_for_connect(self.controller_port, milter)
        for kind in ("ham", "spam"):
            self.teach(kind)
        self.wait_until_idle()

    def wait_until_idle(self):
        """rspamd compiles its patterns behind the start; at most a minute."""
        for _ in range(30):
            before = self.cpu_seconds()
            time.sleep(2)
            if self.cpu_seconds() - before < 0.1:
                return

    def teach(self, kind):
        done = subprocess.run(["rspamc", "-h", f"127.0.0.1:{self.controller_port}", f"learn_{kind}",
                               self.world.learned(kind)], capture_output=True, text=True,
                              timeout=120)
        taken = done.stdout.count("success = true")
        if taken < LEARNED * 9 // 10:
            raise RuntimeError(f"rspamd learned only {taken} messages: {done.stdout[-500:]}")


class SealpostMail(Sealpost):
    def __init__(self, folder, world, is_out, sink_port):
        limits = {"incoming_per_client": 0, "incoming_per_sender": 0, "submission_per_user": 0,
                  "submission_per_domain": 0}
        way = {"outgoing_port": sink_port, "outgoing_allow": ["127.0.0.0/8"],
               "outgoing_ipv6": False} if is_out else {"loopback_is_foreign": True}
        super().__init__(folder, {**world.doh.settings, **limits, **way})
        self.world, self.is_out, self.sink_port = world, is_out, sink_port

    @property
    def submission(self):
        return self.server.ports["submission"], "sender"

    def start(self):
        if not self.is_out:
            self.server.prepare()
            for kind in ("ham", "spam"):
                subprocess.run([program(), "spam", "train", kind, self.world.learned(kind),
                                "--config", self.server.conf], check=True, capture_output=True,
                               timeout=120)
        super().start()
