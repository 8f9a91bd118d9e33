/* The typed arguments of every command: what `parse` fills and `run` acts on. In the task's arena;
 * a command that gives way also keeps its progress here. */
#ifndef IMAP_ARGS_H
#define IMAP_ARGS_H

#include "imap/fetch.h"
#include "imap/flags.h"
#include "imap/metadata.h"
#include "imap/notify.h"
#include "imap/search_return.h"
#include "imap/search_run.h"
#include "imap/set.h"
#include "imap/sort.h"
#include "imap/thread.h"

/* A set. */
enum imap_status_item {
    IMAP_STATUS_MESSAGES = 1 << 0,
    IMAP_STATUS_RECENT = 1 << 1,
    IMAP_STATUS_UIDNEXT = 1 << 2,
    IMAP_STATUS_UIDVALIDITY = 1 << 3,
    IMAP_STATUS_UNSEEN = 1 << 4,
    IMAP_STATUS_HIGHESTMODSEQ = 1 << 5,
    IMAP_STATUS_APPENDLIMIT = 1 << 6,
    IMAP_STATUS_SIZE = 1 << 7,
    IMAP_STATUS_DELETED = 1 << 8,
    IMAP_STATUS_DELETED_STORAGE = 1 << 9,
    IMAP_STATUS_MAILBOXID = 1 << 10,
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
    unsigned return_status;                     /* RFC 5819: imap_status_item, 0: none */
    struct imap_metadata_names return_metadata; /* RFC 9590; count 0: none */
    /* progress */
    struct imap_listing *listing; /* NULL: not begun */
    struct imap_lsub *lsub;       /* likewise */
};

struct imap_select_args {
    struct str name;
    struct str name_as_sent; /* empty: it was in its normal form */
    bool is_condstore;
    bool has_qresync; /* RFC 7162 §3.2.5 */
    uint32_t uidvalidity;
    uint64_t modseq;
    struct imap_set known_uids; /* count 0: not given */
    struct imap_set match_numbers, match_uids;
    /* progress */
    bool is_started;
    struct vault_uid_flags *changed;
    size_t changed_count, next;
};

/* One message of APPEND or REPLACE. */
struct imap_append_message {
    struct imap_flags flags;
    bool has_date;
    int64_t date_ms;
    int16_t zone_minutes;
    bool is_utf8;     /* said to be with UTF8 (RFC 6855 §4) */
    bool is_literal8; /* NUL may be among the bytes */
    struct str bytes;
};

struct imap_append_args {
    struct str name;
    struct imap_set set; /* REPLACE: the message that goes */
    struct imap_append_message *messages;
    size_t count;
    bool is_too_many; /* the first IMAP_APPEND_MESSAGES_MAX are there */
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

struct imap_search_args {
    struct imap_search_return wanted;
    struct imap_search_program program;
    struct imap_search_run run;
};

struct imap_sort_args {
    struct imap_search_args search;
    struct imap_sort_order order;
    struct imap_sort sort;
};

/* RFC 7377 §2.2 */
enum imap_esearch_source { /* a set */
                           IMAP_ESEARCH_SELECTED = 1 << 0,
                           IMAP_ESEARCH_INBOXES = 1 << 1,
                           IMAP_ESEARCH_PERSONAL = 1 << 2,
                           IMAP_ESEARCH_SUBSCRIBED = 1 << 3,
                           IMAP_ESEARCH_SUBTREE = 1 << 4,
                           IMAP_ESEARCH_SUBTREE_ONE = 1 << 5,
                           IMAP_ESEARCH_MAILBOXES = 1 << 6,
};

struct imap_esearch_args {
    unsigned sources;
    struct imap_esearch_name {
        enum imap_esearch_source source;
        struct str name;
    } * names; /* of SUBTREE, SUBTREE_ONE, MAILBOXES */
    size_t name_count;
    struct imap_search_return wanted;
    struct imap_search_program program; /* as it was parsed */
    /* progress */
    struct vault_folder *folders;
    size_t folder_count, next;
    uint64_t passed, goal;              /* messages, of the folders that are done and of all */
    struct imap_search_program running; /* a copy for the present folder */
    struct imap_view view;              /* of it */
    struct imap_search_run run;         /* its view NULL: between two folders */
};

struct imap_thread_args {
    struct imap_search_args search;
    enum imap_thread_algorithm algorithm;
    /* progress */
    bool has_begun;
    uint32_t *indexes; /* in the view, of each message of the threads */
    size_t steps;
    struct str recalled; /* what is still to be written of an answer that was remembered */
    char *answer; /* what was written so far, to be remembered; NULL: it will not be */
    size_t answer_len, answer_room;
    struct imap_sort_source source;
    struct imap_threads threads;
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
    struct imap_select_args select;
    struct {
        struct str name;
    } mailbox;
    struct {
        struct str name;
        struct str name_as_sent; /* empty: it was in its normal form */
        bool has_use;            /* USE (…), RFC 6154 §3 */
        struct str *uses;
        size_t use_count;
    } create;
    struct {
        struct str from, to;
    } rename;
    struct imap_list_args list;
    struct imap_status_args status;
    struct imap_append_args append;
    struct imap_metadata_args metadata;
    struct {
        struct imap_set set;
    } expunge;
    struct imap_search_args search;
    struct imap_sort_args sort;
    struct imap_thread_args thread;
    struct imap_esearch_args esearch;
    struct imap_fetch_args fetch;
    struct imap_store_args store;
    struct {
        struct imap_set set;
        struct str name;
    } copy;
    struct imap_notify_args notify;
    struct {
        unsigned extensions; /* a set of enum imap_extension */
    } enable;
    struct {
        bool is_bulk; /* it says what engine.h's is_bulk means */
    } id;
};

#endif
