/*
 * Mail addresses and paths (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3 for UTF-8 in them).
 *
 * Only the grammar is here. Whose address it is, and which forms mean the same mailbox (case, IDN,
 * +tags), the keeper decides; it gets the canonical text made here.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>

enum {
    SMTP_LOCAL_PART_MAX = 64,  /* RFC 5321 §4.5.3.1.1 */
    SMTP_DOMAIN_MAX = 255,     /* §4.5.3.1.2 */
    SMTP_PATH_MAX = 256,       /* §4.5.3.1.3, with the brackets */
    SMTP_LITERAL_MAX = 255,
};

struct smtp_address {
    struct str text;      /* local part @ domain, canonical; empty for the null path "<>" */
    struct str local;     /* canonical local part: quoted only where it must be */
    struct str domain;    /* as written; empty for <Postmaster> alone */
    bool is_null;         /* "<>" */
    bool is_postmaster;   /* "<Postmaster>" without a domain (§4.1.1.3) */
    bool is_literal;      /* the domain is an address literal: [192.0.2.1] */
    bool has_utf8;        /* needs SMTPUTF8 */
};

enum smtp_address_problem {
    SMTP_ADDRESS_OK,
    SMTP_ADDRESS_SYNTAX,   /* not an address */
    SMTP_ADDRESS_TOO_LONG, /* a part passes the limits above */
    SMTP_ADDRESS_UTF8,     /* bytes over 127 that are not UTF-8 */
};

/*
 * The whole text as a Mailbox: local-part "@" (domain / address literal). Results are in the arena;
 * nothing of `out` is written unless OK.
 */
enum smtp_address_problem smtp_address_parse(struct arena *arena, struct str text,
                                             struct smtp_address *out);

/*
 * A path at the front of *rest, which is moved behind it: "<" [ source route ":" ] Mailbox ">".
 * A source route is read over and dropped (§4.1.1.3, appendix C). `is_reverse` allows "<>" (MAIL),
 * without it "<Postmaster>" is allowed (RCPT).
 */
enum smtp_address_problem smtp_path_parse(struct arena *arena, struct str *rest, bool is_reverse,
                                          struct smtp_address *out);

/* A domain name's syntax, UTF-8 labels included; underscores are let pass, for they exist. */
bool smtp_domain_is_valid(struct str domain);

#endif
