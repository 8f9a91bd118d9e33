-- Expunged mail that its owner can bring back (undelete.h). From here on message.is_expunged has two
-- values: 1, when it is purged moved to the table below, with its content; 2, gone for good then, as
-- all are that were expunged, or moved away, before.
UPDATE message SET is_expunged = 2 WHERE is_expunged = 1;

CREATE TABLE hidden (
    id INTEGER PRIMARY KEY, -- ascending as they came here: the lowest is the oldest
    folder_id INTEGER NOT NULL, -- where it was
    flags INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    internal_date TEXT NOT NULL,
    internal_zone INTEGER NOT NULL,
    save_date TEXT NOT NULL,
    sent_day INTEGER,
    line_end_octets INTEGER,
    uidl TEXT, -- the unique-id that it was given
    expunged TEXT NOT NULL
) STRICT;

-- Folders that are gone, by whose name hidden messages go back.
CREATE TABLE former_folder (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    special_use INTEGER NOT NULL,
    deleted TEXT NOT NULL
) STRICT;

ALTER TABLE mailbox ADD COLUMN hidden_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN hidden_count INTEGER NOT NULL DEFAULT 0;
