"""A mail server that behaves as a test says.

    with Sink("198.18.0.5", replies={"RCPT": "451 4.7.1 greylisted"}) as sink: ...

`replies`: by verb ("GREETING", "EHLO", "MAIL", "RCPT", "DATA" for the 354, "END" for the reply to the
text, "QUIT" …) a text, a list of texts (one a time, the last stays), or a function of (session, line)
that gives a text, or None for a session that it has ended itself. `tls`: a context makes it offer
STARTTLS. What came is in `mails`, what was said in `sessions`.
"""

import socket
import ssl
import threading
import time


class Closed(Exception):
    """The session is over."""


class Mail:
    def __init__(self, sender, recipients, text, secure):
        self.sender, self.recipients, self.text, self.secure = sender, recipients, text, secure


class Session(threading.Thread):
    def __init__(self, sink, connection):
        super().__init__(daemon=True)
        self.sink, self.socket = sink, connection
        self.lines, self.mails = [], 0
        self.is_secure = self.has_left = False
        self.server_name = None
        self.buffer = b""

    def say(self, text):
        if text is None:
            raise Closed
        self.socket.sendall(text.encode() + b"\r\n" if isinstance(text, str) else text)

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise Closed
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def text(self):
        """Up to the lone dot, as it came."""
        while b"\r\n.\r\n" not in b"\r\n" + self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise Closed
            self.buffer += more
        whole, self.buffer = (b"\r\n" + self.buffer).split(b"\r\n.\r\n", 1)
        return (whole + b"\r\n")[2:].replace(b"\r\n..", b"\r\n.")

    def reply(self, verb, line, usual):
        answer = self.sink.replies.get(verb, usual)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        return answer(self, line) if callable(answer) else answer

    def hello(self):
        words = ["sink"] + list(self.sink.extensions)
        if self.sink.tls is not None and not self.is_secure:
            words.append("STARTTLS")
        return "\r\n".join(f"250{'-' if i < len(words) - 1 else ' '}{word}"
                           for i, word in enumerate(words))

    def secure(self):
        def note(_, name, __):
            self.server_name = name
        self.sink.tls.sni_callback = note
        self.socket = self.sink.tls.wrap_socket(self.socket, server_side=True)
        self.is_secure = True
        self.buffer = b""

    def talk(self):
        if self.sink.implicit_tls:
            self.secure()
        self.say(self.reply("GREETING", "", "220 sink ESMTP"))
        sender, recipients = None, []
        while True:
            line = self.line()
            self.lines.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                self.say(self.reply(verb, line, self.hello()))
            elif verb == "STARTTLS":
                answer = self.reply(verb, line, "220 go")
                self.say(answer)
                if answer.startswith("2"):
                    self.secure()
            elif verb == "MAIL":
                sender, recipients = line, []
                self.say(self.reply(verb, line, "250 2.1.0 ok"))
            elif verb == "RCPT":
                answer = self.reply(verb, line, "250 2.1.5 ok")
                if answer is not None and answer.startswith("2"):
                    recipients.append(line.split("<", 1)[1].split(">", 1)[0])
                self.say(answer)
            elif verb == "DATA":
                answer = self.reply(verb, line, "354 go" if recipients else "554 5.5.1 no recipients")
                self.say(answer)
                if not answer.startswith("3"):
                    continue
                text = self.text()
                answer = self.reply("END", line, "250 2.0.0 taken")
                if answer is not None and answer.startswith("2"):
                    self.sink.mails.append(Mail(sender, recipients, text, self.is_secure))
                    self.mails += 1
                self.say(answer)
            elif verb == "QUIT":
                self.leave()
                self.say("221 bye")
                raise Closed
            else:
                self.say(self.reply(verb, line, "250 ok"))

    def leave(self):
        """Not counted as open any more."""
        with self.sink.lock:
            if not self.has_left:
                self.has_left = True
                self.sink.open -= 1

    def run(self):
        try:
            self.talk()
        except (Closed, OSError, ValueError):
            pass
        finally:
            self.socket.close()
            self.leave()


class Sink:
    def __init__(self, address, port=25, replies=None, tls=None, implicit_tls=False,
                 extensions=("PIPELINING", "SIZE 50000000", "8BITMIME")):
        self.address, self.port = address, port
        self.replies = dict(replies or {})
        self.tls, self.implicit_tls, self.extensions = tls, implicit_tls, extensions
        self.sessions, self.mails = [], []
        self.open = self.most_open = 0
        self.lock = threading.Lock()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.settimeout(60)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                session = Session(self, connection)
                self.sessions.append(session)
            session.start()

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((self.address, self.port))
        self.socket.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for session in self.sessions:
            try:
                session.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def said(self):
        """All lines of all sessions."""
        return [line for session in self.sessions for line in session.lines]


def drip(text, pause=0.2):
    """A byte now and then."""
    def slowly(session, _):
        for byte in text.encode():
            session.socket.sendall(bytes([byte]))
            time.sleep(pause)
        return ""
    return slowly


def hang_up(session, _):
    session.socket.shutdown(socket.SHUT_RDWR)


def context(certificate, key):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    return made
