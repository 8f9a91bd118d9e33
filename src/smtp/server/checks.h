/*
 * What the DNS knows of a client and of its senders: the client's name (its PTR, confirmed by the
 * name's own addresses), the block lists that it is on, and whether a sender's domain exists and
 * takes mail. Asked while the client talks; a client waits for it for a bounded time only, and what
 * is not known by then speaks against nobody.
 */
#ifndef SMTP_SERVER_CHECKS_H
#define SMTP_SERVER_CHECKS_H

#include "dns/client.h"
#include "net/loop.h"
#include "smtp/server/session.h"

enum {
    SMTP_LISTS_MAX = 16,
    SMTP_CHECKS_WAIT_MS = 5000, /* of MAIL */
};

struct smtp_list {
    struct str zone;
    uint64_t score; /* in thousandths */
};

struct smtp_check_rules {
    struct smtp_list lists[SMTP_LISTS_MAX];
    size_t list_count;
    uint64_t refusal_score; /* from here on a client is refused; 0: none is */
    bool are_domains_checked; /* of senders */
};

struct smtp_checks;

/*
 * Asks about the client at once. NULL: `client` is no IP address. `on_known` comes after a
 * smtp_checks_sender that said false, once, from the loop. Strings are copied.
 */
struct smtp_checks *smtp_checks_new(struct net_loop *loop, struct dns_client *dns,
                                    const struct smtp_check_rules *rules, struct str client,
                                    net_callback on_known, void *owner);
void smtp_checks_free(struct smtp_checks **checks);

/* A sender in this domain, which may be empty: there is none to ask about. True: all is known. */
bool smtp_checks_sender(struct smtp_checks *checks, struct str domain);
/* What is known now. Views into `checks`. */
void smtp_checks_facts(const struct smtp_checks *checks, struct smtp_facts *out);

#endif
