-- What the owner's moves in and out of Junk teach (junk.h). Nothing of it leaves this file.

-- In how many of the learned messages a token is: its hash (spam/model.h) as a signed number.
CREATE TABLE spam_token (
    hash INTEGER PRIMARY KEY,
    spam INTEGER NOT NULL,
    ham INTEGER NOT NULL
) STRICT;

-- How many messages were learned; tokens of another form are not those of today's messages.
CREATE TABLE spam_total (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    form INTEGER NOT NULL, -- SPAM_TOKEN_FORM
    spam INTEGER NOT NULL,
    ham INTEGER NOT NULL
) STRICT;
INSERT INTO spam_total VALUES (1, 0, 0, 0);

-- As what a content counts now; only as one at a time.
CREATE TABLE spam_learned (
    content_id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL -- 1 spam, 2 ham
) STRICT;

-- What is still to be learned, in an idle moment.
CREATE TABLE spam_waiting (
    content_id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL
) STRICT;
