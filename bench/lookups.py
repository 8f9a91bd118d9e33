#!/usr/bin/python3
"""Look-ups a second through DNS over HTTPS: Sealpost's resolver beside the two programs of Debian that keep
answers and ask over HTTPS, dnsdist (with its packet cache) and dnss, all before the same server, Debian's
unbound, over HTTP/2.

    bench/lookups.py [--rounds 3] [--json FILE]

Each is asked as its users ask it: the resolver over a local channel (dns_kit), the others over UDP (dnsperf),
100 questions at a time. Uncached: no name twice. Cached: 1,000 names again and again. One at a time:
uncached questions, each after the answer to the one before. The figures are medians; "CPU" is the
processor time of the resolver (or the other) for one question.
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lib import doh  # noqa: E402
from lib.server import free_ports  # noqa: E402

OPEN = 100
NAMES = 1000  # of the cached questions
COUNTS = {"uncached": 40000, "cached": 200000, "one at a time": 500}
QUICK_COUNTS = {"uncached": 10000, "cached": 50000, "one at a time": 200}


def processor_seconds(pid):
    """Of all its threads, which stay."""
    return sum(int(path.read_text().split()[0]) for path in
               pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def wait_for_port(port, process):
    import socket
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{process.args[0]} does not start")


class Upstream:
    """unbound, which has an answer for every name under bench.test and does nothing else."""

    def __init__(self, folder):
        self.certificate, key = doh.make_certificate(folder)
        self.port, plain = free_ports(2)
        (folder / "unbound.conf").write_text(f"""
server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  logfile: "{folder}/unbound.log"
  num-threads: 1
  interface: 127.0.0.1@{plain}
  interface: 127.0.0.1@{self.port}
  https-port: {self.port}
  http-endpoint: "/dns-query"
  http-max-streams: 200
  http-query-buffer-size: 16m
  http-response-buffer-size: 16m
  tls-service-key: "{key}"
  tls-service-pem: "{self.certificate}"
  access-control: 127.0.0.0/8 allow
  local-zone: "bench.test." redirect
  local-data: "bench.test. 3600 A 192.0.2.1"
remote-control:
  control-enable: no
""")
        self.process = subprocess.Popen(["unbound", "-d", "-c", str(folder / "unbound.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Sealpost:
    """The resolver's process; a new one for each round, so that nothing is kept from the last."""

    def __init__(self, folder, upstream):
        conf = folder / "kit.conf"
        conf.write_text(f'data = "/nonexistent"\n'
                        f'dns_upstreams = {{"https://{doh.NAME}:{upstream.port}/dns-query 127.0.0.1"}}\n'
                        f'dns_upstream_ca = "{upstream.certificate}"\n'
                        'dns_cache_size = 64M\n')
        kit = ROOT / "build" / "tests" / "dns" / "dns_kit"
        self.process = subprocess.Popen([str(kit), str(conf)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        self.run("fetch", 1, 1, "warm.bench.test")
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True,
                                  text=True)
        self.pid = int(children.stdout.split()[0])

    def run(self, command, count, at_once, name):
        self.process.stdin.write(f"{command} {count} {at_once} A {name}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if answer["ok"] != count:
            raise RuntimeError(f"not all were answered: {answer}")
        return answer["seconds"]

    def measure(self, row, count, round_number):
        if row == "cached":
            self.run("fetch", NAMES, OPEN, f"c%{NAMES}%.bench.test")
        before = processor_seconds(self.pid)
        seconds = self.run("fetch", count, 1 if row == "one at a time" else OPEN,
                           f"c%{NAMES}%.bench.test" if row == "cached"
                           else f"{row[0]}{round_number}x%.bench.test")
        return seconds, processor_seconds(self.pid) - before

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


class Forwarder:
    """A program that is asked over UDP and asks over HTTPS."""

    def launch(self, folder, *command):
        self.folder = folder
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        self.pid = self.process.pid
        self.run(["warm.bench.test"], 1)

    def run(self, names, at_once, repeat=1):
        questions = self.folder / "questions"
        questions.write_text("".join(f"{name} A\n" for name in names))
        done = subprocess.run(["dnsperf", "-s", "127.0.0.1", "-p", str(self.port), "-d",
                               str(questions), "-n", str(repeat), "-q", str(at_once), "-c", "1",
                               "-T", "1", "-t", "5"], capture_output=True, text=True, timeout=300)
        lost = re.search(r"Queries lost:\s+(\d+)", done.stdout)
        seconds = re.search(r"Run time \(s\):\s+([\d.]+)", done.stdout)
        codes = re.search(r"Response codes:\s+NOERROR (\d+)", done.stdout)
        if seconds is None or codes is None:
            raise RuntimeError(f"dnsperf: {done.stdout[-600:]} {done.stderr[-300:]}")
        if int(lost[1]) > 0 or int(codes[1]) != len(names) * repeat:
            raise RuntimeError(f"not all were answered: {done.stdout[-600:]}")
        return float(seconds[1])

    def measure(self, row, count, round_number):
        names = [f"c{i}.bench.test" for i in range(NAMES)]
        repeat = count // NAMES
        if row == "cached":
            self.run(names, OPEN)
        else:
            names = [f"{row[0]}{round_number}x{i}.bench.test" for i in range(count)]
            repeat = 1
        before = processor_seconds(self.pid)
        seconds = self.run(names, 1 if row == "one at a time" else OPEN, repeat)
        return seconds, processor_seconds(self.pid) - before

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Dnsdist(Forwarder):
    def __init__(self, folder, upstream):
        [self.port] = free_ports(1)
        (folder / "front.conf").write_text(f"""
setLocal("127.0.0.1:{self.port}", {{doTCP=true}})
setSecurityPollSuffix("")
newServer({{address="127.0.0.1:{upstream.port}", tls="openssl", subjectName="{doh.NAME}",
           dohPath="/dns-query", caStore="{upstream.certificate}", validateCertificates=true}})
getServer(0):setUp()
pc = newPacketCache(500000, {{maxTTL=86400}})
getPool(""):setCache(pc)
""")
        self.launch(folder, "dnsdist", "--supervised", "--disable-syslog", "-C",
                    str(folder / "front.conf"))


class Dnss(Forwarder):
    def __init__(self, folder, upstream):
        [self.port] = free_ports(1)
        self.launch(folder, "dnss", "--enable_dns_to_https", "--enable_cache",
                    "--dns_listen_addr", f"127.0.0.1:{self.port}",
                    "--https_upstream", f"https://127.0.0.1:{upstream.port}/dns-query",
                    "--https_client_cafile", str(upstream.certificate))


SERVERS = {"sealpost": Sealpost, "dnsdist": Dnsdist, "dnss": Dnss}


def measure(rounds, counts=None, names=tuple(SERVERS), say=print):
    """{row: {server: (look-ups a second, processor microseconds each)}}"""
    counts = counts or COUNTS
    makers = {name: make for name, make in SERVERS.items() if name in names}
    figures = {row: {name: [] for name in makers} for row in counts}
    with tempfile.TemporaryDirectory(prefix="sealpost-bench-dns-") as name:
        folder = pathlib.Path(name)
        upstream = Upstream(folder)
        try:
            for round_number in range(rounds):
                for server_name, make in makers.items():
                    for row, count in counts.items():
                        server = make(folder, upstream)
                        try:
                            seconds, processor = server.measure(row, count, round_number)
                        finally:
                            server.stop()
                        figures[row][server_name].append((count / seconds, processor / count * 1e6))
                        say(f"round {round_number + 1}: {server_name}, {row}: "
                            f"{count / seconds:,.0f} a second", file=sys.stderr, flush=True)
        finally:
            upstream.stop()
    return {row: {server: tuple(statistics.median(each) for each in zip(*values))
                  for server, values in servers.items()} for row, servers in figures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write the figures here, too")
    options = parser.parse_args()
    figures = measure(options.rounds)
    print("| DoH look-ups | " + " | ".join(SERVERS) + " | ratio to the best of the others |")
    print("| --- | " + "---: | " * (len(SERVERS) + 1))
    for row, servers in figures.items():
        cells = [f"{rate:,.0f} /s, CPU {processor:.1f} us" for rate, processor in servers.values()]
        best = max(rate for name, (rate, _) in servers.items() if name != "sealpost")
        print(f"| {row} | {' | '.join(cells)} | {servers['sealpost'][0] / best:.2f} |")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
