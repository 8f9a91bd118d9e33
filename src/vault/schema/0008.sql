-- The greatest UIDVALIDITY that a name had, of folders that were deleted or renamed since: a folder that
-- gets the name must not have a smaller one (RFC 3501 §2.3.1.1). Of the name there is only a hash; 0
-- stands for all names that had to be let go.
CREATE TABLE former_name (
    hash INTEGER PRIMARY KEY,
    uidvalidity INTEGER NOT NULL
) STRICT;

-- The UIDVALIDITY that a folder was made with: with a new name it may get another, but its messages and their
-- UIDs stay what they are, for whoever has it selected.
ALTER TABLE folder ADD COLUMN incarnation INTEGER NOT NULL DEFAULT 0;
UPDATE folder SET incarnation = uidvalidity;
