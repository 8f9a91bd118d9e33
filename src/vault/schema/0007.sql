-- What SORT and THREAD compare of a content (sort.h), apart from its large row: of that size, it is
-- read and decrypted for all messages of a folder in one go. Filled in idle moments, from the first
-- content on; what is not here yet is read from the contents.
CREATE TABLE sort_key (
    content_id INTEGER PRIMARY KEY,
    sent_ms INTEGER, -- content.sent as milliseconds since 1970
    is_reply INTEGER NOT NULL,
    -- Texts as they are compared: folded (message_fold), and of very long ones the beginning.
    base_subject BLOB NOT NULL,
    sender BLOB NOT NULL,
    display_sender BLOB NOT NULL,
    recipient BLOB NOT NULL,
    display_recipient BLOB NOT NULL,
    cc BLOB NOT NULL,
    message_id BLOB NOT NULL,
    ancestors BLOB NOT NULL -- of References, else of In-Reply-To
) STRICT;

-- How far it is filled; rows of another form of folding are not read, and made anew.
CREATE TABLE sort_progress (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    form INTEGER NOT NULL, -- message_fold_form, and our own
    next_content_id INTEGER NOT NULL
) STRICT;
INSERT INTO sort_progress VALUES (1, 0, 1);
