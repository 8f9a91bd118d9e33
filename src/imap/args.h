/* The typed arguments of every command: what `parse` fills and `run` acts on. In the task's arena;
 * a command that gives way also keeps its progress here. */
#ifndef IMAP_ARGS_H
#define IMAP_ARGS_H

#include "imap/fetch.h"
#include "imap/flags.h"
#include "imap/search.h"
#include "imap/set.h"

/* A set. */
enum imap_status_item {
    IMAP_STATUS_MESSAGES = 1 << 0,
    IMAP_STATUS_RECENT = 1 << 1,
    IMAP_STATUS_UIDNEXT = 1 << 2,
    IMAP_STATUS_UIDVALIDITY = 1 << 3,
    IMAP_STATUS_UNSEEN = 1 << 4,
    IMAP_STATUS_HIGHESTMODSEQ = 1 << 5,
    IMAP_STATUS_APPENDLIMIT = 1 << 6,
};

struct imap_status_args {
    struct str name;
    unsigned items;
};

struct imap_list_args {
    struct str reference;
    struct str *patterns;
    size_t pattern_count;
    /* RFC 5258 list-select-opts */
    bool is_extended;
    bool select_subscribed, select_special_use, is_recursive;
    /* RFC 5258 list-return-opts */
    bool return_subscribed;
    unsigned return_status; /* RFC 5819: imap_status_item, 0: none */
};

struct imap_append_args {
    struct str name;
    struct imap_flags flags;
    bool has_date;
    int64_t date_ms;
    int16_t zone_minutes;
    struct str message;
};

struct imap_store_args {
    struct imap_set set;
    struct imap_flags flags;
    enum vault_store_mode mode;
    bool is_silent;
    bool has_unchanged_since;
    uint64_t unchanged_since;
    /* progress */
    bool is_started;
    uint32_t *uids;
    size_t uid_count, next;
    uint64_t bits;
    uint32_t *modified; /* message numbers or UIDs, as the command named them */
    size_t modified_count;
    bool has_gone;
};

union imap_args {
    struct {
        struct str mechanism;
        bool has_initial;
        struct str initial;
        struct str username; /* LOGIN's first answer */
    } authenticate;
    struct {
        struct str username, password;
    } login;
    struct {
        struct str name;
        bool is_condstore;
    } select;
    struct {
        struct str name;
    } mailbox;
    struct {
        struct str from, to;
    } rename;
    struct imap_list_args list;
    struct imap_status_args status;
    struct imap_append_args append;
    struct {
        struct imap_set set;
    } expunge;
    struct imap_search_args search;
    struct imap_fetch_args fetch;
    struct imap_store_args store;
    struct {
        struct imap_set set;
        struct str name;
    } copy;
    struct {
        bool has_condstore;
    } enable;
    struct {
        bool is_bulk; /* it says what engine.h's is_bulk means */
    } id;
};

#endif
