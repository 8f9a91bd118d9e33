/*
 * Signing what we send (RFC 6376 §5, RFC 8463): relaxed/relaxed, without l=, with From, Subject,
 * Date, To, Reply-To and Content-Type oversigned, so that none can be added on the way.
 */
#ifndef MAILAUTH_SIGN_H
#define MAILAUTH_SIGN_H

#include "base/buf.h"
#include "base/task.h"
#include "secret/secret.h"

/* A private key that was read: that takes longer than signing with it. */
struct mailauth_private;
/* `der`: PKCS #8. ERR_INVALID: it does not read. */
MUST_CHECK enum err mailauth_private_read(struct task *task, struct str der,
                                          struct mailauth_private **out);
void mailauth_private_free(struct mailauth_private **key);

struct mailauth_signer {
    struct str domain;                  /* d= */
    struct str selector;                /* s= */
    struct str key_der;                 /* PKCS #8, RSA or Ed25519; secret, borrowed */
    const struct mailauth_private *key; /* borrowed; instead of key_der, unless it is NULL */
};

/*
 * Appends one DKIM-Signature field for each signer, CRLF at its end; the body is hashed once for
 * all of them. `message` has CRLF line ends. A signer that fails is left out: only when none is
 * left is it an error.
 *
 * ERR_INVALID  a key does not read, or cannot sign
 * ERR_LIMIT    too many header fields
 */
MUST_CHECK enum err mailauth_sign(struct task *task, struct str message,
                                  const struct mailauth_signer *signers, size_t count,
                                  int64_t now_ms, struct buf *out);

/* A new key pair: PKCS #8 DER into `out_key`, which is secret, and the text of the TXT record
 * ("v=DKIM1; k=…; p=…") into `out_record`. */
enum mailauth_algorithm { MAILAUTH_RSA_2048, MAILAUTH_ED25519 };
MUST_CHECK enum err mailauth_key_make(struct task *task, enum mailauth_algorithm algorithm,
                                      struct secret **out_key, struct buf *out_record);
/* The record of a key that is there. */
MUST_CHECK enum err mailauth_key_record(struct task *task, struct str key_der,
                                        struct buf *out_record);

#endif
