/*
 * The courier with everything around it played by the test: smtp, keeper, store and examiner over
 * real channels, other servers by a table of what they say.
 */
#ifndef COURIER_COURIER_FIXTURE_H
#define COURIER_COURIER_FIXTURE_H

#include "courier/courier.h"

enum { FIXTURE_SEEN_MAX = 64 };

/* What another server was given. */
struct sent {
    char domain[64], via[64], sender[128], recipients[256], notify[64];
    struct buf text; /* fields and message */
    size_t count;
};

struct peer {
    struct wire_channel *far, *near; /* own */
};

struct fixture {
    struct net_loop *loop;
    struct log log;
    char folder[64];
    struct courier *courier;
    struct courier_options options;
    struct secret *root;
    struct peer smtp, keeper, store, examiner;
    uint64_t queue_status;
    size_t queue_replies;
    /* The world: what a server says of any address with this word in it. */
    enum courier_outcome outcome;
    const char *enhanced, *words;
    bool passes_dsn;
    struct sent sent[FIXTURE_SEEN_MAX];
    size_t sent_count;
    /* What mailboxes got. */
    struct {
        char recipient[128], folder[32], sender[128];
        struct buf text;
        uint64_t trace_len;
    } delivered[FIXTURE_SEEN_MAX];
    size_t delivered_count;
    uint64_t deliver_status;
    size_t asked_keeper, said;
    char admin[4096];
    struct net_timer *timer;
    const char *routes; /* of alias@ours.test */
};

/* What is queued: one message, its envelopes and a recipient. */
#define TRACE "Return-Path: <ann@ours.test>\r\nReceived: from x by y; z\r\nX-Spam: 1\r\n"
#define GIVEN                                                                                      \
    "From: ann@ours.test\r\nTo: bob@example.test\r\nMessage-ID: <1@ours.test>\r\n"                 \
    "Subject: Hello\r\n\r\nText\r\n"
#define SUBMISSION(recipients)                                                                     \
    "{\"id\":\"t1\",\"kind\":\"submission\",\"sender\":\"ann@ours.test\",\"recipients\":"          \
    "[" recipients "]}"
#define ROUTES(sender, more, recipients)                                                           \
    "{\"id\":\"t2\",\"kind\":\"routes\",\"sender\":\"" sender "\"" more                            \
    ",\"recipients\":[" recipients "]}"
#define BOB "{\"address\":\"bob@example.test\"}"

/* Lets everything that is due happen: until nothing was said for a while. */
void fixture_run(struct fixture *f);
/* Again, after a kill. */
void fixture_start(struct fixture *f);
/* As a kill does: without a word to anybody. */
void fixture_kill(struct fixture *f);
/* What smtp has taken: the fields of TRACE, and `given`. The answer is in queue_status. */
void fixture_queue(struct fixture *f, const char *envelope, const char *given, int64_t age_ms);
bool fixture_has(const struct buf *text, const char *part);
/* An administrator's command; its answer. */
const char *fixture_admin(struct fixture *f, const char *json);
/* How many recipients have not been reached. */
size_t fixture_waiting(struct fixture *f);

/* cmocka's setup and teardown. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

#endif
