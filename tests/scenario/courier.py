#!/usr/bin/python3
"""What goes out, end to end: signed submissions, other servers that fail in every way, delivery reports,
forwards with their bounces, automatic replies, webhooks, the operator's commands."""

import email
import email.policy
import hashlib
import hmac
import http.server
import json
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.server import AdminError, Server  # noqa: E402
from lib.sink import Sink  # noqa: E402
from secrecy.secrecy import memory_of  # noqa: E402
from lib.suite import Skip, Suite, check, until  # noqa: E402

suite = Suite(__doc__)
SETTINGS = {"queue_retry_first": "200ms", "queue_retry_most": "400ms", "processes": 1,
            "check_senders": False, "webhook_http": True, "webhook_allow": ["127.0.0.0/8"],
            "hostname": "mx.ours.test"}


class World:
    """The other servers' replies, which a case sets by the address's local part."""

    def __init__(self):
        self.replies = {}  # (step, local part): list of replies, the last one stays

    def judge(self, step, address):
        replies = self.replies.get((step, address.partition("@")[0]))
        if not replies:
            return None
        return replies.pop(0) if len(replies) > 1 else replies[0]


class Rig:
    def __init__(self, server, sink, world):
        self.server, self.sink, self.world = server, sink, world
        self.ann = server.add_alias("ann@ours.test")
        self.number = 0

    def submit(self, to, text="hello", sender="ann@ours.test", mail=(), rcpt=(), headers=""):
        self.number += 1
        client = self.server.submission(self.ann)
        client.sendmail(sender, to if isinstance(to, list) else [to],
                        f"From: Ann <{sender}>\r\nTo: {to}\r\nSubject: Number {self.number}\r\n"
                        f"{headers}\r\n{text}\r\n".encode(), mail_options=list(mail),
                        rcpt_options=list(rcpt))
        client.quit()

    def arrive(self, to, raw, sender="who@from.test", options=()):
        client = self.server.smtp()
        client.sendmail(sender, [to], raw if isinstance(raw, bytes) else raw.encode(),
                        rcpt_options=list(options))
        client.quit()

    def sent_to(self, address, count=1, seconds=10):
        """The messages that the other servers have for an address, at least so many."""
        def found():
            return [each for each in self.sink.taken() if address in each.recipients]

        until(lambda: len(found()) >= count,
              lambda: f"{len(found())} messages for {address}, not {count}: "
                      f"{self.server.log(2000)}", seconds, 0.02)
        return found()

    def inbox(self, count=1, seconds=10, alias=None):
        """Takes everything out of ann's mailbox, once it has so many."""
        client = self.server.imap(alias or self.ann)
        try:
            until(lambda: int(client.select("INBOX")[1][0]) >= count,
                  lambda: f"not {count} messages in the mailbox: {self.server.log(2000)}",
                  seconds, 0.05)
            data = client.uid("FETCH", "1:*", "(BODY.PEEK[])")[1]
            client.uid("STORE", "1:*", "+FLAGS.SILENT", "(\\Deleted)")
            client.expunge()
            return [email.message_from_bytes(part[1], policy=email.policy.default)
                    for part in data if isinstance(part, tuple)]
        finally:
            client.logout()

    def quiet(self, seconds=0.6):
        """Long enough for what must not happen."""
        time.sleep(seconds)

    def queue(self):
        return listed(self.server.admin("queue", "list"))

    def wait_empty(self, seconds=10):
        until(lambda: not self.queue(), lambda: f"the queue has {self.queue()}", seconds, 0.05)


def listed(answer):
    """A list's rows: nothing, one object, or several."""
    return [] if answer is None else answer if isinstance(answer, list) else [answer]


def parse_report(message):
    """By Python's own parser: the words, the fields of each recipient, the returned header."""
    check(message.get_content_type() == "multipart/report", message.get_content_type())
    check(message["Content-Type"].params["report-type"] == "delivery-status",
          message["Content-Type"])
    check(message["Auto-Submitted"] == "auto-replied", "no Auto-Submitted")
    check(message["Return-Path"] in (None, "<>"), message["Return-Path"])
    words, status, original = message.get_payload()
    check(words.get_content_type() == "text/plain", words.get_content_type())
    check(not message.defects and not words.defects, f"{message.defects} {words.defects}")
    whole, *recipients = status.get_payload()
    check(whole["Reporting-MTA"] == "dns;mx.ours.test", whole["Reporting-MTA"])
    check(recipients, "no recipient in the report")
    return words.get_content(), recipients, original, whole


# ---- submissions ----


@suite.case
def what_goes_out_is_signed(rig):
    try:
        import dkim
    except ImportError:
        raise Skip("python3-dkim is not here")
    records = {}
    for record in rig.server.admin("domain", "dns", "ours.test")["records"]:
        if record["type"] == "TXT":
            records[record["name"].rstrip(".")] = record["value"].replace('" "', "").strip('"')
    rig.submit("signed@remote.test")
    data = rig.sent_to("signed@remote.test")[0].data
    count = data.count(b"DKIM-Signature:")
    check(count == 2, f"{count} signatures")
    verifier = dkim.DKIM(data)
    for index in range(count):
        good = verifier.verify(idx=index, dnsfunc=lambda name, timeout=5:
                               records.get(name.decode().rstrip("."), "").encode())
        check(good, f"signature {index} does not hold: {records.keys()}")
    check(b"127.0.0.1" not in data and b"client.test" not in data, "the client is disclosed")
    check(b"Return-Path" not in data, "a Return-Path goes out")


@suite.case
def a_report_that_comes_later_is_believed_of_what_we_sent(rig):
    def report(address, message_id):
        rig.arrive("ann@ours.test", (
            "From: MAILER-DAEMON@far.test\r\nTo: ann@ours.test\r\nSubject: failed\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
            "--b\r\n\r\nIt failed.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
            f"Reporting-MTA: dns;mx.far.test\r\n\r\nFinal-Recipient: rfc822;{address}\r\n"
            "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp;550 nobody\r\n\r\n"
            "--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
            f"Message-ID: {message_id}\r\n\r\n--b--\r\n"), sender="")
        rig.inbox()

    def suppressed():
        return [each["address"] for each in
                listed(rig.server.admin("queue", "suppression", "list"))]

    rig.submit("late@far.test", headers="Message-ID: <late.1@ours.test>\r\n")
    rig.sent_to("late@far.test")
    rig.wait_empty()
    report("late@far.test", "<late.2@ours.test>")
    report("other@far.test", "<late.1@ours.test>")
    rig.quiet()
    check("late@far.test" not in suppressed() and "other@far.test" not in suppressed(),
          suppressed())
    report("late@far.test", "<late.1@ours.test>")
    until(lambda: "late@far.test" in suppressed(), "the report was not believed", 10, 0.05)
    rig.submit("late@far.test", "again")
    message = rig.inbox()[0]
    check("nobody" in parse_report(message)[0], message)
    check(len(rig.sent_to("late@far.test")) == 1, "it was tried again")
    rig.server.admin("queue", "suppression", "clear", "late@far.test")


@suite.case
def several_recipients_of_a_domain_share_a_connection(rig):
    before = rig.sink.connections
    rig.submit(["one@many.test", "two@many.test", "three@many.test"])
    message = rig.sent_to("three@many.test")[0]
    check(len(message.recipients) == 3, message.recipients)
    check(rig.sink.connections <= before + 1, "more than one connection")


# ---- failures ----


@suite.case
def an_unknown_address_comes_back(rig):
    rig.world.replies["rcpt", "nobody"] = ["550 5.1.1 <nobody@remote.test> unknown here"]
    rig.submit(["nobody@remote.test", "somebody@remote.test"])
    rig.sent_to("somebody@remote.test")
    report = rig.inbox()[0]
    words, recipients, original, whole = parse_report(report)
    check("nobody@remote.test" in words and "unknown here" in words, words)
    check(len(recipients) == 1, f"{len(recipients)} recipients")
    fields = recipients[0]
    check(fields["Final-Recipient"] == "rfc822;nobody@remote.test", fields)
    check(fields["Action"] == "failed" and fields["Status"] == "5.1.1", fields)
    check("unknown here" in fields["Diagnostic-Code"], fields)
    check(f"Number {rig.number}" in original.as_string(), "the header is not in it")
    check("hello" not in original.as_string(), "the text is in it, unasked")
    rig.wait_empty()


@suite.case
def it_is_not_tried_again_for_a_while(rig):
    before = len(rig.sink.commands)
    rig.submit("nobody@remote.test", "again")
    words, recipients, _, _ = parse_report(rig.inbox()[0])
    check("unknown here" in words, words)
    check(len(rig.sink.commands) == before, "it was tried")
    items = listed(rig.server.admin("queue", "suppression", "list"))
    check([each["address"] for each in items] == ["nobody@remote.test"], items)
    rig.server.admin("queue", "suppression", "clear", "nobody@remote.test")
    rig.world.replies.clear()
    rig.submit("nobody@remote.test", "and again")
    rig.sent_to("nobody@remote.test")


@suite.case
def a_greylisting_server_gets_it_once(rig):
    rig.world.replies["rcpt", "grey"] = ["451 4.7.1 come back", "451 4.7.1 come back", None]
    rig.submit("grey@remote.test")
    rig.sent_to("grey@remote.test")
    rig.wait_empty()
    rig.quiet()
    check(len(rig.sent_to("grey@remote.test")) == 1, "it came more than once")


@suite.case
def a_connection_that_breaks_in_the_middle(rig):
    rig.world.replies["data", "ann"] = ["drop", None]
    rig.submit("half@remote.test")
    rig.sent_to("half@remote.test")
    rig.wait_empty()
    rig.world.replies.clear()
    check(len(rig.sent_to("half@remote.test")) == 1, "it came more than once")


@suite.case
def a_lost_reply_costs_one_copy(rig):
    rig.world.replies["body", "lost"] = ["lose", None]
    rig.submit("lost@remote.test")
    rig.sent_to("lost@remote.test", 2)
    rig.wait_empty()
    rig.quiet()
    check(len(rig.sent_to("lost@remote.test")) == 2, "more than two copies")


@suite.case
def a_reply_of_ten_megabytes(rig):
    rig.world.replies["rcpt", "huge"] = ["250-" + "x" * (10 << 20), None]
    rig.submit("huge@remote.test")
    rig.sent_to("huge@remote.test", seconds=20)
    rig.wait_empty()


@suite.case
def reports_as_asked_for(rig):
    rig.world.replies["rcpt", "never"] = ["550 5.7.1 no"]
    rig.submit("never@remote.test", rcpt=["NOTIFY=NEVER"])
    rig.wait_empty()
    rig.submit("wanted@remote.test", mail=["RET=FULL", "ENVID=E+2B1"],
               rcpt=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Bname@remote.test"])
    rig.sent_to("wanted@remote.test")
    messages = rig.inbox()
    check(len(messages) == 1, f"{len(messages)} reports")
    _, recipients, original, whole = parse_report(messages[0])
    check(recipients[0]["Action"] == "relayed", recipients[0])
    check(recipients[0]["Original-Recipient"] == "rfc822;first+name@remote.test", recipients[0])
    check(whole["Original-Envelope-Id"] == "E+1", whole)
    check(original.get_content_type() == "message/rfc822" and "hello" in original.as_string(),
          "RET=FULL was not heard")


@suite.case
def a_stored_message_is_confirmed_when_asked_for(rig):
    rig.arrive("ann@ours.test", LETTER.format(9).replace("fwd@", "ann@"), sender="dsn@from.test",
               options=["NOTIFY=SUCCESS"])
    report = rig.sent_to("dsn@from.test")[0]
    parsed = email.message_from_bytes(report.data, policy=email.policy.default)
    _, recipients, _, _ = parse_report(parsed)
    check(recipients[0]["Action"] == "delivered", recipients[0])
    rig.inbox()


# ---- what aliases pass on ----

LETTER = ("From: Who <who@from.test>\r\nTo: fwd@ours.test\r\nSubject: To be passed on\r\n"
          "Message-ID: <{0}@from.test>\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n\r\n"
          "Text that stays as it is. \r\n.\r\n..\r\n")


@suite.case
def a_forward_and_its_bounce(rig):
    rig.server.add_alias("fwd@ours.test")
    rig.server.admin("alias", "forward", "add", "fwd@ours.test", "hidden@remote.test")
    rig.server.admin("alias", "store", "off", "fwd@ours.test")
    rig.arrive("fwd@ours.test", LETTER.format(1))
    message = rig.sent_to("hidden@remote.test")[0]
    check(message.data.endswith(LETTER.format(1).encode()), "the message was changed")
    check(message.sender.startswith("SRS0=") and message.sender.endswith("@ours.test"),
          message.sender)
    check(message.data.startswith(b"Delivered-To: fwd@ours.test\r\n"), message.data[:80])
    # The other server's bounce goes to whom the rewritten sender stands for, its sender null.
    rig.arrive(message.sender, "From: mailer-daemon@remote.test\r\nSubject: failed\r\n"
               "Auto-Submitted: auto-replied\r\n\r\nno\r\n", sender="")
    back = rig.sent_to("who@from.test")[0]
    check(back.sender == "", back.sender)
    check(b"Subject: failed" in back.data, back.data)
    # An address of that kind that nobody here made goes nowhere.
    try:
        rig.arrive("SRS0=aaaa=bb=from.test=who@ours.test", "Subject: x\r\n\r\nx\r\n", sender="")
        raise AssertionError("an invented address was taken")
    except Exception as error:
        check("550" in str(error), f"{error}")


@suite.case
def a_forward_that_fails_tells_no_target(rig):
    rig.world.replies["rcpt", "hidden"] = ["550 5.1.1 <hidden@remote.test> is unknown"]
    before = len(rig.sent_to("who@from.test"))
    rig.arrive("fwd@ours.test", LETTER.format(2))
    report = rig.sent_to("who@from.test", before + 1)[-1]
    rig.world.replies.clear()
    check(report.sender == "", report.sender)
    check(b"hidden" not in report.data, "the target is told")
    check(b"DKIM-Signature" in report.data, "the report is not signed")
    parsed = email.message_from_bytes(report.data, policy=email.policy.default)
    _, recipients, _, _ = parse_report(parsed)
    check(recipients[0]["Final-Recipient"] == "rfc822;fwd@ours.test", recipients[0])


@suite.case
def circles_end(rig):
    for one, other in (("ping", "pong"), ("pong", "ping")):
        rig.server.add_alias(f"{one}@ours.test")
    rig.server.admin("alias", "forward", "add", "ping@ours.test", "pong@ours.test")
    rig.server.admin("alias", "forward", "add", "pong@ours.test", "ping@ours.test")
    rig.server.admin("alias", "forward", "add", "pong@ours.test", "exit@remote.test")
    rig.server.admin("alias", "store", "off", "pong@ours.test")
    rig.arrive("ping@ours.test", LETTER.format(3))
    rig.sent_to("exit@remote.test")
    rig.wait_empty()
    rig.quiet()
    check(len(rig.sent_to("exit@remote.test")) == 1, "it went round")
    # And what comes back from outside, having been here.
    sent = rig.sent_to("exit@remote.test")[0]
    before = len(rig.sent_to("who@from.test"))
    rig.arrive("pong@ours.test", sent.data)
    rig.sent_to("who@from.test", before + 1)
    check(len(rig.sent_to("exit@remote.test")) == 1, "it went round")


@suite.case
def a_vacation_answers_once(rig):
    rig.server.admin("alias", "vacation", "on", "ann@ours.test", "--subject", "Bin verreist: Übersee",
                     "--text", "Back soon.\n.\nGrüße")
    letter = ("From: pal@friend.test\r\nTo: Ann <ann@ours.test>\r\nSubject: Hi\r\n"
              "Message-ID: <v{0}@friend.test>\r\nReferences: <v0@friend.test>\r\n\r\n{0}\r\n")
    rig.arrive("ann@ours.test", letter.format(1), sender="pal@friend.test")
    reply = rig.sent_to("pal@friend.test")[0]
    check(reply.sender == "", reply.sender)
    parsed = email.message_from_bytes(reply.data, policy=email.policy.default)
    check(parsed["Auto-Submitted"] == "auto-replied", parsed)
    check(parsed["Subject"] == "Bin verreist: Übersee", parsed["Subject"])
    check(parsed["In-Reply-To"].strip() == "<v1@friend.test>", parsed["In-Reply-To"])
    check(parsed["References"].split() == ["<v0@friend.test>", "<v1@friend.test>"],
          parsed["References"])
    check(parsed.get_content().splitlines() == ["Back soon.", ".", "Grüße"], parsed.get_content())
    check("DKIM-Signature" in parsed, "it is not signed")
    rig.arrive("ann@ours.test", letter.format(2), sender="pal@friend.test")
    rig.arrive("ann@ours.test", "Precedence: list\r\nList-Id: <l.test>\r\n" + letter.format(3),
               sender="list@friend.test")
    rig.arrive("ann@ours.test", "Auto-Submitted: auto-generated\r\n" + letter.format(4),
               sender="robot@friend.test")
    rig.wait_empty()
    rig.quiet()
    check(len([m for m in rig.sink.taken() if m.recipients[0].endswith("@friend.test")]) == 1,
          "more than one reply")
    rig.server.admin("alias", "vacation", "off", "ann@ours.test")
    rig.inbox(4)


# ---- webhooks ----


class Receiver(http.server.BaseHTTPRequestHandler):
    statuses = []
    got = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.statuses.pop(0) if self.statuses else 200
        self.got.append((dict(self.headers), body, status))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://169.254.1.1/")
        self.end_headers()

    def log_message(self, *_):
        pass


@suite.case
def a_webhook_is_posted_until_it_is_taken(rig):
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
    rig.server.add_alias("hook@ours.test")
    secret = rig.server.admin("alias", "webhook", "add", "hook@ours.test", url, "--raw")["secret"]
    Receiver.statuses[:] = [503, 200]
    letter = LETTER.format(4).replace("fwd@", "hook@")
    rig.arrive("hook@ours.test", letter)
    until(lambda: len(Receiver.got) >= 2,
          lambda: f"posted {len(Receiver.got)} times: {rig.server.log(2000)}", 10, 0.05)
    rig.wait_empty()
    headers, body, _ = Receiver.got[-1]
    lower = {name.lower(): value for name, value in headers.items()}
    fields = dict(part.split("=", 1) for part in lower["x-webhook-signature"].split(","))
    expected = hmac.new(secret.encode(), fields["t"].encode() + b"." + body,
                        hashlib.sha256).hexdigest()
    check(hmac.compare_digest(fields["v1"], expected), f"the signature: {fields}")
    check(abs(time.time() - int(fields["t"])) < 60, fields)
    check(Receiver.got[0][0].get("X-Webhook-Id") == headers.get("X-Webhook-Id"), "another id")
    content = json.loads(body)
    check("To be passed on" in json.dumps(content), content)
    receiver.shutdown()


@suite.case
def a_webhook_that_leads_into_the_network(rig):
    rig.server.add_alias("hook2@ours.test")
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    for url, why in (("http://10.1.2.3/", "private"), ("ftp://127.0.0.1/", "https://"),
                     ("https://hooks.test:0/", "port")):
        try:
            rig.server.admin("alias", "webhook", "add", "hook2@ours.test", url)
            raise AssertionError(f"{url} was taken")
        except AdminError as error:
            check(error.status == 2 and why in str(error), f"{error}")
    Receiver.statuses[:] = [302]  # to 169.254.1.1
    rig.server.admin("alias", "webhook", "add", "hook2@ours.test",
                     f"http://127.0.0.1:{receiver.server_address[1]}/")
    rig.server.admin("alias", "store", "off", "hook2@ours.test")
    before = len(rig.sent_to("who@from.test"))
    rig.arrive("hook2@ours.test", LETTER.format(5).replace("fwd@", "hook2@"))
    # Nothing else has the message: so its sender hears of it.
    report = rig.sent_to("who@from.test", before + 1)[-1]
    port = str(receiver.server_address[1]).encode()
    check(b":" + port not in report.data and b"169.254" not in report.data, "the target is told")
    receiver.shutdown()


# ---- the operator ----


@suite.case
def holding_showing_deleting(rig):
    rig.world.replies["rcpt", "slow"] = ["451 4.2.0 later"]
    rig.submit("slow@remote.test")
    until(lambda: any("later" in each["error"] for each in rig.queue()),
          lambda: f"{rig.queue()}", 10, 0.05)
    item = rig.queue()[0]
    check(item["sender"] == "ann@ours.test" and item["recipient"] == "slow@remote.test", item)
    shown = rig.server.admin("queue", "show", item["id"])
    check(shown["recipients"][0]["recipient"] == "slow@remote.test", shown)
    deadline = time.monotonic() + 10
    while rig.queue()[0]["state"] != "held":
        rig.server.admin("queue", "hold", item["id"])
        check(time.monotonic() < deadline, f"{rig.queue()}")
    rig.world.replies.clear()
    rig.quiet(1)
    check(not [m for m in rig.sink.taken() if "slow@remote.test" in m.recipients], "held, yet sent")
    rig.server.admin("queue", "retry", item["id"])
    rig.sent_to("slow@remote.test")
    rig.wait_empty()
    rig.world.replies["rcpt", "slow2"] = ["451 4.2.0 later"]
    rig.submit("slow2@remote.test")
    identity = rig.queue()[0]["id"]
    rig.server.admin("queue", "delete", identity, "--yes")
    check(not rig.queue(), rig.queue())
    try:
        rig.server.admin("queue", "show", identity)
        raise AssertionError("a deleted message is shown")
    except AdminError as error:
        check(error.status == 4, f"{error}")


@suite.case
def the_queue_keeps_it_to_itself(rig):
    """The words of a message are on no disk while it waits, and nowhere when it has gone."""
    word = "Xylograph" + "".join(random.choices("abcdefgh", k=12))
    rig.world.replies["rcpt", "secret"] = ["451 4.2.0 later"]
    rig.submit("secret@remote.test", word * 20, headers=f"X-Word: {word}\r\n")
    check(rig.queue(), "it does not wait")
    scanned = 0
    for path in sorted(rig.server.data.rglob("*")):
        if path.is_file():
            scanned += 1
            check(word.encode() not in path.read_bytes(), f"{path} has it")
    check((rig.server.data / "queue" / "queue.sqlite").exists(), "where is the queue?")
    rig.world.replies.clear()
    rig.server.admin("queue", "retry", "all")
    rig.sent_to("secret@remote.test")
    rig.wait_empty()
    rig.quiet(7)  # a connection waits so long for another message
    try:
        for process in rig.server.processes("courier"):
            for name, data in memory_of(process.pid):
                at = data.find(word.encode())
                check(at < 0, f"the courier's {name or 'memory'} has it: {data[at - 60:at + 60]!r}")
    except MemoryError:  # the sanitizers' shadow is larger than this machine
        return f"{scanned} files, no memory"
    return f"{scanned} files and the courier's memory"


@suite.case
def a_stop_and_a_start_keep_the_queue(rig):
    rig.world.replies["rcpt", "later"] = ["451 4.2.0 later"]
    rig.submit("later@remote.test")
    rig.server.stop()
    rig.server.start()
    check(len(rig.queue()) == 1, rig.queue())
    rig.world.replies.clear()
    rig.server.admin("queue", "retry", "all")
    rig.sent_to("later@remote.test")
    rig.wait_empty()


@suite.case
def down_for_the_whole_time(rig):
    """Its own service, whose days are seconds."""
    world = World()
    world.replies["greeting", ""] = ["421 4.3.2 closed"]
    with Sink(judge=world.judge) as sink, \
            Server(settings={**SETTINGS, "smarthost": f"127.0.0.1:{sink.port}",
                             "queue_lifetime": "4s", "queue_delay_notice": "1s"}) as server:
        small = Rig(server, sink, world)
        small.submit("down@remote.test")
        first = small.inbox(seconds=20)[0]
        _, recipients, _, _ = parse_report(first)
        check(recipients[0]["Action"] == "delayed", recipients[0])
        check(recipients[0]["Will-Retry-Until"] is not None, recipients[0])
        second = small.inbox(seconds=20)[0]
        _, recipients, _, _ = parse_report(second)
        check(recipients[0]["Action"] == "failed" and recipients[0]["Status"] == "4.4.7",
              recipients[0])
        small.wait_empty()
        return f"{sink.connections} connections were tried"


if __name__ == "__main__":
    suite.parse()
    others = World()
    with Sink(judge=others.judge) as other:
        with Server(settings={**SETTINGS, "smarthost": f"127.0.0.1:{other.port}"}) as running:
            suite.run(Rig(running, other, others))
