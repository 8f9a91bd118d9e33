-- The search index as segments of our own (segment.h, index.h), in place of FTS5's: an arrival does
-- not write it, and a part of a word is looked for in the terms alone. It is filled anew from the
-- contents, like that of new mail, in idle moments.
DROP TABLE body_vocabulary;
DROP TABLE header_vocabulary;
DROP TABLE body_words;
DROP TABLE header_words;
DELETE FROM unindexed;

-- What one covers: contents that came one after the other. Contents behind all of them are not
-- indexed yet, and are candidates for every search.
CREATE TABLE word_segment (
    id INTEGER PRIMARY KEY,
    form INTEGER NOT NULL, -- of folding, of words and of blocks: those of another one are not read
    state INTEGER NOT NULL, -- 0 being merged from those in its range, 1 live, 2 to be removed
    level INTEGER NOT NULL, -- how often its contents were merged
    first_content_id INTEGER NOT NULL,
    last_content_id INTEGER NOT NULL
) STRICT;
CREATE TABLE word_terms (
    key INTEGER PRIMARY KEY, -- segment id << 24 | number
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE word_postings (
    key INTEGER PRIMARY KEY, -- likewise
    bytes BLOB NOT NULL
) STRICT;
-- Contents that went while a segment has their words: merging leaves them out.
CREATE TABLE word_gone (
    content_id INTEGER PRIMARY KEY,
    segment_id INTEGER -- the segment being merged that leaves it out
) STRICT;

-- Compared by SEARCH, so not only in the wide rows of content: days since 1970, NULL: no valid Date:.
ALTER TABLE message ADD COLUMN sent_day INTEGER;
UPDATE message SET sent_day = (SELECT sent_day FROM content WHERE id = message.content_id);
