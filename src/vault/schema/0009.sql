-- 1: who stored it said that its header is in UTF-8 (vault_append.is_utf8), and it is, beyond ASCII:
-- POP3 must not send it as it is to every client. NULL: nobody said so, as of all from before.
ALTER TABLE content ADD COLUMN has_utf8_header INTEGER;
