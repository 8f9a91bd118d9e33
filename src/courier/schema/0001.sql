-- The outbound queue, version 1. Released schema files never change; a change is a new file.

-- A message, once for all of its recipients; it goes when none of them waits any more. `name` is
-- what an operator calls it, `trace` the id in its Received field (several may have the same).
-- trace_bytes: how many of the content's first bytes are ours. signatures: DKIM-Signature fields,
-- once they were made.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    trace TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('submission', 'routes', 'report', 'reply')),
    mailbox TEXT NOT NULL,
    sender TEXT NOT NULL,
    helo TEXT NOT NULL,
    client TEXT NOT NULL,
    auth TEXT NOT NULL,
    body TEXT NOT NULL,
    ret TEXT NOT NULL,
    envid TEXT NOT NULL,
    require_tls INTEGER NOT NULL,
    is_utf8 INTEGER NOT NULL,
    may_reply INTEGER NOT NULL,
    is_junk INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    trace_bytes INTEGER NOT NULL,
    received TEXT NOT NULL,
    signatures TEXT
) STRICT;

-- The content in pieces, each sealed under the content key and bound to its place.
CREATE TABLE contents (
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    piece INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (message_id, piece)
) STRICT;

-- Whom it is still for, and whom it was. `address` is where it goes; `alias` which alias of ours made
-- it so (or the same), `written` what the sender wrote, which is all that he is ever told; target: the
-- route as the keeper gave it (docs/routes.md).
-- lane: the destination, by which turns are taken. state: 'active' while an attempt is under way
-- (what is so at the start was interrupted); starts: attempts that were begun and never ended.
CREATE TABLE recipients (
    id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    kind TEXT NOT NULL
        CHECK (kind IN ('remote', 'forward', 'return', 'webhook', 'vacation', 'local', 'notice')),
    address TEXT NOT NULL,
    alias TEXT NOT NULL,
    written TEXT NOT NULL,
    target TEXT NOT NULL,
    lane TEXT NOT NULL,
    orcpt TEXT NOT NULL,
    notify TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'active', 'held', 'done', 'failed')),
    next_attempt TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    status TEXT NOT NULL,
    words TEXT NOT NULL,
    is_delay_told INTEGER NOT NULL,
    is_stored INTEGER NOT NULL
) STRICT;
-- An alias that leads to an address in two ways gets its mail there once.
CREATE UNIQUE INDEX recipients_once ON recipients (message_id, kind, address, target);
CREATE INDEX recipients_due ON recipients (lane, next_attempt) WHERE state = 'waiting';
CREATE INDEX recipients_state ON recipients (state) WHERE state IN ('active', 'held');

-- Addresses that refused mail for good, told to our users at once until they expire.
CREATE TABLE suppressions (
    address TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL,
    words TEXT NOT NULL,
    since TEXT NOT NULL,
    expires TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressions_expiry ON suppressions (expires);

-- To whom an alias has answered already (RFC 3834 §2).
CREATE TABLE replies (
    alias TEXT NOT NULL,
    sender TEXT NOT NULL,
    expires TEXT NOT NULL,
    PRIMARY KEY (alias, sender)
) STRICT, WITHOUT ROWID;
CREATE INDEX replies_expiry ON replies (expires);

-- What was accepted in the last day, by digest: a peer that missed our answer sends it again.
CREATE TABLE accepted (
    digest BLOB NOT NULL PRIMARY KEY,
    expires TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accepted_expiry ON accepted (expires);

-- MTA-STS policies over a restart (courier/destinations.h).
CREATE TABLE policies (
    domain TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    policy TEXT NOT NULL,
    expires TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX policies_expiry ON policies (expires);
