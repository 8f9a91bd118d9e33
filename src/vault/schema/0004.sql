-- What POP3 needs of a message (vault/maildrop.h).

-- By how many octets the message grows when every line ends in CRLF; NULL: not counted yet.
ALTER TABLE message ADD COLUMN line_end_octets INTEGER;

-- The unique-id that a message brought along from another server. Most have none: theirs is made of
-- UIDVALIDITY and UID.
CREATE TABLE given_uidl (
    key INTEGER PRIMARY KEY REFERENCES message(key) ON DELETE CASCADE,
    uidl TEXT NOT NULL
) STRICT;
CREATE INDEX given_uidl_uidl ON given_uidl(uidl);
