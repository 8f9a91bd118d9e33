"""A program at a terminal of its own, as a person would use it: waits for a question, types the answer.

    with Terminal(["sealpost", "restore", ...]) as terminal:
        terminal.answer("Password", "secret")
        shown = terminal.end()
    terminal.status
"""

import os
import pty
import select
import signal
import time


class Terminal:
    def __init__(self, command, environment=None, seconds=120):
        self.command = [str(word) for word in command]
        self.environment = {**os.environ, **(environment or {})}
        self.deadline = time.monotonic() + seconds
        self.shown = ""
        self.read_to = 0  # what was looked at already
        self.status = None

    def __enter__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(self.command[0], self.command, self.environment)
            finally:
                os._exit(127)
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def read(self):
        """More of what it says; False: it has ended."""
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            raise AssertionError(f"it neither asks nor ends: {self.shown!r}")
        try:
            part = os.read(self.fd, 4096)
        except OSError:
            part = b""
        self.shown += part.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(part)

    def answer(self, question, text):
        """Waits for the question and types. AssertionError: it ended without asking."""
        while question not in self.shown[self.read_to:]:
            if not self.read():
                raise AssertionError(f"it did not ask {question!r}: {self.shown!r}")
        self.read_to = self.shown.index(question, self.read_to) + len(question)
        os.write(self.fd, (text + "\n").encode())

    def end(self):
        """All that it showed."""
        while self.read():
            pass
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.shown
