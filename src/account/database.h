/*
 * The account database: users (accounts), domains, aliases, mailboxes, key slots, usage; what rules
 * there are for mail is in account/database_rules.h. What is stored, not what it means: resolving,
 * logging in and creating are in the files beside it. One driver exists, sqlite/; nothing here tells
 * which it is.
 *
 * Writes that are answered to somebody go between account_begin and account_commit, which is
 * durable. Bookkeeping (usage, last use) is written at once, is seen by later reads, and reaches
 * the disk with the next commit or account_flush; a crash loses no more than what mailboxes report
 * again.
 *
 * Texts and arrays of results live in the task's arena. Names, local parts and domains are expected
 * in their normal form (account/address.h).
 */
#ifndef ACCOUNT_DATABASE_H
#define ACCOUNT_DATABASE_H

#include "base/id.h"
#include "base/task.h"
#include "secret/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No limit, where a quota is asked for. */
#define ACCOUNT_UNLIMITED UINT64_MAX

enum { ACCOUNT_PAGE_MAX = 200 }; /* rows of one list call */

struct account_database;

/* `key`: MAILBOX_KEY_BYTES, key ‖ salt. Makes the file where there is none. Errors as db_open. */
MUST_CHECK enum err account_database_open(struct task *task, const char *path,
                                          const struct secret *key,
                                          struct account_database **out_database);
void account_database_close(struct account_database **database);
/* The key of the account database, from the host key. */
struct secret *account_database_key(const struct secret *host_key);

/* Every change but bookkeeping is made between these two; what account_commit says with ERR_OK is
 * on the disk. After any other answer nothing of it is done: account_rollback. */
MUST_CHECK enum err account_begin(struct account_database *database, struct task *task);
MUST_CHECK enum err account_commit(struct account_database *database, struct task *task);
/* Harmless outside a transaction; takes back bookkeeping only where it was written since begin. */
void account_rollback(struct account_database *database);
/* Commits bookkeeping, if there is any; not durable by itself. */
MUST_CHECK enum err account_flush(struct account_database *database, struct task *task);
/* After a failed sync nothing works any more: opens the file again. Cheap when all is well. */
MUST_CHECK enum err account_database_recover(struct account_database *database,
                                             struct task *task);

/*
 * A copy in another file, made a slice at a time; encrypted with the same key. What is committed
 * meanwhile is in it.
 */
struct account_copy;
/* Grows with every change that this process makes; from 0. */
int64_t account_changes(const struct account_database *database);
MUST_CHECK enum err account_copy_begin(struct account_database *database, struct task *task,
                                       const char *path, struct account_copy **out_copy);
/* ERR_LIMIT: disk full; ERR_BUSY: begin again later. */
MUST_CHECK enum err account_copy_step(struct account_copy *copy, struct task *task, int pages,
                                      bool *out_is_done);
/* Once it is done: opens and checks it. The file is there, closed, until account_copy_free. */
MUST_CHECK enum err account_copy_end(struct account_copy *copy, struct task *task);
/* Removes the file. */
void account_copy_free(struct account_copy **copy);

/* Users. */
struct account_user {
    int64_t row;
    struct str name;
    uint64_t quota_bytes, used_bytes;
    struct str created; /* ISO 8601 */
};

/* ERR_EXISTS: the name is taken. */
MUST_CHECK enum err account_user_add(struct account_database *database, struct task *task,
                                     struct str name, uint64_t quota_bytes, int64_t *out_row);
/* The name in the task's arena. ERR_NOT_FOUND. */
MUST_CHECK enum err account_user_find(struct account_database *database, struct task *task,
                                      struct str name, struct account_user *out_user);
/* How many it has; reads them all. */
MUST_CHECK enum err account_user_count(struct account_database *database, struct task *task,
                                       int64_t user, uint64_t *out_domains,
                                       uint64_t *out_mailboxes);
/* Those whose name sorts after `after`, at most ACCOUNT_PAGE_MAX. */
MUST_CHECK enum err account_user_list(struct account_database *database, struct task *task,
                                      struct str after, struct account_user **out_users,
                                      size_t *out_count);
MUST_CHECK enum err account_user_set_quota(struct account_database *database, struct task *task,
                                           int64_t user, uint64_t quota_bytes);
/*
 * Removes the user, its domains, aliases and slots; its mailboxes become `removing`. At most
 * `limit` aliases or mailboxes in one call: to be called, each time in a transaction, until
 * *out_is_done.
 */
MUST_CHECK enum err account_user_remove(struct account_database *database, struct task *task,
                                        int64_t user, size_t limit, int64_t backups_until_ms,
                                        bool *out_is_done);

/* Domains. */
struct account_domain {
    int64_t row;
    struct str name;
    int64_t user;
    struct str user_name;
    uint64_t quota_bytes, used_bytes;
    struct str created;
    bool requires_tls; /* mail for it comes encrypted or not at all */
};

/* `name` in its normal form (account_domain_parse), `user` a row. ERR_EXISTS. */
MUST_CHECK enum err account_domain_add(struct account_database *database, struct task *task,
                                       struct str name, int64_t user, uint64_t quota_bytes);
/* Texts in the task's arena. ERR_NOT_FOUND. */
MUST_CHECK enum err account_domain_find(struct account_database *database, struct task *task,
                                        struct str name, struct account_domain *out_domain);
/* Only the row, for the paths that mail and logins take. 0: not ours. */
MUST_CHECK enum err account_domain_row(struct account_database *database, struct task *task,
                                       struct str name, int64_t *out_row);
/* What the path of mail needs of it, in one look-up. row 0: not ours. */
struct account_domain_facts {
    int64_t row;
    bool requires_tls;
    bool has_patterns; /* an alias of it is a regular expression */
    bool has_lists;    /* anybody has an allow or deny list */
};
MUST_CHECK enum err account_domain_facts(struct account_database *database, struct task *task,
                                         struct str name, struct account_domain_facts *out_facts);
/* That of the lowest row: whose postmaster is the host's. ERR_NOT_FOUND: there is none. */
MUST_CHECK enum err account_domain_first(struct account_database *database, struct task *task,
                                         struct str *out_name);
MUST_CHECK enum err account_domain_set_requires_tls(struct account_database *database,
                                                    struct task *task, int64_t domain,
                                                    bool requires_tls);
MUST_CHECK enum err account_domain_count(struct account_database *database, struct task *task,
                                         int64_t domain, uint64_t *out_aliases);
MUST_CHECK enum err account_domain_list(struct account_database *database, struct task *task,
                                        struct str after, struct account_domain **out_domains,
                                        size_t *out_count);
MUST_CHECK enum err account_domain_set_quota(struct account_database *database, struct task *task,
                                             int64_t domain, uint64_t quota_bytes);
/* Removes the domain with its aliases; mailboxes that no alias is left for become `removing`, and
 * their slots go. In portions, like a user. */
MUST_CHECK enum err account_domain_remove(struct account_database *database, struct task *task,
                                          int64_t domain, size_t limit, int64_t backups_until_ms,
                                          bool *out_is_done);

/* Mailboxes. */
enum account_mailbox_state {
    ACCOUNT_MAILBOX_CREATING,
    ACCOUNT_MAILBOX_ACTIVE,
    ACCOUNT_MAILBOX_REMOVING,
};

struct account_mailbox {
    int64_t row;
    struct id id;
    int64_t user, domain; /* domain: its home, 0 when that was removed */
    enum account_mailbox_state state;
    uint64_t quota_bytes;
    uint64_t mail_bytes, messages, drop_bytes;
    uint64_t epoch, change_counter;
    uint64_t user_quota_bytes, user_used_bytes;
    uint64_t domain_quota_bytes, domain_used_bytes; /* unlimited and 0 without a home */
};

/* In state `creating`. */
MUST_CHECK enum err account_mailbox_add(struct account_database *database, struct task *task,
                                        const struct id *id, int64_t user, int64_t domain,
                                        uint64_t quota_bytes, int64_t *out_row);
MUST_CHECK enum err account_mailbox_find(struct account_database *database, struct task *task,
                                         const struct id *id, struct account_mailbox *out_mailbox);
MUST_CHECK enum err account_mailbox_at(struct account_database *database, struct task *task,
                                       int64_t row, struct account_mailbox *out_mailbox);
/* The oldest active one of a home, else of the user that the domain belongs to: postmaster's where
 * nobody is. ERR_NOT_FOUND: neither has any. */
MUST_CHECK enum err account_mailbox_of_postmaster(struct account_database *database,
                                                  struct task *task, int64_t domain,
                                                  int64_t *out_row, struct id *out_id);
MUST_CHECK enum err account_mailbox_activate(struct account_database *database, struct task *task,
                                             int64_t row);
/* To `removing`: its slots, known addresses and usage go at once, so that the key is gone even
 * while the files are not. Its backups go from backups_until_ms on (account/purge.h). */
MUST_CHECK enum err account_mailbox_retire(struct account_database *database, struct task *task,
                                           int64_t row, int64_t backups_until_ms);
/* Its files stay until then, as they are; behind account_mailbox_retire. */
MUST_CHECK enum err account_mailbox_keep(struct account_database *database, struct task *task,
                                         int64_t row, int64_t until_ms);
/* The row of a mailbox whose files are gone. */
MUST_CHECK enum err account_mailbox_forget(struct account_database *database, struct task *task,
                                           int64_t row);
/* Removed mailboxes whose backups are still to go (account/purge.h). */
struct account_purge_row {
    int64_t row; /* 0: none */
    struct id mailbox;
    bool is_empty; /* nothing was found once */
};
MUST_CHECK enum err account_purge_add(struct account_database *database, struct task *task,
                                      int64_t mailbox, int64_t due_ms);
/* The first that is due, of those whose files are gone. */
MUST_CHECK enum err account_purge_next(struct account_database *database, struct task *task,
                                       struct account_purge_row *out);
MUST_CHECK enum err account_purge_put_off(struct account_database *database, struct task *task,
                                          int64_t row, int64_t due_ms, bool is_empty);
/* It is over; a bucket of the mailbox's own (account/bucket.h) is forgotten, too. */
MUST_CHECK enum err account_purge_done(struct account_database *database, struct task *task,
                                       int64_t row);
MUST_CHECK enum err account_purge_count(struct account_database *database, struct task *task,
                                        uint64_t *out_count);
/* The first in `creating` or `removing` (and not kept any longer) with a row greater than `after`; *out_row 0: none. */
MUST_CHECK enum err account_mailbox_unfinished(struct account_database *database,
                                               struct task *task, int64_t after, int64_t *out_row,
                                               struct id *out_id);
/* The first active one with a row greater than `after`; *out_row 0: none. */
MUST_CHECK enum err account_mailbox_next(struct account_database *database, struct task *task,
                                         int64_t after, int64_t *out_row, struct id *out_id);
MUST_CHECK enum err account_mailbox_set_quota(struct account_database *database, struct task *task,
                                              int64_t row, uint64_t quota_bytes);
/* How many aliases name it. */
MUST_CHECK enum err account_mailbox_alias_count(struct account_database *database,
                                                struct task *task, int64_t row,
                                                uint64_t *out_count);

/* Bookkeeping: what a mailbox process reports; user's and domain's sums follow. */
struct account_usage {
    uint64_t mail_bytes, messages, epoch, change_counter;
};
MUST_CHECK enum err account_mailbox_set_usage(struct account_database *database, struct task *task,
                                              const struct id *id,
                                              const struct account_usage *usage);
MUST_CHECK enum err account_mailbox_set_drop(struct account_database *database, struct task *task,
                                             const struct id *id, uint64_t drop_bytes);

/* Aliases. */
enum { ACCOUNT_PATTERNS_MAX = 100 /* regular expressions of one domain */ };

struct account_alias {
    int64_t row; /* 0: a mailbox that stands in for postmaster (account/resolve.h) */
    int64_t domain;
    struct str local, domain_name; /* local of a pattern: with its slashes */
    int64_t mailbox;               /* 0: none; it only sends on */
    struct id mailbox_id;          /* unset without one */
    bool is_enabled;
    bool is_pattern; /* a regular expression (account/pattern.h) */
    bool is_storing; /* new mail goes to the mailbox */
    bool has_routes; /* it has targets or a vacation (account/database_rules.h) */
    bool files_junk; /* its mail is judged as spam */
    unsigned disabled_answer; /* 250, 421 or 550 */
    struct str created;
};

/* `mailbox` 0: none. */
MUST_CHECK enum err account_alias_add(struct account_database *database, struct task *task,
                                      int64_t domain, struct str local, int64_t mailbox);
/* The same for a regular expression; it is tried after those that the domain has. ERR_LIMIT:
 * ACCOUNT_PATTERNS_MAX. */
MUST_CHECK enum err account_alias_add_pattern(struct account_database *database,
                                              struct task *task, int64_t domain, struct str local,
                                              int64_t mailbox);
/* `domain` as account_domain_row gives it (0 finds nothing, for the same work). No patterns: those
 * are found by the text of theirs with the second. */
MUST_CHECK enum err account_alias_find(struct account_database *database, struct task *task,
                                       int64_t domain, struct str local,
                                       struct account_alias *out_alias);
MUST_CHECK enum err account_alias_find_pattern(struct account_database *database,
                                               struct task *task, int64_t domain,
                                               struct str local, struct account_alias *out_alias);
/* In the order in which they are tried, at most ACCOUNT_PATTERNS_MAX. */
MUST_CHECK enum err account_alias_patterns(struct account_database *database, struct task *task,
                                           int64_t domain, struct account_alias **out_aliases,
                                           size_t *out_count);
/* In the order of their making, or within `domain` (0: all) by local part. `after` is the `next` of
 * the call before, empty at first; *out_next is empty with the last page. */
MUST_CHECK enum err account_alias_list(struct account_database *database, struct task *task,
                                       int64_t domain, struct str after,
                                       struct account_alias **out_aliases, size_t *out_count,
                                       struct str *out_next);
/* Those of one mailbox, at most ACCOUNT_PAGE_MAX. */
MUST_CHECK enum err account_alias_list_mailbox(struct account_database *database,
                                               struct task *task, int64_t mailbox,
                                               struct account_alias **out_aliases,
                                               size_t *out_count);
/* `answer`: what it tells peers while it is not enabled. */
MUST_CHECK enum err account_alias_set_enabled(struct account_database *database,
                                              struct task *task, int64_t row, bool is_enabled,
                                              unsigned answer);
MUST_CHECK enum err account_alias_set_mailbox(struct account_database *database,
                                              struct task *task, int64_t row, int64_t mailbox);
MUST_CHECK enum err account_alias_set_storing(struct account_database *database,
                                              struct task *task, int64_t row, bool is_storing);
MUST_CHECK enum err account_alias_set_junk(struct account_database *database, struct task *task,
                                           int64_t row, bool files_junk);
/* With its targets, rules and lists. */
MUST_CHECK enum err account_alias_remove(struct account_database *database, struct task *task,
                                         int64_t row);

/* Key slots. */
enum account_slot_kind { ACCOUNT_SLOT_PASSWORD, ACCOUNT_SLOT_APP, ACCOUNT_SLOT_RECOVERY };

enum { ACCOUNT_SLOTS_MAX = 32 }; /* of one mailbox */

/* The name of a password slot that its owner may not have seen yet; the old one's still opens. */
#define ACCOUNT_SLOT_UNCONFIRMED "new"

struct account_slot {
    int64_t row;
    struct id id;
    enum account_slot_kind kind;
    struct str name;   /* of an app password, else empty */
    uint64_t services; /* BIT(wire_service) each */
    struct str sealed;
    struct str public_key, wrapping; /* of app and recovery slots (account/slot.h); may be empty */
    struct str next_sealed, next_wrapping; /* empty: no other key is coming */
    struct str created, last_used; /* last_used empty: never */
};

/* ERR_EXISTS: a slot of that kind and name is there. ERR_LIMIT: ACCOUNT_SLOTS_MAX. */
MUST_CHECK enum err account_slot_add(struct account_database *database, struct task *task,
                                     int64_t mailbox, const struct account_slot *slot);
/* All of a mailbox (`mailbox` 0: none, for the same work). Room for ACCOUNT_SLOTS_MAX. */
MUST_CHECK enum err account_slot_list(struct account_database *database, struct task *task,
                                      int64_t mailbox, struct account_slot *out_slots,
                                      size_t *out_count);
/* Does the mailbox still have this slot? Its password was neither changed nor removed since. */
MUST_CHECK enum err account_slot_is_there(struct account_database *database, struct task *task,
                                          const struct id *mailbox, const struct id *slot,
                                          bool *out_is_there);
MUST_CHECK enum err account_slot_remove(struct account_database *database, struct task *task,
                                        int64_t row);
/* The unconfirmed password slot takes the place of the old one. */
MUST_CHECK enum err account_slot_confirm(struct account_database *database, struct task *task,
                                         int64_t mailbox);
/* No other key is coming: the unconfirmed password slot goes, and the next key from all others. */
MUST_CHECK enum err account_slot_drop_next(struct account_database *database, struct task *task,
                                           int64_t mailbox);
/* The next key, in a slot that is there. */
MUST_CHECK enum err account_slot_set_next(struct account_database *database, struct task *task,
                                          const struct account_slot *slot);
/* What the next key is known by, 32 bytes; for the mailbox whose slots have it. */
MUST_CHECK enum err account_mailbox_set_next_key(struct account_database *database,
                                                 struct task *task, int64_t mailbox,
                                                 struct str check);
/* The next key has become the key, where it is the one that `check` names: in all slots of the
 * mailbox, which must all have it. ERR_NOT_FOUND: it is another, or was done already. */
MUST_CHECK enum err account_slot_advance(struct account_database *database, struct task *task,
                                         int64_t mailbox, struct str check);
/* Bookkeeping. */
MUST_CHECK enum err account_slot_used(struct account_database *database, struct task *task,
                                      int64_t row);

/* Known addresses: `hash` is a keyed hash, 16 bytes. Noting is bookkeeping; a mailbox keeps the 64
 * last seen, for half a year. */
MUST_CHECK enum err account_known_has(struct account_database *database, struct task *task,
                                      int64_t mailbox, struct str hash, bool *out_is_known);
MUST_CHECK enum err account_known_note(struct account_database *database, struct task *task,
                                       int64_t mailbox, struct str hash);

/* Totals for `status`. */
struct account_totals {
    uint64_t users, domains, aliases, mailboxes, unfinished, used_bytes;
};
MUST_CHECK enum err account_totals(struct account_database *database, struct task *task,
                                   struct account_totals *out_totals);

#endif
