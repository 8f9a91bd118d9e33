"""The rows of bench/compare that find messages: SEARCH, SORT, THREAD, and what changed (QRESYNC).

One mailbox with the whole corpus. Warm is the median of several runs after one that does not count, each
behind an IDLE, with which Sealpost's session forgets what it remembers of searches; again is the same without
that; cold is the first search after a restart of the server, with its files dropped from the kernel's
memory. A NOOP comes before it, as the IDLE before a warm one, so that both are asked of processes that are
awake: the difference is the file. What the NOOP takes is in a remark; its processor time is in the row's.
Every answer's number of messages is compared with what the corpus says it must be.
"""

import datetime
import statistics
import time

import load

SUBJECTS = ("SEARCH", "SORT", "THREAD", "resynchronisation")
USER = "find"
WARM_RUNS, WARM_SECONDS = 7, 3.0
COLD_RUNS, COLD_RUNS_SHORT = 3, 15
SESSIONS = 5  # in which the same is asked
WORDS = (("rare", load.RARE), ("common", load.COMMON), ("absent", load.ABSENT))


def quoted(text):
    return b'"' + text.encode() + b'"'


class Mail:
    """What a search of a message must go by: the corpus's own text."""

    def __init__(self, raw):
        head, _, body = raw.partition(b"\r\n\r\n")
        self.head, self.body = head.decode().lower(), body.decode("latin-1").lower()
        # Unfolded lines; the corpus folds only Received.
        self.fields = {}
        for line in self.head.replace("\r\n\t", " ").split("\r\n"):
            name, _, value = line.partition(": ")
            self.fields[name] = value


class Key:
    """One SEARCH: the row's words, the text, and whether it finds a message (number from 0)."""

    def __init__(self, row, text, finds):
        self.row, self.text, self.finds = row, text, finds


def keys(count):
    """Every kind of key, with rare, common and absent words."""
    rows = []
    for what, word in WORDS:
        rows += [Key(f"TEXT, {what} word", b"TEXT " + quoted(word),
                     lambda n, m, w=word: w in m.head or w in m.body),
                 Key(f"BODY, {what} word", b"BODY " + quoted(word),
                     lambda n, m, w=word: w in m.body),
                 Key(f"SUBJECT, {what} word", b"SUBJECT " + quoted(word),
                     lambda n, m, w=word: w in m.fields["subject"])]
    part = load.RARE[2:7]
    rows.append(Key("BODY, part of a rare word", b"BODY " + quoted(part),
                    lambda n, m: part in m.body))
    for what, word in (("rare", "sender123@"), ("common", "example.org"), ("absent", "nobody-here")):
        rows.append(Key(f"FROM, {what}", b"FROM " + quoted(word),
                        lambda n, m, w=word: w in m.fields["from"]))
    for what, word in (("rare", "<123."), ("common", "example.org"), ("absent", load.ABSENT)):
        rows.append(Key(f"HEADER Message-ID, {what}", b"HEADER Message-ID " + quoted(word),
                        lambda n, m, w=word: w in m.fields["message-id"]))
    rows += [Key("flag, rare", b"KEYWORD $Rare", lambda n, m: is_rare(n)),
             Key("flag, common", b"UNSEEN", lambda n, m: not is_seen(n)),
             Key("flag, absent", b"DRAFT", lambda n, m: False)]
    middle = load.FIRST_DAY + datetime.timedelta(minutes=load.MINUTES * (count // 2))
    day = middle.strftime("%d-%b-%Y").encode()

    def date(number):
        return (load.FIRST_DAY + datetime.timedelta(minutes=load.MINUTES * number)).date()

    rows += [Key("date, one day", b"SENTON " + day, lambda n, m: date(n) == middle.date()),
             Key("date, half", b"SENTSINCE " + day, lambda n, m: date(n) >= middle.date()),
             Key("date, none", b"SENTBEFORE 1-Jan-2020", lambda n, m: False),
             Key("FROM rare and BODY common", b"FROM \"sender123@\" BODY " + quoted(load.COMMON),
                 lambda n, m: "sender123@" in m.fields["from"] and load.COMMON in m.body),
             Key("SUBJECT rare or flag rare", b"OR SUBJECT %s KEYWORD $Rare" % quoted(load.RARE),
                 lambda n, m: load.RARE in m.fields["subject"] or is_rare(n)),
             Key("BODY common, one day, unseen", b"BODY %s SENTON %s UNSEEN" % (
                 quoted(load.COMMON), day),
                 lambda n, m: load.COMMON in m.body and date(n) == middle.date() and not is_seen(n)),
             Key("not BODY common, SUBJECT rare",
                 b"NOT BODY %s SUBJECT %s" % (quoted(load.COMMON), quoted(load.RARE)),
                 lambda n, m: load.COMMON not in m.body and load.RARE in m.fields["subject"])]
    return rows


def is_rare(number):
    return number % 499 == 3


def is_seen(number):
    return number % 4 == 0


ORDERS = (("SORT by date", b"SORT (DATE) UTF-8 ALL", "SORT"),
          ("SORT by subject", b"SORT (SUBJECT) UTF-8 ALL", "SORT"),
          ("SORT by sender, newest first", b"SORT (FROM REVERSE DATE) UTF-8 ALL", "SORT"),
          ("THREAD by references", b"THREAD REFERENCES UTF-8 ALL", "THREAD=REFERENCES"),
          ("THREAD by ordered subject", b"THREAD ORDEREDSUBJECT UTF-8 ALL", "THREAD=ORDEREDSUBJECT"))


class Finder:
    def __init__(self, run, server, place):
        self.run, self.server, self.place = run, server, place
        self.messages = run.corpus.messages
        self.client = None
        self.first = []  # of each cold session: milliseconds that the NOOP behind its SELECT took

    def rows(self):
        self.fill()
        start = time.perf_counter()
        if self.server.make_index(USER):
            self.run.remark(self.server, self.place,
                            f"full-text index of {len(self.messages):,} messages: made in "
                            f"{time.perf_counter() - start:,.0f} s")
        # So is what the others put off: none is searched with an index that is still to be made.
        self.run.settle(self.server, self.place, f"APPEND of {len(self.messages):,} messages")
        self.open()
        self.searches()
        self.orders()
        self.resynchronisation()
        self.client.close()

    def fill(self):
        self.server.user(USER)
        load.append_pipelined(self.server, USER, self.messages, 1)
        client = load.Imap(self.server, USER)
        client.bulk(b"SELECT INBOX")
        for flags, chosen in ((b"$Rare", is_rare), (b"\\Seen", is_seen)):
            numbers = [number + 1 for number in range(len(self.messages)) if chosen(number)]
            for at in range(0, len(numbers), 1000):
                client.bulk(b"STORE %s +FLAGS.SILENT (%s)" % (
                    b",".join(b"%d" % number for number in numbers[at:at + 1000]), flags))
        client.close()

    def open(self):
        """A session with INBOX selected."""
        if self.client is not None:
            self.client.close()
        self.client = load.Imap(self.server, USER)
        self.client.sock.sendall(b"x CAPABILITY\r\n")
        line = self.client.until_line(b"* CAPABILITY")
        self.client.until_line(b"x ")
        self.capabilities = set(line.decode().upper().split()[2:])
        ask(self.client, b"SELECT INBOX")

    def put(self, row, times, cpu):
        value = statistics.median(times)
        self.run.table.put(self.place, row, self.server.name, value, cpu, "ms", True)
        print(f"  {self.server.name:13} {self.place:6} {row}: {value:.2f} ms, {cpu:,.0f} us",
              flush=True)

    # ---- SEARCH ----

    def searches(self):
        mails = None
        for key in keys(len(self.messages)):
            for when, measure in (("warm", self.warm), ("again", self.again), ("cold", self.cold)):
                row = f"SEARCH {key.row}, {when}"
                if not self.run.wanted(row):
                    continue
                if mails is None:
                    mails = [Mail(raw) for raw in self.messages]
                expected = sum(1 for number, mail in enumerate(mails) if key.finds(number, mail))
                try:
                    found = measure(row, b"SEARCH " + key.text)
                except (RuntimeError, OSError) as error:
                    self.run.failed(self.server, self.place, row, error)
                    self.open()
                    continue
                if found != expected:
                    self.run.failed(self.server, self.place, row,
                                    f"it found {found} messages, not {expected}")
        if self.first:
            self.run.remark(self.server, self.place,
                            f"the NOOP before a cold search: {statistics.median(self.first):.2f} ms, "
                            f"{min(self.first):.2f} to {max(self.first):.2f}")

    def warm(self, row, text):
        return self.again(row, text, before=self.idle)

    def idle(self):
        self.client.sock.sendall(b"i IDLE\r\n")
        self.client.until_line(b"+ ")
        self.client.sock.sendall(b"DONE\r\n")
        self.client.until_line(b"i ")

    def again(self, row, text, before=lambda: None):
        """How many it found."""
        _, answer = ask(self.client, text)
        times, cpu = [], self.server.cpu_seconds()
        start = time.perf_counter()
        while len(times) < WARM_RUNS and (len(times) < 2 or
                                          time.perf_counter() - start < WARM_SECONDS):
            before()
            took, answer = ask(self.client, text)
            times.append(took)
        self.put(row, times, (self.server.cpu_seconds() - cpu) / len(times) * 1e6)
        return found_in(answer)

    def cold(self, row, text):
        times, cpu = [], 0.0
        while len(times) < self.cold_runs(times):
            self.client.close()
            self.client = None
            self.server.restart()
            self.open()
            before = self.server.cpu_seconds()
            self.first.append(ask(self.client, b"NOOP")[0])
            took, answer = ask(self.client, text)
            times.append(took)
            cpu += self.server.cpu_seconds() - before
        self.put(row, times, cpu / len(times) * 1e6)
        return found_in(answer)

    def cold_runs(self, times):
        """What scatters is a larger part of an answer of less than a millisecond."""
        if self.run.options.quick:
            return 1
        return COLD_RUNS_SHORT if times and min(times) < 1 else COLD_RUNS

    # ---- SORT and THREAD ----

    def orders(self):
        for words, text, capability in ORDERS:
            row = f"{words} of {len(self.messages):,}"
            if not self.run.wanted(row):
                continue
            if capability not in self.capabilities:
                self.run.leave_out(self.server, self.place, row, f"no {capability} in CAPABILITY")
                continue
            answer = self.order(row, text, self.open, SESSIONS)
            self.order(row + ", after new mail", text, self.change, WARM_RUNS)
            answer = self.order(row + ", again", text, lambda: None, WARM_RUNS)
            numbers = sorted(int(word) for word in answer.translate(None, b"()").split()
                             if word.isdigit()) if text.startswith(b"SORT") else None
            if numbers is not None and numbers != list(range(1, len(self.messages) + 1)):
                self.run.failed(self.server, self.place, row, f"it names {len(numbers)} messages")

    def order(self, row, text, prepare, runs):
        """In each session a server may begin anew, or remember. The first time does not count."""
        times, spent = [], 0.0
        for _ in range(1 + runs):
            prepare()
            before = self.server.cpu_seconds()
            took, answer = ask(self.client, text)
            times.append(took)
            spent += self.server.cpu_seconds() - before
        self.put(row, times[1:], spent / len(times) * 1e6)
        return answer

    def change(self):
        """Another client's: one message comes and the newest goes, so that there are as many as before."""
        client = load.Imap(self.server, USER)
        client.bulk(b"SELECT INBOX")
        client.bulk(b"STORE * +FLAGS.SILENT (\\Deleted)")
        client.bulk(b"EXPUNGE")
        client.sock.sendall(load.append_command(self.messages[-1]))
        client.until_line(b"x ")
        client.close()
        ask(self.client, b"NOOP")

    # ---- QRESYNC ----

    def resynchronisation(self):
        row = "resynchronisation after 100 changes (QRESYNC)"
        if not self.run.wanted(row):
            return
        if "QRESYNC" not in self.capabilities:
            self.run.leave_out(self.server, self.place, row, "no QRESYNC in CAPABILITY")
            return
        ask(self.client, b"UNSELECT")
        ask(self.client, b"ENABLE QRESYNC")
        times, cpu = [], 0.0
        for turn in range(1 if self.run.options.quick else 5):
            _, answer = ask(self.client, b"SELECT INBOX")
            state = code(answer, b"UIDVALIDITY"), code(answer, b"HIGHESTMODSEQ")
            ask(self.client, b"UNSELECT")
            change_hundred(self.server, self.messages, turn)
            before = self.server.cpu_seconds()
            took, answer = ask(self.client, b"SELECT INBOX (QRESYNC (%s %s))" % state)
            times.append(took)
            cpu += self.server.cpu_seconds() - before
            told = answer.count(b" FETCH (")
            if told != 75 or b"VANISHED (EARLIER)" not in answer:
                self.run.failed(self.server, self.place, row, f"it tells {told} changes, not 75")
            ask(self.client, b"UNSELECT")
        self.put(row, times, cpu / len(times) * 1e6)


def change_hundred(server, messages, turn):
    """Another client's: 50 flags, each with its own MODSEQ, 25 messages gone, 25 new."""
    client = load.Imap(server, USER)
    client.bulk(b"SELECT INBOX")
    step = (len(messages) - 50) // 50
    for number in range(50):
        client.bulk(b"STORE %d +FLAGS.SILENT ($Turn%d)" % (30 + number * step, turn))
    client.bulk(b"STORE 2:26 +FLAGS.SILENT (\\Deleted)")
    client.bulk(b"EXPUNGE")
    for raw in messages[:25]:
        client.sock.sendall(load.append_command(raw))
        client.until_line(b"x ")
    client.close()


def code(answer, name):
    """The number in a response code."""
    return answer.partition(b"[" + name + b" ")[2].partition(b"]")[0]


def found_in(answer):
    """How many messages a SEARCH response names."""
    line = answer.partition(b"* SEARCH")[2].partition(b"\r\n")[0]
    return len(line.split())


def ask(client, text):
    """Milliseconds until the tagged OK, and all that came."""
    start = time.perf_counter()
    client.sock.sendall(b"x " + text + b"\r\n")
    pieces, end = [client.tail], b"\n"
    client.tail = b""
    while True:
        piece = client.sock.recv(1 << 18)
        if not piece:
            raise RuntimeError("the connection ended")
        pieces.append(piece)
        end = (end + piece)[-600:]
        at = end.rfind(b"\nx ") + 1
        if at > 0 and end.endswith(b"\r\n"):
            took = (time.perf_counter() - start) * 1000
            if not end[at:].startswith(b"x OK"):
                raise RuntimeError(f"{text[:60]!r}: {end[at:]!r}")
            return took, b"".join(pieces)
