"""What the interoperability tests share: messages, running a program, the server and its account."""

import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile

from lib.suite import Skip, check


def message(number, body="Words.", subject=None, sender="somebody@example.org"):
    return (f"From: Somebody <{sender}>\r\nTo: me@clients.test\r\n"
            f"Subject: {subject or f'message {number}'}\r\n"
            f"Message-ID: <{number}.{os.getpid()}@example.org>\r\n"
            f"Date: Mon, 06 Jul 2026 10:{number // 60 % 60:02d}:{number % 60:02d} +0000\r\n"
            f"\r\n{body}\r\n").encode()


def program(name, *arguments, timeout=120, **options):
    if shutil.which(name) is None:
        raise Skip(f"{name} is not installed")
    done = subprocess.run([name, *arguments], capture_output=True, timeout=timeout,
                          stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    check(done.returncode == 0, f"{name} ended with {done.returncode}: {text[-2000:]}")
    return text


def subjects(client):
    client.select("INBOX")
    _, data = client.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return b"".join(part[1] for part in data if isinstance(part, tuple)).decode()


class World:
    """The server and the account that the cases share."""

    def __init__(self, server):
        self.server = server
        self.alias = server.add_alias("me@clients.test")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealpost-clients-"))

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def certificate(self):
        """The server's, in a file, for programs that want to know whom they trust."""
        return self.file("server.pem", ssl.get_server_certificate(
            ("127.0.0.1", self.server.ports["imaps"])))
