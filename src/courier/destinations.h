/*
 * Where mail goes, as far as it outlives one attempt: connections that wait for another message,
 * how many attempts run to one destination and at all, hosts that do not answer, what a domain's
 * DNS and its MTA-STS policy (RFC 8461) said.
 */
#ifndef COURIER_DESTINATIONS_H
#define COURIER_DESTINATIONS_H

#include "base/log.h"
#include "dns/client.h"
#include "net/loop.h"
#include "secret/secret.h"
#include "smtp/client/session.h"

struct courier_destinations;
struct net_http;

/* What the configuration says; copied. */
struct courier_settings {
    struct str hostname; /* of EHLO, and to know our own name among MX hosts */
    const struct str
        *own_addresses; /* ours, as text: an MX that leads to one is ourselves; or NULL */
    size_t own_address_count;
    uint16_t port;             /* of MX hosts; 25 */
    struct str smarthost;      /* "host:port" for all that has no route of its own; or empty */
    struct str smarthost_user; /* AUTH PLAIN there, always over TLS with a checked certificate */
    const struct secret *smarthost_password; /* copied; NULL: no login */
    const struct str *routes; /* "example.com host:port" each; "*.example.com" for what is below */
    size_t route_count;
    const struct str *tls_required; /* domains that mail goes to over checked TLS only; "*": all */
    size_t tls_required_count;
    const struct str *allow; /* networks ("127.0.0.0/8") to go to though they are special */
    size_t allow_count;
    struct str trust_pem; /* the certificates that servers' must lead back to; empty: none */
    bool without_ipv6, without_ipv4;
    uint64_t connections_max;             /* at all; 0: 100 */
    uint64_t connections_per_destination; /* 0: 5 */
    uint64_t messages_per_connection;     /* 0: 100 */
    uint64_t messages_per_minute;         /* to one destination; 0: no limit */
    int64_t idle_ms;            /* a connection waits so long for another message; 0: 5 s */
    int64_t dead_ms;            /* a host that did not answer is left alone so long, and
                                 * twice as long each time, up to 15 times; 0: 1 min */
    int64_t connect_timeout_ms; /* 0: 30 s */
    struct smtp_client_timeouts timeouts; /* a member 0: that of RFC 5321 §4.5.3.2 */
};

/*
 * Keeps MTA-STS policies over a restart, so that nobody gets around one by waiting for it (RFC 8461
 * §3.3). `save` is called when one is new or changed (an empty `text`: forget it); what was saved
 * is given back with courier_destinations_policy before the first attempt.
 */
struct courier_policy_store {
    void *owner;
    void (*save)(void *owner, struct str domain, struct str id, struct str text,
                 int64_t expires_ms);
};

/*
 * `dns`, `http`, `log` are borrowed; `http` NULL: no MTA-STS policy is fetched; `store` (copied) may be
 * NULL. ERR_INVALID: a setting is wrong, in the task's words.
 */
MUST_CHECK enum err courier_destinations_new(struct task *task, struct net_loop *loop,
                                             struct dns_client *dns, struct net_http *http,
                                             const struct courier_settings *settings,
                                             const struct courier_policy_store *store,
                                             const struct log *log,
                                             struct courier_destinations **out);
/*
 * Other settings, for attempts that begin from now on. ERR_INVALID: the old ones stay.
 */
MUST_CHECK enum err courier_destinations_configure(struct courier_destinations *destinations,
                                                   struct task *task,
                                                   const struct courier_settings *settings);
/* Connections are closed; attempts that are under way must have been cancelled. */
void courier_destinations_free(struct courier_destinations **destinations);

/* A policy saved earlier; one that has expired or does not read is let go. */
void courier_destinations_policy(struct courier_destinations *destinations, struct str domain,
                                 struct str id, struct str text, int64_t expires_ms,
                                 int64_t now_ms);

/* courier_sts_look, for an operator. NULL: nothing can be fetched. */
struct courier_sts_question;
struct courier_sts_policy;
struct courier_sts_question *
courier_destinations_look(struct courier_destinations *destinations, struct str domain,
                          void (*on_look)(void *owner, enum err err,
                                          const struct courier_sts_policy *policy, const char *why),
                          void *owner);

/* Forgets which hosts did not answer: an operator wants it tried now. */
void courier_destinations_revive(struct courier_destinations *destinations);

#endif
