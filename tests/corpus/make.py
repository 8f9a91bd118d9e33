#!/usr/bin/env python3
"""A mail corpus: ordinary messages and every nasty one we know, the same for the same seed.

    make.py --count 1000 --seed 1 --out DIR     one file a message, and DIR/index.tsv
    generate(count, seed)                       the messages, as bytes
    cases(count, seed)                          the same with their names, see Case
    marker(i, seed)                             the word that only message i holds

Ordinary messages are what a mailbox is full of: text, text with HTML, attachments that several
messages share, encoded words, a dozen charsets, some of them large. Nasty ones come after every
ordinary one at first, until each was there once, then one in 33.
"""
import argparse
import base64
import collections
import hashlib
import os
import quopri
import random

Case = collections.namedtuple("Case", "index name raw is_smtp has_marker")
Case.__doc__ = """is_smtp: may go through SMTP unchanged: CRLF lines only, a last one included, no
NUL. Lines may still be longer than 998 bytes; longest_line tells."""

SEED = 1
NASTY_EVERY = 33


def marker(i, seed=SEED):
    """A word of 20 letters, found nowhere else: neither in other messages nor in any language."""
    digest = hashlib.blake2b(b"marker %d %d" % (seed, i), digest_size=10).digest()
    return "zq" + "".join("bcdfghjklmnpqrst"[b >> 4] + "aeiouywvxaeiouyw"[b & 15]
                          for b in digest[:9])


def longest_line(raw):
    return max((len(line) for line in raw.split(b"\n")), default=0)


def crlf(text):
    return text.replace("\n", "\r\n").encode("utf-8")


WORDS = """the of and to in we that it for was on are with as at this have from or by not but what
all were when your can there use each which how their will other about out many then them these so
some her would make like him into time has look more write see number no way could people my than
first water been call who its now find long down day did get come made may part invoice meeting
report agenda budget quarter delivery contract schedule holiday greetings regards server network
release question answer project customer estimate attached please review tomorrow yesterday""".split()

# Words by charset: what the text of such a message is made of.
ALPHABETS = [
    ("us-ascii", WORDS),
    ("utf-8", "Grüße Müßiggang café naïve 東京 здравствуй Ωμέγα ﬁne Ünï façade żółć".split()),
    ("iso-8859-1", "Grüße schön Straße café garçon niño über Ærø señor".split()),
    ("iso-8859-15", "Prix 20€ œuvre Žižkov Straße".split()),
    ("windows-1252", "“quoted” Preis€ naïve – dash… café".split()),
    ("iso-8859-2", "żółć gęślą jaźń příliš žluťoučký kůň".split()),
    ("windows-1251", "съешь ещё этих мягких французских булок".split()),
    ("koi8-r", "съешь ещё этих мягких французских булок да выпей чаю".split()),
    ("iso-8859-7", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία".split()),
    ("iso-2022-jp", "東京 日本語 こんにちは 会議 資料".split()),
    ("shift_jis", "東京 日本語 こんにちは 会議 資料".split()),
    ("euc-jp", "東京 日本語 こんにちは 会議 資料".split()),
    ("gb2312", "北京 你好 会议 资料 邮件".split()),
    ("big5", "台北 你好 會議 資料 郵件".split()),
    ("euc-kr", "서울 안녕 회의 자료 편지".split()),
]

NAMES = ["Alice Example", "Bob B. Builder", "Jörg Müller", "山田 太郎", "Zoë Ångström", "O'Brien, Pat",
         "Мария Иванова", "mailer", "Dr. No (PhD)", 'The "Boss"']
DOMAINS = ["example.test", "mail.example.test", "demo.test", "münchen.example.test"]


class Source:
    """What the messages of one seed share: attachments and the chance that mixes them."""

    def __init__(self, seed):
        self.seed = seed
        chance = random.Random(seed)
        self.attachments = []
        for k in range(12):
            size = chance.choice([700, 5_000, 20_000, 60_000, 150_000])
            if k % 3 == 0:
                data = chance.randbytes(size)
            else:
                data = (" ".join(chance.choices(WORDS, k=200)).encode() * (size // 800 + 1))[:size]
            name = chance.choice(["report", "photo", "Überblick", "資料", "invoice 2026", "a;b"])
            suffix, kind = chance.choice([("pdf", "application/pdf"), ("jpg", "image/jpeg"),
                                          ("zip", "application/zip"), ("txt", "text/plain")])
            self.attachments.append((f"{name}.{suffix}", kind, base64_lines(data, 76)))


def base64_lines(data, width, end="\r\n"):
    text = base64.b64encode(data).decode()
    return "".join(text[i:i + width] + end for i in range(0, len(text), width))


def encoded_word(text, chance):
    if text.isascii():
        return text
    if chance.random() < 0.5:
        return "=?utf-8?B?%s?=" % base64.b64encode(text.encode()).decode()
    return "=?UTF-8?q?%s?=" % "".join("=%02X" % b for b in text.encode())


def address(chance):
    name = chance.choice(NAMES)
    local = chance.choice(["alice", "bob", "info", "no-reply", '"odd box"', "x+tag"])
    domain = chance.choice(DOMAINS[:3])
    if name.isascii():
        name = '"%s"' % name.replace('"', '\\"')
    return "%s <%s@%s>" % (encoded_word(name, chance), local, domain)


def date(chance):
    return "%s, %02d %s 2026 %02d:%02d:%02d %s" % (
        chance.choice(["Mon", "Tue", "Wed", "Thu"]), chance.randint(1, 28),
        chance.choice(["Jan", "Feb", "Mar", "Apr", "Nov"]), chance.randint(0, 23),
        chance.randint(0, 59), chance.randint(0, 59),
        chance.choice(["+0000", "-0800", "+0530", "GMT", "+0100 (CET)"]))


def header(i, chance, seed, subject=None):
    """The header of an ordinary message, without the empty line."""
    words = chance.choice(ALPHABETS[:4])[1]
    subject = subject or " ".join(chance.choices(words, k=chance.randint(1, 6)))
    lines = []
    for hop in range(chance.randint(1, 5)):
        lines.append("Received: from mx%d.example.test (mx%d.example.test [192.0.2.%d])\n"
                     "\tby mail.example.test with ESMTPS id %08x\n\tfor <me@demo.test>; %s"
                     % (hop, hop, hop + 1, chance.getrandbits(32), date(chance)))
    if chance.random() < 0.7:
        lines.append("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.test;\n"
                     "\ts=k1; h=from:to:subject:date; bh=%s;\n\tb=%s"
                     % (base64.b64encode(chance.randbytes(32)).decode(),
                        "\n\t ".join(base64.b64encode(chance.randbytes(48)).decode()
                                     for _ in range(5))))
    lines += ["From: " + address(chance),
              "To: " + ",\n ".join(address(chance) for _ in range(chance.choice([1, 1, 1, 3, 12])))]
    if chance.random() < 0.2:
        lines.append("Cc: " + address(chance) + ", list: a@example.test, b@example.test;")
    if chance.random() < 0.4:
        lines += ["In-Reply-To: <%d.%d@example.test>" % (seed, max(0, i - 1)),
                  "References: <%d.%d@example.test>\n <%d.%d@example.test>"
                  % (seed, max(0, i - 2), seed, max(0, i - 1))]
    lines += ["Subject: " + chance.choice(["", "Re: ", "Fwd: [list] "]) +
              encoded_word(subject, chance) + " " + marker(i, seed),
              "Date: " + date(chance), "Message-ID: <%d.%d@example.test>" % (seed, i),
              "MIME-Version: 1.0"]
    for k in range(chance.randint(0, 8)):
        lines.append("X-Thing-%d: %s" % (k, " ".join(chance.choices(WORDS, k=6))))
    return "\n".join(lines) + "\n"


def sentences(chance, words, count):
    """Lines of at most about 72 characters; some begin with a dot, for SMTP."""
    out = []
    for _ in range(count):
        line = " ".join(chance.choices(words, k=9))
        out.append(("." if chance.random() < 0.02 else "") + line)
    return "\n".join(out) + "\n"


def text_part(i, chance, seed, count, charset=None):
    """Header fields and body of one text part."""
    charset, words = charset or chance.choice(ALPHABETS)
    body = sentences(chance, words, count) + marker(i, seed) + "\n"
    data = body.replace("\n", "\r\n").encode(charset, "replace")
    form = chance.random()
    if charset in ("us-ascii", "iso-2022-jp") and form < 0.7:
        return "Content-Type: text/plain; charset=%s\n" % charset, data
    if form < 0.5:
        return ("Content-Type: text/plain; charset=\"%s\"\nContent-Transfer-Encoding: "
                "quoted-printable\n" % charset,
                quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n"))
    if form < 0.8:
        return ("Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: base64\n"
                % charset, base64_lines(data, 76).encode())
    return "Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: 8bit\n" % charset, data


def html_part(i, chance, seed, count):
    paragraphs = "".join("<p>%s <b>%s</b>&nbsp;&auml;&#8364; <a href=\"http://example.test/%d\">"
                         "%s</a></p>\n" % (" ".join(chance.choices(WORDS, k=12)),
                                           chance.choice(WORDS), k, chance.choice(WORDS))
                         for k in range(count))
    page = ("<!DOCTYPE html>\n<html><head><style>p { color: red }</style></head><body>\n%s<p>%s</p>\n"
            "<!-- not text --><script>var hidden = 1;</script></body></html>\n"
            % (paragraphs, marker(i, seed)))
    return ("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n",
            quopri.encodestring(page.encode()).replace(b"\n", b"\r\n"))


def multipart(kind, boundary, parts):
    """`parts` are (fields, body); the pair of the whole is given back."""
    out = [b"This is a message in MIME format.\r\n"]
    for fields, body in parts:
        out.append(b"--" + boundary.encode() + b"\r\n" + crlf(fields) + b"\r\n" + body + b"\r\n")
    out.append(b"--" + boundary.encode() + b"--\r\n")
    return 'Content-Type: multipart/%s; boundary="%s"\n' % (kind, boundary), b"".join(out)


def attachment(source, chance):
    name, kind, body = chance.choice(source.attachments)
    if name.isascii():
        fields = 'Content-Type: %s; name="%s"\nContent-Disposition: attachment; filename="%s"\n' % (
            kind, name, name)
    else:
        quoted = "".join("%%%02X" % b for b in name.encode())
        fields = "Content-Type: %s\nContent-Disposition: attachment;\n filename*=utf-8''%s\n" % (
            kind, quoted)
    return fields + "Content-Transfer-Encoding: base64\n", body.encode()


def ordinary(i, source, chance):
    seed = source.seed
    shape = chance.random()
    boundary = "=_%016x" % chance.getrandbits(64)
    if shape < 0.35:
        fields, body = text_part(i, chance, seed, chance.choice([2, 10, 40, 90]))
    else:
        fields, body = multipart("alternative", boundary, [
            text_part(i, chance, seed, chance.choice([5, 20, 60])),
            html_part(i, chance, seed, chance.choice([5, 20, 60]))])
    if shape > 0.85:
        parts = [(fields, body)] + [attachment(source, chance)
                                    for _ in range(chance.choice([1, 1, 2]))]
        fields, body = multipart("mixed", boundary + "m", parts)
    if shape > 0.97:
        inner = crlf(header(i, chance, seed) + fields) + b"\r\n" + body
        fields, body = multipart("mixed", boundary + "f", [
            text_part(i, chance, seed, 5), ("Content-Type: message/rfc822\n", inner)])
    if shape < 0.005:
        fields, body = text_part(i, chance, seed, 20_000, ALPHABETS[0])
    return crlf(header(i, chance, seed) + fields) + b"\r\n" + body


def simple(word, fields, body):
    """A short message around a nasty body or field; `word` is the marker."""
    if isinstance(body, str):
        body = crlf(body)
    return crlf("From: nasty@example.test\nTo: me@demo.test\nSubject: %s\n" % word
                + fields) + b"\r\n" + body


def nested_multiparts(word, depth):
    fields = "".join("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (k, k)
                     for k in range(depth))
    return simple(word, fields, word + "\n")


def nested_messages(word, depth):
    return simple(word, "Content-Type: message/rfc822\n\n" * depth, word + "\n")


def many_parts(word, count):
    body = b"".join(b"--b\r\nContent-Type: text/plain; name=p%d\r\n\r\n%d\r\n" % (k, k)
                    for k in range(count))
    return simple(word, "Content-Type: multipart/mixed; boundary=b\n", body + b"--b--\r\n")


def raw_base64(word, layout):
    return simple(word, "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n",
                  layout)


DATA = bytes(range(256)) * 20

# name: the message, given its marker word.
NASTY = {
    "empty": lambda w: b"",
    "one byte": lambda w: b"x",
    "only an empty line": lambda w: b"\r\n",
    "no header": lambda w: crlf("\n" + w + "\n"),
    "no empty line": lambda w: crlf("Subject: %s\nTo: me@demo.test\n" % w),
    "no final line break": lambda w: simple(w, "", "the end " + w),
    "header without line break": lambda w: b"Subject: " + w.encode(),
    "nested multiparts 100": lambda w: nested_multiparts(w, 100),
    "nested multiparts 20000": lambda w: nested_multiparts(w, 20_000),
    "nested messages 100": lambda w: nested_messages(w, 100),
    "nested messages 20000": lambda w: nested_messages(w, 20_000),
    "same boundary in all levels": lambda w: simple(
        w, "Content-Type: multipart/mixed; boundary=b\n",
        "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n%s\n--b--\n--b\n\nx\n--b--\n" % w),
    "boundary that is another's beginning": lambda w: simple(
        w, "Content-Type: multipart/mixed; boundary=aa\n",
        "--aa\nContent-Type: multipart/mixed; boundary=aaa\n\n--aaa\n\n%s\n--aaa--\n--aa--\n" % w),
    "boundary that looks closed": lambda w: simple(
        w, "Content-Type: multipart/mixed; boundary=\"b--\"\n", "--b--\n\n%s\n--b----\n" % w),
    "10000 parts": lambda w: many_parts(w, 10_000),
    "20000 parts": lambda w: many_parts(w, 20_000),
    "no boundary parameter": lambda w: simple(w, "Content-Type: multipart/mixed\n", "--\n\n" + w),
    "boundary never occurs": lambda w: simple(
        w, "Content-Type: multipart/alternative; boundary=there\n", "text %s\n" % w),
    "boundary not closed": lambda w: simple(
        w, "Content-Type: multipart/mixed; boundary=b\n", "--b\n\n%s\n--b\nContent-Type: te" % w),
    "empty parts": lambda w: simple(
        w, "Content-Type: multipart/mixed; boundary=b\n", "--b\n--b\n\n--b\n\n\n--b--\n"),
    "long boundary": lambda w: simple(
        w, "Content-Type: multipart/mixed; boundary=\"%s\"\n" % ("b" * 5000),
        "--%s\n\n%s\n" % ("b" * 5000, w)),
    "header of two megabytes": lambda w: simple(
        w, "".join("X-Filler-%d: %s\n" % (k, "y" * 60) for k in range(26_000)), w + "\n"),
    "one field of two megabytes, folded": lambda w: simple(
        w, "X-Long: " + "\n ".join(["z" * 70] * 28_000) + "\n", w + "\n"),
    "one header line of a megabyte": lambda w: simple(w, "X-Line: " + "z" * 1_000_000 + "\n", "\n"),
    "10000 recipients": lambda w: simple(
        w, "Cc: " + ",\n ".join("r%d@example.test" % k for k in range(10_000)) + "\n", "\n"),
    "8-bit header": lambda w: simple(w, "X-Raw: ", b"").replace(
        b"X-Raw: ", b"From: \xe4\xf6 <\xff@\xfe>\r\nComments: \xc3\xa4\x80\r\n"),
    "8-bit body without charset": lambda w: simple(w, "", DATA[128:256] + b"\r\n" + crlf(w + "\n")),
    "NUL in header and body": lambda w: simple(w, "X-Nul: a\0b\nCc: \0 <a\0@b>\n", "\0%s\0\n" % w),
    "bare LF lines": lambda w: simple(w, "", "one\n%s\n" % w).replace(b"\r\n", b"\n"),
    "bare CR": lambda w: simple(w, "X-Cr: a\rb\n", "one\r%s\rtwo\n" % w),
    "mixed line ends": lambda w: simple(w, "", b"one\ntwo\r\nthree\r" + w.encode() + b"\n\r\n"),
    "smuggling": lambda w: simple(w, "", b"x\n.\nMAIL FROM:<>\r.\r\n" + crlf(w + "\n")),
    "lines over 998 bytes": lambda w: simple(w, "X-Long: " + "y" * 1500 + "\n",
                                             "a" * 2000 + "\n" + w + "\n" + "b" * 70_000 + "\n"),
    "dots": lambda w: simple(w, "", ".\n..\n...\n.%s\n.\n\n.\n" % w),
    "all bytes": lambda w: simple(w, "Content-Transfer-Encoding: binary\n",
                                  DATA + w.encode() + b"\n"),
    "base64 76": lambda w: raw_base64(w, base64_lines(DATA, 76)),
    "base64 64": lambda w: raw_base64(w, base64_lines(DATA, 64)),
    "base64 one line": lambda w: raw_base64(w, base64_lines(DATA, 10**6)),
    "base64 ragged": lambda w: raw_base64(w, base64_lines(DATA[:501], 20) + base64_lines(DATA, 75)),
    "base64 with blanks": lambda w: raw_base64(w, base64_lines(DATA, 76, " \r\n")),
    "base64 bare LF": lambda w: raw_base64(w, base64_lines(DATA, 76, "\n").encode()),
    "base64 no final break": lambda w: raw_base64(w, base64_lines(DATA[:511], 76).rstrip()),
    "base64 empty lines": lambda w: raw_base64(w, base64_lines(DATA, 76, "\r\n\r\n")),
    "base64 padded twice": lambda w: raw_base64(w, "SGVsbG8=\nSGVsbG8=\n"),
    "base64 odd bits": lambda w: raw_base64(w, "SGVsbG9=\n"),
    "base64 invalid": lambda w: raw_base64(w, "not*base64!\n====\nSGVsb\n"),
    "quoted-printable invalid": lambda w: simple(
        w, "Content-Transfer-Encoding: quoted-printable\n", "=ZZ =4 %s=  \nx=\n=" % w),
    "unknown encoding": lambda w: simple(
        w, "Content-Transfer-Encoding: x-uuencode\n", "begin 644 %s\n#0V%%T\n`\nend\n" % w),
    "unknown charset": lambda w: simple(
        w, "Content-Type: text/plain; charset=\"x-klingon//TRANSLIT\"\n",
        b"\x80\xff " + w.encode() + b"\r\n"),
    "bad encoded words": lambda w: simple(
        w, "Comments: =?utf-8?q?=?= =?utf-8?b?!!?= =??q?x?= =?a?z?x?= =?utf-8?q?=FF=?=\n", "\n"),
    "open quotes": lambda w: simple(
        w, "Cc: \"open <a@b>, (c (d\nContent-Type: text/plain; charset=\"utf-8\n", w + "\n"),
    "deep comments": lambda w: simple(w, "Cc: " + "(" * 30_000 + " a@b\n", w + "\n"),
    "quotes in subject": lambda w: simple(w, "", "\n").replace(
        w.encode(), b"\"q\\\" {3}\r\n " + w.encode()),
    "base64 inner message": lambda w: simple(
        w, "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n",
        base64_lines(b"Subject: in\r\n\r\nx\r\n", 76)),
    "RFC 2231 pieces": lambda w: simple(
        w, "Content-Type: application/x; name*0*=utf-8''%%C3%%A4; name*1=b; name*2*=%%20c\n"
        "Content-Disposition: attachment; filename*=iso-8859-1'de'%%E4.txt\n".replace("%%", "%"),
        w + "\n"),
    "mbox From line": lambda w: b"From a@b Mon Jan  1 00:00:00 2026\r\n" + simple(
        w, "", "From here\n>From there\n" + w + "\n"),
    "fields without colon": lambda w: simple(w, " folded nothing\nno colon here\n: no name\n", "\n"),
    "white space fields": lambda w: simple(w, "X-Blank:\n \n\t\nSubject : again\n", w + "\n"),
    "charset bombs": lambda w: simple(
        w, "Content-Type: text/plain; charset=utf-7\n",
        b"+" + b"A" * 5000 + b"-\xff+//// " + w.encode() + b"\r\n"),
    "html left open": lambda w: simple(
        w, "Content-Type: text/html\n", "<p>%s<a href=\"<!-- <script> <b" % w + "<a '\"" * 2000),
    "combining marks": lambda w: simple(
        w, "Content-Type: text/plain; charset=utf-8\n", "e" + "\u0301\u0316" * 5000 + w + "\n"),
}


def nasty_at(i):
    names = list(NASTY)
    if i < 2 * len(names):
        return names[i // 2] if i % 2 else None
    return names[i // NASTY_EVERY % len(names)] if i % NASTY_EVERY == 7 else None


def is_smtp(raw):
    rest = raw.replace(b"\r\n", b"")
    return (raw.endswith(b"\r\n") and b"\r" not in rest and b"\n" not in rest
            and b"\0" not in raw)


def cases(count, seed=SEED, only_ordinary=False):
    source = Source(seed)
    for i in range(count):
        name = None if only_ordinary else nasty_at(i)
        if name is None:
            raw = ordinary(i, source, random.Random("%d %d" % (seed, i)))
        else:
            raw = NASTY[name](marker(i, seed))
        yield Case(i, name or "ordinary", raw, is_smtp(raw), marker(i, seed).encode() in raw)


def generate(count, seed=SEED, only_ordinary=False):
    for case in cases(count, seed, only_ordinary):
        yield case.raw


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--ordinary", action="store_true", help="leave the nasty ones out")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    total = 0
    with open(os.path.join(options.out, "index.tsv"), "w", encoding="utf-8") as index:
        index.write("file\tname\tmarker\tsmtp\tbytes\n")
        for case in cases(options.count, options.seed, options.ordinary):
            name = "%06d.eml" % case.index
            with open(os.path.join(options.out, name), "wb") as file:
                file.write(case.raw)
            total += len(case.raw)
            index.write("%s\t%s\t%s\t%s\t%d\n" % (
                name, case.name, marker(case.index, options.seed) if case.has_marker else "-",
                "yes" if case.is_smtp else "no", len(case.raw)))
    print("%d messages, %d bytes" % (options.count, total))


if __name__ == "__main__":
    main()
