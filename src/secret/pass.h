/*
 * A session's pass: what shows a mailbox process that the keeper opened this session of its
 * mailbox, though others bring the session to it. Only who has the mailbox's key can make one; the
 * keeper gives it to the gate with the login's answer, and the gate shows it whenever the session
 * is opened, also after a sleep, and after the keeper that made it. It opens nothing where no
 * process has the key, none whose key has changed since (but by the re-encryption that a new
 * password asks for, which the keeper remembers), and none of a mailbox whose sessions were ended
 * since.
 */
#ifndef SECRET_PASS_H
#define SECRET_PASS_H

#include "base/id.h"
#include "secret/crypt.h"

enum { PASS_BYTES = 8 + CRYPT_HASH_BYTES, PASS_CHECK_BYTES = CRYPT_HASH_BYTES };

/* What passes are made and checked with: derived from the mailbox's key, and opens no file. */
struct secret *pass_key(const struct secret *mailbox_key);
/* For this session, and no other protocol (enum wire_service) than it logged in with; `serial` is its
 * login's (account/expelled.h), and stands in the pass. */
void pass_make(const struct secret *pass_key, const struct id *session, uint64_t service,
               uint64_t serial, unsigned char out[static PASS_BYTES]);
/* By which a mailbox's process tells the keeper what its file is under: a hash of this key. */
void pass_key_check(const struct secret *mailbox_key, unsigned char out[static PASS_CHECK_BYTES]);
/* Of a login behind `since`. Constant time. */
bool pass_is_valid(const struct secret *pass_key, const struct id *session, uint64_t service,
                   uint64_t since, struct str pass);

/*
 * A password that the keeper was given for a mailbox's process, and that goes there through others: as
 * base64, sealed for this purpose alone.
 */
MUST_CHECK enum err pass_seal(struct buf *out, const struct secret *pass_key, struct str purpose,
                              struct str password);
/* ERR_DENIED. */
MUST_CHECK enum err pass_open(const struct secret *pass_key, struct str purpose, struct str text,
                              struct secret **out_password);

#endif
