-- The account database, version 3: re-encryption of a mailbox's file under the key of a new password
-- (docs/passwords.md).

-- Of every slot but that of the password itself: the X25519 public key that its password gives, and a
-- wrapping key that its password gives as well, sealed under the mailbox's key. With both, a new
-- mailbox key can be sealed to the slot while its password is not there.
ALTER TABLE key_slots ADD COLUMN public_key BLOB;
ALTER TABLE key_slots ADD COLUMN wrapping BLOB;
-- The same two as `sealed` and `wrapping`, of the next key, while the file may be under either.
ALTER TABLE key_slots ADD COLUMN next_sealed BLOB;
ALTER TABLE key_slots ADD COLUMN next_wrapping BLOB;
-- A hash that the next key gives, by which the mailbox's process names the key that its file is under.
ALTER TABLE mailboxes ADD COLUMN next_key_check BLOB;
