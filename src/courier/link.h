/*
 * One connection to a mail host: connecting, TLS, the engine of smtp/client, and time. It carries
 * mail after mail for whoever owns it at the time.
 */
#ifndef COURIER_LINK_H
#define COURIER_LINK_H

#include "net/connect.h"
#include "net/tls_client.h"
#include "smtp/client/session.h"

struct courier_link;
struct courier_links; /* all links of a process, those that say good-bye included */

struct courier_links *courier_links_new(struct net_loop *loop, struct net_tls_client *tls);
/* Closes what is left; every link must have been freed. */
void courier_links_free(struct courier_links **links);

struct courier_link_options {
    const struct ip_address *addresses;
    size_t address_count;
    uint16_t port;
    int64_t connect_timeout_ms;
    struct net_tls_peer peer; /* used when TLS starts: copied */
    bool is_implicit_tls;
    struct smtp_client_options client; /* is_secure is set here */
};

enum courier_link_state {
    COURIER_LINK_BUSY,  /* it connects, or a mail is under way */
    COURIER_LINK_READY, /* for a mail */
    COURIER_LINK_ENDED,
};

enum courier_link_trouble {
    COURIER_LINK_UNREACHABLE, /* no address answered */
    COURIER_LINK_TLS_FAILED,  /* the handshake did, or a certificate is not what it must be */
    COURIER_LINK_SESSION,     /* see smtp_client_trouble */
};

/* `on_ready`: it is READY: for the first time, or a mail is done. `on_ended`: it is ENDED (a mail
 * that was under way has its verdicts). Either may send, hand over or free the link. */
struct courier_link_events {
    void (*on_ready)(void *owner, struct courier_link *link);
    void (*on_ended)(void *owner, struct courier_link *link);
};

/* Always tells later, from the loop. `events` and what `client` borrows: for the link's life. */
struct courier_link *courier_link_new(struct courier_links *links,
                                      const struct courier_link_options *options,
                                      const struct courier_link_events *events, void *owner);
/* READY: says QUIT in the background. Sets the pointer to NULL. */
void courier_link_free(struct courier_link **link);
/* Hands it to another owner; both events are his from now on. */
void courier_link_own(struct courier_link *link, const struct courier_link_events *events,
                      void *owner);

enum courier_link_state courier_link_state(const struct courier_link *link);
/* ENDED: what ended it. */
enum courier_link_trouble courier_link_trouble(const struct courier_link *link);
/* Why it ended: of the engine, or in its form what happened before there was one. */
struct smtp_client_trouble courier_link_words(const struct courier_link *link);
/* While READY; as smtp_client_send. on_ready or on_ended follows, later. */
void courier_link_send(struct courier_link *link, const struct smtp_client_mail *mail);
/* For the verdicts and what EHLO said. NULL: it was never connected. */
const struct smtp_client *courier_link_client(const struct courier_link *link);
/* Which of the addresses it is connected to. */
size_t courier_link_address(const struct courier_link *link);
/* "TLSv1.3, …"; empty: in clear. */
struct str courier_link_tls_words(const struct courier_link *link);

#endif
