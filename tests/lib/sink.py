"""Another server, as far as it takes mail: an SMTP server in a thread that remembers what it was given,
when it acknowledged it, and can be made to misbehave."""

import asyncio
import re
import threading
import time


class Message:
    def __init__(self, sender, recipients, data, options):
        self.sender = sender
        self.recipients = recipients  # those that were accepted
        self.data = data
        self.options = options  # of MAIL, as it was written
        self.when = time.monotonic()
        self.acknowledged = False  # the reply was written to the socket; the peer may have missed it


class Sink:
    """`judge(step, address)` gives a reply to use instead of the good one, or None; the steps are
    "greeting", "ehlo", "mail", "rcpt", "data", "body". A reply "drop" closes the connection there,
    "lose" (body) takes the message and closes without a reply, "stall" is silent for ever."""

    def __init__(self, address="127.0.0.1", port=0, judge=None, tls=None, extensions=("PIPELINING",
                 "8BITMIME", "SMTPUTF8", "SIZE 100000000", "ENHANCEDSTATUSCODES"), name="sink.test",
                 delay=0.0):
        self.address, self.port = address, port
        self.judge = judge or (lambda step, address: None)
        self.tls = tls
        self.extensions = list(extensions)
        self.name = name
        self.delay = delay
        self.messages = []
        self.connections = 0
        self.commands = []
        self.lock = threading.Lock()
        self.loop = asyncio.new_event_loop()
        self.started = threading.Event()
        self.server = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    # ---- life ----

    def __enter__(self):
        self.thread.start()
        if not self.started.wait(10):
            raise RuntimeError("the sink did not start")
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def run(self):
        asyncio.set_event_loop(self.loop)

        async def listen():
            self.server = await asyncio.start_server(self.serve, self.address, self.port,
                                                     limit=1 << 26, backlog=1024)
            self.port = self.server.sockets[0].getsockname()[1]
            self.started.set()

        self.loop.run_until_complete(listen())
        self.loop.run_forever()
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    # ---- what it has ----

    def taken(self):
        with self.lock:
            return list(self.messages)

    def wait(self, count, seconds=20):
        """Until it has so many messages."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.taken()
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"the sink has {len(self.taken())} messages, not {count}")

    # ---- the protocol ----

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, EOFError,
                asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    async def say(self, writer, reply):
        if reply == "drop":
            raise EOFError
        if reply == "stall":
            await asyncio.sleep(3600)
        writer.write((reply + "\r\n").encode())
        await writer.drain()

    async def body(self, reader):
        data = bytearray()
        while True:
            line = await reader.readuntil(b"\n")
            if line in (b".\r\n", b".\n"):
                return bytes(data)
            data += line[1:] if line.startswith(b".") else line

    async def talk(self, reader, writer):
        sender = options = None
        recipients = []
        await self.say(writer, self.judge("greeting", "") or f"220 {self.name} ESMTP")
        while True:
            line = (await reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")
            verb = line[:4].upper()
            with self.lock:
                self.commands.append(line)
            path = re.search(r"<([^>]*)>", line)
            address = path.group(1) if path else ""
            if verb in ("EHLO", "HELO"):
                sender, recipients = None, []
                reply = self.judge("ehlo", "")
                if reply is None and verb == "EHLO":
                    lines = [self.name] + self.extensions
                    if self.tls is not None and writer.get_extra_info("ssl_object") is None:
                        lines.append("STARTTLS")
                    reply = "\r\n".join(f"250-{each}" for each in lines[:-1])
                    reply += ("\r\n" if reply else "") + f"250 {lines[-1]}"
                await self.say(writer, reply or f"250 {self.name}")
            elif verb == "STAR" and self.tls is not None:
                await self.say(writer, "220 go ahead")
                await self.start_tls(reader, writer)
                sender, recipients = None, []
            elif verb == "MAIL":
                reply = self.judge("mail", address)
                if reply is None:
                    sender, options, recipients = address, line, []
                await self.say(writer, reply or "250 2.1.0 ok")
            elif verb == "RCPT":
                reply = self.judge("rcpt", address)
                if reply is None:
                    recipients.append(address)
                await self.say(writer, reply or "250 2.1.5 ok")
            elif verb == "DATA":
                if sender is None or not recipients:
                    await self.say(writer, "554 5.5.1 no recipients")
                    continue
                reply = self.judge("data", sender)
                await self.say(writer, reply or "354 go ahead")
                if reply is not None:
                    continue
                data = await self.body(reader)
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self.take(writer, Message(sender, recipients, data, options))
                sender, recipients = None, []
            elif verb == "RSET" or verb == "NOOP":
                sender, recipients = (None, []) if verb == "RSET" else (sender, recipients)
                await self.say(writer, "250 2.0.0 ok")
            elif verb == "QUIT":
                await self.say(writer, "221 2.0.0 bye")
                return
            else:
                await self.say(writer, "502 5.5.2 unknown")

    async def take(self, writer, message):
        reply = self.judge("body", message.recipients[0])
        if reply is None or reply == "lose":
            with self.lock:
                self.messages.append(message)
        if reply == "lose":
            raise EOFError
        await self.say(writer, reply or "250 2.0.0 taken")
        message.acknowledged = reply is None

    async def start_tls(self, reader, writer):
        transport = writer.transport
        protocol = transport.get_protocol()
        fresh = await self.loop.start_tls(transport, protocol, self.tls, server_side=True)
        # Python 3.11's StreamWriter.start_tls does just this; Debian 12 has it.
        writer._transport = fresh
        reader._transport = fresh
        protocol._over_ssl = True
        protocol._replace_writer(writer)
