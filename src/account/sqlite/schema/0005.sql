-- The account database, version 5: backups of mailboxes that were removed.

-- A row is made in the transaction that removes the mailbox, and goes when nothing of it is left where
-- backups are kept. due: when its backups are looked at next. is_empty: nothing was found once; a
-- second look, later, finds what was still on its way then.
CREATE TABLE backup_purges (
    id INTEGER PRIMARY KEY,
    object_id TEXT NOT NULL UNIQUE,
    due TEXT NOT NULL,
    is_empty INTEGER NOT NULL DEFAULT 0 CHECK (is_empty IN (0, 1))
) STRICT;
CREATE INDEX backup_purges_by_due ON backup_purges (due);
