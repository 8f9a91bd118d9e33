-- Sealed records waiting for their owner (docs/dropbox.md). The place columns repeat what each
-- record's header says, for the order; the header is what counts.
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX record_place ON record (lane, generation, boot, n);

-- How far the owner took the records of a boot when some of it was left: the next n. `proof` is made
-- with a key that only the owner has, so that a missing first record is noticed.
CREATE TABLE taken (
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    n INTEGER NOT NULL,
    proof BLOB NOT NULL,
    PRIMARY KEY (lane, generation, boot)
) STRICT, WITHOUT ROWID;
