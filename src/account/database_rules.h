/*
 * The account database's rules for mail: where an alias sends it on to, vacation replies, allow and
 * deny lists, greylisting, daily limits, and the keys that a domain's mail is signed with. Stored
 * here; what they mean is in account/target.h, lists.h, greylist.h, router.h and signing.h.
 *
 * Transactions and memory: account/database.h.
 */
#ifndef ACCOUNT_DATABASE_RULES_H
#define ACCOUNT_DATABASE_RULES_H

#include "account/database.h"

/* Targets of an alias. */
enum account_target_kind { ACCOUNT_TARGET_FORWARD, ACCOUNT_TARGET_WEBHOOK };

enum { ACCOUNT_TARGETS_MAX = 25 /* of one alias */, ACCOUNT_TARGET_TEXT_MAX = 512 };

struct account_target_row {
    int64_t row;
    enum account_target_kind kind;
    struct str text;   /* forward: account/target.h; webhook: its URL */
    struct str secret; /* of a webhook */
    bool is_raw;       /* the message itself is sent, too */
    struct str created;
};

/* In the order of their making. */
MUST_CHECK enum err account_target_list(struct account_database *database, struct task *task,
                                        int64_t alias, struct account_target_row **out_targets,
                                        size_t *out_count);
/* ERR_EXISTS; ERR_LIMIT: ACCOUNT_TARGETS_MAX. */
MUST_CHECK enum err account_target_add(struct account_database *database, struct task *task,
                                       int64_t alias, const struct account_target_row *target);
/* ERR_NOT_FOUND. */
MUST_CHECK enum err account_target_remove(struct account_database *database, struct task *task,
                                          int64_t alias, enum account_target_kind kind,
                                          struct str text);

/* The vacation reply of an alias. */
enum { ACCOUNT_VACATION_SUBJECT_MAX = 200, ACCOUNT_VACATION_TEXT_MAX = 2000 };

struct account_vacation {
    struct str subject, text;
    int64_t starts_ms, ends_ms; /* INT64_MIN: at once; INT64_MAX: until it is taken off */
};

/* ERR_NOT_FOUND: it has none. */
MUST_CHECK enum err account_vacation_find(struct account_database *database, struct task *task,
                                          int64_t alias, struct account_vacation *out_vacation);
MUST_CHECK enum err account_vacation_set(struct account_database *database, struct task *task,
                                         int64_t alias, const struct account_vacation *vacation);
MUST_CHECK enum err account_vacation_remove(struct account_database *database,
                                            struct task *task, int64_t alias);

/* Allow and deny lists. */
enum account_list_verdict { ACCOUNT_LIST_NONE, ACCOUNT_LIST_ALLOW, ACCOUNT_LIST_DENY };
enum account_list_kind { ACCOUNT_LIST_ADDRESS, ACCOUNT_LIST_DOMAIN, ACCOUNT_LIST_NETWORK };

/* Both 0: the whole host. */
struct account_list_scope {
    int64_t domain, alias;
};

struct account_list_entry {
    int64_t row;
    enum account_list_verdict verdict; /* never NONE */
    enum account_list_kind kind;
    struct str value; /* in its normal form: account/lists.h */
    struct str created;
};

/* Replaces an entry of the same value. */
MUST_CHECK enum err account_list_set(struct account_database *database, struct task *task,
                                     const struct account_list_scope *scope,
                                     const struct account_list_entry *entry);
/* ERR_NOT_FOUND: no entry of that value and verdict. */
MUST_CHECK enum err account_list_remove(struct account_database *database, struct task *task,
                                        const struct account_list_scope *scope,
                                        enum account_list_verdict verdict, struct str value);
/* Those after row `after` (0: from the first), at most ACCOUNT_PAGE_MAX. */
MUST_CHECK enum err account_list_page(struct account_database *database, struct task *task,
                                      const struct account_list_scope *scope,
                                      enum account_list_verdict verdict, int64_t after,
                                      struct account_list_entry **out_entries, size_t *out_count);
/* What this very value's entry says in each scope: of the alias (0: none), its domain, the host. */
struct account_list_verdicts {
    enum account_list_verdict of_alias, of_domain, of_host;
};
MUST_CHECK enum err account_list_look_up(struct account_database *database, struct task *task,
                                         const struct account_list_scope *of, struct str value,
                                         struct account_list_verdicts *out_verdicts);
/* The lengths of prefix that networks in any list have, the longest first. */
enum { ACCOUNT_PREFIXES_MAX = 129 };
MUST_CHECK enum err account_list_prefixes(struct account_database *database, struct task *task,
                                          unsigned out_bits[ACCOUNT_PREFIXES_MAX],
                                          size_t *out_count);

/* Greylisting; all of it bookkeeping. `hash` has 16 bytes. */
struct account_grey {
    bool is_there, is_passed;
    int64_t since_ms, ends_ms;
};
MUST_CHECK enum err account_grey_find(struct account_database *database, struct task *task,
                                      struct str hash, struct account_grey *out_grey);
MUST_CHECK enum err account_grey_set(struct account_database *database, struct task *task,
                                     struct str hash, const struct account_grey *grey);
MUST_CHECK enum err account_grey_remove(struct account_database *database, struct task *task,
                                        struct str hash);
MUST_CHECK enum err account_grey_count(struct account_database *database, struct task *task,
                                       uint64_t *out_count);
/* Takes away what is over; at most `limit` rows, of what ends next when `is_forced`. */
MUST_CHECK enum err account_grey_sweep(struct account_database *database, struct task *task,
                                       size_t limit, bool is_forced);

/*
 * Daily limits of recipients elsewhere, and how many there were: a user's, whichever of his aliases
 * writes, and a sender's domain's. `row` is the user's or the domain's; 0 is nobody, who has no
 * limit and is not counted. A day is days since 1970.
 */
#define ACCOUNT_LIMIT_DEFAULT INT64_C(-2) /* what the configuration says */
#define ACCOUNT_LIMIT_NONE INT64_C(-1)

enum account_daily_of { ACCOUNT_DAILY_USER, ACCOUNT_DAILY_DOMAIN };

struct account_daily {
    int64_t limit;      /* ACCOUNT_LIMIT_DEFAULT, ACCOUNT_LIMIT_NONE, or how many */
    int64_t day, count; /* `count` is of `day` */
};

/* ERR_NOT_FOUND  no such row */
MUST_CHECK enum err account_daily(struct account_database *database, struct task *task,
                                  enum account_daily_of whose, int64_t row,
                                  struct account_daily *out_daily);
/* Within account_begin and account_commit. */
MUST_CHECK enum err account_daily_set_limit(struct account_database *database, struct task *task,
                                            enum account_daily_of whose, int64_t row,
                                            int64_t limit);
/* Bookkeeping: one more on `day`. */
MUST_CHECK enum err account_daily_count_sent(struct account_database *database, struct task *task,
                                             enum account_daily_of whose, int64_t row, int64_t day);
/* And `count` less on `day`, if that is the day that is counted. */
MUST_CHECK enum err account_daily_count_unsent(struct account_database *database, struct task *task,
                                               enum account_daily_of whose, int64_t row,
                                               int64_t day, int64_t count);

/* Keys that mail is signed with (account/signing.h). */
enum account_key_algorithm { ACCOUNT_KEY_RSA, ACCOUNT_KEY_ED25519 };
enum account_key_state { ACCOUNT_KEY_WAITING, ACCOUNT_KEY_ACTIVE, ACCOUNT_KEY_RETIRED };

enum { ACCOUNT_KEYS_MAX = 12 /* of one domain */ };

struct account_key {
    int64_t row;
    enum account_key_algorithm algorithm;
    enum account_key_state state;
    struct str selector;
    struct str sealed;
    struct str record; /* of the DNS */
    struct str created;
};

/* ERR_EXISTS: that selector; ERR_LIMIT: ACCOUNT_KEYS_MAX. */
MUST_CHECK enum err account_key_add(struct account_database *database, struct task *task,
                                    int64_t domain, const struct account_key *key);
/* All of a domain, the oldest first. */
MUST_CHECK enum err account_key_list(struct account_database *database, struct task *task,
                                     int64_t domain, struct account_key **out_keys,
                                     size_t *out_count);
MUST_CHECK enum err account_key_set_state(struct account_database *database, struct task *task,
                                          int64_t row, enum account_key_state state);
MUST_CHECK enum err account_key_remove(struct account_database *database, struct task *task,
                                       int64_t row);
/* The first domain after row `after` that has no key; *out_row 0: each has some. */
MUST_CHECK enum err account_key_missing(struct account_database *database, struct task *task,
                                        int64_t after, int64_t *out_row, struct str *out_name);

#endif
