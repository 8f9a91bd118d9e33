-- The account database, version 6: owners' own buckets for their mailboxes' backups.

-- Of a mailbox, by its id: the row outlives it, until its backups are taken away there, too. place: as
-- the setting `backup` has it, S3 only. sealed: the secret of the key, under a key derived from the host
-- key, bound to mailbox, place, region and key.
CREATE TABLE backup_buckets (
    id INTEGER PRIMARY KEY,
    object_id TEXT NOT NULL UNIQUE,
    place TEXT NOT NULL,
    region TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created TEXT NOT NULL
) STRICT;
