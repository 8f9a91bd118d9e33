"""Deliveries of the stress test: one connection for incoming mail, without ever waiting."""

from stress.model import DONE, RESOLVED, require
from stress.wire import Closed, Connection


class Sender:
    """One message at a time: envelope and DATA in one piece, then the message."""

    def __init__(self, world, name="smtp"):
        self.world, self.name = world, name
        self.connection, self.log = None, ()
        self.creation = None
        self.waiting_for = []  # the meanings of the replies that are due
        self.data = b""
        self.refused = 0

    def is_free(self):
        return not self.waiting_for

    def note(self, side, data):
        self.connection.log.append((self.world.now, side + data[:200].strip()))
        self.world.history.append((self.world.now, self.name, side + data[:200].strip()))

    def send(self, data):
        self.world.tick()
        self.note(b"C: ", data)
        self.connection.send(data)

    def connect(self):
        self.connection = Connection(self.world.server.ports["mx"], self.name)
        self.log = self.connection.log
        self.world.register(self)
        self.waiting_for = ["greeting"]

    def deliver(self, folder):
        if self.connection is None:
            self.connect()
            return
        content = self.world.new_content()
        self.creation = self.world.begin_creation(folder, [content.token], frozenset())
        self.data = content.raw + b".\r\n"
        self.waiting_for = ["mail", "rcpt", "data"]
        self.send(b"MAIL FROM:<ada@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n" %
                  self.world.alias.address.encode())

    def on_readable(self):
        try:
            self.connection.receive()
            is_open = True
        except Closed:
            is_open = False
        while True:
            line = self.connection.response()
            if line is None:
                break
            self.world.tick()
            self.note(b"S: ", line)
            if line[3:4] != b"-":
                self.on_reply(line)
        if not is_open:
            require(self.is_free(), "the connection for incoming mail was closed")
            self.world.unregister(self)
            self.connection.close()
            self.connection = None

    def on_reply(self, line):
        require(self.waiting_for, f"smtp: a reply to nothing: {line!r}")
        what = self.waiting_for.pop(0)
        code = line[:3]
        if what == "greeting":
            self.waiting_for = ["ehlo"]
            self.send(b"EHLO client.test\r\n")
        elif what == "data" and code == b"354":
            self.waiting_for = ["end"]
            self.send(self.data)
        elif what == "end":
            # 250: it is on disk. Anything else: it may be, and will be sent again by a real peer.
            self.creation.finish(DONE if code == b"250" else RESOLVED, self.world.now)
            require(code[:1] in b"24", f"smtp: {line!r}")
            self.refused += code != b"250"
        elif code[:1] != b"2":
            require(code[:1] == b"4", f"smtp: {what}: {line!r}")
            self.refused += 1
            self.creation.finish(RESOLVED, self.world.now)
            self.waiting_for = ["rset"] if what == "data" else self.waiting_for
            if what == "data":
                self.send(b"RSET\r\n")
