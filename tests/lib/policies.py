"""A web server with MTA-STS policies (RFC 8461), on port 443 of an address of the test's own."""

import http.server
import threading


class Policies:
    """https://mta-sts.<domain>/.well-known/mta-sts.txt for every domain. `zones` is where `publish` puts
    the records."""

    def __init__(self, context, address, zones):
        owner = self
        self.texts, self.asked = {}, []
        self.type = "text/plain; charset=utf-8"
        self.status = 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.asked.append((self.headers["Host"], self.path))
                text = owner.texts.get(self.headers["Host"].removeprefix("mta-sts."), "").encode()
                self.send_response(owner.status)
                self.send_header("Content-Type", owner.type)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.address, self.zones = address, zones
        self.server = http.server.ThreadingHTTPServer((address, 443), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, domain, mode, *mx, number="1", age=86400):
        self.zones[f"_mta-sts.{domain}"] = [["TXT", f"v=STSv1; id={number};"]]
        self.zones[f"mta-sts.{domain}"] = [["A", self.address]]
        self.texts[domain] = "".join(
            f"{line}\r\n" for line in ["version: STSv1", f"mode: {mode}",
                                       *[f"mx: {each}" for each in mx], f"max_age: {age}"])

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
