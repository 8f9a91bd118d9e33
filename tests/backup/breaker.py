"""A proxy between a client and an S3 server that breaks things: TLS outside, plain HTTP inside.

Rules are tried in order for each request; the first one that matches is taken, `times` times, and does:

    cut_request N    closes the connection when N bytes of the request's body have passed
    cut_response N   closes it when N bytes of the response's body have
    status S         answers S itself, without asking the server
    alter N          changes the byte N of the response's body
    swap (A, B)      has B for each A in the response's body
    late N           passes it on after N seconds, whether its client is still there or not
    hang None        takes the request's head, and does not answer until the rules go
    drip None        begins an answer that has no end, a byte now and then, until the rules go
    sizes N          says in the response's header that the object has N bytes
"""

import http.client
import socket
import socketserver
import ssl
import threading
import time


class Rule:
    def __init__(self, method, needle, action, value, times=1):
        self.method, self.needle, self.action, self.value, self.times = (
            method, needle, action, value, times)


class Breaker:
    def __init__(self, port, certificate, key):
        self.port = port  # of the server behind
        self.rules = []
        self.seen = []  # "PUT /path?query"
        self.lock = threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        breaker = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    with context.wrap_socket(self.request, server_side=True) as stream:
                        while breaker.one(stream):
                            pass
                except (OSError, ssl.SSLError, ValueError):
                    pass

        class Threads(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 64

        self.server = Threads(("127.0.0.1", 0), Handler)
        self.own_port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def add(self, *arguments, **options):
        with self.lock:
            self.rules.append(Rule(*arguments, **options))

    def reset(self):
        with self.lock:
            self.rules.clear()
            self.seen.clear()

    def count(self, start, needle=""):
        with self.lock:
            return sum(1 for line in self.seen if line.startswith(start) and needle in line)

    def rule_for(self, method, target):
        with self.lock:
            self.seen.append(f"{method} {target}")
            for rule in self.rules:
                if rule.times > 0 and rule.method == method and rule.needle in target:
                    rule.times -= 1
                    return rule
        return Rule(method, "", None, None)

    def one(self, stream):
        file = stream.makefile("rb")
        line = file.readline()
        if not line:
            return False
        method, target, _ = line.decode().split(" ", 2)
        headers = []
        while (line := file.readline().rstrip(b"\r\n")):
            headers.append(tuple(part.strip() for part in line.decode().split(":", 1)))
        fields = {name.lower(): value for name, value in headers}
        rule = self.rule_for(method, target)
        if rule.action == "status":
            body = b"<Error><Code>SlowDown</Code></Error>"
            stream.sendall(b"HTTP/1.1 %d Broken\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                           % (rule.value, len(body), body))
            return False
        if "100-continue" in fields.get("expect", ""):
            stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(fields.get("content-length", 0))
        if rule.action in ("hang", "drip"):
            return self.hold(stream, rule, file, length)
        if rule.action == "cut_request":
            file.read(min(rule.value, length))
            return False
        body = file.read(length)
        if rule.action == "late":
            time.sleep(rule.value)
        return self.pass_on(stream, rule, method, target, headers, body)

    def hold(self, stream, rule, file, length):
        if rule.action == "drip":
            file.read(length)
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while rule in self.rules:
            if rule.action == "drip":
                stream.sendall(b" ")
            time.sleep(0.2)
        return False

    def pass_on(self, stream, rule, method, target, headers, body):
        behind = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        behind.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            if name.lower() not in ("expect", "connection"):
                behind.putheader(name, value)
        behind.endheaders(body if body else None)
        response = behind.getresponse()
        content = bytearray(response.read())
        behind.close()
        if rule.action == "alter" and rule.value < len(content):
            content[rule.value] ^= 1
        if rule.action == "swap":
            content = content.replace(*(word.encode() for word in rule.value))
        head = f"HTTP/1.1 {response.status} {response.reason}\r\n"
        length = len(content)
        for name, value in response.getheaders():
            if name.lower() == "content-length" and method == "HEAD":
                length = rule.value if rule.action == "sizes" else int(value)
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                head += f"{name}: {value}\r\n"
        if response.status != 204:
            head += f"Content-Length: {length}\r\n"
        stream.sendall(head.encode() + b"\r\n")
        if rule.action == "cut_response":
            stream.sendall(bytes(content[:rule.value]))
            return False
        stream.sendall(bytes(content))
        return True
