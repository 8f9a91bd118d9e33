/*
 * The service's side of the administrator's commands: takes a request as JSON, runs it against the
 * account database, and answers. What needs other roles goes through `struct admin_services`, which
 * the keeper's role fills in.
 *
 * A mailbox is made in steps: its row (`creating`) is committed; the store has the file made; then
 * alias, slots and the row (`active`) in one transaction; then the answer. A crash in between
 * leaves a row that is not `active`, and admin_sweep has such mailboxes removed, one by one.
 */
#ifndef ACCOUNT_ADMIN_ADMIN_H
#define ACCOUNT_ADMIN_ADMIN_H

#include "account/admin/command.h"
#include "account/bucket.h"
#include "account/database_rules.h"
#include "account/signing.h"
#include "base/log.h"
#include "dns/answer.h"
#include "wire/messages.h"

#include <jansson.h>

/* What an owner asked for, to be done in his mailbox's process. All borrowed. */
struct admin_job {
    struct id mailbox;
    const struct secret *key; /* the mailbox's */
    struct str kind;          /* the command's name */
    struct str json;          /* its arguments, without the password */
    const int *fds;
    size_t fd_count;
};

struct admin_services {
    /* Ask the store; admin_mailbox_created and admin_mailbox_removed tell what came of it.
     * ERR_BUSY: it cannot be asked now. */
    enum err (*create_mailbox)(void *owner, const struct id *mailbox);
    enum err (*remove_mailbox)(void *owner, const struct id *mailbox);
    /* How long backups of removed mailboxes stay, if the command does not say. NULL: not at all. */
    int64_t (*backups_keep_ms)(void *owner);
    /* Ends all sessions of a mailbox. */
    void (*expel)(void *owner, const struct id *mailbox);
    /* The same where another mailbox has taken its place: what is on its way to it is to be sent
     * again, so that it arrives there. */
    void (*retire)(void *owner, const struct id *mailbox);
    /* A quota changed: tell the mailboxes that are open. */
    void (*limits_changed)(void *owner);
    /* Passes a request on to the courier; admin_courier_answered has its answer. ERR_BUSY: the
     * courier is not there. */
    enum err (*ask_courier)(void *owner, uint64_t ticket, struct str json);
    /* The same with the archivist. */
    enum err (*ask_archivist)(void *owner, uint64_t ticket, struct str json);
    /* Nobody waits for the archivist's answer any more, which need not come. */
    void (*forget_archivist)(void *owner, uint64_t ticket);
    /* NULL, or why no backups can be copied to this place of an owner's. */
    const char *(*bucket_reason)(void *owner, struct task *task, struct str place);
    /* A mailbox's own bucket is another one, or none any more. */
    void (*bucket_changed)(void *owner, const struct id *mailbox);
    /* Asks the DNS; admin_dns_answered has the answer, always later. */
    void (*ask_dns)(void *owner, uint64_t ticket, struct str name, enum dns_type type);
    /* A new key to sign mail with, DER, and the record for the DNS. ERR_BUSY: it is being made now;
     * admin_key_made tells when it can be had. */
    enum err (*make_key)(void *owner, struct task *task, enum account_key_algorithm algorithm,
                         struct secret **out_key, struct buf *out_record);
    /* The key of a mailbox, if this is its password or recovery key; throttled as a login is.
     * ERR_DENIED, ERR_LIMIT: too many wrong ones. */
    enum err (*check_owner)(void *owner, struct task *task, int64_t mailbox_row,
                            const struct id *mailbox, struct str password,
                            struct secret **out_key);
    /* Begins a job; admin_job_replied tells how it goes on, always later. ERR_BUSY: not now. */
    enum err (*start_job)(void *owner, struct task *task, uint64_t ticket,
                          const struct admin_job *job);
    /* Nobody waits for it any more; admin_job_replied still tells its end. */
    void (*cancel_job)(void *owner, uint64_t ticket);
    /* These keys have a next one: the mailbox's file is to be re-encrypted under it. */
    void (*rekey)(void *owner, const struct id *mailbox, const struct secret *keys);
    /* How long the files of a mailbox that was given up are kept. */
    int64_t (*reset_keep_ms)(void *owner);
    /* NULL, or why this URL will never be called as things are configured (constant words). */
    const char *(*webhook_reason)(void *owner, struct str url);
    /* This host's name, as the configuration has it. */
    struct str (*hostname)(void *owner);
    /* Where mail goes out: the smarthost's name or address, in the task's arena, or empty: from this
     * host; and whether by IPv6, too. */
    struct str (*smarthost)(void *owner, struct task *task);
    bool (*uses_ipv6)(void *owner);
    /* Asks for a call of admin_work, when others had their turn. */
    void (*work_soon)(void *owner);
    /* Adds to the answer of `status`. */
    void (*describe)(void *owner, json_t *reply);
    /* `client` and `tag` as admin_request got them. not is_last: progress. */
    void (*reply)(void *owner, void *client, uint64_t tag, struct str json, bool is_last);
};

struct admin;

/* All borrowed. */
struct admin *admin_new(struct account_database *database, const struct account_signing *signing,
                        const struct account_buckets *buckets,
                        const struct admin_services *services, void *owner,
                        const struct log *log);
void admin_free(struct admin **admin);

/* One request; the reply comes through services, at once or later. Of `fds` it takes what it needs
 * (set to -1). */
void admin_request(struct admin *admin, struct str json, int *fds, size_t fd_count, int64_t now_ms,
                   void *client, uint64_t tag);
/* A client is gone: nobody to answer. What it began is finished or taken back. */
void admin_client_gone(struct admin *admin, const void *client);

/* The key of a mailbox that is being made; NULL when none of this id is. Borrowed. */
const struct secret *admin_new_key(const struct admin *admin, const struct id *mailbox);
void admin_mailbox_created(struct admin *admin, const struct id *mailbox, bool is_done,
                           int64_t now_ms);
void admin_mailbox_removed(struct admin *admin, const struct id *mailbox, bool is_done,
                           int64_t now_ms);
void admin_courier_answered(struct admin *admin, uint64_t ticket, struct str json);
/* The courier went: what waits for it fails. */
void admin_courier_gone(struct admin *admin);
/* `json`: a job's progress, or with is_last its result. `status` counts with is_last. */
void admin_job_replied(struct admin *admin, uint64_t ticket, enum wire_status status,
                       struct str json, bool is_last);
void admin_archivist_answered(struct admin *admin, uint64_t ticket, struct str json);
void admin_archivist_gone(struct admin *admin);
void admin_dns_answered(struct admin *admin, uint64_t ticket, const struct dns_answer *answer);
/* A key that make_key could not give at once is there, or (not is_done) will not be: those who wait for
 * one begin anew, or hear that it failed. */
void admin_key_made(struct admin *admin, bool is_done, int64_t now_ms);
/* Makes keys for one domain that has none; false: there is no such domain (any more). What make_key does
 * not have yet is for another call. */
bool admin_make_missing_key(struct admin *admin, int64_t now_ms);
/* The store came, or went: what waits for it fails when it went. */
void admin_store_changed(struct admin *admin, bool is_there, int64_t now_ms);
/* Requests that wait longer than `limit_ms` fail; call it now and then. */
void admin_expire(struct admin *admin, int64_t now_ms, int64_t limit_ms);
/* The next portion of what is done in portions. */
void admin_work(struct admin *admin, int64_t now_ms);
/* Removes what a crash or a removal left, as far as the store answers. */
void admin_sweep(struct admin *admin, int64_t now_ms);

#endif
