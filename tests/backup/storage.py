"""Where the tests have backups kept: a folder, or S3 on a real server (s3_server.py) behind a proxy that
breaks things (breaker.py). Both have the same methods, by which a test sees and damages objects.
"""

import fnmatch
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from breaker import Breaker  # noqa: E402
from s3_server import KEY_ID, SECRET, listening_socket  # noqa: E402

STARTING = 300  # seconds until the server answers: it loads much, and the machine may be busy
HERE = pathlib.Path(__file__).resolve().parent
# S3's header of a digest, and what it begins with in a file beside an object.
DIGESTS = {"x-amz-meta-sha256": "sha256:", "x-amz-meta-blake2b": ""}


def digest_of(content):
    """As it is kept beside an object."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def old_digest_of(content):
    """As it was before."""
    return hashlib.blake2b(content, digest_size=32).hexdigest()


class Folder:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.settings = {"backup": self.folder}

    def names(self, prefix):
        """Of the objects that begin so, sorted."""
        # os.walk passes over what goes while it is looked at.
        paths = (pathlib.Path(folder) / name for folder, _, names in os.walk(self.folder)
                 for name in names)
        found = (str(path.relative_to(self.folder)) for path in paths
                 if path.suffix != ".digest" and ".incoming" not in path.parts)
        return sorted(name for name in found if name.startswith(prefix))

    def size(self, name):
        return (self.folder / name).stat().st_size

    def get(self, name):
        """Its bytes, and its digest as it is kept beside it."""
        path = self.folder / name
        return path.read_bytes(), path.with_name(path.name + ".digest").read_text().strip()

    def put(self, name, content, digest):
        """As somebody would who can write there: whatever the digest says."""
        path = self.folder / name
        path.write_bytes(content)
        path.with_name(path.name + ".digest").write_text(digest + "\n")

    def delete(self, name):
        path = self.folder / name
        path.unlink()
        path.with_name(path.name + ".digest").unlink()


class Server:
    """The S3 server with its proxy; several buckets and prefixes may be on it."""

    def __init__(self, folder, names=()):
        self.folder = pathlib.Path(folder)
        self.certificate, self.key = self.folder / "c.pem", self.folder / "k.pem"
        alternatives = ",".join(["IP:127.0.0.1", "DNS:s3.test", "DNS:*.s3.test",
                                 *(f"DNS:{name}" for name in names)])
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-keyout", self.key, "-out", self.certificate, "-subj", "/CN=test",
                        "-addext", f"subjectAltName={alternatives}"],
                       check=True, capture_output=True)
        (self.folder / "s3").mkdir()
        self.log_path = self.folder / "s3.log"
        with listening_socket() as listening, self.log_path.open("wb") as log:
            self.port = listening.getsockname()[1]
            self.server = subprocess.Popen(
                ["/usr/bin/python3", HERE / "s3_server.py", self.folder / "s3",
                 str(listening.fileno()), "--domain", "s3.test"], stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT, pass_fds=[listening.fileno()])
        self.breaker = Breaker(self.port, self.certificate, self.key)
        self.make_bucket("mail")

    def url(self, bucket="mail", prefix="", host="127.0.0.1"):
        return f"s3:https://{host}:{self.breaker.own_port}/{bucket}" + (f"/{prefix}" if prefix else "")

    def make_bucket(self, bucket):
        """With curl, so that a mistake of ours in signing is not made twice."""
        end = time.monotonic() + STARTING
        while (status := self.curl("PUT", f"/{bucket}")[0]) != 200:
            self.check_lives()
            if time.monotonic() > end:
                raise AssertionError(f"no bucket: {status}: {self.log()}")
            time.sleep(0.5)

    def log(self):
        """The end of what it said."""
        return self.log_path.read_text(errors="replace")[-2000:]

    def check_lives(self):
        if self.server.poll() is not None:
            raise AssertionError(f"the S3 server ended with {self.server.returncode}: {self.log()}")

    def curl(self, method, path, headers=(), body=None):
        """Past the proxy: status, header lines and body of the answer."""
        user, _, name = KEY_ID.partition(":")
        # curl takes the first colon for the end of the key's id; %3A is none.
        words = ["curl", "-s", "-i", "-m", "60", "-X", method, "--aws-sigv4", "aws:amz:us-east-1:s3",
                 "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
        for header in headers:
            words += ["-H", header]
        if body is not None:
            words += ["--data-binary", "@-", "-H", "Content-Type: application/octet-stream"]
        words.append(f"http://{user}%3A{name}:{SECRET}@127.0.0.1:{self.port}{path}")
        answer = subprocess.run(words, input=body or b"", capture_output=True, check=False).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = re.match(r"HTTP/\S+ (\d+)", lines[0])
        return (int(found.group(1)) if found else 0), lines[1:], content

    def close(self):
        self.breaker.close()
        self.server.kill()
        self.server.wait()
        for line in subprocess.run(["pgrep", "-f", str(self.folder / "s3")], capture_output=True,
                                   text=True, check=False).stdout.split():
            os.kill(int(line), signal.SIGKILL)


class Bucket:
    """A bucket, or a prefix in it, with the methods of Folder."""

    def __init__(self, server, bucket="mail", prefix=""):
        self.server, self.bucket, self.prefix = server, bucket, prefix
        self.root = f"{prefix}/" if prefix else ""
        self.url = server.url(bucket, prefix)
        secret = server.folder / "secret"
        secret.write_text(SECRET + "\n")
        self.secret_file = secret
        self.settings = {"backup": self.url, "backup_key_id": KEY_ID, "backup_key_file": secret,
                         "backup_ca": server.certificate}

    def names(self, prefix):
        found, marker = [], ""
        while True:
            query = f"?marker={marker.replace('/', '%2F')}&max-keys=1000&prefix={(self.root + prefix).replace('/', '%2F')}"
            status, _, body = self.server.curl("GET", f"/{self.bucket}{query}")
            if status != 200:
                raise AssertionError(f"list: {status}")
            page = re.findall(r"<Key>([^<]*)</Key>", body.decode())
            found += page
            if "<IsTruncated>true" not in body.decode() or not page:
                return sorted(name.removeprefix(self.root) for name in found)
            marker = page[-1]

    def path(self, name):
        return f"/{self.bucket}/{self.root}{name}"

    def size(self, name):
        return len(self.get(name)[0])

    def get(self, name):
        status, lines, body = self.server.curl("GET", self.path(name))
        if status != 200:
            raise AssertionError(f"{name}: {status}")
        digest, = [kind + line.split(":", 1)[1].strip() for header, kind in DIGESTS.items()
                   for line in lines if line.lower().startswith(f"{header}:")]
        return body, digest

    def put(self, name, content, digest):
        header = next(header for header, kind in DIGESTS.items() if digest.startswith(kind))
        value = digest.removeprefix(DIGESTS[header])
        status, _, body = self.server.curl("PUT", self.path(name), [f"{header}: {value}"], content)
        if status != 200:
            raise AssertionError(f"{name}: {status} {body[:300]}")

    def delete(self, name):
        self.server.curl("DELETE", self.path(name))

    def remove(self):
        """The bucket itself, with all that is in it."""
        end = time.monotonic() + 30
        while True:
            for line in re.findall(r"<Key>([^<]*)</Key>",
                                   self.server.curl("GET", f"/{self.bucket}")[2].decode()):
                self.server.curl("DELETE", f"/{self.bucket}/{line}")
            status = self.server.curl("DELETE", f"/{self.bucket}")[0]
            if status in (204, 404):
                return
            if time.monotonic() > end:
                raise AssertionError(f"the bucket is not deleted: {status}")


class Stat:
    def __init__(self, size):
        self.st_size = size


class BucketPath:
    """A name in a bucket as pathlib would have it, so that a test of a folder runs on S3, too. The digest,
    which is the object's metadata there, is the content of NAME.digest here."""

    def __init__(self, bucket, parts=(), digests=None):
        self.bucket, self.parts = bucket, tuple(parts)
        self.digests = {} if digests is None else digests  # of objects that were seen, and deleted

    def __truediv__(self, name):
        return BucketPath(self.bucket, (*self.parts, *str(name).split("/")), self.digests)

    def __str__(self):
        return "/".join(self.parts)

    def __lt__(self, other):
        return str(self) < str(other)

    def __eq__(self, other):
        return str(self) == str(other)

    def __hash__(self):
        return hash(str(self))

    @property
    def name(self):
        return self.parts[-1]

    @property
    def stem(self):
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self):
        return BucketPath(self.bucket, self.parts[:-1], self.digests)

    def with_name(self, name):
        return self.parent / name

    def with_suffix(self, suffix):
        return self.parent / (self.stem + suffix)

    def rglob(self, pattern):
        found = self.bucket.names(str(self) + "/" if self.parts else "")
        return (BucketPath(self.bucket, name.split("/"), self.digests) for name in found
                if fnmatch.fnmatch(name.rpartition("/")[2], pattern))

    def glob(self, pattern):
        return (each for each in self.rglob(pattern) if len(each.parts) == len(self.parts) + 1)

    def exists(self):
        return str(self.of_digest() or self) in self.bucket.names(str(self.of_digest() or self))

    def of_digest(self):
        """Whose digest this is; None: it is an object itself."""
        is_one = self.name.endswith(".digest")
        return self.with_name(self.name.removesuffix(".digest")) if is_one else None

    def fetch(self):
        content, digest = self.bucket.get(str(self))
        self.digests[str(self)] = digest
        return content, digest

    def read_bytes(self):
        of = self.of_digest()
        return self.fetch()[0] if of is None else of.fetch()[1].encode() + b"\n"

    def read_text(self):
        return self.read_bytes().decode()

    def write_bytes(self, content):
        of = self.of_digest()
        if of is not None:
            self.digests[str(of)] = content.decode().strip()
            self.bucket.put(str(of), of.fetch_content(), content.decode().strip())
            return
        if str(self) not in self.digests:
            self.fetch()
        self.bucket.put(str(self), content, self.digests[str(self)])

    def fetch_content(self):
        return self.bucket.get(str(self))[0]

    def write_text(self, text):
        self.write_bytes(text.encode())

    def unlink(self):
        if self.of_digest() is None:
            self.fetch()
            self.bucket.delete(str(self))

    def stat(self):
        return Stat(len(self.read_bytes()))


def copy(path, name):
    """An object under another name beside it, with its digest."""
    new = path.with_name(name)
    if isinstance(path, BucketPath):
        path.bucket.put(str(new), *path.fetch())
        return
    shutil.copy(path, new)
    shutil.copy(path.with_name(path.name + ".digest"), new.with_name(new.name + ".digest"))


def move(path, name):
    """Under another name beside it, with its digest."""
    copy(path, name)
    if not isinstance(path, BucketPath):
        path.with_name(path.name + ".digest").unlink()
    path.unlink()


def remove_all(path):
    """Whatever is below it."""
    if isinstance(path, BucketPath):
        for each in path.rglob("*"):
            each.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
