#!/usr/bin/python3
"""An S3 server that checks signatures: OpenStack Swift with its S3 interface, of Debian's python3-swift.

    s3_server.py FOLDER SOCKET [--domain NAME]

runs the proxy and the servers for accounts, containers and objects below FOLDER, one device, one copy of
everything, until it is killed, its standard input ends, or one of them does. SOCKET is an inherited one, by
its number, that listens: all their sockets are there before their rings name them, as a port that is only
looked up may be somebody else's when they have loaded. The key is KEY_ID with SECRET.
"""

import os
import select
import signal
import socket
import sys

KEY_ID = "test:tester"
SECRET = "a_secret_of_the_tests"

SERVER = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
log_name = {kind}
log_udp_host = 127.0.0.1
log_udp_port = {log_port}
fallocate_reserve = 0

[pipeline:main]
pipeline = {pipeline}
"""

BACKEND = SERVER + """
[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY = SERVER + """
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
storage_domain = {domain}
location = us-east-1
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def listening_socket():
    one = socket.socket()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # for all that it accepts
    one.bind(("127.0.0.1", 0))
    one.listen(1024)
    return one


def make_rings(folder, ports):
    from swift.common.ring import RingBuilder
    for kind, port in ports.items():
        builder = RingBuilder(2, 1, 1)
        builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1",
                         "port": port, "device": "d", "replication_ip": "127.0.0.1",
                         "replication_port": port, "meta": ""})
        builder.rebalance()
        builder.get_ring().save(os.path.join(folder, kind + ".ring.gz"))


def configure(folder, sockets, domain):
    os.makedirs(os.path.join(folder, "devices", "d"), exist_ok=True)
    with open(os.path.join(folder, "swift.conf"), "w", encoding="ascii") as file:
        file.write("[swift-hash]\nswift_hash_path_suffix = tests\n"
                   "[storage-policy:0]\nname = one\ndefault = yes\n")
    ports = {kind: each.getsockname()[1] for kind, each in sockets.items()}
    make_rings(folder, {kind: port for kind, port in ports.items() if kind != "proxy"})
    for kind, port in ports.items():
        form, pipeline = (PROXY, "catch_errors gatekeeper listing_formats cache s3api tempauth "
                          "copy bulk slo dlo ") if kind == "proxy" else (BACKEND, "")
        with open(os.path.join(folder, kind + ".conf"), "w", encoding="ascii") as file:
            file.write(form.format(
                folder=folder, kind=kind, port=port, pipeline=f"{pipeline}{kind}-server",
                log_port=ports["proxy"],  # of UDP, where nobody listens
                domain=domain, secret=SECRET))


def run(kind, folder, listening):
    os.environ["SWIFT_TEST"] = "1"
    from swift.common import utils
    utils.SWIFT_CONF_FILE = os.path.join(folder, "swift.conf")
    utils.drop_privileges = lambda user: None
    from swift.common import wsgi
    from eventlet.greenio import GreenSocket
    wsgi.drop_privileges = lambda user: None
    wsgi.get_socket = lambda conf: GreenSocket(listening)
    sys.exit(wsgi.run_wsgi(os.path.join(folder, kind + ".conf"), kind + "-server",
                           default_port=1, verbose=False))


def main():
    words = sys.argv[1:]
    folder = os.path.abspath(words[0])
    domain = words[words.index("--domain") + 1] if "--domain" in words else ""
    sockets = {kind: listening_socket() for kind in ("account", "container", "object")}
    sockets["proxy"] = socket.socket(fileno=int(words[1]))
    children = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if os.fork() == 0:  # swift's modules read their configuration as they are loaded
        from swift.common import utils
        utils.SWIFT_CONF_FILE = os.path.join(folder, "swift.conf")
        configure(folder, sockets, domain)
        os._exit(0)
    if os.wait()[1] != 0:
        sys.exit("the configuration could not be made")
    for kind, listening in sockets.items():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for each in sockets.values():
                if each is not listening:
                    each.close()
            run(kind, folder, listening)
        children[pid] = kind
    for each in sockets.values():
        each.close()
    try:
        wait_for_end(children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def wait_for_end(children):
    """Of standard input, or of a child."""
    while not select.select([sys.stdin], [], [], 0.5)[0] or sys.stdin.buffer.read1():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid != 0:
            kind = children.pop(pid)
            sys.exit(f"the {kind} server ended: {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
