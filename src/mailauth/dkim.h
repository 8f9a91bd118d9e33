/*
 * Verifying one signature: a DKIM-Signature (RFC 6376 §6) or an ARC-Message-Signature, which is the
 * same but for a few tags (RFC 8617 §4.1.2). In three steps, so that the body of the message is
 * gone through once however many signatures there are:
 *
 *   mailauth_dkim_parse for each    what it says, and what it wants of the body
 *   mailauth_bodies_hash            once
 *   mailauth_dkim_verify for each
 */
#ifndef MAILAUTH_DKIM_H
#define MAILAUTH_DKIM_H

#include "mailauth/canon.h"
#include "mailauth/fields.h"
#include "mailauth/key.h"
#include "mailauth/lookup.h"
#include "mailauth/mailauth.h"
#include "mailauth/signature.h"

/* The body's hashes, by canonicalization. */
struct mailauth_bodies {
    bool is_wanted[MAILAUTH_CANON_COUNT];
    struct mailauth_body_hash hashes[MAILAUTH_CANON_COUNT];
};

/* Those that are wanted. */
void mailauth_bodies_hash(struct mailauth_bodies *bodies, struct str body);

enum mailauth_dkim_form { MAILAUTH_FORM_DKIM, MAILAUTH_FORM_ARC };

struct mailauth_dkim {
    const struct header_field *field; /* borrowed */
    enum mailauth_result result;      /* NONE until it is known */
    const char *reason;
    struct str domain, selector; /* as written */
    /* private */
    struct str normal_domain, normal_selector;
    enum mailauth_dkim_form form;
    enum mailauth_key_kind kind;
    enum mailauth_canon header_canon, body_canon;
    struct str names;           /* h= */
    struct str body_hash;       /* bh=, decoded */
    struct str signature;       /* b=, decoded */
    bool is_subdomain_identity; /* the domain of i= is below d= */
    bool has_limit;             /* l= */
    uint64_t limit;
    size_t part; /* of the body's hash, with a limit */
};

/* What is wrong with it already is in `result`; else it wants hashes of `bodies`. */
void mailauth_dkim_parse(struct arena *arena, const struct header_field *field,
                         enum mailauth_dkim_form form, int64_t now_ms,
                         struct mailauth_bodies *bodies, struct mailauth_dkim *out);

/* Sets `result`, unless it is known. */
void mailauth_dkim_verify(struct task *task, struct mailauth_lookup *lookup,
                          const struct mailauth_fields *fields,
                          const struct mailauth_bodies *bodies, struct mailauth_dkim *dkim);

#endif
