/*
 * The keeper's process as it is, sandbox and all. The test is its master, its administrator, and
 * every process that it talks to.
 */
#ifndef ROLE_KEEPER_FIXTURE_H
#define ROLE_KEEPER_FIXTURE_H

#include "role/trial.h"
#include "secret/pass.h"
#include "wire/channel.h"

#include <jansson.h>

#define FIXTURE_HOST_KEY "0123456789abcdef0123456789abcdef"

enum { GATE, STORE, NURSERY, SEALER, SMTP, COURIER, RESOLVER, FIXTURE_PEERS };

struct fixture {
    char folder[64], socket[96];
    struct role_trial process;
    int admin;
    int peers[FIXTURE_PEERS];
    struct buf storage;
    struct task task;
    struct wire_message message; /* the last received */
    char password[40];
    struct id mailbox;
    unsigned char pass[PASS_BYTES]; /* of the last login */
    struct id slot;                 /* likewise */
};

/* The next message there, which must be of this type. */
const union wire_body *fixture_receive(struct fixture *f, int fd, enum wire_role self,
                                       enum wire_type type);
/* A new process of that role. */
void fixture_connect_peer(struct fixture *f, size_t peer);
/* With its peers and the administrator connected. */
void fixture_start(struct fixture *f);
/* Killed, unless it is orderly. */
void fixture_stop(struct fixture *f, bool is_orderly);
void fixture_connect_admin(struct fixture *f);
/* JSON with ' for \". */
void fixture_ask(struct fixture *f, const char *json);
/* The answer's status must be `status`; gives the answer. */
json_t *fixture_answer(struct fixture *f, const char *status);
void fixture_ask_ok(struct fixture *f, const char *json);
/* A mailbox process is there, as the nursery tells it; gives its channel. */
int fixture_connect_mailbox(struct fixture *f, const struct wire_mailbox_started *started);
/* A mailbox process starts; gives its channel, on which the key came (or did not). */
int fixture_start_mailbox(struct fixture *f, const struct id *id, bool is_new,
                          enum wire_status expected);
void fixture_tell_usage(int channel, const struct id *id, uint64_t bytes, uint64_t counter);

/* cmocka's setup and teardown: a domain demo.test with the alias you@demo.test. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
void fixture_init_libraries(void);

#endif
