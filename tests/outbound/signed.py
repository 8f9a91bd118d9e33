"""DNSSEC as it really is: zones signed with ldns, validated by Debian's unbound, which answers over
HTTPS. A zone is a text; `spoil` alters it after it was signed, so that it no longer validates."""

import pathlib
import socket
import subprocess
import time


class Signed:
    def __init__(self, folder, authority, zones, spoil=()):
        self.folder = pathlib.Path(folder)
        self.process = None
        certificate, key = authority.make("doh.test")
        anchors, parts = [], []
        for name, text in zones.items():
            file, anchor = self.sign(name, text)
            anchors.append(anchor)
            for old, new in spoil:
                file.write_text(file.read_text().replace(old, new))
            parts.append(f"""
auth-zone:
    name: "{name}"
    zonefile: "{file}"
    for-upstream: yes
    for-downstream: no
    fallback-enabled: no
""")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.folder / "unbound.conf").write_text(f"""
server:
    interface: 127.0.0.1@{self.port}
    https-port: {self.port}
    http-endpoint: "/dns-query"
    tls-service-pem: "{certificate}"
    tls-service-key: "{key}"
    do-daemonize: no
    chroot: ""
    username: ""
    directory: "{self.folder}"
    pidfile: ""
    use-syslog: no
    logfile: "{self.folder}/unbound.log"
    module-config: "validator iterator"
    access-control: 127.0.0.0/8 allow
    local-zone: "test." nodefault
{"".join(f'    trust-anchor: "{anchor}"' + chr(10) for anchor in anchors)}
{"".join(parts)}
remote-control:
    control-enable: no
""")
        self.settings = {"dns": f"https://doh.test:{self.port}/dns-query 127.0.0.1",
                         "dns_ca": str(authority.ca)}

    def sign(self, name, text):
        """The signed zone's file, and its key as a trust anchor."""
        plain = self.folder / f"{name}.zone"
        plain.write_text(f"$ORIGIN {name}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n"
                         f"@ NS ns\nns A 127.0.0.1\n{text}\n")
        made = subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name], check=True,
                              cwd=self.folder, capture_output=True, text=True).stdout.strip()
        subprocess.run(["ldns-signzone", "-n", plain.name, made], check=True, cwd=self.folder,
                       capture_output=True)
        return (self.folder / f"{plain.name}.signed",
                (self.folder / f"{made}.key").read_text().split(";")[0].strip().replace('"', ""))

    def __enter__(self):
        self.process = subprocess.Popen(["unbound", "-c", self.folder / "unbound.conf"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        self.__exit__()
        log = self.folder / "unbound.log"
        raise RuntimeError("unbound does not start: " + (log.read_text() if log.exists() else ""))

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
