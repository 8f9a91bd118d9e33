/*
 * What other POP3 servers make unique-ids of (RFC 1939 §7), so that their clients take nothing a
 * second time here. Most make it of UID and UIDVALIDITY; the template says how, as Dovecot's
 * pop3_uidl_format does: %u and %v in decimal, %08Xu with zeros in front in (lower-case) hexadecimal.
 */
#ifndef TRANSFER_UIDL_H
#define TRANSFER_UIDL_H

#include "base/arena.h"
#include "base/str.h"

#include <stdint.h>

/* A server's, by its name ("dovecot", "cyrus", "sealpost"); a template itself, if it is one; empty: neither. */
struct str transfer_uidl_template(struct str text);
/* Of what an IMAP server says of itself in its greeting; empty: not known. */
struct str transfer_uidl_template_of_greeting(struct str greeting);
/* In the arena; empty where a number that it takes is 0, or it were none. */
struct str transfer_uidl_make(struct arena *arena, struct str template, uint32_t uid,
                              uint32_t uidvalidity);

#endif
