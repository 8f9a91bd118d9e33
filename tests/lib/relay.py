"""TCP in between, which counts connections, can hang up, stop, and go deaf."""

import ctypes
import socket
import struct
import threading


class Relay:
    """`allowance`: so many octets come from the server at most, and then nothing more, without an end,
    until lift()."""

    def __init__(self, port, allowance=None):
        self.target = port
        self.allowance = allowance
        self.connections = 0
        self.changed = threading.Condition()
        self.is_hanging_up = False
        self.pairs = []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self.connections += 1
            self.pairs.append((client, server))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.carry, args=(one, other, server), daemon=True).start()

    def carry(self, one, other, server):
        try:
            while True:
                data = one.recv(65536)
                if not data:
                    break
                if self.is_hanging_up:
                    self.is_hanging_up = False
                    break
                if one is server:
                    self.wait_for_allowance(len(data))
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait_for_allowance(self, count):
        with self.changed:
            self.changed.wait_for(lambda: self.allowance is None or self.allowance >= count)
            if self.allowance is not None:
                self.allowance -= count

    def lift(self):
        with self.changed:
            self.allowance = None
            self.changed.notify_all()

    def hang_up(self):
        for pair in self.pairs:
            for each in pair:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []

    def deafen(self):
        """What is sent on today's connections arrives nowhere, as behind a router that forgot them."""
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: take 0 bytes
        program_ = struct.pack("HxxxxxxP", 1, ctypes.addressof(nothing))
        for client, _ in self.pairs:
            client.setsockopt(socket.SOL_SOCKET, 26, program_)  # SO_ATTACH_FILTER

    def stop(self):
        self.socket.close()
        self.hang_up()
