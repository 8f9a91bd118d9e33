#!/usr/bin/python3
"""Random SEARCH, SORT, THREAD and ESEARCH commands, each answer compared with that of a naive model.

Meanwhile messages come, are copied, moved and expunged, flags change, folders are renamed, and sessions come
and go, so that what the index remembers of earlier queries is asked for again and has gone out of date. The
model (messages.py, keys.py, threads.py) looks at every message anew for every query. The first difference
ends a seed; what is printed repeats it.
"""

import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import Server  # noqa: E402
from lib.suite import Skip, Suite, check  # noqa: E402
from queries import threads  # noqa: E402
from queries.casemap import folded  # noqa: E402
from queries.folders import INBOX, Mailbox, numbers_found  # noqa: E402
from queries.keys import ALL, Keys  # noqa: E402
from stress.wire import set_numbers  # noqa: E402

KNOWN_SEED = 5256
MESSAGES = {INBOX: 80, "A": 15}  # in the beginning
ROUNDS = 220
MORE_SEEDS = 40       # of --long, which begins none after
MORE_SECONDS = 900
SHOWN = 30            # messages that a difference shows

ALGORITHMS = {"REFERENCES": threads.references, "REFS": threads.refs,
              "ORDEREDSUBJECT": threads.ordered_subject}


def first_mailbox(key):
    """RFC 5256 §3: addr-mailbox of the first address, or nothing."""
    return lambda message: octets(message.addresses[key][0].mailbox if message.addresses[key] else "")


def first_shown(key):
    return lambda message: octets(message.addresses[key][0].shown() if message.addresses[key] else "")


def octets(text):
    """The collation compares those (RFC 5051 §2, i;octet)."""
    return folded(text).encode()


CRITERIA = {"ARRIVAL": lambda message: message.arrived,
            "DATE": lambda message: message.sent_or_arrived,
            "SIZE": lambda message: message.size, "SUBJECT": lambda message: message.base.encode(),
            "FROM": first_mailbox("FROM"), "TO": first_mailbox("TO"), "CC": first_mailbox("CC"),
            "DISPLAYFROM": first_shown("FROM"), "DISPLAYTO": first_shown("TO")}

# RETURN options (RFC 4731, RFC 5182, RFC 9394).
OPTIONS = ("MIN", "MAX", "COUNT", "ALL", "MIN MAX COUNT ALL", "PARTIAL 1:5 COUNT", "PARTIAL 7:3 MIN",
           "PARTIAL -1:-5", "PARTIAL -9:-4 MAX", "SAVE", "SAVE ALL", "SAVE COUNT", "SAVE MAX COUNT",
           "SAVE MIN", "SAVE MIN MAX", "SAVE PARTIAL 2:4", "SAVE PARTIAL -2:-3 MIN")


class Run:
    """One seed."""

    def __init__(self, server, alias, seed):
        self.seed = seed
        self.chance = random.Random(seed)
        self.mailbox = Mailbox(server, alias, self.chance)
        self.remembered = [("BODY", "alpha"), ("SUBJECT", "plan"), ("FROM", "joe")]
        self.round = self.queries = 0

    def run(self):
        try:
            for name, count in MESSAGES.items():
                self.mailbox.append(name, count)
            for self.round in range(ROUNDS):
                if self.chance.random() < 0.45:
                    self.mailbox.change()
                self.ask(self.mailbox.some_session())
        finally:
            self.mailbox.close()

    def ask(self, session):
        """A few queries on the session's folder, when it has heard of what others did there."""
        session.do("NOOP")
        for _ in range(self.chance.choice((1, 2, 3))):
            query = self.chance.choices(list(QUERIES), list(QUERIES.values()))[0]
            query(self, Question(self, session))
            self.queries += 1

    def keys(self, messages, saved=None):
        return Keys(self.chance, self.remembered, messages, saved)

    def require(self, got, expected, session, command, pairs=()):
        """Of what differs is printed also what the model takes for the messages that it finds."""
        if got == expected:
            return
        print(f"{command!r} finds in {session.folder}:")
        for number, message in pairs[:SHOWN]:
            print(f"    {number}: {message!r}")
        raise AssertionError(f"--seed {self.seed}, round {self.round}, {session.folder}: {command!r}\n"
                             f"      got      {got}\n      expected {expected}")


class Question:
    """A key, asked of the session's folder with UIDs or message sequence numbers, and what it finds."""

    def __init__(self, run, session):
        self.run, self.session, self.chance = run, session, run.chance
        messages = run.mailbox.folders[session.folder]
        self.key = run.keys(messages, session.saved).tree() if self.chance.random() < 0.8 else ALL
        self.is_by_uid = self.chance.random() < 0.5
        self.prefix = "UID " if self.is_by_uid else ""
        found = [(number, message) for number, message in enumerate(messages, 1)
                 if self.key.test(message, number)]
        self.pairs = [(message.uid if self.is_by_uid else number, message) for number, message in found]
        self.numbers = [number for number, _ in self.pairs]
        self.command = None

    def do(self, words):
        self.command = f"{self.prefix}{words} {self.key.text}"
        return self.session.do(self.command)

    def require(self, got, expected):
        self.run.require(got, expected, self.session, self.command, self.pairs)


# ---- the queries ----

def search(run, question):
    question.require(numbers_found(question.do("SEARCH")), question.numbers)


def search_return(run, question):
    options = run.chance.choice(OPTIONS)
    require_fields(question, question.do(f"SEARCH RETURN ({options})"), options, question.numbers)


def sort_return(run, question):
    """RFC 5267 §3: the same in the order of the criteria."""
    options = run.chance.choice(OPTIONS)
    words, pairs = criteria(run.chance, question)
    lines = question.do(f"SORT RETURN ({options}) ({words}) UTF-8")
    require_fields(question, lines, options, [number for number, _ in pairs])


def require_fields(question, lines, options, found):
    """Compares the fields of ESEARCH, and what SAVE keeps."""
    expected = fields_expected(options, found)
    answers = [line for line in lines if line.startswith("* ESEARCH")]
    # RFC 5182 §2.1: SAVE alone says nothing.
    question.require(len(answers), 0 if options == "SAVE" else 1)
    if answers:
        fields = dict(re.findall(r"\b(MIN|MAX|COUNT|ALL) ([\d,:]+)", answers[0]))
        partial = re.search(r"PARTIAL \((\S+) (\S+)\)", answers[0])
        if partial:
            fields["PARTIAL"] = partial[2]
        question.require({name: whole(value) for name, value in sorted(fields.items())}, expected)
    if "SAVE" in options:
        uids = {number: message.uid for number, message in question.pairs}
        saved = {uids[number] for number in kept(options, expected, found)}
        question.command += ", UID SEARCH $"
        question.require(numbers_found(question.session.do("UID SEARCH $")), sorted(saved))
        question.session.saved = saved  # it lasts, and keys of later questions name it


def kept(options, fields, found):
    """RFC 5182 §2.4, RFC 9394 §3.4: everything, but if only some are asked for, those."""
    some = [name for name in ("MIN", "MAX", "PARTIAL") if name in options]
    if not some or "COUNT" in options or "ALL" in options:
        return found
    return [number for name in some for number in fields.get(name, [])]


def whole(value):
    """A field's value: a set's numbers; NIL has none."""
    return [] if value == "NIL" else set_numbers(value.encode())


def fields_expected(options, found):
    """Without results only COUNT and PARTIAL come (RFC 4731 §3.1, RFC 9394 §3.1)."""
    fields = {}
    if "COUNT" in options:
        fields["COUNT"] = [len(found)]
    window = re.search(r"PARTIAL (-?\d+):(-?\d+)", options)
    if window:
        fields["PARTIAL"] = within(found, int(window[1]), int(window[2]))
    if found and "MIN" in options:
        fields["MIN"] = [found[0]]
    if found and "MAX" in options:
        fields["MAX"] = [found[-1]]
    if found and "ALL" in options:
        fields["ALL"] = found
    return dict(sorted(fields.items()))


def within(found, one, other):
    """A window of results; the negative ones count from the last (RFC 9394 §3.1)."""
    first, last = sorted((abs(one), abs(other)))
    if one > 0:
        return found[first - 1:last]
    return found[max(0, len(found) - last):max(0, len(found) - first + 1)]


def sort(run, question):
    words, pairs = criteria(run.chance, question)
    lines = question.do(f"SORT ({words}) UTF-8")
    question.require([int(number) for number in answer(lines, "SORT").split()],
                     [number for number, _ in pairs])


def criteria(chance, question):
    """RFC 5256 §3, RFC 5957: some at random, and what is found in their order. What is equal stays in
    the order of the folder, reversed or not."""
    chosen = [(chance.choice(list(CRITERIA)), chance.random() < 0.3)
              for _ in range(chance.choice((1, 1, 2, 3)))]
    pairs = question.pairs
    for name, is_reversed in reversed(chosen):
        pairs = sorted(pairs, key=lambda pair: CRITERIA[name](pair[1]), reverse=is_reversed)
    return " ".join(f"REVERSE {name}" if is_reversed else name for name, is_reversed in chosen), pairs


def thread(run, question):
    algorithm = run.chance.choice(list(ALGORITHMS))
    lines = question.do(f"THREAD {algorithm} UTF-8")
    question.require(answer(lines, "THREAD"), ALGORITHMS[algorithm](question.pairs))


def answer(lines, name):
    """The text behind the name of an untagged response."""
    found = [line for line in lines if line.startswith(f"* {name}")]
    check(len(found) == 1, f"{len(found)} responses {name}: {lines}")
    return found[0][len(f"* {name}"):].strip()


def search_folders(run, question):
    """ESEARCH of several folders (RFC 7377): a key that means the same in each of them."""
    folders, session = run.mailbox.folders, question.session
    where, names = scope(run.chance, list(folders), session.folder)
    key = run.keys(folders[run.chance.choice(names)]).tree()
    command = f"ESEARCH IN ({where}) RETURN (ALL COUNT) {key.text}"
    got = {}
    for line in session.do(command):
        told = re.match(r'\* ESEARCH \(TAG "\w+" MAILBOX (\S+) UIDVALIDITY \d+\) '
                        r'UID COUNT (\d+)(?: ALL (\S+))?', line)
        if told:
            found = whole(told[3] or "NIL")
            run.require(int(told[2]), len(found), session, command)
            got[told[1].strip('"')] = found
    expected = {name: [message.uid for number, message in enumerate(folders[name], 1)
                       if key.test(message, number)] for name in names}
    run.require({name: found for name, found in got.items() if found},
                {name: found for name, found in expected.items() if found}, session, command)


def scope(chance, names, selected):
    """The words of a scope, and the folders that it means."""
    some = chance.sample(names, chance.randint(1, len(names)))
    return chance.choice((("personal", names), ("inboxes", [INBOX]), ("selected", [selected]),
                          (f"mailboxes ({' '.join(some)})", some), (f"subtree ({' '.join(some)})", some),
                          (f"subtree-one {some[0]}", some[:1])))


# What is asked, and how often.
QUERIES = {search: 35, search_return: 20, sort: 20, sort_return: 8, thread: 20, search_folders: 8}

# ---- the cases ----

suite = Suite(__doc__)


class Runs:
    """All seeds ask one server; each has an alias of its own."""

    def __init__(self, server):
        self.server, self.count = server, 0

    def run(self, seed):
        """How many queries were compared."""
        print(f"--seed {seed}", flush=True)
        self.count += 1
        run = Run(self.server, self.server.add_alias(f"run{self.count}@queries.test"), seed)
        run.run()
        return run.queries


@suite.case
def a_known_seed(runs):
    return f"{runs.run(KNOWN_SEED)} queries compared, seed {KNOWN_SEED}"


@suite.case
def a_seed_of_its_own(runs):
    return f"{runs.run(suite.options.seed)} queries compared, --seed {suite.options.seed}"


@suite.case
def many_seeds(runs):
    if not suite.options.long:
        raise Skip("only with --long")
    deadline = time.monotonic() + MORE_SECONDS
    seeds = queries = 0
    while seeds < MORE_SEEDS and time.monotonic() < deadline:
        seeds += 1
        queries += runs.run(suite.options.seed + seeds)
    return f"{queries} queries compared, {seeds} seeds from {suite.options.seed + 1}"


@suite.case
def nothing_was_found_by_the_sanitizers(runs):
    findings = runs.server.sanitizer_findings()
    check(not findings, findings[:10])


if __name__ == "__main__":
    suite.parse()
    with Server(settings={"connections_per_address_max": 1000}) as running:
        suite.run(Runs(running))
