/*
 * Macro strings of SPF records (RFC 7208 §7): "%{d}", "%{l1r-}", …
 */
#ifndef MAILAUTH_SPF_MACRO_H
#define MAILAUTH_SPF_MACRO_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/* No value below is longer; what expands to more than the second is not used. */
enum { SPF_VALUE_MAX = 1024, SPF_EXPANSION_MAX = 64 * 1024 };

/* What the letters stand for (§7.2). */
struct spf_macros {
    struct str local;         /* l */
    struct str sender_domain; /* o; s is both of them */
    struct str domain;        /* d: of the record that is evaluated */
    struct str helo;          /* h */
    struct str address;       /* c: the client's as people write it */
    struct str labels;        /* i: the same as labels of a name */
    struct str family;        /* v: "in-addr" or "ip6" */
    struct str receiver;      /* r */
    int64_t now_s;            /* t */
    /* p: a confirmed name of the client, which costs questions to the DNS. */
    struct str (*confirmed_name)(void *owner);
    void *owner;
    struct str *parts; /* room for SPF_VALUE_MAX + 1 */
};

/* macro-string, from start to end? c, r and t are for explanations only. */
bool spf_macro_is_valid(struct str text, bool is_explanation);
/* domain-spec: a macro string that ends in a macro, or in a dot and a top label (§7.1)? */
bool spf_macro_is_domain(struct str text);

/* Appends the expansion of a valid text. ERR_LIMIT. */
MUST_CHECK enum err spf_macro_expand(const struct spf_macros *macros, struct str text,
                                     struct buf *out);

#endif
