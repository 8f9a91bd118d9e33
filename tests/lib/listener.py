"""A server of a few lines, for peers that real ones would never be."""

import socket
import threading


class Listener:
    """Calls `serve` (a function, or a subclass's method) with each connection, in a thread of its own; the
    connection ends with it. A subclass sets its own attributes first: clients may come at once."""

    def __init__(self, serve=None, address="127.0.0.1", port=0, path=None):
        if serve is not None:
            self.serve = serve
        self.connections = 0
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen(128)
        else:
            self.listener = socket.create_server((address, port), backlog=128)
            self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.handle, args=(connection,), daemon=True).start()

    def handle(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:  # the peer went, or said no to our TLS
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
