"""Hosts of a small internet, on this machine: network namespaces with addresses of their own.

    net = Net()                      # this process moves into a namespace: 198.18.0.1, 2001:2::1
    peer = net.add(2)                # another host: 198.18.0.2, 2001:2::2
    peer.popen(["postfix", ...])     # runs there

The addresses are those set aside for benchmarks (RFC 2544, RFC 5180). Needs root, or the right to make
namespaces; Skip where neither is had. All ends with this process: nothing is named or left behind.
"""

import ctypes
import os
import signal
import subprocess
import time

from lib.suite import Skip

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
V4 = "198.18.0.{}"
V6 = "2001:2::{:x}"
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def unshare_net():
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")


def ip(*words, host=None):
    command = ["ip", *words]
    if host is not None:
        command = host.prefix + command
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


class Host:
    def __init__(self, number):
        self.number = number
        self.address = V4.format(number)
        self.address6 = V6.format(number)
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"],
                                       preexec_fn=die_with_parent, stdin=subprocess.DEVNULL)
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-n", "--"]
        # unshare has not run yet when Popen returns.
        mine = os.readlink("/proc/self/ns/net")
        for _ in range(500):
            if os.readlink(f"/proc/{self.holder.pid}/ns/net") != mine:
                return
            time.sleep(0.01)
        raise RuntimeError("the namespace of a host was not made")

    def popen(self, command, **options):
        """A process on this host that ends with the test."""
        return subprocess.Popen([*self.prefix, *map(str, command)], preexec_fn=die_with_parent,
                                **options)

    def run(self, command, **options):
        return subprocess.run([*self.prefix, *map(str, command)], **options)

    def cut(self):
        """The host is not reachable any more, and packets to it vanish."""
        ip("link", "set", f"to{self.number}", "down")

    def join(self):
        ip("link", "set", f"to{self.number}", "up")

    def stop(self):
        self.holder.kill()
        self.holder.wait()


class Net:
    def __init__(self):
        unshare_net()
        self.address, self.address6 = V4.format(1), V6.format(1)
        self.hosts = []
        ip("link", "set", "lo", "up")
        ip("link", "add", "br0", "type", "bridge")
        ip("addr", "add", f"{self.address}/24", "dev", "br0")
        ip("addr", "add", f"{self.address6}/64", "dev", "br0", "nodad")
        ip("link", "set", "br0", "up")

    def also(self, number):
        """One more address of this process's own host."""
        ip("addr", "add", f"{V4.format(number)}/24", "dev", "br0")
        return V4.format(number)

    def add(self, number):
        host = Host(number)
        self.hosts.append(host)
        near = f"to{number}"
        ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns",
           str(host.holder.pid))
        ip("link", "set", near, "master", "br0", "up")
        ip("link", "set", "lo", "up", host=host)
        ip("addr", "add", f"{host.address}/24", "dev", "eth0", host=host)
        ip("addr", "add", f"{host.address6}/64", "dev", "eth0", "nodad", host=host)
        ip("link", "set", "eth0", "up", host=host)
        return host

    def stop(self):
        for host in self.hosts:
            host.stop()
