"""Messages made at random, of which the model knows all that a query may ask for."""

import base64
import copy
import datetime
import functools

from queries.base_subject import base_subject
from queries.casemap import folded

WORDS = ("alpha", "alphabet", "beta", "bet", "the", "of", "Stra\u00dfe", "\u00e4rger", "na\u00efve", "rare7",
         "x-y_z", "10.5", "user@host.example", "\u65e5\u672c", "deadbeef", "\u017fun", "ab" * 60)
SUBJECTS = ("", "plan", "Plan ", "other thing", "[list] plan", "\u00c4rger", "re", "fwd:", "x")
SUBJECT_MARKS = ("Re: %s", "RE:%s", "re [x] : %s", "Fwd: %s", "fw: %s", "[blob] %s", "[a][b] Re: %s",
                 "%s (fwd)", "[Fwd: %s]", " %s ", " Re: [blob]  %s", "[only]%s")
MAILBOXES = ("joe", "Ann", "zoe", "\u00e4nne", "b.c")
HOSTS = ("x.org", "Y.org")
# What a header field says, and what a reader sees.
DISPLAY_NAMES = (("", ""), ("", ""), ('"Joe Smith"', "Joe Smith"), ('"\u00c4rger"', "\u00c4rger"),
                 ('"joe"', "joe"), ('"Zed"', "Zed"), ("=?utf-8?q?=C3=84rger?=", "\u00c4rger"),
                 ('"ann@x"', "ann@x"))
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
ZONES = {"+0000": 0, "-0930": -570, "+1345": 825, "EST": -300, "GMT": 0, "-0000": 0, "+0530": 330, "": 0,
         "(comment) +0100": 60}  # minutes east
BAD_DATES = ("garbage", "32 Jan 2015 10:00:00 +0000", "", "30 Feb 2016 10:00 +0000", "yesterday 10:00")
SENT_FROM = datetime.datetime(2015, 1, 1)
ARRIVED_FROM = datetime.datetime(2016, 1, 1)
DAY, MONTH, YEARS = 60 * 24, 60 * 24 * 30, 60 * 24 * 365 * 5  # in minutes


def day_text(day):
    return f"{day.day}-{MONTHS[day.month - 1]}-{day.year}"


class Address:
    def __init__(self, mailbox, host, display_name):
        self.mailbox, self.host, self.display_name = mailbox, host, display_name

    def seen(self):
        """As a key of SEARCH sees it."""
        mail = f"{self.mailbox}@{self.host}"
        return f"{self.display_name} <{mail}>" if self.display_name else mail

    def shown(self):
        """As DISPLAYFROM and DISPLAYTO sort (RFC 5957 §3)."""
        return self.display_name or f"{self.mailbox}@{self.host}"


class Message:
    """One copy in a folder. Made by Maker, which gives it:

    fields         its header fields, decoded, as (name, text)
    texts          what the keys SUBJECT, FROM, TO, CC and BODY look at, by key
    addresses      lists of Address, by key
    identity, references      Message-IDs with their brackets (RFC 5256 §3: one of In-Reply-To's at most)
    sent, sent_day            the Date field: in UTC; in its own zone. None: there is no valid one
    arrived, arrived_day      INTERNALDATE, the same
    lines          the decoded body with its line ends
    raw            what is appended
    """

    uid = None

    def __init__(self):
        self.flags = set()
        self.fields, self.texts, self.addresses = [], {}, {}

    def copied(self, uid=None):
        other = copy.copy(self)
        other.flags, other.uid = set(self.flags), uid
        return other

    @property
    def size(self):
        return len(self.raw)

    @property
    def sent_or_arrived(self):
        """The sent date (RFC 5256 §2.2)."""
        return self.sent or self.arrived

    @functools.cached_property
    def base(self):
        return folded(base_subject(self.texts["SUBJECT"])[0])

    @functools.cached_property
    def is_reply(self):
        return base_subject(self.texts["SUBJECT"])[1]

    def field(self, name):
        """The decoded texts of all fields of that name."""
        return [text for each, text in self.fields if each.lower() == name.lower()]

    def __repr__(self):
        return (f"UID {self.uid} {self.identity} {self.texts['SUBJECT']!r} references {self.references} "
                f"sent {self.sent} arrived {self.arrived} {self.size} bytes {sorted(self.flags)}")


class Maker:
    def __init__(self, chance):
        self.chance = chance
        self.count = 0
        self.identities = []
        self.made = []

    def message(self):
        """A new one, or now and then one that was there before, come in again."""
        if self.made and self.chance.random() < 0.1:
            message = self.chance.choice(self.made).copied()
        else:
            message = self.write()
        self.arrive(message)
        self.made.append(message)
        return message

    def write(self):
        self.count += 1
        message = Message()
        lines = [self.subject(message)]
        lines += [self.address_field(message, name) for name in ("From", "To", "Cc")]
        lines += [*self.relations(message), self.date(message)]
        lines = [line for line in lines if line is not None]
        self.chance.shuffle(lines)
        lines.append("Content-Type: text/plain; charset=utf-8")
        body = " ".join(self.chance.choice(WORDS) for _ in range(self.chance.choice((0, 1, 3, 8))))
        message.texts["BODY"] = body
        body += "\n"
        if self.chance.random() < 0.05:  # sizes that differ in more than a few bytes
            body += "#####\n" * self.chance.randrange(2000)
        message.lines = body
        message.raw = ("\n".join(lines) + "\n\n" + body).replace("\n", "\r\n").encode()
        return message

    # ---- header fields: each notes what it says and gives its line, or None ----

    def line(self, message, name, raw, decoded=None):
        message.fields.append((name, raw.replace("\n", "") if decoded is None else decoded))
        return f"{name}: {raw}"

    def subject(self, message):
        chance = self.chance
        text = chance.choice(SUBJECTS)
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 3))):
            text = chance.choice(SUBJECT_MARKS) % text
        if chance.random() < 0.2:
            text += " " + chance.choice(WORDS)
        message.texts["SUBJECT"] = text.strip()
        if not text.strip() and chance.random() < 0.5:
            return None
        if 0 < len(text.strip()) < 20 and chance.random() < 0.2:  # RFC 2047 §2: no longer than 75
            encoded = base64.b64encode(text.strip().encode()).decode()
            return self.line(message, "Subject", f"=?utf-8?B?{encoded}?=", text.strip())
        return self.line(message, "Subject", text)

    def address_field(self, message, name):
        chance = self.chance
        key = name.upper()
        message.addresses[key], message.texts[key] = [], ""
        if chance.random() < 0.2:
            return self.line(message, name, "") if chance.random() < 0.5 else None
        raw = []
        for _ in range(chance.choice((1, 1, 2))):
            mailbox, host = chance.choice(MAILBOXES), chance.choice(HOSTS)
            written, display_name = chance.choice(DISPLAY_NAMES)
            message.addresses[key].append(Address(mailbox, host, display_name))
            raw.append(f"{written} <{mailbox}@{host}>" if written else f"{mailbox}@{host}")
        message.texts[key] = ", ".join(each.seen() for each in message.addresses[key])
        return self.line(message, name, ", ".join(raw), message.texts[key])

    def relations(self, message):
        """Message-ID, and References or In-Reply-To: to others that are here, that are gone, that never were,
        to itself in circles."""
        chance = self.chance
        message.identity = self.identity()
        message.references = []
        if self.identities and chance.random() < 0.6:
            message.references = [self.reference() for _ in range(chance.choice((1, 1, 2, 3)))]
        lines = []
        if message.identity:
            self.identities.append(message.identity)
            lines.append(self.line(message, chance.choice(("Message-ID", "message-id")), message.identity))
        if message.references and chance.random() < 0.7:
            lines.append(self.line(message, "References", "\n ".join(message.references)))
        elif message.references:
            lines.append(self.line(message, "In-Reply-To", " ".join(message.references)))
            # RFC 5256 §3, REFERENCES, step 1: its first valid one counts.
            message.references = message.references[:1]
        return lines

    def identity(self):
        chance = self.chance
        which = chance.random()
        if which < 0.1:  # the same as <iN@x>
            return f'<"i{self.count}"@x>'
        if which < 0.9:
            return f"<i{self.count}@x>"
        return chance.choice((None, "<dup@x>", f"<i{chance.randint(1, self.count)}@x>"))

    def reference(self):
        if self.chance.random() < 0.8:
            return self.chance.choice(self.identities[-40:])
        return f"<ghost{self.chance.randrange(8)}@x>"

    def date(self, message):
        chance = self.chance
        message.sent = message.sent_day = None
        which = chance.random()
        if which < 0.8:
            minutes = chance.choice((0, 1, chance.randrange(MONTH), chance.randrange(YEARS)))
            when = SENT_FROM + datetime.timedelta(minutes=minutes)
            zone = chance.choice(list(ZONES))
            message.sent = when - datetime.timedelta(minutes=ZONES[zone])
            message.sent_day = when.date()
            weekday = chance.choice((f"{when:%a}, ", "", "Foo, "))
            day = day_text(when).replace("-", " ")
            return self.line(message, "Date", f"{weekday}{day} {when:%H:%M:00} {zone}")
        return self.line(message, "Date", chance.choice(BAD_DATES)) if which < 0.9 else None

    def arrive(self, message):
        minutes = self.chance.choice((0, 5, self.chance.randrange(MONTH)))
        when = ARRIVED_FROM + datetime.timedelta(minutes=minutes)
        zone = self.chance.choice((0, 60, -570, 825))
        message.arrived = when - datetime.timedelta(minutes=zone)
        message.arrived_day = when.date()
        hours, minutes = divmod(abs(zone), 60)
        message.arrived_text = f"{when:%d-%b-%Y %H:%M:%S} {'-' if zone < 0 else '+'}{hours:02}{minutes:02}"
