-- The account database, version 4: mailboxes in state 'removing' may wait.

-- Their files are kept until then; NULL: they go at once.
ALTER TABLE mailboxes ADD COLUMN removed_after TEXT;
