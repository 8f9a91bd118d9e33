-- The account database, version 2: where an alias's mail goes beside its mailbox, rules, limits,
-- signing keys.

-- An alias's mailbox becomes optional, so the table is made anew (SQLite cannot drop a NOT NULL).
-- local_part: normalised; '*' is the domain's catch-all; with a pattern_order it is a regular
-- expression between slashes, and those of a domain are tried in that order.
-- mailbox_id NULL: the alias only sends mail on. is_storing 0: its mailbox gets no new mail from it.
-- disabled_answer: what a disabled alias tells a peer. has_routes: there are alias_targets or a
-- vacation, so that mail for all other aliases need not look for them. files_junk 0: its mail is not
-- judged as spam.
CREATE TABLE aliases_2 (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains (id),
    local_part TEXT NOT NULL,
    pattern_order INTEGER,
    mailbox_id INTEGER REFERENCES mailboxes (id),
    is_enabled INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
    disabled_answer INTEGER NOT NULL DEFAULT 550 CHECK (disabled_answer IN (250, 421, 550)),
    is_storing INTEGER NOT NULL DEFAULT 1 CHECK (is_storing IN (0, 1)),
    has_routes INTEGER NOT NULL DEFAULT 0 CHECK (has_routes IN (0, 1)),
    files_junk INTEGER NOT NULL DEFAULT 1 CHECK (files_junk IN (0, 1)),
    created TEXT NOT NULL
) STRICT;
INSERT INTO aliases_2 (id, domain_id, local_part, mailbox_id, is_enabled, created)
    SELECT id, domain_id, local_part, mailbox_id, is_enabled, created FROM aliases;
DROP TABLE aliases;
ALTER TABLE aliases_2 RENAME TO aliases;
CREATE UNIQUE INDEX aliases_by_name ON aliases (domain_id, local_part);
CREATE INDEX aliases_by_mailbox ON aliases (mailbox_id);
CREATE INDEX aliases_by_pattern ON aliases (domain_id, pattern_order)
    WHERE pattern_order IS NOT NULL;

-- A forward's target as docs/aliases.md says; of a webhook the URL, and the secret that its calls
-- are signed with (readable here: they must be signed while nobody is logged in).
CREATE TABLE alias_targets (
    id INTEGER PRIMARY KEY,
    alias_id INTEGER NOT NULL REFERENCES aliases (id),
    kind TEXT NOT NULL CHECK (kind IN ('forward', 'webhook')),
    target TEXT NOT NULL,
    secret TEXT,
    is_raw INTEGER NOT NULL DEFAULT 0 CHECK (is_raw IN (0, 1)),
    created TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX alias_targets_by_alias ON alias_targets (alias_id, kind, target);

-- What is answered to those who write while the owner is away. The text must be readable here: it
-- is for everybody anyway. starts, ends NULL: at once; until it is taken off.
CREATE TABLE alias_vacations (
    alias_id INTEGER PRIMARY KEY REFERENCES aliases (id),
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    starts TEXT,
    ends TEXT
) STRICT;

-- Senders that are let in or kept out. Neither domain nor alias: of the whole host.
-- value: an address, a domain (with those below it), or a network as "192.0.2.0/24", whose
-- prefix_bits are 24: only lengths that occur need to be looked for.
CREATE TABLE list_entries (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER REFERENCES domains (id),
    alias_id INTEGER REFERENCES aliases (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('allow', 'deny')),
    kind TEXT NOT NULL CHECK (kind IN ('address', 'domain', 'network')),
    value TEXT NOT NULL,
    prefix_bits INTEGER,
    created TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX list_entries_by_value
    ON list_entries (value, coalesce(domain_id, 0), coalesce(alias_id, 0));
CREATE INDEX list_entries_by_domain ON list_entries (domain_id);
CREATE INDEX list_entries_by_alias ON list_entries (alias_id);
CREATE INDEX list_entries_by_prefix ON list_entries (prefix_bits) WHERE prefix_bits IS NOT NULL;

-- Clients that were asked to come back (greylisting): keyed hashes, never addresses. is_passed 0:
-- of client, sender and recipient, which may come from `since` plus the delay on; 1: of a client
-- that came back once. `ends` is when the row goes.
CREATE TABLE greylist (
    hash BLOB PRIMARY KEY,
    is_passed INTEGER NOT NULL CHECK (is_passed IN (0, 1)),
    since TEXT NOT NULL,
    ends TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX greylist_by_end ON greylist (ends);

-- How many recipients elsewhere a user (a domain, as sender) may write to on one day; NULL: what the
-- configuration says. sent_day: the day that sent_count is of, in days since 1970.
ALTER TABLE users ADD COLUMN daily_limit INTEGER;
ALTER TABLE users ADD COLUMN sent_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN sent_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN daily_limit INTEGER;
ALTER TABLE domains ADD COLUMN sent_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN sent_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN requires_tls INTEGER NOT NULL DEFAULT 0;

-- Keys that a domain's mail is signed with. `sealed` under a key derived from the host key, bound to
-- domain and selector; `record` is the text to publish. state: 'waiting' is published but does not
-- sign yet, 'active' signs, 'retired' is still published for what is under way.
CREATE TABLE dkim_keys (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains (id),
    algorithm TEXT NOT NULL CHECK (algorithm IN ('rsa', 'ed25519')),
    selector TEXT NOT NULL,
    sealed BLOB NOT NULL,
    record TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'active', 'retired')),
    created TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX dkim_keys_by_domain ON dkim_keys (domain_id, selector);
