/*
 * The SMTP service of one process: connections, each with its engine, and the questions they have
 * for other roles. Bytes and descriptors pass here; what they mean is the engine's.
 */
#ifndef SMTP_SERVER_SERVICE_H
#define SMTP_SERVER_SERVICE_H

#include "net/census.h"
#include "net/listener.h"
#include "net/tls.h"
#include "smtp/server/checks.h"
#include "smtp/server/session.h"
#include "wire/channel.h"

struct smtp_service_options {
    struct str hostname;         /* borrowed until the next configure */
    uint64_t message_size_max;
    uint64_t recipients_max;
    uint64_t hops_max;
    int64_t login_timeout_ms;
    uint64_t connections_max;
    uint64_t connections_per_address_max;
    struct net_census *census; /* borrowed for the server's life; all SMTP connections of the host */
    bool plain_login_on_loopback;
    bool loopback_is_foreign;
    struct smtp_check_rules checks; /* for clients that are not exempt; zones as `hostname` */
    /* Networks whose clients are exempt; NULL: none. Answers for an address as text. */
    bool (*is_exempt)(void *owner, struct str address);
    void *exempt_owner; /* borrowed likewise */
};

struct smtp_server;

/* `tls` and `log` are borrowed. */
struct smtp_server *smtp_server_new(struct net_loop *loop, const struct log *log,
                                    struct net_tls *tls);
void smtp_server_free(struct smtp_server **server);
/* For connections to come. Before the first one listens. */
void smtp_server_configure(struct smtp_server *server, const struct smtp_service_options *options);
/* Takes over `fd`. */
void smtp_server_listen(struct smtp_server *server, int fd, enum smtp_service service,
                        bool is_tls);

/* A peer's channel came: keeper, store, courier, resolver or one of the examiners. */
void smtp_server_add_peer(struct smtp_server *server, struct wire_channel *channel);
/* It went. What was asked of it is answered with UNAVAILABLE; what is asked from now on waits some
 * seconds for the next one. */
void smtp_server_remove_peer(struct smtp_server *server, struct wire_channel *channel);
void smtp_server_message(struct smtp_server *server, const struct wire_channel *channel,
                         const struct wire_message *message);

/* No new connections; idle clients are told, deliveries are finished for at most `grace_ms`; then
 * `on_done`. */
void smtp_server_stop(struct smtp_server *server, int64_t grace_ms, net_callback on_done,
                      void *owner);

#endif
