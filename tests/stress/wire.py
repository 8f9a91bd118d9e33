"""One connection of the stress test: bytes to responses and back, without ever waiting.

What is read is cut into responses (RFC 3501 §7, §9) and given as nested lists. An atom or number is
bytes, a quoted string or literal is Text (bytes too, so that `NIL` and "NIL" stay apart), a list is
a list, and BODY[HEADER.FIELDS (SUBJECT)] is one atom.
"""

import collections
import re
import socket
import zlib

LOG_LENGTH = 40  # responses and commands of each client that a failure prints
LITERAL = re.compile(rb"\{(\d+)\}\r\n$")


class Text(bytes):
    """A quoted string or a literal."""


class Closed(Exception):
    """The server closed the connection."""


def set_text(numbers):
    """A sequence-set of numbers, in order, neighbours joined."""
    parts, numbers = [], sorted(set(numbers))
    at = 0
    while at < len(numbers):
        last = at
        while last + 1 < len(numbers) and numbers[last + 1] == numbers[last] + 1:
            last += 1
        parts.append(b"%d" % numbers[at] if last == at else b"%d:%d" % (numbers[at], numbers[last]))
        at = last + 1
    return b",".join(parts)


def set_numbers(text):
    """The numbers of a uid-set, in the order in which it lists them (RFC 4315 §3)."""
    numbers = []
    for part in text.split(b","):
        first, _, last = part.partition(b":")
        first, last = int(first), int(last or first)
        if abs(last - first) > 100_000:
            raise ValueError(f"an absurd set: {text!r}")
        step = 1 if last >= first else -1
        numbers += range(first, last + step, step)
    return numbers


class Tokens:
    """The tokens of one response, whose literals are in place."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def skip(self):
        while self.at < len(self.data) and self.data[self.at] in b" ":
            self.at += 1

    def rest(self):
        self.skip()
        return self.data[self.at:]

    def all(self):
        found = []
        self.skip()
        while self.at < len(self.data):
            found.append(self.one())
            self.skip()
        return found

    def one(self):
        self.skip()
        data, start = self.data, self.at
        first = data[start:start + 1]
        if first == b"(":
            self.at += 1
            items = []
            while True:
                self.skip()
                if data[self.at:self.at + 1] == b")":
                    self.at += 1
                    return items
                if self.at >= len(data):
                    raise ValueError(f"an open parenthesis: {data[:300]!r}")
                items.append(self.one())
        if first == b'"':
            out, at = bytearray(), start + 1
            while data[at] != 0x22:
                at += data[at] == 0x5C
                out.append(data[at])
                at += 1
            self.at = at + 1
            return Text(out)
        if first == b"{":
            end = data.index(b"\r\n", start)
            size = int(data[start + 1:end - 1])
            self.at = end + 2 + size
            return Text(data[end + 2:self.at])
        at, inside = start, 0
        while at < len(data):
            byte = data[at]
            if byte == 0x5B:
                inside += 1
            elif byte == 0x5D:
                inside -= 1
            elif not inside and byte in b" ()":
                break
            at += 1
        if at == start:
            raise ValueError(f"not a token at {start}: {data[:300]!r}")
        self.at = at
        return data[start:at]


class Connection:
    """Non-blocking; `log` keeps the last exchanges."""

    def __init__(self, port, name):
        self.name = name
        self.sock = socket.create_connection(("127.0.0.1", port), 30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.input, self.output = b"", b""
        self.scanned = 0  # up to here the input has no end of a response
        self.log = collections.deque(maxlen=LOG_LENGTH)
        self.inflate = self.deflate = None

    def start_compression(self):
        """After the OK of COMPRESS (RFC 4978 §3): both directions, raw deflate."""
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.input = self.inflate.decompress(self.input)

    def send(self, data):
        if self.deflate is not None:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.output += data
        self.flush()

    def flush(self):
        while self.output:
            try:
                sent = self.sock.send(self.output)
            except BlockingIOError:
                return
            except OSError:
                self.output = b""
                return  # reading will say that it is closed
            self.output = self.output[sent:]

    def receive(self):
        """What came into the buffer; Closed when nothing more will."""
        while True:
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                raise Closed(str(error)) from None
            if not data:
                raise Closed("end of file")
            self.input += self.inflate.decompress(data) if self.inflate is not None else data

    def response(self):
        """The next whole response without its CRLF; None: there is none yet."""
        at = self.scanned
        while True:
            end = self.input.find(b"\n", at)
            if end < 0:
                self.scanned = at
                return None
            literal = LITERAL.search(self.input, at, end + 1)
            if literal is None:
                break
            at = end + 1 + int(literal.group(1))
            if at > len(self.input):
                return None  # scanned stays where this literal's line begins
        data, self.input, self.scanned = self.input[:end + 1], self.input[end + 1:], 0
        if not data.endswith(b"\r\n"):
            raise ValueError(f"a line that ends in a bare LF: {data[-200:]!r}")
        return data[:-2]

    def close(self):
        self.sock.close()
