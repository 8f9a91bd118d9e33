/* The keeper's process: its state, shared by role/keeper.c and the keeper_*.c beside it. */
#ifndef ROLE_KEEPER_H
#define ROLE_KEEPER_H

#include "account/admin/admin.h"
#include "account/expelled.h"
#include "account/login.h"
#include "account/purge.h"
#include "account/router.h"
#include "account/sessions.h"
#include "dns/client.h"
#include "net/listener.h"
#include "role/role.h"
#include "secret/courier.h"

struct keeper {
    struct role_process *process;
    const struct log *log;
    struct account_database *database; /* own */
    struct account_login *login;       /* own */
    struct account_sessions *sessions; /* own */
    struct account_expelled *expelled; /* own */
    struct account_router *router;     /* own */
    struct account_signing *signing;   /* own */
    struct account_buckets *buckets;   /* own */
    struct net_timer *bucket_timer;    /* own; tells the archivist of them */
    int64_t bucket_told;               /* up to this row */
    struct admin *admin;               /* own */
    struct dns_client *dns;            /* own */
    struct keeper_question *questions; /* own; to the DNS, for administrators */
    struct net_timer *keys;            /* own; makes keys for domains that have none yet */
    struct keeper_key_maker *key_maker; /* own; the child that makes a key; NULL: none does */
    struct secret *rsa_key;            /* own; made, and nobody's yet; NULL: none */
    struct secret *courier_key, *srs_key; /* own; secret/courier.h */
    struct account_return back;        /* rewritten senders, for the router */
    struct account_purge *purge;       /* own; backups of removed mailboxes */
    struct net_timer *purge_timer;     /* own */
    struct secret *drop_root;          /* own */
    char *folder;                      /* own; <data>/account */
    struct net_timer *tick; /* own; commits bookkeeping, tells limits, expires requests */
    bool is_tick_due;
    struct keeper_backup *backup; /* own; NULL: none are made */
    struct net_timer *work; /* own; the next portion of an administrator's long command */
    struct net_timer *sweep; /* own; removes what was kept long enough */
    bool has_warned_of_swap;
    struct keeper_mailbox *mailboxes;  /* own; channels to mailbox processes */
    size_t mailbox_count;
    struct keeper_job *jobs;           /* own; of owners, in their mailboxes' processes */
    size_t job_count;
    int64_t rekey_ended_ms, rekey_pause_ms; /* the last re-encryption; after failures a pause */
    struct keeper_client *clients;     /* own; administrators' connections */
    size_t client_count;
    struct net_listener *listeners[CONFIG_ADDRESSES_MAX]; /* own */
    size_t listener_count;
    bool are_limits_stale; /* some usage changed: those with a limit must hear of theirs */
    bool are_quotas_new;   /* a quota changed: all of them */
};

/* A wake-up in half a second, unless one is due already. */
void keeper_tick_soon(struct keeper *keeper);

/* keeper_mailbox.c: a new mailbox process, and the bookkeeping that it reports. */
void keeper_mailbox_started(struct keeper *keeper, struct wire_message *message);
void keeper_mailbox_usage(struct keeper *keeper, const struct wire_mailbox_usage *usage);
/* Tells open mailboxes how much they may hold, where that changed. */
void keeper_mailbox_tell_limits(struct keeper *keeper);
void keeper_mailbox_free_all(struct keeper *keeper);

/* keeper_mail.c: what smtp and courier ask about addresses and keys. */
void keeper_mail_open(struct keeper *keeper, const struct secret *host_key);
void keeper_mail_reload(struct keeper *keeper);
void keeper_mail_close(struct keeper *keeper);
/* RECIPIENT, SENDER, SIGNING_KEYS; others are not for it. */
void keeper_mail_message(struct keeper *keeper, struct wire_channel *channel, struct task *task,
                         const struct wire_message *message);

/* keeper_admin.c: the listener for administrators, and what their commands ask of other roles. */
void keeper_admin_start(struct keeper *keeper);
void keeper_admin_stop(struct keeper *keeper);
/* All sessions of a mailbox end. */
void keeper_expel(void *keeper, const struct id *mailbox);
/* The same, and mail that somebody has for it already is not taken for it any more. */
void keeper_retire(void *keeper, const struct id *mailbox);

/* keeper_job.c: what an owner has done in his mailbox's process. */
enum err keeper_check_owner(void *keeper, struct task *task, int64_t mailbox_row,
                            const struct id *mailbox, struct str password,
                            struct secret **out_key);
enum err keeper_start_job(void *keeper, struct task *task, uint64_t ticket,
                          const struct admin_job *job);
void keeper_cancel_job(void *keeper, uint64_t ticket);
/* A password's owner is there: re-encrypts the mailbox where its keys have a next one, unless that is
 * under way, or failed a moment ago. */
void keeper_rekey(void *keeper, const struct id *mailbox, const struct secret *keys);
void keeper_job_replied(struct keeper *keeper, const struct wire_job_reply *body);
/* The store is gone, and with it all of them. */
void keeper_job_end_all(struct keeper *keeper);

/* keeper_backup.c: the account database's backup. */
void keeper_backup_start(struct keeper *keeper);
void keeper_backup_stop(struct keeper *keeper);
/* A BACKUP_PUT_REPLY. */
void keeper_backup_answered(struct keeper *keeper, const struct wire_message *message);
void keeper_backup_archivist_gone(struct keeper *keeper);
/* keeper_bucket.c: owners' own buckets. */
void keeper_bucket_start(struct keeper *keeper);
void keeper_bucket_stop(struct keeper *keeper);
/* The archivist is a new one. */
void keeper_bucket_tell_all(struct keeper *keeper);
void keeper_bucket_changed(void *keeper, const struct id *mailbox);
/* NULL, or why it can be none. */
const char *keeper_bucket_reason(void *keeper, struct task *task, struct str place);
/* keeper_purge.c: takes the backups of removed mailboxes away. BACKUP_LIST_REPLY, BACKUP_DELETE_REPLY;
 * others' answers are not for it. */
void keeper_purge_start(struct keeper *keeper);
void keeper_purge_stop(struct keeper *keeper);
void keeper_purge_message(struct keeper *keeper, const struct wire_message *message);

/* keeper_key.c: keys to sign mail with. As admin_services has it: ERR_BUSY with an RSA key that is
 * being made. */
enum err keeper_make_key(void *keeper, struct task *task, enum account_key_algorithm algorithm,
                         struct secret **out_key, struct buf *out_record);
void keeper_key_stop(struct keeper *keeper);

/* keeper_ask.c: what commands ask of courier and resolver, and keys for domains without any. */
enum err keeper_ask_courier(void *keeper, uint64_t ticket, struct str json);
enum err keeper_ask_archivist(void *keeper, uint64_t ticket, struct str json);
void keeper_forget_archivist(void *keeper, uint64_t ticket);
void keeper_ask_dns(void *keeper, uint64_t ticket, struct str name, enum dns_type type);
/* Looks for domains without keys, from the loop. */
void keeper_keys_soon(struct keeper *keeper);
struct str keeper_smarthost(void *keeper, struct task *task);
const char *keeper_webhook_reason(void *keeper, struct str url);
bool keeper_uses_ipv6(void *keeper);
void keeper_ask_start(struct keeper *keeper);
void keeper_ask_stop(struct keeper *keeper);

#endif
