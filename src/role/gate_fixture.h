/*
 * The gate's process as it is, sandbox and all. The test is its master, its keeper and its store,
 * over the real channels, and its clients, over TCP.
 */
#ifndef ROLE_GATE_FIXTURE_H
#define ROLE_GATE_FIXTURE_H

#include "role/trial.h"
#include "wire/channel.h"

#include <netinet/in.h>

#define FIXTURE_PASS "the keeper's: forty octets, as they came"
#define FIXTURE_PLAIN "plain_login_on_loopback = yes\n"

struct fixture {
    struct role_trial process;
    int keeper, store; /* our ends */
    struct sockaddr_in address, pop3_address;
    uint64_t tag; /* of the client that logged in last, on the wire */
    struct id mailbox;
    struct task task;
    struct buf storage; /* of the message received last */
    struct wire_message message;
};

struct wire_message *fixture_hear(struct fixture *f, int fd, enum wire_role self,
                                  enum wire_type type);
/* A gate with these settings, waited for until it is ready. */
void fixture_start(struct fixture *f, const char *settings);
/* It was told to stop. */
void fixture_await_end(struct fixture *f);
/* Asks it to stop, and sees that it does. */
void fixture_stop(struct fixture *f);
/* A client of that listener; of IMAP's. */
int fixture_client_at(const struct sockaddr_in *address);
int fixture_client(struct fixture *f);
void fixture_say(int fd, const char *words);
/* Reads until `words` came, a byte at a time so that nothing behind them is lost. */
void fixture_expect(int fd, const char *words);
/* The other end closes; closes this one. */
void fixture_expect_end(int fd);

/* A client of IMAP that is logged in. */
struct fixture_session {
    int client; /* its end */
    int stream; /* the mailbox process's end */
    struct id id;
};

struct fixture_session fixture_log_in(struct fixture *f);
/* Store and keeper hear that the session is over. */
void fixture_hear_close(struct fixture *f, const struct id *session);

/*
 * cmocka's group setup; setup and teardown of a test whose *state is a gate with FIXTURE_PLAIN,
 * which is stopped behind it unless the test did.
 */
int fixture_set_up(void **state);
int fixture_start_plain(void **state);
int fixture_stop_plain(void **state);
#define FIXTURE_TEST_PLAIN(function)                                                               \
    cmocka_unit_test_setup_teardown(function, fixture_start_plain, fixture_stop_plain)

#endif
