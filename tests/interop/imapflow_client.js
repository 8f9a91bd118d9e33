// A conversation of imapflow with a running server: PORT, ADDRESS, PASSWORD and MX come in the
// environment. Every expectation is an assertion; the last line of the output is JSON.
'use strict';

const assert = require('assert');
const net = require('net');
const { ImapFlow } = require('imapflow');

const RAW = Buffer.from(
    'From: Ann <ann@example.org>\r\nTo: me@clients.test\r\nSubject: Grüße\r\n' +
    'Message-ID: <flow@example.org>\r\nDate: Mon, 06 Jul 2026 10:00:00 +0000\r\n' +
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=edge\r\n\r\n' +
    '--edge\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nA line.\r\n' +
    '--edge\r\nContent-Type: application/pdf; name=a.pdf\r\n' +
    'Content-Disposition: attachment; filename=a.pdf\r\n' +
    'Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--edge--\r\n');

function connection(name, options) {
    const client = new ImapFlow({
        host: '127.0.0.1', port: Number(process.env.PORT), secure: true, logger: false,
        auth: { user: process.env.ADDRESS, pass: process.env.PASSWORD },
        tls: { rejectUnauthorized: false }, qresync: true, ...options,
    });
    client.on('error', error => { throw new Error(`${name}: ${error.message}`); });
    return client;
}

// The next event of that kind; rejects when none comes within half a minute.
function next(client, event) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no ${event} event`)), 30000);
        client.once(event, data => { clearTimeout(timer); resolve(data); });
    });
}

// One message by SMTP, as from another server.
async function deliver(subject) {
    const socket = net.connect(Number(process.env.MX), '127.0.0.1');
    socket.setEncoding('latin1');
    const lines = [];
    let wake = () => {};
    let rest = '';
    socket.on('data', text => {
        rest += text;
        const parts = rest.split('\r\n');
        rest = parts.pop();
        lines.push(...parts.filter(line => line[3] !== '-'));
        wake();
    });
    const expect = async code => {
        while (!lines.length) {
            await new Promise(resolve => { wake = resolve; });
        }
        const line = lines.shift();
        assert(line.startsWith(code), line);
    };
    await expect('220');
    for (const [line, code] of [['EHLO client.test', '250'], ['MAIL FROM:<a@example.org>', '250'],
        [`RCPT TO:<${process.env.ADDRESS}>`, '250'], ['DATA', '354'],
        [`From: a@example.org\r\nSubject: ${subject}\r\n\r\nBy SMTP.\r\n.`, '250'], ['QUIT', '221']]) {
        socket.write(`${line}\r\n`);
        await expect(code);
    }
    socket.destroy();
}

async function collect(client, range, query, options) {
    const found = [];
    for await (const message of client.fetch(range, query, options)) {
        found.push(message);
    }
    return found;
}

// Its own mailbox.exists does not count VANISHED down.
async function count(client) {
    return (await client.status('INBOX', { messages: true })).messages;
}

async function folders(client) {
    const list = await client.list({ statusQuery: { messages: true, unseen: true } });
    const inbox = list.find(entry => entry.path === 'INBOX');
    assert.strictEqual(inbox.status.messages, 20);
    for (const use of ['\\Sent', '\\Drafts', '\\Trash', '\\Junk', '\\Archive']) {
        assert(list.some(entry => entry.specialUse === use), `no folder with ${use}`);
    }
    assert((await client.mailboxCreate(['Projects', 'Straße'])).created);
    assert((await client.list()).some(entry => entry.path === 'Projects/Straße'));
    await client.mailboxSubscribe('Projects/Straße');
    assert((await client.list()).find(entry => entry.path === 'Projects/Straße').subscribed);
    const renamed = await client.mailboxRename('Projects/Straße', 'Done');
    assert.strictEqual(renamed.newPath, 'Done');
    assert.strictEqual((await client.mailboxDelete('Done')).path, 'Done');
    const quota = await client.getQuota('INBOX');
    assert(quota.path === 'INBOX', JSON.stringify(quota));
}

async function messages(client) {
    const lock = await client.getMailboxLock('INBOX');
    try {
        assert.strictEqual(client.mailbox.exists, 20);
        const all = await collect(client, '1:*', { uid: true, flags: true, envelope: true,
            bodyStructure: true, internalDate: true, size: true });
        assert.strictEqual(all.length, 20);
        assert.strictEqual(all[3].envelope.subject, 'message 3');
        assert(all.every((message, index) => message.seq === index + 1 && message.size > 100));

        const appended = await client.append('INBOX', RAW, ['\\Flagged', '$Label'],
            new Date('2026-07-01T12:00:00Z'));
        const one = await client.fetchOne(String(appended.uid), { source: true, flags: true,
            envelope: true, bodyStructure: true, internalDate: true, headers: ['subject'] },
        { uid: true });
        assert(one.source.equals(RAW), 'other bytes came back');
        assert(one.flags.has('\\Flagged') && one.flags.has('$Label'));
        assert.strictEqual(one.internalDate.toISOString(), '2026-07-01T12:00:00.000Z');
        assert.strictEqual(one.envelope.subject, 'Grüße');
        assert.strictEqual(one.bodyStructure.childNodes.length, 2);
        assert.strictEqual(one.bodyStructure.childNodes[1].dispositionParameters.filename, 'a.pdf');
        const { content } = await client.download(String(appended.uid), '2', { uid: true });
        const chunks = [];
        for await (const chunk of content) {
            chunks.push(chunk);
        }
        assert.strictEqual(Buffer.concat(chunks).toString(), '%PDF-1.4');

        assert(await client.messageFlagsAdd({ seq: '1:3' }, ['\\Seen', '\\Answered']));
        assert(await client.messageFlagsRemove({ seq: '2' }, ['\\Answered']));
        assert.deepStrictEqual(await client.search({ answered: true }), [1, 3]);
        assert.deepStrictEqual(await client.search({ seen: false, subject: 'message 19' },
            { uid: true }), [all[19].uid]);
        assert.deepStrictEqual(await client.search({ or: [{ header: { 'Message-ID': 'flow@' } },
            { keyword: '$Label' }] }, { uid: true }), [appended.uid]);
        assert.strictEqual((await client.search({ body: 'More' })).length, 20);

        const copied = await client.messageCopy('1:2', 'Archive');
        assert.strictEqual(copied.uidMap.size, 2);
        const moved = await client.messageMove(String(appended.uid), 'Archive', { uid: true });
        assert.strictEqual(moved.uidMap.size, 1);
        assert(await client.messageDelete('20'));
        assert.strictEqual(await count(client), 19);
    } finally {
        lock.release();
    }
    assert.strictEqual((await client.status('Archive', { messages: true })).messages, 3);
}

// What one connection does, the other one hears of in IDLE.
async function events(client, other) {
    await client.mailboxOpen('INBOX');
    client.idle();
    await other.mailboxOpen('INBOX');
    let heard = next(client, 'exists');
    await deliver('Heard of in IDLE');
    assert.strictEqual((await heard).count, 20);
    await client.noop();
    client.idle();
    heard = next(client, 'flags');
    await other.messageFlagsAdd('5', ['\\Flagged']);
    const flags = await heard;
    assert.strictEqual(flags.seq, 5);
    assert(flags.flags.has('\\Flagged'));
    heard = next(client, 'expunge');
    const [gone] = await collect(other, '7', { uid: true });
    await other.messageDelete('7');
    const expunge = await heard;
    assert(expunge.uid === gone.uid || expunge.seq === 7, JSON.stringify(expunge));
    assert.strictEqual(await count(client), 19);
}

// CONDSTORE: only what changed since.
async function changes(client) {
    const lock = await client.getMailboxLock('INBOX');
    try {
        const since = client.mailbox.highestModseq;
        await client.messageFlagsAdd('9', ['\\Draft']);
        const changed = await collect(client, '1:*', { uid: true, flags: true },
            { changedSince: since });
        assert.deepStrictEqual(changed.map(message => message.seq), [9]);
        assert(changed[0].modseq > since);
    } finally {
        lock.release();
    }
}

async function main() {
    const client = connection('one');
    const other = connection('two', { disableCompression: true });
    await client.connect();
    await other.connect();
    await folders(client);
    await messages(client);
    await events(client, other);
    await changes(client);
    const compressed = Boolean(client._deflate);
    assert.strictEqual(compressed, client.capabilities.has('COMPRESS=DEFLATE'));
    const enabled = [...client.enabled];
    for (const name of ['CONDSTORE', 'QRESYNC', 'IMAP4rev2']) {
        assert(!client.capabilities.has(name) || enabled.includes(name.toUpperCase()) ||
            (name === 'CONDSTORE' && enabled.includes('QRESYNC')), `${name} is not enabled`);
    }
    await other.logout();
    await client.logout();
    console.log(JSON.stringify({ done: true, enabled, compressed }));
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
