"""`sealpost probe` as an object: one question, one answer."""

import base64
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import program  # noqa: E402


class Probe:
    def __init__(self):
        self.process = subprocess.Popen([program(), "probe"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.wait(timeout=60) != 0:  # a sanitizer has found something
            raise AssertionError(f"sealpost probe ended with {self.process.returncode}")

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def line(self, line):
        """The answer to one line of bytes."""
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ask(self, **members):
        return self.line(json.dumps(members).encode())

    def spf(self, ip, helo, mailfrom, zone, **more):
        return self.ask(op="spf", ip=ip, helo=helo, mailfrom=mailfrom, zone=zone, **more)

    def message(self, message, zone, now=1795000000, ip="192.0.2.1", helo="mail.sender.test",
                mailfrom="", **more):
        return self.ask(op="message", ip=ip, helo=helo, mailfrom=mailfrom, zone=zone, now=now,
                        message=base64.b64encode(message).decode(), **more)
