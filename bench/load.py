"""The load client of bench/compare: raw sockets and prepared bytes, so that it costs little itself.

Every function does one thing to one server (bench/servers.py) and gives back how many operations
it made; bench/compare measures wall and processor time around it.
"""

import base64
import datetime
import random
import select
import socket
import ssl
import threading
import time


# Words that no other word contains: in one message of a thousand, in every second one, in none.
RARE, COMMON, ABSENT = "quillwort", "meeting", "xylophonist"
FIRST_DAY = datetime.datetime(2025, 1, 1)
MINUTES = 26  # between two messages: 20,000 are a year
TAIL, ROOM = 400, 1 << 18  # of an answer that is only counted


class Corpus:
    """
    Messages like those of a mailbox: mostly short text, some HTML, a few attachments; two of three
    answer an earlier one.
    """

    def __init__(self, count, seed=1):
        self.ids = []
        chance = random.Random(seed)
        words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 11)))
                 for _ in range(5000)]
        block = chance.randbytes(200_000)
        self.messages = [self.message(chance, words, block, number) for number in range(count)]

    @staticmethod
    def text(chance, words, size):
        lines, length = [], 0
        while length < size:
            line = " ".join(chance.choices(words, k=10))
            lines.append(line)
            length += len(line) + 2
        return "\r\n".join(lines)

    def message(self, chance, words, block, number):
        self.ids.append(f"<{number}.{chance.getrandbits(64):016x}@example.org>")
        date = FIRST_DAY + datetime.timedelta(minutes=MINUTES * number)
        answered = ""
        if number % 3:
            parent = self.ids[max(0, number - chance.randint(1, 50))]
            answered = f"In-Reply-To: {parent}\r\nReferences: {parent}\r\n"
        marks = " ".join([COMMON] * (number % 2) + [RARE] * (number % 997 == 7))
        head = (f"Return-Path: <sender{number % 500}@example.org>\r\n"
                f"Received: from mx{number % 7}.example.org (mx.example.org [192.0.2.7])\r\n"
                f"\tby bench.test with ESMTPS id {chance.getrandbits(48):012x}\r\n"
                f"\tfor <me@bench.test>; Mon, 6 Jul 2026 10:00:00 +0000\r\n"
                f"From: \"{' '.join(chance.choices(words, k=2))}\" <sender{number % 500}@example.org>\r\n"
                f"To: me@bench.test\r\nSubject: {' '.join(chance.choices(words, k=6))} {marks}\r\n"
                f"Message-ID: {self.ids[number]}\r\n{answered}"
                f"Date: {date.strftime('%a, %d %b %Y %H:%M:%S')} +0000\r\n"
                f"MIME-Version: 1.0\r\n")
        kind = chance.random()
        text = self.text(chance, words, chance.randint(300, 4000)) + f"\r\n{marks}"
        if kind < 0.6:
            return (head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + text +
                    "\r\n").encode()
        edge = f"edge{chance.getrandbits(64):016x}"
        html = self.text(chance, words, chance.randint(2000, 15000))
        body = (f"--{edge}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
                f"--{edge}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
                f"<html><body><p>{html}</p></body></html>\r\n")
        if kind < 0.9:
            return (head + f"Content-Type: multipart/alternative; boundary={edge}\r\n\r\n" + body +
                    f"--{edge}--\r\n").encode()
        start = chance.randrange(len(block) // 2)
        data = block[start:start + chance.randint(10_000, 90_000)]
        coded = base64.encodebytes(data).replace(b"\n", b"\r\n")
        return ((head + f"Content-Type: multipart/mixed; boundary={edge}\r\n\r\n" + body +
                 f"--{edge}\r\nContent-Type: application/pdf; name=a.pdf\r\n"
                 "Content-Disposition: attachment; filename=a.pdf\r\n"
                 "Content-Transfer-Encoding: base64\r\n\r\n").encode() + coded +
                f"--{edge}--\r\n".encode())


class Imap:
    """One connection, logged in."""

    def __init__(self, server, user, tls=None):
        port = server.imaps_port if tls else server.imap_port
        self.sock = socket.create_connection(("127.0.0.1", port), 120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock)
        self.tail = b""
        self.until_line(b"* OK")
        address, password = server.user(user)
        self.command(b'LOGIN "%s" "%s"' % (address.encode(), password.encode()))

    def until_line(self, start):
        """Reads until a line that begins so has come whole; gives the line."""
        data = self.tail
        while True:
            at = 0 if data.startswith(start) else data.find(b"\n" + start) + 1
            if at > 0 or data.startswith(start):
                end = data.find(b"\n", at)
                if end >= 0:
                    self.tail = data[end + 1:]
                    return data[at:end + 1]
            piece = self.sock.recv(1 << 18)
            if not piece:
                raise RuntimeError(f"the connection ended; last was {data[-300:]!r}")
            # What cannot be the beginning of the line any more is dropped.
            data = data[max(0, len(data) - 8192):] + piece

    def command(self, text):
        self.sock.sendall(b"x " + text + b"\r\n")
        line = self.until_line(b"x ")
        if not line.startswith(b"x OK"):
            raise RuntimeError(f"{text[:60]!r}: {line!r}")
        return line

    def bulk(self, text):
        """
        A command with a long answer, of which only the end is looked at. Bytes that came. They are
        received into one place and neither copied nor searched, so that the client is not what is
        measured.
        """
        self.sock.sendall(b"x " + text + b"\r\n")
        room = bytearray(TAIL + ROOM)
        place = memoryview(room)[TAIL:]
        total, start = 0, TAIL - 1
        room[start] = ord("\n")
        while True:
            got = self.sock.recv_into(place)
            if got == 0:
                raise RuntimeError("the connection ended")
            total += got
            end = bytes(room[max(start, got):TAIL + got])  # at most TAIL bytes
            line = end[end.rfind(b"\nx ") + 1:]
            if end.endswith(b"\r\n") and b"\nx " in end and line.count(b"\n") == 1:
                if not line.startswith(b"x OK"):
                    raise RuntimeError(f"{text[:60]!r}: {line!r}")
                return total
            start = TAIL - len(end)
            room[start:TAIL] = end

    def close(self):
        self.sock.close()


class Pop3:
    """Logged in."""

    def __init__(self, server, user, tls=None):
        port = server.pop3s_port if tls else server.pop3_port
        self.sock = socket.create_connection(("127.0.0.1", port), 120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock)
        self.line()
        address, password = server.user(user)
        self.command(b"USER " + address.encode())
        self.command(b"PASS " + password.encode())

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            piece = self.sock.recv(4096)
            if not piece:
                raise RuntimeError(f"the connection ended; last was {data!r}")
            data += piece
        if not data.startswith(b"+OK"):
            raise RuntimeError(data)
        return data

    def command(self, text):
        self.sock.sendall(text + b"\r\n")
        return self.line()

    def download(self, window):
        """Every message, so many RETR on the way at once; how many there were."""
        _, count, octets = self.command(b"STAT").split()[:3]
        count, octets = int(count), int(octets)
        asked = answered = total = 0
        # Dots that begin a line are doubled, so this is the end of an answer and nothing else. What
        # may be the beginning of one stays in front of what comes next.
        mark = b"\r\n.\r\n"
        seam = len(mark) - 1
        room = bytearray(seam + ROOM)
        place = memoryview(room)[seam:]
        while answered < count:
            if asked < count and asked - answered <= window // 2:
                more = min(count, answered + window)
                self.sock.sendall(b"".join(b"RETR %d\r\n" % (number + 1)
                                           for number in range(asked, more)))
                asked = more
            got = self.sock.recv_into(place)
            if got == 0:
                raise RuntimeError("the connection ended")
            total += got
            answered += room.count(mark, 0, seam + got)
            room[:seam] = room[got:got + seam]
        if total < octets:
            raise RuntimeError(f"{total} of {octets} octets came")
        self.command(b"QUIT")
        return count

    def close(self):
        self.sock.close()


def append_command(raw, folder=b"INBOX"):
    return b"x APPEND %s {%d+}\r\n" % (folder, len(raw)) + raw + b"\r\n"


def append_synchronous(server, user, messages, connections):
    """Each connection waits for the OK before it sends the next."""
    clients = [Imap(server, user) for _ in range(connections)]
    poll = select.epoll()
    by_fd = {client.sock.fileno(): client for client in clients}
    waiting = list(reversed(messages))
    active = 0
    for client in clients:
        if waiting:
            client.sock.sendall(append_command(waiting.pop()))
            poll.register(client.sock.fileno(), select.EPOLLIN)
            active += 1
    while active:
        for fd, _ in poll.poll():
            client = by_fd[fd]
            line = client.until_line(b"x ")
            if not line.startswith(b"x OK"):
                raise RuntimeError(line)
            if waiting:
                client.sock.sendall(append_command(waiting.pop()))
            else:
                poll.unregister(fd)
                active -= 1
    for client in clients:
        client.close()
    return len(messages)


def append_pipelined(server, user, messages, connections):
    """All on their way at once; the answers are counted by a thread for each connection."""
    clients = [Imap(server, user) for _ in range(connections)]
    failures = []

    def count(client, expected):
        seen, rest = 0, b""
        while seen < expected:
            piece = client.sock.recv(1 << 18)
            if not piece:
                failures.append("the connection ended")
                return
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            for line in lines:
                if line.startswith(b"x OK"):
                    seen += 1
                elif line.startswith(b"x "):
                    failures.append(repr(line))
                    return

    def send(client, share):
        for at in range(0, len(share), 16):
            client.sock.sendall(b"".join(map(append_command, share[at:at + 16])))

    threads = []
    for number, client in enumerate(clients):
        share = messages[number::connections]
        threads.append(threading.Thread(target=count, args=(client, len(share))))
        threads.append(threading.Thread(target=send, args=(client, share)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    if failures:
        raise RuntimeError(failures[0])
    return len(messages)


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def logins(server, users, count, threads=4):
    """Connect with TLS, log in, log out; from a few clients at once."""
    context = tls_context()
    failures = []

    def work(first):
        try:
            for number in range(first, count, threads):
                client = Imap(server, users[number % len(users)], tls=context)
                client.command(b"LOGOUT")
                client.close()
        except (OSError, RuntimeError) as error:
            failures.append(str(error))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise RuntimeError(failures[0])
    return count


class Smtp:
    def __init__(self, server, port=None, user=None):
        """On another port than the MX's, and logged in, when it is given."""
        self.sock = socket.create_connection(("127.0.0.1", port or server.smtp_port), 120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.reply()
        self.sock.sendall(b"EHLO client.test\r\n")
        self.reply()
        if user is not None:
            words = "\0".join(("", *server.user(user))).encode()
            self.sock.sendall(b"AUTH PLAIN " + base64.b64encode(words) + b"\r\n")
            self.reply()

    def reply(self):
        while True:
            end = self.rest.find(b"\n")
            while end >= 0:
                line, self.rest = self.rest[:end], self.rest[end + 1:]
                if line[3:4] != b"-":
                    if line[:1] not in b"23":
                        raise RuntimeError(line)
                    return line
                end = self.rest.find(b"\n")
            piece = self.sock.recv(65536)
            if not piece:
                raise RuntimeError("the connection ended")
            self.rest += piece

    def begin(self, address, sender="a@example.org"):
        """Pipelined up to DATA (RFC 2920)."""
        self.sock.sendall(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" %
                          (sender.encode(), address.encode()))
        for _ in range(3):
            self.reply()

    def send(self, address, stuffed, sender="a@example.org"):
        self.begin(address, sender)
        self.sock.sendall(stuffed + b".\r\n")
        self.reply()

    def close(self):
        self.sock.close()


def stuffed(raw):
    raw = raw if raw.endswith(b"\r\n") else raw + b"\r\n"
    return raw.replace(b"\n.", b"\n..")


def deliver(server, users, messages, connections=4):
    """Round the users; several connections at once, each waiting for its answers."""
    addresses = [server.user(user)[0] for user in users]
    return send_all(lambda: Smtp(server), ["a@example.org"], addresses, messages, connections)


def send_all(connect, senders, recipients, messages, connections=4):
    """Round the senders and the recipients."""
    failures = []

    def work(first):
        try:
            client = connect()
            for number in range(first, len(messages), connections):
                client.send(recipients[number % len(recipients)], stuffed(messages[number]),
                            senders[number % len(senders)])
            client.close()
        except (OSError, RuntimeError) as error:
            failures.append(str(error))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise RuntimeError(failures[0])
    return len(messages)


def message_count(server, user):
    client = Imap(server, user)
    client.sock.sendall(b"x STATUS INBOX (MESSAGES)\r\n")
    line = client.until_line(b"* STATUS")
    client.until_line(b"x ")
    client.close()
    return int(line.split(b"MESSAGES")[1].split(b")")[0])


def first_header(server, user):
    """Of the first message in one of the user's folders."""
    client = Imap(server, user)
    try:
        for folder in (b"INBOX", b"Junk"):
            client.command(b"SELECT " + folder)
            client.sock.sendall(b"x FETCH 1 BODY.PEEK[HEADER]\r\n")
            data = b""
            while b"\nx " not in data and not (data.startswith(b"x ") and data.endswith(b"\r\n")):
                data += client.sock.recv(1 << 16)
            if b"BODY[HEADER]" in data:
                return data
    finally:
        client.close()
    raise RuntimeError(f"{user} has no message")


def dot_to_exists(server, user, messages):
    """Milliseconds from the final dot to the IDLE client's EXISTS, one for each message."""
    client = Imap(server, user)
    client.command(b"SELECT INBOX")
    client.sock.sendall(b"x IDLE\r\n")
    client.until_line(b"+")
    times = []
    smtp = Smtp(server)
    address = server.user(user)[0]
    for raw in messages:
        smtp.begin(address)
        smtp.sock.sendall(stuffed(raw))
        time.sleep(0.01)
        start = time.perf_counter()
        smtp.sock.sendall(b".\r\n")
        while True:
            line = client.until_line(b"* ")
            if b"EXISTS" in line:
                break
        times.append((time.perf_counter() - start) * 1000)
        smtp.reply()
    smtp.close()
    client.close()
    return sorted(times)


def idle_sessions(server, users):
    """One TLS session for each user, INBOX selected, in IDLE. Keep what it returns."""
    context = tls_context()
    clients = []
    for user in users:
        client = Imap(server, user, tls=context)
        client.command(b"SELECT INBOX")
        client.sock.sendall(b"x IDLE\r\n")
        client.until_line(b"+")
        clients.append(client)
    return clients
