-- The mailbox file, first version. A released schema file never changes; see migrate in vault.c.
--
-- Messages are addressed by one integer, folder id << 32 | UID, so that a folder is a range of
-- message's own b-tree and needs no index. Dates are ISO 8601 UTC with milliseconds.

CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    mailbox_id TEXT NOT NULL,
    created TEXT NOT NULL,
    epoch INTEGER NOT NULL,            -- a new one when the file was found rolled back
    change_counter INTEGER NOT NULL,   -- of durable changes; also the source of MODSEQ
    next_uidvalidity INTEGER NOT NULL, -- never given twice in this mailbox
    next_content_id INTEGER NOT NULL,  -- likewise
    size_bytes INTEGER NOT NULL,
    message_count INTEGER NOT NULL
) STRICT;

CREATE TABLE folder (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused
    name TEXT NOT NULL UNIQUE,
    special_use INTEGER NOT NULL DEFAULT 0,
    is_selectable INTEGER NOT NULL DEFAULT 1,
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL DEFAULT 1,
    first_recent_uid INTEGER NOT NULL DEFAULT 1,
    highest_modseq INTEGER NOT NULL DEFAULT 1,
    message_count INTEGER NOT NULL DEFAULT 0,
    unseen_count INTEGER NOT NULL DEFAULT 0,
    deleted_count INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE subscription (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE keyword (
    bit INTEGER PRIMARY KEY, -- of message.flags
    name TEXT NOT NULL COLLATE NOCASE UNIQUE
) STRICT;

-- What a message has for itself in a folder; content is shared by its copies.
CREATE TABLE message (
    key INTEGER PRIMARY KEY, -- folder id << 32 | UID
    flags INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    is_expunged INTEGER NOT NULL DEFAULT 0, -- hidden, until it is purged
    content_id INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    internal_date TEXT NOT NULL,
    internal_zone INTEGER NOT NULL, -- minutes, as it was given
    save_date TEXT NOT NULL
) STRICT;

-- What is known of a content without reading it: made once at arrival.
CREATE TABLE content (
    id INTEGER PRIMARY KEY, -- never reused: readers and the word indexes refer to it
    envelope TEXT NOT NULL,
    bodystructure TEXT NOT NULL,
    sent_day INTEGER, -- NULL: no valid Date:
    subject TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    cc TEXT NOT NULL,
    bcc TEXT NOT NULL,
    body TEXT NOT NULL,
    structure BLOB NOT NULL, -- message_structure_encode
    sent TEXT,
    message_id TEXT NOT NULL,
    in_reply_to TEXT NOT NULL,
    message_references TEXT NOT NULL,
    base_subject TEXT NOT NULL,
    arrived TEXT NOT NULL
) STRICT;

-- How many messages beyond the first have a content; no row: none.
CREATE TABLE content_share (
    content_id INTEGER PRIMARY KEY,
    extra INTEGER NOT NULL CHECK (extra > 0)
) STRICT;

-- The bytes of a content, in order (content.c explains the kinds).
CREATE TABLE part (
    key INTEGER PRIMARY KEY, -- content id << 24 | number
    start INTEGER NOT NULL,  -- offset in the message
    length INTEGER NOT NULL, -- bytes of the message
    kind INTEGER NOT NULL,   -- 0 bytes, 1 zstd, 2 attachment, 3 attachment in base64
    attachment_id INTEGER,
    line_length INTEGER,     -- base64 characters in a line, 0: one line
    line_end INTEGER,        -- 1 LF, 2 CRLF
    bytes BLOB
) STRICT;

-- Attachment bodies, once in the mailbox whatever the number of messages that have them.
CREATE TABLE attachment (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL, -- BLAKE2b-256 of the decoded bytes
    size_bytes INTEGER NOT NULL,
    use_count INTEGER NOT NULL CHECK (use_count > 0),
    UNIQUE (digest, size_bytes)
) STRICT;

CREATE TABLE attachment_part (
    key INTEGER PRIMARY KEY, -- attachment id << 24 | number; all but the last have the same size
    kind INTEGER NOT NULL,   -- 0 bytes, 1 zstd
    bytes BLOB NOT NULL
) STRICT;

-- What vanished, for those who were not there to see it (RFC 7162).
CREATE TABLE expunge (
    folder_id INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    first_uid INTEGER NOT NULL,
    last_uid INTEGER NOT NULL,
    PRIMARY KEY (folder_id, modseq, first_uid)
) STRICT, WITHOUT ROWID;

-- Expunged messages whose rows and bytes are still there: ranges of message.key.
CREATE TABLE purge (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    first_key INTEGER NOT NULL,
    last_key INTEGER NOT NULL,
    expunged TEXT NOT NULL
) STRICT;

-- Words (design section 4). The rowid is the content id.
CREATE VIRTUAL TABLE body_words USING fts5(
    body, content='', contentless_delete=1, detail=none, tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE header_words USING fts5(
    subject, sender, recipient, cc, bcc, headers,
    content='', contentless_delete=1, detail=column, tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE body_vocabulary USING fts5vocab(body_words, 'row');
CREATE VIRTUAL TABLE header_vocabulary USING fts5vocab(header_words, 'col');
-- Contents with text that the indexes do not hold in full: always candidates.
CREATE TABLE unindexed (
    content_id INTEGER PRIMARY KEY
) STRICT;

INSERT INTO body_words(body_words, rank) VALUES ('pgsz', 3980), ('automerge', 0), ('crisismerge', 32);
INSERT INTO header_words(header_words, rank) VALUES ('pgsz', 3980), ('automerge', 0), ('crisismerge', 32);

-- Deliveries of the last day, to know a retransmission by. Few enough to look through once an hour,
-- so that a delivery need not keep a second index.
CREATE TABLE delivery (
    digest BLOB PRIMARY KEY, -- BLAKE2b-256 of what followed the trace fields
    arrived TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The drop box (dropbox.md).
CREATE TABLE lane_root (
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    boot_key_1 BLOB NOT NULL,
    x25519_secret BLOB NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (lane, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE imported (
    record TEXT PRIMARY KEY,
    imported TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    record TEXT NOT NULL,
    reason TEXT NOT NULL,
    quarantined TEXT NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_record ON quarantine(record);
