/*
 * What every role's process has in common: the channel to master, the channels to its peers, its
 * configuration, its log, the sandbox; and the order in which they come up.
 *
 *   forked by master ─> role_run: receives CONFIGURE, LISTENER, PEER, START over descriptor 3
 *     ─> role->setup (open files, read keys) ─> sandbox ─> role->start ─> READY ─> the loop
 *
 * A PEER that comes later replaces a channel whose other end was restarted.
 */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H

#include "base/log.h"
#include "net/census.h"
#include "role/config.h"
#include "role/sandbox.h"
#include "wire/channel.h"

enum { ROLE_PEERS_MAX = 128 };

struct role_process; /* this process; one */

struct role_listener {
    struct str name; /* "imap", "imaps", "pop3", "pop3s", "mx", "submission", "submissions", "admin" */
    bool is_tls;     /* implicit TLS */
    int fd;          /* taken by the role (set to -1), else closed at exit */
};

/* What a role is: one constant of this in role/<name>.c, listed in role/roles.c. */
struct role {
    enum wire_role kind;
    /* Before the sandbox: read what the sandbox will hide. NULL: nothing. */
    enum err (*setup)(struct role_process *process, struct task *task);
    /* What the process may still do afterwards. */
    void (*sandbox)(struct role_process *process, struct sandbox_rules *rules);
    /* Inside it: accept, connect, begin. */
    enum err (*start)(struct role_process *process, struct task *task);
    /* A peer's channel is there, also again after the peer was restarted. NULL: no interest. */
    void (*on_peer)(struct role_process *process, struct wire_channel *channel);
    void (*on_message)(struct role_process *process, struct wire_channel *channel,
                       struct wire_message *message);
    void (*on_peer_lost)(struct role_process *process, struct wire_channel *channel);
    /* New configuration or certificates (SIGHUP). NULL: nothing to do. */
    void (*on_reload)(struct role_process *process);
    /* Orderly end: finish what is acknowledged, then net_loop_stop. NULL: stops at once. */
    void (*on_stop)(struct role_process *process, int64_t grace_ms);
    bool is_per_core; /* as many processes as the configuration's `processes` says */
    /* How many otherwise; `cores` there are. NULL: one. */
    size_t (*process_count)(const struct config *config, size_t cores);
    /* Foreign bytes may end it at any time: it is started again at once, however often. */
    bool is_expendable;
};

/* Borrowed, for the process's life. A reload changes what the configuration says; texts that were
 * taken from it before stay. */
struct net_loop *role_loop(struct role_process *process);
const struct log *role_log(const struct role_process *process);
const struct config *role_config(const struct role_process *process);
/* The role's own state, set in setup. */
void role_set_state(struct role_process *process, void *state);
void *role_state(const struct role_process *process);
/* The channel to a peer role; NULL while it is down. With several processes of that role, the one
 * with this index. */
struct wire_channel *role_peer(struct role_process *process, enum wire_role peer, unsigned index);
size_t role_listener_count(const struct role_process *process);
struct role_listener *role_listener_at(struct role_process *process, size_t index);
/* Which one of its role it is, from 0. */
unsigned role_index(const struct role_process *process);
/* The connections of all processes of this role; before the sandbox, for a role that is_per_core. */
MUST_CHECK enum err role_census(const struct role_process *process, struct task *task,
                                struct net_census **out);
/* Contents that came with CONFIGURE; views into guarded memory, empty where not given. */
struct str role_certificate_pem(const struct role_process *process);
struct str role_key_pem(const struct role_process *process);
struct str role_host_key(const struct role_process *process); /* keeper only */
/* Of a role that has_trust (role/roles.h): PEM, empty: nobody; a password, empty: none. Both are new
 * with each reload. */
struct str role_trust_pem(const struct role_process *process);
struct str role_password(const struct role_process *process);

/*
 * For the sandbox's test: this process becomes the role up to the point where it would confine
 * itself, without master; gives the rules that it would enter. Once in a process.
 */
struct role_rehearsal {
    struct str config, certificate, key, host_key; /* texts */
};
MUST_CHECK enum err role_rehearse(const struct role *role, struct task *task,
                                  const struct role_rehearsal *given,
                                  struct sandbox_rules *out_rules);

/* The process's main function after the fork: never returns. */
_Noreturn void role_run(const struct role *role, int master_fd, unsigned index);

#endif
