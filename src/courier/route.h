/* Where a domain's mail is taken, before the DNS is asked: literals, routes, the smarthost. */
#ifndef COURIER_ROUTE_H
#define COURIER_ROUTE_H

#include "base/task.h"

#include <stdbool.h>

enum courier_target_kind {
    COURIER_TARGET_DOMAIN,  /* by MX */
    COURIER_TARGET_LITERAL, /* "[192.0.2.1]", "[IPv6:2001:db8::1]": an address */
    COURIER_TARGET_HOST,    /* host and port */
};

struct courier_target {
    enum courier_target_kind kind;
    struct str host; /* A-labels, lower case; an address as text without brackets */
    uint16_t port;   /* of HOST */
    bool is_trusted; /* the configuration says it, not a user: any address will do */
    bool is_smarthost;
};

/* "host:port", "[2001:db8::1]:port", "192.0.2.1:port". ERR_INVALID. In the arena. */
MUST_CHECK enum err courier_host_parse(struct task *task, struct arena *arena, struct str text,
                                       struct courier_target *out);
/* "example.com host:port" and "*.example.com host:port": the parts. ERR_INVALID. */
MUST_CHECK enum err courier_route_split(struct task *task, struct str text, struct str *out_domain,
                                        struct str *out_host);
/* Is `domain` what `pattern` means: itself, "*.example.com" (all below), "*" (all)? */
bool courier_domain_matches(struct str pattern, struct str domain);
/* A-labels, lower case. ERR_INVALID: no domain name. In the arena. */
MUST_CHECK enum err courier_domain_normal(struct task *task, struct arena *arena, struct str domain,
                                          struct str *out);
/* "[192.0.2.1]" or "[IPv6:…]": the address as text. False: no literal of an IP address. */
bool courier_literal_parse(struct str text, struct str *out_address);

#endif
