"""Receivers of webhooks that know nothing of Sealpost's code: Python's http.server and hmac, and raw
sockets that misbehave."""

import hashlib
import hmac
import http.server
import pathlib
import re
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.listener import Listener  # noqa: E402


def verify(secret, header, body, now=None, tolerance=300):
    """docs/webhooks.md, "The signature", as a receiver would write it. Raises ValueError."""
    match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header or "")
    if match is None:
        raise ValueError(f"not a signature: {header!r}")
    stamp, given = match.groups()
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance:
        raise ValueError("too old")
    expected = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, given):
        raise ValueError("the signature is another body's or another secret's")


class Receiver:
    """An HTTP server; `answer` gets each request and gives (status, headers). Requests are kept."""

    def __init__(self, address="127.0.0.1", answer=None, certificate=None):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = {"method": self.command, "path": self.path, "headers": self.headers,
                           "body": body}
                receiver.requests.append(request)
                status, headers = receiver.answer(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value.encode().decode("latin-1"))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            daemon_threads = True

            def get_request(self):
                got = super().get_request()
                receiver.connections += 1
                return got

            def handle_error(self, request, client_address):
                pass

        self.requests = []
        self.connections = 0
        self.answer = answer or (lambda request: (200, {}))
        self.server = Server((address, 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Raw(Listener):
    """A socket that reads the head of a request (or nothing) and then does what it is told."""

    def __init__(self, act, address="127.0.0.1", reads=True):
        self.act = act
        self.reads = reads
        super().__init__(address=address)

    def serve(self, connection):
        if self.reads:
            connection.recv(65536)
        self.act(connection)
