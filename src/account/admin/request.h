/* A request while it is worked on, for admin.c and the handlers. */
#ifndef ACCOUNT_ADMIN_REQUEST_H
#define ACCOUNT_ADMIN_REQUEST_H

#include "account/address.h"
#include "account/admin/admin.h"
#include "account/slot.h"

struct admin {
    struct account_database *database;       /* borrowed */
    const struct account_signing *signing;   /* borrowed */
    const struct account_buckets *buckets;   /* borrowed */
    const struct admin_services *services;   /* borrowed */
    void *owner;                             /* of the services */
    const struct log *log;                   /* borrowed */
    struct admin_request *waiting;           /* own; those that wait for the store */
    struct admin_request *working;           /* own; those that work in portions */
    struct admin_request *asking;            /* own; those that wait for courier or resolver */
    struct admin_request *jobs;              /* own; those that a mailbox's process works on */
    struct admin_request *keyless;           /* own; those that wait for a key; first come, first */
    bool is_key_awaited;                     /* what runs now needs one that is not there yet */
    uint64_t last_ticket;                    /* of what was asked of them */
    int64_t keyless_row;                     /* domains up to it have keys to sign with */
    struct id sweeping;                      /* the mailbox whose removal was asked for; or unset */
    int64_t sweeping_row;
};

/* Whose answer a request waits for. */
enum admin_other { ADMIN_OTHER_DNS, ADMIN_OTHER_COURIER, ADMIN_OTHER_ARCHIVIST };

struct admin_request {
    struct admin *admin;
    const struct admin_command *command;
    struct task task;
    json_t *arguments; /* own */
    json_t *reply;     /* own */
    void *client;      /* NULL: gone */
    uint64_t tag;
    /* While it waits for the store's answer about `mailbox`: */
    struct admin_request *next;
    enum err (*resume)(struct admin_request *request, bool is_done); /* NULL: does not wait */
    /* While it waits for the courier, the archivist or the DNS: the first of its tickets; 0: it does not. */
    uint64_t ticket, ticket_count;
    enum admin_other other;
    enum err (*answered)(struct admin_request *request); /* it was answered with ok; may be NULL */
    bool is_job; /* that ticket is a job's */
    int fds[ADMIN_DESCRIPTORS_MAX]; /* own; that came with it */
    size_t fd_count;
    struct admin_check *check; /* in the task's arena; it waits for DNS and courier */
    /* Work in portions, between which others have their turn; NULL: none. */
    enum err (*portion)(struct admin_request *request, bool *out_is_done);
    int64_t row; /* what the portions are about */
    int64_t backups_until_ms; /* of the mailboxes that they remove */
    struct id mailbox;
    int64_t mailbox_row;
    struct id old_mailbox; /* alias reset: what is given up */
    int64_t old_mailbox_row;
    /* alias add, reset: what is committed when the file is there. */
    struct account_address address;
    bool is_pattern;
    int64_t domain;
    struct secret *key, *password, *recovery; /* own */
    struct account_slot slots[2];
    size_t slot_count;
};

/* An argument's text; empty when it was not given. Valid as long as the request. */
struct str admin_argument_text(const struct admin_request *request, const char *name);
bool admin_argument_flag(const struct admin_request *request, const char *name);
/* Until when a removed mailbox's backups stay: now, if neither option nor configuration says more.
 * ERR_INVALID with its words said. */
MUST_CHECK enum err admin_argument_backups_until(struct admin_request *request, int64_t *out_ms);
/* `fallback` when it was not given. ERR_INVALID with its words said. */
MUST_CHECK enum err admin_argument_size(struct admin_request *request, const char *name,
                                        uint64_t fallback, uint64_t *out_bytes);
MUST_CHECK enum err admin_argument_address(struct admin_request *request, const char *name,
                                           struct account_address *out_address);
MUST_CHECK enum err admin_argument_domain(struct admin_request *request, struct str *out_domain);
/* The same for an alias, which may be a regular expression: /^support-(.+)$/@example.org. */
MUST_CHECK enum err admin_argument_alias(struct admin_request *request, const char *name,
                                         struct account_address *out_address,
                                         bool *out_is_pattern);
/* A limit a day: a number, "none", "default". */
MUST_CHECK enum err admin_argument_limit(struct admin_request *request, const char *name,
                                         int64_t *out_limit);

/* The alias that "address" names, with its domain's row; words when there is none. */
MUST_CHECK enum err admin_find_alias(struct admin_request *request, const char *argument,
                                     struct account_alias *out_alias);
/* The domain that "domain" names, or one of this name; words when there is none. */
MUST_CHECK enum err admin_find_domain(struct admin_request *request,
                                      struct account_domain *out_domain);
MUST_CHECK enum err admin_find_domain_named(struct admin_request *request, struct str name,
                                            struct account_domain *out_domain);
MUST_CHECK enum err admin_find_user(struct admin_request *request, struct str name,
                                    struct account_user *out_user);

/* An alias as an administrator writes it. */
struct str admin_alias_name(struct admin_request *request, const struct account_alias *alias);
/* Where something of this text goes on; ends the list where it is empty. */
void admin_put_next(struct admin_request *request, struct str next);

/* The first of `count` tickets for services->ask_dns, ask_courier or ask_archivist. */
uint64_t admin_new_tickets(struct admin *admin, uint64_t count);

/* alias_add.c: password, key and slots of the mailbox that the request makes. */
MUST_CHECK enum err admin_make_mailbox_keys(struct admin_request *request);
/* key.c: keys for a domain, in the caller's transaction. */
MUST_CHECK enum err admin_make_keys(struct admin *admin, struct task *task,
                                    const struct account_domain *domain,
                                    enum account_key_state state);
/* The same for a domain that has none yet, in a transaction of its own. */
MUST_CHECK enum err admin_make_keys_where_none(struct admin *admin, struct task *task,
                                               const struct account_domain *domain);
/* target.c: adds a forward or a webhook to an alias, in the caller's transaction; words when it is
 * none. The webhook's secret is made here, into the reply. */
MUST_CHECK enum err admin_add_forward(struct admin_request *request,
                                      const struct account_alias *alias, struct str text);
MUST_CHECK enum err admin_add_webhook(struct admin_request *request,
                                      const struct account_alias *alias, struct str url,
                                      bool is_raw);
/* Asks the courier or the archivist, with the command's name; takes the object over. */
MUST_CHECK enum err admin_ask(struct admin_request *request, enum admin_other other, json_t *json);
/* dns_check.c: an answer for one of its questions; true with the last. */
bool admin_check_answered(struct admin_request *request, uint64_t ticket,
                          const struct dns_answer *answer);
/* The courier's answer about the MTA-STS policy; empty: there will be none. Likewise. */
bool admin_check_policy_answered(struct admin_request *request, struct str json);

/* job.c: what came of a job becomes the reply, and how far it is goes to the client. */
MUST_CHECK enum err admin_job_result(struct admin_request *request, enum wire_status status,
                                     struct str json);
void admin_job_progress(struct admin_request *request, struct str json);

/* The reply: what happened; what to do next. The last words count. */
void admin_say(struct admin_request *request, const char *format, ...) PRINTF_LIKE(2, 3);
void admin_hint(struct admin_request *request, const char *format, ...) PRINTF_LIKE(2, 3);
/* admin_say and `err` back. */
enum err admin_refuse(struct admin_request *request, enum err err, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Members of a reply. Quotas: a number of bytes, null for none. */
void admin_put_text(json_t *object, const char *name, struct str text);
void admin_put_size(json_t *object, const char *name, uint64_t value);
void admin_put_quota(json_t *object, const char *name, uint64_t quota_bytes);
/* "items" of a list; gives the array. */
json_t *admin_put_items(struct admin_request *request);

#endif
