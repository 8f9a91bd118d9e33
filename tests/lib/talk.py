"""A plain IMAP client, a line at a time: what imaplib hides (when a line comes, what came unasked,
how a connection ends) is what tests of sleeping sessions are about."""

import re
import socket
import time
import zlib


class Ended(Exception):
    """The server closed the connection; `bye` is its last line of that kind, or None."""

    def __init__(self, bye):
        super().__init__(f"the connection ended, {bye!r}")
        self.bye = bye


class Talk:
    def __init__(self, server, alias=None, tls=True, timeout=20):
        self.timeout = timeout
        port = server.ports["imaps" if tls else "imap"]
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = server.tls.wrap_socket(self.sock)
        self.pending = b""
        self.deflating = self.inflating = None
        self.bye = None
        self.number = 0
        self.line()
        if alias is not None:
            self.do(f"LOGIN {alias.address} {alias.password}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def compress(self, flush=zlib.Z_SYNC_FLUSH):
        """COMPRESS DEFLATE (RFC 4978): from now on both sides are compressed, the client in one stream."""
        self.do("COMPRESS DEFLATE")
        self.flush = flush
        self.deflating, self.inflating = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)

    def send(self, text):
        data = text.encode()
        if self.deflating is not None:
            data = self.deflating.compress(data) + self.deflating.flush(self.flush)
        try:
            self.sock.sendall(data)
        except OSError:
            raise Ended(self.bye) from None

    def line(self, timeout=None):
        """The next line, without its end. TimeoutError; Ended."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while b"\n" not in self.pending:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                got = self.sock.recv(65536)
            except TimeoutError:
                raise TimeoutError(f"no line came; so far {self.pending!r}") from None
            except OSError:
                got = b""
            if got == b"":
                raise Ended(self.bye)
            self.pending += got if self.inflating is None else self.inflating.decompress(got)
        line, _, self.pending = self.pending.partition(b"\n")
        line = line.rstrip(b"\r").decode("utf-8", "replace")
        if line.startswith("* BYE"):
            self.bye = line
        return line

    def answer(self, tag):
        """The lines up to the tagged one, which is the last of them."""
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1].startswith(f"{tag} "):
                return lines

    def begin(self, command):
        self.number += 1
        self.send(f"t{self.number} {command}\r\n")
        return f"t{self.number}"

    def do(self, command):
        """Sends it and gives its answer, which must be OK."""
        tag = self.begin(command)
        lines = self.answer(tag)
        if not lines[-1].startswith(f"{tag} OK"):
            raise AssertionError(f"{command}: {lines}")
        return lines

    def idle(self):
        """Gives the tag that DONE will end."""
        tag = self.begin("IDLE")
        while not self.line().startswith("+"):
            pass
        return tag

    def done(self, tag):
        self.send("DONE\r\n")
        return self.answer(tag)

    def until_exists(self, timeout=None):
        """Reads to the next EXISTS; its number."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            found = re.fullmatch(r"\* (\d+) EXISTS", self.line(deadline - time.monotonic()))
            if found:
                return int(found[1])

    def until_end(self, timeout=None):
        """Reads to the end; its BYE, or None."""
        try:
            while True:
                self.line(timeout)
        except Ended as end:
            return end.bye
