-- The account database, version 1. Released schema files never change; a change is a new file.

-- An account: whose domains and mailboxes share one quota. NULL quota: no limit.
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    quota_bytes INTEGER,
    -- The sum over the account's mailboxes, kept with every change of theirs.
    used_bytes INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL
) STRICT;

CREATE TABLE domains (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users (id),
    quota_bytes INTEGER,
    -- The sum over the mailboxes whose home is this domain.
    used_bytes INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL
) STRICT;
CREATE INDEX domains_by_user ON domains (user_id);

-- One for each mailbox file. domain_id: the home, the domain of the alias it was made for.
-- state: 'creating' until the file is on disk, 'removing' until it is gone; a keeper that finds
-- either at its start has the file removed. Only one in `removing` has no user.
CREATE TABLE mailboxes (
    id INTEGER PRIMARY KEY,
    object_id TEXT NOT NULL UNIQUE,
    user_id INTEGER REFERENCES users (id),
    domain_id INTEGER REFERENCES domains (id),
    state TEXT NOT NULL CHECK (state IN ('creating', 'active', 'removing')),
    quota_bytes INTEGER,
    mail_bytes INTEGER NOT NULL DEFAULT 0,
    message_count INTEGER NOT NULL DEFAULT 0,
    drop_bytes INTEGER NOT NULL DEFAULT 0,
    -- The last that the file reported; an older file was rolled back.
    epoch INTEGER NOT NULL DEFAULT 0,
    change_counter INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL
) STRICT;
CREATE INDEX mailboxes_by_user ON mailboxes (user_id);
CREATE INDEX mailboxes_by_domain ON mailboxes (domain_id);
CREATE INDEX mailboxes_unfinished ON mailboxes (id) WHERE state <> 'active';

-- local_part is normalised; '*' is the domain's catch-all.
CREATE TABLE aliases (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains (id),
    local_part TEXT NOT NULL,
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (id),
    is_enabled INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
    created TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX aliases_by_name ON aliases (domain_id, local_part);
CREATE INDEX aliases_by_mailbox ON aliases (mailbox_id);

-- The mailbox key, sealed under a password (design §3). services: bits of wire_service. The slot's
-- object_id is part of what the seal is bound to. key_generation: which of the mailbox's keys is
-- inside, for the re-encryption after a new password.
CREATE TABLE key_slots (
    id INTEGER PRIMARY KEY,
    object_id TEXT NOT NULL UNIQUE,
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (id),
    kind TEXT NOT NULL CHECK (kind IN ('password', 'app', 'recovery')),
    name TEXT NOT NULL,
    services INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    key_generation INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL,
    last_used TEXT
) STRICT;
CREATE UNIQUE INDEX key_slots_by_mailbox ON key_slots (mailbox_id, kind, name);

-- Where a mailbox's owner logged in from: keyed hashes of addresses, so that others' failures do
-- not lock him out.
CREATE TABLE known_addresses (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (id),
    address_hash BLOB NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (mailbox_id, address_hash)
) STRICT, WITHOUT ROWID;
