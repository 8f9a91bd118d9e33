/*
 * Domains as identities: one spelling for each, and which organization one belongs to, by the
 * Public Suffix List (RFC 7489 §3.2).
 */
#ifndef MAILAUTH_DOMAIN_H
#define MAILAUTH_DOMAIN_H

#include "base/arena.h"
#include "base/str.h"

#include <stdbool.h>

enum { MAILAUTH_DOMAIN_MAX = 253, MAILAUTH_LABEL_MAX = 63 };

/* Lower case, A-labels, no dot at the end; in the arena. False: not a domain name. */
bool mailauth_domain_normal(struct arena *arena, struct str text, struct str *out);

/* Both normal. Is `domain` the other one or below it? */
bool mailauth_domain_is_within(struct str domain, struct str parent);

/* The organizational domain of a normal one: a view of its end. What is a public suffix itself, or
 * of a single label, is its own. */
struct str mailauth_domain_organization(struct str domain);

#endif
