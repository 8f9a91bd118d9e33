/*
 * Questions to the resolver from another role's event loop. What is asked while the resolver is
 * away, or not answered in time, is answered with DNS_FAILED.
 */
#ifndef DNS_CLIENT_H
#define DNS_CLIENT_H

#include "dns/answer.h"
#include "dns/source.h"
#include "net/loop.h"
#include "wire/channel.h"

enum { DNS_CLIENT_TIMEOUT_MS = 15 * 1000 };

struct dns_client;
struct dns_query;

/* `task` is for the answer's memory and lives until the call returns. The query is freed behind it.
 */
typedef void (*dns_on_answer)(void *owner, struct task *task, const struct dns_answer *answer);

struct dns_client *dns_client_new(struct net_loop *loop);
/* Open questions are dropped without an answer. */
void dns_client_free(struct dns_client **client);
/* The resolver's channel came, or went (NULL). Borrowed. */
void dns_client_set_peer(struct dns_client *client, struct wire_channel *channel);
/* A DNS_ANSWER for this role. */
void dns_client_message(struct dns_client *client, const struct wire_message *message);

/* Always answers later, from the loop. is_list: ask the resolver that is for block lists. */
struct dns_query *dns_client_ask(struct dns_client *client, struct str name, enum dns_type type,
                                 bool is_list, dns_on_answer on_answer, void *owner);
/* The answer is not wanted any more; sets the caller's pointer to NULL. */
void dns_query_cancel(struct dns_query **query);

/*
 * For the examiner, which does one thing at a time: asks and waits, at most until `deadline_ms`
 * (clock_monotonic_ms). Meanwhile only the resolver's channel is served; its on_message must end in
 * dns_client_message as ever. What is not known by then is DNS_FAILED. The answer's texts live in
 * the task's arena.
 */
void dns_client_ask_blocking(struct dns_client *client, struct task *task, struct str name,
                             enum dns_type type, enum dns_service service, int64_t deadline_ms,
                             struct dns_answer *out);

enum { DNS_EXPECTED_MAX = 12 };

/* A question that was sent before somebody waits for its answer. */
struct dns_expected {
    struct task *task; /* borrowed: where the answer goes */
    struct str name;
    enum dns_type type;
    struct dns_query *query; /* own; NULL: answered */
    struct dns_answer answer;
};

/* The same as a source for the checks of one message: all of them share one deadline. */
struct dns_waiting {
    struct dns_client *client; /* borrowed */
    int64_t deadline_ms;
    enum dns_service service;
    struct dns_expected expected[DNS_EXPECTED_MAX];
    size_t expected_count;
};
struct dns_source dns_waiting_source(struct dns_waiting *waiting);
/* What was expected and never asked is dropped. */
void dns_waiting_done(struct dns_waiting *waiting);

#endif
