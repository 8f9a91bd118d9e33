-- Annotations, object identifiers, previews.

CREATE TABLE metadata (
    folder_id INTEGER NOT NULL, -- 0: of the mailbox as a whole
    entry TEXT NOT NULL,        -- lower case: "/private/…", "/shared/…"
    value BLOB NOT NULL,
    PRIMARY KEY (folder_id, entry)
) STRICT, WITHOUT ROWID;

-- Which email a content is, and of which thread (RFC 8474). An identifier is epoch << 40 | content
-- id: after a roll-back content ids are given again, epochs are not. A thread has the identifier of
-- the email that it began with.
CREATE TABLE identity (
    content_id INTEGER PRIMARY KEY,
    email_id INTEGER NOT NULL,
    thread_id INTEGER NOT NULL
) STRICT;
CREATE INDEX identity_thread ON identity(thread_id);

-- The message ids that belong to a thread, of its messages and of those that they refer to.
CREATE TABLE thread_reference (
    digest INTEGER PRIMARY KEY, -- the first 64 bits of BLAKE2b-256 of the message id
    thread_id INTEGER NOT NULL
) STRICT;
CREATE INDEX thread_reference_thread ON thread_reference(thread_id);

-- The beginning of a content's text (RFC 8970), apart from the large rows of content.
CREATE TABLE preview (
    content_id INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
