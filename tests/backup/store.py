#!/usr/bin/env python3
"""Where backups are kept: S3, against a server that checks signatures (s3_server.py), through a proxy that
breaks things (breaker.py); and a folder that is full, or whose writer is killed.

Of meson's folder SEALPOST_BUILD it needs tests/backup/backup_try.
"""

import hashlib
import http.server
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from breaker import Breaker, Rule  # noqa: E402
from s3_server import KEY_ID, SECRET  # noqa: E402
from server import AdminError, Server, build_folder, free_ports  # noqa: E402
import storage  # noqa: E402
from storage import Server as S3Server  # noqa: E402

TRY = build_folder() / "tests" / "backup" / "backup_try"
PART = 5 << 20  # the least that S3 takes, but for the last
tests = []


def test(function):
    tests.append(function)
    return function


def check(is_right, words=""):
    if not is_right:
        raise AssertionError(words)


class World(S3Server):
    def __init__(self, folder):
        super().__init__(folder)
        self.work = self.folder / "work"
        self.work.mkdir()
        self.place = self.url(prefix="some/prefix")

    def start(self, *words, place=None, secret=SECRET, ca=None, work=None, part=PART, allow=None):
        return subprocess.Popen(
            [str(word) for word in (TRY, place or self.place, KEY_ID, secret,
                                    ca or self.certificate, work or self.work, part, *words)],
            env=os.environ if allow is None else {**os.environ, "BACKUP_TRY_ALLOW": allow},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *words, **options):
        process = self.start(*words, **options)
        text = process.communicate(timeout=240)[0]
        return process.returncode == 0, text

    def ok(self, *words, **options):
        is_ok, text = self.run(*words, **options)
        check(is_ok, f"{words}: {text}")
        return text

    def fails(self, kind, *words, **options):
        is_ok, text = self.run(*words, **options)
        check(not is_ok and text.startswith(kind), f"{words}: {text!r}, not {kind}")
        return text

    def file(self, size, seed=1):
        path = self.folder / f"in-{size}-{seed}"
        if not path.exists():
            path.write_bytes(random.Random(seed * 1000003 + size).randbytes(size))
        return path

    def same(self, name, path, **options):
        out = self.folder / "out"
        self.ok("get", name, out, **options)
        check(hashlib.sha256(out.read_bytes()).digest() ==
              hashlib.sha256(pathlib.Path(path).read_bytes()).digest(), f"{name}: other bytes")


@test
def what_is_put_comes_back(world):
    for size in (0, 1, 1000, PART, PART + 1, 3 * PART + 12345):
        world.ok("put", "m/full/x.sqlite", world.file(size))
        world.same("m/full/x.sqlite", world.file(size))
    world.fails("not found", "get", "m/full/y.sqlite", "/dev/null")


@test
def a_wrong_secret_is_refused(world):
    text = world.fails("denied", "put", "m/a", world.file(1000), secret="wrong")
    check("SignatureDoesNotMatch" in text, text)
    world.fails("denied", "list", "m/", "", 10, secret="wrong")


@test
def another_certificate_is_refused(world):
    other = world.folder / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", "/dev/null", "-out", other, "-subj", "/CN=test", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    world.fails("denied", "put", "m/a", world.file(1000), ca=other)
    place = world.place.replace("127.0.0.1", "elsewhere.test")
    world.fails("denied", "put", "m/a", world.file(1000), place=place)


@test
def the_bucket_in_the_name(world):
    place = f"s3-host:https://mail.s3.test:{world.breaker.own_port}/some/prefix"
    world.ok("put", "m/host/a", world.file(1000), place=place)
    world.same("m/host/a", world.file(1000))
    world.same("m/host/a", world.file(1000), place=place)
    check("m/host/a 1000" in world.ok("list", "m/host/", "", 10, place=place))


@test
def lists_are_in_order_and_in_pages(world):
    names = [f"m/list/{letter}" for letter in ("a/1", "b-1", "b/1", "b0", "c")]
    for name in reversed(names):
        world.ok("put", name, world.file(10))
    lines = world.ok("list", "m/list/", "", 100).splitlines()
    check(lines[0] == "ok" and [line.split()[0] for line in lines[1:]] == names, lines)
    check(all(line.split()[1] == "10" for line in lines[1:]), lines)
    age = time.time() - int(lines[1].split()[2]) / 1000
    check(-60 < age < 300, age)
    lines = world.ok("list", "m/list/", "", 2).splitlines()
    check(lines[0] == "ok more" and len(lines) == 3, lines)
    lines = world.ok("list", "m/list/", names[1], 3).splitlines()
    check(lines[0] == "ok" and [line.split()[0] for line in lines[1:]] == names[2:], lines)
    for name in names:
        world.ok("delete", name)
    world.ok("delete", names[0])
    check(world.ok("list", "m/list/", "", 100) == "ok\n", "not empty")


@test
def a_cut_connection_is_gone_on_with(world):
    path = world.file(4 * PART + 77)
    world.breaker.reset()
    world.breaker.add("PUT", "partNumber=3&", "cut_request", 1 << 20)
    world.ok("put", "m/cut", path)
    check(world.breaker.count("PUT", "partNumber=1&") == 1, world.breaker.seen)
    check(world.breaker.count("PUT", "partNumber=3&") == 2, world.breaker.seen)
    world.same("m/cut", path)


@test
def a_killed_upload_is_gone_on_with(world):
    path = world.file(4 * PART + 78)
    world.breaker.reset()
    world.breaker.add("PUT", "partNumber=4&", "status", 503, times=100)
    world.fails("busy", "put", "m/killed", path)
    check(world.ok("list", "m/killed", "", 10) == "ok\n", "half an object is listed")
    world.fails("not found", "get", "m/killed", "/dev/null")
    world.breaker.reset()
    world.ok("put", "m/killed", path)
    for part in (1, 2, 3):
        check(world.breaker.count("PUT", f"partNumber={part}&") == 0, world.breaker.seen)
    check(world.breaker.count("PUT", "partNumber=4&") == 1, world.breaker.seen)
    world.same("m/killed", path)


@test
def what_others_left_is_not_mixed_in(world):
    """An upload of the same name, of other bytes, was interrupted."""
    world.breaker.reset()
    world.breaker.add("PUT", "partNumber=3&", "status", 503, times=100)
    world.fails("busy", "put", "m/mixed", world.file(3 * PART, 1))
    world.breaker.reset()
    world.ok("put", "m/mixed", world.file(3 * PART, 2))
    check(world.breaker.count("DELETE", "uploadId=") == 1, world.breaker.seen)
    world.same("m/mixed", world.file(3 * PART, 2))


@test
def what_is_gone_on_with_can_be_read(world):
    """An upload of the same name was interrupted, all whose parts are the same as ours: its digest is not."""
    whole = world.file(2 * PART + 99, 1).read_bytes()
    path = world.folder / "same-beginning"
    path.write_bytes(whole[:PART] + bytes(reversed(whole[PART:])))
    world.breaker.reset()
    world.breaker.add("PUT", "partNumber=2&", "status", 503, times=100)
    world.fails("busy", "put", "m/beginning", world.file(2 * PART + 99, 1))
    world.breaker.reset()
    world.ok("put", "m/beginning", path)
    world.same("m/beginning", path)


@test
def what_is_given_up_leaves_no_upload(world):
    """A file that changes while its first part is on the way; and where the upload cannot be dropped, the same is
    said of it."""
    path = world.folder / "changing"
    denied = Rule("DELETE", "uploadId=", "status", 403)

    def put(name, change, rules):
        path.write_bytes(world.file(3 * PART).read_bytes())
        world.breaker.reset()
        world.breaker.add("PUT", "partNumber=1&", "hang", None)
        process = world.start("put", name, path)
        while not world.breaker.count("PUT", "partNumber=1&"):
            check(process.poll() is None, "it did not get that far")
            time.sleep(0.05)
        with open(path, "r+b") as file:
            change(file)
        with world.breaker.lock:
            world.breaker.rules = rules
        return process.communicate()[0]

    def other_bytes(file):
        file.seek(2 * PART)
        file.write(b"????")

    for name, change, rules, words in (
            ("m/other", other_bytes, [], "not those of the digest"),
            ("m/shorter", lambda file: file.truncate(2 * PART), [], "shorter than its size"),
            ("m/denied", other_bytes, [denied], "not those of the digest")):
        text = put(name, change, rules)
        check(text.startswith("invalid") and words in text, text)
        check(world.breaker.count("DELETE", "uploadId=") == 1, world.breaker.seen)
        check(world.breaker.count("POST", "uploads=") == 1, world.breaker.seen)
        is_left = name in world.curl("GET", "/mail?uploads=")[2].decode()
        check(is_left == bool(rules), f"{name}: an upload is left: {is_left}")
        check(world.ok("list", name, "", 10) == "ok\n", "half an object is listed")


@test
def an_upload_that_the_server_cut_is_no_success(world):
    """It said that all of it is there, and has less."""
    world.breaker.reset()
    world.breaker.add("HEAD", "m/claimed", "sizes", PART, times=100)
    world.fails("invalid", "put", "m/claimed", world.file(2 * PART + 5))


@test
def errors_in_the_middle(world):
    path = world.file(2 * PART + 5)
    for method, needle in (("GET", "uploads="), ("POST", "uploads="), ("PUT", "partNumber=2&"),
                           ("POST", "uploadId=")):
        world.breaker.reset()
        world.breaker.add(method, needle, "status", 500, times=2)
        world.ok("put", "m/errors", path)
        world.same("m/errors", path)
    world.breaker.reset()
    world.breaker.add("GET", "m/errors", "status", 503, times=2)
    world.same("m/errors", path)
    world.breaker.add("GET", "list-type", "status", 503, times=100)
    world.fails("busy", "list", "m/", "", 10)


@test
def a_cut_response_is_gone_on_with(world):
    path = world.file(2 * PART + 6)
    world.ok("put", "m/response", path)
    world.breaker.reset()
    world.breaker.add("GET", "m/response", "cut_response", 3 << 20, times=2)
    world.same("m/response", path)
    check(world.breaker.count("GET", "m/response") == 3, world.breaker.seen)


@test
def altered_and_truncated_objects_are_noticed(world):
    path = world.file(100000)
    world.ok("put", "m/altered", path)
    world.breaker.reset()
    world.breaker.add("GET", "m/altered", "alter", 54321)
    world.fails("corrupt", "get", "m/altered", "/dev/null")
    world.same("m/altered", path)
    # At rest, too: the server's own files.
    for file in (world.folder / "s3" / "devices" / "d").rglob("*.data"):
        if file.stat().st_size == 100000 and file.read_bytes() == path.read_bytes():
            with open(file, "r+b") as stored:
                stored.seek(4711)
                stored.write(b"????")
    is_ok, text = world.run("get", "m/altered", "/dev/null")
    check(not is_ok and re.match("corrupt|not found|busy", text), text)


@test
def an_older_object_is_read_and_compared(world):
    """Its digest is a BLAKE2b-256, in another header."""
    place = storage.Bucket(world, "mail", "some/prefix")
    for size in (0, 1, 100000):
        path = world.file(size)
        place.put("m/before", path.read_bytes(), storage.old_digest_of(path.read_bytes()))
        world.same("m/before", path)
    world.breaker.reset()
    world.breaker.add("GET", "m/before", "cut_response", 54321)
    world.same("m/before", path)
    world.breaker.add("GET", "m/before", "alter", 54321)
    world.fails("corrupt", "get", "m/before", "/dev/null")
    check(place.get("m/before")[1] == storage.old_digest_of(path.read_bytes()), "its digest is not an old one")
    world.ok("put", "m/before", path)
    check(place.get("m/before")[1] == storage.digest_of(path.read_bytes()), "its digest is still an old one")


@test
def the_bucket_is_gone(world):
    place = world.place.replace("/mail/", "/gone/")
    for words in (("put", "m/a", world.file(1000)), ("put", "m/a", world.file(2 * PART)),
                  ("get", "m/a", "/dev/null"), ("list", "", "", 10)):
        world.fails("not found", *words, place=place)


@test
def nobody_is_there(world):
    port = free_ports(1)[0]
    world.fails("busy", "put", "m/a", world.file(1000), place=f"s3:https://127.0.0.1:{port}/mail")


def with_tmpfs(world, work):
    """In a namespace of its own: a folder with 4 MB."""
    small = world.folder / "small"
    small.mkdir(exist_ok=True)
    status = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", small],
                            capture_output=True, check=False).returncode
    if status != 0:
        print("  (no mount namespaces here)")
        return
    mount = f"mount -t tmpfs -o size=4M none {small} && "
    work(small, lambda words: subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + words], capture_output=True, text=True, check=False))


@test
def a_full_disk(world):
    out = world.folder / "full-out"
    big = world.file(6 << 20)
    world.ok("put", "m/big", big)

    def work(small, shell):
        common = f"{TRY} {{}} '{KEY_ID}' {SECRET} {world.certificate} {{}} {PART}"
        found = shell(common.format(world.place, small) + f" get m/big {out}")
        check(found.stdout.startswith("limit"), found.stdout + found.stderr)
        folder = common.format(small, small)
        found = shell(f"{folder} put m/small {world.file(1000)}; {folder} put m/big {big}; "
                      f"{folder} list '' '' 10; {folder} get m/small {out}; find {small} -type f")
        lines = found.stdout.splitlines()
        check(lines[0] == "ok" and lines[1].startswith("limit") and lines[2] == "ok" and
              lines[3].startswith("m/small 1000 ") and lines[4] == "ok", found.stdout)
        check(not any(".incoming" in line for line in lines), found.stdout)

    with_tmpfs(world, work)


@test
def a_stranger_s_place(world):
    """Its address is judged."""
    text = world.fails("denied", "put", "m/a", world.file(1000), allow="10.0.0.0/8")
    check("loopback" in text, text)
    world.ok("put", "m/stranger", world.file(1000), allow="127.0.0.1")
    world.ok("get", "m/stranger", world.folder / "out", allow="127.0.0.1")


@test
def some_of_the_disk_is_left_for_mail(world):
    """However much a server sends."""
    size = (4 << 20) - (100 << 10)
    world.ok("put", "m/most", world.file(size))

    def work(small, shell):
        found = shell(f"{TRY} {world.place} '{KEY_ID}' {SECRET} {world.certificate} {small} {PART} "
                      f"get m/most /dev/null")
        check(found.stdout.startswith("limit") and "mail" in found.stdout, found.stdout)

    with_tmpfs(world, work)


class Endless(http.server.BaseHTTPRequestHandler):
    """Lists that go on and on, with names of nobody."""

    protocol_version = "HTTP/1.1"
    seen = 0
    prefix = ""

    def do_GET(self):
        Endless.seen += 1
        body = (f"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>{Endless.prefix}"
                f"{Endless.seen:09d}/..</Key><Size>1</Size></Contents></ListBucketResult>").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@test
def a_list_without_an_end(world):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    breaker = Breaker(server.server_address[1], world.certificate, world.key)
    place = f"s3:https://127.0.0.1:{breaker.own_port}/mail/p"
    for Endless.prefix, most in (("zzz/", 1), ("p/m/", 101)):
        Endless.seen = 0
        world.fails("invalid", "list", "m/", "", 10, place=place)
        check(Endless.seen == most, f"{Endless.seen} pages")
    breaker.close()
    server.shutdown()


@test
def a_folder_whose_writer_is_killed(world):
    folder = world.folder / "folder"
    folder.mkdir()
    path = world.file(40 << 20)
    for i in range(12):
        process = world.start("put", "m/killed", path, place=folder)
        time.sleep(0.01 + 0.02 * i)
        process.kill()
        process.wait()
        lines = world.ok("list", "", "", 10, place=folder).splitlines()
        if len(lines) > 1:
            check(len(lines) == 2 and lines[1].startswith(f"m/killed {40 << 20} "), lines)
            world.same("m/killed", path, place=folder)
            world.ok("delete", "m/killed", place=folder)
    world.ok("put", "m/killed", path, place=folder)
    world.same("m/killed", path, place=folder)


def rss_of(process):
    peak = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
            peak = max(peak, int(found.group(1))) if found else peak
        except OSError:
            pass
        time.sleep(0.02)
    return peak


@test
def memory_does_not_grow_with_the_object(world):
    peaks = {}
    for size in (1 << 20, 60 << 20):
        path = world.file(size)
        process = world.start("put", "m/memory", path, part=16 << 20)
        put = rss_of(process)
        check(process.returncode == 0, process.stdout.read())
        process = world.start("get", "m/memory", "/dev/null", part=16 << 20)
        peaks[size] = (put, rss_of(process))
        check(process.returncode == 0, process.stdout.read())
    print(f"  peak memory, kB: {peaks}")
    for i in (0, 1):
        if "asan" not in str(TRY):
            check(peaks[60 << 20][i] - peaks[1 << 20][i] < 4096, peaks)


# ---- The service ----

STAMP = r"\d{8}T\d{6}\.\d{3}Z"


def wait_until(condition, seconds, words):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(words)


def store_object(folder, name, content):
    """As directory.c would."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name(path.name + ".digest").write_text(
        storage.digest_of(content) + "\n")


def rows(answer):
    """Of a list's answer: an array, whatever their number."""
    if isinstance(answer, dict):
        return answer.get("items", [answer])
    return answer or []


def account_objects(folder):
    return [path for path in folder.glob("host/account/*") if path.suffix == ".sqlite"]


@test
def accounts_are_backed_up_and_come_back(world):
    folder = world.folder / "service"
    folder.mkdir()
    with Server(settings={"backup": folder}) as server:
        alias = server.add_alias("me@example.test")
        path = wait_until(lambda: account_objects(folder), 60, "no backup of the accounts")[0]
        check(re.fullmatch(STAMP + r"-[0-9a-f]{8}\.sqlite", path.name), path)
        wait_until(lambda: path.with_name(path.name + ".digest").exists(), 5, "no digest")
        status = server.admin("backup", "status")
        check(status["objects"] >= 1 and status["failures"] == 0, status)
        # What a mailbox's own process puts there, an administrator sees.
        items = rows(server.admin("backup", "list"))
        check([item["kind"] for item in items] == ["none"], items)
        full = f"{alias.mailbox}/full/20261121T100000.000Z-7"
        store_object(folder, full + ".sqlite", b"x" * 4321)
        store_object(folder, full + ".json", b'{"verified": true}')
        store_object(folder, f"{alias.mailbox}/full/20261121T110000.000Z-8.sqlite", b"y" * 44)
        store_object(folder, f"{alias.mailbox}/drop/20261121T120000.000Z.drop.sqlite", b"z" * 5)
        items = rows(server.admin("backup", "list", alias.address))
        found = [(each["kind"], each["time"], each["size"], each.get("verified")) for each in items]
        check(found == [("full", "2026-11-21T10:00:00.000Z", 4321, "yes"),
                        ("full", "2026-11-21T11:00:00.000Z", 44, "no"),
                        ("drop", "2026-11-21T12:00:00.000Z", 5, None)], found)
        items = rows(server.admin("backup", "list"))
        check(len(items) == 1 and items[0]["size"] == 44 and items[0]["address"] == alias.address,
              items)
        try:
            server.admin("backup", "list", "nobody@example.test")
            raise AssertionError("backups of nobody")
        except AdminError as error:
            check(error.status == 4, error)
        host_key = (server.data / "host.key").read_bytes()
    # Another host, with the host key and the backup.
    with tempfile.TemporaryDirectory() as data:
        data = pathlib.Path(data) / "data"
        (data / "account").mkdir(parents=True)
        (data / "host.key").write_bytes(host_key)
        (data / "account" / "account.sqlite").write_bytes(path.read_bytes())
        with Server(data=data) as server:
            items = rows(server.admin("alias", "list"))
            check([item["address"] for item in items] == [alias.address], items)
            try:
                server.admin("backup", "list")
                raise AssertionError("backups without a place")
            except AdminError as error:
                check("configured" in str(error), error)


@test
def the_service_puts_into_s3(world):
    secret = world.folder / "secret"
    secret.write_text(SECRET + "\n")
    world.breaker.reset()
    settings = {"backup": world.place.replace("prefix", "service"), "backup_key_id": KEY_ID,
                "backup_key_file": secret, "backup_ca": world.certificate}
    with Server(settings=settings) as server:
        server.add_alias("me@example.test")
        wait_until(lambda: server.admin("backup", "status")["objects"], 60, "no backup")
        status = server.admin("backup", "status")
        check(status["failures"] == 0, status)
        check(SECRET not in server.log(), "the secret is in the log")
    names = world.ok("list", "host/", "", 10, place=settings["backup"])
    check(re.search("host/account/" + STAMP + r"-[0-9a-f]{8}\.sqlite \d+", names), names)


@test
def waiting_mail_is_backed_up_sealed(world):
    folder = world.folder / "sealed"
    folder.mkdir()
    with Server(settings={"backup": folder, "backup_drop_after": "1s"}) as server:
        alias = server.add_alias("me@example.test")
        with server.smtp() as smtp:
            smtp.sendmail("you@example.org", [alias.address],
                          b"Subject: a marked subject\r\n\r\na marked text\r\n")
        path = wait_until(lambda: list(folder.glob(f"{alias.mailbox}/drop/*.drop.sqlite")), 30,
                          "no backup of waiting mail: " + server.log(1500))[0]
        check(re.fullmatch(STAMP + r"\.drop\.sqlite", path.name), path)
        check(b"marked" not in path.read_bytes(), "plain text")
        check(not list(folder.glob("**/lanes")), "a lane left the host")
        kinds = [row["kind"] for row in rows(server.admin("backup", "list", alias.address))]
        check(kinds == ["drop"], kinds)
        with server.imap(alias) as imap:  # its owner takes it over as ever
            check(imap.select()[1] == [b"1"], "not there")
        # The copy in the place of the lost original: it is taken over, too.
        copy, mailbox = path.read_bytes(), alias.mailbox
        drop = server.data / "drop" / mailbox[-2:] / mailbox / f"{mailbox}.drop.sqlite"
        check(not drop.exists() or drop.read_bytes() != copy, "still waiting")


@test
def waiting_mail_of_before_a_restart_is_backed_up(world):
    folder = world.folder / "restarted"
    folder.mkdir()
    with Server(settings={"backup": folder, "backup_drop_after": "3s"}) as server:
        aliases = [server.add_alias(f"{name}@example.test") for name in ("me", "you")]

        def copies():
            return [len(list(folder.glob(f"{each.mailbox}/drop/*.drop.sqlite"))) for each in aliases]

        def send(alias):
            with server.smtp() as smtp:
                smtp.sendmail("you@example.org", [alias.address], b"Subject: a\r\n\r\nb\r\n")

        send(aliases[0])
        wait_until(lambda: copies() == [1, 0], 30, "no backup of waiting mail")
        time.sleep(1.5)
        send(aliases[1])
        server.stop()
        check(copies() == [1, 0], f"{copies()}")
        server.start()
        wait_until(lambda: copies()[1] == 1, 30, "forgotten with the process")


@test
def a_place_that_is_not_there_stops_nothing(world):
    with Server(settings={"backup": world.folder / "missing"}) as server:
        alias = server.add_alias("me@example.test")
        with server.imap(alias) as imap:
            imap.select()
        check("missing" in server.admin("backup", "status")["message"])


def main():
    only = [word for word in sys.argv[1:] if not word.startswith("-")]
    failed = 0
    chosen = [each for each in tests if not only or each.__name__ in only]
    with tempfile.TemporaryDirectory(prefix="sealpost-store-") as folder:
        world = World(folder)
        try:
            for each in chosen:
                start = time.monotonic()
                world.breaker.reset()
                try:
                    each(world)
                    print(f"ok    {each.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
                except Exception as error:  # pylint: disable=broad-except
                    failed += 1
                    print(f"FAIL  {each.__name__}: {error!r}", flush=True)
        finally:
            world.close()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
