/*
 * Domain names as text: labels with dots between them, none at the end, in lower case (ASCII). A
 * name as it travels in a message (RFC 1035 §3.1) is dns/message.h's.
 */
#ifndef DNS_NAME_H
#define DNS_NAME_H

#include "base/str.h"
#include "dns/answer.h"

struct dns_name {
    char text[DNS_NAME_MAX + 1]; /* and a NUL */
    size_t len;
};

/*
 * False for what is no name: a label of 0 or more than 63 bytes, more than 253 in all. One dot at
 * the end is dropped; "" and "." are the root. Any byte but a dot may stand in a label, as in the
 * DNS.
 */
bool dns_name_set(struct dns_name *name, struct str text);
struct str dns_name_str(const struct dns_name *name);

#endif
