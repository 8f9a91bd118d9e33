#!/usr/bin/env python3
"""A labelled corpus of mail: ham and spam, made from many templates, the same for the same seed.

    make.py --ham 1500 --spam 1500 --seed 1 --out DIR     DIR/ham/NNNN.eml, DIR/spam/NNNN.eml
    generate(label, count, seed)                          (kind, message as bytes), one after the other

What is in it, and what it can and cannot show, is in docs/spam.md. The kinds are meant to overlap in
their words: wanted mail has invoices, offers, links and urgent requests too, spam has polite
sentences and real people's names. Nothing in a header gives the label away: both kinds use the same
writers of headers, except for the faults that spam has more often, and those appear in ham as well.
"""
import argparse
import base64
import email.header
import email.utils
import gzip
import io
import os
import quopri
import random
import tarfile
import zipfile

# ---- Words ----

FIRST = """Anna Ben Carla David Elena Felix Greta Henry Ines Jakob Katja Liam Maria Nils Olga Paul Quinn
Rosa Stefan Tanja Udo Vera Walter Xenia Yusuf Zoe Aisha Bruno Chen Dmitri Emeka Fatima Giorgos Hana
Ivan Jing Kofi Leila Mateo Noor""".split()
LAST = """Adler Brandt Costa Dvorak Eriksen Fischer Garcia Haddad Ivanov Jensen Keller Lindqvist Moreau
Novak Okafor Petrov Quiroga Rossi Schmidt Tanaka Ueda Vogel Weber Yilmaz Zhang Baker Cooper Dixon
Evans Foster""".split()
COMPANIES = """Nordwind Alpenblick Brightwater Cedarline Datenwerk Eastgate Fernhill Glasmoor Harbourview
Inselberg Juniper Kestrel Lakeside Meridian Northfold Oakridge Pinecrest Quarry Riverstone Seaford
Tidewater Umbra Valley Westbrook Yarrow""".split()
HAM_DOMAINS = [f"{c.lower()}.{t}" for c in COMPANIES for t in ("example", "example.org", "example.net")]
FREE_MAIL = ["mailbox.example", "post.example", "freemail.example.com", "webmail.example.net"]
SPAM_STEMS = """best cheap secure fast top mega global prime smart click win bonus deal offer cash crypto
health slim magic royal lucky instant super direct""".split()
SPAM_TAILS = """deals-now shop-online rewards-center meds-store invest-pro loan-desk prize-claim
account-verify update-info casino-vip pills-express dating-club watch-outlet seo-boost""".split()
SPAM_TLDS = ["top", "xyz", "click", "icu", "example.com", "biz", "info", "ru", "site", "online"]

TOPICS = {
    "meeting": """meeting agenda minutes Tuesday Thursday room projector calendar attendees postpone schedule
        slides quarterly review chairs invite lunch notes action items follow-up decision""".split(),
    "software": """branch commit patch review merge build compiler warning regression release candidate bug
        stack trace segfault allocator thread mutex kernel packet latency benchmark refactor tests pipeline
        deploy rollback container config parser unicode""".split(),
    "family": """kids school grandma birthday cake weekend garden weather train tickets visit photos dinner
        recipe bicycle holiday beach neighbours cat vet homework football rehearsal""".split(),
    "work": """proposal budget contract supplier customer delivery warehouse shipment spreadsheet figures
        forecast headcount onboarding interview candidate training office lease insurance audit
        compliance""".split(),
    "travel": """flight hotel booking itinerary gate boarding passport visa luggage station platform
        reservation check-in checkout breakfast rental car museum harbour ferry""".split(),
    "club": """choir rehearsal concert programme committee treasurer membership fee annual general minutes
        volunteers summer fair raffle hall keys tennis league fixture""".split(),
    "science": """sample dataset regression hypothesis reviewer manuscript figure appendix conference
        deadline grant proposal laboratory reagent sequence microscope calibration sensor""".split(),
}
SPAM_TOPICS = {
    "pills": """pharmacy pills viagra cialis discount prescription erection dosage overnight shipping
        generic meds doctor approved weight loss miracle supplement ingredient fat burn""".split(),
    "casino": """casino jackpot slots roulette free spins bonus deposit winnings payout vip table betting odds
        exclusive reward gamble""".split(),
    "crypto": """bitcoin investment profit guaranteed returns trading robot wallet passive income double
        secret millionaire broker signals deposit withdraw blockchain""".split(),
    "loan": """loan credit approved instant cash debt consolidate rates refinance bad history approval
        lender unsecured apply mortgage""".split(),
    "watches": """replica watches rolex luxury handbags designer swiss movement outlet wholesale sunglasses
        sale cheapest""".split(),
    "dating": """singles lonely hot women dating tonight webcam chat profile naughty meet local adult
        pictures waiting""".split(),
    "seo": """ranking google first page backlinks traffic website audit keywords visitors leads guaranteed
        optimization packages affordable""".split(),
    "degree": """degree diploma university accredited without exams bachelor master career salary increase
        certificate transcripts""".split(),
}
FILLER = """the and of to in a is that for it on with as are this be at by from or have not we you our your
was will can has an all if more about when there so what up out them some time would which make just
know take people into year good could see other than then now only come over think also back after use
two how work first well way even new want because any these give most us""".split()

SENTENCES_HAM = [
    "Could you have a look at the {t} before {day}?", "I moved the {t} to {day}, hope that works.",
    "Thanks for the {t}, it was very helpful.", "We still need the {t} and the {t2} from {name}.",
    "Please find the {t} attached.", "Let me know what you think about the {t}.",
    "{name} asked whether the {t2} is ready.", "Sorry for the late answer, the {t} took longer.",
    "I am out of the office until {day}.", "The {t} is on the shared drive, under {t2}.",
    "About your question: the {t} comes first, then the {t2}.", "See you on {day} at {hour}.",
    "The invoice for the {t} is due on {day}.", "Click the link below to see the {t}.",
    "There is a special offer on {t2} this week, we might want it.", "It is urgent that the {t} is done today.",
    "Nothing new about the {t2}, I will ask again on {day}.", "My phone number is still the same.",
]
SENTENCES_SPAM = [
    "Get {t} now at {p}% off!", "Order {t} today and receive {t2} for FREE.", "This {t} offer expires in {n} hours.",
    "You have been selected for our {t} program.", "No {t2}, no questions asked.",
    "Thousands of customers already enjoy {t}.", "Earn ${m} per week from home with {t}.",
    "Act now, only {n} places are left.", "100% satisfaction guaranteed or your money back.",
    "Click here to claim your {t}.", "Do not miss this once in a lifetime {t}.", "Limited time {t} deal for you.",
    "Lowest prices on {t} and {t2}, we ship worldwide.", "Dear friend, have you heard of {t}?",
    "Reply with your details to receive {t}.", "We are happy to help you with {t2}.",
]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

GERMAN_HAM = """Könntest du dir bitte den Entwurf bis {day} ansehen? Die Rechnung für die Lieferung liegt bei.
Wir treffen uns am {day} um {hour} im großen Saal. Vielen Dank für die schönen Fotos vom Ausflug.
Der Termin mit {name} wurde verschoben. Die Unterlagen für die Prüfung schicke ich morgen nach.
Grüße auch an die Kinder, bis zum Wochenende. Das Protokoll der letzten Sitzung hängt an.""".replace("\n", " ").split(". ")
GERMAN_SPAM = """Jetzt {p}% Rabatt auf Potenzmittel sichern. Ihr Kredit wurde sofort genehmigt, ohne Schufa.
Gewinnen Sie ein neues Telefon, klicken Sie hier. Verdienen Sie {m} Euro pro Woche von zu Hause.
Ihr Konto wurde gesperrt, bestätigen Sie Ihre Daten. Nur heute: kostenlose Freispiele im Casino.
Einzigartige Uhren zum halben Preis. Heiße Kontakte in Ihrer Nähe warten auf Sie.""".replace("\n", " ").split(". ")
FRENCH_HAM = ["Pourriez-vous relire le contrat avant {day} ?", "La réunion est reportée à {day}, {hour}.",
              "Merci beaucoup pour le déjeuner, à bientôt.", "Vous trouverez la facture ci-jointe.",
              "{name} a envoyé les photos de la fête.", "Le train arrive à {hour}, je t'attends à la gare."]
FRENCH_SPAM = ["Gagnez {m} euros par semaine sans effort !", "Médicaments à prix cassés, livraison discrète.",
               "Votre colis est bloqué, payez les frais ici.", "Crédit immédiat sans justificatif.",
               "Profitez de {p}% de remise sur les montres de luxe.", "Félicitations, vous avez gagné un bon d'achat !"]
RUSSIAN_HAM = ["Пришли, пожалуйста, отчёт до пятницы.", "Встреча переносится на {hour}.", "Спасибо за фотографии с дачи.",
               "Билеты на поезд я уже купил.", "Договор лежит у секретаря, подпиши его завтра.", "Бабушка передаёт привет."]
RUSSIAN_SPAM = ["Продвижение сайтов в топ за неделю, недорого.", "Кредит без справок за один день!",
                "Заработок в интернете от {m} рублей.", "Казино дарит бонус на первый депозит.",
                "База адресов предприятий, скидка {p}%.", "Дипломы и аттестаты с доставкой."]
JAPANESE_HAM = ["来週の会議の資料を添付します。", "昨日はありがとうございました。", "{hour}に駅で待ち合わせましょう。",
                "請求書をご確認ください。", "写真を送ってくれてありがとう。", "次の練習は土曜日です。"]
JAPANESE_SPAM = ["無料で稼げる副業をご紹介します。", "今すぐクリックして当選金を受け取ってください。", "アカウントが停止されました。確認してください。",
                 "格安ブランド時計、{p}%オフ。", "出会いを探している女性が待っています。", "審査なしで即日融資。"]

LANGUAGES = [
    # name, ham, spam, charsets
    ("de", GERMAN_HAM, GERMAN_SPAM, ("utf-8", "iso-8859-1", "windows-1252")),
    ("fr", FRENCH_HAM, FRENCH_SPAM, ("utf-8", "iso-8859-15")),
    ("ru", RUSSIAN_HAM, RUSSIAN_SPAM, ("utf-8", "koi8-r", "windows-1251")),
    ("ja", JAPANESE_HAM, JAPANESE_SPAM, ("utf-8", "iso-2022-jp", "shift_jis")),
]

CYRILLIC = dict(zip("aeopcyxsi", "аеорсухѕі"))


class Maker:
    """One message under way: random choices, and what both kinds of mail are written with."""

    def __init__(self, seed, label, number, now):
        self.random = random.Random(f"{seed}/{label}/{number}")
        self.label = label
        self.number = number
        self.now = now
        self.choice = self.random.choice

    def chance(self, probability):
        return self.random.random() < probability

    def name(self):
        return f"{self.choice(FIRST)} {self.choice(LAST)}"

    def address(self, domains):
        first, last = self.choice(FIRST).lower(), self.choice(LAST).lower()
        local = self.choice([f"{first}.{last}", f"{first[0]}{last}", f"{first}{self.random.randint(1, 99)}",
                             f"{last}"])
        return f"{local}@{self.choice(domains)}"

    def spam_domain(self):
        return (f"{self.choice(SPAM_STEMS)}{self.choice(['', '-', '24'])}{self.choice(SPAM_TAILS)}."
                f"{self.choice(SPAM_TLDS)}")

    def fill(self, text, words):
        return text.format(t=self.choice(words), t2=self.choice(words), day=self.choice(DAYS),
                           hour=f"{self.random.randint(8, 19)}:{self.choice(['00', '15', '30'])}",
                           name=self.choice(FIRST), p=self.random.choice([30, 50, 70, 80, 90]),
                           n=self.random.randint(2, 48), m=self.random.randint(5, 99) * 100)

    def prose(self, words, count):
        """Sentences of no meaning, of common words and those of a topic."""
        result = []
        for _ in range(count):
            length = self.random.randint(5, 14)
            line = [self.choice(words) if self.chance(0.3) else self.choice(FILLER) for _ in range(length)]
            result.append(" ".join(line).capitalize() + ".")
        return " ".join(result)

    def paragraphs(self, sentences, words, low, high):
        count = self.random.randint(low, high)
        chosen = [self.fill(self.choice(sentences), words) for _ in range(count)]
        if self.chance(0.7):
            chosen.insert(self.random.randint(0, len(chosen)), self.prose(words, self.random.randint(1, 5)))
        text = ""
        for sentence in chosen:
            text += sentence + ("\n\n" if self.chance(0.3) else " ")
        return wrap(text.strip())

    # ---- Writing ----

    def header(self, fields, faults=0.0):
        """The fields that every message has, and those given; sometimes with a fault."""
        given = {key.lower() for key, _ in fields}
        date = self.now - self.random.randint(0, 36 * 3600)
        domain = self.choice(HAM_DOMAINS)
        lines = []
        for _ in range(self.random.randint(0, 2)):
            host = self.choice(HAM_DOMAINS)
            lines.append(("Received", f"from out{self.random.randint(1, 9)}.{host} (out.{host} "
                          f"[192.0.2.{self.random.randint(1, 250)}])\r\n\tby mx.{domain} with ESMTPS id "
                          f"{self.random.getrandbits(40):x};\r\n\t{email.utils.formatdate(date)}"))
        if not self.chance(faults) and "date" not in given:
            lines.append(("Date", email.utils.formatdate(date)))
        if not self.chance(faults) and "message-id" not in given:
            lines.append(("Message-ID", f"<{self.random.getrandbits(64):x}@{domain}>"))
        if "to" not in given and not self.chance(faults):
            lines.append(("To", "Me <me@example.test>" if self.chance(0.6) else "me@example.test"))
        self_made = list(fields)
        self.random.shuffle(self_made)
        return lines + self_made


def wrap(text, width=76):
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return "\n".join(lines)


def encoded(text):
    """A header value: ASCII as it is, else encoded words."""
    if all(31 < ord(c) < 127 for c in text):
        return text
    return email.header.Header(text, "utf-8", maxlinelen=70).encode(linesep="\r\n")


def mailbox(name, address):
    if not name:
        return address
    if all(31 < ord(c) < 127 for c in name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{encoded(name)} <{address}>"


def leaf(kind, body, charset=None, name=None, encoding=None, disposition=None):
    """A part: its fields and its body, as bytes."""
    content_type = kind
    if charset:
        content_type += f"; charset={charset}"
    if name:
        content_type += f'; name="{name}"' if name.isascii() else f"; name*=utf-8''{quote(name)}"
    fields = [("Content-Type", content_type)]
    if isinstance(body, str):
        body = body.replace("\n", "\r\n").encode(charset or "utf-8", "replace")
    if encoding is None:
        encoding = "7bit" if body.isascii() else "quoted-printable"
    if encoding == "base64":
        body = base64.encodebytes(body).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        body = quopri.encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    fields.append(("Content-Transfer-Encoding", encoding))
    if disposition:
        value = disposition
        if name:
            value += f'; filename="{name}"' if name.isascii() else f"; filename*=utf-8''{quote(name)}"
        fields.append(("Content-Disposition", value))
    return fields, body


def quote(text):
    return "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in ".-_" else f"%{b:02X}"
                   for b in text.encode())


def multipart(maker, kind, parts):
    boundary = f"b{maker.random.getrandbits(48):x}"
    body = b""
    for fields, content in parts:
        body += f"--{boundary}\r\n".encode()
        body += b"".join(f"{key}: {value}\r\n".encode() for key, value in fields)
        body += b"\r\n" + content + (b"" if content.endswith(b"\r\n") else b"\r\n")
    body += f"--{boundary}--\r\n".encode()
    return [("Content-Type", f'multipart/{kind}; boundary="{boundary}"')], body


def finish(fields, part):
    part_fields, body = part
    raw = "".join(f"{key}: {value}\r\n" for key, value in fields)
    raw += "MIME-Version: 1.0\r\n"
    raw += "".join(f"{key}: {value}\r\n" for key, value in part_fields)
    raw = raw.encode("utf-8") + b"\r\n" + body
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def html_of(text, extra="", style=""):
    paragraphs = "".join(f"<p>{p}</p>" for p in text.replace("\n", "<br>\n").split("<br>\n<br>\n"))
    return (f"<html><head><style>body{{font-family:sans-serif}}{style}</style></head><body>{paragraphs}"
            f"{extra}</body></html>")


# ---- Files ----

def picture(maker, size=None):
    size = size or maker.random.randint(2000, 20000)
    return b"\x89PNG\r\n\x1a\n" + maker.random.randbytes(size)


def pdf(maker):
    return b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n" + maker.random.randbytes(maker.random.randint(3000, 20000)) + b"\n%%EOF\n"


def zip_of(files, password=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    raw = bytearray(out.getvalue())
    if password:  # the bit says so; whoever looks needs no more
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            found = raw.find(mark)
            while found >= 0:
                raw[found + at] |= 1
                found = raw.find(mark, found + 4)
    return bytes(raw)


def office(maker, macro=False):
    files = [("[Content_Types].xml", "<Types/>"), ("word/document.xml", f"<w>{maker.prose(FILLER, 20)}</w>")]
    if macro:
        files.append(("word/vbaProject.bin", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + maker.random.randbytes(2000)))
    return zip_of(files)


def program(maker):
    head = bytearray(b"MZ" + bytes(62))
    head[60:64] = (128).to_bytes(4, "little")
    return bytes(head) + bytes(64) + b"PE\0\0" + maker.random.randbytes(maker.random.randint(2000, 8000))


# ---- Ham ----

def ham_personal(m):
    words = m.choice(list(TOPICS.values()))
    name, address = m.name(), m.address(HAM_DOMAINS + FREE_MAIL)
    text = m.choice(["Hi,", "Hello,", "Dear all,", "Hey!", ""]) + "\n\n"
    text += m.paragraphs(SENTENCES_HAM, words, 1, 6)
    text += f"\n\n{m.choice(['Best', 'Regards', 'Cheers', 'Thanks', 'Love'])},\n{name.split()[0]}\n"
    subject = m.fill(m.choice(["{t}", "{t} on {day}", "question about {t}", "Re: {t}", "{t} and {t2}",
                               "about {day}"]), words)
    fields = [("From", mailbox(name, address)), ("Subject", subject)]
    if subject.startswith("Re:") and m.chance(0.9):
        fields.append(("In-Reply-To", f"<{m.random.getrandbits(64):x}@example.test>"))
        text += "\nOn Monday you wrote:\n" + "\n".join("> " + line for line in
                                                        m.prose(words, 3).split(". "))
    part = leaf("text/plain", text, "utf-8")
    if m.chance(0.4):
        part = multipart(m, "alternative", [part, leaf("text/html", html_of(text), "utf-8",
                                                       encoding="quoted-printable")])
    return finish(m.header(fields, 0.01), part)


def ham_short(m):
    address = m.address(FREE_MAIL + HAM_DOMAINS)
    text = m.choice(["ok", "Thanks!", "On my way.", "Call me", "See attached", "lol yes", "Done.",
                     "Tomorrow works", "https://maps.example.org/place/harbour", "?", "Happy birthday!!"])
    fields = [("From", mailbox(m.name() if m.chance(0.7) else "", address)),
              ("Subject", m.choice(["", "hi", "Re: tomorrow", "HELLO MUM", "photo", "quick one"]))]
    part = leaf("text/plain", text + "\n")
    if m.chance(0.3):
        part = multipart(m, "mixed", [part, leaf("image/jpeg", picture(m), name="IMG_2041.jpg",
                                                 encoding="base64", disposition="attachment")])
    return finish(m.header(fields, 0.03), part)


def ham_newsletter(m):
    company, domain = m.choice(COMPANIES), m.choice(HAM_DOMAINS)
    words = m.choice(list(TOPICS.values()))
    text = m.paragraphs(SENTENCES_HAM + ["Our sale starts on {day}: {p}% off all {t}.",
                                         "New in the shop: {t} and {t2}.", "Free delivery until {day}!"],
                        words, 4, 12)
    tracking = f"https://click.mail-{m.choice(SPAM_STEMS)}.example.net/c/{m.random.getrandbits(60):x}"
    shown = f"www.{domain}" if m.chance(0.15) else "Read more"
    extra = (f'<div style="display:none;font-size:1px">{m.prose(words, 1)}</div>'
             f'<p><a href="{tracking}">{shown}</a></p><img src="https://img.{domain}/open.gif" width="1">'
             f'<p><a href="https://{domain}/unsubscribe?u={m.number}">Unsubscribe</a></p>')
    fields = [("From", mailbox(f"{company} News", f"news@{domain}")),
              ("Subject", m.fill(m.choice(["{t} news for {day}", "Our {day} letter", "{p}% off {t} this week!",
                                           "New: {t}"]), words)),
              ("List-Unsubscribe", f"<https://{domain}/unsubscribe?u={m.number}>"),
              ("List-Id", f"{company} News <news.{domain}>"), ("Precedence", "bulk")]
    html = leaf("text/html", html_of(text, extra), "utf-8", encoding="quoted-printable")
    part = html if m.chance(0.3) else multipart(m, "alternative", [leaf("text/plain", text, "utf-8"), html])
    return finish(m.header(fields), part)


def ham_receipt(m):
    company, domain = m.choice(COMPANIES), m.choice(HAM_DOMAINS)
    order = m.random.randint(100000, 999999)
    text = (f"Thank you for your order {order}.\n\n"
            f"{m.random.randint(1, 3)} x {m.choice(TOPICS['family'])}  {m.random.randint(5, 90)}.99 EUR\n"
            f"Total: {m.random.randint(20, 300)}.00 EUR, paid by card ending in {m.random.randint(1000, 9999)}.\n\n"
            f"Your parcel will arrive on {m.choice(DAYS)}. Track it here:\n"
            f"https://{domain}/orders/{order}\n\nIf you did not order this, contact us.\n")
    fields = [("From", mailbox(f"{company} Orders", f"orders@{domain}")),
              ("Subject", m.choice([f"Your order {order}", f"Invoice {order}", "Your parcel is on its way",
                                    f"Payment received for {order}"]))]
    if m.chance(0.4):
        fields.append(("Reply-To", f"support@{domain}"))
    part = multipart(m, "alternative", [leaf("text/plain", text, "utf-8"),
                                        leaf("text/html", html_of(text), "utf-8", encoding="quoted-printable")])
    if m.chance(0.4):
        part = multipart(m, "mixed", [part, leaf("application/pdf", pdf(m), name=f"invoice-{order}.pdf",
                                                 encoding="base64", disposition="attachment")])
    return finish(m.header(fields), part)


def ham_list(m):
    words = TOPICS[m.choice(["software", "science", "club"])]
    project, domain = m.choice(COMPANIES).lower(), m.choice(HAM_DOMAINS)
    text = m.paragraphs(SENTENCES_HAM, words, 2, 8)
    if m.chance(0.5):
        text += ("\n\n--- a/src/parse.c\n+++ b/src/parse.c\n@@ -10,3 +10,4 @@\n int parse(void)\n {\n+    return 0;\n }\n")
    text += f"\n\n_______________________________________________\n{project} mailing list\nhttps://lists.{domain}/{project}\n"
    fields = [("From", mailbox(m.name(), m.address(HAM_DOMAINS + FREE_MAIL))), ("To", f"{project}@lists.{domain}"),
              ("Subject", f"[{project}] " + m.fill(m.choice(["{t} of {t2}", "Re: {t}", "[PATCH] fix {t}"]), words)),
              ("List-Id", f"<{project}.lists.{domain}>"), ("Precedence", "list"),
              ("List-Unsubscribe", f"<mailto:{project}-leave@lists.{domain}>"),
              ("In-Reply-To", f"<{m.random.getrandbits(64):x}@lists.example>")]
    return finish(m.header(fields), leaf("text/plain", text, "utf-8"))


def ham_notice(m):
    company, domain = m.choice(COMPANIES), m.choice(HAM_DOMAINS)
    kind = m.choice(["login", "reset", "calendar", "backup", "bank", "parcel"])
    texts = {
        "login": f"A new sign-in to your {company} account from Hamburg. If this was not you, change your password.",
        "reset": f"You asked for a new password. Click the link below within {m.random.randint(1, 24)} hours.",
        "calendar": m.fill("Reminder: {t} on {day} at {hour}.", TOPICS["meeting"]),
        "backup": f"The backup of host {m.choice(COMPANIES).lower()} finished: {m.random.randint(1, 900)} GB, no errors.",
        "bank": "Your account statement is ready. Log in as usual to read it; we never ask for your password by mail.",
        "parcel": "Your parcel could not be delivered today. It waits for you at the post office.",
    }
    link = f"https://{m.choice(['www', 'account', 'my'])}.{domain}/{kind}/{m.random.getrandbits(60):x}"
    text = f"Hello,\n\n{texts[kind]}\n\n{link}\n\n{company}\n"
    fields = [("From", mailbox(company, f"no-reply@{domain}")),
              ("Subject", {"login": "New sign-in", "reset": "Reset your password", "calendar": "Reminder",
                           "backup": "Backup report", "bank": "Your statement", "parcel": "Delivery notice"}[kind]),
              ("Auto-Submitted", "auto-generated")]
    html = html_of(text.replace(link, ""), f'<a href="{link}">{m.choice([link, "Open", "Sign in"])}</a>')
    part = multipart(m, "alternative", [leaf("text/plain", text, "utf-8"), leaf("text/html", html, "utf-8")])
    return finish(m.header(fields), leaf("text/plain", text) if m.chance(0.4) else part)


def ham_language(m):
    _, sentences, _, charsets = m.choice(LANGUAGES)
    charset = m.choice(charsets)
    text = "\n".join(m.fill(m.choice(sentences), ["-"]) for _ in range(m.random.randint(2, 6))) + "\n"
    fields = [("From", mailbox(m.name(), m.address(HAM_DOMAINS + FREE_MAIL))),
              ("Subject", encoded(m.fill(m.choice(sentences), ["-"])[:40]))]
    encoding = m.choice(["quoted-printable", "base64", None if charset == "iso-2022-jp" else "8bit"])
    return finish(m.header(fields, 0.01), leaf("text/plain", text, charset, encoding=encoding))


def ham_attachment(m):
    words = TOPICS["work"]
    text = m.paragraphs(SENTENCES_HAM, words, 1, 4)
    files = [
        lambda: leaf("application/pdf", pdf(m), name="report.pdf", encoding="base64", disposition="attachment"),
        lambda: leaf("application/vnd.openxmlformats-officedocument.wordprocessingml.document", office(m),
                     name=m.choice(["Protokoll.docx", "Entwurf v2.final.docx", "notes.docx"]), encoding="base64",
                     disposition="attachment"),
        lambda: leaf("application/zip", zip_of([("photos/1.png", picture(m)), ("readme.txt", m.prose(words, 5))]),
                     name="photos.zip", encoding="base64", disposition="attachment"),
        lambda: leaf("application/gzip", gzip.compress(m.prose(words, 300).encode()), name="log.txt.gz",
                     encoding="base64", disposition="attachment"),
        lambda: leaf("text/csv", "a,b\n1,2\n" * 20, name="figures.csv", disposition="attachment"),
        lambda: leaf("text/x-python", "#!/usr/bin/env python3\nprint('hello')\n", name="tool.py",
                     disposition="attachment"),
        lambda: leaf("application/octet-stream", m.random.randbytes(5000), name="data.bin", encoding="base64",
                     disposition="attachment"),
        lambda: leaf("application/x-tar", tar_of([("src/a.c", b"int main(void) { return 0; }\n")]), name="src.tar",
                     encoding="base64", disposition="attachment"),
    ]
    fields = [("From", mailbox(m.name(), m.address(HAM_DOMAINS))),
              ("Subject", m.fill(m.choice(["{t} attached", "the {t} for {day}", "{t}"]), words))]
    return finish(m.header(fields), multipart(m, "mixed", [leaf("text/plain", text, "utf-8"), m.choice(files)()]))


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def ham_forward(m):
    inner = ham_personal(m)
    fields = [("From", mailbox(m.name(), m.address(HAM_DOMAINS))), ("Subject", "Fwd: " + m.choice(TOPICS["work"]))]
    part = multipart(m, "mixed", [leaf("text/plain", m.fill("see below, {name} asks about {t}", TOPICS["work"])),
                                  ([("Content-Type", "message/rfc822")], inner)])
    return finish(m.header(fields), part)


def ham_clumsy(m):
    """Wanted, with the faults of spam: capitals, no text part, a bare address, a strange name."""
    words = m.choice(list(TOPICS.values()))
    text = m.paragraphs(SENTENCES_HAM, words, 1, 3)
    fields = [("From", mailbox(m.name().upper(), m.address(FREE_MAIL))),
              ("Subject", m.choice(["MEETING TOMORROW MORNING", "PLEASE READ!!", "URGENT: contract", "free tickets",
                                    "", "Fwd: Fwd: FUNNY", "Re: your invoice"]))]
    if m.chance(0.3):
        fields.append(("Reply-To", m.address(FREE_MAIL)))
    extra = m.choice(["", '<a href="http://192.168.1.10/printer">http://192.168.1.10/printer</a>',
                      '<img src="cid:logo">'])
    return finish(m.header(fields, 0.1), leaf("text/html", html_of(text, extra), m.choice(["utf-8", "us-ascii"]),
                                              encoding=m.choice(["quoted-printable", "base64"])))


# ---- Spam ----

def obfuscate(m, text):
    """Letters that look alike, inserted marks and invisible characters."""
    way = m.choice(["cyrillic", "dots", "zero-width", "digits", "wide", "none", "none"])
    result = []
    for word in text.split(" "):
        if len(word) < 4 or not m.chance(0.4) or not word.isascii():
            result.append(word)
        elif way == "cyrillic":
            result.append("".join(CYRILLIC.get(c, c) if m.chance(0.6) else c for c in word))
        elif way == "dots":
            result.append(".".join(word) if m.chance(0.3) else word)
        elif way == "zero-width":
            at = m.random.randint(1, len(word) - 1)
            result.append(word[:at] + "\u200b" + word[at:])
        elif way == "digits":
            result.append(word.translate(str.maketrans("oieas", "01345")))
        elif way == "wide":
            result.append("".join(chr(ord(c) + 0xfee0) if c.isalnum() else c for c in word))
        else:
            result.append(word)
    return " ".join(result)


def spam_from(m):
    name = m.choice([m.name(), m.choice(COMPANIES) + " Support", m.choice(SPAM_STEMS).title() + " Deals", ""])
    return name, m.address([m.spam_domain()] if m.chance(0.7) else FREE_MAIL + HAM_DOMAINS)


def spam_shop(m):
    words = m.choice(list(SPAM_TOPICS.values()))
    text = obfuscate(m, m.paragraphs(SENTENCES_SPAM, words, 2, 9))
    url = f"http://{m.spam_domain()}/{m.choice(words)}?id={m.random.getrandbits(30)}"
    name, address = spam_from(m)
    subject = m.fill(m.choice(["{t} {p}% off", "Cheap {t}!!", "GET YOUR {t} NOW", "Re: {t}", "{t} for you",
                               "Last chance: {t}", "Your {t} is waiting"]), words)
    fields = [("From", mailbox(name, address)), ("Subject", encoded(obfuscate(m, subject)))]
    extra = f'<p><a href="{url}">{m.choice(["CLICK HERE", "Order now", "Shop", "Unsubscribe"])}</a></p>'
    if m.chance(0.3):
        extra += "".join(f'<span style="font-size:0">{w}</span>' for w in m.prose(TOPICS["family"], 4).split())
    html = leaf("text/html", html_of(text, extra), "utf-8", encoding=m.choice(["quoted-printable", "base64"]))
    part = m.choice([html, multipart(m, "alternative", [leaf("text/plain", text + "\n" + url, "utf-8"), html]),
                     leaf("text/plain", f"{text}\n\n{url}\n", "utf-8", encoding=m.choice([None, "base64"]))])
    return finish(m.header(fields, 0.15), part)


def spam_salad(m):
    """Poisoned with the words of wanted mail."""
    words = m.choice(list(SPAM_TOPICS.values()))
    text = m.paragraphs(SENTENCES_SPAM, words, 2, 5) + "\n\n" + m.prose(m.choice(list(TOPICS.values())), 8)
    name, address = spam_from(m)
    url = f"http://{m.spam_domain()}/"
    fields = [("From", mailbox(name, address)), ("Subject", m.fill("Re: {t}", m.choice(list(TOPICS.values()))))]
    return finish(m.header(fields, 0.15), leaf("text/plain", f"{text}\n{url}\n", "utf-8"))


def spam_picture(m):
    words = m.choice(list(SPAM_TOPICS.values()))
    url = f"http://{m.spam_domain()}/{m.random.getrandbits(32):x}"
    name, address = spam_from(m)
    fields = [("From", mailbox(name, address)), ("Subject", m.fill("{t} {t2}", words))]
    html = leaf("text/html", f'<html><a href="{url}"><img src="cid:a"></a></html>', "utf-8")
    image = leaf("image/png", picture(m), name="offer.png", encoding="base64", disposition="inline")
    return finish(m.header(fields, 0.15), multipart(m, "related", [html, image]))


BANKS = ["sparbank.example", "northbank.example.com", "paywise.example", "postal-service.example.org", "cloudmail.example.net"]


def spam_phishing(m):
    bank = m.choice(BANKS)
    brand = bank.split(".")[0].title()
    text = (f"Dear customer,\n\n" + m.choice([
        f"your {brand} account has been limited because of unusual activity. Verify your identity within 24 hours.",
        f"we were unable to deliver your parcel. Pay the fee of 1.99 to release it.",
        f"your mailbox is almost full. Confirm your password to keep receiving mail.",
        f"a payment of ${m.random.randint(200, 900)} was made from your {brand} account. Cancel it here.",
        f"your {brand} password expires today. Keep the same password by signing in below."]) +
        f"\n\n{brand} Security Team\n")
    evil = m.spam_domain()
    trick = m.choice(["mismatch", "ip", "userinfo", "idn", "mixed", "form", "plain", "data"])
    target = {"mismatch": f"http://{evil}/login", "ip": f"http://{m.random.randint(11, 99)}.20.30.40/{brand}",
              "userinfo": f"http://www.{bank}@{evil}/", "idn": "http://www.xn--80ak6aa92e.com/",
              "mixed": f"http://www.{brand.lower().replace('a', 'а', 1)}.com/", "form": f"http://{evil}/",
              "plain": f"http://{evil}/{brand}/verify.php", "data": "data:text/html;base64,PGgxPg=="}[trick]
    shown = {"mismatch": f"https://www.{bank}/login", "ip": f"www.{bank}"}.get(trick, "Sign in")
    extra = f'<p><a href="{target}">{shown}</a></p>'
    if trick == "form":
        extra = f'<form action="{target}"><input name="u"><input type="password" name="p"></form>'
    sender = m.choice([m.address([evil]), f"security@{bank}", m.address(HAM_DOMAINS)])
    name = m.choice([f"{brand} Security", f"service@{bank}", brand.replace("a", "а", 1), f"{brand} Team"])
    fields = [("From", mailbox(name, sender)),
              ("Subject", m.choice([f"{brand}: verify your account", "Action required!!", "Your account is limited",
                                    "Delivery failed", "Password expires today", f"Security notice from {brand}"]))]
    html = leaf("text/html", html_of(text, extra), "utf-8", encoding="quoted-printable")
    if trick in ("plain", "ip") and m.chance(0.5):
        html = leaf("text/plain", f"{text}\n{target}\n", "utf-8")
    return finish(m.header(fields, 0.1), html)


def spam_advance_fee(m):
    name, address = m.name(), m.address(FREE_MAIL)
    million = m.random.randint(2, 48)
    text = (f"Dear {m.choice(['Friend', 'Beneficiary', 'Sir/Madam', 'Beloved'])},\n\nI am {m.choice(['Barrister', 'Mrs.', 'Dr.', 'Prince'])} "
            f"{name}, {m.choice(['the widow of a late minister', 'a bank director', 'attorney of your late relative', 'dying of cancer'])}. "
            f"I have a business proposal about the sum of ${million},{m.random.randint(100, 999)},000 "
            f"({m.choice(['inheritance', 'unclaimed funds', 'lottery', 'compensation'])}). You will receive {m.choice([30, 40])}% "
            f"for your assistance. {m.choice(['This transaction is risk free', 'Keep this confidential', 'God bless you'])}. "
            f"Send your full name, telephone and bank account to {m.address(FREE_MAIL)}.\n\nYours faithfully,\n{name}\n")
    fields = [("From", mailbox(name, address)),
              ("Subject", m.choice(["BUSINESS PROPOSAL", "Dear Friend", "URGENT ASSISTANCE NEEDED", "YOUR COMPENSATION FUNDS",
                                    "Confidential", "Greetings in the name of the Lord", "Award notification"])),
              ("Reply-To", m.address(FREE_MAIL))]
    return finish(m.header(fields, 0.15), leaf("text/plain", wrap(text), "utf-8"))


def spam_malware(m):
    text = m.choice(["Please see the attached invoice and pay within 3 days.", "Scan from your printer.",
                     "Your order is attached. Confirm the document.", "Here is the document you asked for.",
                     "Voice message received.", "Your CV, please check."])
    exe = program(m)
    shortcut = b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" + m.random.randbytes(800)
    script = ('var a = new ActiveXObject("WScript.Shell");\na.Run("powershell -EncodedCommand '
              + base64.b64encode(m.random.randbytes(60)).decode() + '");\n').encode()
    hta = b"<html><hta:application id=a><script>x()</script></html>"
    name, content = m.choice([
        ("invoice.pdf.exe", exe), ("invoice.pdf", exe), ("scan_001.zip", zip_of([("scan_001.pdf.exe", exe)])),
        ("document.zip", zip_of([("inner.zip", zip_of([("run.scr", exe)]))])), ("invoice.js", script),
        ("order.doc", script), ("voice.wav", shortcut), ("photo\u202egpj.exe", exe), ("report.docm", office(m, True)),
        ("cv.docx", office(m, True)), ("invoice.hta", hta), ("statement.html", hta),
        ("payment.zip", zip_of([("payment.exe", exe)], password=True)), ("list.tar", tar_of([("a/list.bat", b"@echo off\r\ndel *\r\n")])),
        ("order.gz", gzip.compress(exe)), ("update.bat", b"@echo off\r\npowershell -nop\r\n"),
    ])
    fields = [("From", mailbox(*spam_from(m))),
              ("Subject", m.choice(["Invoice overdue", "Scan", "Your order", "Document", "Voice message", "Payment advice"]))]
    attached = leaf(m.choice(["application/octet-stream", "application/pdf", "application/zip"]), content, name=name,
                    encoding="base64", disposition="attachment")
    return finish(m.header(fields, 0.1), multipart(m, "mixed", [leaf("text/plain", text), attached]))


def spam_language(m):
    _, _, sentences, charsets = m.choice(LANGUAGES)
    charset = m.choice(charsets)
    text = "\n".join(m.fill(m.choice(sentences), ["-"]) for _ in range(m.random.randint(2, 6)))
    text += f"\nhttp://{m.spam_domain()}/\n"
    fields = [("From", mailbox(*spam_from(m))), ("Subject", encoded(m.fill(m.choice(sentences), ["-"])[:40]))]
    encoding = m.choice(["quoted-printable", "base64", None if charset == "iso-2022-jp" else "8bit"])
    return finish(m.header(fields, 0.15), leaf("text/plain", text, charset, encoding=encoding))


def spam_polite(m):
    """Business spam without any trick: hard to tell from wanted mail."""
    words = SPAM_TOPICS[m.choice(["seo", "loan", "degree"])]
    name, address = m.name(), m.address(HAM_DOMAINS + FREE_MAIL)
    text = f"Hello,\n\nI came across your website and wanted to ask about {m.choice(words)}. "
    text += m.paragraphs(SENTENCES_SPAM[-3:] + SENTENCES_HAM[:6], words, 2, 4)
    text += f"\n\nBest regards,\n{name}\nBusiness Development\n"
    fields = [("From", mailbox(name, address)), ("Subject", m.fill(m.choice(["Question about your {t}", "{t}", "Quick {t} idea"]), words))]
    return finish(m.header(fields), leaf("text/plain", text, "utf-8"))


KINDS = {
    # label: (function, how often)
    "ham": ((ham_personal, 6), (ham_short, 2), (ham_newsletter, 4), (ham_receipt, 3), (ham_list, 4), (ham_notice, 3),
            (ham_language, 3), (ham_attachment, 3), (ham_forward, 1), (ham_clumsy, 1)),
    "spam": ((spam_shop, 8), (spam_salad, 2), (spam_picture, 2), (spam_phishing, 5), (spam_advance_fee, 3), (spam_malware, 3),
             (spam_language, 3), (spam_polite, 1)),
}
NOW = 1795600000


def generate(label, count, seed, now=NOW, start=0):
    """(kind, bytes) of each message."""
    functions = [function for function, weight in KINDS[label] for _ in range(weight)]
    for number in range(start, start + count):
        maker = Maker(seed, label, number, now)
        function = maker.choice(functions)
        yield function.__name__, function(maker)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--ham", type=int, default=1500)
    parser.add_argument("--spam", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    for label in ("ham", "spam"):
        folder = os.path.join(options.out, label)
        os.makedirs(folder, exist_ok=True)
        for number, (_, raw) in enumerate(generate(label, getattr(options, label), options.seed)):
            with open(os.path.join(folder, f"{number:05}.eml"), "wb") as file:
                file.write(raw)


if __name__ == "__main__":
    main()
