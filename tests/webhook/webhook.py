#!/usr/bin/env python3
"""Attempts at webhooks, each against a receiver that shares no code with us: what is posted, how it
is signed, where it may not go, and what becomes of bad receivers. The queue is tests/scenario's."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from suite import Suite, check  # noqa: E402
from receiver import Raw, Receiver, verify  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TRY = os.path.join(os.environ["SEALPOST_BUILD"], "tests", "webhook", "webhook_try")
SECRET = "whsec_0123456789abcdef"
NAME = "hooks.example"
suite = Suite(__doc__)


class Try:
    """Runs attempts with one body."""

    def __init__(self, folder):
        self.folder = folder
        self.body = json.dumps({"subject": "Grüße", "raw": "x" * 5000}).encode()
        self.make_certificate()

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", self.path("key.pem"), "-out", self.path("cert.pem"), "-days", "2",
             "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"],
            check=True, capture_output=True)
        self.certificate = (self.path("cert.pem"), self.path("key.pem"))

    def post(self, url, *options, body=None, env=None):
        with open(self.path("body"), "wb") as file:
            file.write(self.body if body is None else body)
        done = subprocess.run([TRY, *options, url, self.path("body")], capture_output=True,
                              timeout=90, env=dict(os.environ, **(env or {})))
        check(done.returncode == 0, f"{url}: {done.returncode} {done.stderr.decode()}")
        return json.loads(done.stdout)

    def named(self, receiver, path="/", scheme="http", *options, **more):
        """To NAME, which is the receiver's address and allowed by its name."""
        return self.post(f"{scheme}://{NAME}:{receiver.port}{path}", "--zone", f"{NAME}=127.0.0.1",
                         "--allow", NAME, *options, **more)


def expect(result, outcome, words="", status=None):
    check(result["outcome"] == outcome and words in result["reason"] and
          (status is None or result["status"] == status), f"{result}, not {outcome} {words}")


# ---- What is posted ----

@suite.case
def a_receiver_checks_the_signature(t):
    with Receiver() as receiver:
        result = t.named(receiver, "/hook?x=1", "http", "--secret", SECRET, "--id", "d-17")
        expect(result, "done", status=200)
        (request,) = receiver.requests
    headers = request["headers"]
    verify(SECRET, headers["X-Webhook-Signature"], request["body"])
    check(request["method"] == "POST" and request["path"] == "/hook?x=1", request)
    check(request["body"] == t.body, "the body differs")
    check(headers["Content-Type"] == "application/json" and headers["X-Webhook-Id"] == "d-17", headers)
    check(headers["Host"] == f"{NAME}:{receiver.port}" and "Expect" not in headers, headers)
    for wrong in ((SECRET + "x", request["body"]), (SECRET, request["body"] + b" ")):
        try:
            verify(wrong[0], headers["X-Webhook-Signature"], wrong[1])
        except ValueError:
            continue
        check(False, "a wrong signature was taken")


@suite.case
def the_documentation_has_it_right(t):
    """The example of docs/webhooks.md, and the check that it tells receivers to make."""
    with open(os.path.join(ROOT, "docs", "webhooks.md"), encoding="utf-8") as file:
        text = file.read()
    (header,) = re.findall(r"X-Webhook-Signature: (\S+)", text)
    ((secret, body),) = re.findall(r"for the secret `(.*?)` and the body `(.*?)`", text)
    verify(secret, header, body.encode(), now=1795687200)


@suite.case
def a_large_body_is_signed_whole(t):
    body = os.urandom(1 << 20) * 40
    with Receiver() as receiver:
        expect(t.named(receiver, "/", "http", "--secret", SECRET, body=body), "done")
        (request,) = receiver.requests
    check(request["body"] == body, "the body differs")
    verify(SECRET, request["headers"]["X-Webhook-Signature"], body)
    return f"{len(body) >> 20} MiB"


@suite.case
def no_secret_no_signature(t):
    with Receiver() as receiver:
        expect(t.named(receiver), "done")
        check("X-Webhook-Signature" not in receiver.requests[0]["headers"], "signed with nothing")


@suite.case
def https_with_a_certificate_that_is_trusted(t):
    with Receiver(certificate=t.certificate) as receiver:
        expect(t.named(receiver, "/", "https", "--trust", t.path("cert.pem")), "done")
        expect(t.named(receiver, "/", "https"), "retry", "certificate")
        other = t.post(f"https://other.example:{receiver.port}/", "--zone", "other.example=127.0.0.1",
                       "--allow", "other.example", "--trust", t.path("cert.pem"))
        expect(other, "retry")
        check(len(receiver.requests) == 1, "posted without trust")


@suite.case
def what_a_status_means(t):
    rows = ((200, "done"), (204, "done"), (400, "failed"), (401, "failed"), (404, "failed"),
            (408, "retry"), (410, "failed"), (425, "retry"), (429, "retry"), (500, "retry"),
            (503, "retry"), (304, "failed"))
    for status, outcome in rows:
        with Receiver(answer=lambda request: (status, {"Retry-After": "30"})) as receiver:
            result = t.named(receiver)
            expect(result, outcome, status=status)
            check(result["retry_after_ms"] == (30000 if outcome == "retry" else 0), result)
    return f"{len(rows)} statuses"


# ---- Redirects ----

@suite.case
def redirects_keep_method_body_and_signature(t):
    for status in (301, 302, 303, 307, 308):
        def answer(request):
            return (status, {"Location": "../b?c"}) if request["path"] == "/a/x" else (201, {})
        with Receiver(answer=answer) as receiver:
            expect(t.named(receiver, "/a/x", "http", "--secret", SECRET), "done", status=201)
            first, second = receiver.requests
        check(second["path"] == "/b?c" and second["method"] == "POST", second)
        check(second["body"] == t.body, "the body was lost")
        verify(SECRET, second["headers"]["X-Webhook-Signature"], second["body"])


@suite.case
def a_circle_of_redirects_ends(t):
    with Receiver(answer=lambda request: (307, {"Location": request["path"] + "x"})) as receiver:
        expect(t.named(receiver), "failed", "too many redirects")
        check(len(receiver.requests) == 6, f"{len(receiver.requests)} requests")


@suite.case
def a_redirect_is_judged_anew(t):
    """The first host is allowed by name; where it leads is not."""
    with Receiver() as inner, Receiver("::1") as inner6:
        targets = [f"http://{host}:{inner.port}/" for host in SPELLINGS]
        targets += [f"http://{host}:{inner6.port}/" for host in SPELLINGS6]
        targets += [f"//127.0.0.1:{inner.port}/", f"https://127.0.0.1:{inner.port}/",
                    f"http://inner.example:{inner.port}/"]
        for target in targets:
            with Receiver(answer=lambda request: (307, {"Location": target})) as outer:
                result = t.named(outer, "/", "http", "--http", "--zone", "inner.example=127.0.0.1")
                expect(result, "failed")
                check(result["status"] == 0 and "address" in result["reason"], f"{target}: {result}")
        check(inner.connections + inner6.connections == 0, "somebody was connected to")
    return f"{len(targets)} targets"


@suite.case
def a_redirect_to_nowhere(t):
    for target in ("ftp://x/", "file:///etc/passwd", "gopher://127.0.0.1:25/_x", "http://u:p@x/",
                   "http://x\\@127.0.0.1/", "http://", "javascript:1", ""):
        headers = {"Location": target} if target else {}
        with Receiver(answer=lambda request: (302, headers)) as receiver:
            expect(t.named(receiver), "failed", "HTTP 302", status=302)


# ---- Where it may not go ----

# 127.0.0.1, this host and its networks, in every spelling that programs have understood.
SPELLINGS = (
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1",
    "0X7F.1", "0177.0.0.1", "0177.0.0.01", "127.0.0.1.", "127.255.255.254", "0", "0.0.0.0",
    "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "10.0.0.1", "10.1", "172.16.0.1", "192.168.0.1",
    "192.168.1", "169.254.169.254", "169.254.43518", "2852039166", "0xa9fea9fe", "100.64.0.1",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "192.88.99.1",
)
SPELLINGS6 = (
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::FFFF:10.0.0.1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:0:0::1]",
    "[2001:db8::1]", "[3fff::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd12::1]", "[ff02::1]",
    "[100::1]", "[5f00::1]", "[2001:2::1]", "[2606:4700::5efe:7f00:1]", "[::ffff:0:127.0.0.1]",
)


@suite.case
def each_spelling_of_a_forbidden_address(t):
    with Receiver() as receiver, Receiver("::1") as receiver6:
        for host in SPELLINGS:
            for scheme in ("http", "https"):
                result = t.post(f"{scheme}://{host}:{receiver.port}/", "--http")
                expect(result, "failed", "address")
                check(result["asked"] == {}, result)
        for host in SPELLINGS6:
            expect(t.post(f"http://{host}:{receiver6.port}/", "--http"), "failed", "address")
        check(receiver.connections + receiver6.connections == 0, "somebody was connected to")
    return f"{len(SPELLINGS) + len(SPELLINGS6)} spellings"


@suite.case
def urls_that_are_none(t):
    for url in ("ftp://a.example/", "https://", "https://user:password@a.example/", "https://a b/",
                "https://127.0.0.1%00.a.example/", "https://[::1%25lo]/", "https://a.example:0/",
                "https://256.0.0.1/", "https://[fe80::1%eth0]/", "https://good\\@127.0.0.1/",
                "//a.example/", "https://1.2.3.4.5/", "https://a..example/", "x"):
        expect(t.post(url, "--http", "--zone", "a.example=127.0.0.1"), "failed")


@suite.case
def names_that_lead_inside(t):
    with Receiver() as receiver, Receiver("::1") as receiver6:
        port, port6 = receiver.port, receiver6.port
        for addresses in ("127.0.0.1", "10.0.0.1", "93.184.216.34,127.0.0.1", "127.0.0.1,93.184.216.34",
                          "169.254.169.254", "::ffff:127.0.0.1", "93.184.216.34,::1", "64:ff9b::7f00:1",
                          "2002:7f00:1::1", "93.184.216.34,fd00::1", "0.0.0.0", "::"):
            for at in (port, port6):
                result = t.post(f"http://evil.example:{at}/", "--http", "--zone",
                                f"evil.example={addresses}")
                expect(result, "failed", "address")
                check(result["asked"] == {"evil.example": 1}, result)
        many = ",".join(f"93.184.216.{i}" for i in range(40))
        expect(t.post(f"http://evil.example:{port}/", "--http", "--zone", f"evil.example={many}"),
               "failed", "too many addresses")
        check(receiver.connections + receiver6.connections == 0, "somebody was connected to")


@suite.case
def dns_rebinding(t):
    """The judged answer is the one that is connected to; what would come next does not count."""
    with Receiver("127.0.0.2") as outer:
        with Receiver("127.0.0.1") as inner:
            inner.server.server_close()
        result = t.post(f"http://evil.example:{outer.port}/", "--zone",
                        "evil.example=127.0.0.2/127.0.0.1", "--allow", "127.0.0.2")
        expect(result, "done")
        check(result["asked"] == {"evil.example": 1} and len(outer.requests) == 1, result)
        # With a redirect to itself the name is asked again, and judged again.
        outer.answer = lambda request: (307, {"Location": "/again"})
        result = t.post(f"http://evil.example:{outer.port}/", "--zone",
                        "evil.example=127.0.0.2/127.0.0.1", "--allow", "127.0.0.2")
        expect(result, "failed", "loopback")
        check(result["asked"] == {"evil.example": 2} and len(outer.requests) == 2, result)


@suite.case
def http_and_ports_of_other_services(t):
    zone = ("--zone", "a.example=93.184.216.34")
    expect(t.post("http://a.example/", *zone), "failed", "not https")
    for port in (1, 22, 25, 110, 465, 587, 993, 1023):
        expect(t.post(f"https://a.example:{port}/", *zone), "failed", "port")


@suite.case
def the_list_of_what_is_allowed(t):
    with Receiver() as receiver:
        for allow, host, is_allowed in (
                ("127.0.0.0/8", "127.1", True), ("127.0.0.1", "127.0.0.1", True),
                ("127.0.0.2", "127.0.0.1", False), ("10.0.0.0/8", "127.0.0.1", False),
                (NAME, NAME, True), ("other.example", NAME, False), ("example", NAME, False),
                (NAME, "127.0.0.1", False), ("127.0.0.0/8", NAME, True),
                ("127.0.0.0/8", "[::ffff:127.0.0.1]", False)):
            result = t.post(f"http://{host}:{receiver.port}/", "--allow", allow, "--zone",
                            f"{NAME}=127.0.0.1")
            expect(result, "done" if is_allowed else "failed")


@suite.case
def the_environment_changes_nothing(t):
    with Receiver() as proxy, Receiver() as receiver:
        place = f"http://127.0.0.1:{proxy.port}"
        env = {name: place for name in ("http_proxy", "https_proxy", "ALL_PROXY", "HTTPS_PROXY")}
        expect(t.named(receiver, env=env), "done")
        check(proxy.connections == 0 and len(receiver.requests) == 1, "a proxy was used")


# ---- Bad receivers ----

@suite.case
def nobody_there(t):
    with Receiver() as receiver:
        port = receiver.port
    expect(t.post(f"http://{NAME}:{port}/", "--zone", f"{NAME}=127.0.0.1", "--allow", NAME), "retry")
    expect(t.post(f"http://{NAME}/", "--allow", NAME), "retry", "no address")
    expect(t.post(f"http://{NAME}/", "--allow", NAME, "--zone", f"{NAME}=fail"), "retry", "resolved")


@suite.case
def the_next_address_when_one_does_not_answer(t):
    with Receiver("127.0.0.3") as receiver:
        result = t.post(f"http://{NAME}:{receiver.port}/", "--zone",
                        f"{NAME}=127.0.0.1,127.0.0.2,127.0.0.3", "--allow", NAME)
        expect(result, "done")


@suite.case
def one_that_says_nothing(t):
    for reads in (True, False):
        with Raw(lambda connection: time.sleep(20), reads=reads) as receiver:
            start = time.monotonic()
            expect(t.named(receiver, "/", "http", "--timeout", "1500"), "retry")
            check(time.monotonic() - start < 5, "it took too long")


@suite.case
def one_that_drips(t):
    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for i in range(200):
            connection.sendall(b"X-Drip: %d\r\n" % i)
            time.sleep(0.1)
    with Raw(drip) as receiver:
        start = time.monotonic()
        expect(t.named(receiver, "/", "http", "--timeout", "1500"), "retry")
        check(time.monotonic() - start < 5, "it took too long")


@suite.case
def garbage(t):
    for reply in (b"", b"\r\n\r\n", b"SSH-2.0-x\r\n", b"220 mail ESMTP\r\n", b"\0" * 70000,
                  b"HTTP/1.1 99 x\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
                  b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", os.urandom(5000),
                  b"<html>200 OK</html>"):
        with Raw(lambda connection: connection.sendall(reply)) as receiver:
            result = t.named(receiver, "/", "http", "--timeout", "3000")
            check(result["outcome"] == "retry", f"{reply[:40]}: {result}")


@suite.case
def endless_headers(t):
    def flood(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            connection.sendall(b"X-Flood: " + b"x" * 10000 + b"\r\n")
    def informational(connection):
        for _ in range(200000):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    for act in (flood, informational):
        with Raw(act) as receiver:
            expect(t.named(receiver, "/", "http", "--timeout", "20000"), "retry", "large")


@suite.case
def an_endless_body_is_not_read(t):
    sent = []
    def flood(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2000):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent.append(65536)
    with Raw(flood) as receiver:
        expect(t.named(receiver), "done", status=200)
        time.sleep(0.2)
        check(sum(sent) < 32 << 20, f"{sum(sent)} bytes were taken")


# ---- The courier stops ----

@suite.case
def ended_in_the_middle(t):
    """While it is signed, resolved, connected, posted, read: nothing is called any more, nothing
    is left (the sanitizers would tell)."""
    large = os.urandom(1 << 20) * 60
    with Raw(lambda connection: time.sleep(2)) as silent, Raw(lambda connection: time.sleep(2),
                                                             reads=False) as deaf:
        for how in ("--cancel-after", "--free-after"):
            for moment in ("1", "5", "30", "150"):
                for receiver in (silent, deaf):
                    result = t.named(receiver, "/", "http", "--secret", SECRET, how, moment,
                                     body=large)
                    check(result["outcome"] == "ended", result)
        result = t.post(f"http://{NAME}:{silent.port}/", "--allow", NAME, "--zone",
                        f"{NAME}=mute", "--cancel-after", "100")
        check(result["outcome"] == "ended", result)


if __name__ == "__main__":
    suite.parse()
    with tempfile.TemporaryDirectory() as folder:
        suite.run(Try(folder))
