/*
 * The gate's process as it is, sandbox and all. The test is its master, its keeper and its store,
 * over the real channels, and its clients, over TCP.
 */
#ifndef ROLE_GATE_FIXTURE_H
#define ROLE_GATE_FIXTURE_H

#include "wire/channel.h"

#include <netinet/in.h>
#include <sys/types.h>

#define FIXTURE_PASS "the keeper's: forty octets, as they came"
#define FIXTURE_PLAIN "plain_login_on_loopback = yes\n"

struct fixture {
    pid_t pid;
    int master, keeper, store; /* our ends */
    struct sockaddr_in address, pop3_address;
    uint64_t tag; /* of the client that logged in last, on the wire */
    struct id mailbox;
    struct task task;
    struct buf storage; /* of the message received last */
    struct wire_message message;
};

void fixture_tell(int fd, enum wire_type type, uint64_t tag, const void *body, const int *fds,
                  size_t fd_count);
struct wire_message *fixture_hear(struct fixture *f, int fd, enum wire_role self,
                                  enum wire_type type);
/* A process of that role is there; its end. */
int fixture_give_peer(struct fixture *f, enum wire_role role);
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
/* Logs a client in; gives the mailbox process's end of its stream. */
int fixture_log_in(struct fixture *f, int client, struct id *out_session);

/* cmocka's group setup. */
int fixture_set_up(void **state);

#endif
