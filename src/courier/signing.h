/*
 * DKIM signatures on what goes out in the name of one of our domains: with an RSA and an Ed25519
 * key (mailauth/sign.h), so that every receiver understands one. The keeper gives the keys; they
 * are kept for some minutes, as OpenSSL has them: to read one takes four times as long as to sign
 * with it.
 */
#ifndef COURIER_SIGNING_H
#define COURIER_SIGNING_H

#include "base/buf.h"
#include "base/task.h"
#include "wire/channel.h"

enum { SIGNING_DOMAINS_MAX = 256 };

struct signing;
struct signing *signing_new(void);
void signing_free(struct signing **signing);
/* Keys may have changed: they are asked for again. */
void signing_forget(struct signing *signing);

enum signing_state {
    SIGNING_UNKNOWN, /* ask the keeper, and give the answer to signing_keep */
    SIGNING_NONE,    /* not one of our domains, or it has no keys */
    SIGNING_READY,
};
/* Are the keys of this domain known, and still fresh? */
enum signing_state signing_look_up(struct signing *signing, struct str domain, int64_t now_ms);
/* ERR_INVALID: a key does not read; the other one is kept all the same. */
MUST_CHECK enum err signing_keep(struct signing *signing, struct task *task, struct str domain,
                                 const struct wire_signing_keys_reply *reply, int64_t now_ms);
/* Appends the signatures of a domain that is READY; fails when there is none in the end. */
MUST_CHECK enum err signing_sign(struct signing *signing, struct task *task, struct str domain,
                                 struct str message, int64_t now_ms, struct buf *out);

/* The domain of the one address in From; empty: it cannot be told. */
struct str signing_domain_of(struct task *task, struct str message);

#endif
