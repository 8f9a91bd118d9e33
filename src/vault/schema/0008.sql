-- The greatest UIDVALIDITY that a name had, of folders that were deleted or renamed since: a folder that
-- gets the name must not have a smaller one (RFC 3501 §2.3.1.1). Of the name there is only a hash; 0
-- stands for all names that had to be let go.
CREATE TABLE former_name (
    hash INTEGER PRIMARY KEY,
    uidvalidity INTEGER NOT NULL
) STRICT;
